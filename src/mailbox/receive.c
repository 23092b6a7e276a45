/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving: docs/protocol.md, R, T, D, G and A.
 *
 *   A: relaxed: hints, and what a compare-and-swap checks again.
 *   B: a giver-back returns the cell, then raises `returned` to a value that it never had (seq_cst); a
 *      receiver reads it (seq_cst), looks at the cells, and lowers it only if it has not changed: so it
 *      either saw the cell or leaves the mark.
 *   C: acquire of a cell's word, which T3, F4 and G1 release: carries its body; and of the dead letters'
 *      port, whose maker releases it.
 *   D: relaxed: the body of a ready slot, which counts only if the word is unchanged after it (ring/slots.h,
 *      A and I3); of a held cell, which is ours.
 *   E: the body is read, then an acquire fence, then the word again, relaxed: if that is unchanged, no
 *      sender had claimed the slot anew and released other bytes into it.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <string.h>

#include "base/budget.h"
#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"

#define LOOK_WHEN_BUSY_NS \
    ((int64_t)20000000)                 /* a look is some system calls: not at every tick of the clock */
#define LOOK_SHARE_NS ((int64_t)500000) /* longer by so much a port: who has a thousand still looks little */
#define ASK_WHEN_BUSY 4                 /* participants asked after at such a look */
#define STRIDE_MAX    63                /* receives between two looks at the clock */
#define FETCHED       1024 /* bytes of a large message that are asked for as soon as it is seen */
#define RACING_NS     ((int64_t)10000000) /* with others for messages, before a try is over */

struct receiving {
    void *data; /* gnl_recv: the buffer */
    size_t size;
    bool copy;
    size_t received; /* bytes */
    struct gnli_hold hold;
    _Atomic uint32_t *cell_hint;
};

/* What a held message consists of; NULL data: nonsense. */
static void *held_data(struct gnli_mailbox *mailbox, const struct gnli_hold *hold, size_t *size)
{
    struct gnli_body *body = &gnli_cell_at(&mailbox->view, hold->cell)->body;
    gnli_chunk chunk = atomic_load_explicit(&body->data[0], memory_order_relaxed); /* D */

    *size = atomic_load_explicit(&body->size, memory_order_relaxed); /* D */
    if (*size > mailbox->view.layout.message_max)
        return NULL;
    if (*size <= mailbox->view.layout.inline_max)
        return gnli_body_words(body);
    return gnli_arena_reach(&mailbox->view.arena, chunk, *size) == 0
               ? gnli_arena_data(&mailbox->view.arena, chunk)
               : NULL;
}

/* Is there address space for what the body names? Asked before it becomes ours: -ENOMEM, and it stays. */
static int reach(struct gnli_mailbox_port *port, struct gnli_body *body)
{
    struct gnli_arena *arena = &port->mailbox->view.arena;
    gnli_chunk chunk = atomic_load_explicit(&body->data[0], memory_order_relaxed); /* D */
    size_t size = atomic_load_explicit(&body->size, memory_order_relaxed);         /* D */

    if (size <= port->in.inline_max)
        return 0;
    int result = gnli_arena_reach(arena, chunk, size);
    if (result == -ENOMEM)
        return gnli_fail(-ENOMEM, "%s: no address space for a message of %zu bytes", port->port.subject,
                         size);
    if (result == 0) { /* its lines come while the steps are done that lie between */
        const char *data = gnli_arena_data(arena, chunk);
        gnli_prefetch_write(gnli_arena_word(arena, chunk));
        for (size_t i = 0; i < size && i < FETCHED; i += 64)
            __builtin_prefetch(data + i);
    }
    return 0;
}

static int too_small(struct gnli_mailbox_port *port, size_t message, size_t buffer)
{
    return gnli_fail(-EMSGSIZE, "%s: the message is of %zu bytes, the buffer of %zu", port->port.subject,
                     message, buffer);
}

static int nonsense(struct gnli_mailbox_port *port)
{
    return gnli_fail(-EBADMSG, "%s: a message's description makes no sense: its memory was scribbled over",
                     port->port.subject);
}

/* ---- messages that were given back ---- */

/*
 * Their name stands in the file, where whoever made the mailbox wrote it: it must not lead a stranger's
 * letters into mailboxes of ours. So they go to a mailbox of the same owner, and from a machine-wide one
 * never to this user's own names.
 */
static gnl_port *dead_letters(struct gnli_mailbox_port *port)
{
    struct gnli_view *view = &port->mailbox->view;
    uid_t owner = view->uid == 0 ? GNL_OWNER_ROOT : view->uid;
    struct gnl_options options = { .capacity = GNL_UNBOUNDED,
                                   .message_max = view->layout.message_max,
                                   .direction = GNL_SEND_ONLY,
                                   .mode = view->mode & 0777,
                                   .owner_uid = owner };
    struct gnl_options existing = { .direction = GNL_SEND_ONLY, .owner_uid = owner };
    struct gnli_address from, to;
    gnl_port *opened = atomic_load_explicit(&port->dead_letters, memory_order_acquire); /* C */

    if (opened) { /* in a forked child it is the parent's still */
        bool ours = gnli_process_is(atomic_load_explicit(&opened->stamp, memory_order_relaxed)); /* A */
        return ours || opened->operations->after_fork(opened) == 0 ? opened : NULL;
    }
    if (gnli_address_parse(&from, port->address) < 0 || gnli_address_parse(&to, view->dead_letters) < 0 ||
        (from.machine_wide && !to.machine_wide))
        return NULL;
    if (gnl_open(&opened, view->dead_letters, &options) < 0 &&
        gnl_open(&opened, view->dead_letters, &existing) < 0)
        return NULL;
    gnl_port *none = NULL;
    if (!atomic_compare_exchange_strong_explicit(&port->dead_letters, &none, opened,
                                                 memory_order_acq_rel,    /* C */
                                                 memory_order_acquire)) { /* C */
        gnl_close(opened);
        opened = none;
    }
    return opened;
}

/* A held message that users had so often goes to the dead letters. False: they can't be reached. */
static bool bury_held(struct gnli_mailbox_port *port, const struct gnli_hold *hold, unsigned deliveries)
{
    struct gnli_mailbox *mailbox = port->mailbox;

    if (mailbox->view.dead_letters[0] != '\0') {
        size_t size;
        void *data = held_data(mailbox, hold, &size);
        gnl_port *grave = dead_letters(port);
        struct gnli_body *body = &gnli_cell_at(&mailbox->view, hold->cell)->body;
        struct gnli_sender_note sender = {
            .pid = atomic_load_explicit(&body->pid, memory_order_relaxed), /* D */
            .uid = atomic_load_explicit(&body->uid, memory_order_relaxed), /* D */
            .gid = atomic_load_explicit(&body->gid, memory_order_relaxed), /* D */
            .deliveries = deliveries,
        };
        if (!data || !grave ||
            gnli_mailbox_forward(gnli_mailbox_port_of(grave), data, size, &sender, GNL_NOWAIT) < 0)
            return false;
    }
    gnli_add(&gnli_mailbox_record(mailbox)->discarded, 1);
    gnli_cell_done(mailbox, hold);
    return true;
}

/* The same with one that was returned and that we adopted for this. False: it can't be done, and stays. */
static bool bury(struct gnli_mailbox_port *port, const struct gnli_hold *hold)
{
    if (bury_held(port, hold, gnli_cell_deliveries(hold->word) - 1)) /* this one is to us, not to a user */
        return true;
    gnli_cell_giveback(port->mailbox, hold, true);
    atomic_store_explicit(&port->unburied, true, memory_order_relaxed); /* A */
    return false;
}

void gnli_mailbox_bury_again(struct gnli_mailbox_port *port)
{
    if (atomic_load_explicit(&port->unburied, memory_order_relaxed) &&          /* A */
        atomic_exchange_explicit(&port->unburied, false, memory_order_relaxed)) /* A */
        gnli_raise_returned(port->in.queue);
}

static bool returned_to(struct gnli_mailbox_port *port, struct gnli_cell *cell, uint64_t word)
{
    return gnli_cell_phase(word) == GNLI_CELL_RETURNED &&
           atomic_load_explicit(&cell->body.origin, memory_order_relaxed) >> 31 == port->in.number; /* D */
}

/* A1 for the first returned cell that is for us. -EAGAIN none, -EMSGSIZE. */
static int adopt_some(struct gnli_mailbox_port *port, struct receiving *receiving)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    unsigned most = mailbox->view.max_deliveries;
    struct gnli_budget budget = { .allowed_ns = RACING_NS };
    bool graves = true; /* if the dead letters can't be opened, once in vain is enough: that takes its time */

    for (unsigned cell = 1; cell < gnli_view_cells(&mailbox->view); cell++) {
        struct gnli_cell *held = gnli_cell_at(&mailbox->view, cell);
        uint64_t word = atomic_load_explicit(&held->word, memory_order_acquire); /* C */
        if (!returned_to(port, held, word))
            continue;
        size_t size = atomic_load_explicit(&held->body.size, memory_order_relaxed); /* D */
        bool poisoned = most > 0 && gnli_cell_deliveries(word) >= most;
        if (poisoned && !graves)
            continue;
        if (!poisoned && receiving->copy && size > receiving->size)
            return too_small(port, size, receiving->size);
        int result = reach(port, &held->body);
        if (result < 0)
            return result;
        if (!gnli_cell_adopt(mailbox, cell, word, &receiving->hold))
            continue;
        if (!poisoned) {
            gnli_add(&gnli_mailbox_record(mailbox)->redelivered, 1);
            return 0;
        }
        graves = bury(port, &receiving->hold) ||
                 atomic_load_explicit(&port->dead_letters, memory_order_acquire) != NULL; /* C */
        if (gnli_budget_spent(&budget, GNLI_STEPS_A_LOOK)) {
            graves = false; /* the rest at a next look around */
            atomic_store_explicit(&port->unburied, true, memory_order_relaxed); /* A */
        }
    }
    return -EAGAIN;
}

/* No cell was there: lowered, unless one came since it was seen. Nothing is hidden from others meanwhile. */
static void lower_returned(struct gnli_mailbox_port *port, uint64_t seen)
{
    atomic_compare_exchange_strong_explicit(&port->in.queue->returned, &seen, seen - 1,
                                            memory_order_seq_cst,  /* B */
                                            memory_order_relaxed); /* A */
}

static int adopt(struct gnli_mailbox_port *port, struct receiving *receiving)
{
    uint64_t seen = atomic_load_explicit(&port->in.queue->returned, memory_order_seq_cst); /* B */

    if (!gnli_any_returned(seen))
        return -EAGAIN;
    int result = adopt_some(port, receiving);
    if (result == -EAGAIN)
        lower_returned(port, seen);
    return result;
}

/* For who polls: is a returned cell there, or is the mark only what the last one left? */
static bool returned_waits(struct gnli_mailbox_port *port)
{
    struct gnli_view *view = &port->mailbox->view;
    uint64_t seen = atomic_load_explicit(&port->in.queue->returned, memory_order_seq_cst); /* B */

    if (!gnli_any_returned(seen))
        return false;
    for (unsigned cell = 1; cell < gnli_view_cells(view); cell++) {
        uint64_t word = atomic_load_explicit(&gnli_cell_at(view, cell)->word, memory_order_acquire); /* C */
        if (returned_to(port, gnli_cell_at(view, cell), word))
            return true;
    }
    lower_returned(port, seen);
    return false;
}

/* ---- messages in the queue ---- */

/* Of a message that is to be received soon, the chunk's word: two processes change it in turn. */
static inline void prefetch_chunk(struct gnli_mailbox_port *port, uint64_t position)
{
    struct gnli_arena *arena = &port->mailbox->view.arena;
    struct gnli_body *body = &gnli_slots_at(&port->in, position)->body;
    gnli_chunk chunk = atomic_load_explicit(&body->data[0], memory_order_relaxed); /* D */
    size_t size = atomic_load_explicit(&body->size, memory_order_relaxed);         /* D */

    if (size > port->in.inline_max && gnli_arena_reach(arena, chunk, size) == 0)
        gnli_prefetch_write(gnli_arena_word(arena, chunk));
}

/* After a receive: memory of consumed slots goes back now and then. */
static inline void received(struct gnli_mailbox_port *port, uint64_t position)
{
    gnli_slots_advance(&port->in, &port->in_cursor, position);
    gnli_spin_count(&port->in_spin);
    if (gnli_spin_expects(&port->in_spin, GNLI_BACKLOG_AHEAD)) {
        gnli_slots_prefetch(&port->in, position);
        prefetch_chunk(port, gnli_slots_after(&port->in, gnli_slots_after(&port->in, position)));
    }
    if (port->in.unbounded && position % GNLI_SLOTS_A_BLOCK == GNLI_SLOTS_A_BLOCK - 1)
        gnli_mailbox_release_slots(port->mailbox, &port->in);
}

/* Did what was read of the slot's body belong to this word? */
static bool unchanged(struct gnli_slot *slot, uint64_t word)
{
    atomic_thread_fence(memory_order_acquire);                              /* E */
    return atomic_load_explicit(&slot->word, memory_order_relaxed) == word; /* E */
}

/*
 * R3 to R6: the bytes of a message that lies in its slot go straight to the caller, who may find some of them
 * there without having received it. The processor goes on past the size before that has come: no load waits
 * for another. -EAGAIN: it does not fit, or somebody else was quicker.
 */
__attribute__((always_inline)) static inline ssize_t copy_out(struct gnli_mailbox_port *port,
                                                              struct gnli_slot *slot, uint64_t position,
                                                              uint64_t word, void *data, size_t room)
{
    struct gnli_slots *ring = &port->in;
    size_t size = atomic_load_explicit(&slot->body.size, memory_order_relaxed); /* D */

    if (size > room || size > ring->inline_max)
        return -EAGAIN;
    gnli_read_bytes(data, gnli_body_words(&slot->body), size); /* R4 */
    if (!gnli_slots_consume(ring, slot, position, word))
        return -EAGAIN;
    received(port, position);
    gnli_wake_senders(ring, position); /* R6 */
    return (ssize_t)size;
}

/* What nearly every receive is: a small message is next, and nothing was given back. -EAGAIN: try all. */
__attribute__((always_inline)) static inline ssize_t receive_small(struct gnli_mailbox_port *port, void *data,
                                                                   size_t room)
{
    struct gnli_slots *ring = &port->in;
    struct gnli_slot *slot;
    uint64_t position, word;

    int result = gnli_mailbox_usable(port->mailbox);
    if (result < 0)
        return result;
    if (gnli_any_returned(atomic_load_explicit(&ring->queue->returned, memory_order_seq_cst)) || /* B */
        !gnli_slots_peek(ring, &port->in_cursor, &slot, &position, &word))
        return -EAGAIN;
    return copy_out(port, slot, position, word, data, room);
}

/* R1 to R6, or T; without waiting. */
static int from_queue(struct gnli_mailbox_port *port, struct receiving *receiving, struct gnli_stuck *stuck)
{
    struct gnli_hold hold = { .cell = 0 };
    struct gnli_budget budget = { .allowed_ns = RACING_NS };
    int result;

    for (;;) {
        uint64_t position, word;
        if (gnli_budget_spent(&budget, GNLI_STEP_KERNEL)) { /* others are quicker each time */
            *stuck = (struct gnli_stuck){ .word = &port->in.queue->reserved };
            result = -EAGAIN;
            break;
        }
        result = gnli_slots_find(&port->in, &port->in_cursor, &position, &word); /* R1 R2 */
        if (result < 0) {
            *stuck = (struct gnli_stuck){ .word = gnli_slots_watched(&port->in, position), .seen = word };
            break;
        }
        struct gnli_slot *slot = gnli_slots_at(&port->in, position);
        size_t size = atomic_load_explicit(&slot->body.size, memory_order_relaxed); /* D */
        if (receiving->copy && size > receiving->size) {                            /* R3 */
            if (!unchanged(slot, word))
                continue;
            result = too_small(port, size, receiving->size);
            break;
        }
        if (receiving->copy && size <= port->in.inline_max) {
            ssize_t copied = copy_out(port, slot, position, word, receiving->data, receiving->size);
            if (copied < 0)
                continue;
            receiving->received = (size_t)copied;
            result = 0;
            break;
        }
        if ((result = reach(port, &slot->body)) < 0)
            break;
        if (hold.cell == 0 && (result = gnli_cell_acquire(port->mailbox, receiving->cell_hint, &hold)) < 0)
            break;
        int taken = gnli_cell_take(port->mailbox, &port->in, position, word, &hold);
        if (taken == 0)
            continue;
        if (taken > 0)
            received(port, position);
        receiving->hold = hold;
        return taken < 0 ? taken : 0;
    }
    if (hold.cell != 0)
        gnli_cell_release(port->mailbox, &hold);
    return result;
}

__attribute__((noinline)) static int look(struct gnli_mailbox_port *port)
{
    int64_t now = gnli_tick_ns();
    int64_t quiet = now - atomic_load_explicit(&port->looked_ns, memory_order_relaxed); /* A */
    uint32_t stride = atomic_load_explicit(&port->stride, memory_order_relaxed);        /* A */
    bool due = quiet >= LOOK_WHEN_BUSY_NS + LOOK_SHARE_NS * gnli_mailbox_ports();

    stride = due ? 0 : stride < STRIDE_MAX ? 2 * stride + 1 : stride;
    atomic_store_explicit(&port->stride, stride, memory_order_relaxed);   /* A */
    atomic_store_explicit(&port->unlooked, stride, memory_order_relaxed); /* A */
    if (!due)
        return 0;
    atomic_store_explicit(&port->looked_ns, now, memory_order_relaxed); /* A */
    gnli_mailbox_look_around(port->mailbox, ASK_WHEN_BUSY);
    gnli_mailbox_bury_again(port);
    return gnli_mailbox_confirm(port->mailbox);
}

/*
 * A receiver that is never idle has to look around too, lest a dead one's messages wait, and to prove that it
 * lives. The more receives there are between two such looks, the fewer of them ask the clock.
 */
static inline int look_now_and_then(struct gnli_mailbox_port *port)
{
    uint32_t unlooked = atomic_load_explicit(&port->unlooked, memory_order_relaxed); /* A */

    if (unlooked == 0)
        return look(port);
    atomic_store_explicit(&port->unlooked, unlooked - 1, memory_order_relaxed); /* A */
    return 0;
}

__attribute__((noinline)) static int try_receive(struct gnli_mailbox_port *port, void *context,
                                                 struct gnli_stuck *stuck)
{
    struct receiving *receiving = context;

    if (receiving->copy) {
        ssize_t copied = receive_small(port, receiving->data, receiving->size);
        receiving->received = (size_t)copied;
        if (copied != -EAGAIN)
            return copied < 0 ? (int)copied : 0;
    }
    int result = gnli_mailbox_usable(port->mailbox);
    if (result < 0)
        return result;
    result = adopt(port, receiving);
    if (result == -EAGAIN)
        result = from_queue(port, receiving, stuck);
    return result;
}

bool gnli_mailbox_receivable(struct gnli_mailbox_port *port)
{
    uint64_t position, word;

    return gnli_mailbox_port_usable(port) < 0 || returned_waits(port) ||
           gnli_slots_find(&port->in, &port->in_cursor, &position, &word) != -EAGAIN;
}

__attribute__((noinline)) static int receive_waiting(struct gnli_mailbox_port *port,
                                                     struct receiving *receiving, int64_t timeout,
                                                     struct gnli_stuck *stuck)
{
    struct gnli_patience patience = {
        .sleepers = &port->in.queue->receivers,
        .spin = &port->in_spin,
        .waiting = &gnli_mailbox_record(port->mailbox)->receiving[port->in.number],
    };

    return gnli_mailbox_wait(port, &patience, timeout, try_receive, receiving, stuck);
}

/* After a receive that succeeded, or did not. */
static inline void tell(struct gnli_mailbox_port *port, bool received)
{
    if (received)
        gnli_add(&gnli_mailbox_record(port->mailbox)->received, 1);
    if (atomic_load_explicit(&port->in_poll, memory_order_relaxed)) /* A */
        gnli_poll_changed(port, false);
}

static bool is_queued(void *context, uint32_t places)
{
    struct gnli_mailbox_port *port = context;

    return gnli_slots_queue(&port->in, &port->in_cursor, places);
}

static int receive(struct gnli_mailbox_port *port, struct receiving *receiving, int64_t timeout)
{
    struct gnli_stuck stuck;

    if (gnli_distance_may(timeout, &port->in_spin))
        gnli_distance_keep(&port->in_distance, is_queued, port);

    int result = look_now_and_then(port);
    if (result < 0)
        return result;
    result = try_receive(port, receiving, &stuck);
    if (result == -EAGAIN && timeout != GNL_NOWAIT)
        result = receive_waiting(port, receiving, timeout, &stuck);
    if (result == -EAGAIN || result == -ETIMEDOUT)
        gnli_mailbox_tidy(port->mailbox);
    tell(port, result == 0);
    return result;
}

/* ---- the operations ---- */

__attribute__((noinline)) static ssize_t recv_slowly(struct gnli_mailbox_port *port, void *data, size_t size,
                                                     int64_t timeout)
{
    struct receiving receiving = { .data = data, .size = size, .copy = true, .cell_hint = &port->recv_cell };

    int result = receive(port, &receiving, timeout);
    if (result < 0)
        return result;
    if (receiving.hold.cell != 0) {
        size_t held_size;
        const void *held = held_data(port->mailbox, &receiving.hold, &held_size);
        if (!held || held_size > size) {
            gnli_cell_done(port->mailbox, &receiving.hold);
            return nonsense(port);
        }
        gnli_copy(&port->in_copying, gnli_copy_by_vectors, data, held, held_size, 0);
        receiving.received = held_size;
        result = gnli_cell_done(port->mailbox, &receiving.hold);
    }
    gnli_distance_note(&port->in_distance, receiving.received, port->mailbox->view.layout.capacity);
    return result < 0 ? result : (ssize_t)receiving.received;
}

ssize_t gnli_mailbox_recv(gnl_port *base, void *data, size_t size, int64_t timeout)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    uint32_t unlooked = atomic_load_explicit(&port->unlooked, memory_order_relaxed); /* A */

    if (__builtin_expect(unlooked > 0, 1)) {
        ssize_t copied = receive_small(port, data, size);
        if (__builtin_expect(copied >= 0, 1)) {
            atomic_store_explicit(&port->unlooked, unlooked - 1, memory_order_relaxed); /* A */
            tell(port, true);
            return copied;
        }
    }
    return recv_slowly(port, data, size, timeout);
}

int gnli_mailbox_take(gnl_port *base, gnl_message *message, int64_t timeout)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_tickets *held = gnli_tickets_make(&port->held);
    int ticket = held ? gnli_ticket_acquire(held) : -ENOMEM;

    if (ticket == -ENOMEM)
        return gnli_fail_plain(ticket, base->subject);
    if (ticket < 0)
        return gnli_fail(ticket, "%s: %d messages are held already: gnl_done some", base->subject,
                         GNL_HELD_MAX);
    struct receiving receiving = { .cell_hint = &held->ticket[ticket].hint };
    int result = receive(port, &receiving, timeout);
    if (result < 0) {
        gnli_ticket_release(held, (unsigned)ticket);
        return result;
    }
    size_t size;
    void *data = held_data(mailbox, &receiving.hold, &size);
    if (!data) {
        gnli_cell_done(mailbox, &receiving.hold);
        gnli_ticket_release(held, (unsigned)ticket);
        return nonsense(port);
    }
    gnli_distance_note(&port->in_distance, size, mailbox->view.layout.capacity);
    held->ticket[ticket].word = receiving.hold.word;
    held->ticket[ticket].name = receiving.hold.cell;
    struct gnli_body *body = &gnli_cell_at(&mailbox->view, receiving.hold.cell)->body;
    unsigned deliveries = gnli_cell_deliveries(receiving.hold.word) +
                          atomic_load_explicit(&body->deliveries, memory_order_relaxed); /* D */
    *message = (gnl_message){
        .data = data,
        .size = size,
        .sender = { .pid = (pid_t)atomic_load_explicit(&body->pid, memory_order_relaxed), /* D */
                    .uid = atomic_load_explicit(&body->uid, memory_order_relaxed),        /* D */
                    .gid = atomic_load_explicit(&body->gid, memory_order_relaxed) },      /* D */
        .flags = deliveries > 1 ? GNL_REDELIVERED : 0,
        .deliveries = deliveries,
        .port_ = base,
        .private_ = { [GNLI_MESSAGE_TICKET] = (uint64_t)ticket,
                      [GNLI_MESSAGE_STAMP] = atomic_load_explicit(&base->stamp, memory_order_relaxed), /* A */
                      [GNLI_MESSAGE_WORD] = receiving.hold.word },
    };
    return 0;
}

int gnli_mailbox_end(struct gnli_mailbox_port *port, unsigned ticket, bool giveback)
{
    struct gnli_tickets *held = gnli_tickets_of(&port->held);
    struct gnli_hold hold = { .cell = (unsigned)held->ticket[ticket].name,
                              .word = held->ticket[ticket].word };
    uint32_t most = port->mailbox->view.max_deliveries;
    unsigned deliveries = gnli_cell_deliveries(hold.word);
    int result = 0;

    if (!giveback)
        result = gnli_cell_done(port->mailbox, &hold);
    else if (most == 0 || deliveries < most || !bury_held(port, &hold, deliveries))
        result = gnli_cell_giveback(port->mailbox, &hold, false);
    gnli_ticket_release(held, ticket);
    return result;
}
