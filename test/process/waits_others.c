/* SPDX-License-Identifier: Apache-2.0 */
/* What waitsets tell of other processes: peers, listeners, FIFOs, children, and how they end. */
#include "waiting.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

static int speak_and_wait(void *context)
{
    gnl_identity *me = claim("alice");

    tell(me, "bob", 1, 8);
    support_gate_open(context);
    wait_to_be_killed();
}

START_TEST(killed_peer_has_ended_after_what_it_sent)
{
    struct gate ready = support_gate();
    gnl_identity *me = claim("bob");
    gnl_waitset *set = new_set();
    gnl_port *port;
    char data[8];

    pid_t alice = support_fork(speak_and_wait, &ready);
    support_gate_wait(&ready);
    assert_ok(gnl_link(me, "alice", &port, PATIENCE));
    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_READABLE);
    support_kill(alice);
    while (told(set, port, PATIENCE) != (GNL_READABLE | GNL_ENDED))
        ;
    ck_assert_int_eq(gnl_recv(port, data, 8, GNL_NOWAIT), 8);
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_READABLE | GNL_ENDED);
    ck_assert_int_eq(gnl_recv(port, data, 8, GNL_NOWAIT), -EPIPE);
    gnl_waitset_free(set);
    release(me);
    bury("alice");
    support_gate_close(&ready);
}
END_TEST

START_TEST(identity_is_readable_when_anybody_has_sent)
{
    struct gate ready = support_gate();
    gnl_identity *me = claim("bob");
    gnl_waitset *set = new_set();

    assert_ok(gnl_waitset_add_identity(set, me, me));
    ck_assert_uint_eq(told(set, me, GNL_NOWAIT), 0);
    pid_t alice = support_fork(speak_and_wait, &ready);
    ck_assert_uint_eq(told(set, me, PATIENCE), GNL_READABLE);
    ck_assert_uint_eq(hear(me, NULL), 1);
    ck_assert_uint_eq(told(set, me, GNL_NOWAIT), 0);
    support_kill(alice);
    release(me); /* it leaves the set */
    ck_assert_int_eq(gnl_waitset_remove(set, me), -ENOENT);
    gnl_waitset_free(set);
    bury("alice");
    support_gate_close(&ready);
}
END_TEST

static int claim_and_wait(void *context)
{
    (void)context;
    claim("alice");
    wait_to_be_killed();
}

START_TEST(process_that_ends_is_told_of)
{
    gnl_waitset *set = new_set();
    struct gnl_exit end;
    gnl_process *process, *sleeper;
    char once[] = "true", sleeps[] = "sleep", minute[] = "60";

    assert_ok(gnl_spawn(&process, (char *[]){ once, NULL }, NULL));
    assert_ok(
        gnl_spawn(&sleeper, (char *[]){ sleeps, minute, NULL }, &(struct gnl_spawn_options){ .tree = 1 }));
    assert_ok(gnl_waitset_add_process(set, process, process));
    ck_assert_uint_eq(told(set, process, PATIENCE), GNL_ENDED);
    assert_ok(gnl_process_wait(process, &end, GNL_NOWAIT));
    ck_assert_int_eq(end.kind, GNL_EXITED);
    ck_assert_uint_eq(told(set, process, GNL_NOWAIT), GNL_ENDED); /* it stays so */
    assert_ok(gnl_process_free(process));                         /* and leaves */
    ck_assert_int_eq(gnl_waitset_remove(set, process), -ENOENT);
    assert_ok(gnl_waitset_add_process(set, sleeper, sleeper));
    ck_assert_uint_eq(told(set, sleeper, gnl_ms(50)), 0);
    kill(gnl_process_pid(sleeper), SIGKILL);
    ck_assert_uint_eq(told(set, sleeper, PATIENCE), GNL_ENDED);
    assert_ok(gnl_process_wait(sleeper, &end, PATIENCE));
    ck_assert_int_eq(end.kind, GNL_SIGNALLED);
    gnl_waitset_free(set);
    assert_ok(gnl_process_free(sleeper));
}
END_TEST

START_TEST(link_is_writable_once_its_name_has_an_owner)
{
    gnl_identity *me = claim("bob");
    gnl_waitset *set = new_set();
    gnl_port *port;

    assert_ok(gnl_open(&port, "direct:alice", &(struct gnl_options){ .identity = me }));
    assert_ok(gnl_waitset_add_port(set, port, GNL_WRITABLE, port));
    ck_assert_uint_eq(told(set, port, gnl_ms(50)), 0);
    pid_t alice = support_fork(claim_and_wait, NULL);
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_WRITABLE);
    assert_ok(gnl_send(port, "x", 1, GNL_NOWAIT));
    support_kill(alice);
    while (!(told(set, port, PATIENCE) & GNL_ENDED))
        ;
    ck_assert_int_eq(gnl_send(port, "x", 1, GNL_NOWAIT), -EPIPE);
    gnl_waitset_free(set);
    release(me);
    bury("alice");
}
END_TEST

static int connect_and_wait(void *context)
{
    gnl_port *port;

    require(gnl_open(&port, "pipe:door", NULL) == 0);
    require(gnl_send(port, "x", 1, SOON) == 0);
    support_gate_open(context);
    wait_to_be_killed();
}

START_TEST(listener_and_those_it_accepts_are_members)
{
    struct gate ready = support_gate();
    gnl_waitset *set = new_set();
    gnl_listener *listener;
    gnl_port *port;
    char byte;

    assert_ok(gnl_listen(&listener, "pipe:door", NULL));
    assert_ok(gnl_waitset_add_listener(set, listener, listener));
    ck_assert_uint_eq(told(set, listener, GNL_NOWAIT), 0);
    pid_t caller = support_fork(connect_and_wait, &ready);
    ck_assert_uint_eq(told(set, listener, PATIENCE), GNL_READABLE);
    assert_ok(gnl_accept(listener, &port, PATIENCE));
    support_gate_wait(&ready);
    ck_assert_uint_eq(told(set, listener, GNL_NOWAIT), 0);
    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_READABLE);
    ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), 1);
    ck_assert_uint_eq(told(set, port, GNL_NOWAIT), 0);
    support_kill(caller);
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_READABLE | GNL_ENDED);
    ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EPIPE);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener)); /* it leaves, too */
    ck_assert_int_eq(gnl_waitset_remove(set, listener), -ENOENT);
    ck_assert_uint_eq(told(set, NULL, GNL_NOWAIT), 0);
    gnl_waitset_free(set);
    support_gate_close(&ready);
}
END_TEST

static int read_fifo(void *context)
{
    gnl_port *port;
    char byte;

    support_gate_wait(context);
    char address[200];
    snprintf(address, sizeof address, "fifo:%s", path_in_directory("fifo"));
    require(gnl_open(&port, address, &(struct gnl_options){ .direction = GNL_RECV_ONLY }) == 0);
    require(gnl_recv(port, &byte, 1, PATIENCE) == 1);
    require(gnl_close(port) == 0);
    return 0;
}

START_TEST(fifo_is_writable_once_somebody_reads_it)
{
    struct gate go_on = support_gate();
    gnl_waitset *set = new_set();
    char address[200];
    gnl_port *port;

    snprintf(address, sizeof address, "fifo:%s", path_in_directory("fifo"));
    assert_ok(gnl_open(&port, address, &(struct gnl_options){ .direction = GNL_SEND_ONLY }));
    assert_ok(gnl_waitset_add_port(set, port, GNL_WRITABLE, port));
    ck_assert_uint_eq(told(set, port, gnl_ms(50)), 0);
    pid_t reader = support_fork(read_fifo, &go_on);
    support_gate_open(&go_on);
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_WRITABLE);
    assert_ok(gnl_send(port, "x", 1, GNL_NOWAIT));
    support_expect_exit(reader, 0);
    while (told(set, port, PATIENCE) != (GNL_WRITABLE | GNL_ENDED))
        ;
    ck_assert_int_eq(gnl_send(port, "x", 1, GNL_NOWAIT), -EPIPE);
    ck_assert_uint_eq(told(set, port, gnl_ms(50)), 0); /* another may come */
    assert_ok(gnl_close(port));
    gnl_waitset_free(set);
    support_gate_close(&go_on);
    ck_assert_int_eq(unlink(path_in_directory("fifo")), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waits, others");
    TCase *others = support_case(suite, "others");

    tcase_add_test(others, killed_peer_has_ended_after_what_it_sent);
    tcase_add_test(others, identity_is_readable_when_anybody_has_sent);
    tcase_add_test(others, listener_and_those_it_accepts_are_members);
    tcase_add_test(others, fifo_is_writable_once_somebody_reads_it);
    tcase_add_test(others, process_that_ends_is_told_of);
    tcase_add_test(others, link_is_writable_once_its_name_has_an_owner);
    return support_run(suite);
}
