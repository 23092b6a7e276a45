/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes whose processes come and go: names, also of the dead, descriptors that run out, forks, deaths.
 */
#include "piping.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- names ---- */

static int listen_until_killed(void *context)
{
    listen_on(NULL);
    support_gate_open(context);
    wait_to_be_killed();
}

START_TEST(dead_listeners_name_is_taken_over_and_a_living_ones_is_not)
{
    struct gate ready = support_gate();
    struct gnl_participant has;
    struct gnl_port_info info;
    gnl_listener *listener;
    gnl_port *port;

    pid_t child = support_fork(listen_until_killed, &ready);
    support_gate_wait(&ready);
    ck_assert_int_eq(gnl_listen(&listener, PIPE, NULL), -EADDRINUSE);
    char words[64];
    snprintf(words, sizeof words, "process %d listens there", (int)child);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), words));
    ck_assert_int_eq(gnl_remove(PIPE), -EBUSY);
    ck_assert_int_eq(gnl_inspect(PIPE, &info, &has, 1), 1);
    ck_assert_int_eq(has.pid, child);
    ck_assert_int_eq(has.alive, 1);
    support_kill(child);
    ck_assert_int_eq(gnl_open(&port, PIPE, NULL), -ENOENT);
    ck_assert_int_eq(gnl_inspect(PIPE, &info, &has, 1), 1);
    ck_assert_int_eq(has.alive, 0);
    listener = listen_on(NULL);
    assert_ok(gnl_open(&port, PIPE, NULL));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(gnl_remove(PIPE), -ENOENT);
    support_gate_close(&ready);
}
END_TEST

START_TEST(what_is_no_pipe_is_left_alone)
{
    char path[512];
    gnl_listener *listener;
    gnl_port *port;

    snprintf(path, sizeof path, "%s/%s", support_directory(), PIPE);
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0)
            close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        else
            ck_assert_int_eq(symlink("/tmp/elsewhere", path), 0);
        ck_assert_int_eq(gnl_listen(&listener, PIPE, NULL), -EEXIST);
        ck_assert_int_eq(gnl_open(&port, PIPE, NULL), -EBADMSG);
        ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(gnl_open(&port, PIPE, NULL), -ENOENT);
}
END_TEST

START_TEST(mode_is_exact_whatever_the_umask)
{
    char path[512];
    struct stat status;

    umask(0777);
    gnl_listener *listener = listen_on(&(struct gnl_options){ .mode = 0622 });
    snprintf(path, sizeof path, "%s/%s", support_directory(), PIPE);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0622);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- descriptors ---- */

START_TEST(who_connects_waits_while_there_are_no_descriptors)
{
    gnl_listener *listener = listen_on(NULL);
    gnl_port *client = connect_to(NULL), *server, *none;
    struct rlimit few, before;

    assert_ok(gnl_send(client, "still there", 11, GNL_NOWAIT));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    for (unsigned spare = 0; spare < 3; spare++) {
        few = (struct rlimit){ .rlim_cur = (rlim_t)next + spare, .rlim_max = before.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        if (spare == 0)
            close(next);
        int result = gnl_accept(listener, &server, gnl_s(1));
        if (result == 0)
            break;
        ck_assert_int_eq(result, -EMFILE);
        ck_assert_int_eq(gnl_open(&none, PIPE, NULL), -EMFILE);
        ck_assert_str_ne(gnl_error_detail(), "");
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    server = accept_from(listener);
    expect(server, "still there");
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- fork ---- */

struct inherited {
    struct ends *ends;
    gnl_message *message;
};

static int refuse_all(void *context)
{
    struct inherited *inherited = context;
    struct ends *ends = inherited->ends;
    struct gnl_port_info info;
    gnl_port *port;
    char byte;

    require(gnl_send(ends->client, "x", 1, GNL_NOWAIT) == -EPERM);
    require(strstr(gnl_error_detail(), "parent"));
    require(gnl_recv(ends->server, &byte, 1, GNL_NOWAIT) == -EPERM);
    require(gnl_done(inherited->message) == -EPERM);
    require(gnl_port_info(ends->client, &info) == -EPERM);
    require(gnl_port_fd(ends->server) == -EPERM);
    require(gnl_finish(ends->client) == -EPERM);
    require(gnl_accept(ends->listener, &port, GNL_NOWAIT) == -EPERM);
    require(gnl_listener_fd(ends->listener) == -EPERM);
    require(gnl_close(ends->client) == 0);
    require(gnl_close(ends->server) == 0);
    require(gnl_listener_close(ends->listener) == 0);
    return 0;
}

START_TEST(child_may_only_close_and_disturbs_nobody)
{
    struct ends ends = both_ends(NULL);
    gnl_message message;

    assert_ok(gnl_send(ends.client, "held", 4, PATIENCE));
    assert_ok(gnl_take(ends.server, &message, PATIENCE));
    support_expect_exit(support_fork(refuse_all, &(struct inherited){ &ends, &message }), 0);
    assert_ok(gnl_done(&message));
    assert_ok(gnl_send(ends.client, "on", 2, PATIENCE));
    expect(ends.server, "on");
    close_ends(&ends);
}
END_TEST

static int connect_and_leave_a_child(void *context)
{
    struct gate *gates = context;
    gnl_port *port = connect_to(NULL);

    require(gnl_send(port, "last", 4, PATIENCE) == 0);
    if (fork() == 0) {
        support_gate_wait(&gates[1]);
        _exit(0);
    }
    support_gate_open(&gates[0]);
    wait_to_be_killed();
}

START_TEST(child_that_lives_on_does_not_hide_its_parents_death)
{
    struct gate gates[2] = { support_gate(), support_gate() };
    gnl_listener *listener = listen_on(NULL);
    pid_t child = support_fork(connect_and_leave_a_child, gates);
    gnl_port *port = accept_from(listener);

    support_gate_wait(&gates[0]);
    support_kill(child);
    expect(port, "last");
    expect_code(port, -EPIPE);
    support_gate_open(&gates[1]);
    support_gate_close(&gates[0]);
    support_gate_close(&gates[1]);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- deaths ---- */

static int send_for_ever(void *context)
{
    gnl_port *port = connect_to(&(struct gnl_options){ .message_max = LARGE });
    char *data = malloc(LARGE);

    (void)context;
    for (uint64_t i = 0;; i++) {
        size_t size = i % 3 == 2 ? 300000 : 8 + i % 50 * 8;
        fill_message(data, size, i);
        if (gnl_send(port, data, size, PATIENCE) < 0)
            return 0;
    }
}

/* Killed at any time: what arrives is whole and in order, and then it ends. */
START_TEST(killed_senders_messages_are_whole)
{
    gnl_listener *listener = listen_on(&(struct gnl_options){ .message_max = LARGE });
    char *data = malloc(LARGE);

    for (unsigned round = 0; round < 40; round++) {
        pid_t child = support_fork(send_for_ever, NULL);
        gnl_port *port = accept_from(listener);
        uint64_t next = 0;
        ssize_t size;
        bool killed = false;
        while ((size = gnl_recv(port, data, LARGE, PATIENCE)) >= 0) {
            ck_assert_uint_eq(check_message(data, (size_t)size), next++);
            if (!killed && next > round * 3) {
                support_kill(child);
                killed = true;
            }
        }
        ck_assert_int_eq(size, -EPIPE);
        ck_assert(killed);
        assert_ok(gnl_close(port));
    }
    free(data);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

static int receive_some(void *context)
{
    gnl_port *port = connect_to(NULL);
    char data[64];

    for (unsigned i = 0; i < 10; i++)
        require(gnl_recv(port, data, sizeof data, PATIENCE) > 0);
    support_gate_open(context);
    wait_to_be_killed();
}

START_TEST(sender_learns_that_the_receiver_was_killed)
{
    struct gate ready = support_gate();
    struct gnl_options options = { .capacity = _i == 0 ? 0 : 20 };
    gnl_listener *listener = listen_on(&options);
    pid_t child = support_fork(receive_some, &ready);
    gnl_port *port = accept_from(listener);
    int result = 0;

    for (unsigned i = 0; i < 30 && result == 0; i++)
        result = gnl_send(port, "message", 7, PATIENCE);
    ck_assert_int_eq(result, 0); /* 20 that wait, 10 that were received */
    support_gate_wait(&ready);
    support_kill(child);
    while (result == 0)
        result = gnl_send(port, "message", 7, PATIENCE);
    ck_assert_int_eq(result, -EPIPE);
    support_gate_close(&ready);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipes, lives");
    TCase *names = support_case(suite, "names");
    tcase_add_test(names, dead_listeners_name_is_taken_over_and_a_living_ones_is_not);
    tcase_add_test(names, what_is_no_pipe_is_left_alone);
    tcase_add_test(names, mode_is_exact_whatever_the_umask);
    tcase_add_test(names, who_connects_waits_while_there_are_no_descriptors);
    TCase *deaths = support_case(suite, "forks and deaths");
    tcase_add_test(deaths, child_may_only_close_and_disturbs_nobody);
    tcase_add_test(deaths, child_that_lives_on_does_not_hide_its_parents_death);
    tcase_add_test(deaths, killed_senders_messages_are_whole);
    tcase_add_loop_test(deaths, sender_learns_that_the_receiver_was_killed, 0, 2);
    return support_run(suite);
}
