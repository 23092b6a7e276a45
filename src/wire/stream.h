/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing over a byte stream (docs/formats/socket.md): each side says its hello, then a message is a head of
 * four bytes, its size, and its bytes. Whatever is read or written may be cut anywhere.
 *
 * What comes goes through a buffer that the port has while something is in it, so that many small messages
 * are one read; a message that the buffer has no room for meets in memory of its own, which costs its sender
 * every byte that it costs here. Or its bytes land where the call that waits for them wants them: they are
 * moved into that memory when the call ends before them, or another is made meanwhile.
 */
#ifndef GNLI_WIRE_STREAM_H
#define GNLI_WIRE_STREAM_H

#include "wire/wire.h"

#define GNLI_STREAM_HELLO 16
#define GNLI_STREAM_EARLY \
    65536 /* bytes: a larger message waits for the other's hello, with its message_max */

/* ---- sending; `sending` is held ---- */

/* A message of that size begins: its head is to be written. */
void gnli_stream_head(struct gnli_wire *wire, size_t size);

/* Writes what is left of the head, and of these bytes: how many of the bytes went. */
ssize_t gnli_stream_put(struct gnli_wire *wire, const char *data, size_t size);

/* Has the other said its hello? Reads that, and nothing behind it. 0, -EAGAIN, or an error. */
int gnli_stream_meet(struct gnli_wire *wire);

/* ---- receiving; `receiving` is held ---- */

/*
 * The next message: in the buffer; or *data NULL: in wire->partial, its bytes in wire->landing if that is not
 * NULL, which is `room` then. -EAGAIN it has not come to its end.
 */
int gnli_stream_read(struct gnli_wire *wire, const struct iovec *room, const char **data, size_t *size);

/* What has landed in the memory of a call goes where it stays. */
void gnli_stream_leave(struct gnli_wire *wire);

/* The message in the buffer, of that size, was delivered. */
void gnli_stream_pass(struct gnli_wire *wire, size_t size);

/* ---- hellos ---- */

void gnli_stream_hello(const struct gnli_wire *wire, uint8_t *hello);
/* False: it is none. */
bool gnli_stream_understand(struct gnli_wire *wire, const uint8_t *hello);

#endif
