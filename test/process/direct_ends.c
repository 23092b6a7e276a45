/* SPDX-License-Identifier: Apache-2.0 */
/* Direct links between processes: descriptors that tell of them, and how they end in good order. */
#include "links.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

/* ---- descriptors to wait with ---- */

static bool readable(int descriptor, int timeout_ms)
{
    struct pollfd entry = { .fd = descriptor, .events = POLLIN };

    return poll(&entry, 1, timeout_ms) == 1;
}

static bool is_quiet(void *context)
{
    return !readable(*(int *)context, 0);
}

static int speak_thrice(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("alice");

    for (uint64_t i = 0; i < 3; i++) {
        support_gate_wait(&step->first);
        tell(me, "bob", i, 8);
    }
    support_gate_wait(&step->first);
    return 0;
}

START_TEST(descriptor_of_an_identity_tells_of_callers_and_messages)
{
    struct step step = step_open();

    pid_t alice = support_fork(speak_thrice, &step);
    gnl_identity *me = claim("bob");
    int descriptor = gnl_identity_fd(me);
    assert_ok(descriptor);
    ck_assert_int_eq(gnl_identity_fd(me), descriptor);
    ck_assert(!readable(descriptor, 0));
    for (uint64_t i = 0; i < 3; i++) {
        support_gate_open(&step.first);
        ck_assert(readable(descriptor, PATIENCE_MS));
        ck_assert_uint_eq(hear(me, NULL), i);
        ck_assert(support_until(is_quiet, &descriptor));
    }
    support_gate_open(&step.first);
    support_expect_exit(alice, 0);
    /* Its end may be told, too; once looked at, it is no news. */
    ck_assert_int_eq(hear_error(me, NULL, gnl_ms(200)), -ETIMEDOUT);
    ck_assert(support_until(is_quiet, &descriptor));
    release(me);
    bury("alice");
    step_close(&step);
}
END_TEST

START_TEST(descriptor_of_a_port_tells_of_messages_and_of_the_others_death)
{
    struct step step = step_open();
    gnl_port *port;
    char data[8];

    pid_t alice = support_fork(speak_thrice, &step);
    gnl_identity *me = claim("bob");
    assert_ok(gnl_link(me, "alice", &port, PATIENCE));
    int descriptor = gnl_port_fd(port);
    assert_ok(descriptor);
    for (uint64_t i = 0; i < 3; i++) {
        ck_assert(support_until(is_quiet, &descriptor));
        support_gate_open(&step.first);
        ck_assert(readable(descriptor, PATIENCE_MS));
        ck_assert_int_eq(gnl_recv(port, data, sizeof data, GNL_NOWAIT), 8);
    }
    ck_assert(support_until(is_quiet, &descriptor));
    support_kill(alice);
    ck_assert(readable(descriptor, PATIENCE_MS));
    ck_assert_int_eq(gnl_recv(port, data, sizeof data, GNL_NOWAIT), -EPIPE);
    ck_assert(support_until(is_quiet, &descriptor));
    release(me);
    bury("alice");
    step_close(&step);
}
END_TEST

/* ---- ends in good order ---- */

static int finish_and_listen(void *context)
{
    gnl_identity *me = claim("alice");
    gnl_port *port;

    (void)context;
    require(gnl_link(me, "bob", &port, PATIENCE) == 0);
    send_number(port, 1);
    require(gnl_finish(port) == 0);
    require(gnl_send(port, "x", 1, GNL_NOWAIT) == -EPIPE);
    require(gnl_send_to(me, "bob", "x", 1, GNL_NOWAIT) == -EPIPE);
    require(receive_number(port) == 2);
    require(receive_number(port) == 3);
    release(me);
    return 0;
}

START_TEST(who_answers_one_of_anybody_does_not_meet_the_end_of_the_one_before)
{
    gnl_identity *me = claim("bob");

    for (uint64_t i = 0; i < 200; i++) {
        gnl_identity *alice = claim("alice");
        tell(alice, "bob", i, 8);
        if (i % 4 > 1) /* she is accepted before anybody asks */
            ck_assert_int_eq(hear_error(me, "carol", gnl_ms(1)), -ETIMEDOUT);
        ck_assert_uint_eq(hear(me, NULL), i);
        tell(me, "alice", i, 8);
        ck_assert_uint_eq(hear(alice, "bob"), i);
        release(alice);
        if (i % 2) /* it is known by now that she has ended, though nobody asked for her */
            ck_assert_int_eq(hear_error(me, "carol", gnl_ms(1)), -ETIMEDOUT);
    }
    release(me);
}
END_TEST

static int finish_and_go(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("alice");
    gnl_port *port;

    require(gnl_link(me, "bob", &port, PATIENCE) == 0);
    send_number(port, 1);
    require(gnl_finish(port) == 0);
    support_gate_open(&step->first);
    support_gate_wait(&step->second);
    return 0;
}

START_TEST(end_of_one_that_had_finished_is_told_once)
{
    struct step step = step_open();

    pid_t alice = support_fork(finish_and_go, &step);
    gnl_identity *me = claim("bob");
    support_gate_wait(&step.first);
    ck_assert_uint_eq(hear(me, "alice"), 1);
    if (_i)
        ck_assert_int_eq(hear_error(me, "alice", PATIENCE), -EPIPE);
    support_gate_open(&step.second);
    support_expect_exit(alice, 0);
    if (_i == 0)
        ck_assert_int_eq(hear_error(me, "alice", PATIENCE), -EPIPE);
    gnl_identity *next = claim("alice");
    tell(next, "bob", 2, 8);
    ck_assert_uint_eq(hear(me, "alice"), 2);
    release(next);
    release(me);
    step_close(&step);
}
END_TEST

START_TEST(who_has_finished_still_receives)
{
    pid_t alice = support_fork(finish_and_listen, NULL);
    gnl_identity *me = claim("bob");

    ck_assert_uint_eq(hear(me, "alice"), 1);
    int descriptor = gnl_identity_fd(me);
    ck_assert_int_eq(hear_error(me, "alice", PATIENCE), -EPIPE);
    ck_assert_int_eq(hear_error(me, NULL, GNL_NOWAIT), -EAGAIN);
    ck_assert(support_until(is_quiet, &descriptor)); /* nothing will come from there */
    tell(me, "alice", 2, 8);
    tell(me, "alice", 3, 8);
    support_expect_exit(alice, 0);
    release(me);
}
END_TEST

static int answer_on_new_links(void *context)
{
    gnl_identity *me = claim("bob");

    (void)context;
    for (uint64_t i = 0; i < 20; i++) {
        require(hear(me, "alice") == i);
        tell(me, "alice", i + 100, 8);
        require(hear_error(me, "alice", PATIENCE) == -EPIPE);
    }
    release(me);
    return 0;
}

START_TEST(closed_link_is_made_anew_when_needed)
{
    gnl_port *port;

    pid_t bob = support_fork(answer_on_new_links, NULL);
    gnl_identity *me = claim("alice");
    for (uint64_t i = 0; i < 20; i++) {
        assert_ok(gnl_link(me, "bob", &port, PATIENCE));
        send_number(port, i);
        ck_assert_uint_eq(receive_number(port), i + 100);
        assert_ok(gnl_close(port));
        ck_assert_uint_eq(count_memories(), 0);
    }
    support_expect_exit(bob, 0);
    release(me);
}
END_TEST

static int do_nothing(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("bob");

    support_gate_open(&step->first);
    support_gate_wait(&step->second);
    release(me);
    return 0;
}

START_TEST(release_cancels_whoever_is_blocked)
{
    struct step step = step_open();
    gnl_port *port;

    pid_t bob = support_fork(do_nothing, &step);
    support_gate_wait(&step.first);
    gnl_identity *me = claim("alice");
    assert_ok(gnl_identity_capacity(me, 1));
    tell(me, "bob", 1, 8);
    assert_ok(gnl_link(me, "bob", &port, PATIENCE));
    struct blocked calls[] = {
        { .verb = SEND_TO, .me = me, .name = "bob" },
        { .verb = RECV_FROM, .me = me, .name = "bob" },
        { .verb = RECV_FROM, .me = me },
        { .verb = RECV_FROM, .me = me, .name = "carol" },
        { .verb = MEET, .me = me, .name = "carol" },
        { .verb = SEND_TO, .me = me, .name = "carol" },
        { .verb = PORT_RECV, .me = me, .port = port },
        { .verb = PORT_SEND, .me = me, .port = port },
        { .verb = PORT_TAKE, .me = me, .port = port },
    };
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        calls[i].timeout = GNL_FOREVER;
        call_in_thread(&calls[i]);
    }
    release(me);
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++)
        ck_assert_int_eq(call_result(&calls[i]), -ECANCELED);
    support_gate_open(&step.second);
    support_expect_exit(bob, 0);
    step_close(&step);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ends of direct links");
    TCase *test_case = support_case(suite, "descriptors");

    tcase_add_test(test_case, descriptor_of_an_identity_tells_of_callers_and_messages);
    tcase_add_test(test_case, descriptor_of_a_port_tells_of_messages_and_of_the_others_death);
    test_case = support_case(suite, "ends");
    tcase_add_test(test_case, who_has_finished_still_receives);
    tcase_add_test(test_case, who_answers_one_of_anybody_does_not_meet_the_end_of_the_one_before);
    tcase_add_loop_test(test_case, end_of_one_that_had_finished_is_told_once, 0, 2);
    tcase_add_test(test_case, closed_link_is_made_anew_when_needed);
    tcase_add_test(test_case, release_cancels_whoever_is_blocked);
    return support_run(suite);
}
