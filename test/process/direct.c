/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links between processes: names, meeting, order, and what each side may do while the other does
 * nothing. What happens when one dies is in direct_death.c.
 */
#include "links.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* ---- sends before the receiver does anything ---- */

#define TEN 10

static int claim_and_look_later(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("bob");

    support_gate_open(&step->first);
    support_gate_wait(&step->second);
    for (uint64_t i = 0; i < TEN; i++)
        require(hear(me, "alice") == i);
    require(hear_error(me, "alice", GNL_NOWAIT) == -EAGAIN);
    release(me);
    return 0;
}

START_TEST(sends_up_to_the_capacity_succeed_while_the_receiver_makes_no_call)
{
    struct step step = step_open();
    uint64_t number = TEN;

    pid_t bob = support_fork(claim_and_look_later, &step);
    support_gate_wait(&step.first);
    gnl_identity *me = claim("alice");
    assert_ok(gnl_identity_capacity(me, TEN));
    for (uint64_t i = 0; i < TEN; i++)
        ck_assert_int_eq(gnl_send_to(me, "bob", &i, sizeof i, GNL_NOWAIT), 0);
    ck_assert_int_eq(gnl_send_to(me, "bob", &number, sizeof number, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_send_to(me, "bob", &number, sizeof number, gnl_ms(20)), -ETIMEDOUT);
    support_gate_open(&step.second);
    support_expect_exit(bob, 0);
    release(me);
    step_close(&step);
}
END_TEST

/* ---- a sender that is gone ---- */

static const size_t sizes[] = { 8, 100, 5000, 300000, 9 };
#define SIZES (sizeof sizes / sizeof sizes[0])

static int send_and_go(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("alice");

    support_gate_wait(&step->first);
    for (uint64_t i = 0; i < SIZES; i++)
        tell(me, "bob", i, sizes[i]);
    support_gate_open(&step->second);
    return 0; /* without a release */
}

static int send_and_be_killed(void *context)
{
    send_and_go(context);
    wait_to_be_killed();
}

static void receive_from_the_dead(int (*run)(void *context), bool by_name)
{
    struct step step = step_open();
    struct gnl_sender sender;

    pid_t alice = support_fork(run, &step);
    gnl_identity *me = claim("bob");
    support_gate_open(&step.first);
    support_gate_wait(&step.second);
    if (run == send_and_be_killed)
        support_kill(alice);
    else
        support_expect_exit(alice, 0);
    for (uint64_t i = 0; i < SIZES; i++) {
        ck_assert_uint_eq(hear_who(me, by_name ? "alice" : NULL, &sender), i);
        ck_assert_int_eq(sender.pid, alice);
        ck_assert_uint_eq(sender.uid, getuid());
        ck_assert_uint_eq(sender.gid, getgid());
        ck_assert_str_eq(sender.name, "alice");
    }
    if (by_name)
        ck_assert_int_eq(hear_error(me, "alice", PATIENCE), -EPIPE);
    ck_assert_int_eq(hear_error(me, by_name ? "alice" : NULL, gnl_ms(30)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_send_to(me, "alice", "x", 1, GNL_NOWAIT), -ENOENT);
    release(me);
    bury("alice");
    step_close(&step);
}

START_TEST(messages_arrive_after_the_sender_has_exited)
{
    receive_from_the_dead(send_and_go, _i);
}
END_TEST

START_TEST(messages_arrive_after_the_sender_was_killed)
{
    receive_from_the_dead(send_and_be_killed, _i);
}
END_TEST

/* ---- a sender that does nothing but send, to a receiver that sleeps ---- */

#define NAPS 30

struct naps {
    struct gate claimed;
    atomic_uint received;
    bool from_anyone;
};

static int sleep_and_receive(void *context)
{
    struct naps *naps = context;
    gnl_identity *me = claim("bob");

    support_gate_open(&naps->claimed);
    for (uint64_t i = 0; i < NAPS; i++) {
        require(hear(me, naps->from_anyone ? NULL : "alice") == i);
        atomic_fetch_add(&naps->received, 1);
    }
    release(me);
    return 0;
}

START_TEST(sleeping_receiver_is_woken_by_one_that_only_sends)
{
    static const int64_t capacities[] = { 16, GNL_UNBOUNDED, GNL_RENDEZVOUS };
    struct naps *naps = shared_memory(sizeof *naps);

    *naps = (struct naps){ .claimed = support_gate(), .from_anyone = _i % 2 };
    pid_t bob = support_fork(sleep_and_receive, naps);
    support_gate_wait(&naps->claimed);
    gnl_identity *me = claim("alice");
    assert_ok(gnl_identity_capacity(me, capacities[_i / 2]));
    int64_t asleep_ms = 0;
    for (unsigned i = 0; i < NAPS; i++) {
        while (!support_sleeps(bob))
            pause_us(50);
        int64_t start = now_ms();
        tell(me, "bob", i, 8);
        while (atomic_load(&naps->received) == i)
            pause_us(50);
        asleep_ms += now_ms() - start;
    }
    /* Who is not woken looks around after 100 ms. */
    ck_assert_int_lt(asleep_ms, NAPS * 100 / 4);
    support_expect_exit(bob, 0);
    release(me);
    support_gate_close(&naps->claimed);
}
END_TEST

/* ---- both call at once ---- */

#define ROUNDS   150
#define OF_ROUND 12

struct both {
    struct meeting meeting;
    atomic_uint failed;
};

/* One side of all rounds: in each a new identity calls, and is called by, the other. */
static int call_each_other(struct both *both, const char *mine, const char *other)
{
    unsigned meetings = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        gnl_identity *me = claim(mine);
        gnl_port *port, *again;
        meet(&both->meeting, 2, meetings++);
        for (uint64_t i = 0; i < OF_ROUND; i++)
            tell(me, other, round * 1000 + i, i % 5 == 4 ? 6000 : 8 + i);
        for (uint64_t i = 0; i < OF_ROUND; i++)
            require(hear(me, round % 2 ? other : NULL) == round * 1000 + i);
        require(gnl_link(me, other, &port, GNL_NOWAIT) == 0);
        require(gnl_link(me, other, &again, GNL_NOWAIT) == 0 && again == port);
        require(hear_error(me, NULL, GNL_NOWAIT) == -EAGAIN);
        meet(&both->meeting, 2, meetings++);
        require(count_memories() == 2); /* mine and the other's: one link */
        meet(&both->meeting, 2, meetings++);
        release(me);
        meet(&both->meeting, 2, meetings++);
    }
    return 0;
}

static int call_alice(void *context)
{
    return call_each_other(context, "bob", "alice");
}

static int call_bob(void *context)
{
    return call_each_other(context, "alice", "bob");
}

START_TEST(two_that_call_each_other_at_the_same_instant_have_one_link)
{
    struct both *both = shared_memory(sizeof *both);

    pid_t bob = support_fork(call_alice, both);
    pid_t alice = support_fork(call_bob, both);
    support_expect_exit(alice, 0);
    support_expect_exit(bob, 0);
}
END_TEST

/* ---- a name that nobody has ---- */

static int appear_when_the_parent_sleeps(void *context)
{
    (void)context;
    require(support_sleeps(getppid()));
    gnl_identity *me = claim("bob");
    require(hear(me, "alice") == 7);
    tell(me, "alice", 8, 8);
    require(hear(me, "alice") == 9);
    release(me);
    return 0;
}

START_TEST(send_to_a_name_that_nobody_has_waits_for_it)
{
    gnl_port *port;

    gnl_identity *me = claim("alice");
    ck_assert_int_eq(gnl_send_to(me, "bob", "x", 1, GNL_NOWAIT), -ENOENT);
    int64_t start = now_ms();
    ck_assert_int_eq(gnl_send_to(me, "bob", "x", 1, gnl_ms(50)), -ENOENT);
    ck_assert_int_ge(now_ms() - start, 50);
    ck_assert_int_eq(gnl_link(me, "bob", &port, gnl_ms(20)), -ENOENT);
    ck_assert_int_eq(hear_error(me, "bob", gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_eq(hear_error(me, "bob", GNL_NOWAIT), -EAGAIN);
    release(me);

    pid_t bob = support_fork(appear_when_the_parent_sleeps, NULL);
    me = claim("alice");
    tell(me, "bob", 7, 8);
    ck_assert_uint_eq(hear(me, "bob"), 8);
    tell(me, "bob", 9, 8);
    support_expect_exit(bob, 0);
    release(me);
}
END_TEST

static int call_when_the_parent_sleeps(void *context)
{
    (void)context;
    require(support_sleeps(getppid()));
    gnl_identity *me = claim("bob");
    tell(me, "alice", 8, 8);
    require(hear(me, "alice") == 9);
    release(me);
    return 0;
}

START_TEST(receive_from_a_name_that_nobody_has_waits_for_it)
{
    pid_t bob = support_fork(call_when_the_parent_sleeps, NULL);
    gnl_identity *me = claim("alice");

    ck_assert_uint_eq(hear(me, _i ? "bob" : NULL), 8);
    tell(me, "bob", 9, 8);
    support_expect_exit(bob, 0);
    release(me);
}
END_TEST

/* ---- claims ---- */

static int claim_and_wait(void *context)
{
    struct step *step = context;

    claim("bob");
    support_gate_open(&step->first);
    wait_to_be_killed();
}

START_TEST(name_belongs_to_one_living_process)
{
    struct step step = step_open();
    gnl_identity *me, *other;

    assert_ok(gnl_identity_claim(&me, "alice"));
    ck_assert_int_eq(gnl_identity_claim(&other, "alice"), -EADDRINUSE);
    ck_assert_int_eq(gnl_identity_claim(&other, ".alice"), -EINVAL);
    release(me);
    for (unsigned i = 0; i < 20; i++) {
        pid_t bob = support_fork(claim_and_wait, &step);
        support_gate_wait(&step.first);
        ck_assert_int_eq(gnl_identity_claim(&other, "bob"), -EADDRINUSE);
        char pid[16];
        snprintf(pid, sizeof pid, "%d", (int)bob);
        ck_assert_ptr_nonnull(strstr(gnl_error_detail(), pid));
        support_stop(bob);
        ck_assert_int_eq(gnl_identity_claim(&other, "bob"), -EADDRINUSE);
        support_kill(bob);
        assert_ok(gnl_identity_claim(&other, "bob")); /* at once */
        release(other);
    }
    step_close(&step);
}
END_TEST

START_TEST(who_is_called_by_a_wrong_name_says_so)
{
    gnl_identity *me = claim("alice");

    ck_assert_int_eq(gnl_send_to(me, "alice", "x", 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_to(me, "no name", "x", 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_to(me, "/bob", "x", 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_to(me, NULL, "x", 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_to(me, "bob", "x", 1, -2), -EINVAL);
    ck_assert_int_eq(hear_error(me, "alice", GNL_NOWAIT), -EINVAL);
    release(me);
}
END_TEST

/* ---- who sent it ---- */

static int say_who(void *context)
{
    gnl_identity *me = claim("alice");

    (void)context;
    tell(me, "bob", 1, 8);
    tell(me, "bob", 2, 60000);
    require(hear(me, "bob") == 3);
    release(me);
    return 0;
}

START_TEST(sender_is_the_kernels_word)
{
    struct gnl_port_info info;
    gnl_message message;
    gnl_port *port;

    pid_t alice = support_fork(say_who, NULL);
    gnl_identity *me = claim("bob");
    assert_ok(gnl_link(me, "alice", &port, PATIENCE));
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(gnl_take(port, &message, PATIENCE));
        ck_assert_uint_eq(message.flags, GNL_SENDER_VOUCHED);
        ck_assert_int_eq(message.sender.pid, alice);
        ck_assert_uint_eq(message.sender.uid, getuid());
        ck_assert_uint_eq(message.sender.gid, getgid());
        ck_assert_str_eq(message.sender.name, "alice");
        assert_ok(gnl_done(&message));
    }
    assert_ok(gnl_port_info(port, &info));
    ck_assert_int_eq(info.peer.pid, alice);
    ck_assert_str_eq(info.peer.name, "alice");
    ck_assert_str_eq(info.address, "direct:alice");
    tell(me, "alice", 3, 8);
    support_expect_exit(alice, 0);
    release(me);
}
END_TEST

/* ---- several at once ---- */

#define SENDERS 3
#define WINDOW  300

struct crowd {
    struct meeting meeting;
    atomic_bool enough;
    unsigned number;
};

static int send_without_end(void *context)
{
    struct crowd *crowd = context;
    char name[16];

    snprintf(name, sizeof name, "sender%u", crowd->number);
    gnl_identity *me = claim(name);
    for (uint64_t i = 0; i < 500; i++)
        tell(me, "bob", i, 8);
    meet(&crowd->meeting, SENDERS + 1, 0);
    for (uint64_t i = 500; !atomic_load(&crowd->enough); i++)
        if (gnl_send_to(me, "bob", &i, sizeof i, gnl_ms(50)) < 0)
            i--;
    release(me);
    return 0;
}

START_TEST(receiver_from_anyone_serves_all_of_them)
{
    struct crowd *crowd = shared_memory(sizeof *crowd);
    pid_t senders[SENDERS];
    unsigned counts[SENDERS] = { 0 };
    struct gnl_sender sender;

    gnl_identity *holds = claim("bob");
    release(holds); /* the name's file is there */
    for (unsigned i = 0; i < SENDERS; i++) {
        crowd->number = i;
        struct crowd *own = crowd;
        senders[i] = support_fork(send_without_end, own);
        char name[16];
        snprintf(name, sizeof name, "direct:sender%u", i);
        while (access(path_in_directory(name), F_OK) != 0)
            pause_us(200);
    }
    gnl_identity *me = claim("bob");
    meet(&crowd->meeting, SENDERS + 1, 0);
    for (unsigned i = 0; i < WINDOW; i++) {
        uint64_t number = hear_who(me, NULL, &sender);
        unsigned who = (unsigned)(sender.name[6] - '0');
        ck_assert_uint_lt(who, SENDERS);
        ck_assert_uint_eq(number, counts[who]++);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_msg(counts[i] >= WINDOW / SENDERS / 2, "sender %u: %u of %u", i, counts[i], WINDOW);
    atomic_store(&crowd->enough, true);
    while (waitpid(-1, NULL, WNOHANG) >= 0)
        hear_error(me, NULL, gnl_ms(1));
    release(me);
    (void)senders;
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct links between processes");
    TCase *test_case = support_case(suite, "meeting");

    tcase_add_test(test_case, sends_up_to_the_capacity_succeed_while_the_receiver_makes_no_call);
    tcase_add_loop_test(test_case, messages_arrive_after_the_sender_has_exited, 0, 2);
    tcase_add_loop_test(test_case, messages_arrive_after_the_sender_was_killed, 0, 2);
    tcase_add_loop_test(test_case, sleeping_receiver_is_woken_by_one_that_only_sends, 0, 6);
    tcase_add_test(test_case, two_that_call_each_other_at_the_same_instant_have_one_link);
    tcase_add_test(test_case, send_to_a_name_that_nobody_has_waits_for_it);
    tcase_add_loop_test(test_case, receive_from_a_name_that_nobody_has_waits_for_it, 0, 2);
    test_case = support_case(suite, "names");
    tcase_add_test(test_case, name_belongs_to_one_living_process);
    tcase_add_test(test_case, who_is_called_by_a_wrong_name_says_so);
    tcase_add_test(test_case, sender_is_the_kernels_word);
    test_case = support_case(suite, "many");
    tcase_add_test(test_case, receiver_from_anyone_serves_all_of_them);
    return support_run(suite);
}
