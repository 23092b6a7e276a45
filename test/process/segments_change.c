/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a change without polling; copies beside a writer that never pauses.
 */
#include "segments.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
/* ---- without polling ---- */

struct waiter {
    struct gates gates;
    uint64_t *woken_ns; /* shared */
    unsigned rights;
};

#define WAKES 20

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int wait_often(void *context)
{
    struct waiter *waiter = context;
    gnl_segment *segment = attach_segment(waiter->rights);
    struct rusage usage;

    for (unsigned i = 0; i < WAKES; i++) {
        uint64_t seen = gnl_segment_version(segment);
        support_gate_open(&waiter->gates.there);
        require(gnl_segment_wait(segment, seen, PATIENCE) == 0);
        waiter->woken_ns[i] = clock_ns();
    }
    require(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec == 0 ? 0 : 1;
}

static int compare(const void *one, const void *other)
{
    int64_t difference = *(const int64_t *)one - *(const int64_t *)other;

    return (difference > 0) - (difference < 0);
}

static void wake_up(unsigned rights)
{
    struct waiter waiter = { open_gates(), shared_memory(WAKES * sizeof(uint64_t)), rights };
    gnl_segment *segment = make_segment("s");
    int64_t took[WAKES];
    pid_t child = support_fork(wait_often, &waiter);

    for (unsigned i = 0; i < WAKES; i++) {
        support_gate_wait(&waiter.gates.there);
        ck_assert(support_sleeps(child));
        assert_ok(gnl_segment_lock(segment, GNL_NOWAIT));
        uint64_t unlocked = clock_ns();
        assert_ok(gnl_segment_unlock(segment));
        while (*(volatile uint64_t *)&waiter.woken_ns[i] == 0)
            pause_us(10);
        took[i] = (int64_t)(waiter.woken_ns[i] - unlocked);
    }
    support_expect_exit(child, 0);
    qsort(took, WAKES, sizeof took[0], compare);
    /* Who looked now and then, as often as the library looks around, would need 50 ms. */
    ck_assert_msg(took[WAKES / 2] < 10000000, "woken after %lld us", (long long)took[WAKES / 2] / 1000);
    end_segment(segment);
    close_gates(&waiter.gates);
}

START_TEST(who_waits_for_a_change_sleeps_and_is_woken_by_it)
{
    wake_up(GNL_READ | GNL_WRITE);
}
END_TEST

START_TEST(who_may_only_read_is_woken_too)
{
    wake_up(GNL_READ);
}
END_TEST

/* ---- consistent copies ---- */

static int write_without_pause(void *context)
{
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);

    for (uint64_t value = 1;; value++) {
        require(gnl_segment_lock(segment, PATIENCE) == 0);
        fill_words(segment, value);
        require(gnl_segment_unlock(segment) == 0);
        if (value == 1)
            support_gate_open(context);
    }
}

START_TEST(copies_beside_a_writer_that_never_pauses_are_whole)
{
    struct gate started = support_gate();
    static uint64_t copy[WORDS];
    unsigned got = 0;

    gnl_segment *segment = make_segment("s");
    pid_t writer = support_fork(write_without_pause, &started);
    support_gate_wait(&started);
    gnl_segment *reader = attach_segment(GNL_READ);
    uint64_t before = gnl_segment_version(reader);
    for (int64_t start = now_ms(); now_ms() - start < 1000;) {
        int result = gnl_segment_snapshot(reader, 0, copy, SIZE, gnl_ms(200));
        ck_assert(result == 0 || result == -ETIMEDOUT);
        ck_assert(result < 0 || uniform(copy));
        got += result == 0;
    }
    ck_assert_uint_gt(got, 0);
    ck_assert_uint_gt(gnl_segment_version(reader), before + 10); /* and it went on */
    support_kill(writer);
    ck_assert_int_ge(gnl_segment_snapshot(reader, 0, copy, SIZE, SOON), 0);
    assert_ok(gnl_segment_detach(reader));
    end_segment(segment);
    support_gate_close(&started);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segments_change");
    TCase *tests = support_case(suite, "segments_change");

    tcase_add_test(tests, who_waits_for_a_change_sleeps_and_is_woken_by_it);
    tcase_add_test(tests, who_may_only_read_is_woken_too);
    tcase_add_test(tests, copies_beside_a_writer_that_never_pauses_are_whole);
    return support_run(suite);
}
