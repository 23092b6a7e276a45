/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one-to-one queue: frames that one process writes into memory of its own and another, which may only
 * read that memory, reads. No step of it is a read-modify-write.
 *
 * A frame is a 64-bit word and, behind it, up to GNLI_FRAME_BYTES bytes of contents. Frames lie one behind
 * the other in blocks of GNLI_BLOCK_BYTES; the last word of a block leads to the next block. The writer
 * takes the blocks that the reader has left behind again, and makes another one where there is none: so the
 * queue grows as long as there is memory, and while the reader keeps up it stays in two blocks that both
 * caches hold.
 *
 *   I1. The word behind the last frame is 0. The writer clears the place of the next word before it
 *       publishes a frame, and the first word of a block before it leads there: so what a reader waits at
 *       never holds bytes of an older message, whatever those looked like.
 *   I2. A word, once it is not 0, stays as it is until the reader has left its block, but for a message that
 *       becomes GNLI_FRAME_VOID: an offer that was withdrawn.
 *   I3. The writer believes nothing that the reader says but counts: of frames, between those that it knew
 *       and those it has written; and of blocks. A reader that lies has its own frames overwritten.
 *   I4. The reader checks kind, size and place of each word, which it reads once, before it goes on.
 *
 * Orderings
 *   A: the writer publishes a word (release); the reader looks at it (acquire): carries the contents, and
 *      the 0 behind them.
 *   B: the reader counts a frame or a block as left (release) when it has copied what it wanted; the writer
 *      reads the counts (acquire) before it uses the memory again: carries that the reader has read.
 *   C: relaxed: the writer's own words, which only it changes; and words of contents.
 *
 * The steps of the model, verify/frames.pml: Y1 to Y3 in frames.c, where a block is full; Y4 the place of the
 * next word is cleared; Y5 a word is published; Y6 it is looked at; Y7 the reader has left a block.
 *
 * Crash story: killed before A the frame does not exist. Killed after A it was sent. The reader's counts are
 * its own; it dies with them.
 */
#ifndef GNLI_RING_FRAMES_H
#define GNLI_RING_FRAMES_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wait/futex.h"

#define GNLI_BLOCK_BYTES ((uint64_t)64 << 10)
#define GNLI_FRAME_BYTES ((uint64_t)4096) /* contents of one frame at most */

enum gnli_frame {
    GNLI_FRAME_NONE = 0, /* nothing yet */
    GNLI_FRAME_MESSAGE,  /* size: bytes of the message, which follow */
    GNLI_FRAME_CHUNK,    /* the message lies elsewhere: a struct gnli_far follows */
    GNLI_FRAME_GIVEN,    /* a descriptor goes with it by another way; size: bytes of its note */
    GNLI_FRAME_FINISHED, /* nothing comes behind */
    GNLI_FRAME_VOID,     /* was a message; size: as it was */
    GNLI_FRAME_NEXT,     /* size: offset of the next block, in units of 64 bytes */
    GNLI_FRAME_KINDS
};

/* Where a large message lies: offsets are from the start of the writer's memory. */
struct gnli_far {
    uint64_t offset;
    uint64_t size;
};

#define GNLI_FRAME_SHIFT 56

static inline uint64_t gnli_frame_word(enum gnli_frame kind, uint64_t size)
{
    return (uint64_t)kind << GNLI_FRAME_SHIFT | size;
}

static inline enum gnli_frame gnli_frame_kind(uint64_t word)
{
    uint64_t kind = word >> GNLI_FRAME_SHIFT;

    return kind < GNLI_FRAME_KINDS ? (enum gnli_frame)kind : GNLI_FRAME_KINDS;
}

static inline uint64_t gnli_frame_size(uint64_t word)
{
    return word & (((uint64_t)1 << GNLI_FRAME_SHIFT) - 1);
}

/* Bytes that a frame takes: its word and its contents. */
static inline uint64_t gnli_frame_takes(uint64_t size)
{
    return 8 + ((size + 7) & ~(uint64_t)7);
}

/* What the reader tells the writer, in memory of the reader's. On a line of its own. */
struct gnli_frames_left {
    _Alignas(64) _Atomic uint64_t frames;
    _Atomic uint64_t blocks;
};

/* ---- the writer's side ---- */

struct gnli_frames_writer {
    char *base;       /* of its memory */
    uint64_t at;      /* offset of the next word */
    uint64_t end;     /* of the block */
    uint64_t written; /* frames */
    uint64_t left;    /* frames that the reader had left when last looked at */
    uint64_t filled;  /* blocks that the writer has left, */
    uint64_t taken;   /* and of these has taken back */
    uint64_t *queue;  /* their offsets, of those between the two: a ring of `room` */
    uint64_t *spare;  /* offsets of blocks taken back: a stack, so that the warmest comes first */
    uint64_t spares;
    uint64_t room;
    const struct gnli_frames_left *reader; /* NULL: not known yet */
    uint64_t (*more)(void *context);       /* memory for one more block: its offset, 0 none */
    void *context;
};

/* Starts in the block at `offset`, which is the writer's. -ENOMEM. */
int gnli_frames_writer_init(struct gnli_frames_writer *writer, char *base, uint64_t offset,
                            uint64_t (*more)(void *context), void *context);
void gnli_frames_writer_free(struct gnli_frames_writer *writer);

/* Looks at how many frames the reader has left. -EBADMSG: that cannot be. */
int gnli_frames_look(struct gnli_frames_writer *writer);

/* Leads to another block. -ENOSPC no memory, -ENOMEM, -EBADMSG. */
int gnli_frames_turn(struct gnli_frames_writer *writer);

static inline _Atomic uint64_t *gnli_frames_word(const char *base, uint64_t at)
{
    return (_Atomic uint64_t *)(uintptr_t)(base + at);
}

/* How many frames the reader has not left, as far as is known. */
static inline uint64_t gnli_frames_queued(const struct gnli_frames_writer *writer)
{
    return writer->written - writer->left;
}

/* Is there room for it in this block? */
static inline bool gnli_frames_fits(const struct gnli_frames_writer *writer, uint64_t size)
{
    return writer->at + gnli_frame_takes(size) + 8 <= writer->end;
}

/* A place for contents of `size` bytes, NULL without memory; written by the caller, then published. */
static inline char *gnli_frames_place(struct gnli_frames_writer *writer, uint64_t size, int *result)
{
    uint64_t takes = gnli_frame_takes(size);

    if (__builtin_expect(!gnli_frames_fits(writer, size), 0)) {
        *result = gnli_frames_turn(writer);
        if (*result < 0)
            return NULL;
    }
    /* All lines at once, on their way before the first is written: a waiting reader has that one. */
    for (uint64_t i = 0; i < takes; i += 64)
        gnli_prefetch_write(writer->base + writer->at + i);
    gnli_prefetch_write(writer->base + writer->at + takes);
    atomic_store_explicit(gnli_frames_word(writer->base, writer->at + takes), 0,
                          memory_order_relaxed); /* C */
    return writer->base + writer->at + 8;
}

#define GNLI_FRAMES_AHEAD 512 /* bytes that the writer asks for before it writes them */

static inline void gnli_frames_publish(struct gnli_frames_writer *writer, enum gnli_frame kind, uint64_t size)
{
    atomic_store_explicit(gnli_frames_word(writer->base, writer->at), gnli_frame_word(kind, size),
                          memory_order_release); /* A */
    writer->at += gnli_frame_takes(size);
    writer->written++;
    gnli_prefetch_write(writer->base + writer->at + GNLI_FRAMES_AHEAD);
}

/* The frame whose word is there becomes void: the last one, or nothing but GNLI_FRAME_FINISHED behind it. */
static inline void gnli_frames_withdraw(struct gnli_frames_writer *writer, uint64_t at, uint64_t size)
{
    atomic_store_explicit(gnli_frames_word(writer->base, at), gnli_frame_word(GNLI_FRAME_VOID, size),
                          memory_order_release); /* A */
}

/* ---- the reader's side ---- */

struct gnli_frames_reader {
    const char *base;
    uint64_t at;
    uint64_t end;   /* of the block */
    uint64_t first; /* blocks lie between these two offsets */
    uint64_t last;
    uint64_t frames; /* left */
    uint64_t blocks;
    struct gnli_frames_left *left; /* where it tells so */
    bool (*there)(void *context, uint64_t offset,
                  uint64_t size); /* has that part of the memory been written? */
    void *context;
};

/* Starts in the block at `offset`; -EBADMSG if that is none. */
int gnli_frames_reader_init(struct gnli_frames_reader *reader, uint64_t offset);

/* Goes to where the word leads. -EBADMSG. */
int gnli_frames_follow(struct gnli_frames_reader *reader, uint64_t word);

/* The next frame's word: 0, -EAGAIN there is none, -EBADMSG. Its contents are all within the block. */
static inline int gnli_frames_peek(struct gnli_frames_reader *reader, uint64_t *found)
{
    for (unsigned turns = 0;; turns++) {
        uint64_t word =
            atomic_load_explicit(gnli_frames_word(reader->base, reader->at), memory_order_acquire); /* A */
        if (word == 0)
            return -EAGAIN;
        if (__builtin_expect(gnli_frame_kind(word) >= GNLI_FRAME_NEXT, 0)) {
            if (turns > 0 || gnli_frames_follow(reader, word) < 0)
                return -EBADMSG;
            continue;
        }
        if (gnli_frame_size(word) > GNLI_FRAME_BYTES ||
            reader->at + gnli_frame_takes(gnli_frame_size(word)) + 8 > reader->end)
            return -EBADMSG;
        *found = word;
        return 0;
    }
}

/* Is a frame there, so many after the next one? A guess: where the block ends before, there is. */
static inline bool gnli_frames_queue(const struct gnli_frames_reader *reader, uint32_t places)
{
    for (uint64_t at = reader->at; at + 8 <= reader->end; places--) {
        uint64_t word =
            atomic_load_explicit(gnli_frames_word(reader->base, at), memory_order_acquire); /* A */
        if (word == 0 || places == 0)
            return word != 0;
        if (gnli_frame_kind(word) >= GNLI_FRAME_NEXT || gnli_frame_size(word) > GNLI_FRAME_BYTES)
            return true;
        at += gnli_frame_takes(gnli_frame_size(word));
    }
    return true;
}

static inline const char *gnli_frames_contents(const struct gnli_frames_reader *reader)
{
    return reader->base + reader->at + 8;
}

/* Leaves the frame of that word. */
static inline void gnli_frames_leave(struct gnli_frames_reader *reader, uint64_t word)
{
    reader->at += gnli_frame_takes(gnli_frame_size(word));
    reader->frames++;
    atomic_store_explicit(&reader->left->frames, reader->frames, memory_order_release); /* B */
}

#endif
