/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where chunks, their words and their memory are, and how a word changes hands: what lending (arena.c) and
 * giving back (trim.c) share. Invariants and orderings are those of arena.h.
 */
#ifndef GNLI_MAILBOX_CHUNKS_H
#define GNLI_MAILBOX_CHUNKS_H

#include "mailbox/arena.h"

#define GNLI_PAGE        ((uint64_t)4096)
#define GNLI_TRIES       64 /* chunks looked at before the class grows */
#define GNLI_SERIAL_MASK (((uint64_t)1 << 33) - 1)

/* `backed` of a block of small chunks; who trims it is in the higher bits. */
enum gnli_backing { GNLI_BACKED_NOT = 0, GNLI_BACKED = 1, GNLI_TRIMMING = 2 };

struct gnli_place {
    unsigned class;
    uint64_t block;
    unsigned index;
};

static inline gnli_chunk gnli_chunk_name(struct gnli_place place)
{
    return (uint64_t)place.class << 56 | place.block << 16 | place.index;
}

static inline struct gnli_place gnli_chunk_place(gnli_chunk chunk)
{
    return (struct gnli_place){ .class = (unsigned)(chunk >> 56),
                                .block = chunk >> 16 & (((uint64_t)1 << 40) - 1),
                                .index = (unsigned)(chunk & 0xffff) };
}

static inline const struct gnli_class_layout *gnli_class_of(const struct gnli_arena *arena, unsigned class)
{
    return &arena->layout->class[class];
}

static inline struct gnli_block *gnli_block_of(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    return (struct gnli_block *)(void *)(arena->core + gnli_class_of(arena, class)->table_at) + block;
}

static inline char *gnli_block_memory(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    char *chunks = atomic_load_explicit(&arena->chunks[class], memory_order_acquire); /* A */

    return chunks + block * gnli_class_of(arena, class)->block;
}

static inline uint64_t gnli_block_offset(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    return gnli_class_of(arena, class)->blocks_at + block * gnli_class_of(arena, class)->block;
}

static inline bool gnli_class_small(const struct gnli_class_layout *layout)
{
    return layout->per_block > 1;
}

static inline _Atomic uint64_t *gnli_chunk_word_at(struct gnli_arena *arena, struct gnli_place place)
{
    if (gnli_class_small(gnli_class_of(arena, place.class)))
        return (_Atomic uint64_t *)(void *)gnli_block_memory(arena, place.class, place.block) + place.index;
    return &gnli_block_of(arena, place.class, place.block)->word;
}

/* Blocks of the class in use; never more than there are. */
static inline uint64_t gnli_blocks_in_use(struct gnli_arena *arena, unsigned class)
{
    uint64_t blocks = atomic_load_explicit(&arena->classes[class].blocks, memory_order_acquire); /* A */
    uint64_t most = gnli_class_of(arena, class)->blocks;

    return blocks < most ? blocks : most;
}

/* Maps the class's chunks, once. False: no address space. */
bool gnli_map_class(struct gnli_arena *arena, unsigned class);

static inline bool gnli_chunk_change(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst, /* A B */
                                                   memory_order_relaxed);                 /* C */
}

static inline uint64_t gnli_chunk_freed(uint64_t word)
{
    return gnli_chunk_word(GNLI_CHUNK_FREE, 0, (gnli_chunk_serial(word) + 1) & GNLI_SERIAL_MASK);
}

static inline uint64_t gnli_chunk_lent(uint64_t word, unsigned me)
{
    return gnli_chunk_word(GNLI_CHUNK_LOAN, me, gnli_chunk_serial(word));
}

/* The word with which a free chunk becomes ours. One never used, or whose word vanished, has no serial. */
static inline uint64_t gnli_chunk_loan(struct gnli_arena *arena, unsigned class, uint64_t word, unsigned me)
{
    if (word != 0)
        return gnli_chunk_lent(word, me);
    uint64_t serial =
        atomic_fetch_add_explicit(&arena->classes[class].serial, 1, memory_order_relaxed); /* C */
    return gnli_chunk_word(GNLI_CHUNK_LOAN, me, (serial + 1) & GNLI_SERIAL_MASK);
}

static inline void gnli_count_backed(struct gnli_arena *arena, unsigned class, int64_t bytes)
{
    atomic_fetch_add_explicit(&arena->classes[class].backed, (uint64_t)bytes, memory_order_relaxed); /* C */
}

/*
 * Is a walk over blocks to end before it is through? Also when the file is being truncated: each page that is
 * missing becomes a mapping of its own (memory/mapping.c), and a process has only so many.
 */
static inline bool gnli_walk_given_up(struct gnli_arena *arena, struct gnli_budget *budget, uint64_t steps)
{
    return gnli_budget_spent(budget, steps) || gnli_file_patched(arena->file);
}

#endif
