/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/errors.h"
#include "wire/stream.h"

/* ---- the rest of what has begun ---- */

/* While the port keeps a rest its descriptor is readable when that can be written: any call does it. */
static void watch(struct gnli_wire *wire, bool rest)
{
    int set = atomic_load_explicit(&wire->set, memory_order_relaxed);       /* A */
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    struct epoll_event event = { .events = rest ? EPOLLIN | EPOLLOUT : EPOLLIN };

    if (rest == wire->watched || wire->transport->reopen)
        return;
    wire->watched = rest;
    if (set >= 0)
        epoll_ctl(set, EPOLL_CTL_MOD, output, &event);
    gnli_memberships_tell(&wire->port.memberships, GNLI_WRITES, rest);
}

static void drop_rest(struct gnli_wire *wire)
{
    watch(wire, false);
    free(wire->rest_memory);
    wire->rest_memory = NULL;
    wire->rest = NULL;
    wire->rest_size = wire->head_left = 0;
}

/* Writes a frame of a message, or bytes: how many bytes of the message went. */
static ssize_t put(struct gnli_wire *wire, const char *data, size_t size)
{
    size_t now = !wire->bytes && size > GNLI_FRAME_DATA ? GNLI_FRAME_DATA : size;
    struct gnli_frame frame = { .size = (uint32_t)now, .rest = (uint32_t)(size - now) };
    struct iovec parts[2] = { { &frame, sizeof frame }, { (void *)(uintptr_t)data, now } };

    if (wire->transport->stream && !wire->bytes)
        return gnli_stream_put(wire, data, size);
    if (wire->bytes)
        return wire->transport->put(wire, parts + 1, 1);
    ssize_t written = wire->transport->put(wire, parts, now > 0 ? 2 : 1);
    return written < 0 ? written : written - (ssize_t)sizeof frame;
}

int gnli_wire_flush(struct gnli_wire *wire)
{
    while (gnli_wire_rests(wire) && wire->send_error == 0) {
        ssize_t written = put(wire, wire->rest, wire->rest_size);
        if (written == -EAGAIN)
            return -EAGAIN;
        if (written < 0) {
            if (wire->rest_memory) /* who sent it has been told that it was sent */
                gnli_wire_note_lost(wire, EPIPE);
            drop_rest(wire);
            if (wire->transport->reopen)
                return (int)written;
            wire->send_error = (int)written;
            break;
        }
        wire->rest += written;
        wire->rest_size -= (size_t)written;
    }
    drop_rest(wire);
    if (wire->finishing) {
        wire->finishing = false;
        wire->transport->finish(wire);
    }
    return wire->send_error;
}

void gnli_wire_hurry(struct gnli_wire *wire)
{
    pthread_mutex_lock(&wire->sending);
    if (gnli_wire_rests(wire) && gnli_wire_flush(wire) == -EAGAIN) {
        wire->watched = wire->watched && !wire->rest_memory; /* the descriptor may have come since */
        watch(wire, wire->rest_memory != NULL);
    }
    pthread_mutex_unlock(&wire->sending);
}

/* The sender leaves before all is written: the port keeps a copy. `sending` is held. */
static int leave_rest(struct gnli_wire *wire)
{
    assert(gnli_wire_rests(wire));
    char *memory = malloc(wire->rest_size + 1);

    if (!memory) {
        wire->send_error = -EPIPE;
        drop_rest(wire);
        wire->transport->finish(wire);
        return gnli_fail(-ENOMEM,
                         "%s: no memory for the rest of a message that had begun: the conversation ends",
                         wire->port.subject);
    }
    if (wire->rest_size > 0)
        memcpy(memory, wire->rest, wire->rest_size);
    wire->rest = wire->rest_memory = memory;
    watch(wire, true);
    return 0;
}

/* ---- sending ---- */

bool gnli_wire_full(struct gnli_wire *wire)
{
    return wire->capacity > 0 &&
           wire->begun - atomic_load_explicit(&wire->granted, memory_order_relaxed) >= wire->capacity; /* A */
}

static int cannot_count(struct gnli_wire *wire, int code)
{
    if (code == -EBADMSG)
        gnli_fail(code, "%s: the other side breaks the protocol: close the port", wire->port.subject);
    return code;
}

/* May a message of that size begin, as far as capacity and size go? */
static int admit(struct gnli_wire *wire, size_t size)
{
    if (wire->bytes)
        return 0;
    int broken = atomic_load_explicit(&wire->credit_error, memory_order_relaxed); /* A */
    if (broken < 0)
        return cannot_count(wire, broken);
    if (gnli_wire_full(wire) || !atomic_load_explicit(&wire->met, memory_order_relaxed)) { /* A */
        int result = gnli_credit_read(wire);
        if (result < 0)
            return cannot_count(wire, result);
    }
    bool met = atomic_load_explicit(&wire->met, memory_order_relaxed); /* A */
    if (!met && wire->transport->stream) {
        int result = gnli_stream_meet(wire);
        if (result < 0 && result != -EAGAIN)
            return result;
        met = result == 0;
    }
    /* What most receive goes before the other has accepted; what is larger waits for its word. */
    size_t early = wire->transport->stream ? GNLI_STREAM_EARLY : GNL_MESSAGE_MAX_DEFAULT;
    if (!met && size > early && (wire->message_max == 0 || size <= wire->message_max))
        return GNLI_NO_CREDIT;
    size_t limit = gnli_wire_limit(wire);
    if (size > limit)
        return gnli_fail(-EMSGSIZE, "%s: a message of %zu bytes, where message_max is %zu",
                         wire->port.subject, size, limit);
    return gnli_wire_full(wire) ? GNLI_NO_CREDIT : 0;
}

/* One try. 0: all is written, or the rest is there. `sending` is held. */
static int begin(struct gnli_wire *wire, const char *data, size_t size)
{
    int result = gnli_wire_flush(wire);
    if (result == 0)
        result = admit(wire, size);
    if (result < 0)
        return result;
    /* Counted before: the other may receive it at once, and say so. */
    atomic_fetch_add_explicit(&wire->sent, 1, memory_order_relaxed); /* A */
    if (wire->transport->stream && !wire->bytes)
        gnli_stream_head(wire, size);
    ssize_t written = wire->bytes && size == 0 ? 0 : put(wire, data, size);
    if (written < 0) {
        wire->head_left = 0;
        atomic_fetch_sub_explicit(&wire->sent, 1, memory_order_relaxed); /* A */
        return (int)written;
    }
    wire->begun++;
    wire->rest = data + written;
    wire->rest_size = size - (size_t)written;
    return 0;
}

/* Goes on with the message of that number, which has begun. 0: nothing of it is left. */
static int go_on(struct gnli_wire *wire, uint64_t number)
{
    return wire->begun == number ? gnli_wire_flush(wire) : 0; /* else others have begun since */
}

/* Its time is up. */
static int give_up(struct gnli_wire *wire, uint64_t number)
{
    pthread_mutex_lock(&wire->sending);
    int result = go_on(wire, number);
    if (result == -EAGAIN)
        result = leave_rest(wire);
    pthread_mutex_unlock(&wire->sending);
    return result;
}

int gnli_wire_send(gnl_port *port, const void *data, size_t size, int64_t timeout)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    int64_t deadline = gnli_wire_deadline(timeout);
    uint64_t number = 0; /* of my message, once it has begun */
    int result = 0;

    for (;;) {
        pthread_mutex_lock(&wire->sending);
        if (number == 0) {
            result = begin(wire, data, size);
            if (result == 0)
                number = wire->begun;
        }
        if (number != 0)
            result = go_on(wire, number);
        pthread_mutex_unlock(&wire->sending);
        if (result != -EAGAIN && result != GNLI_NO_CREDIT)
            return (int)gnli_wire_verdict(wire, result);
        int waited = gnli_wire_wait(wire, result == -EAGAIN ? GNLI_OUTPUT : GNLI_CREDIT, deadline);
        if (waited < 0)
            return (int)gnli_wire_verdict(wire, number == 0 ? waited : give_up(wire, number));
    }
}

/* ---- many at once ---- */

#define TOGETHER 64 /* messages in one system call */

/* As many as may go together. `sending` is held. */
static size_t gather(struct gnli_wire *wire, const struct iovec *messages, size_t count,
                     uint8_t heads[][sizeof wire->head], struct iovec *parts)
{
    size_t ready = 0;

    while (ready < count && ready < TOGETHER && messages[ready].iov_len < GNLI_FRAME_DATA &&
           (messages[ready].iov_base || messages[ready].iov_len == 0) &&
           admit(wire, messages[ready].iov_len) == 0) {
        gnli_stream_head(wire, messages[ready].iov_len);
        memcpy(heads[ready], wire->head, sizeof wire->head);
        parts[2 * ready] = (struct iovec){ heads[ready], sizeof wire->head };
        parts[2 * ready + 1] = messages[ready];
        ready++;
    }
    wire->head_left = 0;
    return ready;
}

/* So many bytes of these went: how many messages have begun. What is left of the last is the port's. */
static size_t settle(struct gnli_wire *wire, const struct iovec *messages, size_t ready, size_t written)
{
    size_t begun = 0;

    for (; begun < ready && written > 0; begun++) {
        size_t size = messages[begun].iov_len, whole = size + sizeof wire->head;
        if (written < whole) {
            gnli_stream_head(wire, size);
            size_t of_head = written < sizeof wire->head ? written : sizeof wire->head;
            wire->head_left -= of_head;
            wire->rest = (const char *)messages[begun].iov_base + (written - of_head);
            wire->rest_size = size - (written - of_head);
        }
        written -= written < whole ? written : whole;
    }
    wire->begun += begun;
    atomic_fetch_add_explicit(&wire->sent, begun, memory_order_relaxed); /* A */
    return begun;
}

ssize_t gnli_wire_send_many(gnl_port *port, const struct iovec *messages, size_t count)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    struct iovec parts[2 * TOGETHER];
    uint8_t heads[TOGETHER][sizeof wire->head];
    ssize_t begun = 0;

    if (!wire->transport->stream || wire->bytes)
        return 0;
    pthread_mutex_lock(&wire->sending);
    size_t ready = gnli_wire_flush(wire) == 0 ? gather(wire, messages, count, heads, parts) : 0;
    ssize_t written = ready > 0 ? wire->transport->put(wire, parts, (int)(2 * ready)) : 0;
    if (written > 0)
        begun = (ssize_t)settle(wire, messages, ready, (size_t)written);
    if (begun > 0 && gnli_wire_rests(wire) && leave_rest(wire) < 0) {
        atomic_fetch_sub_explicit(&wire->sent, 1, memory_order_relaxed); /* A */
        begun = begun > 1 ? begun - 1 : -ENOMEM; /* those before the one that was cut have gone */
    }
    pthread_mutex_unlock(&wire->sending);
    return begun;
}
