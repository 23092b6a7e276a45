/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot's word: phase, owner, held cell and lap in 64 bits, so that a claim, who made it and where
 * it stands become visible in one instant. docs/protocol.md, Words.
 */
#ifndef GNLI_RING_WORD_H
#define GNLI_RING_WORD_H

#include <stdint.h>

enum gnli_phase {
    GNLI_FREE = 0,
    GNLI_CLAIMED = 1,
    GNLI_READY = 2,
    GNLI_TAKEN = 3,
};

#define GNLI_OWNER_SHIFT 2
#define GNLI_CELL_SHIFT  14
#define GNLI_LAP_SHIFT   26
#define GNLI_TWELVE_BITS 0xfffu
#define GNLI_LAP_MASK    (~(uint64_t)0 << GNLI_LAP_SHIFT)

static inline uint64_t gnli_word(enum gnli_phase phase, unsigned owner, unsigned cell, uint64_t lap)
{
    return (uint64_t)phase | (uint64_t)owner << GNLI_OWNER_SHIFT | (uint64_t)cell << GNLI_CELL_SHIFT |
           lap << GNLI_LAP_SHIFT;
}

static inline enum gnli_phase gnli_word_phase(uint64_t word)
{
    return (enum gnli_phase)(word & 3);
}
static inline unsigned gnli_word_owner(uint64_t word)
{
    return word >> GNLI_OWNER_SHIFT & GNLI_TWELVE_BITS;
}
static inline unsigned gnli_word_cell(uint64_t word)
{
    return word >> GNLI_CELL_SHIFT & GNLI_TWELVE_BITS;
}
static inline uint64_t gnli_word_lap(uint64_t word)
{
    return word >> GNLI_LAP_SHIFT;
}

/* By how many laps a word is ahead of a lap; laps wrap around. */
static inline int64_t gnli_word_ahead(uint64_t word, uint64_t lap)
{
    return (int64_t)((word & GNLI_LAP_MASK) - (lap << GNLI_LAP_SHIFT)) >> GNLI_LAP_SHIFT;
}

#endif
