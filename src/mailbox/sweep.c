/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dead left, and memory that lies idle. docs/protocol.md, Mending and Unbounded.
 *
 *   A: relaxed: advice, and words that a compare-and-swap checks again.
 *   B: what a sweep returned is visible (release in the cell's word) before `returned`, which says so, is
 *      raised (seq_cst): receive.c, B.
 *   C: acquire of a word or state, which whoever changed it released: carries what belongs to it. So a block
 *      is reserved again only after the hole that was made of it.
 *   D: moving `reserved` on (seq_cst) after its memory is there; readers acquire (ring/slots.h, D).
 */
#include "mailbox/mailbox.h"

#include <errno.h>

#include "base/budget.h"
#include "base/errors.h"

#define BLOCKS_AT_ONCE     64
#define RELEASE_OWNER_BITS 12
/*
 * How long one look around may mend, of this thread's own time: always so much, and what the mailbox's memory
 * takes. Honest words take less. What is left is for the next look.
 */
#define MENDING_NS ((int64_t)20000000)

#define CELL_TRIES 8 /* a dead one's word changes three times: pending, held, returned or empty */

/* ---- what a ring asks ---- */

static bool dead(void *context, unsigned owner)
{
    struct gnli_mailbox *mailbox = context;

    if (owner == gnli_mailbox_me(mailbox))
        return false;
    if (owner == 0 || owner >= gnli_view_participants(&mailbox->view))
        return true; /* nobody has ever had that number */
    return gnli_participant_dead(mailbox->view.file, mailbox->view.participants, owner,
                                 mailbox->pid_namespace);
}

static int finish(void *context, unsigned queue, uint64_t index, uint64_t word)
{
    struct gnli_mailbox *mailbox = context;

    return gnli_cell_finish(&mailbox->view, &mailbox->rings[queue], index, word);
}

static void undo(void *context, unsigned queue, uint64_t index, uint64_t word)
{
    struct gnli_mailbox *mailbox = context;

    gnli_cell_undo_claim(&mailbox->view, &mailbox->rings[queue], index, word);
}

/* queue->release: the number of a block of positions, and the participant that gives it back; 0: nobody. */
static uint64_t release_block(uint64_t release)
{
    return release >> RELEASE_OWNER_BITS;
}

static unsigned release_owner(uint64_t release)
{
    return release & ((1u << RELEASE_OWNER_BITS) - 1);
}

/* U1: the block at `reserved` gets its memory; `position` lies beyond that. */
static int reserve(void *context, unsigned queue, uint64_t position)
{
    struct gnli_mailbox *mailbox = context;
    struct gnli_slots *ring = &mailbox->rings[queue];
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* D */
    uint64_t index = gnli_slots_index(ring, reserved);
    uint64_t slots = ring->count - index < GNLI_SLOTS_A_BLOCK ? ring->count - index : GNLI_SLOTS_A_BLOCK;
    uint64_t offset = mailbox->view.layout.slots_at[queue] + index * ring->stride;

    if (gnli_before(position, reserved))
        return 0;
    if (index >= ring->count || index % GNLI_SLOTS_A_BLOCK != 0)
        return -EBADMSG;
    uint64_t release = atomic_load_explicit(&ring->queue->release, memory_order_acquire); /* C */
    if (ring->unbounded &&
        reserved / GNLI_SLOTS_A_BLOCK - release_block(release) >= ring->count / GNLI_SLOTS_A_BLOCK)
        return -ENOSPC; /* all slots there are, but for those that are yet to be given back */
    int result = gnli_file_reserve(mailbox->view.file, offset, slots * ring->stride);
    if (result < 0)
        return result;
    gnli_populate(gnli_slots_nth(ring, index), slots * ring->stride);
    uint64_t next = reserved + slots;
    if (!ring->unbounded && index + slots == ring->count)
        next = GNLI_ALL_RESERVED;
    atomic_compare_exchange_strong_explicit(&ring->queue->reserved, &reserved, next,
                                            memory_order_seq_cst,  /* D */
                                            memory_order_relaxed); /* A */
    return 0;
}

const struct gnli_slots_owner gnli_mailbox_slots_owner = {
    .dead = dead,
    .undo = undo,
    .finish = finish,
    .reserve = reserve,
};

/* ---- memory of consumed slots ---- */

/* U4 for a block that is ours to give back: floor first, then the words, then the hole. */
static void release_block_of(struct gnli_mailbox *mailbox, struct gnli_slots *ring, uint64_t block)
{
    uint64_t position = block * GNLI_SLOTS_A_BLOCK;

    if (gnli_slots_raise_floor(ring, position, position + GNLI_SLOTS_A_BLOCK))
        gnli_file_punch(mailbox->view.file,
                        mailbox->view.layout.slots_at[ring->number] +
                            gnli_slots_index(ring, position) * ring->stride,
                        GNLI_SLOTS_A_BLOCK * ring->stride);
}

void gnli_mailbox_release_slots(struct gnli_mailbox *mailbox, struct gnli_slots *ring)
{
    _Atomic uint64_t *release = &ring->queue->release;
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_relaxed); /* A */
    unsigned me = gnli_mailbox_me(mailbox);

    for (unsigned i = 0; i < BLOCKS_AT_ONCE && ring->unbounded; i++) {
        uint64_t word = atomic_load_explicit(release, memory_order_acquire); /* C */
        uint64_t block = release_block(word);
        unsigned owner = release_owner(word);
        if (owner == 0 ? gnli_before(head, (block + 1) * GNLI_SLOTS_A_BLOCK) : !dead(mailbox, owner))
            return;
        uint64_t ours = block << RELEASE_OWNER_BITS | me;
        if (!atomic_compare_exchange_strong_explicit(release, &word, ours, memory_order_acquire, /* C */
                                                     memory_order_relaxed))                      /* A */
            return;
        release_block_of(mailbox, ring, block);
        atomic_compare_exchange_strong_explicit(release, &ours, (block + 1) << RELEASE_OWNER_BITS,
                                                memory_order_release,  /* C */
                                                memory_order_relaxed); /* A */
    }
}

uint64_t gnli_mailbox_depth(struct gnli_mailbox *mailbox)
{
    uint64_t depth = 0;

    for (unsigned i = 0; i < mailbox->view.layout.queues; i++) {
        struct gnli_slots *ring = &mailbox->rings[i];
        uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_relaxed); /* A */
        uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_relaxed); /* A */
        int64_t distance = gnli_slots_distance(ring, head, tail);
        depth += distance > 0 ? (uint64_t)distance : 0;
    }
    return depth;
}

void gnli_mailbox_tidy(struct gnli_mailbox *mailbox)
{
    for (unsigned i = 0; i < mailbox->view.layout.queues; i++)
        gnli_mailbox_release_slots(mailbox, &mailbox->rings[i]);
    if (gnli_arena_bloated(&mailbox->view.arena) && gnli_mailbox_depth(mailbox) == 0)
        gnli_arena_trim(&mailbox->view.arena, gnli_mailbox_me(mailbox), false);
}

/* ---- sweeping ---- */

/* Finishes the slot that a cell was taken from, if that names the cell still. True: it did. */
static bool finish_origin(struct gnli_mailbox *mailbox, unsigned cell)
{
    uint32_t origin =
        atomic_load_explicit(&gnli_cell_at(&mailbox->view, cell)->body.origin, memory_order_relaxed); /* A */
    unsigned queue = origin >> 31;
    uint64_t index = origin & 0x7fffffff;

    if (queue >= mailbox->view.layout.queues || index >= mailbox->view.layout.slots)
        return false;
    struct gnli_slots *ring = &mailbox->rings[queue];
    if (!gnli_before(index, atomic_load_explicit(&ring->queue->reserved, memory_order_acquire))) /* D */
        return false;
    uint64_t word = atomic_load_explicit(&gnli_slots_nth(ring, index)->word, memory_order_acquire); /* C */
    if (gnli_word_phase(word) != GNLI_TAKEN || gnli_word_cell(word) != cell)
        return false;
    return gnli_cell_finish(&mailbox->view, ring, index, word) == 0;
}

/* W1, W2: until the cell's word no longer names the dead one; others may finish its slot meanwhile (F4). */
static void sweep_cell(struct gnli_mailbox *mailbox, unsigned number, unsigned cell)
{
    _Atomic uint64_t *at = &gnli_cell_at(&mailbox->view, cell)->word;

    for (unsigned tries = 0; tries < CELL_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(at, memory_order_acquire); /* C */
        uint64_t next;
        if (gnli_cell_owner(word) != number)
            return;
        if (gnli_cell_phase(word) == GNLI_CELL_PENDING)
            next = gnli_cell_word(GNLI_CELL_EMPTY, 0, 0, gnli_cell_serial(word) + 1);
        else if (gnli_cell_phase(word) == GNLI_CELL_HELD)
            next =
                gnli_cell_word(GNLI_CELL_RETURNED, 0, gnli_cell_deliveries(word), gnli_cell_serial(word) + 1);
        else
            return;
        /*
         * Asked after the word was read, lest the number be another's; and before the slot is, lest it be
         * taken yet.
         */
        if (!dead(mailbox, number))
            return;
        if (finish_origin(mailbox, cell))
            continue;
        atomic_compare_exchange_strong_explicit(at, &word, next, memory_order_release, /* B */
                                                memory_order_relaxed);                 /* A */
    }
}

/* W3; false: the budget was gone before it was through. */
static bool sweep_ring(struct gnli_mailbox *mailbox, struct gnli_slots *ring, unsigned number,
                       struct gnli_budget *budget)
{
    uint64_t p = atomic_load_explicit(&ring->queue->head, memory_order_relaxed);      /* A */
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_relaxed);   /* A */
    uint64_t floor = atomic_load_explicit(&ring->queue->floor, memory_order_relaxed); /* A */

    if (gnli_before(p, floor))
        p = floor;
    for (uint64_t steps = ring->count; steps > 0; steps--) {
        if (!gnli_before(p, atomic_load_explicit(&ring->queue->reserved, memory_order_acquire))) /* D */
            return true;
        uint64_t word = atomic_load_explicit(&gnli_slots_at(ring, p)->word, memory_order_relaxed); /* A */
        /* What it has sent is in nobody's way. */
        bool mends = gnli_word_owner(word) == number &&
                     (gnli_word_phase(word) == GNLI_CLAIMED || gnli_word_phase(word) == GNLI_TAKEN);
        if (mends) {
            gnli_slots_mend(ring, p, number);
            word = atomic_load_explicit(&gnli_slots_at(ring, p)->word, memory_order_relaxed); /* A */
        }
        if (gnli_budget_spent(budget, mends ? GNLI_STEPS_A_LOOK : 1))
            return false;
        /* The tail may lag: go on to where nobody has claimed yet. */
        if (!gnli_before(p, tail) && gnli_word_phase(word) == GNLI_FREE &&
            gnli_word_ahead(word, gnli_slots_lap(ring, p)) <= 0)
            return true;
        p = gnli_slots_after(ring, p);
    }
    return true;
}

/* W1 to W4; any number of processes may be at it. False: the budget was gone before it was through. */
static bool mend(struct gnli_mailbox *mailbox, unsigned number, struct gnli_budget *budget)
{
    struct gnli_view *view = &mailbox->view;
    bool returned = false, through = true;

    for (unsigned cell = 1; cell < gnli_view_cells(view); cell++) {
        sweep_cell(mailbox, number, cell);
        uint64_t word = atomic_load_explicit(&gnli_cell_at(view, cell)->word, memory_order_acquire); /* D */
        returned |= gnli_cell_phase(word) ==
                    GNLI_CELL_RETURNED; /* by us, or by a sweeper who was killed before it said so */
    }
    for (unsigned i = 0; i < view->layout.queues && through; i++) {
        through = sweep_ring(mailbox, &mailbox->rings[i], number, budget);
        gnli_mailbox_release_slots(mailbox, &mailbox->rings[i]);
    }
    through = through && gnli_arena_sweep(&view->arena, gnli_mailbox_me(mailbox), number, dead,
                                          gnli_cell_orphan, mailbox, budget);
    for (unsigned i = 0; i < view->layout.queues; i++) {
        struct gnli_queue *queue = mailbox->rings[i].queue;
        if (returned)
            gnli_raise_returned(queue); /* before W5: killed in between, the next sweep does it */
        gnli_wake(&queue->receivers);
        gnli_wake(&queue->senders);
    }
    return through;
}

/* Mends what a dead participant left and frees its number, unless somebody else is at it. */
static void sweep(struct gnli_mailbox *mailbox, unsigned number, struct gnli_budget *budget)
{
    struct gnli_view *view = &mailbox->view;
    struct gnli_participant *record = &view->participants[number];

    /* Without the lock first: who is stopped with it holds up the number, not the messages. */
    if (!mend(mailbox, number, budget) || !gnli_participant_admit(view->file, number))
        return;
    if (atomic_load_explicit(&record->state, memory_order_acquire) == GNLI_PARTICIPANT_ALIVE && /* C */
        dead(mailbox, number) &&
        mend(mailbox, number, budget)) { /* once more: it may have been another process's number since */
        gnli_participant_add_up(record, &view->state->sent);
        gnli_participant_leave(view->file, view->participants, number); /* W5 */
    }
    gnli_participant_admit_end(view->file, number);
}

void gnli_mailbox_look_around(struct gnli_mailbox *mailbox, unsigned most)
{
    struct gnli_view *view = &mailbox->view;

    if (gnli_file_nameless(view->file) &&
        !atomic_exchange_explicit(&view->state->queues[0].removed, 1, memory_order_relaxed)) /* A */
        gnli_mailbox_wake_all(view);
    if (gnli_mailbox_usable(mailbox) == -EBADMSG) /* truncated: there is nothing to mend */
        return;
    pthread_mutex_lock(&mailbox->lock);
    unsigned count = gnli_view_participants(view);
    unsigned number = atomic_load_explicit(&mailbox->asked, memory_order_relaxed); /* A */
    struct gnli_budget budget = { .allowed_ns = MENDING_NS + gnli_file_walk_ns(view->file) };
    for (unsigned seen = 0, asked = 0; seen < count && asked < most; seen++) {
        number = number + 1 < count ? number + 1 : 1;
        if (number == gnli_mailbox_me(mailbox) || number >= count)
            continue;
        uint32_t state =
            atomic_load_explicit(&view->participants[number].state, memory_order_acquire); /* C */
        if (state == GNLI_PARTICIPANT_FREE)
            continue;
        asked++;
        if (dead(mailbox, number))
            sweep(mailbox, number, &budget);
        if (gnli_budget_spent(&budget, GNLI_STEP_KERNEL))
            break;
    }
    atomic_store_explicit(&mailbox->asked, number, memory_order_relaxed); /* A */
    pthread_mutex_unlock(&mailbox->lock);
}
