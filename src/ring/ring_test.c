/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The many-to-many queue: words, messages, offers that nobody took, and the memory of unbounded ones.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "ring/slots.h"
#include "small_ring.h"

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
        ring_make(count, 0);
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
    ring_make(sizes[_i], 0);
    for (uint32_t value = 0; value < 1000; value++) {
        ring_send(1, value);
        ck_assert_int_eq(ring_receive(), value);
    }
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

START_TEST(exactly_count_messages_fit)
{
    ring_make(sizes[_i], 0);
    for (unsigned lap = 0; lap < 5; lap++) {
        for (uint32_t i = 0; i < sizes[_i]; i++)
            ring_send(1, i);
        ck_assert_int_eq(ring_full(1), -EAGAIN);
        ck_assert_uint_eq(gnli_slots_queued(&ring), sizes[_i]);
        ck_assert_int_eq(ring_receive(), 0);
        ring_send(2, 77);
        ck_assert_int_eq(ring_full(2), -EAGAIN);
        for (uint32_t i = 1; i < sizes[_i]; i++)
            ck_assert_int_eq(ring_receive(), i);
        ck_assert_int_eq(ring_receive(), 77);
        ck_assert_int_eq(ring_receive(), -1);
        ck_assert_uint_eq(gnli_slots_queued(&ring), 0);
    }
}
END_TEST

START_TEST(queue_reaches_as_far_as_messages_were_sent)
{
    ring_make(sizes[_i], 3);
    for (unsigned round = 0; round < 3 * sizes[_i] + 1; round++) { /* from each place of a lap on */
        for (uint32_t sent = 0; sent <= sizes[_i]; sent++) {
            for (uint32_t places = 0; places < sizes[_i] + 3; places++)
                ck_assert_int_eq(gnli_slots_queue(&ring, &ring_in, places), places < sent);
            if (sent < sizes[_i])
                ring_send(1, sent);
        }
        for (uint32_t i = 0; i < sizes[_i]; i++)
            ck_assert_int_eq(ring_receive(), i);
        ring_send(1, 0);
        ck_assert_int_eq(ring_receive(), 0);
    }
}
END_TEST

/* 2^38 messages pass a mailbox of capacity 1 within a day. */
START_TEST(laps_wrap_around_unnoticed)
{
    ring_make(sizes[_i], ((uint64_t)1 << 38) - 3);
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < sizes[_i]; i++)
            ring_send(1, round * 100 + i);
        ck_assert_int_eq(ring_full(1), -EAGAIN);
        for (uint32_t i = 0; i < sizes[_i]; i++)
            ck_assert_int_eq(ring_receive(), round * 100 + i);
        ck_assert_int_eq(ring_receive(), -1);
    }
}
END_TEST

START_TEST(newcomer_finds_its_way_from_old_hints)
{
    struct gnli_cursor late;

    ring_make(sizes[_i], 0);
    for (uint32_t i = 0; i < 40 * sizes[_i]; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    /* The hints as a process that was stopped long ago puts them back. */
    atomic_store(&ring_queue.head, 0);
    atomic_store(&ring_queue.tail, 0);
    gnli_cursor_init(&late);
    gnli_cursor_init(&ring_out);
    ck_assert_int_eq(ring_receive_with(&late), -1);
    ring_send(3, 7);
    gnli_cursor_init(&late);
    atomic_store(&ring_queue.head, 0);
    ck_assert_int_eq(ring_receive_with(&late), 7);
}
END_TEST

START_TEST(only_the_first_to_consume_has_received)
{
    uint64_t position, word;

    ring_make(3, 0);
    ring_send(1, 5);
    ck_assert_int_eq(gnli_slots_find(&ring, &ring_in, &position, &word), 0);
    ck_assert_int_eq(gnli_word_owner(word), 1);
    ck_assert(gnli_slots_consume(&ring, gnli_slots_at(&ring, position), position, word));
    ck_assert(!gnli_slots_consume(&ring, gnli_slots_at(&ring, position), position, word));
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

/* ---- offers that nobody took ---- */

START_TEST(retracted_offer_cannot_be_received_and_its_slot_is_free)
{
    ring_make(2, 0);
    uint64_t position = ring_claim(1);
    ring_put(1, &position, 5);
    ck_assert(gnli_slots_retract(&ring, 1, position));
    ck_assert_int_eq(ring_receive(), -1);
    gnli_slots_abandon(&ring, 1, position);
    ck_assert_int_eq(ring_receive(), -1);
    for (uint32_t i = 0; i < 10; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
}
END_TEST

START_TEST(offer_that_was_received_cannot_be_retracted)
{
    ring_make(2, 0);
    uint64_t position = ring_claim(1);
    ring_put(1, &position, 5);
    ck_assert_int_eq(ring_receive(), 5);
    ck_assert(!gnli_slots_retract(&ring, 1, position));
}
END_TEST

/* ---- unbounded ---- */

static void make_unbounded(void)
{
    ring_make(64, 0);
    ring.unbounded = true;
    atomic_store(&ring_queue.reserved, 0);
    ring_reserve_limit = UINT64_MAX;
}

START_TEST(unbounded_ring_reserves_as_it_grows)
{
    make_unbounded();
    ck_assert_int_eq(ring_receive(), -1);
    for (uint32_t i = 0; i < 30; i++)
        ring_send(1, i);
    ck_assert_uint_ge(atomic_load(&ring_queue.reserved), 30);
    ck_assert_uint_le(atomic_load(&ring_queue.reserved), 34);
    ck_assert_uint_eq(gnli_slots_queued(&ring), 30);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert_int_eq(ring_receive(), i);
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

START_TEST(unbounded_ring_without_memory_is_enospc_and_loses_nothing)
{
    make_unbounded();
    ring_reserve_limit = 10;
    for (uint32_t i = 0; i < 10; i++)
        ring_send(1, i);
    ck_assert_int_eq(ring_full(1), -ENOSPC);
    ring_reserve_limit = 12;
    ring_send(1, 10);
    for (uint32_t i = 0; i < 11; i++)
        ck_assert_int_eq(ring_receive(), i);
}
END_TEST

/* Words of pages that were returned read as zeros: free at any lap beyond the floor. */
START_TEST(raised_floor_gives_slots_back_for_the_next_lap)
{
    make_unbounded();
    for (uint32_t lap = 0; lap < 5; lap++)
        for (uint32_t block = 0; block < 4; block++) {
            uint64_t from = atomic_load(&ring_queue.floor);
            for (uint32_t i = 0; i < 16; i++)
                ring_send(1, i);
            for (uint32_t i = 0; i < 16; i++)
                ck_assert_int_eq(ring_receive(), i);
            ck_assert(gnli_slots_raise_floor(&ring, from, from + 16));
            memset(&ring_slots[gnli_slots_index(&ring, from)], 0, 16 * sizeof ring_slots[0]);
        }
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

START_TEST(floor_over_a_living_claim_keeps_its_page)
{
    make_unbounded();
    uint64_t held_up = ring_claim(2);
    for (uint32_t i = 1; i < 16; i++)
        ring_send(1, i);
    for (uint32_t i = 1; i < 16; i++)
        ck_assert_int_eq(ring_receive(), i);
    ck_assert(!gnli_slots_raise_floor(&ring, 0, 16));
    ck_assert(!gnli_slots_raise_floor(&ring, 0, 16)); /* it is raised already, and the claim is there still */
    ck_assert_uint_eq(atomic_load(&ring_queue.floor), 16);
    ck_assert_uint_eq(gnli_slots_index(&ring, held_up), 0);
}
END_TEST

START_TEST(sender_that_slept_through_the_floor_claims_again)
{
    make_unbounded();
    for (uint32_t i = 0; i < 20; i++)
        ring_send(1, i);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(ring_receive(), i);
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(ring_slots, 0, 16 * sizeof ring_slots[0]);
    /* It starts from a tail of long ago and finds zeros, free at any lap. */
    gnli_cursor_init(&ring_out);
    atomic_store(&ring_queue.tail, 0);
    uint64_t position = ring_claim(3);
    ck_assert_uint_ge(position, 16);
    ring_put(3, &position, 33);
    ck_assert_int_eq(ring_receive(), 33);
}
END_TEST

START_TEST(receiver_that_slept_through_the_floor_finds_the_next_message)
{
    make_unbounded();
    struct gnli_cursor others;
    gnli_cursor_init(&others);
    uint64_t claimed = ring_claim(2);
    if (_i == 1)
        ck_assert_int_eq(ring_receive(), -1); /* looks past the claim from now on */
    ring_put(2, &claimed, 0);
    for (uint32_t i = 1; i < 20; i++)
        ring_send(1, i);
    for (uint32_t i = 0; i < 18; i++)
        ck_assert_int_eq(ring_receive_with(&others), i);
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(ring_slots, 0, 16 * sizeof ring_slots[0]);
    atomic_store(&ring_queue.head, 0);
    for (uint32_t i = 18; i < 20; i++)
        ck_assert_int_eq(ring_receive(), i);
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

/* A sender slept through the floor and was killed before it looked; its number is somebody else's now. */
START_TEST(claim_below_the_floor_is_nobody_s)
{
    make_unbounded();
    for (uint32_t i = 0; i < 16; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    ck_assert(gnli_slots_raise_floor(&ring, 0, 16));
    memset(ring_slots, 0, 16 * sizeof ring_slots[0]);
    atomic_store(&ring_slots[3].word, gnli_word(GNLI_CLAIMED, 5, 0, 0));
    for (uint32_t i = 0; i < 2 * SLOTS_MAX; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    uint32_t claims[GNLI_OWNERS] = { 0 };
    gnli_slots_claims(&ring, claims);
    ck_assert_uint_eq(claims[5], 0);
    ck_assert_uint_eq(atomic_load(&ring_queue.head), atomic_load(&ring_queue.tail));
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
    tcase_add_loop_test(messages, queue_reaches_as_far_as_messages_were_sent, 0, SIZES);
    tcase_add_loop_test(messages, laps_wrap_around_unnoticed, 0, SIZES);
    tcase_add_loop_test(messages, newcomer_finds_its_way_from_old_hints, 0, SIZES);
    tcase_add_test(messages, only_the_first_to_consume_has_received);
    tcase_add_test(messages, retracted_offer_cannot_be_received_and_its_slot_is_free);
    tcase_add_test(messages, offer_that_was_received_cannot_be_retracted);
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
