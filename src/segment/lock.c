/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locking, waiting for a change, and consistent copies. segment.h has the word's invariants.
 */
#include "segment/segment.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"

#define LOOK_AROUND_NS ((int64_t)100000000)
#define GLANCES        32 /* at the word, between two attempts while spinning */

/*
 * Something that may have to wait: tries, and returns what it came to, or -EAGAIN: not yet. `ask`: ask the
 * kernel whether whoever is in the way lives. Never blocks.
 */
typedef int attempt_fn(gnl_segment *segment, void *context, bool ask);

static bool may_write(gnl_segment *segment)
{
    return (atomic_load_explicit(&segment->rights, memory_order_relaxed) & GNL_WRITE) != 0; /* A */
}

static int spin(gnl_segment *segment, attempt_fn *attempt, void *context, int64_t deadline)
{
    int32_t budget = gnli_spin_budget_ns(&segment->spin);
    int64_t now = gnli_now_ns();
    int64_t end = now + budget < deadline ? now + budget : deadline;

    while (now < end) {
        for (unsigned i = 0; i < GLANCES; i++)
            gnli_pause();
        int result = attempt(segment, context, false);
        if (result != -EAGAIN) {
            gnli_spin_waited(&segment->spin, 0, false);
            return result;
        }
        now = gnli_now_ns();
    }
    return -EAGAIN;
}

static int sleep_until(gnl_segment *segment, attempt_fn *attempt, void *context, int64_t deadline)
{
    struct gnli_segment_header *header = segment->member->header;
    int64_t looked = 0; /* at once, the first time */

    for (;;) {
        int64_t now = gnli_now_ns();
        bool around = now - looked >= LOOK_AROUND_NS;
        if (around) {
            looked = now;
            int result = gnli_member_confirm(segment->member, segment->subject);
            if (result < 0)
                return result;
        }
        uint32_t changes = atomic_load_explicit(&header->changes, memory_order_seq_cst); /* D */
        if (segment->member->file->writable)
            atomic_store_explicit(&header->waiting, 1, memory_order_seq_cst); /* D */
        int result = gnli_segment_usable(segment);
        if (result == 0)
            result = attempt(segment, context, around);
        if (result != -EAGAIN)
            return result;
        if (now >= deadline)
            return -ETIMEDOUT;
        int64_t until = looked + LOOK_AROUND_NS;
        gnli_futex_wait(&header->changes, changes, until < deadline ? until : deadline);
    }
}

static int wait_for(gnl_segment *segment, attempt_fn *attempt, void *context, int64_t timeout)
{
    int result = attempt(segment, context, timeout == GNL_NOWAIT);

    if (result != -EAGAIN || timeout == GNL_NOWAIT)
        return result;
    int64_t deadline = gnli_deadline_ns(timeout);
    result = spin(segment, attempt, context, deadline);
    if (result != -EAGAIN)
        return result;
    int64_t start = gnli_now_ns();
    result = sleep_until(segment, attempt, context, deadline);
    gnli_spin_waited(&segment->spin, gnli_now_ns() - start, false);
    return result;
}

static int bad_timeout(void)
{
    return gnli_fail(-EINVAL, "a timeout is 0 or more nanoseconds, or GNL_FOREVER");
}

/* ---- locking ---- */

/* Which thread this is: an address that no other living thread has. */
static const void *this_thread(void)
{
    static _Thread_local char here;

    return &here;
}

static int try_lock(gnl_segment *segment, void *context, bool ask)
{
    struct gnli_member *member = segment->member;
    int result = -EAGAIN;

    (void)context;
    pthread_mutex_lock(&member->lock);
    uint64_t word = gnli_member_word(member);
    unsigned owner = gnli_segment_owner(word);
    /* X1. A word that names this process though no thread of it has it locked was left, or scribbled. */
    bool left = owner != 0 && (owner == gnli_member_number(member) ? !member->holder
                                                                   : ask && gnli_member_dead(member, owner));
    if (owner == 0 || left) {
        uint64_t mine = gnli_segment_word(gnli_segment_version(word) + left, gnli_member_number(member));
        bool died = left || (word & GNLI_SEGMENT_DIED);
        if (gnli_member_swap(member, word, mine)) {    /* X2 */
            atomic_thread_fence(memory_order_release); /* C */
            member->holder = this_thread();
            member->through = segment;
            result = died ? GNL_OWNER_DIED : 0;
        }
    }
    pthread_mutex_unlock(&member->lock);
    return result;
}

int gnl_segment_lock(gnl_segment *segment, int64_t timeout)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    struct gnli_member *member = segment->member;
    pthread_mutex_lock(&member->lock);
    bool mine = member->holder == this_thread();
    pthread_mutex_unlock(&member->lock);
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!may_write(segment))
        result =
            gnli_fail(-EACCES, "%s: attached to be read: who may not write cannot lock it", segment->subject);
    else if (mine)
        result = gnli_fail(-EDEADLK, "%s: this thread has it locked already", segment->subject);
    else
        result = wait_for(segment, try_lock, NULL, timeout);
    return gnli_segment_leave(segment, result);
}

/* The member's lock is held, and this process has the segment locked. */
static int unlock(struct gnli_member *member)
{
    uint64_t word = gnli_member_word(member);
    uint64_t next = gnli_segment_word(gnli_segment_version(word) + 1, 0);

    member->holder = NULL;
    member->through = NULL;
    bool was_mine = gnli_segment_owner(word) == gnli_member_number(member);
    return was_mine && gnli_member_swap(member, word, next) ? 0 : -EBADMSG; /* X3 */
}

int gnl_segment_unlock(gnl_segment *segment)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    struct gnli_member *member = segment->member;
    pthread_mutex_lock(&member->lock);
    if (member->holder != this_thread())
        result = gnli_fail(-EPERM, "%s: not locked by this thread", segment->subject);
    else if ((result = unlock(member)) < 0)
        gnli_fail(result, "%s: was locked, and is not any more: somebody wrote over its lock",
                  segment->subject);
    pthread_mutex_unlock(&member->lock);
    if (result == 0)
        gnli_member_wake(member);
    return gnli_segment_leave(segment, result);
}

void gnli_segment_unlock_all(gnl_segment *segment)
{
    struct gnli_member *member = segment->member;
    bool unlocked = false;

    if (!gnli_process_is(atomic_load_explicit(&segment->stamp, memory_order_relaxed))) /* A */
        return; /* what is locked is the parent's */
    pthread_mutex_lock(&member->lock);
    if (member->holder && member->through == segment)
        unlocked = unlock(member) == 0;
    pthread_mutex_unlock(&member->lock);
    if (unlocked)
        gnli_member_wake(member);
}

/* ---- waiting for a change ---- */

uint64_t gnl_segment_version(gnl_segment *segment)
{
    return segment ? gnli_segment_version(gnli_member_word(segment->member)) : 0;
}

/* Whoever may write makes a version of it, which others see. */
static bool owner_died(struct gnli_member *member, uint64_t word)
{
    unsigned owner = gnli_segment_owner(word);

    if (owner == 0 || owner == gnli_member_number(member) || !gnli_member_dead(member, owner))
        return false;
    if (gnli_member_number(member) != 0)
        gnli_member_bury(member, owner);
    return true;
}

static int try_seeing_another(gnl_segment *segment, void *context, bool ask)
{
    uint64_t word = gnli_member_word(segment->member);
    uint64_t seen = *(const uint64_t *)context;

    if (gnli_segment_version(word) != seen)
        return 0;
    if (ask && owner_died(segment->member, word))
        return gnl_segment_version(segment) != seen ? 0 : GNL_OWNER_DIED;
    return -EAGAIN;
}

int gnl_segment_wait(gnl_segment *segment, uint64_t seen, int64_t timeout)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    result = timeout < GNL_FOREVER ? bad_timeout() : wait_for(segment, try_seeing_another, &seen, timeout);
    return gnli_segment_leave(segment, result);
}

/* ---- consistent copies ---- */

struct copying {
    size_t offset;
    void *copy;
    size_t size;
};

static int try_copying(gnl_segment *segment, void *context, bool ask)
{
    struct gnli_member *member = segment->member;
    struct copying *copying = context;
    bool own = false, died;

    uint64_t before = gnli_member_word(member);
    unsigned owner = gnli_segment_owner(before);
    died = (before & GNLI_SEGMENT_DIED) != 0;
    if (owner != 0 && owner == gnli_member_number(member)) {
        pthread_mutex_lock(&member->lock);
        own = member->holder == this_thread();
        pthread_mutex_unlock(&member->lock);
    }
    if (owner != 0 && !own) {
        if (!ask || !owner_died(member, before))
            return -EAGAIN;
        died = true;
        before = gnli_member_word(member);
        if (gnli_segment_owner(before) != 0 && gnli_segment_owner(before) != owner)
            return -EAGAIN; /* X5: somebody has locked it since */
    }
    pthread_rwlock_rdlock(&segment->mapping);
    memcpy(copying->copy, (const char *)gnl_segment_data(segment) + copying->offset, copying->size);
    pthread_rwlock_unlock(&segment->mapping);
    atomic_thread_fence(memory_order_acquire);                                          /* C */
    uint64_t after = atomic_load_explicit(&member->header->word, memory_order_relaxed); /* A */
    if (after != before && !own)                                                        /* X6 */
        return -EAGAIN;
    int result = gnli_segment_usable(segment); /* what was cut off meanwhile reads as zeros */
    return result < 0 ? result : died ? GNL_OWNER_DIED : 0;
}

int gnl_segment_snapshot(gnl_segment *segment, size_t offset, void *copy, size_t size, int64_t timeout)
{
    struct copying copying = { offset, copy, size };
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    size_t here = gnl_segment_size(segment);
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!copy && size > 0)
        result = gnli_fail(-EINVAL, "%s: nowhere to copy to", segment->subject);
    else if (offset > here || size > here - offset)
        result = gnli_fail(-EINVAL,
                           "%s: has %zu bytes here: none from %zu to %zu; gnl_segment_refresh maps what "
                           "was grown",
                           segment->subject, here, offset, offset + size);
    else
        result = size > 0 ? wait_for(segment, try_copying, &copying, timeout) : 0;
    return gnli_segment_leave(segment, result);
}
