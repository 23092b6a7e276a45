/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/slots.h"

#include <errno.h>
#include <string.h>

#include "base/budget.h"
#include "base/clock.h"
#include "wait/futex.h"

#define CLAIM_LOOKS 7 /* at a claim in the making before looking past it, each after twice the pauses */
#define TAIL_STEPS  8 /* places to walk over before looking at the tail again */
#define CHANGE_TRIES \
    8192 /* at a word that others push on: more than there can be of them, and each does it once */
#define NOBODY        0                   /* no participant's number: who only looks */
#define WALK_NS       ((int64_t)10000000) /* of looking at places, before an attempt ends in -EAGAIN */
#define COUNT_EXACTLY ((uint64_t)1 << 16) /* slots up to which the messages are counted one by one */

void gnli_cursor_init(struct gnli_cursor *cursor)
{
    memset(cursor, 0, sizeof *cursor);
    pthread_mutex_init(&cursor->lock, NULL);
}

/*
 * More steps than a call takes between two pauses of its process, and a few pauses, in each of which
 * others may have moved on by laps. Beyond that the words make no sense.
 */
static uint64_t most_steps(const struct gnli_slots *ring)
{
    return 8 * ring->count + 4096;
}

/* M1: a dead owner's claim is given up. */
static void free_claim(struct gnli_slots *ring, uint64_t position, uint64_t word)
{
    struct gnli_slot *slot = gnli_slots_at(ring, position);
    uint64_t free = gnli_word(GNLI_FREE, 0, 0, gnli_word_lap(word) + 1);

    ring->owner->undo(ring->context, ring->number, gnli_slots_index(ring, position), word);
    atomic_compare_exchange_strong_explicit(&slot->word, &word, free, memory_order_release, /* B */
                                            memory_order_relaxed);                          /* F */
}

static bool owner_dead(struct gnli_slots *ring, uint64_t word)
{
    return ring->owner->dead(ring->context, gnli_word_owner(word));
}

static int finish(struct gnli_slots *ring, uint64_t position, uint64_t word)
{
    return ring->owner->finish(ring->context, ring->number, gnli_slots_index(ring, position), word);
}

/* ---- sending ---- */

/* S7's condition: one of the N-1 places after t is free for its position. */
static bool room_after(struct gnli_slots *ring, uint64_t t, struct gnli_budget *budget)
{
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* D */

    for (uint64_t i = 1; i < ring->count && !gnli_budget_spent(budget, 1); i++) {
        t = gnli_slots_after(ring, t);
        if (!gnli_before(t, reserved))
            return true; /* not even touched yet */
        uint64_t word = atomic_load_explicit(&gnli_slots_at(ring, t)->word, memory_order_relaxed); /* F */
        if (gnli_word_phase(word) == GNLI_FREE && gnli_word_ahead(word, gnli_slots_lap(ring, t)) <= 0)
            return true;
    }
    return false;
}

/*
 * S1 at a slot that is a lap behind: 0 look at it again, 1 passed on to the next, -EAGAIN full,
 * -EBADMSG nonsense.
 */
static int clear_the_way(struct gnli_slots *ring, struct gnli_slot *slot, uint64_t word, uint64_t t,
                         struct gnli_budget *budget)
{
    uint64_t lap = gnli_slots_lap(ring, t);

    if (gnli_word_ahead(word, lap) < -1 && !ring->unbounded)
        return -EBADMSG;
    switch (gnli_word_phase(word)) {
    case GNLI_READY:
        return -EAGAIN;
    case GNLI_TAKEN:
        return finish(ring, t, word);
    case GNLI_FREE:
        return -EBADMSG; /* the tail passed a place that nobody claimed */
    case GNLI_CLAIMED:
        break;
    }
    /*
     * Unbounded: t has memory, so the floor has passed the lap before (U1). The claim is one that its owner
     * is about to take back (U3), or was, when it died: nobody may have it, least of all who got its number.
     */
    if (ring->unbounded || owner_dead(ring, word)) {
        free_claim(ring, t, word); /* M1 */
        return 0;
    }
    if (!room_after(ring, t, budget)) /* that holds for this lap only: others may have gone on meanwhile */
        return atomic_load_explicit(&slot->word, memory_order_relaxed) == word ? -EAGAIN : 0; /* F */
    uint64_t pushed = gnli_word(GNLI_CLAIMED, gnli_word_owner(word), 0, lap);
    /* S7 */
    bool done =
        atomic_compare_exchange_strong_explicit(&slot->word, &word, pushed, memory_order_relaxed, /* F */
                                                memory_order_relaxed);                            /* F */
    return done ? 1 : 0;
}

/* U3: the floor may have passed us before we claimed. True: the claim stands. */
static bool claim_stands(struct gnli_slots *ring, const struct gnli_claim *claim)
{
    uint64_t word = claim->word;

    if (!gnli_before(claim->position,
                     atomic_load_explicit(&ring->queue->floor, memory_order_seq_cst))) /* E */
        return true;
    /* If this fails, its page was returned and the claim with it, or somebody took it away (S1). */
    atomic_compare_exchange_strong_explicit(&claim->slot->word, &word, 0, memory_order_release, /* B */
                                            memory_order_relaxed);                              /* F */
    return false;
}

int gnli_slots_claim_slowly(struct gnli_slots *ring, struct gnli_cursor *cursor, unsigned me,
                            struct gnli_claim *claim)
{
    struct gnli_queue *queue = ring->queue;
    uint64_t t = claim->position;

    if (ring->unbounded)
        t = gnli_later(t, atomic_load_explicit(&queue->floor, memory_order_relaxed)); /* F */
    struct gnli_budget budget = { .allowed_ns = WALK_NS };
    uint64_t cost = 1;
    for (uint64_t steps = most_steps(ring); steps > 0; steps--) {
        if (gnli_budget_spent(&budget, cost)) {
            atomic_store_explicit(&cursor->next, t, memory_order_relaxed); /* F */
            claim->position = t;
            return -EAGAIN;
        }
        cost = 1;
        if (!gnli_before(t, atomic_load_explicit(&queue->reserved, memory_order_acquire))) { /* D */
            if (me == NOBODY)
                return 0;
            int result = ring->owner->reserve(ring->context, ring->number, t); /* U1 */
            if (result < 0)
                return result;
            cost = GNLI_STEP_KERNEL; /* others may have filled it before we are back, block after block */
            continue;
        }
        struct gnli_slot *slot = gnli_slots_at(ring, t);
        uint64_t lap = gnli_slots_lap(ring, t);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed); /* F */
        int64_t ahead = gnli_word_ahead(word, lap);
        if (gnli_word_phase(word) == GNLI_FREE && (ahead == 0 || (ring->unbounded && ahead < 0))) { /* U2 */
            if (me == NOBODY)
                return 0;
            *claim = (struct gnli_claim){ .slot = slot,
                                          .position = t,
                                          .word = gnli_word(GNLI_CLAIMED, me, 0, lap) };
            /* S2 */
            if (!atomic_compare_exchange_strong_explicit(&slot->word, &word, claim->word,
                                                         memory_order_seq_cst,  /* B E */
                                                         memory_order_relaxed)) /* F */
                continue;
            if (!ring->unbounded || claim_stands(ring, claim))
                return 0;
            t = gnli_later(t, atomic_load_explicit(&queue->floor, memory_order_relaxed)); /* F */
            continue;
        }
        if (ahead < 0) {
            int result = clear_the_way(ring, slot, word, t, &budget);
            if (result < 0) {
                claim->position = t;
                return result == -EAGAIN && ring->unbounded ? -ENOSPC : result;
            }
            if (result == 0)
                continue;
        } else if (ahead > 1) {
            /* The tail we started from is laps old. All before the slot's last lap was claimed. */
            t = gnli_slots_position(ring, lap + (uint64_t)ahead - 1, gnli_slots_index(ring, t));
        }
        t = gnli_slots_after(ring, t);
        if (steps % TAIL_STEPS ==
            0) /* others claim as fast as we walk: nobody would catch up place by place */
            t = gnli_later(t, atomic_load_explicit(&queue->tail, memory_order_relaxed)); /* F */
    }
    return -EBADMSG;
}

bool gnli_slots_queue(struct gnli_slots *ring, struct gnli_cursor *cursor, uint32_t places)
{
    uint64_t next = gnli_later(atomic_load_explicit(&cursor->next, memory_order_relaxed),       /* F */
                               atomic_load_explicit(&ring->queue->head, memory_order_relaxed)); /* F */
    uint64_t lap = gnli_slots_lap(ring, next);
    uint64_t index = gnli_slots_index(ring, next) + places;

    if (index >= ring->count) {
        index -= ring->count;
        lap++;
    }
    if (index >= ring->count ||
        !gnli_before(gnli_slots_position(ring, lap, index),
                     atomic_load_explicit(&ring->queue->reserved, memory_order_acquire))) /* D */
        return false;
    uint64_t word = atomic_load_explicit(&gnli_slots_nth(ring, index)->word, memory_order_relaxed); /* F */
    return gnli_word_phase(word) == GNLI_READY && gnli_word_ahead(word, lap) == 0;
}

int gnli_slots_room(struct gnli_slots *ring, struct gnli_cursor *cursor)
{
    struct gnli_claim place = {
        .position = gnli_later(atomic_load_explicit(&cursor->next, memory_order_relaxed),       /* F */
                               atomic_load_explicit(&ring->queue->tail, memory_order_relaxed)), /* F */
    };

    return gnli_slots_claim_slowly(ring, cursor, NOBODY, &place);
}

void gnli_slots_prefetch_long(struct gnli_slots *ring, uint64_t next)
{
    const char *slot = (const char *)gnli_slots_at(ring, gnli_slots_after(ring, next));

    if (ring->count > 2)
        for (size_t i = 0; i < ring->stride; i += 64)
            gnli_prefetch_write(slot + i);
}

int gnli_slots_publish_slowly(struct gnli_slots *ring, struct gnli_claim *claim)
{
    uint64_t word = claim->word;
    unsigned me = gnli_word_owner(word);

    /* S5: others may push the claim on while we look, a lap at a time. */
    for (unsigned tries = 0;; tries++) {
        uint64_t ready = gnli_word(GNLI_READY, me, 0, gnli_word_lap(word));
        if (atomic_compare_exchange_strong_explicit(&claim->slot->word, &word, ready,
                                                    memory_order_seq_cst,  /* A C */
                                                    memory_order_relaxed)) /* F */
            break;
        if (gnli_word_phase(word) != GNLI_CLAIMED || gnli_word_owner(word) != me || tries == CHANGE_TRIES)
            return -EBADMSG;
    }
    uint64_t lap = gnli_slots_lap(ring, claim->position);
    claim->position = gnli_slots_position(ring, lap + (uint64_t)gnli_word_ahead(word, lap),
                                          gnli_slots_index(ring, claim->position));
    claim->word = word;
    return 0;
}

bool gnli_slots_retract(struct gnli_slots *ring, unsigned me, uint64_t position)
{
    uint64_t lap = gnli_slots_lap(ring, position);
    uint64_t ready = gnli_word(GNLI_READY, me, 0, lap);

    /* Z2 */
    return atomic_compare_exchange_strong_explicit(&gnli_slots_at(ring, position)->word, &ready,
                                                   gnli_word(GNLI_CLAIMED, me, 0, lap),
                                                   memory_order_acquire,  /* B */
                                                   memory_order_relaxed); /* F */
}

void gnli_slots_abandon(struct gnli_slots *ring, unsigned me, uint64_t position)
{
    struct gnli_slot *slot = gnli_slots_at(ring, position);
    uint64_t word = gnli_word(GNLI_CLAIMED, me, 0, gnli_slots_lap(ring, position));

    /* Z4 */
    for (unsigned tries = 0; tries < CHANGE_TRIES; tries++)
        if (gnli_word_phase(word) != GNLI_CLAIMED || gnli_word_owner(word) != me ||
            atomic_compare_exchange_strong_explicit(&slot->word, &word,
                                                    gnli_word(GNLI_FREE, 0, 0, gnli_word_lap(word) + 1),
                                                    memory_order_seq_cst,  /* B C */
                                                    memory_order_relaxed)) /* F */
            return;
}

/* ---- receiving ---- */

enum look { LOOK_AGAIN, LOOK_CONSUMED, LOOK_EMPTY, LOOK_CLAIMED, LOOK_READY };

/* R1 at one place; what can be mended without asking the kernel is mended. */
static int look_at(struct gnli_slots *ring, uint64_t position, uint64_t *word, enum look *look)
{
    struct gnli_slot *slot = gnli_slots_at(ring, position);

    *word = atomic_load_explicit(&slot->word, memory_order_seq_cst); /* A C */
    int64_t ahead = gnli_word_ahead(*word, gnli_slots_lap(ring, position));

    if (ahead > 0) {
        *look = LOOK_CONSUMED;
    } else if (ahead < 0) {
        *look = LOOK_EMPTY; /* the lap before is still there: nothing was sent here yet */
    } else {
        switch (gnli_word_phase(*word)) {
        case GNLI_FREE:
            *look = LOOK_EMPTY;
            break;
        case GNLI_CLAIMED:
            *look = LOOK_CLAIMED;
            break;
        case GNLI_READY:
            *look = LOOK_READY;
            break;
        case GNLI_TAKEN:
            *look = LOOK_AGAIN;
            return finish(ring, position, *word);
        }
    }
    return 0;
}

/*
 * Forgets those of `skipped` that are consumed; stops at one that is ready. Returns its index, the count
 * if there is none, or -EBADMSG.
 */
static int64_t look_at_skipped(struct gnli_slots *ring, struct gnli_cursor *cursor, bool ask, uint64_t *word)
{
    unsigned kept = 0, i;
    int64_t found = -1;

    for (i = 0; i < cursor->skipped_count; i++) {
        uint64_t position = cursor->skipped[i];
        enum look look = LOOK_AGAIN;
        for (int tries = 0; look == LOOK_AGAIN && tries < 8; tries++) {
            int result = look_at(ring, position, word, &look);
            if (result < 0)
                return result;
            if (look == LOOK_CLAIMED && ask && owner_dead(ring, *word)) {
                free_claim(ring, position, *word); /* M1 */
                look = LOOK_AGAIN;
            }
        }
        if (look == LOOK_CONSUMED || look == LOOK_EMPTY)
            continue;
        if (look == LOOK_READY) {
            found = kept;
            break;
        }
        cursor->skipped[kept++] = position;
    }
    for (; i < cursor->skipped_count; i++)
        cursor->skipped[kept++] = cursor->skipped[i];
    cursor->skipped_count = kept;
    return found < 0 ? kept : found;
}

/*
 * Where to look next when the place is consumed. Who comes back after a long pause is laps behind: the
 * word tells of all but the last two laps that they were received, the head of more.
 */
static uint64_t past_consumed(struct gnli_slots *ring, uint64_t position, uint64_t word)
{
    uint64_t lap = gnli_slots_lap(ring, position);
    int64_t ahead = gnli_word_ahead(word, lap);

    if (ahead > 2)
        position = gnli_slots_position(ring, lap + (uint64_t)ahead - 2, gnli_slots_index(ring, position));
    return gnli_later(gnli_slots_after(ring, position),
                      atomic_load_explicit(&ring->queue->head, memory_order_relaxed)); /* F */
}

/*
 * Where to look instead of a place where nothing is yet. Of an unbounded ring it may be one that was
 * received and given back since we knew of it: zeros then, or a claim that does not stand (U3).
 */
static uint64_t past_floor(struct gnli_slots *ring, uint64_t position)
{
    if (!ring->unbounded)
        return position;
    return gnli_later(position, atomic_load_explicit(&ring->queue->floor, memory_order_seq_cst)); /* E */
}

/* R1 and R2 past living claims; the cursor's lock is held. */
static int find_past_claims(struct gnli_slots *ring, struct gnli_cursor *cursor, uint64_t *position,
                            uint64_t *word)
{
    int64_t now = gnli_tick_ns();
    bool ask = now != cursor->asked_ns; /* not with every message: each question is a system call */
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_seq_cst); /* C D */

    struct gnli_budget budget = { .allowed_ns = WALK_NS };

    cursor->asked_ns = now;
    for (uint64_t steps = most_steps(ring); steps > 0; steps--) {
        if (gnli_budget_spent(&budget, ask ? GNLI_STEP_KERNEL : 1))
            return -EAGAIN; /* the next look goes on from here */
        enum look look = LOOK_EMPTY;
        uint64_t p = cursor->resume;
        *word = reserved;
        if (gnli_before(p, reserved)) {
            int result = look_at(ring, p, word, &look);
            if (result < 0)
                return result;
        }
        if ((look == LOOK_EMPTY || look == LOOK_CLAIMED) && past_floor(ring, p) != p) {
            cursor->resume = past_floor(ring, p);
            continue;
        }
        switch (look) {
        case LOOK_AGAIN:
            continue;
        case LOOK_CONSUMED:
            cursor->resume = past_consumed(ring, p, *word);
            continue;
        case LOOK_CLAIMED:
            if (ask && owner_dead(ring, *word)) {
                free_claim(ring, p, *word); /* M1 */
                continue;
            }
            if (cursor->skipped_count == GNLI_SKIPPED_MAX)
                break; /* so many at once; but is there something for us among them, or to forget? */
            cursor->skipped[cursor->skipped_count++] = p;
            cursor->resume = gnli_slots_after(ring, p);
            continue;
        case LOOK_READY:
        case LOOK_EMPTY:
            break;
        }
        if (gnli_budget_spent(&budget, (ask ? GNLI_STEP_KERNEL : 1) * (uint64_t)cursor->skipped_count))
            return -EAGAIN;
        uint64_t earlier;
        int64_t found = look_at_skipped(ring, cursor, ask, &earlier); /* R2 */
        if (found < 0)
            return (int)found;
        if (found < cursor->skipped_count) {
            *position = cursor->skipped[found];
            *word = earlier;
            return 0;
        }
        if (look == LOOK_CLAIMED && cursor->skipped_count < GNLI_SKIPPED_MAX)
            continue;
        *position = p;
        return look == LOOK_READY ? 0 : -EAGAIN;
    }
    return -EBADMSG;
}

static int find_slowly(struct gnli_slots *ring, struct gnli_cursor *cursor, uint64_t h, uint64_t *position,
                       uint64_t *word)
{
    pthread_mutex_lock(&cursor->lock);
    if (!atomic_load_explicit(&cursor->slow, memory_order_relaxed)) { /* F */
        cursor->resume = h;
        cursor->skipped_count = 0;
        atomic_store_explicit(&cursor->slow, true, memory_order_relaxed); /* F */
    }
    int result = find_past_claims(ring, cursor, position, word);
    uint64_t first = cursor->skipped_count > 0 ? cursor->skipped[0] : cursor->resume;
    atomic_store_explicit(&cursor->next, first, memory_order_relaxed); /* F */
    if (cursor->skipped_count == 0) {
        atomic_store_explicit(&cursor->slow, false, memory_order_relaxed); /* F */
        gnli_raise_hint(&ring->queue->head, first); /* all before it is consumed, and memory may go back */
    }
    pthread_mutex_unlock(&cursor->lock);
    return result;
}

int gnli_slots_find(struct gnli_slots *ring, struct gnli_cursor *cursor, uint64_t *position, uint64_t *word)
{
    struct gnli_queue *queue = ring->queue;
    struct gnli_slot *slot;

    if (gnli_slots_peek(ring, cursor, &slot, position, word))
        return 0;
    uint64_t h = *position;
    if (ring->unbounded)
        h = gnli_later(h, atomic_load_explicit(&queue->floor, memory_order_relaxed)); /* F */
    struct gnli_budget budget = { .allowed_ns = WALK_NS };
    unsigned looks = 0;
    for (uint64_t steps = most_steps(ring); steps > 0; steps--) {
        *position = h;
        *word = atomic_load_explicit(&queue->reserved, memory_order_seq_cst); /* C D */
        if (gnli_budget_spent(&budget, 1))
            return -EAGAIN; /* the next look goes on from here */
        if (!gnli_before(h, *word))
            return -EAGAIN;
        enum look look;
        int result = look_at(ring, h, word, &look);
        if (result < 0)
            return result;
        if (look == LOOK_READY)
            return 0;
        if (look == LOOK_CLAIMED && looks < CLAIM_LOOKS) {
            /* Most likely its sender is writing it this very moment: keep off its lines. */
            for (unsigned pauses = 1u << looks++; pauses > 0; pauses--)
                gnli_pause();
            continue;
        }
        if (look == LOOK_CLAIMED || atomic_load_explicit(&cursor->slow, memory_order_relaxed)) /* F */
            return find_slowly(ring, cursor, h, position, word);
        if (look == LOOK_EMPTY) {
            if (past_floor(ring, h) == h)
                return -EAGAIN;
            h = past_floor(ring, h);
        }
        if (look == LOOK_CONSUMED) {
            h = past_consumed(ring, h, *word);
            atomic_store_explicit(&cursor->next, h, memory_order_relaxed); /* F */
            gnli_raise_hint(&queue->head, h);
        }
    }
    return -EBADMSG;
}

/* ---- mending ---- */

int gnli_slots_mend(struct gnli_slots *ring, uint64_t position, unsigned dead)
{
    struct gnli_slot *slot = gnli_slots_at(ring, position);

    /*
     * Until the word does not name it any more: S7 by those who asked before the death makes M1 fail, at
     * most once for each of them.
     */
    for (unsigned tries = 0; tries < CHANGE_TRIES; tries++) {
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire); /* A */
        enum gnli_phase phase = gnli_word_phase(word);
        if (phase != GNLI_CLAIMED && phase != GNLI_TAKEN)
            return 0;
        if (dead != 0 && gnli_word_owner(word) != dead)
            return 0;
        if (phase == GNLI_CLAIMED && !owner_dead(ring, word))
            return 0;
        if (phase == GNLI_CLAIMED) {
            free_claim(ring, position, word); /* M1 */
        } else {
            int result = finish(ring, position, word);
            if (result < 0)
                return result;
        }
    }
    return -EAGAIN;
}

bool gnli_slots_raise_floor(struct gnli_slots *ring, uint64_t from, uint64_t position)
{
    uint64_t floor = from;

    /* U4 */
    if (!atomic_compare_exchange_strong_explicit(&ring->queue->floor, &floor, position,
                                                 memory_order_seq_cst,    /* E */
                                                 memory_order_seq_cst) && /* E */
        floor != position) /* moved already by one who died at it */
        return false;
    for (uint64_t p = from; p != position; p = gnli_slots_after(ring, p)) {
        uint64_t word = atomic_load_explicit(&gnli_slots_at(ring, p)->word, memory_order_seq_cst); /* E */
        if (gnli_word_phase(word) != GNLI_FREE)
            return false;
    }
    return true;
}

uint64_t gnli_slots_queued(struct gnli_slots *ring)
{
    uint64_t head = atomic_load_explicit(&ring->queue->head, memory_order_relaxed); /* F */
    uint64_t tail = atomic_load_explicit(&ring->queue->tail, memory_order_relaxed); /* F */
    int64_t distance = gnli_slots_distance(ring, head, tail);
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* D */
    uint64_t queued = 0;

    if (ring->unbounded || ring->count > COUNT_EXACTLY)
        return distance > 0 ? (uint64_t)distance : 0;
    for (uint64_t i = 0; i < ring->count && gnli_before(i, reserved); i++) {
        uint64_t word = atomic_load_explicit(&gnli_slots_nth(ring, i)->word, memory_order_relaxed); /* F */
        queued += gnli_word_phase(word) == GNLI_READY;
    }
    return queued;
}

void gnli_slots_claims(struct gnli_slots *ring, uint32_t claims[GNLI_OWNERS])
{
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire);   /* D */
    uint64_t p = gnli_later(atomic_load_explicit(&ring->queue->head, memory_order_relaxed),   /* F */
                            atomic_load_explicit(&ring->queue->floor, memory_order_relaxed)); /* F */

    for (uint64_t i = 0; i < ring->count && i < COUNT_EXACTLY && gnli_before(p, reserved); i++) {
        uint64_t word = atomic_load_explicit(&gnli_slots_at(ring, p)->word, memory_order_relaxed); /* F */
        claims[gnli_word_owner(word)] += gnli_word_phase(word) == GNLI_CLAIMED;
        p = gnli_slots_after(ring, p);
    }
}
