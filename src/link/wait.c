/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking and waking on direct links.
 *
 * Who is going to sleep says so in memory of its own (`asleep` becomes a new odd value), has the kernel run
 * a barrier in all threads of the other side, looks once more, and sleeps on the bell. Who publishes or
 * leaves a frame looks at `asleep` after that, with no barrier of its own, and rings once for each value:
 * so while both sides are busy there is neither a system call nor an ordered store. As long as the other's
 * half has not been heard of, it rings with every message.
 *
 *   A: relaxed: counts, and what the kernel's calls order.
 *   W: seq_cst, or relaxed and ordered by the sleeper's barrier: it stores `asleep`, then looks at the
 *      frames; the other stores a frame's word or a count, then looks at `asleep` (link/link.h, W).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "life/process.h"
#include "link/link.h"

#define GLANCES      32 /* at the word that has to change, between two attempts */
#define TRIES_A_LOOK 4  /* at the clock, while spinning */

/* ---- ringing ---- */

void gnli_ring_slowly(struct gnli_out *out, uint32_t asleep)
{
    out->rung = asleep;
    ssize_t written = write(out->bell[1], "", 1); /* full: it has been rung often enough */
    (void)written;
}

static bool anyone_waits(struct gnli_link *link)
{
    return link->waiting > 0 || atomic_load_explicit(&link->me->anyone, memory_order_relaxed) > 0; /* A */
}

/* What the other side has to know of who waits here; the sending lock is held. */
static void tell(struct gnli_link *link, bool rearm)
{
    if (!link->out)
        return;
    struct gnli_side *own = link->out->memory.own;
    bool asleep =
        link->asleep > 0 || atomic_load_explicit(&link->me->anyone, memory_order_relaxed) > 0 || /* A */
        gnli_event_descriptor(&link->events[0]) >= 0 || gnli_event_descriptor(&link->events[1]) >= 0 ||
        gnli_event_descriptor(&link->me->event) >= 0;
    uint32_t value = atomic_load_explicit(&own->asleep, memory_order_relaxed); /* W */
    if (asleep && rearm)
        atomic_store_explicit(&own->asleep, (value + 2) | 1, memory_order_relaxed); /* W */
    else if (!asleep && (value & 1))
        atomic_store_explicit(&own->asleep, value + 1, memory_order_relaxed); /* W */
    uint32_t receiving = anyone_waits(link);
    if (atomic_load_explicit(&own->receiving, memory_order_relaxed) != receiving) /* A */
        atomic_store_explicit(&own->receiving, receiving, memory_order_relaxed);  /* A */
}

void gnli_link_tell(struct gnli_link *link, bool rearm)
{
    bool locked = gnli_lock(&link->sending);
    tell(link, rearm);
    gnli_unlock(&link->sending, locked);
}

/* One link, or all: one more sleeps there (1), it sleeps still (0), or no more (-1). */
static void arm(struct gnl_identity *me, struct gnli_link *link, int by)
{
    pthread_mutex_lock(&me->lock);
    if (!link)
        atomic_fetch_add_explicit(&me->anyone, (uint32_t)by, memory_order_relaxed); /* A */
    for (struct gnli_link *each = link ? link : me->links; each; each = link ? NULL : each->next) {
        bool locked = gnli_lock(&each->sending);
        if (link)
            link->asleep = (uint32_t)((int)link->asleep + by);
        tell(each, by >= 0);
        if (!link && each->takes_offers && by >= 0)
            gnli_ring(each->out); /* the other side may poll for somebody who waits */
        gnli_unlock(&each->sending, locked);
    }
    pthread_mutex_unlock(&me->lock);
    if (by >= 0)
        gnli_process_barrier();
}

/* ---- waiting ---- */

static int usable(struct gnl_identity *me, struct gnli_link *link)
{
    if (atomic_load_explicit(&me->closing, memory_order_relaxed) ||                /* A */
        (link && atomic_load_explicit(&link->port.closing, memory_order_relaxed))) /* A */
        return -ECANCELED;
    return 0;
}

static bool paired(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->sending);
    bool result = link->out && link->out->theirs;

    gnli_unlock(&link->sending, locked);
    return result;
}

/*
 * Once a tick of the coarse clock, and always before the halves are paired: what the kernel has to tell by
 * now.
 */
static bool pump_now_and_then(struct gnl_identity *me, struct gnli_link *link)
{
    if (link) {
        int64_t now = gnli_tick_ns();
        if (now == atomic_load_explicit(&link->pumped_ns, memory_order_relaxed) && paired(link)) /* A */
            return false;
        atomic_store_explicit(&link->pumped_ns, now, memory_order_relaxed); /* A */
    }
    gnli_pump(me, gnli_pump_rounds(me), 0);
    return true;
}

void gnli_link_hear(struct gnli_link *link)
{
    int64_t now = gnli_tick_ns();

    if (paired(link) || now == atomic_load_explicit(&link->pumped_ns, memory_order_relaxed)) /* A */
        return;
    atomic_store_explicit(&link->pumped_ns, now, memory_order_relaxed); /* A */
    gnli_pump(link->me, gnli_pump_rounds(link->me), 0);
}

/* A rendezvous sender that does not wait asks whether somebody receives. */
static void count_waiting(struct gnli_link *link, int by)
{
    bool locked = gnli_lock(&link->sending);
    link->waiting = (uint32_t)((int)link->waiting + by);
    if (link->takes_offers) {
        tell(link, false);
        if (by > 0)
            gnli_ring(link->out); /* the other side may poll for that */
    }
    gnli_unlock(&link->sending, locked);
}

/* Until it changes, for a while: each line more that one looks at makes finding out slower. */
static void watch(const _Atomic uint64_t *word, uint64_t seen)
{
    for (unsigned i = 0; i < GLANCES; i++) {
        gnli_pause();
        uint64_t now = atomic_load_explicit(word, memory_order_relaxed); /* A */
        __builtin_prefetch((const char *)(uintptr_t)word + 64);
        if (now != seen)
            return;
    }
}

/*
 * Where the other side writes next what this one waits for; its memory stays until `unhold`. NULL: nowhere.
 */
static const _Atomic uint64_t *hold(struct gnli_link *link, bool receive, void **held, uint64_t *seen)
{
    const _Atomic uint64_t *word = NULL;

    bool locked = gnli_lock(receive ? &link->receiving : &link->sending);
    if (receive && link->in) {
        link->in->held++;
        *held = link->in;
        *seen = 0;
        word = gnli_frames_word(link->in->reader.base, link->in->reader.at);
    } else if (!receive && link->out && link->out->theirs) {
        link->out->loans++;
        *held = link->out;
        *seen = link->out->writer.left;
        word = &link->out->theirs->left.frames;
    }
    gnli_unlock(receive ? &link->receiving : &link->sending, locked);
    return word;
}

static void unhold(struct gnli_link *link, bool receive, void *held)
{
    bool locked = gnli_lock(receive ? &link->receiving : &link->sending);
    if (receive) {
        struct gnli_in *in = held;
        if (--in->held == 0 && in->dropped)
            gnli_in_free(in);
    } else {
        struct gnli_out *out = held;
        if (--out->loans == 0 && out->dropped)
            gnli_out_free(out);
    }
    gnli_unlock(receive ? &link->receiving : &link->sending, locked);
}

static int spin_on(struct gnl_identity *me, struct gnli_link *link, struct gnli_spin *spinning,
                   int64_t deadline, gnli_link_attempt *attempt, void *context, const _Atomic uint64_t *word,
                   uint64_t seen)
{
    int32_t budget = gnli_spin_budget_ns(spinning);
    int64_t end = 0;

    if (budget == 0)
        return -EAGAIN;
    gnli_spin_lag(spinning);
    do {
        for (unsigned i = 0; i < TRIES_A_LOOK; i++) {
            watch(word, seen);
            int result = attempt(me, link, context);
            if (result != -EAGAIN) {
                gnli_spin_waited(spinning, 0, false);
                return result;
            }
        }
        if (end == 0) {
            end = gnli_now_ns() + budget;
            end = end < deadline ? end : deadline;
        }
    } while (gnli_now_ns() < end);
    return -EAGAIN;
}

static int spin(struct gnl_identity *me, struct gnli_link *link, bool receive, int64_t deadline,
                gnli_link_attempt *attempt, void *context)
{
    struct gnli_spin *spinning = receive ? &link->in_spin : &link->out_spin;
    uint64_t seen;
    void *held;

    const _Atomic uint64_t *word = hold(link, receive, &held, &seen);
    if (!word)
        return -EAGAIN;
    int result = spin_on(me, link, spinning, deadline, attempt, context, word, seen);
    unhold(link, receive, held);
    return result;
}

static int sleep_on(struct gnl_identity *me, struct gnli_link *link, int64_t deadline,
                    gnli_link_attempt *attempt, void *context)
{
    for (int by = 1;; by = 0) {
        uint64_t seen = gnli_pump_rounds(me);
        arm(me, link, by);
        int result = usable(me, link);
        if (result == 0)
            result = attempt(me, link, context);
        if (result != -EAGAIN)
            return result;
        int64_t now = gnli_now_ns();
        if (now >= deadline)
            return -ETIMEDOUT;
        gnli_pump(me, seen, deadline - now < GNLI_LINK_LOOK_NS ? deadline : now + GNLI_LINK_LOOK_NS);
        /* What it was woken for, before it says that it sleeps again: the barrier takes its time. */
        result = usable(me, link);
        if (result == 0)
            result = attempt(me, link, context);
        if (result != -EAGAIN)
            return result;
    }
}

int gnli_link_wait(struct gnl_identity *me, struct gnli_link *link, bool receive, int64_t timeout,
                   gnli_link_attempt *attempt, void *context)
{
    struct gnli_spin *spinning = !link ? NULL : receive ? &link->in_spin : &link->out_spin;

    if (pump_now_and_then(me, link)) {
        int result = attempt(me, link, context);
        if (result != -EAGAIN)
            return result;
    }
    if (timeout == GNL_NOWAIT)
        return -EAGAIN;
    int64_t deadline = gnli_deadline_ns(timeout);
    if (link && receive)
        count_waiting(link, 1);
    int result = link && paired(link) ? spin(me, link, receive, deadline, attempt, context) : -EAGAIN;
    if (result == -EAGAIN) {
        int64_t start = gnli_now_ns();
        result = sleep_on(me, link, deadline, attempt, context);
        arm(me, link, -1);
        if (spinning)
            gnli_spin_waited(spinning, gnli_now_ns() - start, false);
    }
    if (link && receive)
        count_waiting(link, -1);
    return result;
}

/* ---- meeting ---- */

static int connect_now(struct gnl_identity *me, struct gnli_link *link)
{
    pthread_mutex_lock(&me->lock);
    bool locked = gnli_lock(&link->sending);
    int result = gnli_link_connect(me, link);
    gnli_unlock(&link->sending, locked);
    pthread_mutex_unlock(&me->lock);
    return result;
}

void gnli_watch_names(struct gnl_identity *me)
{
    char path[64];

    if (me->appear >= 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", me->claim.directory);
    me->appear = gnli_above_standard(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (me->appear >= 0) {
        inotify_add_watch(me->appear, path, IN_MOVED_TO);
        gnli_watch(me, me->appear, GNLI_APPEAR_ID, true);
    }
}

int gnli_link_met(struct gnl_identity *me, struct gnli_link *link, int64_t timeout)
{
    /* Who calls many and waits for none learns here of those that have ended. */
    gnli_pump(me, gnli_pump_rounds(me), 0);
    int result = connect_now(me, link);

    if ((result != -ENOENT && result != -EAGAIN) || timeout == GNL_NOWAIT)
        return result;
    int64_t deadline = gnli_deadline_ns(timeout);
    pthread_mutex_lock(&me->lock);
    gnli_watch_names(me);
    pthread_mutex_unlock(&me->lock);
    for (;;) {
        uint64_t seen = gnli_pump_rounds(me);
        int unusable = usable(me, link);
        if (unusable < 0)
            return unusable;
        result = connect_now(me, link);
        int64_t now = gnli_now_ns();
        if ((result != -ENOENT && result != -EAGAIN) || now >= deadline)
            return result;
        gnli_pump(me, seen, deadline - now < GNLI_NOBODY_YET_NS ? deadline : now + GNLI_NOBODY_YET_NS);
    }
}
