/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The many-to-many queue in plain memory: a table stands in for the kernel's word on who is dead.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "ring/slots.h"

#define SLOTS_MAX 64
#define OWNERS    8

static struct gnli_queue queue;
static struct gnli_slot slots[SLOTS_MAX];
static struct gnli_slots ring;
static struct gnli_cursor out, in;
static bool is_dead[OWNERS];
static unsigned undone, finished, questions;
static uint64_t reserve_limit; /* positions from here on: no memory */

static bool dead(void *context, unsigned owner)
{
    (void)context;
    questions++;
    return owner == 0 || owner >= OWNERS || is_dead[owner];
}

static void undo(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    ck_assert_uint_eq(number, 0);
    ck_assert_uint_lt(index, ring.count);
    ck_assert_int_eq(gnli_word_phase(word), GNLI_CLAIMED);
    undone++;
}

/* A mailbox's F, without the cell. */
static int finish(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    ck_assert_uint_eq(number, 0);
    finished++;
    if (gnli_word_cell(word) == 0)
        return -EBADMSG;
    atomic_compare_exchange_strong(&slots[index].word, &word,
                                   gnli_word(GNLI_FREE, 0, 0, gnli_word_lap(word) + 1));
    return 0;
}

static int reserve(void *context, unsigned number, uint64_t position)
{
    (void)context;
    (void)number;
    if (position >= reserve_limit)
        return -ENOSPC;
    atomic_store(&queue.reserved, position + 4 < reserve_limit ? position + 4 : reserve_limit);
    return 0;
}

static const struct gnli_slots_owner owner = {
    .dead = dead, .undo = undo, .finish = finish, .reserve = reserve
};

static unsigned bits_for(uint64_t count)
{
    unsigned bits = 0;

    while ((uint64_t)1 << bits < count)
        bits++;
    return bits;
}

/* A ring of that many slots which has been through `lap` laps. */
static void make(uint64_t count, uint64_t lap)
{
    ring = (struct gnli_slots){ .queue = &queue,
                                .slots = slots,
                                .count = count,
                                .shift = bits_for(count),
                                .mask = ((uint64_t)1 << bits_for(count)) - 1,
                                .stride = sizeof slots[0],
                                .inline_max = GNLI_INLINE,
                                .owner = &owner };
    for (uint64_t i = 0; i < count; i++)
        atomic_store(&slots[i].word, gnli_word(GNLI_FREE, 0, 0, lap));
    atomic_store(&queue.head, gnli_slots_position(&ring, lap, 0));
    atomic_store(&queue.tail, gnli_slots_position(&ring, lap, 0));
    atomic_store(&queue.reserved, GNLI_ALL_RESERVED);
    gnli_cursor_init(&out);
    gnli_cursor_init(&in);
}

static uint64_t claim(unsigned me)
{
    struct gnli_claim claim;

    ck_assert_int_eq(gnli_slots_claim(&ring, &out, me, &claim), 0);
    ck_assert_ptr_eq(claim.slot, gnli_slots_at(&ring, claim.position));
    return claim.position;
}

static int publish(unsigned me, uint64_t *position)
{
    struct gnli_claim claim = { .slot = gnli_slots_at(&ring, *position),
                                .position = *position,
                                .word = gnli_word(GNLI_CLAIMED, me, 0, gnli_slots_lap(&ring, *position)) };

    int result = gnli_slots_publish(&ring, &out, &claim);
    *position = claim.position;
    return result;
}

static void put(unsigned me, uint64_t *position, uint32_t value)
{
    atomic_store(&gnli_slots_at(&ring, *position)->body.size, value);
    ck_assert_int_eq(publish(me, position), 0);
}

static void send(unsigned me, uint32_t value)
{
    uint64_t position = claim(me);

    put(me, &position, value);
}

/* What is next, received; -1: nothing. */
static int64_t receive_with(struct gnli_cursor *cursor)
{
    uint64_t position, word;

    int result = gnli_slots_find(&ring, cursor, &position, &word);
    if (result == -EAGAIN)
        return -1;
    ck_assert_int_eq(result, 0);
    uint32_t value = atomic_load(&gnli_slots_at(&ring, position)->body.size);
    ck_assert(gnli_slots_consume(&ring, position, word));
    gnli_slots_advance(&ring, cursor, position);
    return value;
}

static int64_t receive(void)
{
    return receive_with(&in);
}

static int full(unsigned me)
{
    struct gnli_claim claim;

    int result = gnli_slots_claim(&ring, &out, me, &claim);
    if (result == -EAGAIN) /* then it says what to wait for */
        ck_assert_uint_ne(gnli_word_phase(atomic_load(gnli_slots_watched(&ring, claim.position))), GNLI_FREE);
    return result;
}

/* ---- words ---- */

START_TEST(word_keeps_its_four_parts)
{
    uint64_t word = gnli_word(GNLI_TAKEN, 4095, 4094, ((uint64_t)1 << 38) - 1);

    ck_assert_int_eq(gnli_word_phase(word), GNLI_TAKEN);
    ck_assert_uint_eq(gnli_word_owner(word), 4095);
    ck_assert_uint_eq(gnli_word_cell(word), 4094);
    ck_assert_uint_eq(gnli_word_lap(word), ((uint64_t)1 << 38) - 1);
    ck_assert_uint_eq(gnli_word(GNLI_FREE, 0, 0, 0), 0);
}
END_TEST

START_TEST(laps_are_compared_around_the_wrap)
{
    uint64_t last = ((uint64_t)1 << 38) - 1;

    ck_assert_int_eq(gnli_word_ahead(gnli_word(GNLI_FREE, 0, 0, last + 1), last), 1);
    ck_assert_int_eq(gnli_word_ahead(gnli_word(GNLI_FREE, 0, 0, last), last + 1), -1);
    ck_assert_int_eq(gnli_word_ahead(gnli_word(GNLI_READY, 7, 7, 5), 5), 0);
    ck_assert_int_eq(gnli_word_ahead(gnli_word(GNLI_READY, 7, 7, 5), 9), -4);
}
END_TEST

START_TEST(positions_step_through_every_slot_of_every_lap)
{
    for (uint64_t count = 1; count <= 9; count++) {
        make(count, 0);
        uint64_t position = 0;
        for (uint64_t i = 0; i < 5 * count; i++) {
            ck_assert_uint_eq(gnli_slots_index(&ring, position), i % count);
            ck_assert_uint_eq(gnli_slots_lap(&ring, position), i / count);
            ck_assert_int_eq(gnli_slots_distance(&ring, 0, position), (int64_t)i);
            position = gnli_slots_after(&ring, position);
        }
    }
}
END_TEST

/* ---- sending and receiving ---- */

static const uint64_t sizes[] = { 1, 2, 3, 5, 8, 64 };
#define SIZES (int)(sizeof sizes / sizeof sizes[0])

START_TEST(first_in_first_out_over_many_laps)
{
    make(sizes[_i], 0);
    for (uint32_t value = 0; value < 1000; value++) {
        send(1, value);
        ck_assert_int_eq(receive(), value);
    }
    ck_assert_int_eq(receive(), -1);
}
END_TEST

START_TEST(exactly_count_messages_fit)
{
    make(sizes[_i], 0);
    for (unsigned lap = 0; lap < 5; lap++) {
        for (uint32_t i = 0; i < sizes[_i]; i++)
            send(1, i);
        ck_assert_int_eq(full(1), -EAGAIN);
        ck_assert_uint_eq(gnli_slots_queued(&ring), sizes[_i]);
        ck_assert_int_eq(receive(), 0);
        send(2, 77);
        ck_assert_int_eq(full(2), -EAGAIN);
        for (uint32_t i = 1; i < sizes[_i]; i++)
            ck_assert_int_eq(receive(), i);
        ck_assert_int_eq(receive(), 77);
        ck_assert_int_eq(receive(), -1);
        ck_assert_uint_eq(gnli_slots_queued(&ring), 0);
    }
}
END_TEST

/* 2^38 messages pass a mailbox of capacity 1 within a day. */
START_TEST(laps_wrap_around_unnoticed)
{
    make(sizes[_i], ((uint64_t)1 << 38) - 3);
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < sizes[_i]; i++)
            send(1, round * 100 + i);
        ck_assert_int_eq(full(1), -EAGAIN);
        for (uint32_t i = 0; i < sizes[_i]; i++)
            ck_assert_int_eq(receive(), round * 100 + i);
        ck_assert_int_eq(receive(), -1);
    }
}
END_TEST

START_TEST(newcomer_finds_its_way_from_old_hints)
{
    struct gnli_cursor late;

    make(sizes[_i], 0);
    for (uint32_t i = 0; i < 40 * sizes[_i]; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    /* The hints as a process that was stopped long ago puts them back. */
    atomic_store(&queue.head, 0);
    atomic_store(&queue.tail, 0);
    gnli_cursor_init(&late);
    gnli_cursor_init(&out);
    ck_assert_int_eq(receive_with(&late), -1);
    send(3, 7);
    gnli_cursor_init(&late);
    atomic_store(&queue.head, 0);
    ck_assert_int_eq(receive_with(&late), 7);
}
END_TEST

START_TEST(only_the_first_to_consume_has_received)
{
    uint64_t position, word;

    make(3, 0);
    send(1, 5);
    ck_assert_int_eq(gnli_slots_find(&ring, &in, &position, &word), 0);
    ck_assert_int_eq(gnli_word_owner(word), 1);
    ck_assert(gnli_slots_consume(&ring, position, word));
    ck_assert(!gnli_slots_consume(&ring, position, word));
    ck_assert_int_eq(receive(), -1);
}
END_TEST

/* ---- claims of the living and of the dead ---- */

START_TEST(living_claim_is_skipped_and_its_message_comes_when_it_is_there)
{
    make(5, 0);
    uint64_t held_up = claim(2);
    send(1, 10);
    send(1, 11);
    ck_assert_int_eq(receive(), 10);
    put(2, &held_up, 20);
    ck_assert_int_eq(receive(), 20); /* the earlier one first */
    ck_assert_int_eq(receive(), 11);
    ck_assert_int_eq(receive(), -1);
    ck_assert_uint_eq(atomic_load(&queue.head), atomic_load(&queue.tail));
}
END_TEST

START_TEST(one_sender_s_messages_stay_in_order_past_skipped_claims)
{
    make(8, 0);
    uint64_t first = claim(2), second = claim(3);
    send(1, 10);
    ck_assert_int_eq(receive(), 10); /* both are skipped now */
    put(2, &first, 20);
    send(2, 21);
    put(3, &second, 30);
    send(3, 31);
    int64_t got[4];
    for (unsigned i = 0; i < 4; i++)
        got[i] = receive();
    ck_assert_int_eq(got[0], 20);
    ck_assert_int_eq(got[1], 30);
    ck_assert_int_eq(got[2], 21);
    ck_assert_int_eq(got[3], 31);
    ck_assert_int_eq(receive(), -1);
}
END_TEST

START_TEST(living_claim_of_the_last_lap_is_pushed_on)
{
    make(3, 0);
    uint64_t held_up = claim(2), before = held_up;
    for (uint32_t i = 0; i < 50; i++) { /* it holds up nobody, lap after lap */
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    put(2, &held_up, 99);
    ck_assert_uint_gt(gnli_slots_lap(&ring, held_up), gnli_slots_lap(&ring, before));
    ck_assert_uint_eq(gnli_slots_index(&ring, held_up), gnli_slots_index(&ring, before));
    ck_assert_int_eq(receive(), 99);
    send(1, 100);
    ck_assert_int_eq(receive(), 100);
}
END_TEST

START_TEST(ring_with_a_living_claim_holds_one_message_less_and_no_more)
{
    make(3, 0);
    uint64_t held_up = claim(2);
    send(1, 1);
    send(1, 2);
    ck_assert_int_eq(full(1), -EAGAIN); /* no free slot behind the claim: it is not pushed */
    ck_assert_int_eq(receive(), 1);
    send(1, 3);
    ck_assert_int_eq(full(1), -EAGAIN);
    ck_assert_int_eq(receive(), 2);
    ck_assert_int_eq(receive(), 3);
    ck_assert_int_eq(receive(), -1);
    put(2, &held_up, 4);
    ck_assert_int_eq(receive(), 4);
}
END_TEST

START_TEST(single_slot_with_a_living_claim_is_full)
{
    make(1, 0);
    uint64_t held_up = claim(2);
    ck_assert_int_eq(full(1), -EAGAIN);
    ck_assert_int_eq(receive(), -1);
    put(2, &held_up, 4);
    ck_assert_int_eq(full(1), -EAGAIN);
    ck_assert_int_eq(receive(), 4);
    send(1, 5);
    ck_assert_int_eq(receive(), 5);
}
END_TEST

START_TEST(ready_slot_is_never_pushed)
{
    make(2, 0);
    send(1, 1);
    uint64_t held_up = claim(2);
    ck_assert_int_eq(full(1), -EAGAIN);
    ck_assert_int_eq(receive(), 1);
    send(1, 3); /* into the first slot, a lap later */
    ck_assert_int_eq(full(1), -EAGAIN);
    put(2, &held_up, 2);
    ck_assert_int_eq(receive(), 2);
    ck_assert_int_eq(receive(), 3);
}
END_TEST

START_TEST(pushed_claim_across_the_wrap_of_laps_publishes_where_it_is)
{
    make(3, ((uint64_t)1 << 38) - 2);
    uint64_t held_up = claim(2);
    for (uint32_t i = 0; i < 20; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    put(2, &held_up, 99);
    ck_assert_int_eq(receive(), 99);
    send(2, 100);
    ck_assert_int_eq(receive(), 100);
    ck_assert_int_eq(receive(), -1);
}
END_TEST

START_TEST(dead_claim_is_freed_by_the_receiver_that_meets_it)
{
    make(5, 0);
    claim(2);
    send(1, 10);
    is_dead[2] = true;
    ck_assert_int_eq(receive(), 10);
    ck_assert_uint_eq(undone, 1);
    for (uint32_t i = 0; i < 20; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
}
END_TEST

START_TEST(dead_claim_is_freed_by_the_sender_that_meets_it)
{
    make(1, 0);
    claim(2);
    ck_assert_int_eq(full(1), -EAGAIN);
    is_dead[2] = true;
    send(1, 3);
    ck_assert_uint_eq(undone, 1);
    ck_assert_int_eq(receive(), 3);
}
END_TEST

START_TEST(claim_freed_as_a_dead_one_s_cannot_be_published)
{
    make(3, 0);
    uint64_t position = claim(2);
    is_dead[2] = true;
    send(1, 1);
    ck_assert_int_eq(receive(), 1);
    ck_assert_int_eq(publish(2, &position), -EBADMSG);
}
END_TEST

START_TEST(taken_slot_is_finished_by_whoever_meets_it)
{
    uint64_t position, word;

    make(2, 0);
    send(1, 1);
    send(1, 2);
    ck_assert_int_eq(gnli_slots_find(&ring, &in, &position, &word), 0);
    atomic_store(&slots[0].word, gnli_word(GNLI_TAKEN, 3, 9, 0)); /* and there its taker stops */
    send(1, 3);
    ck_assert_uint_eq(finished, 1);
    ck_assert_int_eq(receive(), 2);
    atomic_store(&slots[0].word, gnli_word(GNLI_TAKEN, 3, 9, 1));
    ck_assert_int_eq(receive(), -1);
    ck_assert_uint_eq(finished, 2);
    atomic_store(&slots[1].word, gnli_word(GNLI_TAKEN, 3, 0, 1)); /* no such cell */
    ck_assert_int_eq(gnli_slots_find(&ring, &in, &position, &word), -EBADMSG);
}
END_TEST

START_TEST(kernel_is_not_asked_with_every_message)
{
    make(64, 0);
    claim(2);
    questions = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    /* A lap's senders ask once each time they push it on; receivers once in a tick of the clock. */
    ck_assert_uint_lt(questions, 10000 / 64 + 1000);
}
END_TEST

START_TEST(mend_frees_what_the_dead_one_left_and_nothing_else)
{
    make(5, 0);
    uint64_t of_dead = claim(2), of_living = claim(3);
    is_dead[2] = true;
    for (uint64_t p = 0; p < 5; p++)
        ck_assert_int_eq(gnli_slots_mend(&ring, p, 2), 0);
    ck_assert_int_eq(gnli_word_phase(atomic_load(&gnli_slots_at(&ring, of_dead)->word)), GNLI_FREE);
    ck_assert_int_eq(gnli_word_phase(atomic_load(&gnli_slots_at(&ring, of_living)->word)), GNLI_CLAIMED);
    static uint32_t claims[GNLI_OWNERS];
    gnli_slots_claims(&ring, claims);
    ck_assert_uint_eq(claims[3], 1);
    ck_assert_uint_eq(claims[2], 0);
}
END_TEST

/* ---- offers that nobody took ---- */

START_TEST(retracted_offer_cannot_be_received_and_its_slot_is_free)
{
    make(2, 0);
    uint64_t position = claim(1);
    put(1, &position, 5);
    ck_assert(gnli_slots_retract(&ring, 1, position));
    ck_assert_int_eq(receive(), -1);
    gnli_slots_abandon(&ring, 1, position);
    ck_assert_int_eq(receive(), -1);
    for (uint32_t i = 0; i < 10; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
}
END_TEST

START_TEST(offer_that_was_received_cannot_be_retracted)
{
    make(2, 0);
    uint64_t position = claim(1);
    put(1, &position, 5);
    ck_assert_int_eq(receive(), 5);
    ck_assert(!gnli_slots_retract(&ring, 1, position));
}
END_TEST

/* ---- unbounded ---- */

static void make_unbounded(void)
{
    make(64, 0);
    ring.unbounded = true;
    atomic_store(&queue.reserved, 0);
    reserve_limit = UINT64_MAX;
}

START_TEST(unbounded_ring_reserves_as_it_grows)
{
    make_unbounded();
    ck_assert_int_eq(receive(), -1);
    for (uint32_t i = 0; i < 30; i++)
        send(1, i);
    ck_assert_uint_ge(atomic_load(&queue.reserved), 30);
    ck_assert_uint_le(atomic_load(&queue.reserved), 34);
    ck_assert_uint_eq(gnli_slots_queued(&ring), 30);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_int_eq(receive(), i);
    ck_assert_int_eq(receive(), -1);
}
END_TEST

START_TEST(unbounded_ring_without_memory_is_enospc_and_loses_nothing)
{
    make_unbounded();
    reserve_limit = 10;
    for (uint32_t i = 0; i < 10; i++)
        send(1, i);
    ck_assert_int_eq(full(1), -ENOSPC);
    reserve_limit = 12;
    send(1, 10);
    for (uint32_t i = 0; i < 11; i++)
        ck_assert_int_eq(receive(), i);
}
END_TEST

/* Words of pages that were returned read as zeros: free at any lap beyond the floor. */
START_TEST(raised_floor_gives_slots_back_for_the_next_lap)
{
    make_unbounded();
    for (uint32_t lap = 0; lap < 5; lap++)
        for (uint32_t block = 0; block < 4; block++) {
            uint64_t from = atomic_load(&queue.floor);
            for (uint32_t i = 0; i < 16; i++)
                send(1, i);
            for (uint32_t i = 0; i < 16; i++)
                ck_assert_int_eq(receive(), i);
            ck_assert(gnli_slots_raise_floor(&ring, from, from + 16));
            memset(&slots[gnli_slots_index(&ring, from)], 0, 16 * sizeof slots[0]);
        }
    ck_assert_int_eq(receive(), -1);
}
END_TEST

START_TEST(floor_over_a_living_claim_keeps_its_page)
{
    make_unbounded();
    uint64_t held_up = claim(2);
    for (uint32_t i = 1; i < 16; i++)
        send(1, i);
    for (uint32_t i = 1; i < 16; i++)
        ck_assert_int_eq(receive(), i);
    ck_assert(!gnli_slots_raise_floor(&ring, 0, 16));
    ck_assert(!gnli_slots_raise_floor(&ring, 0, 16)); /* it is raised already, and the claim is there still */
    ck_assert_uint_eq(atomic_load(&queue.floor), 16);
    ck_assert_uint_eq(gnli_slots_index(&ring, held_up), 0);
}
END_TEST

START_TEST(sender_that_slept_through_the_floor_claims_again)
{
    make_unbounded();
    for (uint32_t i = 0; i < 20; i++)
        send(1, i);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(receive(), i);
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(slots, 0, 16 * sizeof slots[0]);
    /* It starts from a tail of long ago and finds zeros, free at any lap. */
    gnli_cursor_init(&out);
    atomic_store(&queue.tail, 0);
    uint64_t position = claim(3);
    ck_assert_uint_ge(position, 16);
    put(3, &position, 33);
    ck_assert_int_eq(receive(), 33);
}
END_TEST

START_TEST(receiver_that_slept_through_the_floor_finds_the_next_message)
{
    make_unbounded();
    struct gnli_cursor others;
    gnli_cursor_init(&others);
    uint64_t claimed = claim(2);
    if (_i == 1)
        ck_assert_int_eq(receive(), -1); /* looks past the claim from now on */
    put(2, &claimed, 0);
    for (uint32_t i = 1; i < 20; i++)
        send(1, i);
    for (uint32_t i = 0; i < 18; i++)
        ck_assert_int_eq(receive_with(&others), i);
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(slots, 0, 16 * sizeof slots[0]);
    atomic_store(&queue.head, 0);
    for (uint32_t i = 18; i < 20; i++)
        ck_assert_int_eq(receive(), i);
    ck_assert_int_eq(receive(), -1);
}
END_TEST

/* A sender slept through the floor and was killed before it looked; its number is somebody else's now. */
START_TEST(claim_below_the_floor_is_nobody_s)
{
    make_unbounded();
    for (uint32_t i = 0; i < 16; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(slots, 0, 16 * sizeof slots[0]);
    atomic_store(&slots[3].word, gnli_word(GNLI_CLAIMED, 5, 0, 0));
    for (uint32_t i = 0; i < 2 * SLOTS_MAX; i++) {
        send(1, i);
        ck_assert_int_eq(receive(), i);
    }
    uint32_t claims[GNLI_OWNERS] = { 0 };
    gnli_slots_claims(&ring, claims);
    ck_assert_uint_eq(claims[5], 0);
    ck_assert_uint_eq(atomic_load(&queue.head), atomic_load(&queue.tail));
}
END_TEST

START_TEST(head_moves_on_past_what_was_skipped)
{
    make(4, 0);
    uint64_t claimed = claim(1);
    ck_assert_int_eq(receive(), -1);
    put(1, &claimed, 7);
    ck_assert_int_eq(receive(), 7);
    ck_assert_int_eq(receive(), -1);
    ck_assert_uint_eq(atomic_load(&queue.head), 1);
}
END_TEST

START_TEST(receiver_that_skipped_a_claim_and_slept_for_many_laps_finds_the_next_message)
{
    make(4, 0);
    uint64_t claimed = claim(1);
    ck_assert_int_eq(receive(), -1); /* looks past the claim from now on */
    put(1, &claimed, 7);
    struct gnli_cursor others;
    gnli_cursor_init(&others);
    ck_assert_int_eq(receive_with(&others), 7);
    for (uint32_t i = 0; i < 20000; i++) {
        send(1, i);
        ck_assert_int_eq(receive_with(&others), i);
    }
    send(1, 8);
    ck_assert_int_eq(receive(), 8);
    ck_assert_int_eq(receive(), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *words = support_case(suite, "words");

    tcase_add_test(words, word_keeps_its_four_parts);
    tcase_add_test(words, laps_are_compared_around_the_wrap);
    tcase_add_test(words, positions_step_through_every_slot_of_every_lap);
    TCase *messages = support_case(suite, "messages");
    tcase_add_loop_test(messages, first_in_first_out_over_many_laps, 0, SIZES);
    tcase_add_loop_test(messages, exactly_count_messages_fit, 0, SIZES);
    tcase_add_loop_test(messages, laps_wrap_around_unnoticed, 0, SIZES);
    tcase_add_loop_test(messages, newcomer_finds_its_way_from_old_hints, 0, SIZES);
    tcase_add_test(messages, only_the_first_to_consume_has_received);
    tcase_add_test(messages, retracted_offer_cannot_be_received_and_its_slot_is_free);
    tcase_add_test(messages, offer_that_was_received_cannot_be_retracted);
    TCase *claims = support_case(suite, "claims");
    tcase_add_test(claims, living_claim_is_skipped_and_its_message_comes_when_it_is_there);
    tcase_add_test(claims, receiver_that_skipped_a_claim_and_slept_for_many_laps_finds_the_next_message);
    tcase_add_test(claims, head_moves_on_past_what_was_skipped);
    tcase_add_test(claims, one_sender_s_messages_stay_in_order_past_skipped_claims);
    tcase_add_test(claims, living_claim_of_the_last_lap_is_pushed_on);
    tcase_add_test(claims, ring_with_a_living_claim_holds_one_message_less_and_no_more);
    tcase_add_test(claims, single_slot_with_a_living_claim_is_full);
    tcase_add_test(claims, ready_slot_is_never_pushed);
    tcase_add_test(claims, pushed_claim_across_the_wrap_of_laps_publishes_where_it_is);
    tcase_add_test(claims, dead_claim_is_freed_by_the_receiver_that_meets_it);
    tcase_add_test(claims, dead_claim_is_freed_by_the_sender_that_meets_it);
    tcase_add_test(claims, claim_freed_as_a_dead_one_s_cannot_be_published);
    tcase_add_test(claims, taken_slot_is_finished_by_whoever_meets_it);
    tcase_add_test(claims, kernel_is_not_asked_with_every_message);
    tcase_add_test(claims, mend_frees_what_the_dead_one_left_and_nothing_else);
    TCase *unbounded = support_case(suite, "unbounded");
    tcase_add_test(unbounded, unbounded_ring_reserves_as_it_grows);
    tcase_add_test(unbounded, unbounded_ring_without_memory_is_enospc_and_loses_nothing);
    tcase_add_test(unbounded, raised_floor_gives_slots_back_for_the_next_lap);
    tcase_add_test(unbounded, floor_over_a_living_claim_keeps_its_page);
    tcase_add_test(unbounded, sender_that_slept_through_the_floor_claims_again);
    tcase_add_loop_test(unbounded, receiver_that_slept_through_the_floor_finds_the_next_message, 0, 2);
    tcase_add_test(unbounded, claim_below_the_floor_is_nobody_s);
    return support_run(suite);
}
