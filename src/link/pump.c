/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel tells of the others: who calls, hellos, bells, hang-ups. One thread of those that wait
 * asks, and tells the rest when it has heard something.
 *
 *   A: relaxed: marks, under the identity's lock or for whoever looks next.
 *   E: who ends in good order says so (release) after its last frame; the other looks (acquire): link/send.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "life/process.h"
#include "link/link.h"

#define SHORT_MS    5
#define EVENTS      16
#define ACCEPTS     64 /* at a time */
#define CALLERS_MAX 64
#define WAITING_MAX 256 /* callers that wait for earlier lives of their names to be received */

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
    me->callers_waiting -= caller->name[0] != '\0';
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

/* What it has said stays unread: only its end is news. */
static void watch_end(struct gnl_identity *me, struct gnli_caller *caller)
{
    struct epoll_event event = { .data.u64 = caller->id };

    epoll_ctl(me->epoll, EPOLL_CTL_MOD, caller->socket, &event);
}

/* -EAGAIN, -EBUSY, or short: it waits still; else it is no caller any more. */
static int hear_caller(struct gnl_identity *me, struct gnli_caller *caller)
{
    struct gnli_in *in;
    bool waited = caller->name[0] != '\0';

    int result = gnli_in_open(&in, me, caller);
    /* Asked once: who has gone by now may have spoken just before; who goes later is heard then. */
    bool gone = result == -EAGAIN && gnli_hung_up(caller->socket);
    if (gone)
        result = gnli_in_open(&in, me, caller);
    else if (caller->doubtful)
        watch_end(me, caller);
    caller->mute = result == -EAGAIN;
    if (is_short(result))
        me->is_short = true;
    if (result == -EBUSY && !waited) {
        me->callers_waiting++;
        unwatch(me, caller->socket);
    }
    if (result == -EBUSY || is_short(result) || (caller->mute && !gone))
        return result;
    caller_ends(me, caller, result != 0);
    if (result == 0)
        gnli_link_attach(me, in);
    return 0;
}

/* Of those that wait for earlier lives of their name, the first for which there is room. */
static struct gnli_caller *first_waiting(struct gnl_identity *me)
{
    struct gnli_caller *first = NULL;

    for (struct gnli_caller *caller = me->callers; caller; caller = caller->next)
        if (caller->name[0] != '\0' && !gnli_link_full(me, caller->name))
            first = caller;
    return first;
}

static void hear_waiting(struct gnl_identity *me)
{
    struct gnli_caller *caller;

    while (me->callers_waiting > 0 && (caller = first_waiting(me)))
        if (hear_caller(me, caller) < 0)
            break;
}

/*
 * Who says nothing makes room: the one that came first. Once it can send no more, what it may have said in
 * the meantime is there.
 */
static void drop_mute(struct gnl_identity *me)
{
    struct gnli_caller *first = NULL;

    for (struct gnli_caller *caller = me->callers; caller; caller = caller->next)
        if (caller->mute)
            first = caller;
    if (!first)
        return;
    shutdown(first->socket, SHUT_RD);
    if (hear_caller(me, first) == -EAGAIN)
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
    caller->id = me->next_id += GNLI_PARTS;
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
    me->is_short = me->is_short || me->callers_waiting >= WAITING_MAX;
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
    if (part == GNLI_PART_BELL) {
        drain(in->bell);
        if (!(events & EPOLLHUP))
            return;
        unwatch(me, in->bell); /* its writer is gone: the socket tells */
        return;
    }
    atomic_store_explicit(&in->hung, true, memory_order_relaxed); /* A */
    me->ended = true;
    unwatch(me, in->socket);
    unwatch(me, in->life);
}

/* The sending lock is held. */
static void out_event(struct gnl_identity *me, struct gnli_out *out)
{
    atomic_store_explicit(&out->hung, true, memory_order_relaxed); /* A */
    me->ended = true;
    unwatch(me, out->socket);
    unwatch(me, out->life);
}

/* The identity's lock is held. */
static void handle(struct gnl_identity *me, uint64_t id, uint32_t events)
{
    uint64_t whole = id / GNLI_PARTS * GNLI_PARTS, part = id % GNLI_PARTS;

    if (id == GNLI_INTERRUPT_ID) {
        drain(me->interrupt);
        return;
    }
    if (id == GNLI_APPEAR_ID) {
        drain(me->appear);
        return;
    }
    if (id == GNLI_LISTENER_ID) {
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
            out_event(me, out);
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
    int count = gnli_epoll_wait(me->epoll, events, EVENTS, deadline);
    pthread_mutex_lock(&me->lock);
    me->is_short = false;
    for (int i = 0; i < count; i++)
        handle(me, events[i].data.u64, events[i].events);
    if (me->ended)
        gnli_links_tidy(me);
    hear_waiting(me);
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
