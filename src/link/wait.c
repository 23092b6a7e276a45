/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking and waking on direct links.
 *
 * Who is going to sleep says so in memory of its own (`asleep` becomes a new odd value), has the kernel run
 * a barrier in all threads of the other side, looks once more, and sleeps on the bell. Who publishes or
 * leaves a frame looks at `asleep` after that, with no barrier of its own, and rings once for each value:
 * so while both sides are busy there is neither a system call nor an ordered store.
 *
 *   A: relaxed: counts, and what the kernel's calls order.
 *   E: who ends in good order says so (release) after its last frame; the other looks (acquire): link/send.c.
 *   W: seq_cst, or relaxed and ordered by the sleeper's barrier: it stores `asleep`, then looks at the
 *      frames; the other stores a frame's word or a count, then looks at `asleep` (link/link.h, W).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"

#define LOOK_AROUND_NS ((int64_t)100000000)
#define SHORT_MS       5
#define EVENTS         16
#define ACCEPTS        64 /* at a time */
#define CALLERS_MAX    64
#define GLANCES        32 /* at the word that has to change, between two attempts */
#define TRIES_A_LOOK   4  /* at the clock, while spinning */

enum { INTERRUPT_ID = 0, LISTENER_ID = 1, APPEAR_ID = 2, PART_BELL = 1, PART_LIFE = 2, PARTS = 4 };

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
    bool asleep = link->asleep > 0 ||
                  atomic_load_explicit(&link->me->anyone, memory_order_relaxed) > 0 ||    /* A */
                  atomic_load_explicit(&link->descriptor, memory_order_relaxed) >= 0 ||   /* A */
                  atomic_load_explicit(&link->me->descriptor, memory_order_relaxed) >= 0; /* A */
    uint32_t value = atomic_load_explicit(&own->asleep, memory_order_relaxed);            /* W */
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
        gnli_unlock(&each->sending, locked);
    }
    pthread_mutex_unlock(&me->lock);
    if (by >= 0)
        gnli_process_barrier();
}

/* ---- what the kernel tells ---- */

int gnli_watch(struct gnl_identity *me, int descriptor, uint64_t id, bool readable)
{
    struct epoll_event event = { .events = readable ? EPOLLIN : 0, .data.u64 = id };

    if (descriptor < 0)
        return 0;
    int result = epoll_ctl(me->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
    return result == 0 ? gnli_process_close_in_child(descriptor) : result;
}

/* Not for ever: another may write as fast as this reads. */
static void drain(int descriptor)
{
    char bytes[4096];
    ssize_t got = sizeof bytes;

    for (unsigned i = 0; i < 32 && (got == sizeof bytes || (got < 0 && errno == EINTR)); i++)
        got = read(descriptor, bytes, sizeof bytes);
}

static void unwatch(struct gnl_identity *me, int descriptor)
{
    if (descriptor >= 0)
        epoll_ctl(me->epoll, EPOLL_CTL_DEL, descriptor, NULL);
}

static void caller_ends(struct gnl_identity *me, struct gnli_caller *caller, bool close_it)
{
    for (struct gnli_caller **link = &me->callers; *link; link = &(*link)->next)
        if (*link == caller) {
            *link = caller->next;
            break;
        }
    me->callers_count--;
    unwatch(me, caller->socket);
    if (close_it) {
        gnli_shut(&caller->socket);
        gnli_shut(&caller->life);
    }
    free(caller);
}

/* What cannot be made now may be later: it waits where it is. */
static bool is_short(int result)
{
    return result == -EMFILE || result == -ENFILE;
}

/* -EAGAIN, or short: it waits still; else it is no caller any more. */
static int hear_caller(struct gnl_identity *me, struct gnli_caller *caller)
{
    struct gnli_in *in;

    int result = gnli_in_open(&in, me, caller->socket, caller->life, &caller->peer);
    caller->mute = result == -EAGAIN;
    if (is_short(result))
        me->is_short = true;
    if (is_short(result) || (caller->mute && !gnli_hung_up(caller->socket)))
        return result;
    caller_ends(me, caller, result != 0);
    if (result == 0)
        gnli_link_attach(me, in);
    return 0;
}

/* Who says nothing makes room: the one that came first. */
static void drop_mute(struct gnl_identity *me)
{
    struct gnli_caller *first = NULL;

    for (struct gnli_caller *caller = me->callers; caller; caller = caller->next)
        if (caller->mute)
            first = caller;
    if (first && hear_caller(me, first) == -EAGAIN)
        caller_ends(me, first, true);
}

static void accept_one(struct gnl_identity *me, int socket)
{
    struct gnli_caller *caller = calloc(1, sizeof *caller);
    socklen_t size = sizeof caller->peer;

    if (!caller || getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &caller->peer, &size) != 0) {
        close(socket);
        free(caller);
        return;
    }
    caller->socket = socket;
    caller->life = gnli_pidfd_of(socket);
    caller->id = me->next_id += PARTS;
    caller->next = me->callers;
    me->callers = caller;
    me->callers_count++;
    if (gnli_watch(me, socket, caller->id, true) < 0 ||
        (caller->life >= 0 && gnli_process_close_in_child(caller->life) < 0)) {
        caller_ends(me, caller, true);
        return;
    }
    hear_caller(me, caller);
    if (me->callers_count > CALLERS_MAX)
        drop_mute(me);
}

static void accept_some(struct gnl_identity *me)
{
    for (unsigned i = 0; i < ACCEPTS && !me->is_short; i++) {
        int socket =
            gnli_above_standard(accept4(me->claim.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (socket < 0) {
            me->is_short = is_short(-errno);
            break;
        }
        accept_one(me, socket);
    }
    if (me->is_short)
        drop_mute(me);
}

static void in_event(struct gnl_identity *me, struct gnli_in *in, uint64_t part, uint32_t events)
{
    if (part == PART_BELL) {
        drain(in->bell);
        if (!(events & EPOLLHUP))
            return;
        unwatch(me, in->bell); /* its writer is gone: the socket tells */
        return;
    }
    atomic_store_explicit(&in->hung, true, memory_order_relaxed); /* A */
    unwatch(me, in->socket);
    unwatch(me, in->life);
}

/* The sending lock is held. */
static void out_event(struct gnl_identity *me, struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    atomic_store_explicit(&out->hung, true, memory_order_relaxed); /* A */
    unwatch(me, out->socket);
    unwatch(me, out->life);
    bool locked = gnli_lock(&link->receiving);
    if (!out->opposite && !link->in) /* no half of the other side's tells it to who receives */
        gnli_out_ends(link);
    gnli_unlock(&link->receiving, locked);
}

/* The identity's lock is held. */
static void handle(struct gnl_identity *me, uint64_t id, uint32_t events)
{
    uint64_t whole = id / PARTS * PARTS, part = id % PARTS;

    if (id == INTERRUPT_ID) {
        drain(me->interrupt);
        return;
    }
    if (id == APPEAR_ID) {
        drain(me->appear);
        return;
    }
    if (id == LISTENER_ID) {
        accept_some(me);
        return;
    }
    for (struct gnli_caller *caller = me->callers; caller; caller = caller->next)
        if (caller->id == whole) {
            hear_caller(me, caller);
            return;
        }
    for (struct gnli_link *link = me->links; link; link = link->next) {
        bool locked = gnli_lock(&link->sending);
        struct gnli_out *out = link->out;
        bool mine = out && out->id == whole;
        if (mine)
            out_event(me, link);
        gnli_unlock(&link->sending, locked);
        locked = gnli_lock(&link->receiving);
        for (struct gnli_in *in = link->in; in && !mine; in = in->next)
            if (in->id == whole) {
                in_event(me, in, part, events);
                mine = true;
            }
        gnli_unlock(&link->receiving, locked);
        if (mine)
            return;
    }
}

static int wait_for_events(struct gnl_identity *me, struct epoll_event *events, int64_t deadline)
{
    int64_t left = deadline - gnli_now_ns();
    struct timespec until = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };

    if (left <= 0)
        return epoll_wait(me->epoll, events, EVENTS, 0);
    int count = epoll_pwait2(me->epoll, events, EVENTS, &until, NULL);
    return count < 0 && errno == ENOSYS ? epoll_wait(me->epoll, events, EVENTS, (int)(left / 1000000) + 1)
                                        : count;
}

uint64_t gnli_pump_rounds(struct gnl_identity *me)
{
    pthread_mutex_lock(&me->waking);
    uint64_t rounds = me->rounds;
    pthread_mutex_unlock(&me->waking);
    return rounds;
}

/* Has the other side made a half that has not ended? */
static bool lives(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->receiving), found = false;

    for (struct gnli_in *in = link->in; in && !found; in = in->next)
        found = !atomic_load_explicit(&in->hung, memory_order_relaxed); /* A */
    gnli_unlock(&link->receiving, locked);
    return found;
}

/* Where the opposite half could not be made at once: too many were calling, or descriptors were short. */
static void connect_back(struct gnl_identity *me)
{
    for (struct gnli_link *link = me->links; link; link = link->next) {
        bool locked = gnli_lock(&link->sending);
        if (!link->out && lives(link))
            gnli_link_connect(me, link);
        gnli_unlock(&link->sending, locked);
    }
}

void gnli_pump(struct gnl_identity *me, uint64_t seen, int64_t deadline)
{
    struct epoll_event events[EVENTS];

    pthread_mutex_lock(&me->waking);
    bool lead = !me->led && me->rounds == seen;
    if (lead) {
        me->led = true;
    } else if (me->rounds == seen && deadline > 0) {
        struct timespec until = { .tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000 };
        pthread_cond_timedwait(&me->woken, &me->waking, &until);
    }
    pthread_mutex_unlock(&me->waking);
    if (!lead)
        return;
    /* Those who wait for a descriptor to be free would have it told again and again. */
    if (me->is_short && deadline > gnli_now_ns())
        poll(NULL, 0, SHORT_MS);
    int count = wait_for_events(me, events, deadline);
    pthread_mutex_lock(&me->lock);
    me->is_short = false;
    for (int i = 0; i < count; i++)
        handle(me, events[i].data.u64, events[i].events);
    connect_back(me);
    pthread_mutex_unlock(&me->lock);
    pthread_mutex_lock(&me->waking);
    me->led = false;
    me->rounds++;
    pthread_cond_broadcast(&me->woken);
    pthread_mutex_unlock(&me->waking);
}

void gnli_out_goodbye(struct gnli_out *out)
{
    atomic_store_explicit(&out->memory.own->ended, 1, memory_order_release); /* E */
    ssize_t written = write(out->bell[1], "", 1);
    (void)written;
}

void gnli_link_interrupt(struct gnl_identity *me)
{
    uint64_t one = 1;
    ssize_t written = write(me->interrupt, &one, sizeof one);
    (void)written;
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

/* A rendezvous sender that does not wait asks whether somebody receives. */
static void count_waiting(struct gnli_link *link, int by)
{
    bool locked = gnli_lock(&link->sending);
    link->waiting = (uint32_t)((int)link->waiting + by);
    if (link->takes_offers)
        tell(link, false);
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
                gnli_spin_waited(spinning, 0);
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
        gnli_pump(me, seen, deadline - now < LOOK_AROUND_NS ? deadline : now + LOOK_AROUND_NS);
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
            gnli_spin_waited(spinning, gnli_now_ns() - start);
    }
    if (link && receive)
        count_waiting(link, -1);
    return result;
}

/* ---- meeting ---- */

#define NOBODY_YET_NS \
    ((int64_t)20000000) /* how often to look for a name where nothing tells that it appears */

static int connect_now(struct gnl_identity *me, struct gnli_link *link)
{
    pthread_mutex_lock(&me->lock);
    bool locked = gnli_lock(&link->sending);
    int result = gnli_link_connect(me, link);
    gnli_unlock(&link->sending, locked);
    pthread_mutex_unlock(&me->lock);
    return result;
}

/* From now on a name that appears in the directory wakes who waits. */
static void watch_names(struct gnl_identity *me)
{
    char path[64];

    pthread_mutex_lock(&me->lock);
    if (me->appear < 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", me->claim.directory);
        me->appear = gnli_above_standard(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (me->appear >= 0) {
            inotify_add_watch(me->appear, path, IN_MOVED_TO);
            gnli_watch(me, me->appear, APPEAR_ID, true);
        }
    }
    pthread_mutex_unlock(&me->lock);
}

int gnli_link_met(struct gnl_identity *me, struct gnli_link *link, int64_t timeout)
{
    int result = connect_now(me, link);

    if ((result != -ENOENT && result != -EAGAIN) || timeout == GNL_NOWAIT)
        return result;
    int64_t deadline = gnli_deadline_ns(timeout);
    for (watch_names(me);;) {
        uint64_t seen = gnli_pump_rounds(me);
        int unusable = usable(me, link);
        if (unusable < 0)
            return unusable;
        result = connect_now(me, link);
        int64_t now = gnli_now_ns();
        if ((result != -ENOENT && result != -EAGAIN) || now >= deadline)
            return result;
        gnli_pump(me, seen, deadline - now < NOBODY_YET_NS ? deadline : now + NOBODY_YET_NS);
    }
}

/* ---- pollable descriptors ---- */

/*
 * A descriptor is an eventfd that a helper thread raises while a receive would not block. It lets itself be
 * woken like any sleeper, and looks around like one.
 */
static void raise_or_lower(_Atomic int *descriptor, bool *raised, bool receivable)
{
    int event = atomic_load_explicit(descriptor, memory_order_relaxed); /* A */
    uint64_t count = 1;

    if (event < 0 || receivable == *raised)
        return;
    ssize_t done = receivable ? write(event, &count, sizeof count) : read(event, &count, sizeof count);
    if (done == sizeof count || errno == EAGAIN)
        *raised = receivable;
}

/* The identity's lock is held. */
static bool look_at_descriptors(struct gnl_identity *me)
{
    bool any = false;

    for (struct gnli_link *link = me->links; link; link = link->next) {
        raise_or_lower(&link->descriptor, &link->raised, gnli_link_receivable(link, true));
        any = any || gnli_link_receivable(link, false);
    }
    raise_or_lower(&me->descriptor, &me->raised, any);
    return any;
}

static void *help(void *context)
{
    struct gnl_identity *me = context;

    while (!atomic_load_explicit(&me->closing, memory_order_relaxed)) { /* A */
        uint64_t seen = gnli_pump_rounds(me);
        pthread_mutex_lock(&me->lock);
        for (struct gnli_link *link = me->links; link; link = link->next)
            if (!link->raised)
                gnli_link_tell(link, true);
        pthread_mutex_unlock(&me->lock);
        gnli_process_barrier();
        pthread_mutex_lock(&me->lock);
        look_at_descriptors(me);
        pthread_mutex_unlock(&me->lock);
        gnli_pump(me, seen, gnli_now_ns() + LOOK_AROUND_NS);
    }
    return NULL;
}

/* Under the identity's lock. */
static int make_descriptor(struct gnl_identity *me, _Atomic int *descriptor)
{
    int event = gnli_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (event < 0)
        return gnli_fail_errno(errno, "%s: no pollable descriptor", me->subject);
    if (!me->has_helper) {
        int error = gnli_thread_start(&me->helper, help, me);
        if (error != 0) {
            close(event);
            return gnli_fail_errno(error, "%s: cannot start the thread for pollable descriptors",
                                   me->subject);
        }
        me->has_helper = true;
    }
    if (gnli_process_close_in_child(event) < 0) {
        close(event);
        return gnli_fail_plain(-ENOMEM, me->subject);
    }
    atomic_store_explicit(descriptor, event, memory_order_relaxed); /* A */
    look_at_descriptors(me);
    gnli_link_interrupt(me);
    return event;
}

static int descriptor_of(struct gnl_identity *me, _Atomic int *descriptor)
{
    gnli_pump(me, gnli_pump_rounds(me), 0);
    pthread_mutex_lock(&me->lock);
    int event = atomic_load_explicit(descriptor, memory_order_relaxed); /* A */
    if (event < 0)
        event = make_descriptor(me, descriptor);
    pthread_mutex_unlock(&me->lock);
    return event;
}

int gnli_identity_descriptor(struct gnl_identity *me)
{
    return descriptor_of(me, &me->descriptor);
}

int gnli_link_fd(gnl_port *port)
{
    return descriptor_of(gnli_link_of(port)->me, &gnli_link_of(port)->descriptor);
}

void gnli_identity_received(struct gnl_identity *me, struct gnli_link *link)
{
    if (atomic_load_explicit(&me->descriptor, memory_order_relaxed) < 0 &&            /* A */
        (!link || atomic_load_explicit(&link->descriptor, memory_order_relaxed) < 0)) /* A */
        return;
    if (link && gnli_link_receivable(link, true))
        return;
    pthread_mutex_lock(&me->lock);
    bool any = look_at_descriptors(me);
    pthread_mutex_unlock(&me->lock);
    if (!any || link)
        gnli_link_interrupt(me); /* the helper says that it sleeps again */
}
