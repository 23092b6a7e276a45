/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   A: relaxed: as in wire.h.
 */
#include "wire/stream.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"

#define BUFFER_BYTES ((size_t)16384)
#define HEAD_BYTES   sizeof(uint32_t)

static const char magic[8] = { 'G', 'N', 'N', 'L', 'S', 'O', 'C', 'K' };

/* ---- hellos ---- */

void gnli_stream_hello(const struct gnli_wire *wire, uint8_t *hello)
{
    uint32_t numbers[2] = { htobe32(gnli_wire_terms(wire).message_max), 0 };

    memcpy(hello, magic, sizeof magic);
    memcpy(hello + 8, numbers, sizeof numbers);
}

bool gnli_stream_understand(struct gnli_wire *wire, const uint8_t *hello)
{
    uint32_t numbers[2];

    memcpy(numbers, hello + 8, sizeof numbers);
    struct gnli_terms terms = { .message_max = be32toh(numbers[0]) };
    if (memcmp(hello, magic, sizeof magic) != 0 || numbers[1] != 0 ||
        terms.message_max > GNL_MESSAGE_MAX_LIMIT)
        return false;
    gnli_wire_meet(wire, &terms);
    return true;
}

/* ---- sending ---- */

void gnli_stream_head(struct gnli_wire *wire, size_t size)
{
    uint32_t number = htobe32((uint32_t)size);

    memcpy(wire->head, &number, sizeof wire->head);
    wire->head_left = sizeof wire->head;
}

ssize_t gnli_stream_put(struct gnli_wire *wire, const char *data, size_t size)
{
    struct iovec parts[2] = { { wire->head + sizeof wire->head - wire->head_left, wire->head_left },
                              { (void *)(uintptr_t)data, size } };

    ssize_t written = wire->transport->put(wire, parts, 2);
    if (written < 0)
        return written;
    size_t of_head = (size_t)written < wire->head_left ? (size_t)written : wire->head_left;
    wire->head_left -= of_head;
    return written - (ssize_t)of_head;
}

/* ---- receiving ---- */

static int broken(struct gnli_wire *wire, int code, const char *how)
{
    wire->receive_error = code;
    return gnli_fail(code, "%s: the other side %s: nothing more can be received, close the port",
                     wire->port.subject, how);
}

/* Nothing comes any more; what has begun will have no end. */
static int ended(struct gnli_wire *wire)
{
    bool midst = wire->partial || wire->until > wire->from;

    wire->receive_error = -EPIPE;
    if (!midst)
        return -EPIPE;
    return gnli_wire_lost(wire, EPROTO);
}

static ssize_t get(struct gnli_wire *wire, void *to, size_t size)
{
    struct iovec part = { to, size };
    struct gnl_sender sender;

    ssize_t got = wire->transport->get(wire, &part, 1, &sender);
    if (got == 0)
        return ended(wire);
    if (got < 0 && got != -EAGAIN)
        wire->receive_error = (int)got;
    return got;
}

static size_t buffered(const struct gnli_wire *wire)
{
    return wire->until - wire->from;
}

/* More into the buffer: up to `most` bytes. A port that waits with nothing begun has none. */
static int fill(struct gnli_wire *wire, size_t most)
{
    if (wire->receive_error < 0)
        return wire->receive_error;
    if (!wire->buffer)
        wire->buffer = malloc(BUFFER_BYTES);
    if (!wire->buffer)
        return -ENOMEM;
    if (wire->from > 0) {
        memmove(wire->buffer, wire->buffer + wire->from, buffered(wire));
        wire->until -= wire->from;
        wire->from = 0;
    }
    size_t room = BUFFER_BYTES - wire->until;
    ssize_t got = get(wire, wire->buffer + wire->until, room < most ? room : most);
    if (got > 0) {
        wire->until += (size_t)got;
        return 0;
    }
    assert(got < 0);
    if (wire->until == 0) {
        free(wire->buffer);
        wire->buffer = NULL;
    }
    return (int)got;
}

static int meet(struct gnli_wire *wire)
{
    while (!atomic_load_explicit(&wire->met, memory_order_relaxed)) { /* A */
        if (buffered(wire) < GNLI_STREAM_HELLO) {
            int result = fill(wire, GNLI_STREAM_HELLO - buffered(wire));
            if (result == -EPIPE)
                return gnli_wire_lost(wire, ECONNABORTED);
            if (result < 0)
                return result;
            continue;
        }
        if (!gnli_stream_understand(wire, (const uint8_t *)wire->buffer + wire->from))
            return broken(wire, -EBADMSG, "does not speak Ginnel's frames (options.stream is for others)");
        wire->from += GNLI_STREAM_HELLO;
    }
    return wire->receive_error == -EBADMSG ? -EBADMSG : 0;
}

int gnli_stream_meet(struct gnli_wire *wire)
{
    pthread_mutex_lock(&wire->receiving);
    int result = meet(wire);
    gnli_wire_ring(wire); /* a message may have come with the hello */
    pthread_mutex_unlock(&wire->receiving);
    return result;
}

/* The size of the message that begins in the buffer. */
static bool head(const struct gnli_wire *wire, size_t *size)
{
    uint32_t number;

    if (buffered(wire) < HEAD_BYTES)
        return false;
    memcpy(&number, wire->buffer + wire->from, sizeof number);
    *size = be32toh(number);
    return true;
}

static char *bytes_of_partial(const struct gnli_wire *wire)
{
    return wire->landing ? wire->landing : wire->partial->data;
}

/* A message that is larger than the buffer meets in memory of its own, or lands. */
static int begin_partial(struct gnli_wire *wire, size_t size, const struct iovec *room)
{
    struct gnli_copy *copy = gnli_copy_new(size, false);

    if (!copy)
        return -ENOMEM;
    assert(wire->buffer); /* the head is there */
    copy->sender = wire->peer;
    copy->at = buffered(wire) - HEAD_BYTES;
    wire->partial = copy;
    wire->landing = room->iov_len >= size ? room->iov_base : NULL;
    memcpy(bytes_of_partial(wire), wire->buffer + wire->from + HEAD_BYTES, copy->at);
    wire->from = wire->until = 0;
    return 0;
}

void gnli_stream_leave(struct gnli_wire *wire)
{
    if (wire->landing)
        memcpy(wire->partial->data, wire->landing, wire->partial->at);
    wire->landing = NULL;
}

static int read_partial(struct gnli_wire *wire)
{
    struct gnli_copy *copy = wire->partial;

    while (copy->at < copy->size) {
        if (wire->receive_error < 0)
            return wire->receive_error;
        ssize_t got = get(wire, bytes_of_partial(wire) + copy->at, copy->size - copy->at);
        if (got < 0)
            return (int)got;
        copy->at += (size_t)got;
    }
    return 0;
}

int gnli_stream_read(struct gnli_wire *wire, const struct iovec *room, const char **data, size_t *size)
{
    int result = wire->partial ? 0 : meet(wire);

    if (wire->landing != room->iov_base)
        gnli_stream_leave(wire);
    *data = NULL;
    while (result == 0) {
        if (wire->partial)
            return read_partial(wire);
        if (!head(wire, size)) {
            result = fill(wire, BUFFER_BYTES);
        } else if (*size > gnli_wire_limit(wire)) {
            result = broken(wire, -EMSGSIZE, "sends a message that is larger than message_max");
        } else if (buffered(wire) - HEAD_BYTES >= *size) {
            wire->keeps = true; /* until it is delivered */
            *data = wire->buffer + wire->from + HEAD_BYTES;
            return 0;
        } else {
            result = *size > BUFFER_BYTES - HEAD_BYTES ? begin_partial(wire, *size, room)
                                                       : fill(wire, BUFFER_BYTES);
        }
    }
    return result;
}

void gnli_stream_pass(struct gnli_wire *wire, size_t size)
{
    size_t next;

    wire->from += HEAD_BYTES + size;
    /* Of what no poll tells: one more is there, or will never be. */
    wire->keeps = head(wire, &next) && (next > gnli_wire_limit(wire) || buffered(wire) - HEAD_BYTES >= next);
}
