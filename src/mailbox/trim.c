/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How memory of the arena comes back: chunks freed, idle blocks trimmed, the dead's chunks swept.
 */
#include "mailbox/arena.h"

#include "mailbox/chunks.h"

#define RECOUNTS_MAX 4
#define SERIAL_TRIES 64

/* Memory of idle chunks that a class keeps for reuse. */
#define KEEP_BOUNDED   ((uint64_t)64 << 20)
#define KEEP_UNBOUNDED ((uint64_t)256 << 10)

/* ---- giving back ---- */

static uint64_t keep(const struct gnli_arena *arena)
{
    return arena->layout->capacity == GNL_UNBOUNDED ? KEEP_UNBOUNDED : KEEP_BOUNDED;
}

/* A large chunk on loan to us loses its memory and becomes free. */
static void return_large(struct gnli_arena *arena, struct gnli_place place, uint64_t loan)
{
    struct gnli_block *entry = gnli_block_of(arena, place.class, place.block);
    uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_relaxed); /* C */

    atomic_store_explicit(&entry->backed, 0, memory_order_relaxed); /* C */
    gnli_file_punch(arena->file, gnli_block_offset(arena, place.class, place.block),
                    gnli_class_of(arena, place.class)->block);
    gnli_count_backed(arena, place.class, -(int64_t)backed);
    gnli_chunk_change(&entry->word, loan, gnli_chunk_freed(loan));
}

/* The block is marked as ours to trim. */
static void return_small(struct gnli_arena *arena, unsigned class, uint64_t block, uint64_t mark)
{
    gnli_file_punch(arena->file, gnli_block_offset(arena, class, block), GNLI_BLOCK);
    gnli_count_backed(arena, class, -(int64_t)GNLI_BLOCK);
    gnli_chunk_change(&gnli_block_of(arena, class, block)->backed, mark, GNLI_BACKED_NOT);
}

/* Their words will vanish: new serials are from beyond theirs, so that no word comes twice. */
static void outgrow(struct gnli_arena *arena, unsigned class, _Atomic uint64_t *words, uint32_t count)
{
    _Atomic uint64_t *serial = &arena->classes[class].serial;
    uint64_t was = atomic_load_explicit(serial, memory_order_relaxed); /* C */
    uint64_t most = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed); /* C */
        most = gnli_chunk_serial(word) > most ? gnli_chunk_serial(word) : most;
    }
    for (unsigned tries = 0; tries < SERIAL_TRIES && was < most; tries++)
        if (atomic_compare_exchange_strong_explicit(serial, &was, most, memory_order_relaxed, /* C */
                                                    memory_order_relaxed))                    /* C */
            break;
}

/* Takes the memory of a block of small chunks away if all of them are free. True: they looked so. */
static bool trim_small(struct gnli_arena *arena, unsigned me, unsigned class, uint64_t block)
{
    uint32_t per_block = gnli_class_of(arena, class)->per_block;
    struct gnli_block *entry = gnli_block_of(arena, class, block);
    struct gnli_place place = { .class = class, .block = block };
    uint32_t have = 0;

    if (atomic_load_explicit(&entry->backed, memory_order_seq_cst) != GNLI_BACKED) /* B */
        return false;
    _Atomic uint64_t *words = gnli_chunk_word_at(arena, place);
    for (uint32_t i = per_block; i > 0; i--) { /* from the end: the last to be lent, the last to be free */
        uint64_t word = atomic_load_explicit(&words[i - 1], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) != GNLI_CHUNK_FREE)
            return false;
    }
    while (have < per_block) {
        uint64_t word = atomic_load_explicit(&words[have], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) != GNLI_CHUNK_FREE ||
            !gnli_chunk_change(&words[have], word, gnli_chunk_loan(arena, class, word, me)))
            break;
        have++;
    }
    if (have == per_block)
        outgrow(arena, class, words, per_block);
    uint64_t mark = GNLI_TRIMMING | (uint64_t)me << 8;
    if (have == per_block && gnli_chunk_change(&entry->backed, GNLI_BACKED, mark)) {
        return_small(arena, class, block, mark);
        return true;
    }
    while (have-- > 0) {
        uint64_t word = atomic_load_explicit(&words[have], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) == GNLI_CHUNK_LOAN && gnli_chunk_who(word) == me)
            gnli_chunk_change(&words[have], word, gnli_chunk_freed(word));
    }
    return true;
}

/* True: it tried. */
static bool trim_block(struct gnli_arena *arena, unsigned me, unsigned class, uint64_t block)
{
    struct gnli_place place = { .class = class, .block = block };

    if (gnli_class_small(gnli_class_of(arena, class)))
        return trim_small(arena, me, class, block);
    _Atomic uint64_t *word = gnli_chunk_word_at(arena, place);
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed); /* C */
    if (gnli_chunk_state(was) != GNLI_CHUNK_FREE ||
        atomic_load_explicit(&gnli_block_of(arena, class, block)->backed, memory_order_relaxed) == 0) /* C */
        return false;
    if (gnli_chunk_change(word, was, gnli_chunk_lent(was, me)))
        return_large(arena, place, gnli_chunk_lent(was, me));
    return true;
}

void gnli_arena_free(struct gnli_arena *arena, unsigned me, gnli_chunk chunk, uint64_t word, uint64_t queued)
{
    struct gnli_place place = gnli_chunk_place(chunk);
    const struct gnli_class_layout *layout = gnli_class_of(arena, place.class);
    uint64_t backed = atomic_load_explicit(&arena->classes[place.class].backed, memory_order_relaxed); /* C */
    _Atomic uint64_t *at = gnli_chunk_word_at(arena, place);
    bool much = arena->layout->capacity == GNL_UNBOUNDED && backed > KEEP_UNBOUNDED &&
                (backed - KEEP_UNBOUNDED) / layout->chunk > queued;

    if (!gnli_class_small(
            layout)) /* the next loan is this one, warm; small ones go around, lest both sides use one line */
        atomic_store_explicit(&arena->classes[place.class].next, gnli_chunk_name(place),
                              memory_order_relaxed); /* C */
    if (much && !gnli_class_small(layout)) {
        if (gnli_chunk_change(at, word, gnli_chunk_lent(gnli_chunk_freed(word), me)))
            return_large(arena, place, gnli_chunk_lent(gnli_chunk_freed(word), me));
        return;
    }
    gnli_chunk_change(at, word, gnli_chunk_freed(word));
    if (much)
        trim_small(arena, me, place.class, place.block);
}

bool gnli_arena_bloated(struct gnli_arena *arena)
{
    uint64_t backed = 0;

    for (unsigned i = 0; i < arena->layout->classes; i++)
        backed += atomic_load_explicit(&arena->classes[i].backed, memory_order_relaxed); /* C */
    return (int64_t)backed > (int64_t)(keep(arena) * 4);
}

void gnli_arena_trim(struct gnli_arena *arena, unsigned me, bool all)
{
    /* Each block that has memory has a page: of more than these somebody has only said so. */
    uint64_t tries_left = gnli_file_bytes(arena->file) / GNLI_PAGE + GNLI_TRIES;

    for (unsigned class = 0; class < arena->layout->classes; class ++) {
        uint64_t most = all ? 0 : keep(arena) / 2;
        uint64_t blocks = gnli_blocks_in_use(arena, class);
        if (blocks == 0 || !gnli_map_class(arena, class))
            continue;
        for (uint64_t block = blocks; block > 0; block--) {
            uint64_t backed =
                atomic_load_explicit(&arena->classes[class].backed, memory_order_relaxed); /* C */
            if ((int64_t)backed <= (int64_t)most)
                break;
            if (gnli_file_patched(arena->file))
                return;
            if (trim_block(arena, me, class, block - 1) && --tries_left == 0)
                return;
        }
    }
}

/* ---- mending ---- */

typedef bool dead_function(void *context, unsigned number);
typedef bool orphan_function(void *context, gnli_chunk chunk, uint64_t word);

/* W4 for one chunk. Whether the number's owner is dead is asked after the word was read. */
static void sweep_chunk(struct gnli_arena *arena, unsigned me, unsigned number, struct gnli_place place,
                        dead_function *dead, orphan_function *orphan, void *context)
{
    _Atomic uint64_t *at = gnli_chunk_word_at(arena, place);
    uint64_t word = atomic_load_explicit(at, memory_order_acquire); /* A */

    switch (gnli_chunk_state(word)) {
    case GNLI_CHUNK_FREE:
        break;
    case GNLI_CHUNK_LOAN:
        if (gnli_chunk_who(word) != 0 && (gnli_chunk_who(word) != number || !dead(context, number)))
            break;
        if (gnli_class_small(gnli_class_of(arena, place.class)))
            gnli_chunk_change(at, word, gnli_chunk_freed(word));
        else if (gnli_chunk_change(at, word, gnli_chunk_lent(gnli_chunk_freed(word), me)))
            return_large(arena, place, gnli_chunk_lent(gnli_chunk_freed(word), me));
        break;
    case GNLI_CHUNK_QUEUED:
    case GNLI_CHUNK_HELD:
        if (orphan(context, gnli_chunk_name(place), word))
            gnli_chunk_change(at, word, gnli_chunk_freed(word));
        break;
    }
}

/* The dead may have changed a block and not counted it, or the reverse: the class is counted anew. */
static void recount(struct gnli_arena *arena, unsigned class, uint64_t blocks)
{
    _Atomic uint64_t *shared = &arena->classes[class].backed;
    bool is_small = gnli_class_small(gnli_class_of(arena, class));

    for (unsigned attempt = 0; attempt < RECOUNTS_MAX; attempt++) {            /* others count on meanwhile */
        uint64_t counted = atomic_load_explicit(shared, memory_order_relaxed); /* C */
        uint64_t backed = 0;
        for (uint64_t block = 0; block < blocks; block++) {
            uint64_t its = atomic_load_explicit(&gnli_block_of(arena, class, block)->backed,
                                                memory_order_relaxed); /* C */
            backed += !is_small ? its : its == GNLI_BACKED ? GNLI_BLOCK : 0;
        }
        if (counted == backed || gnli_chunk_change(shared, counted, backed))
            return;
    }
}

bool gnli_arena_sweep(struct gnli_arena *arena, unsigned me, unsigned number, dead_function *dead,
                      orphan_function *orphan, void *context, struct gnli_budget *budget)
{
    for (unsigned class = 0; class < arena->layout->classes; class ++) {
        const struct gnli_class_layout *layout = gnli_class_of(arena, class);
        uint64_t blocks = gnli_blocks_in_use(arena, class);
        if (blocks == 0 || !gnli_map_class(arena, class))
            continue;
        for (uint64_t block = 0; block < blocks; block++) {
            if (gnli_walk_given_up(arena, budget, layout->per_block))
                return false;
            struct gnli_block *entry = gnli_block_of(arena, class, block);
            if (gnli_class_small(layout)) {
                uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_seq_cst); /* B */
                uint64_t mark = GNLI_TRIMMING | (uint64_t)me << 8;
                if (backed == (GNLI_TRIMMING | (uint64_t)number << 8) && dead(context, number) &&
                    gnli_chunk_change(&entry->backed, backed, mark))
                    return_small(arena, class, block, mark);
                /* A lender may have died on a page that was just trimmed. */
                if (backed != GNLI_BACKED &&
                    !gnli_file_data(arena->file, gnli_block_offset(arena, class, block)))
                    continue;
            }
            for (unsigned i = 0; i < layout->per_block; i++)
                sweep_chunk(arena, me, number, (struct gnli_place){ class, block, i }, dead, orphan, context);
        }
        recount(arena, class, blocks);
    }
    return true;
}
