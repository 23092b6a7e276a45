/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The many-to-many queue around claims: of the living, the dead and those who slept, which hold up nobody.
 */
#include "support.h"

#include <errno.h>

#include "ring/slots.h"
#include "small_ring.h"

START_TEST(living_claim_is_skipped_and_its_message_comes_when_it_is_there)
{
    ring_make(5, 0);
    uint64_t held_up = ring_claim(2);
    ring_send(1, 10);
    ring_send(1, 11);
    ck_assert_int_eq(ring_receive(), 10);
    ring_put(2, &held_up, 20);
    ck_assert_int_eq(ring_receive(), 20); /* the earlier one first */
    ck_assert_int_eq(ring_receive(), 11);
    ck_assert_int_eq(ring_receive(), -1);
    ck_assert_uint_eq(atomic_load(&ring_queue.head), atomic_load(&ring_queue.tail));
}
END_TEST

START_TEST(one_sender_s_messages_stay_in_order_past_skipped_claims)
{
    ring_make(8, 0);
    uint64_t first = ring_claim(2), second = ring_claim(3);
    ring_send(1, 10);
    ck_assert_int_eq(ring_receive(), 10); /* both are skipped now */
    ring_put(2, &first, 20);
    ring_send(2, 21);
    ring_put(3, &second, 30);
    ring_send(3, 31);
    int64_t got[4];
    for (unsigned i = 0; i < 4; i++)
        got[i] = ring_receive();
    ck_assert_int_eq(got[0], 20);
    ck_assert_int_eq(got[1], 30);
    ck_assert_int_eq(got[2], 21);
    ck_assert_int_eq(got[3], 31);
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

START_TEST(living_claim_of_the_last_lap_is_pushed_on)
{
    ring_make(3, 0);
    uint64_t held_up = ring_claim(2), before = held_up;
    for (uint32_t i = 0; i < 50; i++) { /* it holds up nobody, lap after lap */
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    ring_put(2, &held_up, 99);
    ck_assert_uint_gt(gnli_slots_lap(&ring, held_up), gnli_slots_lap(&ring, before));
    ck_assert_uint_eq(gnli_slots_index(&ring, held_up), gnli_slots_index(&ring, before));
    ck_assert_int_eq(ring_receive(), 99);
    ring_send(1, 100);
    ck_assert_int_eq(ring_receive(), 100);
}
END_TEST

START_TEST(ring_with_a_living_claim_holds_one_message_less_and_no_more)
{
    ring_make(3, 0);
    uint64_t held_up = ring_claim(2);
    ring_send(1, 1);
    ring_send(1, 2);
    ck_assert_int_eq(ring_full(1), -EAGAIN); /* no free slot behind the claim: it is not pushed */
    ck_assert_int_eq(ring_receive(), 1);
    ring_send(1, 3);
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ck_assert_int_eq(ring_receive(), 2);
    ck_assert_int_eq(ring_receive(), 3);
    ck_assert_int_eq(ring_receive(), -1);
    ring_put(2, &held_up, 4);
    ck_assert_int_eq(ring_receive(), 4);
}
END_TEST

START_TEST(single_slot_with_a_living_claim_is_full)
{
    ring_make(1, 0);
    uint64_t held_up = ring_claim(2);
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ck_assert_int_eq(ring_receive(), -1);
    ring_put(2, &held_up, 4);
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ck_assert_int_eq(ring_receive(), 4);
    ring_send(1, 5);
    ck_assert_int_eq(ring_receive(), 5);
}
END_TEST

START_TEST(ready_slot_is_never_pushed)
{
    ring_make(2, 0);
    ring_send(1, 1);
    uint64_t held_up = ring_claim(2);
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ck_assert_int_eq(ring_receive(), 1);
    ring_send(1, 3); /* into the first slot, a lap later */
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ring_put(2, &held_up, 2);
    ck_assert_int_eq(ring_receive(), 2);
    ck_assert_int_eq(ring_receive(), 3);
}
END_TEST

START_TEST(pushed_claim_across_the_wrap_of_laps_publishes_where_it_is)
{
    ring_make(3, ((uint64_t)1 << 38) - 2);
    uint64_t held_up = ring_claim(2);
    for (uint32_t i = 0; i < 20; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    ring_put(2, &held_up, 99);
    ck_assert_int_eq(ring_receive(), 99);
    ring_send(2, 100);
    ck_assert_int_eq(ring_receive(), 100);
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

START_TEST(dead_claim_is_freed_by_the_receiver_that_meets_it)
{
    ring_make(5, 0);
    ring_claim(2);
    ring_send(1, 10);
    ring_dead[2] = true;
    ck_assert_int_eq(ring_receive(), 10);
    ck_assert_uint_eq(ring_undone, 1);
    for (uint32_t i = 0; i < 20; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
}
END_TEST

START_TEST(dead_claim_is_freed_by_the_sender_that_meets_it)
{
    ring_make(1, 0);
    ring_claim(2);
    ck_assert_int_eq(ring_full(1), -EAGAIN);
    ring_dead[2] = true;
    ring_send(1, 3);
    ck_assert_uint_eq(ring_undone, 1);
    ck_assert_int_eq(ring_receive(), 3);
}
END_TEST

START_TEST(claim_freed_as_a_dead_one_s_cannot_be_published)
{
    ring_make(3, 0);
    uint64_t position = ring_claim(2);
    ring_dead[2] = true;
    ring_send(1, 1);
    ck_assert_int_eq(ring_receive(), 1);
    ck_assert_int_eq(ring_publish(2, &position), -EBADMSG);
}
END_TEST

START_TEST(taken_slot_is_finished_by_whoever_meets_it)
{
    uint64_t position, word;

    ring_make(2, 0);
    ring_send(1, 1);
    ring_send(1, 2);
    ck_assert_int_eq(gnli_slots_find(&ring, &ring_in, &position, &word), 0);
    atomic_store(&ring_slots[0].word, gnli_word(GNLI_TAKEN, 3, 9, 0)); /* and there its taker stops */
    ring_send(1, 3);
    ck_assert_uint_eq(ring_finished, 1);
    ck_assert_int_eq(ring_receive(), 2);
    atomic_store(&ring_slots[0].word, gnli_word(GNLI_TAKEN, 3, 9, 1));
    ck_assert_int_eq(ring_receive(), -1);
    ck_assert_uint_eq(ring_finished, 2);
    atomic_store(&ring_slots[1].word, gnli_word(GNLI_TAKEN, 3, 0, 1)); /* no such cell */
    ck_assert_int_eq(gnli_slots_find(&ring, &ring_in, &position, &word), -EBADMSG);
}
END_TEST

START_TEST(kernel_is_not_asked_with_every_message)
{
    ring_make(64, 0);
    ring_claim(2);
    ring_questions = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive(), i);
    }
    /* A lap's senders ask once each time they push it on; receivers once in a tick of the clock. */
    ck_assert_uint_lt(ring_questions, 10000 / 64 + 1000);
}
END_TEST

START_TEST(mend_frees_what_the_dead_one_left_and_nothing_else)
{
    ring_make(5, 0);
    uint64_t of_dead = ring_claim(2), of_living = ring_claim(3);
    ring_dead[2] = true;
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

START_TEST(head_moves_on_past_what_was_skipped)
{
    ring_make(4, 0);
    uint64_t claimed = ring_claim(1);
    ck_assert_int_eq(ring_receive(), -1);
    ring_put(1, &claimed, 7);
    ck_assert_int_eq(ring_receive(), 7);
    ck_assert_int_eq(ring_receive(), -1);
    ck_assert_uint_eq(atomic_load(&ring_queue.head), 1);
}
END_TEST

START_TEST(receiver_that_skipped_a_claim_and_slept_for_many_laps_finds_the_next_message)
{
    ring_make(4, 0);
    uint64_t claimed = ring_claim(1);
    ck_assert_int_eq(ring_receive(), -1); /* looks past the claim from now on */
    ring_put(1, &claimed, 7);
    struct gnli_cursor others;
    gnli_cursor_init(&others);
    ck_assert_int_eq(ring_receive_with(&others), 7);
    for (uint32_t i = 0; i < 20000; i++) {
        ring_send(1, i);
        ck_assert_int_eq(ring_receive_with(&others), i);
    }
    ring_send(1, 8);
    ck_assert_int_eq(ring_receive(), 8);
    ck_assert_int_eq(ring_receive(), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claims");
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
    return support_run(suite);
}
