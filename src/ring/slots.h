/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The many-to-many queue: slots in shared memory that any number of processes send into and receive
 * from, any of which may be killed or stopped at any instruction. docs/protocol.md has the steps;
 * their labels (S1, R1, …) stand in the code.
 *
 * Invariants
 *   I1  A slot's word decides alone; head, tail and reserved are hints that may be old.
 *   I2  A slot's lap never goes back, and grows whenever it becomes free: no word comes twice.
 *       (Unbounded rings: but for pages that were returned and read as zeros, all before the floor.)
 *   I3  The body of a slot is written only by the owner of its claim, and read by others only while
 *       the word says ready or taken; what was read counts only if the word is unchanged after it.
 *   I4  head passes a position only when the slot's lap is beyond it; tail only when it was claimed.
 *
 * Orderings
 *   A: publish (S5) is a seq_cst compare-and-swap; finding (R1) acquires: carries the body,
 *      whose own accesses are relaxed.
 *   B: freeing (R5, F6, M1) releases, claiming (S2) acquires: the body's readers are through with it
 *      before it is written again.
 *   C: publish, then the look at the sleepers' flag; against raising the flag, then looking at the
 *      slots: all seq_cst, so that one of them sees the other.
 *   D: moving `reserved` releases, reading it acquires: pages are there before they are touched.
 *   E: floor moves (seq_cst), then the words are looked at, and may become zeros; a claim is made, or a
 *      word of zero read (seq_cst), then the floor is looked at (seq_cst): one sees the other.
 *   F: relaxed: hints, and words that a compare-and-swap checks again.
 *   G: relaxed, or whole lines at once: the bytes of a body (I3).
 *
 * Crash story: a sender killed after S2 leaves claimed(dead): whoever meets it frees it (M1). Killed
 * after S5: the message is sent; sleepers find it within 100 ms. A receiver killed before R5: the
 * message is there; after it: received. Stopped anywhere: its claim is skipped by receivers and
 * pushed on by senders (S7); what it then does with an old word fails.
 */
#ifndef GNLI_RING_SLOTS_H
#define GNLI_RING_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ring/word.h"
#include "wait/futex.h"

#define GNLI_INLINE 96 /* bytes of a message that a slot of two lines holds */

/* A message as a slot or a held cell has it. */
struct gnli_body {
    _Atomic uint32_t size;
    _Atomic uint32_t pid;
    _Atomic uint32_t uid;
    _Atomic uint32_t gid;
    _Atomic uint32_t deliveries; /* it had before it came into this mailbox */
    _Atomic uint32_t origin;     /* of a held cell: the slot it was taken from, the queue in the top bit */
    _Atomic uint64_t data[GNLI_INLINE / 8]; /* or more; larger ones: the chunk's name and serial */
};

struct gnli_slot {
    _Atomic uint64_t word;
    struct gnli_body body;
};
_Static_assert(sizeof(struct gnli_slot) == 128, "two cache lines");
#define GNLI_BODY_AT 32 /* of the bytes, in a slot and in a held cell */
_Static_assert(offsetof(struct gnli_slot, body.data) == GNLI_BODY_AT, "layout");

/* All words of a body: there are as many as its mailbox's slots have. */
static inline _Atomic uint64_t *gnli_body_words(struct gnli_body *body)
{
    return (_Atomic uint64_t *)(void *)((char *)body + offsetof(struct gnli_body, data));
}

/*
 * Bytes out of a body, and into one that is claimed. Others may write while we read: what was read is thrown
 * away then. The language has no atomic access of a cache line, and word by word fewer of them are on their
 * way at once; a sanitizer wants to see that the words are shared.
 */
#if defined __SANITIZE_THREAD__
#define GNLI_COPY_BY_LINE 0
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define GNLI_COPY_BY_LINE 0
#endif
#endif
#ifndef GNLI_COPY_BY_LINE
#define GNLI_COPY_BY_LINE 1
#endif

static inline void gnli_read_bytes(void *data, const _Atomic uint64_t *from, size_t size)
{
    char *to = data;
    uint64_t word;

    for (; GNLI_COPY_BY_LINE && size >= 64; size -= 64, to += 64, from += 8)
        memcpy(to, (const void *)(uintptr_t)from, 64);
    for (; size >= 8; size -= 8, to += 8) {
        word = atomic_load_explicit(from++, memory_order_relaxed); /* G */
        memcpy(to, &word, 8);
    }
    if (size > 0) {
        word = atomic_load_explicit(from, memory_order_relaxed); /* G */
        memcpy(to, &word, size);
    }
}

static inline void gnli_write_bytes(_Atomic uint64_t *to, const void *data, size_t size)
{
    const char *from = data;
    uint64_t word;

    for (; GNLI_COPY_BY_LINE && size >= 64; size -= 64, from += 64, to += 8)
        memcpy((void *)(uintptr_t)to, from, 64);
    for (; size >= 8; size -= 8, from += 8) {
        memcpy(&word, from, 8);
        atomic_store_explicit(to++, word, memory_order_relaxed); /* G */
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, from, size);
        atomic_store_explicit(to, word, memory_order_relaxed); /* G */
    }
}

/* Sleepers of one direction. */
struct gnli_sleepers {
    _Atomic uint32_t sequence; /* the futex */
    _Atomic uint32_t flag;     /* odd: somebody sleeps; else where they were woken from (mailbox/wait.c) */
};

/*
 * What is known of a queue: that which each message moves on lines of its own, all that each only looks at on
 * one together.
 */
struct gnli_queue {
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) _Atomic uint64_t floor; /* positions before it are gone (unbounded rings) */
    _Atomic uint64_t reserved;            /* positions from here on have no memory yet */
    _Atomic uint64_t
        release; /* unbounded: which block of consumed slots is next to be given back, and by whom */
    _Atomic uint64_t returned; /* odd: some held cell may have been given back; grows each time one is */
    struct gnli_sleepers receivers;
    struct gnli_sleepers senders;
    _Atomic int64_t woken_ns; /* when the senders were last woken although the queue was nearly full */
    _Atomic uint32_t removed; /* of the first queue: the mailbox has lost its name */
};
_Static_assert(sizeof(struct gnli_queue) == 384, "layout");
_Static_assert(offsetof(struct gnli_queue, returned) == 280, "layout");
_Static_assert(offsetof(struct gnli_queue, removed) < 256 + 64, "one line");

#define GNLI_ALL_RESERVED ((uint64_t)1 << 62)

/* What a ring asks of the mailbox that it belongs to. */
struct gnli_slots_owner {
    bool (*dead)(void *context, unsigned owner); /* M1's question to the kernel */
    void (*undo)(void *context, unsigned queue, uint64_t index,
                 uint64_t word); /* M1: what hangs on a dead claim */
    int (*finish)(void *context, unsigned queue, uint64_t index, uint64_t word); /* F; -EBADMSG: nonsense */
    int (*reserve)(void *context, unsigned queue, uint64_t position);            /* U1: 0 or -ENOSPC */
};

/* A process's view of one ring; every field was checked when the mailbox was opened. */
struct gnli_slots {
    struct gnli_queue *queue;
    struct gnli_slot *slots;
    uint64_t count;    /* N */
    uint64_t mask;     /* of the index */
    size_t stride;     /* bytes of a slot */
    size_t inline_max; /* bytes of a message that it holds */
    unsigned shift;    /* a position is lap << shift | index */
    unsigned number;   /* of the queue: 0, or 1 on a two-way mailbox's other side */
    bool unbounded;
    const struct gnli_slots_owner *owner;
    void *context;
};

#define GNLI_SKIPPED_MAX    64
#define GNLI_BACKLOG_AHEAD  8
#define GNLI_PREFETCH_AHEAD ((uint64_t)16)

/* Where one port stands; advice for the next call, shared by its threads. */
struct gnli_cursor {
    _Atomic uint64_t next;
    atomic_bool slow;     /* something living was skipped: what follows is in use */
    pthread_mutex_t lock; /* guards the rest */
    uint64_t resume;      /* all before it is consumed or in `skipped` */
    unsigned skipped_count;
    uint64_t skipped[GNLI_SKIPPED_MAX]; /* ascending */
    int64_t asked_ns;                   /* when it was last asked whether their owners live */
};

void gnli_cursor_init(struct gnli_cursor *cursor);

/* Positions, compared as they wrap around. */
static inline bool gnli_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static inline uint64_t gnli_later(uint64_t a, uint64_t b)
{
    return gnli_before(a, b) ? b : a;
}

/*
 * The later of a port's own place and the shared hint; nearly always they are the same. So it is a jump that
 * the processor foresees, not a move that waits for the hint's line: it goes on to the slot meanwhile.
 */
static inline uint64_t gnli_place(const struct gnli_cursor *cursor, const _Atomic uint64_t *hint)
{
    uint64_t place = atomic_load_explicit(&cursor->next, memory_order_relaxed); /* F */
    uint64_t shared = atomic_load_explicit(hint, memory_order_relaxed);         /* F */

    if (__builtin_expect(gnli_before(place, shared), 0)) {
        __asm__("" : "+r"(shared));
        place = shared;
    }
    return place;
}

static inline void gnli_raise_hint(_Atomic uint64_t *hint, uint64_t position)
{
    if (gnli_before(atomic_load_explicit(hint, memory_order_relaxed), position)) /* F */
        atomic_store_explicit(hint, position, memory_order_relaxed);             /* F */
}

static inline uint64_t gnli_slots_index(const struct gnli_slots *ring, uint64_t position)
{
    return position & ring->mask;
}

static inline uint64_t gnli_slots_lap(const struct gnli_slots *ring, uint64_t position)
{
    return position >> ring->shift;
}

static inline uint64_t gnli_slots_position(const struct gnli_slots *ring, uint64_t lap, uint64_t index)
{
    return lap << ring->shift | index;
}

static inline uint64_t gnli_slots_after(const struct gnli_slots *ring, uint64_t position)
{
    uint64_t index = gnli_slots_index(ring, position) + 1;

    return index < ring->count ? position + 1
                               : gnli_slots_position(ring, gnli_slots_lap(ring, position) + 1, 0);
}

static inline struct gnli_slot *gnli_slots_nth(const struct gnli_slots *ring, uint64_t index)
{
    return (struct gnli_slot *)(void *)((char *)ring->slots + index * ring->stride);
}

/* The slot of a position; in bounds whatever the position is. */
static inline struct gnli_slot *gnli_slots_at(const struct gnli_slots *ring, uint64_t position)
{
    uint64_t index = gnli_slots_index(ring, position);

    return gnli_slots_nth(ring, index < ring->count ? index : 0);
}

/* Positions from a to b. */
static inline int64_t gnli_slots_distance(const struct gnli_slots *ring, uint64_t a, uint64_t b)
{
    int64_t laps = (int64_t)(gnli_slots_lap(ring, b) - gnli_slots_lap(ring, a));

    return laps * (int64_t)ring->count + (int64_t)gnli_slots_index(ring, b) -
           (int64_t)gnli_slots_index(ring, a);
}

/* A place that is being filled. */
struct gnli_claim {
    struct gnli_slot *slot;
    uint64_t position;
    uint64_t word; /* with which it was claimed */
};

int gnli_slots_claim_slowly(struct gnli_slots *ring, struct gnli_cursor *cursor, unsigned me,
                            struct gnli_claim *claim);
int gnli_slots_publish_slowly(struct gnli_slots *ring, struct gnli_claim *claim);

/*
 * S1, S2 of the first place to look at, which is nearly always free: true if it is claimed. From here to S5
 * each instruction counts: a receiver that looks at the slot meanwhile takes its line away, and both wait for
 * it twice.
 */
static inline bool gnli_slots_claim_first(struct gnli_slots *ring, struct gnli_cursor *cursor, unsigned me,
                                          struct gnli_claim *claim)
{
    uint64_t t = gnli_place(cursor, &ring->queue->tail);

    claim->position = t;
    claim->slot = gnli_slots_at(ring, t);
    /* A watching receiver has both lines. A mere look would bring one, to read; S2 would ask once more. */
    gnli_prefetch_write(claim->slot);
    gnli_prefetch_write((char *)claim->slot + 64);
    if (ring->unbounded ||
        !gnli_before(t, atomic_load_explicit(&ring->queue->reserved, memory_order_acquire))) /* D */
        return false;
    uint64_t free = gnli_word(GNLI_FREE, 0, 0, gnli_slots_lap(ring, t));
    claim->word = free | gnli_word(GNLI_CLAIMED, me, 0, 0);
    return atomic_load_explicit(&claim->slot->word, memory_order_relaxed) == free &&       /* F */
           atomic_compare_exchange_strong_explicit(&claim->slot->word, &free, claim->word, /* S2 */
                                                   memory_order_seq_cst,                   /* B E */
                                                   memory_order_relaxed);                  /* F */
}

/*
 * S1, S2: claims a place; -EAGAIN full, and claim->position is the place that is in use still; -ENOSPC,
 * -EBADMSG.
 */
static inline int gnli_slots_claim(struct gnli_slots *ring, struct gnli_cursor *cursor, unsigned me,
                                   struct gnli_claim *claim)
{
    return gnli_slots_claim_first(ring, cursor, me, claim) ? 0
                                                           : gnli_slots_claim_slowly(ring, cursor, me, claim);
}

/* Would a claim succeed? 0 yes, or nobody knows before it is tried; -EAGAIN full; -EBADMSG. */
int gnli_slots_room(struct gnli_slots *ring, struct gnli_cursor *cursor);

/* All lines of the slot after next, in a mailbox of long slots. */
void gnli_slots_prefetch_long(struct gnli_slots *ring, uint64_t next);

/* S5: the claim becomes a message, at claim->position, if it was pushed. -EBADMSG: it is ours no more. */
static inline int gnli_slots_publish(struct gnli_slots *ring, struct gnli_cursor *cursor,
                                     struct gnli_claim *claim)
{
    uint64_t word = claim->word;
    uint64_t ready = word ^ gnli_word(GNLI_CLAIMED, 0, 0, 0) ^ gnli_word(GNLI_READY, 0, 0, 0);

    if (!atomic_compare_exchange_strong_explicit(&claim->slot->word, &word, ready,
                                                 memory_order_seq_cst,    /* A C */
                                                 memory_order_relaxed)) { /* F */
        struct gnli_claim pushed = *claim; /* a claim whose address is known stays out of registers */
        int result = gnli_slots_publish_slowly(ring, &pushed);
        if (result < 0)
            return result;
        *claim = pushed;
    }
    uint64_t next = gnli_slots_after(ring, claim->position);
    atomic_store_explicit(&cursor->next, next, memory_order_relaxed); /* F */
    gnli_raise_hint(&ring->queue->tail, next);
    if (ring->stride > sizeof(struct gnli_slot)) {
        gnli_slots_prefetch_long(ring, next);
    } else if (ring->count > 2 * GNLI_PREFETCH_AHEAD) { /* soon ours to write: have the lines here by then */
        uint64_t index = gnli_slots_index(ring, claim->position) + GNLI_PREFETCH_AHEAD;
        const char *slot =
            (const char *)gnli_slots_nth(ring, index < ring->count ? index : index - ring->count);
        gnli_prefetch_write(slot);
        gnli_prefetch_write(slot + 64);
    }
    return 0;
}

/* Z2, Z4: a message that nobody took becomes a claim again; a claim is given up. */
bool gnli_slots_retract(struct gnli_slots *ring, unsigned me, uint64_t position);
void gnli_slots_abandon(struct gnli_slots *ring, unsigned me, uint64_t position);

/* R1 of the first place to look at: true if it has the message that is next, in `slot`. */
static inline bool gnli_slots_peek(struct gnli_slots *ring, struct gnli_cursor *cursor,
                                   struct gnli_slot **slot, uint64_t *position, uint64_t *word)
{
    uint64_t h = gnli_place(cursor, &ring->queue->head);

    *position = h;
    if (!gnli_before(h, atomic_load_explicit(&ring->queue->reserved, memory_order_seq_cst))) /* C D */
        return false;
    *slot = gnli_slots_at(ring, h);
    *word = atomic_load_explicit(&(*slot)->word, memory_order_seq_cst); /* A C */
    return gnli_word_phase(*word) == GNLI_READY && gnli_word_ahead(*word, gnli_slots_lap(ring, h)) == 0 &&
           !atomic_load_explicit(&cursor->slow, memory_order_relaxed); /* F */
}

/*
 * R1, R2: finds the message that is next for this port: its position and word. -EAGAIN empty, and then
 * `position` is where the next one is expected, and `word` what gnli_slots_watched held there. -EBADMSG.
 */
int gnli_slots_find(struct gnli_slots *ring, struct gnli_cursor *cursor, uint64_t *position, uint64_t *word);

/* What changes when something happens at the position; its memory may not be there yet. */
static inline const _Atomic uint64_t *gnli_slots_watched(const struct gnli_slots *ring, uint64_t position)
{
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* D */

    return gnli_before(position, reserved) ? &gnli_slots_at(ring, position)->word : &ring->queue->reserved;
}

/* Is a message there, so many places after the one that is next for this port? A guess. */
bool gnli_slots_queue(struct gnli_slots *ring, struct gnli_cursor *cursor, uint32_t places);

/* R5: what was found and copied is received. False: somebody else was quicker. */
static inline bool gnli_slots_consume(struct gnli_slots *ring, struct gnli_slot *slot, uint64_t position,
                                      uint64_t word)
{
    uint64_t free = gnli_word(GNLI_FREE, 0, 0, gnli_slots_lap(ring, position) + 1);

    return atomic_compare_exchange_strong_explicit(&slot->word, &word, free, /* R5 */
                                                   memory_order_seq_cst,     /* B C */
                                                   memory_order_relaxed);    /* F */
}

/* After a consume or F6 of the position: the next look starts behind it. */
static inline void gnli_slots_advance(struct gnli_slots *ring, struct gnli_cursor *cursor, uint64_t position)
{
    if (atomic_load_explicit(&cursor->slow, memory_order_relaxed)) /* F */
        return; /* the next look finds its way past what was skipped */
    uint64_t next = gnli_slots_after(ring, position);
    atomic_store_explicit(&cursor->next, next, memory_order_relaxed); /* F */
    gnli_raise_hint(&ring->queue->head, next);
}

/*
 * Asks for the lines of the slot some places on. In a backlog that hides the way they come; on the
 * heels of a sender it would take them away from it.
 */
static inline void gnli_slots_prefetch(const struct gnli_slots *ring, uint64_t position)
{
    uint64_t index = gnli_slots_index(ring, position) + GNLI_BACKLOG_AHEAD;
    const char *slot = (const char *)gnli_slots_nth(ring, index < ring->count ? index : index % ring->count);

    gnli_prefetch_write(slot); /* its word is ours to change */
    __builtin_prefetch(slot + 64);
}

/*
 * M1 and F for one slot, until its word does not name `dead` (0: any dead owner) any more. For sweeps.
 * -EAGAIN it does still, -EBADMSG.
 */
int gnli_slots_mend(struct gnli_slots *ring, uint64_t position, unsigned dead);

/* U4: moves the floor to `position`; true if all words before it since `from` are free of owners. */
bool gnli_slots_raise_floor(struct gnli_slots *ring, uint64_t from, uint64_t position);

/* Messages that are ready; an estimate when the ring is large. */
uint64_t gnli_slots_queued(struct gnli_slots *ring);

/*
 * Counts the places that each participant is filling, claims[owner]; of a large ring, among the first ones
 * after the head. There is a count for every owner that a word can name.
 */
#define GNLI_OWNERS (GNLI_TWELVE_BITS + 1)
void gnli_slots_claims(struct gnli_slots *ring, uint32_t claims[GNLI_OWNERS]);

#endif
