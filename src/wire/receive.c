/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "memory/file.h"
#include "wire/stream.h"

#define BUFFER_BYTES (sizeof(struct gnli_frame) + GNLI_FRAME_DATA)

struct gnli_copy *gnli_copy_new(size_t size, bool clean)
{
    struct gnli_copy *copy = clean ? calloc(1, sizeof *copy + size) : malloc(sizeof *copy + size);

    if (copy)
        *copy = (struct gnli_copy){ .size = size };
    return copy;
}

/* Where a message goes: into a buffer, or a place. */
struct receipt {
    void *data;
    size_t size;
    gnl_message *message; /* NULL: it is copied */
};

void gnli_wire_ring(struct gnli_wire *wire)
{
    uint64_t count = 1;
    bool complete = wire->partial && wire->partial->at == wire->partial->size;
    bool wanted = wire->returned || wire->keeps || wire->ahead || complete || wire->receive_error != 0;

    if (wanted == wire->rung)
        return;
    int bell = atomic_load_explicit(&wire->bell, memory_order_acquire); /* B */
    ssize_t done = bell < 0 ? (ssize_t)sizeof count
                   : wanted ? write(bell, &count, sizeof count)
                            : read(bell, &count, sizeof count);
    if (done != sizeof count)
        return;
    wire->rung = wanted;
    gnli_memberships_tell(&wire->port.memberships, GNLI_RAISED, wanted);
}

int gnli_wire_bell(struct gnli_wire *wire)
{
    if (atomic_load_explicit(&wire->bell, memory_order_acquire) >= 0) /* B */
        return 0;
    int made = gnli_above_standard(eventfd(wire->rung, EFD_CLOEXEC | EFD_NONBLOCK));
    int result = made < 0 ? -errno : gnli_wire_own(made);
    if (result == 0)
        atomic_store_explicit(&wire->bell, made, memory_order_release); /* B */
    else if (made >= 0)
        close(made);
    return result;
}

/* ---- delivering ---- */

static int too_small(struct gnli_wire *wire, size_t size, size_t room)
{
    return gnli_fail(-EMSGSIZE, "%s: the message has %zu bytes, the buffer room for %zu", wire->port.subject,
                     size, room);
}

/* A message in memory: it is the receipt's, or stays where it is. */
static ssize_t deliver_copy(struct gnli_wire *wire, struct gnli_copy *copy, const struct receipt *receipt)
{
    size_t size = copy->size - copy->at;

    if (receipt->message) {
        copy->deliveries++;
        int result = gnli_wire_place(wire, copy, false, receipt->message);
        copy->deliveries -= result < 0;
        return result;
    }
    if (size > receipt->size && !wire->bytes)
        return too_small(wire, size, receipt->size);
    if (size > receipt->size)
        size = receipt->size;
    assert(receipt->data);
    memcpy(receipt->data, copy->data + copy->at, size);
    copy->at += size;
    return (ssize_t)size;
}

static ssize_t deliver_returned(struct gnli_wire *wire, const struct receipt *receipt)
{
    struct gnli_copy *copy = wire->returned, *next = copy->next;

    ssize_t result = deliver_copy(wire, copy, receipt);
    if (result < 0)
        return result;
    if (!receipt->message && copy->at < copy->size) /* bytes, of which some were wanted */
        return result;
    wire->returned = next;
    if (!receipt->message)
        free(copy);
    atomic_fetch_sub_explicit(&wire->returning, 1, memory_order_relaxed);   /* A */
    atomic_fetch_add_explicit(&wire->redelivered, 1, memory_order_relaxed); /* A */
    return result;
}

static void count_received(struct gnli_wire *wire)
{
    atomic_fetch_add_explicit(&wire->received, 1, memory_order_relaxed); /* A */
    gnli_credit_tell(wire, false);
}

/* ---- frames ---- */

static int broken(struct gnli_wire *wire, int code, const char *how)
{
    wire->receive_error = code;
    return gnli_fail(code, "%s: the other side %s: nothing more can be received, close the port",
                     wire->port.subject, how);
}

/* Reads the next frame into the buffer. */
static int read_frame(struct gnli_wire *wire)
{
    if (!wire->buffer)
        wire->buffer = malloc(BUFFER_BYTES + 1);
    if (!wire->buffer)
        return -ENOMEM;
    struct iovec part = { wire->buffer, BUFFER_BYTES + 1 };
    wire->kept_sender = wire->peer;
    ssize_t size = wire->transport->get(wire, &part, 1, &wire->kept_sender);
    if (size < 0)
        return (int)size;
    if (size == 0)
        return wire->receive_error = -EPIPE; /* what it had begun of a message is no message */
    wire->kept = (size_t)size;
    wire->keeps = true;
    return 0;
}

/* Does the frame in the buffer make sense? As numbers first: it may be from anybody. */
static int check_frame(struct gnli_wire *wire, struct gnli_frame *frame)
{
    if (wire->kept < sizeof *frame)
        return broken(wire, -EBADMSG, "breaks the protocol");
    memcpy(frame, wire->buffer, sizeof *frame);
    uint64_t expected = wire->partial ? wire->partial->size - wire->partial->at : 0;
    uint64_t total = (uint64_t)frame->size + frame->rest;
    bool whole = frame->size == GNLI_FRAME_DATA || (frame->size < GNLI_FRAME_DATA && frame->rest == 0);
    if (frame->size != wire->kept - sizeof *frame || !whole || (wire->partial && total != expected))
        return broken(wire, -EBADMSG, "breaks the protocol");
    size_t limit = gnli_wire_limit(wire);
    if (limit < GNL_MESSAGE_MAX_DEFAULT)
        limit = GNL_MESSAGE_MAX_DEFAULT; /* what may be sent to anybody */
    if (!wire->partial && total > limit) {
        if (!atomic_load_explicit(&wire->met, memory_order_relaxed)) /* A */
            gnli_credit_read(wire);
        if (total > limit && total > gnli_wire_limit(wire))
            return broken(wire, -EMSGSIZE, "sends a message that is larger than message_max");
    }
    return 0;
}

/* A message that is whole in the buffer. */
static ssize_t deliver_frame(struct gnli_wire *wire, const char *data, size_t size,
                             const struct receipt *receipt)
{
    if (!receipt->message) {
        if (size > receipt->size)
            return too_small(wire, size, receipt->size);
        assert(receipt->data);
        memcpy(receipt->data, data, size);
    } else {
        struct gnli_copy *copy = gnli_copy_new(size, false);
        if (!copy)
            return -ENOMEM;
        memcpy(copy->data, data, size);
        copy->sender = wire->kept_sender;
        copy->deliveries = 1;
        int result = gnli_wire_place(wire, copy, false, receipt->message);
        if (result < 0) {
            free(copy);
            return result;
        }
    }
    wire->keeps = false;
    count_received(wire);
    return receipt->message ? 0 : (ssize_t)size;
}

/* Puts the frame in the buffer to what has come of its message. */
static int gather(struct gnli_wire *wire, const struct gnli_frame *frame)
{
    if (!wire->partial) {
        wire->partial = gnli_copy_new((size_t)frame->size + frame->rest, false);
        if (!wire->partial)
            return -ENOMEM; /* the frame stays in the buffer */
        wire->partial->sender = wire->kept_sender;
    }
    memcpy(wire->partial->data + wire->partial->at, wire->buffer + sizeof *frame, frame->size);
    wire->partial->at += frame->size;
    wire->keeps = false;
    return 0;
}

/* A message all of whose frames have come. */
static ssize_t deliver_partial(struct gnli_wire *wire, const struct receipt *receipt)
{
    struct gnli_copy *copy = wire->partial;

    copy->at = 0;
    ssize_t result = deliver_copy(wire, copy, receipt);
    if (result < 0) {
        copy->at = copy->size; /* it is complete still */
        return result;
    }
    wire->partial = NULL;
    if (!receipt->message)
        free(copy);
    count_received(wire);
    return result;
}

/* It is where it is wanted. */
static ssize_t deliver_landed(struct gnli_wire *wire)
{
    ssize_t size = (ssize_t)wire->partial->size;

    free(wire->partial);
    wire->partial = NULL;
    wire->landing = NULL;
    count_received(wire);
    return size;
}

/* One message of those that have not been delivered yet; -EAGAIN none is complete. */
static ssize_t next_message(struct gnli_wire *wire, const struct receipt *receipt)
{
    for (;;) {
        struct gnli_frame frame = { 0 };
        struct gnli_copy *partial = wire->partial;
        if (partial && partial->at == partial->size)
            return deliver_partial(wire, receipt);
        int result = wire->receive_error;
        if (result == 0 && !wire->keeps)
            result = read_frame(wire);
        if (result == 0)
            result = check_frame(wire, &frame);
        if (result < 0)
            return result;
        if (!wire->partial && frame.rest == 0)
            return deliver_frame(wire, wire->buffer + sizeof frame, frame.size, receipt);
        result = gather(wire, &frame);
        if (result < 0)
            return result;
    }
}

/* The same where frames are cut anywhere. */
static ssize_t next_of_stream(struct gnli_wire *wire, const struct receipt *receipt)
{
    const char *data;
    size_t size;

    int read = gnli_stream_read(wire, &(struct iovec){ receipt->data, receipt->size }, &data, &size);
    if (read < 0)
        return read;
    if (!data)
        return wire->landing ? deliver_landed(wire) : deliver_partial(wire, receipt);
    wire->kept_sender = wire->peer;
    ssize_t result = deliver_frame(wire, data, size, receipt);
    if (result >= 0)
        gnli_stream_pass(wire, size);
    return result;
}

/* ---- bytes ---- */

static ssize_t next_bytes(struct gnli_wire *wire, const struct receipt *receipt)
{
    struct gnli_copy *copy = receipt->message ? gnli_copy_new(GNLI_FRAME_DATA, false) : NULL;
    struct iovec part = { copy ? copy->data : receipt->data, copy ? GNLI_FRAME_DATA : receipt->size };
    struct gnl_sender sender = wire->peer;

    if (receipt->message && !copy)
        return -ENOMEM;
    ssize_t size = part.iov_len == 0 ? 0 : wire->transport->get(wire, &part, 1, &sender);
    if (size == 0 && part.iov_len > 0)
        size = -EPIPE;
    if (size >= 0 && copy) {
        copy->size = (size_t)size;
        copy->sender = sender;
        copy->deliveries = 1;
        int result = gnli_wire_place(wire, copy, false, receipt->message);
        assert(result == 0); /* there was room, and receivers are kept apart */
        copy = NULL;
    }
    free(copy);
    if (size >= 0)
        atomic_fetch_add_explicit(&wire->received, 1, memory_order_relaxed); /* A */
    return receipt->message && size > 0 ? 0 : size;
}

/* ---- receiving ---- */

/* One try. `receiving` is held. */
static ssize_t receive(struct gnli_wire *wire, const struct receipt *receipt)
{
    ssize_t result = receipt->message ? gnli_wire_room(wire) : 0;

    if (result < 0)
        return result;
    if (wire->returned) {
        gnli_stream_leave(wire);
        result = deliver_returned(wire, receipt);
    } else if (wire->bytes)
        result = next_bytes(wire, receipt);
    else
        result = wire->transport->stream ? next_of_stream(wire, receipt) : next_message(wire, receipt);
    gnli_wire_ring(wire);
    return result;
}

static ssize_t try(struct gnli_wire *wire, const struct receipt *receipt, bool waits)
{
    pthread_mutex_lock(&wire->receiving);
    ssize_t result = receive(wire, receipt);
    if (result == -EAGAIN && !waits)
        gnli_credit_tell(wire, true);
    if (result != -EAGAIN || !waits)
        gnli_stream_leave(wire);
    pthread_mutex_unlock(&wire->receiving);
    return result;
}

/* Tries for as long as going to sleep and being woken would take, if that was enough lately. */
static ssize_t try_for_a_while(struct gnli_wire *wire, const struct receipt *receipt)
{
    int32_t budget_ns = gnli_spin_budget_ns(&wire->spin);
    int64_t end_ns = gnli_now_ns() + budget_ns;
    ssize_t result = try(wire, receipt, true);

    while (result == -EAGAIN && budget_ns > 0 && gnli_now_ns() < end_ns) {
        gnli_pause();
        result = try(wire, receipt, true);
    }
    return result;
}

static void leave(struct gnli_wire *wire)
{
    pthread_mutex_lock(&wire->receiving);
    gnli_stream_leave(wire);
    pthread_mutex_unlock(&wire->receiving);
}

#define SLEEP_MS 128 /* a shorter wait is poll's: SO_RCVTIMEO counts in the kernel's ticks */

/*
 * May the next try wait in the reading, for a part of what is left of the time? Parts are powers of two, so
 * that who receives with the same timeout again and again sets it once.
 */
static bool may_sleep(struct gnli_wire *wire, int64_t deadline)
{
    if (!wire->transport->sleeps || !__libc_single_threaded || gnli_wire_rests(wire) || deadline == 0)
        return false;
    uint32_t part_ms = 0;
    if (deadline != GNLI_NEVER) {
        int64_t left_ms = (deadline - gnli_now_ns()) / 1000000;
        if (left_ms < SLEEP_MS)
            return false;
        for (part_ms = SLEEP_MS; part_ms <= left_ms / 2 && part_ms < SLEEP_MS << 20;)
            part_ms *= 2;
    }
    struct timeval patience = { .tv_sec = part_ms / 1000, .tv_usec = (suseconds_t)(part_ms % 1000) * 1000 };
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
    if (!wire->blocking && fcntl(input, F_SETFL, 0) != 0)
        return false;
    wire->blocking = true;
    if (part_ms != wire->patience_ms &&
        setsockopt(input, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return false;
    wire->patience_ms = part_ms;
    return true;
}

static ssize_t receive_within(struct gnli_wire *wire, const struct receipt *receipt, int64_t timeout)
{
    int64_t deadline = gnli_wire_deadline(timeout), asleep_ns = 0;
    bool sleeps = false;

    for (;;) {
        gnli_wire_hurry(wire);
        if (sleeps)
            wire->sleeps = true;
        ssize_t result = try(wire, receipt, deadline != 0);
        if (sleeps)
            wire->sleeps = false; /* it may have had no need to read */
        bool waits = result == -EAGAIN && deadline != 0;
        if (waits && asleep_ns == 0)
            result = try_for_a_while(wire, receipt);
        if (waits && result != -EAGAIN)
            gnli_spin_waited(&wire->spin, 0, false);
        else if (result != -EAGAIN && asleep_ns != 0)
            gnli_spin_waited(&wire->spin, gnli_now_ns() - asleep_ns, false);
        if (result != -EAGAIN)
            return gnli_wire_verdict(wire, result);
        if (asleep_ns == 0 && deadline != 0)
            asleep_ns = gnli_now_ns();
        sleeps = may_sleep(wire, deadline);
        int waited = sleeps ? 0 : gnli_wire_wait(wire, GNLI_INPUT, deadline);
        if (waited < 0) {
            leave(wire);
            return waited;
        }
    }
}

ssize_t gnli_wire_recv(gnl_port *port, void *data, size_t size, int64_t timeout)
{
    return receive_within(gnli_wire_of(port), &(struct receipt){ .data = data, .size = size }, timeout);
}

int gnli_wire_take(gnl_port *port, gnl_message *message, int64_t timeout)
{
    return (int)receive_within(gnli_wire_of(port), &(struct receipt){ .message = message }, timeout);
}
