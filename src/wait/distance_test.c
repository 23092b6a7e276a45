/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "wait/distance.h"

#define KIB64 ((size_t)65536)

/* A queue into which a message comes with every third look, as long as there are some to come. */
struct queue {
    uint32_t queued, to_come;
    unsigned looks;
};

static bool looked_at(void *context, uint32_t places)
{
    struct queue *queue = context;

    if (++queue->looks % 3 == 0 && queue->to_come > 0) {
        queue->to_come--;
        queue->queued++;
    }
    return queue->queued > places;
}

static unsigned looks_of(struct gnli_distance *distance, struct queue *queue)
{
    queue->looks = 0;
    gnli_distance_keep(distance, looked_at, queue);
    return queue->looks;
}

START_TEST(receiver_of_a_stream_falls_a_mebibyte_behind_and_stays)
{
    struct gnli_distance distance = { .behind = 0 };
    struct queue queue = { .queued = 1, .to_come = 100 };

    distance.behind = 16;
    looks_of(&distance, &queue);
    ck_assert_uint_eq(queue.queued, 17); /* the next one, and 16 after it */
    queue.to_come = 0;
    for (; queue.queued > 9; queue.queued--)
        ck_assert_uint_eq(looks_of(&distance, &queue), 1); /* far enough */
    queue.queued = 5;
    queue.to_come = 100;
    looks_of(&distance, &queue);
    ck_assert_uint_eq(queue.queued, 17); /* caught up, it falls behind again */
}
END_TEST

START_TEST(where_no_next_one_comes_it_asks_less_and_less)
{
    struct gnli_distance distance = { .behind = 0 };
    unsigned trials = 0;

    distance.behind = 16;
    for (unsigned i = 0; i < 10000; i++) {
        struct queue queue = { .queued = 1 };
        trials += looks_of(&distance, &queue) > 1;
    }
    ck_assert_uint_gt(trials, 5);
    ck_assert_uint_lt(trials, 15);
}
END_TEST

START_TEST(small_messages_and_short_queues_keep_none)
{
    static const struct {
        size_t size;
        int64_t capacity;
        uint32_t behind;
    } cases[] = {
        { 0, 1024, 0 },
        { GNLI_LARGE - 1, 1024, 0 },
        { GNLI_LARGE, 1024, 16 },
        { KIB64, GNL_UNBOUNDED, 16 },
        { KIB64, 32, 16 },
        { KIB64, 31, 0 },
        { KIB64, GNL_RENDEZVOUS, 0 },
        { 4 * KIB64, 64, 4 },
        { 9 * KIB64, 64, 0 }, /* one message is more than a cache holds */
        { SIZE_MAX, 64, 0 },
    };
    struct gnli_distance distance = { .behind = 7 };
    uint32_t behind = gnli_distance_behind(cases[_i].size, cases[_i].capacity, false);

    ck_assert_uint_eq(behind, cases[_i].behind);
    ck_assert_uint_eq(gnli_distance_behind(cases[_i].size, cases[_i].capacity, true), 0);
    gnli_distance_note(&distance, cases[_i].size, cases[_i].capacity);
    ck_assert_uint_eq(distance.behind, gnli_distance_close() ? 0 : behind);
    if (distance.behind == 0) {
        struct queue queue = { .queued = 0 };
        ck_assert_uint_eq(looks_of(&distance, &queue), 0);
    }
}
END_TEST

/* Memory that comes back from a receiver that takes so many looks for each piece. */
struct memory {
    unsigned looks, looks_a_piece;
};

static bool comes_back(void *context, uint32_t places)
{
    struct memory *memory = context;

    ck_assert_uint_eq(places, 1);
    return ++memory->looks % memory->looks_a_piece == 0;
}

START_TEST(sender_waits_for_memory_that_comes_soon_and_seldom_for_what_does_not)
{
    struct gnli_distance soon = { .behind = 0 }, late = { .behind = 0 };
    struct memory memory = { .looks_a_piece = 5 };
    unsigned trials = 0;

    for (unsigned i = 1; i <= 1000; i++) {
        gnli_distance_wait(&soon, 1, GNLI_DISTANCE_MOMENT_NS, comes_back, &memory);
        ck_assert_uint_eq(memory.looks, 5 * i);
    }
    memory = (struct memory){ .looks_a_piece = UINT32_MAX };
    for (unsigned i = 0; i < 10000; i++) {
        unsigned before = memory.looks;
        gnli_distance_wait(&late, 1, 1000, comes_back, &memory);
        trials += memory.looks > before;
    }
    ck_assert_uint_gt(trials, 5);
    ck_assert_uint_lt(trials, 15);
}
END_TEST

START_TEST(nobody_waits_who_has_no_time_or_no_second_core)
{
    struct gnli_spin spin = { .budget_ns = GNLI_SPIN_MAX_NS }, alone = { .budget_ns = 0 };

    ck_assert(gnli_distance_may(GNL_FOREVER, &spin));
    ck_assert(gnli_distance_may(gnl_ms(1), &spin));
    ck_assert(!gnli_distance_may(gnl_ms(1) - 1, &spin));
    ck_assert(!gnli_distance_may(GNL_NOWAIT, &spin));
    ck_assert(!gnli_distance_may(GNL_FOREVER, &alone));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("distance");
    TCase *keeping = support_case(suite, "keeping");

    tcase_add_test(keeping, receiver_of_a_stream_falls_a_mebibyte_behind_and_stays);
    tcase_add_test(keeping, where_no_next_one_comes_it_asks_less_and_less);
    tcase_add_loop_test(keeping, small_messages_and_short_queues_keep_none, 0, 10);
    tcase_add_test(keeping, sender_waits_for_memory_that_comes_soon_and_seldom_for_what_does_not);
    tcase_add_test(keeping, nobody_waits_who_has_no_time_or_no_second_core);
    return support_run(suite);
}
