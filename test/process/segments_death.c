/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holders of a segment's lock are killed and stopped: nobody hangs, and what is half-changed is said to be.
 */
#include "segments.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
/* ---- the holder's death ---- */

START_TEST(lock_whose_holder_was_killed_inside_is_had_at_once_and_says_so)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make_segment("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    uint64_t version = gnl_segment_version(segment);
    ck_assert_int_eq(gnl_segment_lock(segment, LITTLE), -ETIMEDOUT);
    support_kill(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    ck_assert_uint_ne(gnl_segment_version(segment), version);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(segment));
    end_segment(segment);
    close_gates(&gates);
}
END_TEST

static int lock_late(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);

    support_gate_open(&gates->go);
    require(gnl_segment_lock(segment, PATIENCE) == GNL_OWNER_DIED);
    require(gnl_segment_unlock(segment) == 0);
    return 0;
}

START_TEST(who_sleeps_for_the_lock_gets_it_when_its_holder_is_killed)
{
    struct gates gates = open_gates(), late = open_gates();
    gnl_segment *segment = make_segment("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    pid_t sleeper = support_fork(lock_late, &late);
    support_gate_wait(&late.go);
    ck_assert(support_sleeps(sleeper));
    support_kill(holder);
    support_expect_exit(sleeper, 0);
    end_segment(segment);
    close_gates(&gates);
    close_gates(&late);
}
END_TEST

START_TEST(stopped_holder_is_alive_and_goes_on)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make_segment("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    support_stop(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, gnl_ms(400)), -ETIMEDOUT);
    kill(holder, SIGCONT);
    support_gate_open(&gates.go);
    support_expect_exit(holder, 0);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(segment));
    end_segment(segment);
    close_gates(&gates);
}
END_TEST

static int read_after_death(void *context)
{
    struct gates *gates = context;
    static uint64_t copy[WORDS];
    gnl_segment *segment = attach_segment(GNL_READ);

    uint64_t seen = gnl_segment_version(segment);
    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    /* Nobody who may write is there to notice. */
    require(gnl_segment_snapshot(segment, 0, copy, SIZE, PATIENCE) == GNL_OWNER_DIED);
    require(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT) == GNL_OWNER_DIED);
    require(gnl_segment_wait(segment, seen, PATIENCE) == GNL_OWNER_DIED);
    return 0;
}

START_TEST(dying_writer_does_not_wedge_those_who_only_read)
{
    struct gates gates = open_gates(), reading = open_gates();
    static uint64_t copy[WORDS];

    assert_ok(gnl_segment_detach(make_segment("s")));
    pid_t holder = support_fork(die_inside, &gates);
    support_gate_wait(&gates.there);
    pid_t reader = support_fork(read_after_death, &reading);
    support_gate_wait(&reading.there);
    support_kill(holder);
    support_gate_open(&reading.go);
    support_expect_exit(reader, 0);
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), GNL_OWNER_DIED);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), 0);
    end_segment(segment);
    close_gates(&gates);
    close_gates(&reading);
}
END_TEST

#define WORKERS 3
#define KILLS   60

static int work(void *context)
{
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);
    uint64_t *words = gnl_segment_data(segment);

    (void)context;
    for (;;) {
        int result = gnl_segment_lock(segment, PATIENCE);
        require(result >= 0);
        require(result == GNL_OWNER_DIED || uniform(words)); /* half-changed only where it was said */
        fill_words(segment, words[0] + 1);
        require(gnl_segment_unlock(segment) == 0);
    }
}

START_TEST(holders_killed_at_random_leave_nothing_half_changed_unsaid)
{
    gnl_segment *segment = make_segment("s");
    pid_t workers[WORKERS];
    unsigned seed = (unsigned)getpid(), inside = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = support_fork(work, NULL);
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned victim = (unsigned)rand_r(&seed) % WORKERS;
        pause_us(500 + (unsigned)rand_r(&seed) % 4000);
        support_kill(workers[victim]);
        int result = gnl_segment_lock(segment, PATIENCE);
        assert_ok(result);
        ck_assert(result == GNL_OWNER_DIED || uniform(gnl_segment_data(segment)));
        inside += result == GNL_OWNER_DIED;
        fill_words(segment, i);
        assert_ok(gnl_segment_unlock(segment));
        workers[victim] = support_fork(work, NULL);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        support_kill(workers[i]);
    int result = gnl_segment_lock(segment, PATIENCE);
    assert_ok(result);
    assert_ok(gnl_segment_unlock(segment));
    struct gnl_segment_info info;
    assert_ok(gnl_segment_info(segment, &info));
    ck_assert_uint_eq(info.attached, 1);
    ck_assert_uint_lt((uint64_t)gnl_segment_participants(segment, NULL, 0), 1 + WORKERS + 2);
    printf("%u of %u were killed inside\n", inside, KILLS);
    end_segment(segment);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segments_death");
    TCase *tests = support_case(suite, "segments_death");

    tcase_add_test(tests, lock_whose_holder_was_killed_inside_is_had_at_once_and_says_so);
    tcase_add_test(tests, who_sleeps_for_the_lock_gets_it_when_its_holder_is_killed);
    tcase_add_test(tests, stopped_holder_is_alive_and_goes_on);
    tcase_add_test(tests, dying_writer_does_not_wedge_those_who_only_read);
    tcase_add_test(tests, holders_killed_at_random_leave_nothing_half_changed_unsaid);
    return support_run(suite);
}
