/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held messages: the cells of a mailbox, from pending to empty again. docs/protocol.md, T F D G A.
 *
 *   A: relaxed: hints, and words that a compare-and-swap checks again.
 *   B: a cell is returned, then `returned` is raised to a new value (seq_cst); a receiver reads that
 *      value (seq_cst), looks at the cells, and lowers it if it is the same still: receive.c, B.
 *   C: the body is in the cell before the slot says taken (release); F and A1 acquire the words first.
 *   D: a cell's memory is reserved before `cells` counts it (release); acquire in gnli_view_cells.
 *   E: relaxed: the body; C orders it.
 */
#include "mailbox/mailbox.h"

#include <errno.h>

#include "base/errors.h"

#define PAGE        4096
#define RAISE_TRIES 8192 /* while others raise it, too: more than there can be of them */

void gnli_body_copy(struct gnli_body *to, struct gnli_body *from, size_t most)
{
    _Atomic uint64_t *out = gnli_body_words(to), *in = gnli_body_words(from);
    uint32_t size = atomic_load_explicit(&from->size, memory_order_relaxed); /* E */
    size_t words = most <= GNLI_INLINE || size > most ? GNLI_INLINE / 8 : (size + 7) / 8;

    atomic_store_explicit(&to->size, size, memory_order_relaxed); /* E */
#define COPY(to, from)                                                                  \
    atomic_store_explicit(to, atomic_load_explicit(from, memory_order_relaxed), /* E */ \
                          memory_order_relaxed)                                 /* E */
    COPY(&to->pid, &from->pid);
    COPY(&to->uid, &from->uid);
    COPY(&to->gid, &from->gid);
    COPY(&to->deliveries, &from->deliveries);
    for (size_t i = 0; i < words; i++)
        COPY(&out[i], &in[i]);
#undef COPY
}

static bool change(_Atomic uint64_t *at, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(at, &from, to, memory_order_seq_cst, /* B C */
                                                   memory_order_acquire);               /* C */
}

static bool try_cell(struct gnli_mailbox *mailbox, unsigned cell, struct gnli_hold *hold)
{
    _Atomic uint64_t *at = &gnli_cell_at(&mailbox->view, cell)->word;
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed); /* A */

    if (gnli_cell_phase(word) != GNLI_CELL_EMPTY)
        return false;
    uint64_t pending = gnli_cell_word(GNLI_CELL_PENDING, gnli_mailbox_me(mailbox), 1, gnli_cell_serial(word));
    if (!change(at, word, pending)) /* T1 */
        return false;
    *hold = (struct gnli_hold){ .cell = cell, .word = pending };
    return true;
}

static int more_cells(struct gnli_view *view)
{
    uint32_t said = atomic_load_explicit(&view->state->cells, memory_order_relaxed); /* A */
    uint32_t have = gnli_view_cells(view), more = gnli_layout_cells(&view->layout);

    if (have > GNLI_CELLS_MAX)
        return -ENOBUFS;
    int result = gnli_file_reserve(view->file, view->layout.cells_at + have * view->layout.stride,
                                   more * view->layout.stride);
    if (result == 0)
        atomic_compare_exchange_strong_explicit(&view->state->cells, &said, have + more,
                                                memory_order_release,  /* D */
                                                memory_order_relaxed); /* A */
    return result;
}

int gnli_cell_acquire(struct gnli_mailbox *mailbox, _Atomic uint32_t *hint, struct gnli_hold *hold)
{
    uint32_t hinted = atomic_load_explicit(hint, memory_order_relaxed); /* A */
    unsigned done = 1;

    if (hinted != 0 && hinted < gnli_view_cells(&mailbox->view) && try_cell(mailbox, hinted, hold))
        return 0;
    for (unsigned attempt = 0; attempt <= GNLI_CELLS_MAX; attempt++) {
        unsigned cells = gnli_view_cells(&mailbox->view);
        for (unsigned cell = done; cell < cells; cell++)
            if (try_cell(mailbox, cell, hold)) {
                atomic_store_explicit(hint, cell, memory_order_relaxed); /* A */
                return 0;
            }
        done = cells;
        int result = more_cells(&mailbox->view);
        if (result < 0)
            return result;
    }
    return -ENOBUFS;
}

void gnli_cell_release(struct gnli_mailbox *mailbox, struct gnli_hold *hold)
{
    change(&gnli_cell_at(&mailbox->view, hold->cell)->word, hold->word,
           gnli_cell_word(GNLI_CELL_EMPTY, 0, 0, gnli_cell_serial(hold->word) + 1));
}

/* The word of the chunk that a large message in a held cell has. */
static uint64_t held_chunk_word(const struct gnli_body *body, unsigned cell)
{
    uint64_t serial = atomic_load_explicit(&body->data[1], memory_order_relaxed); /* E */

    return gnli_chunk_word(GNLI_CHUNK_HELD, cell, serial);
}

int gnli_cell_finish(struct gnli_view *view, struct gnli_slots *ring, uint64_t index, uint64_t word)
{
    struct gnli_slot *slot = gnli_slots_at(ring, index);
    unsigned cell = gnli_word_cell(word);
    if (cell == 0 || cell >= gnli_view_cells(view))
        return -EBADMSG;
    struct gnli_cell *held = gnli_cell_at(view, cell);

    /*
     * The caller has read the slot (F1). Now F2: while the slot says taken its cell is not used again, and F3
     * makes sure of all three.
     */
    uint64_t cell_word = atomic_load_explicit(&held->word, memory_order_acquire);       /* C */
    uint64_t size = atomic_load_explicit(&held->body.size, memory_order_relaxed);       /* E */
    gnli_chunk chunk = atomic_load_explicit(&held->body.data[0], memory_order_relaxed); /* E */
    uint64_t chunk_held = held_chunk_word(&held->body, cell);
    atomic_thread_fence(memory_order_acquire);                           /* C */
    if (atomic_load_explicit(&slot->word, memory_order_seq_cst) != word) /* C */
        return 0;                                                        /* F3 */
    /* Without address space for the chunk we can't do F5, and must not do F6 without it: let others. */
    if (size > view->layout.inline_max && gnli_arena_reach(&view->arena, chunk, size) == -ENOMEM)
        return -ENOMEM;
    if (gnli_cell_phase(cell_word) == GNLI_CELL_PENDING &&
        gnli_cell_owner(cell_word) == gnli_word_owner(word))
        change(&held->word, cell_word, /* F4 */
               gnli_cell_word(GNLI_CELL_HELD, gnli_cell_owner(cell_word), gnli_cell_deliveries(cell_word),
                              gnli_cell_serial(cell_word)));
    if (size > view->layout.inline_max && gnli_arena_reach(&view->arena, chunk, size) == 0) {
        uint64_t queued = gnli_chunk_word(GNLI_CHUNK_QUEUED, gnli_chunk_slot(ring->number, index),
                                          gnli_chunk_serial(chunk_held));
        change(gnli_arena_word(&view->arena, chunk), queued, chunk_held); /* F5 */
    }
    if (change(&slot->word, word, gnli_word(GNLI_FREE, 0, 0, gnli_word_lap(word) + 1))) /* F6 */
        gnli_wake_senders(ring, gnli_slots_position(ring, gnli_word_lap(word), index));
    return 0;
}

int gnli_cell_take(struct gnli_mailbox *mailbox, struct gnli_slots *ring, uint64_t position, uint64_t word,
                   struct gnli_hold *hold)
{
    struct gnli_slot *slot = gnli_slots_at(ring, position);
    struct gnli_cell *cell = gnli_cell_at(&mailbox->view, hold->cell);
    uint64_t index = gnli_slots_index(ring, position);

    /* T2 */
    atomic_store_explicit(&cell->body.origin, (uint32_t)(ring->number << 31 | index),
                          memory_order_relaxed); /* E */
    gnli_body_copy(&cell->body, &slot->body, ring->inline_max);
    uint64_t taken = gnli_word(GNLI_TAKEN, gnli_mailbox_me(mailbox), hold->cell, gnli_word_lap(word));
    if (!change(&slot->word, word, taken)) /* T3 */
        return 0;
    int result = gnli_cell_finish(&mailbox->view, ring, index, taken); /* T4 */
    if (result < 0)
        return result;
    hold->word = gnli_cell_word(GNLI_CELL_HELD, gnli_cell_owner(hold->word), gnli_cell_deliveries(hold->word),
                                gnli_cell_serial(hold->word));
    return 1;
}

int gnli_cell_done(struct gnli_mailbox *mailbox, const struct gnli_hold *hold)
{
    struct gnli_cell *cell = gnli_cell_at(&mailbox->view, hold->cell);
    uint64_t size = atomic_load_explicit(&cell->body.size, memory_order_relaxed);       /* E */
    gnli_chunk chunk = atomic_load_explicit(&cell->body.data[0], memory_order_relaxed); /* E */
    uint64_t chunk_word = held_chunk_word(&cell->body, hold->cell);

    /* D1 */
    if (!change(&cell->word, hold->word,
                gnli_cell_word(GNLI_CELL_EMPTY, 0, 0, gnli_cell_serial(hold->word) + 1)))
        return -EBADMSG;
    if (size > mailbox->view.layout.inline_max &&
        gnli_arena_reach(&mailbox->view.arena, chunk, size) == 0) { /* D2 */
        bool unbounded = mailbox->view.layout.capacity == GNL_UNBOUNDED;
        uint64_t depth =
            unbounded ? gnli_mailbox_depth(mailbox) : 0; /* a look at the line that senders write */
        gnli_arena_free(&mailbox->view.arena, gnli_mailbox_me(mailbox), chunk, chunk_word, depth);
        /* Of messages of many sizes that looked at this one's only: once all are gone, at the others' too. */
        if (depth == 0 && unbounded)
            gnli_mailbox_tidy(mailbox);
    }
    return 0;
}

int gnli_cell_giveback(struct gnli_mailbox *mailbox, const struct gnli_hold *hold, bool quietly)
{
    struct gnli_cell *cell = gnli_cell_at(&mailbox->view, hold->cell);
    unsigned queue = atomic_load_explicit(&cell->body.origin, memory_order_relaxed) >> 31; /* E */
    unsigned deliveries = gnli_cell_deliveries(hold->word) - (quietly ? 1 : 0);
    uint64_t returned = gnli_cell_word(GNLI_CELL_RETURNED, 0, deliveries, gnli_cell_serial(hold->word) + 1);

    if (queue >= mailbox->view.layout.queues || !change(&cell->word, hold->word, returned)) /* G1 */
        return -EBADMSG;
    if (quietly)
        return 0;
    struct gnli_queue *shared = mailbox->rings[queue].queue;
    gnli_raise_returned(shared);
    gnli_wake(&shared->receivers);
    return 0;
}

void gnli_raise_returned(struct gnli_queue *queue)
{
    uint64_t was = atomic_load_explicit(&queue->returned, memory_order_relaxed); /* A */

    for (unsigned tries = 0; tries < RAISE_TRIES; tries++)
        if (atomic_compare_exchange_strong_explicit(&queue->returned, &was, (was + 2) | 1,
                                                    memory_order_seq_cst,  /* B */
                                                    memory_order_relaxed)) /* A */
            return;
}

bool gnli_cell_adopt(struct gnli_mailbox *mailbox, unsigned cell, uint64_t word, struct gnli_hold *hold)
{
    unsigned deliveries = gnli_cell_deliveries(word);
    uint64_t held = gnli_cell_word(GNLI_CELL_HELD, gnli_mailbox_me(mailbox),
                                   deliveries < GNLI_CELL_DELIVERIES_MAX ? deliveries + 1 : deliveries,
                                   gnli_cell_serial(word) + 1);

    if (!change(&gnli_cell_at(&mailbox->view, cell)->word, word, held)) /* A1 */
        return false;
    *hold = (struct gnli_hold){ .cell = cell, .word = held };
    return true;
}

void gnli_cell_undo_claim(struct gnli_view *view, struct gnli_slots *ring, uint64_t index, uint64_t word)
{
    struct gnli_slot *slot = gnli_slots_at(ring, index);
    uint64_t size = atomic_load_explicit(&slot->body.size, memory_order_relaxed);       /* E */
    gnli_chunk chunk = atomic_load_explicit(&slot->body.data[0], memory_order_relaxed); /* E */
    uint64_t serial = atomic_load_explicit(&slot->body.data[1], memory_order_relaxed);  /* E */

    atomic_thread_fence(memory_order_acquire);                           /* C */
    if (atomic_load_explicit(&slot->word, memory_order_seq_cst) != word) /* C */
        return;
    /* What stands there may be of an earlier lap: then no chunk has this word any more. */
    uint32_t who = gnli_chunk_slot(ring->number, index);
    if (size > view->layout.inline_max && gnli_arena_reach(&view->arena, chunk, size) == 0)
        change(gnli_arena_word(&view->arena, chunk), gnli_chunk_word(GNLI_CHUNK_QUEUED, who, serial),
               gnli_chunk_word(GNLI_CHUNK_FREE, 0, serial + 1));
}

static bool cell_names(struct gnli_view *view, gnli_chunk chunk, uint64_t word)
{
    unsigned cell = gnli_chunk_who(word);
    if (cell == 0 || cell >= gnli_view_cells(view))
        return false;
    struct gnli_cell *held = gnli_cell_at(view, cell);
    enum gnli_cell_phase phase =
        gnli_cell_phase(atomic_load_explicit(&held->word, memory_order_acquire)); /* C */

    return (phase == GNLI_CELL_HELD || phase == GNLI_CELL_RETURNED) &&
           atomic_load_explicit(&held->body.data[0], memory_order_relaxed) == chunk && /* E */
           held_chunk_word(&held->body, cell) == word;
}

bool gnli_cell_orphan(void *context, gnli_chunk chunk, uint64_t word)
{
    struct gnli_mailbox *mailbox = context;
    struct gnli_view *view = &mailbox->view;

    if (gnli_chunk_state(word) == GNLI_CHUNK_HELD)
        return !cell_names(view, chunk, word);
    unsigned queue = gnli_chunk_who(word) >> 28;
    uint64_t index = gnli_chunk_who(word) & 0xfffffff;
    if (queue >= view->layout.queues || index >= view->layout.slots)
        return true;
    /* It leaves *queued* before its slot becomes free (F5, M1, Z3): who reads both in this order can tell. */
    struct gnli_slot *slot = gnli_slots_nth(&mailbox->rings[queue], index);
    return gnli_word_phase(atomic_load_explicit(&slot->word, memory_order_acquire)) == GNLI_FREE; /* C */
}
