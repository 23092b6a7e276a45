/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for messages that do not fit into a slot: chunks of 256 bytes, 512, … in blocks that get
 * memory when first used and give it back when they lie idle.
 *
 * Invariants
 *   I1  A chunk's word says whose it is: nobody's (free), lent to a participant (loan), the message in
 *       a slot (queued), or the message in a held cell (held). Only compare-and-swap changes it, and
 *       the serial grows at each release.
 *   I2  A chunk on loan is its participant's alone: its bytes and, if large, its block's `backed`.
 *   I3  A block of small chunks loses its memory only while one process has all of its chunks on loan
 *       and its `backed` says that it is being trimmed; its words are zeros then, which is free.
 *
 * Orderings
 *   A: giving a chunk on (release), getting it (acquire): carries its bytes and I2.
 *   B: a block is marked as trimmed (seq_cst), then its words vanish; a word of zero is taken
 *      (seq_cst), then the mark is looked at: who takes a vanished word sees the mark.
 *   C: relaxed: hints, and words that a compare-and-swap checks again.
 *   D: relaxed: set once under a lock and the same from then on, or read through the pointer itself.
 *
 * Crash story: killed with a chunk on loan: the sweep frees it. Killed between reserving memory and
 * noting it in `backed`: of a large chunk the sweep returns it all; a small block is reserved again.
 * Killed while trimming: the mark names the dead; the sweep finishes. Killed between changing a block's
 * `backed` and the class's: the sweep counts the class anew.
 */
#ifndef GNLI_MAILBOX_ARENA_H
#define GNLI_MAILBOX_ARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "mailbox/layout.h"
#include "memory/file.h"

enum gnli_chunk_state {
    GNLI_CHUNK_FREE = 0,
    GNLI_CHUNK_LOAN = 1,   /* who: participant */
    GNLI_CHUNK_QUEUED = 2, /* who: queue and slot */
    GNLI_CHUNK_HELD = 3,   /* who: cell */
};

static inline uint64_t gnli_chunk_word(enum gnli_chunk_state state, uint32_t who, uint64_t serial)
{
    return (uint64_t)state | (uint64_t)(who & 0x1fffffff) << 2 | serial << 31;
}

static inline enum gnli_chunk_state gnli_chunk_state(uint64_t word)
{
    return (enum gnli_chunk_state)(word & 3);
}
static inline uint32_t gnli_chunk_who(uint64_t word)
{
    return word >> 2 & 0x1fffffff;
}
static inline uint64_t gnli_chunk_serial(uint64_t word)
{
    return word >> 31;
}

/* `who` of a queued chunk. */
static inline uint32_t gnli_chunk_slot(unsigned queue, uint64_t index)
{
    return (uint32_t)(queue << 28 | index);
}

/* A chunk's name, as a slot or a held cell has it: class, block and index in 64 bits. */
typedef uint64_t gnli_chunk;

struct gnli_arena {
    struct gnli_file *file;
    const struct gnli_layout *layout;
    char *core; /* the mapping of the file's first part */
    struct gnli_class *classes;
    char *_Atomic chunks[GNLI_CLASSES_MAX]; /* mapped when first needed */
    pthread_mutex_t lock;                   /* guards that mapping */
};

void gnli_arena_init(struct gnli_arena *arena, struct gnli_file *file, const struct gnli_layout *layout,
                     char *core);
void gnli_arena_fini(struct gnli_arena *arena);

/*
 * Is this the name of a chunk, for that many bytes, in this mailbox? Maps it: 0, -EBADMSG no, -ENOMEM no
 * address space.
 */
int gnli_arena_reach(struct gnli_arena *arena, gnli_chunk chunk, uint64_t size);

/* Of a chunk that is reached. */
char *gnli_arena_data(struct gnli_arena *arena, gnli_chunk chunk);
_Atomic uint64_t *gnli_arena_word(struct gnli_arena *arena, gnli_chunk chunk);

/*
 * The chunks that a port had last, oldest first: while its messages are received as fast as it sends, it goes
 * around these. So they stay in the caches, several senders keep off each other's, and the shared hint's line
 * stays where it is. Where both are to stay close (wait/distance.h) it goes around fewer large ones.
 */
#define GNLI_RECENT 32
struct gnli_recent {
    _Atomic uint64_t chunk[GNLI_RECENT]; /* name + 1; 0: none */
    _Atomic uint32_t next;
};

/* Is one of those free that are next, or are these not all it may have? */
bool gnli_arena_recent_free(struct gnli_arena *arena, struct gnli_recent *recent, uint64_t size);

/* Lends a chunk for `size` bytes, with memory behind it. -ENOSPC, -ENOMEM. */
int gnli_arena_loan(struct gnli_arena *arena, struct gnli_recent *recent, unsigned me, uint64_t size,
                    gnli_chunk *chunk, uint64_t *word);

/*
 * Frees a chunk whose word is still `word`; in an unbounded mailbox it gives memory back to the system if
 * much more lies idle than `queued` messages need. In a bounded one idle memory waits for gnli_arena_trim:
 * a queue that runs full and empty in turn would pay for a page fault with every page of every message.
 */
void gnli_arena_free(struct gnli_arena *arena, unsigned me, gnli_chunk chunk, uint64_t word, uint64_t queued);

/* Gives back the memory of idle chunks beyond what is kept for reuse, or, if `all`, of every idle chunk. */
void gnli_arena_trim(struct gnli_arena *arena, unsigned me, bool all);

/* Do idle chunks hold more memory than is kept when nothing is queued? */
bool gnli_arena_bloated(struct gnli_arena *arena);

/*
 * Sweep (W4): frees what participant `number`, who is `dead`, had on loan, and queued and held chunks
 * that are orphans: that no slot or cell names. False: the budget was gone before it was through.
 */
bool gnli_arena_sweep(struct gnli_arena *arena, unsigned me, unsigned number,
                      bool (*dead)(void *context, unsigned number),
                      bool (*orphan)(void *context, gnli_chunk chunk, uint64_t word), void *context,
                      struct gnli_budget *budget);

#endif
