/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending over a direct link.
 *
 * A rendezvous message is offered: its frame is published, then a byte put into the token's pipe. Who reads
 * the byte has the message: the receiver, or the sender who withdraws it. Two processes that each write
 * only their own memory cannot agree on that without somebody else; here it is the kernel.
 *
 *   A: relaxed: marks, counts for people to read.
 *   E: the other side has ended in good order (release, link/wait.c), we look (acquire): all that it had
 *      sent is there to be received.
 *   B: the other side counts chunks as returned (release), we look (acquire): carries their numbers, and that
 *      they have been read. The same the other way round for those that we have collected.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/options.h>

#include "base/clock.h"
#include "base/errors.h"
#include "link/link.h"
#include "link/meet.h"

#define OFFER_NOWAIT gnl_ms(100) /* to a receiver that waits: it has to wake up */

struct dispatch {
    const void *data;
    size_t size;
    struct gnli_place *loan; /* or a loan */
    int given;               /* or a descriptor, -1 */
    bool finish;
    bool nowait;
    bool begun;
    uint64_t ended; /* lives of the other side, when the call began */
    bool offered;
};

/* ---- memory of large messages ---- */

/* Chunks that the other side has finished with. -EBADMSG: it says what cannot be. */
static int collect(struct gnli_out *out)
{
    if (!out->theirs)
        return 0;
    uint64_t returned = atomic_load_explicit(&out->theirs->returned, memory_order_acquire); /* B */
    if (returned - out->collected > GNLI_SIDE_RETURNS)
        return -EBADMSG;
    while (out->collected < returned) {
        uint32_t page = atomic_load_explicit(&out->theirs->returns[out->collected % GNLI_SIDE_RETURNS],
                                             memory_order_relaxed); /* A */
        if (!gnli_piece_return(&out->pieces, page * GNLI_PIECE_PAGE))
            return -EBADMSG;
        out->collected++;
    }
    atomic_store_explicit(&out->memory.own->collected, out->collected, memory_order_release); /* B */
    return 0;
}

static int take_chunk(struct gnli_out *out, size_t size, uint64_t *offset)
{
    int result = collect(out);

    if (result < 0)
        return result;
    *offset = gnli_piece_take(&out->pieces, size);
    return *offset == 0 ? -ENOSPC : 0;
}

/* ---- the half that it goes into ---- */

static int too_large(struct gnli_link *link, size_t size, uint64_t most)
{
    return gnli_fail(-EMSGSIZE, "%s: a message of %zu bytes, at most %llu are allowed", link->port.subject,
                     size, (unsigned long long)most);
}

/* The other side has ended: my half of the link goes. The sending lock is held. */
static int ended(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->receiving);

    if (link->out)
        gnli_out_ends(link);
    link->untold = false;
    link->in_untold = link->in_untold && link->in;
    gnli_unlock(&link->receiving, locked);
    return -EPIPE;
}

/* It has ended already, and this call is told; with nothing to be received there is no more to tell. */
static int told(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->receiving);

    link->untold = false;
    link->in_untold = link->in_untold && link->in;
    gnli_unlock(&link->receiving, locked);
    return -EPIPE;
}

bool gnli_out_gone(struct gnli_out *out)
{
    return atomic_load_explicit(&out->hung, memory_order_relaxed) ||                         /* A */
           (out->theirs && atomic_load_explicit(&out->theirs->ended, memory_order_acquire)); /* E */
}

static int scribbled(struct gnli_link *link)
{
    return gnli_fail(-EBADMSG, "%s: the other side's memory makes no sense: the link has ended",
                     link->port.subject);
}

/* -ENOTCONN: there is no half yet. */
static int ready(struct gnli_link *link, struct dispatch *dispatch)
{
    struct gnli_out *out = link->out;

    if (!dispatch->begun) {
        dispatch->begun = true;
        dispatch->ended = link->outs_ended;
        if (__builtin_expect(link->untold, 0))
            return told(link);
    }
    if (__builtin_expect(link->outs_ended != dispatch->ended, 0))
        return told(link);
    if (__builtin_expect(!out, 0))
        return -ENOTCONN;
    return 0;
}

static int room(struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    if (__builtin_expect(gnli_frames_queued(&out->writer) >= (uint64_t)out->capacity, 0)) {
        if (gnli_frames_look(&out->writer) < 0)
            return scribbled(link);
        if (gnli_frames_queued(&out->writer) >= (uint64_t)out->capacity)
            return -EAGAIN;
    }
    return 0;
}

bool gnli_link_sendable(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->sending), result = link->refused;
    struct gnli_out *out = link->out;

    if (link->untold || gnli_link_owes(link, true) ||
        atomic_load_explicit(&link->port.finished, memory_order_relaxed)) /* A */
        result = true;
    else if (out && (gnli_out_gone(out) || out->capacity == GNL_UNBOUNDED))
        result = true;
    else if (out && out->capacity == GNL_RENDEZVOUS)
        result = !out->offered && out->theirs &&
                 atomic_load_explicit(&out->theirs->receiving, memory_order_relaxed) > 0; /* A */
    else if (out)
        result = room(link) != -EAGAIN;
    gnli_unlock(&link->sending, locked);
    return result;
}

/* ---- frames ---- */

static int write_far(struct gnli_link *link, struct dispatch *dispatch)
{
    struct gnli_out *out = link->out;
    struct gnli_far far = { .offset = dispatch->loan ? dispatch->loan->offset : 0, .size = dispatch->size };
    int result = dispatch->loan ? 0 : take_chunk(out, dispatch->size, &far.offset);
    char *place = result == 0 ? gnli_frames_place(&out->writer, sizeof far, &result) : NULL;

    if (!place) {
        if (!dispatch->loan && far.offset != 0)
            gnli_piece_return(&out->pieces, far.offset);
        return result == -EBADMSG ? scribbled(link) : result;
    }
    if (!dispatch->loan)
        gnli_copy(&link->out_copying, gnli_copy_past_caches, out->memory.base + far.offset, dispatch->data,
                  dispatch->size, out->capacity);
    memcpy(place, &far, sizeof far);
    out->offer_far = far.offset;
    return 0;
}

/* Writes the frame: nothing is visible yet. */
static int write_frame(struct gnli_link *link, struct dispatch *dispatch, enum gnli_frame *kind, size_t *size)
{
    struct gnli_out *out = link->out;
    int result = 0;
    char *place;

    if (dispatch->loan ? dispatch->loan->out != NULL : dispatch->size > GNLI_FRAME_BYTES) {
        *kind = GNLI_FRAME_CHUNK;
        *size = sizeof(struct gnli_far);
        return write_far(link, dispatch);
    }
    out->offer_far = 0;
    *size = dispatch->size;
    *kind = dispatch->finish ? GNLI_FRAME_FINISHED : GNLI_FRAME_MESSAGE;
    if (dispatch->given >= 0) {
        *kind = GNLI_FRAME_GIVEN;
        *size += sizeof out->given;
    }
    place = gnli_frames_place(&out->writer, *size, &result);
    if (!place)
        return result == -EBADMSG ? scribbled(link) : result;
    if (dispatch->given >= 0) {
        result = gnli_descriptor_send(out->socket, &out->given, sizeof out->given, dispatch->given);
        if (result < 0)
            return result == -EPIPE || result == -ECONNRESET ? ended(link) : result;
        memcpy(place, &out->given, sizeof out->given);
        place += sizeof out->given;
        out->given++;
    }
    memcpy(place, dispatch->data, dispatch->size);
    return 0;
}

static inline void count(struct gnli_link *link, unsigned messages)
{
    uint64_t before = atomic_load_explicit(&link->sent, memory_order_relaxed); /* A */

    atomic_store_explicit(&link->sent, before + messages, memory_order_relaxed); /* A */
    if (link->out)
        atomic_store_explicit(&link->out->memory.own->written, link->out->writer.written,
                              memory_order_relaxed); /* A */
    gnli_spin_count(&link->out_spin);
}

static void sent(struct gnli_link *link, struct dispatch *dispatch)
{
    struct gnli_out *lent = dispatch->loan ? dispatch->loan->out : NULL;
    if (lent) { /* the other side returns the chunk */
        dispatch->loan->out = NULL;
        if (--lent->loans == 0 && lent->dropped)
            gnli_out_free(lent);
    }
    count(link, !dispatch->finish);
}

/* ---- rendezvous ---- */

bool gnli_token_read(int token)
{
    char byte;
    ssize_t got;

    do
        got = read(token, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

bool gnli_token_waits(int token)
{
    struct pollfd entry = { .fd = token, .events = POLLIN };

    return poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

/* The offer ends: false, it has been taken. */
static bool withdraw(struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    if (!gnli_token_read(out->token[0]))
        return false;
    gnli_frames_withdraw(&out->writer, out->offer_at, out->offer_size);
    return true;
}

static int offer(struct gnli_link *link, struct dispatch *dispatch)
{
    struct gnli_out *out = link->out;
    enum gnli_frame kind;

    if (out->offered)
        return -EAGAIN; /* another thread's is out */
    if (dispatch->nowait &&
        (!out->theirs || atomic_load_explicit(&out->theirs->receiving, memory_order_relaxed) == 0)) /* A */
        return -EAGAIN;
    if (gnli_frames_look(&out->writer) < 0)
        return scribbled(link);
    int result = write_frame(link, dispatch, &kind, &out->offer_size);
    if (result < 0)
        return result;
    out->offer_at = out->writer.at;
    gnli_frames_publish(&out->writer, kind, out->offer_size);
    out->offer_end = out->writer.written;
    while (write(out->token[1], "", 1) < 0 && errno == EINTR)
        ;
    out->offered = dispatch->offered = true;
    gnli_ring(out);
    return -EAGAIN;
}

static int offered(struct gnli_link *link, struct dispatch *dispatch)
{
    struct gnli_out *out = link->out;

    if (link->outs_ended != dispatch->ended) { /* that half is gone by now */
        dispatch->offered = false;
        if (!link->offer_taken)
            return told(link);
        sent(link, dispatch);
        return 0;
    }
    if (gnli_frames_look(&out->writer) < 0) {
        out->offered = dispatch->offered = false;
        return scribbled(link);
    }
    bool taken = out->writer.left >= out->offer_end;
    if (!taken && !gnli_out_gone(out))
        return -EAGAIN;
    if (!taken)
        taken = !withdraw(link);
    out->offered = dispatch->offered = false;
    if (!taken)
        return ended(link);
    sent(link, dispatch);
    return 0;
}

/* The call ends without success: so must its offer, or the call has succeeded after all. */
static int give_up(struct gnli_link *link, struct dispatch *dispatch, int result)
{
    bool locked = gnli_lock(&link->sending);
    if (dispatch->offered && link->outs_ended != dispatch->ended && link->offer_taken) {
        sent(link, dispatch);
        result = 0;
    } else if (dispatch->offered && link->outs_ended != dispatch->ended) {
        dispatch->offered = false;
    } else if (dispatch->offered) {
        struct gnli_out *out = link->out;
        bool withdrawn = withdraw(link);
        out->offered = dispatch->offered = false;
        if (!withdrawn) {
            sent(link, dispatch);
            result = 0;
        } else if (out->offer_far != 0 && !dispatch->loan) {
            gnli_piece_return(&out->pieces, out->offer_far);
        }
    }
    gnli_unlock(&link->sending, locked);
    return result;
}

/* ---- sending ---- */

static int attempt_locked(struct gnli_link *link, struct dispatch *dispatch)
{
    enum gnli_frame kind;
    size_t size;

    if (__builtin_expect(dispatch->offered, 0))
        return offered(link, dispatch);
    int result = ready(link, dispatch);
    if (result < 0)
        return result;
    struct gnli_out *out = link->out;
    if (__builtin_expect(gnli_out_gone(out), 0))
        return ended(link);
    if (dispatch->size > out->message_max)
        return too_large(link, dispatch->size, out->message_max);
    if (dispatch->loan && dispatch->loan->out && dispatch->loan->out != out)
        return -EPIPE; /* it was lent for one who has ended */
    if (__builtin_expect(out->capacity < 0, 0)) {
        if (out->capacity == GNL_RENDEZVOUS && !dispatch->finish)
            return offer(link, dispatch);
    } else if (!dispatch->finish && (result = room(link)) < 0) {
        return result;
    }
    result = write_frame(link, dispatch, &kind, &size);
    if (result < 0)
        return result;
    gnli_frames_publish(&out->writer, kind, size);
    gnli_ring(out);
    sent(link, dispatch);
    return 0;
}

static int attempt(struct gnl_identity *me, struct gnli_link *link, void *context)
{
    (void)me;
    bool locked = gnli_lock(&link->sending);
    int result = attempt_locked(link, context);
    if (__builtin_expect(result == -EBADMSG, 0))
        ended(link);
    gnli_unlock(&link->sending, locked);
    return result;
}

__attribute__((noinline)) static int dispatch_slowly(struct gnli_link *link, struct dispatch *dispatch,
                                                     int64_t timeout, int result)
{
    struct gnl_identity *me = link->me;
    int64_t deadline = gnli_deadline_ns(timeout);

    while (result == -ENOTCONN) {
        int64_t left = timeout <= 0 ? timeout : deadline - gnli_now_ns();
        result = gnli_link_met(me, link, timeout > 0 && left <= 0 ? GNL_NOWAIT : left);
        if (result == -ENOENT)
            return gnli_fail(-ENOENT, "%s: no process has that name", link->port.subject);
        if (result == -EAGAIN)
            return dispatch->nowait ? result : -ETIMEDOUT;
        if (result == 0)
            result = attempt(me, link, dispatch);
    }
    if (result == -EAGAIN) {
        int64_t left = timeout > 0 ? deadline - gnli_now_ns() : timeout;
        if (dispatch->nowait && dispatch->offered)
            timeout = OFFER_NOWAIT;
        else if (timeout > 0)
            timeout = left > 0 ? left : 1; /* a wait that is over times out */
        result = gnli_link_wait(me, link, false, timeout, attempt, dispatch);
        if (dispatch->offered)
            result = give_up(link, dispatch, result);
        if (dispatch->nowait && result == -ETIMEDOUT)
            result = -EAGAIN;
    }
    return result;
}

static int dispatch_it(struct gnli_link *link, struct dispatch *dispatch, int64_t timeout)
{
    dispatch->nowait = timeout == GNL_NOWAIT;
    gnli_link_hear(link); /* who only sends would never learn when the other sleeps, and ring each time */
    int result = attempt(link->me, link, dispatch);
    if (__builtin_expect(result == -EAGAIN || result == -ENOTCONN, 0))
        result = dispatch_slowly(link, dispatch, timeout, result);
    gnli_link_sent(link);
    return result;
}

/* A message that fits into a frame, where nothing is out of the ordinary. -EAGAIN: it is not so. */
static inline int send_small(struct gnli_link *link, const void *data, size_t size)
{
    int result = -EAGAIN;

    bool locked = gnli_lock(&link->sending);
    struct gnli_out *out = link->out;
    if (__builtin_expect(
            out && out->theirs && !link->untold && !gnli_out_gone(out) && size <= out->message_max, 1) &&
        __builtin_expect(out->capacity > 0 && gnli_frames_queued(&out->writer) < (uint64_t)out->capacity &&
                             gnli_frames_fits(&out->writer, size),
                         1)) {
        memcpy(gnli_frames_place(&out->writer, size, &result), data, size);
        gnli_frames_publish(&out->writer, GNLI_FRAME_MESSAGE, size);
        gnli_ring(out);
        count(link, 1);
        result = 0;
    }
    gnli_unlock(&link->sending, locked);
    return result;
}

__attribute__((noinline)) static int send_copy(struct gnli_link *link, const void *data, size_t size,
                                               int64_t timeout)
{
    struct dispatch dispatch = { .data = data ? data : "", .size = size, .given = -1 };

    return dispatch_it(link, &dispatch, timeout);
}

int gnli_link_send(gnl_port *port, const void *data, size_t size, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);

    if (__builtin_expect(size == 0 || size > GNLI_FRAME_BYTES, 0) || send_small(link, data, size) < 0)
        return send_copy(link, data, size, timeout);
    gnli_link_sent(link);
    return 0;
}

int gnli_link_give(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout)
{
    struct dispatch dispatch = { .data = note ? note : "", .size = size, .given = descriptor };

    return dispatch_it(gnli_link_of(port), &dispatch, timeout);
}

int gnli_link_finish(gnl_port *port)
{
    struct dispatch dispatch = { .data = "", .given = -1, .finish = true };

    if (atomic_exchange_explicit(&port->finished, true, memory_order_relaxed)) /* A */
        return 0;
    int result = dispatch_it(gnli_link_of(port), &dispatch, GNL_NOWAIT);
    return result == -ENOENT || result == -EPIPE ? 0 : result;
}

/* ---- loans ---- */

static int lend(struct gnl_identity *me, struct gnli_link *link, void *context)
{
    struct gnli_place *place = context;
    int result = 0;

    (void)me;
    bool locked = gnli_lock(&link->sending);
    struct gnli_out *out = link->out;
    if (!out)
        result = -ENOTCONN;
    else if (place->size > out->message_max)
        result = too_large(link, place->size, out->message_max);
    else if (place->size > GNLI_FRAME_BYTES && (result = take_chunk(out, place->size, &place->offset)) == 0) {
        place->out = out;
        out->loans++;
    }
    if (result == -EBADMSG) {
        ended(link);
        scribbled(link);
    }
    gnli_unlock(&link->sending, locked);
    return result;
}

int gnli_link_loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnli_place *place;

    int result = gnli_place_take(link, &place, true, size <= GNLI_FRAME_BYTES, size);
    if (result < 0)
        return result;
    result = lend(link->me, link, place);
    if (result == -ENOTCONN) {
        result = gnli_link_met(link->me, link, timeout);
        if (result == 0)
            result = lend(link->me, link, place);
        else if (result == -ENOENT)
            gnli_fail(-ENOENT, "%s: no process has that name", port->subject);
    }
    if (result < 0) {
        gnli_place_free(link, place);
        return result;
    }
    message->data = place->out ? place->out->memory.base + place->offset : place->buffer;
    message->size = size;
    message->sender = (struct gnl_sender){ .pid = 0 };
    message->flags = message->deliveries = 0;
    gnli_place_name(link, place, message);
    return 0;
}

static int post(struct gnli_link *link, struct gnli_place *place, size_t size, int64_t timeout)
{
    if (!place->out && size > 0 && send_small(link, place->buffer, size) == 0) {
        gnli_link_sent(link);
        return 0;
    }
    struct dispatch dispatch = {
        .data = place->buffer ? place->buffer : "", .size = size, .loan = place, .given = -1
    };
    return dispatch_it(link, &dispatch, timeout);
}

int gnli_link_post(gnl_port *port, gnl_message *message, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnli_place *place;

    int result = gnli_link_place_of(link, message, &place);
    if (result < 0)
        return result;
    if (!place->loan)
        return gnli_fail(-EINVAL, "%s: this message was taken, not lent", port->subject);
    if (message->size > place->size)
        return gnli_fail(-EMSGSIZE, "%s: the loan is of %zu bytes, not of %zu", port->subject, place->size,
                         message->size);
    result = post(link, place, message->size, timeout);
    if (result == 0) {
        gnli_place_free(link, place);
        message->port_ = NULL;
        message->data = NULL;
    }
    return result;
}

void gnli_link_drop(struct gnli_link *link, struct gnli_place *place)
{
    bool locked = gnli_lock(&link->sending);
    struct gnli_out *out = place->out;
    if (out) {
        gnli_piece_return(&out->pieces, place->offset);
        if (--out->loans == 0 && out->dropped)
            gnli_out_free(out);
        place->out = NULL;
    }
    gnli_unlock(&link->sending, locked);
    gnli_place_free(link, place);
}
