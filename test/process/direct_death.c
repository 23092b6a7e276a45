/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links when one side is killed, stopped or forks: what the other sees, and that nothing is lost or
 * doubled.
 */
#include "links.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- noticing it ---- */

static int fill_and_wait(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("alice");

    support_gate_wait(&step->first);
    for (uint64_t i = 0; i < 3; i++)
        tell(me, "bob", i, 8);
    support_gate_open(&step->second);
    wait_to_be_killed();
}

static int come_after(void *context)
{
    gnl_identity *me = claim("alice");

    (void)context;
    require(hear(me, "bob") == 70);
    tell(me, "bob", 71, 8);
    release(me);
    return 0;
}

static void everybody_blocked_notices(int (*run)(void *context))
{
    struct step step = step_open();
    gnl_port *port;

    pid_t alice = support_fork(run, &step);
    gnl_identity *me = claim("bob");
    assert_ok(gnl_identity_capacity(me, 2));
    support_gate_open(&step.first);
    support_gate_wait(&step.second);
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_uint_eq(hear(me, "alice"), i);
    assert_ok(gnl_link(me, "alice", &port, PATIENCE));
    tell(me, "alice", 1, 8);
    tell(me, "alice", 2, 8);
    struct blocked calls[] = {
        { .verb = RECV_FROM, .me = me, .name = "alice" }, { .verb = RECV_FROM, .me = me, .name = "alice" },
        { .verb = PORT_RECV, .me = me, .port = port },    { .verb = PORT_TAKE, .me = me, .port = port },
        { .verb = SEND_TO, .me = me, .name = "alice" },   { .verb = PORT_SEND, .me = me, .port = port },
    };
    struct blocked anyone = { .verb = RECV_FROM, .me = me, .timeout = GNL_FOREVER };
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        calls[i].timeout = GNL_FOREVER;
        call_in_thread(&calls[i]);
    }
    call_in_thread(&anyone);
    int64_t start = now_ms();
    support_kill(alice);
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++)
        ck_assert_msg(call_result(&calls[i]) == -EPIPE, "call %u: %zd", i, calls[i].result);
    ck_assert_int_lt(now_ms() - start, 5000);
    ck_assert_int_eq(hear_error(me, "alice", gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_send_to(me, "alice", "x", 1, gnl_ms(20)), -ENOENT);
    alice = support_fork(come_after, NULL);
    tell(me, "alice", 70, 8);
    ck_assert_int_eq(call_result(&anyone), 8); /* who receives from anybody waited on */
    support_expect_exit(alice, 0);
    release(me);
    step_close(&step);
}

START_TEST(everybody_who_is_blocked_on_one_that_is_killed_gets_epipe)
{
    everybody_blocked_notices(fill_and_wait);
}
END_TEST

static int claim_and_do_nothing(void *context)
{
    struct step *step = context;

    claim("alice");
    support_gate_open(&step->first);
    wait_to_be_killed();
}

START_TEST(who_waits_for_one_that_never_made_a_call_notices_its_death)
{
    struct step step = step_open();

    pid_t alice = support_fork(claim_and_do_nothing, &step);
    support_gate_wait(&step.first);
    gnl_identity *me = claim("bob");
    assert_ok(gnl_identity_capacity(me, _i ? GNL_RENDEZVOUS : 1));
    if (_i == 0)
        tell(me, "alice", 1, 8);
    struct blocked calls[] = {
        { .verb = SEND_TO, .me = me, .name = "alice", .timeout = GNL_FOREVER },
        { .verb = RECV_FROM, .me = me, .name = "alice", .timeout = GNL_FOREVER },
        { .verb = RECV_FROM, .me = me, .name = "alice", .timeout = GNL_FOREVER },
    };
    for (unsigned i = 0; i < 3; i++)
        call_in_thread(&calls[i]);
    support_kill(alice);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(call_result(&calls[i]), -EPIPE);
    ck_assert_int_eq(hear_error(me, "alice", gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_send_to(me, "alice", "x", 1, GNL_NOWAIT), -ENOENT);
    release(me);
    bury("alice");
    step_close(&step);
}
END_TEST

static int fork_then_fill(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("alice");

    support_gate_wait(&step->first);
    for (uint64_t i = 0; i < 3; i++)
        tell(me, "bob", i, 8);
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* long enough to be in the way */
        support_gate_open(&step->second);
        wait_to_be_killed();
    }
    wait_to_be_killed();
}

START_TEST(child_that_lives_on_hides_no_death_and_keeps_no_name)
{
    gnl_identity *me;

    everybody_blocked_notices(fork_then_fill);
    assert_ok(gnl_identity_claim(&me, "alice"));
    release(me);
}
END_TEST

/* ---- forked children ---- */

static int use_the_parents(void *context)
{
    struct step *step = context;
    gnl_identity *me = step->parents, *own;
    gnl_port *port;
    char data[8];

    require(count_memories() == 0);
    require(gnl_send_to(me, "alice", "x", 1, GNL_NOWAIT) == -EPERM);
    require(gnl_recv_from(me, NULL, data, sizeof data, NULL, GNL_NOWAIT) == -EPERM);
    require(gnl_link(me, "alice", &port, GNL_NOWAIT) == -EPERM);
    require(gnl_identity_fd(me) == -EPERM);
    require(gnl_identity_allow(me, 1, 1) == -EPERM);
    require(gnl_identity_capacity(me, 1) == -EPERM);
    require(gnl_send(step->port, "x", 1, GNL_NOWAIT) == -EPERM);
    require(gnl_recv(step->port, data, sizeof data, GNL_NOWAIT) == -EPERM);
    require(gnl_finish(step->port) == -EPERM);
    require(gnl_port_fd(step->port) == -EPERM);
    require(gnl_done(step->held) == -EPERM);
    require(gnl_identity_claim(&own, "bob") == -EADDRINUSE);
    own = claim("carol");
    require(gnl_close(step->port) == 0);
    require(gnl_identity_release(me) == 0);
    require(count_memory_mappings() == 0);
    tell(own, "bob", 5, 8);
    release(own);
    return 0;
}

static int serve(void *context)
{
    gnl_identity *me = claim("alice");

    (void)context;
    tell(me, "bob", 1, 20000);
    tell(me, "bob", 2, 8);
    require(hear(me, "bob") == 3);
    require(hear_error(me, "bob", PATIENCE) == -EPIPE);
    release(me);
    return 0;
}

START_TEST(in_a_forked_child_links_are_the_parents)
{
    struct step step = step_open();
    gnl_message message;

    pid_t alice = support_fork(serve, NULL);
    step.parents = claim("bob");
    assert_ok(gnl_link(step.parents, "alice", &step.port, PATIENCE));
    assert_ok(gnl_take(step.port, &message, PATIENCE));
    step.held = &message;
    pid_t child = support_fork(use_the_parents, &step);
    support_expect_exit(child, 0);
    ck_assert_uint_eq(hear(step.parents, "carol"), 5);
    ck_assert_uint_eq(check_message(message.data, message.size), 1);
    assert_ok(gnl_done(&message));
    ck_assert_uint_eq(hear(step.parents, "alice"), 2);
    tell(step.parents, "alice", 3, 8);
    release(step.parents);
    support_expect_exit(alice, 0);
    step_close(&step);
}
END_TEST

struct noise {
    atomic_bool enough;
    gnl_identity *bob;
};

static int send_noise(void *context)
{
    struct noise *noise = context;

    while (!atomic_load(&noise->enough)) { /* callers, messages, ends: all that takes locks */
        gnl_identity *me = claim("alice");
        for (uint64_t i = 0; i < 20; i++)
            gnl_send_to(me, "bob", &i, sizeof i, gnl_ms(1));
        release(me);
    }
    return 0;
}

static void *receive_noise(void *context)
{
    struct noise *noise = context;

    while (!atomic_load(&noise->enough))
        hear_error(noise->bob, NULL, gnl_ms(5));
    return NULL;
}

static int release_the_parents(void *context)
{
    struct noise *noise = context;

    alarm(20);
    return gnl_identity_release(noise->bob);
}

START_TEST(child_forked_in_the_midst_of_anything_can_release)
{
    struct noise *noise = shared_memory(sizeof *noise);
    pthread_t threads[2];
    uint64_t number;

    pid_t alice = support_fork(send_noise, noise);
    noise->bob = claim("bob");
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, receive_noise, noise), 0);
    for (unsigned i = 0; i < 60; i++)
        support_expect_exit(support_fork(release_the_parents, noise), 0);
    atomic_store(&noise->enough, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    support_expect_exit(alice, 0);
    while (gnl_recv_from(noise->bob, NULL, &number, sizeof number, NULL, GNL_NOWAIT) > 0)
        ;
    release(noise->bob);
}
END_TEST

/* ---- killed in the midst of traffic ---- */

#define KILLS 60

struct traffic {
    _Atomic uint64_t told, heard; /* calls that returned */
    uint64_t seed;
};

static const size_t kinds[] = { 8, 64, 3000, 4096, 4200, 40000 };

static int send_until_killed(void *context)
{
    struct traffic *traffic = context;
    uint64_t state = traffic->seed;
    gnl_identity *me = claim("alice");

    for (uint64_t i = 0;; i++) {
        tell(me, "bob", i, kinds[dice(&state, 6)]);
        atomic_store(&traffic->told, i + 1);
    }
    wait_to_be_killed();
}

START_TEST(what_a_killed_sender_had_sent_arrives_once_and_in_order)
{
    struct traffic *traffic = shared_memory(sizeof *traffic);
    uint64_t state = 42;

    for (unsigned round = 0; round < KILLS; round++) {
        atomic_store(&traffic->told, 0);
        traffic->seed = round;
        gnl_identity *me = claim("bob");
        pid_t alice = support_fork(send_until_killed, traffic);
        unsigned some = dice(&state, 400);
        for (uint64_t i = 0; i < some; i++) {
            ck_assert_uint_eq(hear(me, "alice"), i);
            if (i % 100 == 50) { /* stopped, it loses nothing either */
                support_stop(alice);
                kill(alice, SIGCONT);
            }
        }
        if (some == 0)
            ck_assert_uint_eq(hear(me, "alice"), some++);
        pause_us(dice(&state, 2000));
        support_kill(alice);
        uint64_t told = atomic_load(&traffic->told), got = some;
        for (;; got++) {
            static char data[1 << 16];
            ssize_t size = gnl_recv_from(me, "alice", data, sizeof data, NULL, SOON);
            if (size == -EPIPE)
                break;
            ck_assert_msg(size > 0, "round %u: %zd after %llu of %llu", round, size, (unsigned long long)got,
                          (unsigned long long)told);
            ck_assert_uint_eq(check_message(data, (size_t)size), got);
        }
        ck_assert_msg(got == told || got == told + 1, "round %u: %llu sent, %llu received", round,
                      (unsigned long long)told, (unsigned long long)got);
        release(me);
    }
    bury("alice");
}
END_TEST

static int receive_until_killed(void *context)
{
    struct traffic *traffic = context;
    gnl_identity *me = claim("bob");

    for (uint64_t i = 0;; i++) {
        require(hear(me, "alice") == i);
        atomic_store(&traffic->heard, i + 1);
    }
    wait_to_be_killed();
}

START_TEST(sender_notices_a_receiver_that_is_killed_and_goes_on_with_the_next)
{
    struct traffic *traffic = shared_memory(sizeof *traffic);
    static char data[1 << 16];
    uint64_t state = 43;

    gnl_identity *me = claim("alice");
    for (unsigned round = 0; round < KILLS; round++) {
        int result = 0;
        atomic_store(&traffic->heard, 0);
        pid_t bob = support_fork(receive_until_killed, traffic);
        uint64_t sent = 0, some = dice(&state, 600);
        for (; result == 0; sent++) {
            size_t size = kinds[dice(&state, 6)];
            fill_message(data, size, sent);
            result = gnl_send_to(me, "bob", data, size, PATIENCE);
            if (sent == some) {
                if (round % 2)
                    support_stop(bob);
                kill(bob, SIGKILL);
            }
        }
        ck_assert_int_eq(result, -EPIPE);
        support_expect_signal(bob, SIGKILL);
        ck_assert_uint_le(atomic_load(&traffic->heard), sent);
        ck_assert_int_eq(gnl_send_to(me, "bob", data, 8, GNL_NOWAIT), -ENOENT);
    }
    release(me);
    ck_assert_uint_eq(count_memories(), 0);
    bury("bob");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct links and death");
    TCase *test_case = support_case(suite, "noticing");

    tcase_add_test(test_case, everybody_who_is_blocked_on_one_that_is_killed_gets_epipe);
    tcase_add_loop_test(test_case, who_waits_for_one_that_never_made_a_call_notices_its_death, 0, 2);
    tcase_add_test(test_case, child_that_lives_on_hides_no_death_and_keeps_no_name);
    test_case = support_case(suite, "forks");
    tcase_add_test(test_case, in_a_forked_child_links_are_the_parents);
    tcase_add_test(test_case, child_forked_in_the_midst_of_anything_can_release);
    test_case = support_case(suite, "traffic");
    tcase_add_test(test_case, what_a_killed_sender_had_sent_arrives_once_and_in_order);
    tcase_add_test(test_case, sender_notices_a_receiver_that_is_killed_and_goes_on_with_the_next);
    return support_run(suite);
}
