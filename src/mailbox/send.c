/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending: docs/protocol.md, S and Z.
 *
 *   A: relaxed: hints, and what a compare-and-swap checks again.
 *   B: relaxed: the body of a claimed slot; publishing (ring/slots.h, A) carries it.
 *   C: a chunk is given to the slot (release) with its bytes; F and M1 acquire its word.
 *   D: the sleepers' flag is raised, then the offer's word is looked at (seq_cst); who takes the offer
 *      changes its word, then looks at the flag (seq_cst): wait.c, B.
 *   E: acquire of a record's state, which joining releases with what the record says
 *      (life/participant.h, A).
 *   F: who polls for room raises the flag (seq_cst), then looks whether somebody waits to receive; who waits
 *      says so, then looks at the flag (seq_cst): wait.c, D.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"

/* What a rendezvous send with GNL_NOWAIT gives the receiver that waits, to wake up and take the message. */
#define HANDSHAKE_NS ((int64_t)50000000)

/* What is being sent: bytes, or a chunk with the bytes in it. */
struct sending {
    const void *data;
    size_t size;
    const struct gnli_sender_note *sender;
    gnli_chunk chunk; /* of a large message */
    uint64_t loan;    /* its word, while it is ours */
    struct gnli_claim claim;
};

/* S3, all but the bytes */
static inline void write_body(struct gnli_body *body, size_t size, const struct gnli_sender_note *sender)
{
    atomic_store_explicit(&body->size, (uint32_t)size, memory_order_relaxed);           /* B */
    atomic_store_explicit(&body->pid, sender->pid, memory_order_relaxed);               /* B */
    atomic_store_explicit(&body->uid, sender->uid, memory_order_relaxed);               /* B */
    atomic_store_explicit(&body->gid, sender->gid, memory_order_relaxed);               /* B */
    atomic_store_explicit(&body->deliveries, sender->deliveries, memory_order_relaxed); /* B */
}

static bool change_chunk(struct gnli_mailbox *mailbox, gnli_chunk chunk, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(gnli_arena_word(&mailbox->view.arena, chunk), &from, to,
                                                   memory_order_seq_cst,  /* C */
                                                   memory_order_relaxed); /* A */
}

static uint64_t queued_word(struct gnli_slots *ring, const struct sending *sending)
{
    return gnli_chunk_word(GNLI_CHUNK_QUEUED,
                           gnli_chunk_slot(ring->number, gnli_slots_index(ring, sending->claim.position)),
                           gnli_chunk_serial(sending->loan));
}

/* The claim failed. */
__attribute__((cold)) static int refused(struct gnli_slots *ring, uint64_t position, int result,
                                         struct gnli_stuck *stuck)
{
    if (result != -EAGAIN)
        return result;
    stuck->word = gnli_slots_watched(ring, position);
    stuck->seen = atomic_load_explicit(stuck->word, memory_order_relaxed); /* A */
    return -EAGAIN;
}

/* S5, S6 */
static inline int publish(struct gnli_mailbox_port *port, struct gnli_claim *claim)
{
    struct gnli_slots *ring = &port->out;

    int result = gnli_slots_publish(ring, &port->out_cursor, claim); /* S5 */
    if (result < 0)
        return result;
    gnli_wake(&ring->queue->receivers); /* S6 */
    gnli_spin_count(&port->out_spin);
    return 0;
}

/*
 * S1 to S6 of what nearly every send is: a message that lies in its slot, and there is room. -EAGAIN: try
 * all.
 */
__attribute__((always_inline)) static inline int send_small(struct gnli_mailbox_port *port, const void *data,
                                                            size_t size)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_slots *ring = &port->out;
    struct gnli_claim claim;

    int result = gnli_mailbox_usable(mailbox);
    if (result < 0)
        return result;
    if (!gnli_slots_claim_first(ring, &port->out_cursor, gnli_mailbox_me(mailbox), &claim)) /* S1 S2 */
        return -EAGAIN;
    write_body(&claim.slot->body, size, &mailbox->self);
    gnli_write_bytes(gnli_body_words(&claim.slot->body), data, size); /* S3 */
    return publish(port, &claim);
}

/* S1 to S6, without waiting. */
static int send_once(struct gnli_mailbox_port *port, struct sending *sending, struct gnli_stuck *stuck)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_slots *ring = &port->out;
    struct gnli_claim *claim = &sending->claim;
    unsigned me = gnli_mailbox_me(mailbox);

    int result = gnli_mailbox_usable(mailbox);
    if (result < 0)
        return result;
    result = gnli_slots_claim(ring, &port->out_cursor, me, claim); /* S1 S2 */
    if (result < 0)
        return refused(ring, claim->position, result, stuck);
    struct gnli_body *body = &claim->slot->body;
    write_body(body, sending->size, sending->sender);
    if (sending->size <= ring->inline_max) {
        gnli_write_bytes(gnli_body_words(body), sending->data, sending->size); /* S3 */
        return publish(port, claim);
    }
    atomic_store_explicit(&body->data[0], sending->chunk, memory_order_relaxed);                   /* B */
    atomic_store_explicit(&body->data[1], gnli_chunk_serial(sending->loan), memory_order_relaxed); /* B */
    if (!change_chunk(mailbox, sending->chunk, sending->loan, queued_word(ring, sending))) {       /* S4 */
        gnli_slots_abandon(ring, me, claim->position);
        return -EBADMSG;
    }
    return publish(port, claim);
}

static int try_send(struct gnli_mailbox_port *port, void *context, struct gnli_stuck *stuck)
{
    return send_once(port, context, stuck);
}

/* ---- rendezvous ---- */

/* Z1 */
static int try_taken(struct gnli_mailbox_port *port, void *context, struct gnli_stuck *stuck)
{
    const struct gnli_claim *claim = &((struct sending *)context)->claim;
    uint64_t ready = gnli_word(GNLI_READY, gnli_word_owner(claim->word), 0, gnli_word_lap(claim->word));

    *stuck = (struct gnli_stuck){ .word = &claim->slot->word, .seen = ready };
    return atomic_load_explicit(&claim->slot->word, memory_order_seq_cst) == ready ? -EAGAIN : 0; /* D */
}

/* Does a living process wait to receive? */
static bool receiver_waits(struct gnli_mailbox_port *port)
{
    struct gnli_view *view = &port->mailbox->view;

    for (unsigned number = 1; number < gnli_view_participants(view); number++) {
        struct gnli_participant *record = &view->participants[number];
        if (atomic_load_explicit(&record->state, memory_order_acquire) == GNLI_PARTICIPANT_ALIVE && /* E */
            atomic_load_explicit(&record->receiving[port->out.number], memory_order_seq_cst) > 0 && /* F */
            !port->out.owner->dead(port->out.context, number))
            return true;
    }
    return false;
}

bool gnli_mailbox_sendable(struct gnli_mailbox_port *port)
{
    int64_t capacity = port->mailbox->view.layout.capacity;

    if (gnli_mailbox_port_usable(port) < 0 ||
        atomic_load_explicit(&port->port.finished, memory_order_relaxed)) /* A */
        return true;
    if (capacity == GNL_RENDEZVOUS)
        return receiver_waits(port);
    return capacity == GNL_UNBOUNDED || gnli_slots_room(&port->out, &port->out_cursor) != -EAGAIN;
}

static struct gnli_patience sending_patience(struct gnli_mailbox_port *port)
{
    return (struct gnli_patience){ .sleepers = &port->out.queue->senders,
                                   .spin = &port->out_spin,
                                   .waiting = &gnli_mailbox_record(port->mailbox)->sending };
}

/* What was offered is taken, or withdrawn. */
static int await_receiver(struct gnli_mailbox_port *port, struct sending *sending, int64_t timeout)
{
    struct gnli_patience patience = sending_patience(port);
    struct gnli_slots *ring = &port->out;
    struct gnli_stuck stuck;
    unsigned me = gnli_mailbox_me(port->mailbox);

    int result = try_taken(port, sending, &stuck);
    if (result == -EAGAIN)
        result = gnli_mailbox_wait(port, &patience, timeout == GNL_NOWAIT ? HANDSHAKE_NS : timeout, try_taken,
                                   sending, &stuck);
    if (result == 0 || !gnli_slots_retract(ring, me, sending->claim.position)) /* Z2 */
        return 0;
    if (sending->size > ring->inline_max) {
        /* With a new serial: sent again through this slot it must not look the same to a stopped sweep. */
        uint64_t loan = gnli_chunk_word(GNLI_CHUNK_LOAN, me, gnli_chunk_serial(sending->loan) + 1);
        change_chunk(port->mailbox, sending->chunk, queued_word(ring, sending), loan); /* Z3 */
        sending->loan = loan;
    }
    gnli_slots_abandon(ring, me, sending->claim.position); /* Z4 */
    gnli_wake(&ring->queue->senders);
    return timeout == GNL_NOWAIT && result == -ETIMEDOUT ? -EAGAIN : result;
}

__attribute__((noinline)) static int send_waiting(struct gnli_mailbox_port *port, struct sending *sending,
                                                  int64_t timeout, struct gnli_stuck *stuck)
{
    struct gnli_patience patience = sending_patience(port);

    return gnli_mailbox_wait(port, &patience, timeout, try_send, sending, stuck);
}

__attribute__((noinline)) static int send_rendezvous(struct gnli_mailbox_port *port, struct sending *sending,
                                                     int64_t timeout)
{
    int64_t start = timeout > 0 ? gnli_now_ns() : 0;
    struct gnli_stuck stuck;

    if (timeout == GNL_NOWAIT && !receiver_waits(port)) {
        int usable = gnli_mailbox_usable(port->mailbox);
        return usable < 0 ? usable : -EAGAIN;
    }
    int result = try_send(port, sending, &stuck);
    if (result == -EAGAIN && timeout != GNL_NOWAIT)
        result = send_waiting(port, sending, timeout, &stuck);
    if (result < 0)
        return result;
    int64_t left = timeout;
    if (timeout > 0) {
        left = timeout - (gnli_now_ns() - start);
        left = left > 1 ? left : 1;
    }
    return await_receiver(port, sending, left);
}

/* After a send that succeeded, or did not. */
static inline int ended(struct gnli_mailbox_port *port, int result)
{
    struct gnli_mailbox *mailbox = port->mailbox;

    /* Was the file truncated under us, and the message written into a page of zeros? */
    if (result == 0 && gnli_file_patched(mailbox->view.file))
        result = gnli_file_repair(mailbox->view.file);
    if (result == 0)
        gnli_add(&gnli_mailbox_record(mailbox)->sent, 1);
    if (atomic_load_explicit(&port->out_poll, memory_order_relaxed)) /* A */
        gnli_poll_changed(port, true);
    return result;
}

static int send_and_wait(struct gnli_mailbox_port *port, struct sending *sending, int64_t timeout)
{
    struct gnli_stuck stuck;
    int result;

    if (port->mailbox->view.layout.capacity == GNL_RENDEZVOUS) {
        result = send_rendezvous(port, sending, timeout);
    } else {
        result = send_once(port, sending, &stuck);
        if (result == -EAGAIN && timeout != GNL_NOWAIT)
            result = send_waiting(port, sending, timeout, &stuck);
    }
    return ended(port, result);
}

/* ---- the operations ---- */

static int check_size(struct gnli_mailbox_port *port, size_t size)
{
    if (size <= port->mailbox->view.layout.message_max)
        return 0;
    return gnli_fail(-EMSGSIZE, "%s: a message of %zu bytes; its message_max is %llu", port->port.subject,
                     size, (unsigned long long)port->mailbox->view.layout.message_max);
}

static int loan_chunk(struct gnli_mailbox_port *port, size_t size, gnli_chunk *chunk, uint64_t *word)
{
    struct gnli_mailbox *mailbox = port->mailbox;

    int result = gnli_mailbox_usable(mailbox);
    if (result < 0)
        return result;
    return gnli_arena_loan(&mailbox->view.arena, &port->recent, gnli_mailbox_me(mailbox), size, chunk, word);
}

/* What a sender that is to stay close waits for: memory that the receiver has read. */
struct recent {
    struct gnli_mailbox_port *port;
    size_t size;
};

static bool is_free(void *context, uint32_t places)
{
    const struct recent *recent = context;

    (void)places;
    return gnli_arena_recent_free(&recent->port->mailbox->view.arena, &recent->port->recent, recent->size);
}

#define SLOWEST_BYTES_A_NS 8 /* a receiver that copies less is not worth waiting for */

static void stay_close(struct gnli_mailbox_port *port, size_t size, int64_t timeout)
{
    struct recent recent = { .port = port, .size = size };

    if (gnli_distance_counts(size) && gnli_distance_close() && gnli_distance_may(timeout, &port->out_spin) &&
        !is_free(&recent, 0))
        gnli_distance_wait(&port->out_distance, 1, (int64_t)(size / SLOWEST_BYTES_A_NS), is_free, &recent);
}

static int send_large(struct gnli_mailbox_port *port, struct sending *sending, int64_t timeout)
{
    struct gnli_arena *arena = &port->mailbox->view.arena;

    stay_close(port, sending->size, timeout);
    int result = loan_chunk(port, sending->size, &sending->chunk, &sending->loan);
    if (result < 0)
        return result;
    gnli_copy(&port->out_copying, gnli_copy_past_caches, gnli_arena_data(arena, sending->chunk),
              sending->data, sending->size, port->mailbox->view.layout.capacity);
    result = send_and_wait(port, sending, timeout);
    if (result < 0)
        gnli_arena_free(arena, gnli_mailbox_me(port->mailbox), sending->chunk, sending->loan, 0);
    return result;
}

int gnli_mailbox_forward(struct gnli_mailbox_port *port, const void *data, size_t size,
                         const struct gnli_sender_note *sender, int64_t timeout)
{
    struct sending sending;

    sending.data = data;
    sending.size = size;
    sending.sender = sender;
    int result = check_size(port, size);
    if (result < 0)
        return result;
    return size <= port->out.inline_max ? send_and_wait(port, &sending, timeout)
                                        : send_large(port, &sending, timeout);
}

int gnli_mailbox_send(gnl_port *base, const void *data, size_t size, int64_t timeout)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);

    if (__builtin_expect(size < port->small_end, 1)) {
        int result = send_small(port, data, size);
        if (__builtin_expect(result != -EAGAIN, 1))
            return ended(port, result);
    }
    return gnli_mailbox_forward(port, data, size, &port->mailbox->self, timeout);
}

/*
 * A loan that would fit into a slot has its bytes in this process's own memory: it is copied when it
 * is posted, since its slot is not known before. `name` of its ticket is that memory's address then.
 */
int gnli_mailbox_loan(gnl_port *base, gnl_message *message, size_t size, int64_t timeout)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    uint64_t word = 0, name = 0;
    void *data;

    int result = check_size(port, size);
    if (result < 0)
        return result;
    struct gnli_tickets *loans = gnli_tickets_make(&port->loans);
    int ticket = loans ? gnli_ticket_acquire(loans) : -ENOMEM;
    if (ticket == -ENOMEM)
        return gnli_fail_plain(ticket, base->subject);
    if (ticket < 0)
        return gnli_fail(ticket, "%s: %d loans are out already: post or drop some", base->subject,
                         GNL_HELD_MAX);
    if (size <= port->out.inline_max) {
        result = gnli_mailbox_usable(port->mailbox);
        data = result == 0 ? malloc(size > 0 ? size : 1) : NULL;
        name = (uint64_t)(uintptr_t)data;
        if (result == 0 && !data)
            result = -ENOMEM;
    } else {
        result = loan_chunk(port, size, &name, &word);
        data = result == 0 ? gnli_arena_data(&port->mailbox->view.arena, name) : NULL;
    }
    if (result < 0) {
        gnli_ticket_release(loans, (unsigned)ticket);
        return result;
    }
    loans->ticket[ticket].word = word;
    loans->ticket[ticket].name = name;
    *message = (gnl_message){
        .data = data,
        .size = size,
        .port_ = base,
        .private_ = { [GNLI_MESSAGE_TICKET] = (uint64_t)ticket,
                      [GNLI_MESSAGE_LOAN] = 1,
                      [GNLI_MESSAGE_STAMP] = atomic_load_explicit(&base->stamp, memory_order_relaxed), /* A */
                      [GNLI_MESSAGE_WORD] = size },
    };
    return 0;
}

/* The loan's memory is not the caller's any more. */
static void end_loan(struct gnli_mailbox_port *port, unsigned ticket, bool sent_as_chunk)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_tickets *loans = gnli_tickets_of(&port->loans);
    struct gnli_ticket *loan = &loans->ticket[ticket];

    if (loan->word == 0)
        free((void *)(uintptr_t)loan->name);
    else if (!sent_as_chunk)
        gnli_arena_free(&mailbox->view.arena, gnli_mailbox_me(mailbox), loan->name, loan->word, 0);
    gnli_ticket_release(loans, ticket);
}

int gnli_mailbox_drop(struct gnli_mailbox_port *port, unsigned ticket)
{
    end_loan(port, ticket, false);
    return 0;
}

int gnli_mailbox_post(gnl_port *base, gnl_message *message, int64_t timeout)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    unsigned ticket = (unsigned)message->private_[GNLI_MESSAGE_TICKET];

    if (!message->private_[GNLI_MESSAGE_LOAN] || ticket >= GNL_HELD_MAX)
        return gnli_fail(-EINVAL, "%s: this message is not on loan from this port", base->subject);
    if (message->private_[GNLI_MESSAGE_STAMP] !=
        atomic_load_explicit(&base->stamp, memory_order_relaxed)) /* A */
        return gnli_fail(-EPERM, "%s: this loan is the parent process's", base->subject);
    struct gnli_tickets *loans = gnli_tickets_of(&port->loans);
    if (!gnli_ticket_used(loans, ticket))
        return gnli_fail(-EINVAL, "%s: this loan has ended", base->subject);
    if (message->size > message->private_[GNLI_MESSAGE_WORD])
        return gnli_fail(-EMSGSIZE, "%s: the loan is of %llu bytes, not of %zu", base->subject,
                         (unsigned long long)message->private_[GNLI_MESSAGE_WORD], message->size);
    struct gnli_ticket *loan = &loans->ticket[ticket];
    struct sending sending = {
        .data = message->data,
        .size = message->size,
        .sender = &port->mailbox->self,
        .chunk = loan->name,
        .loan = loan->word,
    };
    int result = send_and_wait(port, &sending, timeout);
    loan->word = sending.loan;
    if (result == 0) {
        end_loan(port, ticket, message->size > port->out.inline_max);
        message->port_ = NULL;
        message->data = NULL;
    }
    return result;
}
