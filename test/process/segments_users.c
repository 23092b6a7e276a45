/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is attached, and what a forked child has of its parent's.
 */
#include "segments.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
/* ---- who is attached ---- */

static int stay_attached(void *context)
{
    struct gates *gates = context;
    gnl_segment *one = attach_segment(GNL_READ);

    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    gnl_segment *other = attach_segment(GNL_READ | GNL_WRITE);
    support_gate_open(&gates->there);
    require(gnl_segment_detach(one) == 0);
    for (;;)
        pause();
    return gnl_segment_detach(other);
}

static bool one_left(void *context)
{
    return attached(context) == 1;
}

START_TEST(attached_are_the_living_whatever_their_rights)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make_segment("s");
    struct gnl_participant users[4];

    ck_assert_uint_eq(attached(segment), 1);
    pid_t child = support_fork(stay_attached, &gates);
    support_gate_wait(&gates.there);
    ck_assert_uint_eq(attached(segment), 2);
    ck_assert_int_eq(gnl_segment_participants(segment, users, 4), 2);
    ck_assert_int_eq(users[1].pid, child);
    ck_assert_uint_eq(users[1].uid, geteuid());
    ck_assert_uint_eq(users[1].senders, 0);
    support_gate_open(&gates.go);
    support_gate_wait(&gates.there);
    ck_assert_uint_eq(attached(segment), 2); /* a process that has it twice is one */
    ck_assert_int_eq(gnl_segment_participants(segment, users, 4), 2);
    ck_assert_uint_eq(users[1].senders, 1);
    support_kill(child);
    ck_assert(one_left(segment));
    end_segment(segment);
    close_gates(&gates);
}
END_TEST

/* ---- fork ---- */

static int use_inherited(void *context)
{
    gnl_segment *segment = context;

    require(gnl_segment_unlock(segment) == -EPERM); /* the parent's */
    require(gnl_segment_lock(segment, LITTLE) == -ETIMEDOUT);
    require(gnl_segment_detach(segment) == 0);
    return 0;
}

static int lock_inherited(void *context)
{
    require(gnl_segment_lock(context, PATIENCE) == 0);
    memset(gnl_segment_data(context), 2, 10);
    raise(SIGKILL);
    return 1;
}

START_TEST(forked_child_goes_on_as_itself_and_does_not_have_its_parents_lock)
{
    gnl_segment *segment = make_segment(NULL);

    assert_ok(gnl_segment_lock(segment, GNL_NOWAIT));
    support_expect_exit(support_fork(use_inherited, segment), 0);
    assert_ok(gnl_segment_unlock(segment));
    support_expect_signal(support_fork(lock_inherited, segment), SIGKILL);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(((char *)gnl_segment_data(segment))[0], 2);
    ck_assert_uint_eq(attached(segment), 1);
    assert_ok(gnl_segment_detach(segment));
}
END_TEST

static int leave_a_child(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);

    require(gnl_segment_lock(segment, PATIENCE) == 0);
    if (fork() == 0) {
        support_gate_open(&gates->there);
        support_gate_wait(&gates->go);
        _exit(0);
    }
    for (;;)
        pause();
    return 0;
}

START_TEST(surviving_child_does_not_make_its_dead_parent_look_alive)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make_segment("s");
    pid_t holder = support_fork(leave_a_child, &gates);

    support_gate_wait(&gates.there);
    support_kill(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, SOON), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    support_gate_open(&gates.go);
    end_segment(segment);
    close_gates(&gates);
}
END_TEST

/* ---- another pid namespace ---- */

static int use_from_elsewhere(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);
    struct gnl_participant users[4];

    /* The test holds the lock: alive, though no pid here says so. */
    require(attached(segment) == 2);
    require(gnl_segment_lock(segment, gnl_ms(300)) == -ETIMEDOUT);
    require(gnl_segment_participants(segment, users, 4) == 2);
    require(users[0].alive && !users[0].same_pid_namespace);
    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    return die_inside(gates);
}

START_TEST(those_of_another_pid_namespace_are_alive_until_they_die)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make_segment("s");
    struct gnl_participant users[4];

    assert_ok(gnl_segment_lock(segment, GNL_NOWAIT));
    pid_t child = fork_in_pid_namespace(use_from_elsewhere, &gates);
    if (child < 0) {
        assert_ok(gnl_segment_unlock(segment));
        end_segment(segment);
        skip("needs the right to make a pid namespace");
    }
    support_gate_wait(&gates.there);
    ck_assert_uint_eq(attached(segment), 2);
    assert_ok(gnl_segment_unlock(segment));
    support_gate_open(&gates.go);
    support_gate_wait(&gates.there); /* inside */
    ck_assert_int_eq(gnl_segment_lock(segment, gnl_ms(300)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_segment_participants(segment, users, 4), 2);
    ck_assert(users[1].alive && !users[1].same_pid_namespace);
    support_kill(child);
    ck_assert_int_eq(gnl_segment_lock(segment, SOON), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_uint_eq(attached(segment), 1);
    end_segment(segment);
    close_gates(&gates);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segments_users");
    TCase *tests = support_case(suite, "segments_users");

    tcase_add_test(tests, attached_are_the_living_whatever_their_rights);
    tcase_add_test(tests, forked_child_goes_on_as_itself_and_does_not_have_its_parents_lock);
    tcase_add_test(tests, surviving_child_does_not_make_its_dead_parent_look_alive);
    tcase_add_test(tests, those_of_another_pid_namespace_are_alive_until_they_die);
    return support_run(suite);
}
