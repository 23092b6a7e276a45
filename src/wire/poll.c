/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to poll for: two epoll sets. That of receiving has the input and the bell. That of sending has the
 * output, or, while as many messages are under way as the capacity allows, the credit: which of the two is
 * settled whenever somebody looks, and undone when the other side has said something.
 */
#include "wire/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "memory/file.h"
#include "wire/stream.h"

#define REOPEN_NS 20000000 /* no event tells that somebody reads a FIFO */

static int new_set(void)
{
    int set = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    if (set < 0)
        return -errno;
    int result = gnli_wire_own(set);
    if (result < 0)
        close(set);
    return result < 0 ? result : set;
}

/* In the set with these events, whether it was there before or not. -1 is fine. */
static int watch(int set, int descriptor, uint32_t events)
{
    struct epoll_event event = { .events = events };

    if (descriptor < 0 || epoll_ctl(set, EPOLL_CTL_MOD, descriptor, &event) == 0)
        return 0;
    return errno == ENOENT && epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

static int output_of(struct gnli_wire *wire)
{
    return atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
}

static int input_of(struct gnli_wire *wire)
{
    return atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
}

/* ---- room ---- */

void gnli_wire_unsettle(struct gnli_wire *wire)
{
    int room = atomic_load_explicit(&wire->room, memory_order_relaxed); /* A */

    if (room >= 0)
        watch(room, output_of(wire), EPOLLOUT);
}

/* A FIFO that nobody reads is opened once somebody does; until then the timer has the set looked at. */
static void open_output(struct gnli_wire *wire)
{
    struct itimerspec soon = { .it_value.tv_nsec = REOPEN_NS };
    uint64_t times;

    if (wire->timer < 0 || output_of(wire) >= 0)
        return;
    if (read(wire->timer, &times, sizeof times) < 0 || wire->transport->put(wire, NULL, 0) == -EAGAIN)
        timerfd_settime(wire->timer, 0, &soon, NULL);
}

/* Before that a large message has to wait for the other's hello. */
static bool accepted(struct gnli_wire *wire)
{
    return wire->bytes || !wire->transport->stream ||
           atomic_load_explicit(&wire->met, memory_order_relaxed); /* A */
}

/* The other's hello is nothing to receive. */
static int hear_hello(struct gnli_wire *wire)
{
    return accepted(wire) ? 0 : gnli_stream_meet(wire);
}

/* Is it the other side's word that is wanted? Unsettled by who reads that: so it is settled, then asked. */
static bool settle(struct gnli_wire *wire)
{
    int room = atomic_load_explicit(&wire->room, memory_order_relaxed); /* A */

    if (!accepted(wire)) {
        watch(room, output_of(wire), gnli_wire_rests(wire) ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return true;
    }
    bool full = !wire->bytes && gnli_wire_full(wire) && gnli_credit_read(wire) == 0 && gnli_wire_full(wire);
    watch(room, output_of(wire), full ? 0 : EPOLLOUT);
    watch(room, wire->credit, full ? EPOLLIN : 0);
    if (full && !gnli_wire_full(wire)) {
        watch(room, output_of(wire), EPOLLOUT);
        full = false;
    }
    return full;
}

static unsigned ready_to_send(struct gnli_wire *wire)
{
    int heard = hear_hello(wire);
    pthread_mutex_lock(&wire->sending);
    int result = gnli_wire_flush(wire);
    open_output(wire);
    bool full = settle(wire);
    struct pollfd entries[2] = { { .fd = output_of(wire), .events = POLLOUT }, { .fd = wire->credit } };
    poll(entries, 2, 0);
    if (entries[1].revents)
        gnli_credit_read(wire); /* from now on no message can be sent */
    pthread_mutex_unlock(&wire->sending);
    bool refused = heard < 0 && heard != -EAGAIN;
    bool failed = refused || (entries[0].revents & (POLLERR | POLLHUP)) || entries[1].revents;
    /* While a message that has begun is not all written (-EAGAIN) the next one has no room. */
    bool free = result == 0 && !full && entries[0].revents & POLLOUT;
    bool ready = failed || (result < 0 && result != -EAGAIN) || free;
    return (ready ? GNL_WRITABLE : 0) | (failed ? GNL_ENDED : 0);
}

static int make_room(struct gnli_wire *wire)
{
    int room = new_set(), result = room < 0 ? room : 0;

    if (result == 0 && wire->transport->reopen) {
        wire->timer = gnli_above_standard(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        result = wire->timer < 0 ? -errno : gnli_wire_own(wire->timer);
        if (result == 0)
            result = watch(room, wire->timer, EPOLLIN);
    }
    if (result < 0) {
        gnli_wire_disown(room);
        gnli_wire_disown(wire->timer);
        wire->timer = -1;
        return result;
    }
    atomic_store_explicit(&wire->room, room, memory_order_relaxed); /* A */
    return room;
}

/* ---- what there is to receive ---- */

static unsigned ready_to_receive(struct gnli_wire *wire)
{
    struct pollfd entry = { .fd = input_of(wire), .events = POLLIN | POLLRDHUP };

    gnli_wire_hurry(wire); /* the set tells of that, too */
    hear_hello(wire);
    poll(&entry, 1, 0);
    pthread_mutex_lock(&wire->receiving);
    gnli_wire_ring(wire);
    bool broken = wire->receive_error != 0, rung = wire->rung;
    pthread_mutex_unlock(&wire->receiving);
    bool ended = broken || entry.revents & (POLLERR | POLLHUP | POLLRDHUP);
    bool ready = ended || (entry.revents & POLLIN) || rung;
    return (ready ? GNL_READABLE : 0) | (ended ? GNL_ENDED : 0);
}

/* `receiving` is held. */
static int make_set(struct gnli_wire *wire)
{
    int result = 0;

    if (wire->transport->reopen && input_of(wire) < 0)
        result = wire->transport->reopen(wire);
    int set = result < 0 ? result : new_set();
    if (set < 0)
        return set;
    result = watch(set, input_of(wire), EPOLLIN);
    if (result == 0)
        result = gnli_wire_bell(wire);
    if (result == 0)
        result = watch(set, atomic_load_explicit(&wire->bell, memory_order_acquire), EPOLLIN); /* B */
    if (result < 0) {
        gnli_wire_disown(set);
        return result;
    }
    atomic_store_explicit(&wire->set, set, memory_order_relaxed); /* A */
    return set;
}

/* ---- the operations ---- */

int gnli_wire_fd(gnl_port *port, bool sending)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    pthread_mutex_t *lock = sending ? &wire->sending : &wire->receiving;

    pthread_mutex_lock(lock);
    int made = atomic_load_explicit(sending ? &wire->room : &wire->set, memory_order_relaxed); /* A */
    if (made < 0)
        made = sending ? make_room(wire) : make_set(wire);
    pthread_mutex_unlock(lock);
    if (made >= 0 && sending) {
        ready_to_send(wire);
    } else {
        gnli_wire_hurry(wire);
        hear_hello(wire);
    }
    return made;
}

unsigned gnli_wire_ready(gnl_port *port, unsigned events)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    return (events & GNL_READABLE ? ready_to_receive(wire) : 0) |
           (events & GNL_WRITABLE ? ready_to_send(wire) : 0);
}

int gnli_wire_own_fd(gnl_port *port)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    return wire->transport->reopen ? -1 : input_of(wire); /* else another may take its place */
}

void gnli_wire_joined(gnl_port *port)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    hear_hello(wire);
    pthread_mutex_lock(&wire->receiving);
    gnli_memberships_tell(&port->memberships, GNLI_RAISED, wire->rung);
    pthread_mutex_unlock(&wire->receiving);
    pthread_mutex_lock(&wire->sending);
    if (wire->rest_memory)
        gnli_memberships_tell(&port->memberships, GNLI_WRITES, true);
    pthread_mutex_unlock(&wire->sending);
}
