/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving over a direct link. All of the other side's memory may change at any time: a word is read once,
 * and bytes are copied before anybody looks at them.
 *
 *   A: relaxed: marks, counts for people to read.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/options.h>

#include "base/errors.h"
#include "link/link.h"
#include "link/meet.h"

#define VOIDS_MAX   1024 /* withdrawn offers passed in one attempt */
#define PACKETS_MAX 4096 /* descriptors of withdrawn offers, likewise */

static int scribbled(struct gnli_link *link)
{
    return gnli_fail(-EBADMSG, "%s: the other side's memory makes no sense: the link has ended",
                     link->port.subject);
}

/* ---- the end of the other side ---- */

/* Everything that it had sent has been received. The receiving lock is held; the sending one is not. */
static int ended(struct gnli_link *link, struct gnli_in *in)
{
    link->in = in->next;
    link->ins_ended++;
    gnli_in_drop(in);
    return -EPIPE;
}

/* Is there something to be received in it: a message, nonsense, or `given`: a descriptor? */
static bool anything(struct gnli_in *in, bool given)
{
    uint64_t word;

    for (unsigned voids = 0; voids < VOIDS_MAX; voids++) {
        int found = gnli_frames_peek(&in->reader, &word);
        if (found != 0)
            return found == -EBADMSG;
        if (gnli_frame_kind(word) != GNLI_FRAME_VOID && gnli_frame_kind(word) != GNLI_FRAME_FINISHED)
            return (given || gnli_frame_kind(word) != GNLI_FRAME_GIVEN) &&
                   (in->capacity != GNL_RENDEZVOUS || in->has_token || gnli_token_waits(in->token));
        in->finished = in->finished || gnli_frame_kind(word) == GNLI_FRAME_FINISHED;
        gnli_frames_leave(&in->reader, word);
    }
    return true;
}

void gnli_link_bury(struct gnli_link *link)
{
    for (struct gnli_in **last = &link->in, *in; (in = *last);) {
        if (!atomic_load_explicit(&in->hung, memory_order_relaxed) || anything(in, true)) { /* A */
            last = &in->next;
            continue;
        }
        *last = in->next;
        link->buried = true;
        if (!in->finish_told) {
            link->in_untold = true;
            link->ins_ended++;
        }
        gnli_in_drop(in);
    }
}

/* ---- frames ---- */

static void leave(struct gnli_link *link, struct gnli_in *in, uint64_t word)
{
    gnli_frames_leave(&in->reader, word);
    gnli_spin_count(&link->in_spin);
    in->has_token = false;
    atomic_store_explicit(&link->received,
                          atomic_load_explicit(&link->received, memory_order_relaxed) + 1, /* A */
                          memory_order_relaxed);                                           /* A */
}

/* Of an offer: have we got it? */
static bool win(struct gnli_in *in, uint64_t word)
{
    uint64_t now;

    if (!in->has_token)
        in->has_token = gnli_token_read(in->token);
    if (!in->has_token)
        return false;
    /* Withdrawn meanwhile, and the byte is that of a later one? */
    return gnli_frames_peek(&in->reader, &now) == 0 && now == word;
}

static int too_small(struct gnli_link *link, uint64_t size, size_t buffer)
{
    return gnli_fail(-EMSGSIZE, "%s: the message is of %llu bytes, the buffer of %zu", link->port.subject,
                     (unsigned long long)size, buffer);
}

static int find_far(struct gnli_link *link, struct gnli_in *in, uint64_t word, struct gnli_far *far)
{
    if (gnli_frame_size(word) != sizeof *far)
        return scribbled(link);
    memcpy(far, gnli_frames_contents(&in->reader), sizeof *far);
    if (far->size > in->message_max || far->offset < GNLI_SIDE_FIRST || far->offset % GNLI_PIECE_PAGE != 0 ||
        !gnli_side_there(&in->memory, far->offset, far->size))
        return scribbled(link);
    return 0;
}

/*
 * One more is held, or one less. No read-modify-write: it would wait for this frame's line, and let the next
 * frames' be fetched only then.
 */
static inline void hold(struct gnli_link *link, int change)
{
    uint32_t before = atomic_load_explicit(&link->holding, memory_order_relaxed); /* A */

    atomic_store_explicit(&link->holding, before + (uint32_t)change, memory_order_relaxed); /* A */
}

/* Into the caller's hands, read in place: what is small is copied, and leaves the queue's memory. */
static int take_frame(struct gnli_link *link, struct gnli_in *in, uint64_t word, struct gnli_place **taken)
{
    struct gnli_far far = { 0 };
    struct gnli_place *place = NULL;
    bool in_place = gnli_frame_kind(word) == GNLI_FRAME_CHUNK;

    int result = in_place ? find_far(link, in, word, &far) : 0;
    if (result == 0)
        result = gnli_place_take(link, &place, false, !in_place, in_place ? far.size : gnli_frame_size(word));
    if (result < 0)
        return result;
    assert(place);
    hold(link, 1);
    place->sender = in->sender;
    place->deliveries = 1;
    if (in_place) {
        place->in = in;
        in->held++;
        place->offset = far.offset;
        gnli_distance_note(&link->in_distance, far.size, in->capacity);
    } else {
        memcpy(place->buffer, gnli_frames_contents(&in->reader), place->size);
    }
    *taken = place;
    return 0;
}

static int copy_frame(struct gnli_link *link, struct gnli_in *in, uint64_t word, struct gnli_receipt *receipt)
{
    uint64_t size = gnli_frame_size(word);

    if (__builtin_expect(gnli_frame_kind(word) == GNLI_FRAME_MESSAGE, 1)) {
        if (size > receipt->size)
            return too_small(link, size, receipt->size);
        memcpy(receipt->data, gnli_frames_contents(&in->reader), size);
    } else {
        struct gnli_far far = { 0 };
        int result = find_far(link, in, word, &far);
        if (result < 0)
            return result;
        size = far.size;
        if (size > receipt->size)
            return too_small(link, size, receipt->size);
        gnli_copy(&link->in_copying, gnli_copy_by_vectors, receipt->data, in->memory.base + far.offset, size,
                  0);
        gnli_in_return(in, far.offset);
    }
    gnli_distance_note(&link->in_distance, size, in->capacity);
    receipt->received = (ssize_t)size;
    return 0;
}

static int take_descriptor(struct gnli_link *link, struct gnli_in *in, uint64_t word,
                           struct gnli_receipt *receipt)
{
    uint64_t wanted, number, size = gnli_frame_size(word);
    size_t bytes;

    if (size < sizeof wanted)
        return scribbled(link);
    size -= sizeof wanted;
    if (size > *receipt->note_size)
        return too_small(link, size, *receipt->note_size);
    memcpy(&wanted, gnli_frames_contents(&in->reader), sizeof wanted);
    for (unsigned i = 0; i < PACKETS_MAX; i++) {
        bytes = sizeof number;
        int descriptor = -1;
        int count = gnli_packet_peek(in->socket, &number, &bytes, &descriptor, 1);
        if (count == -EMFILE)
            return gnli_fail(-EMFILE, "%s: no descriptor left for what was given", link->port.subject);
        if (count == 1)
            gnli_packet_skip(in->socket);
        if (count == 1 && bytes != sizeof number)
            gnli_unwanted(&descriptor);
        if (count != 1 || bytes != sizeof number)
            return scribbled(link);
        if (number == wanted) {
            memcpy(receipt->data, gnli_frames_contents(&in->reader) + sizeof wanted, size);
            *receipt->note_size = size;
            *receipt->descriptor = descriptor;
            return 0;
        }
        gnli_unwanted(&descriptor);
    }
    return scribbled(link);
}

/* Field by field: a compiler would clear all of the message first, which takes longer than the rest. */
static void describe(gnl_message *message, struct gnli_link *link, const struct gnli_place *place,
                     const struct gnl_sender *sender)
{
    message->data = place->in ? place->in->memory.base + place->offset : place->buffer;
    message->size = place->size;
    message->sender = *sender;
    message->flags = GNL_SENDER_VOUCHED | (place->deliveries > 1 ? GNL_REDELIVERED : 0);
    message->deliveries = place->deliveries;
    gnli_place_name(link, place, message);
}

static int use_frame(struct gnli_link *link, struct gnli_in *in, uint64_t word, struct gnli_receipt *receipt)
{
    struct gnli_place *place = NULL;
    bool given = gnli_frame_kind(word) == GNLI_FRAME_GIVEN;

    if (given != (receipt->descriptor != NULL))
        return gnli_fail(-ENOMSG,
                         given ? "%s: what comes next is a segment: gnl_segment_receive"
                               : "%s: what comes next is a message, not a segment",
                         link->port.subject);
    int result = given              ? take_descriptor(link, in, word, receipt)
                 : receipt->message ? take_frame(link, in, word, &place)
                                    : copy_frame(link, in, word, receipt);
    if (result < 0)
        return result;
    if (receipt->message)
        describe(receipt->message, link, place, &in->sender);
    if (receipt->sender)
        *receipt->sender = in->sender;
    return 0;
}

/* Who is told each time would never ask the kernel whether it is there at all: so it is asked here. */
static int has_finished(struct gnli_link *link, struct gnli_in *in)
{
    if (in->finish_told && gnli_hung_up(in->socket)) {
        atomic_store_explicit(&in->hung, true, memory_order_relaxed); /* A */
        gnli_link_bury(link);
        return -EAGAIN;
    }
    in->finish_told = true;
    return -EPIPE;
}

/* Those that had finished, as receivers know, and have ended since, go without a word. */
static void bury_finished(struct gnli_link *link)
{
    if (__builtin_expect(link->in && link->in->finish_told, 0))
        gnli_link_bury(link);
}

/* -EAGAIN nothing is there. */
static int from_frames(struct gnli_link *link, struct gnli_receipt *receipt)
{
    uint64_t word;

    bury_finished(link);
    struct gnli_in *in = link->in;
    if (__builtin_expect(!in, 0))
        return -EAGAIN;
    for (unsigned voids = 0; voids < VOIDS_MAX; voids++) {
        bool hung = atomic_load_explicit(&in->hung, memory_order_relaxed); /* A */
        int result = gnli_frames_peek(&in->reader, &word);
        if (result == -EAGAIN)
            return hung ? ended(link, in) : in->finished ? has_finished(link, in) : -EAGAIN;
        if (result < 0)
            return scribbled(link);
        if (gnli_frame_kind(word) == GNLI_FRAME_VOID) {
            gnli_frames_leave(&in->reader, word);
            continue;
        }
        if (gnli_frame_kind(word) == GNLI_FRAME_FINISHED) {
            in->finished = true;
            gnli_frames_leave(&in->reader, word);
            continue;
        }
        if (in->capacity == GNL_RENDEZVOUS && !win(in, word)) {
            if (in->has_token)
                continue; /* void by now */
            return hung ? ended(link, in) : -EAGAIN;
        }
        result = use_frame(link, in, word, receipt);
        if (result == 0)
            leave(link, in, word);
        return result;
    }
    return -EAGAIN;
}

/* ---- messages that were given back ---- */

static int from_returned(struct gnli_link *link, struct gnli_receipt *receipt)
{
    struct gnli_place *place = link->returned;

    if (receipt->descriptor)
        return gnli_fail(-ENOMSG, "%s: what comes next is a message, not a segment", link->port.subject);
    if (!receipt->message && place->size > receipt->size)
        return too_small(link, place->size, receipt->size);
    link->returned = place->next;
    place->next = NULL;
    place->deliveries++;
    place->serial = ++link->serial;
    if (receipt->sender)
        *receipt->sender = place->sender;
    atomic_fetch_add_explicit(&link->redelivered, 1, memory_order_relaxed); /* A */
    if (receipt->message) {
        describe(receipt->message, link, place, &place->sender);
        return 0;
    }
    assert(receipt->data);
    memcpy(receipt->data, place->in ? place->in->memory.base + place->offset : place->buffer, place->size);
    receipt->received = (ssize_t)place->size;
    return 1; /* its place is to be freed */
}

static void end_place(struct gnli_link *link, struct gnli_place *place)
{
    struct gnli_in *in = place->in;

    if (in) {
        gnli_in_return(in, place->offset);
        place->in = NULL;
        if (--in->held == 0 && in->dropped)
            gnli_in_free(in);
    }
    hold(link, -1);
    gnli_place_free(link, place);
}

/* The receiving lock is held. */
static int receive_locked(struct gnli_link *link, struct gnli_receipt *receipt)
{
    if (!receipt->begun) {
        receipt->begun = true;
        receipt->ended = link->ins_ended;
        if (__builtin_expect(link->in_untold && !link->returned, 0)) {
            link->in_untold = false;
            if (!receipt->from_anyone)
                return -EPIPE;
        }
    }
    if (__builtin_expect(link->returned != NULL, 0)) {
        struct gnli_place *place = link->returned;
        int result = from_returned(link, receipt);
        if (result == 1)
            end_place(link, place);
        return result < 0 ? result : 0;
    }
    if (__builtin_expect(!receipt->from_anyone && receipt->ended != link->ins_ended, 0)) {
        link->in_untold = false;
        return -EPIPE;
    }
    int result = from_frames(link, receipt);
    if (__builtin_expect(result == -EBADMSG, 0))
        ended(link, link->in);
    return result;
}

/* The half that was opposite to one that has ended goes with it: its hang-up may be a moment behind. */
static void end_opposite(struct gnl_identity *me, struct gnli_link *link)
{
    bool locked = gnli_lock(&link->sending);
    struct gnli_out *out = link->out;

    (void)me;
    if (out && out->opposite && out->opposite->dropped)
        atomic_store_explicit(&out->hung, true, memory_order_relaxed); /* A */
    if (out && !out->offered &&
        (atomic_load_explicit(&out->hung, memory_order_relaxed) || gnli_hung_up(out->socket))) { /* A */
        bool locked_too = gnli_lock(&link->receiving);
        gnli_out_ends(link);
        gnli_unlock(&link->receiving, locked_too);
    }
    link->untold = false; /* who receives has been told, and that is once */
    gnli_unlock(&link->sending, locked);
}

/* The other side may wait for room. */
static inline void ring_it(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->sending);
    gnli_ring(link->out);
    gnli_unlock(&link->sending, locked);
}

int gnli_link_receive(struct gnl_identity *me, struct gnli_link *link, void *context)
{
    struct gnli_receipt *receipt = context;
    bool locked = gnli_lock(&link->receiving);
    int result = receive_locked(link, receipt);
    bool buried = link->buried;
    link->buried = false;
    bool ring = result == 0 && link->in && link->in->told;
    gnli_unlock(&link->receiving, locked);
    if (__builtin_expect(buried || result == -EPIPE || result == -EBADMSG, 0))
        end_opposite(me, link);
    if (__builtin_expect(result == -EPIPE || result == -EBADMSG, 0)) {
        if (receipt->from_anyone)
            result = -EAGAIN;
    }
    if (__builtin_expect(result == -ENOMSG && receipt->from_anyone, 0))
        result = -EAGAIN; /* a segment: it has to be asked for by name */
    if (ring)
        ring_it(link);
    return result;
}

bool gnli_link_receivable(struct gnli_link *link, bool by_name)
{
    bool locked = gnli_lock(&link->receiving);
    struct gnli_in *in = link->in;
    bool result = link->returned != NULL || (by_name && (link->in_untold || gnli_link_owes(link, false)));

    if (in && !result)
        result = anything(in, by_name) || (in->finished && by_name) ||
                 atomic_load_explicit(&in->hung, memory_order_relaxed); /* A */
    gnli_unlock(&link->receiving, locked);
    return result;
}

bool gnli_link_has_ended(struct gnli_link *link, bool sending)
{
    pthread_mutex_t *lock = sending ? &link->sending : &link->receiving;
    bool locked = gnli_lock(lock), result = gnli_link_owes(link, sending);

    if (sending)
        result = result || link->untold || (link->out && gnli_out_gone(link->out));
    else
        result = result || link->in_untold ||
                 (link->in && (link->in->finished ||
                               atomic_load_explicit(&link->in->hung, memory_order_relaxed))); /* A */
    gnli_unlock(lock, locked);
    return result;
}

/* ---- the operations ---- */

static bool is_queued(void *context, uint32_t places)
{
    struct gnli_link *link = context;
    bool locked = gnli_lock(&link->receiving);
    bool queued = link->in && gnli_frames_queue(&link->in->reader, places);

    gnli_unlock(&link->receiving, locked);
    return queued;
}

static int receive(gnl_port *port, struct gnli_receipt *receipt, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);

    if (gnli_distance_may(timeout, &link->in_spin))
        gnli_distance_keep(&link->in_distance, is_queued, link);
    int result = gnli_link_receive(link->me, link, receipt);
    if (__builtin_expect(result == -EAGAIN, 0))
        result = gnli_link_wait(link->me, link, true, timeout, gnli_link_receive, receipt);
    gnli_identity_received(link->me, link);
    return result;
}

/* Whose next frame is a message, where nothing is out of the ordinary; NULL: it is not so. */
static inline struct gnli_in *ordinary(struct gnli_link *link, uint64_t *word)
{
    struct gnli_in *in = link->in;
    bool ready = in && !link->returned && !link->in_untold && in->capacity != GNL_RENDEZVOUS;

    return __builtin_expect(ready, 1) && gnli_frames_peek(&in->reader, word) == 0 &&
                   __builtin_expect(gnli_frame_kind(*word) == GNLI_FRAME_MESSAGE, 1)
               ? in
               : NULL;
}

/* Its size; -EAGAIN: it is out of the ordinary, or larger than the buffer. */
static inline ssize_t receive_small(struct gnli_link *link, void *data, size_t room)
{
    ssize_t result = -EAGAIN;
    uint64_t word;

    bool locked = gnli_lock(&link->receiving);
    struct gnli_in *in = ordinary(link, &word);
    if (in && __builtin_expect(gnli_frame_size(word) <= room, 1)) {
        result = (ssize_t)gnli_frame_size(word);
        memcpy(data, gnli_frames_contents(&in->reader), (size_t)result);
        leave(link, in, word);
    }
    gnli_unlock(&link->receiving, locked);
    return result;
}

static inline int take_small(struct gnli_link *link, gnl_message *message)
{
    struct gnli_place *place = NULL;
    int result = -EAGAIN;
    uint64_t word;

    bool locked = gnli_lock(&link->receiving);
    struct gnli_in *in = ordinary(link, &word);
    if (in && (result = take_frame(link, in, word, &place)) == 0) {
        describe(message, link, place, &in->sender);
        leave(link, in, word);
    }
    gnli_unlock(&link->receiving, locked);
    return result;
}

__attribute__((noinline)) static ssize_t receive_copy(gnl_port *port, void *data, size_t size,
                                                      int64_t timeout)
{
    struct gnli_receipt receipt = { .data = data, .size = size };
    int result = receive(port, &receipt, timeout);

    return result < 0 ? result : receipt.received;
}

ssize_t gnli_link_recv(gnl_port *port, void *data, size_t size, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);

    ssize_t result = receive_small(link, data, size);
    if (__builtin_expect(result < 0, 0))
        return receive_copy(port, data, size, timeout);
    ring_it(link);
    gnli_identity_received(link->me, link);
    return result;
}

__attribute__((noinline)) static int take_any(gnl_port *port, gnl_message *message, int64_t timeout)
{
    struct gnli_receipt receipt = { .message = message }; /* written only once it is taken */

    return receive(port, &receipt, timeout);
}

int gnli_link_take(gnl_port *port, gnl_message *message, int64_t timeout)
{
    struct gnli_link *link = gnli_link_of(port);

    if (__builtin_expect(take_small(link, message) < 0, 0))
        return take_any(port, message, timeout);
    ring_it(link);
    gnli_identity_received(link->me, link);
    return 0;
}

int gnli_link_receive_given(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout)
{
    struct gnli_receipt receipt = { .data = note, .descriptor = descriptor, .note_size = size };

    return receive(port, &receipt, timeout);
}

int gnli_link_end(struct gnli_link *link, struct gnli_place *place, bool giveback)
{
    bool locked = gnli_lock(&link->receiving);

    if (giveback) {
        struct gnli_place **last = &link->returned;
        while (*last)
            last = &(*last)->next;
        *last = place;
        place->serial = ++link->serial; /* who still has the message has it no more */
    } else {
        end_place(link, place);
    }
    gnli_unlock(&link->receiving, locked);
    if (giveback)
        gnli_link_interrupt(link->me);
    return 0;
}
