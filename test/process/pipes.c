/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes between processes: several clients, ends and half-ends, byte mode, who they are, names of the
 * dead, forks, deaths.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PIPE "pipe:p"

static gnl_listener *listen_on(const struct gnl_options *options)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, PIPE, options) == 0);
    return listener;
}

static gnl_port *connect_to(const struct gnl_options *options)
{
    gnl_port *port;

    require(gnl_open(&port, PIPE, options) == 0);
    return port;
}

static gnl_port *accept_from(gnl_listener *listener)
{
    gnl_port *port;

    require(gnl_accept(listener, &port, PATIENCE) == 0);
    return port;
}

static int wait_to_be_killed(void)
{
    while (pause() < 0)
        ;
    return 0;
}

/* Both ends in this process. */
struct ends {
    gnl_listener *listener;
    gnl_port *client, *server;
};

static struct ends both_ends(const struct gnl_options *options)
{
    struct ends ends = { .listener = listen_on(options) };

    ends.client = connect_to(options);
    ends.server = accept_from(ends.listener);
    return ends;
}

static void close_ends(struct ends *ends)
{
    assert_ok(gnl_close(ends->client));
    assert_ok(gnl_close(ends->server));
    assert_ok(gnl_listener_close(ends->listener));
}

static void expect(gnl_port *port, const char *text)
{
    char data[64];
    ssize_t size = gnl_recv(port, data, sizeof data, PATIENCE);

    ck_assert_msg(size >= 0, "%s", gnl_error_detail());
    ck_assert_int_eq(size, strlen(text));
    ck_assert_mem_eq(data, text, strlen(text));
}

static void expect_code(gnl_port *port, int code)
{
    char data[64];

    ck_assert_int_eq(gnl_recv(port, data, sizeof data, PATIENCE), code);
}

/* ---- conversations ---- */

enum { CLIENTS = 4, ROUNDS = 300 };

static int converse(void *context)
{
    gnl_port *port = connect_to(NULL);
    char text[32], answer[32];

    (void)context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        int length = snprintf(text, sizeof text, "%d:%u", (int)getpid(), i);
        require(gnl_send(port, text, (size_t)length, PATIENCE) == 0);
        require(gnl_recv(port, answer, sizeof answer, PATIENCE) == length);
        require(memcmp(text, answer, (size_t)length) == 0);
    }
    require(gnl_close(port) == 0);
    return 0;
}

/* Answers whoever has something to say; the clients are in turn, and each is who the kernel says. */
START_TEST(each_client_has_a_conversation_of_its_own)
{
    gnl_listener *listener = listen_on(NULL);
    gnl_port *ports[CLIENTS];
    pid_t clients[CLIENTS];
    unsigned ended = 0;

    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = support_fork(converse, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        ports[i] = accept_from(listener);
    while (ended < CLIENTS)
        for (unsigned i = 0; i < CLIENTS; i++) {
            gnl_message message;
            if (!ports[i])
                continue;
            int result = gnl_take(ports[i], &message, gnl_ms(1));
            if (result == -EPIPE) {
                ended++;
                assert_ok(gnl_close(ports[i]));
                ports[i] = NULL;
            } else if (result == 0) {
                struct gnl_port_info info;
                assert_ok(gnl_port_info(ports[i], &info));
                ck_assert_int_eq(message.sender.pid, atoi(message.data));
                ck_assert_int_eq(info.peer.pid, message.sender.pid);
                ck_assert_uint_eq(info.peer.uid, geteuid());
                ck_assert(message.flags & GNL_SENDER_VOUCHED);
                assert_ok(gnl_send(ports[i], message.data, message.size, PATIENCE));
                assert_ok(gnl_done(&message));
            } else {
                ck_assert_int_eq(result, -ETIMEDOUT);
            }
        }
    for (unsigned i = 0; i < CLIENTS; i++)
        support_expect_exit(clients[i], 0);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(what_was_sent_before_it_was_accepted_arrives)
{
    gnl_listener *listener = listen_on(NULL);
    gnl_port *client = connect_to(NULL);
    struct pollfd entry = { .fd = gnl_listener_fd(listener), .events = POLLIN };

    ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
    assert_ok(gnl_send(client, "early", 5, GNL_NOWAIT));
    assert_ok(gnl_close(client));
    gnl_port *server = accept_from(listener);
    expect(server, "early");
    expect_code(server, -EPIPE);
    ck_assert_int_eq(poll(&entry, 1, 0), 0);
    gnl_port *nobody;
    ck_assert_int_eq(gnl_accept(listener, &nobody, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_accept(listener, &nobody, gnl_ms(5)), -ETIMEDOUT);
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(empty_message_is_a_message_and_no_end)
{
    struct ends ends = both_ends(NULL);

    assert_ok(gnl_send(ends.client, NULL, 0, PATIENCE));
    assert_ok(gnl_send(ends.client, "a", 1, PATIENCE));
    expect(ends.server, "");
    expect(ends.server, "a");
    close_ends(&ends);
}
END_TEST

START_TEST(who_has_finished_receives_on)
{
    struct gnl_options options = { .stream = _i };
    struct ends ends = both_ends(&options);

    assert_ok(gnl_send(ends.client, "question", 8, PATIENCE));
    assert_ok(gnl_finish(ends.client));
    ck_assert_int_eq(gnl_send(ends.client, "x", 1, GNL_NOWAIT), -EPIPE);
    expect(ends.server, "question");
    expect_code(ends.server, -EPIPE);
    expect_code(ends.server, -EPIPE);
    assert_ok(gnl_send(ends.server, "answer", 6, PATIENCE));
    expect(ends.client, "answer");
    assert_ok(gnl_finish(ends.server));
    expect_code(ends.client, -EPIPE);
    close_ends(&ends);
}
END_TEST

START_TEST(bytes_have_no_borders)
{
    struct ends ends = both_ends(&(struct gnl_options){ .stream = 1 });
    gnl_message message;

    assert_ok(gnl_send(ends.client, "abc", 3, PATIENCE));
    assert_ok(gnl_send(ends.client, "defg", 4, PATIENCE));
    char two[2];
    ck_assert_int_eq(gnl_recv(ends.server, two, 2, PATIENCE), 2);
    ck_assert_mem_eq(two, "ab", 2);
    expect(ends.server, "cdefg");
    assert_ok(gnl_send(ends.server, "xyz", 3, PATIENCE));
    assert_ok(gnl_take(ends.client, &message, PATIENCE));
    ck_assert_uint_eq(message.size, 3);
    assert_ok(gnl_giveback(&message));
    ck_assert_int_eq(gnl_recv(ends.client, two, 2, PATIENCE), 2);
    expect(ends.client, "z");
    close_ends(&ends);
}
END_TEST

START_TEST(modes_do_not_mix)
{
    struct gnl_options options = { .stream = _i }, other = { .stream = !_i };
    gnl_listener *listener = listen_on(&options);
    gnl_port *port;

    ck_assert_int_eq(gnl_open(&port, PIPE, &other), -EINVAL);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "stream"));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(capacities_that_cannot_be_are_refused_with_a_sentence)
{
    static const int64_t capacities[] = { GNL_RENDEZVOUS, GNL_UNBOUNDED };
    gnl_listener *listener;

    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(gnl_listen(&listener, PIPE, &(struct gnl_options){ .capacity = capacities[i] }),
                         -EOPNOTSUPP);
        ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "use a direct link or a mailbox"));
    }
    ck_assert_int_eq(gnl_listen(&listener, "mailbox:m", NULL), -EOPNOTSUPP);
}
END_TEST

/* The listener's word counts, whatever who connects says. */
START_TEST(listeners_message_max_is_the_clients_too)
{
    gnl_listener *listener = listen_on(&(struct gnl_options){ .message_max = 100 });
    gnl_port *client = connect_to(NULL), *server = accept_from(listener);
    char data[101] = { 0 };

    ck_assert_int_eq(gnl_send(client, data, 101, GNL_NOWAIT), -EMSGSIZE);
    assert_ok(gnl_send(client, data, 100, GNL_NOWAIT));
    ck_assert_int_eq(gnl_recv(server, data, sizeof data, PATIENCE), 100);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- a rest ---- */

enum { LARGE = 3000000 };

static int receive_large(void *context)
{
    gnl_port *port = connect_to(&(struct gnl_options){ .message_max = LARGE });
    char *data = malloc(LARGE);

    support_gate_wait(context);
    require(gnl_recv(port, data, LARGE, PATIENCE) == LARGE);
    require(check_message(data, LARGE) == 7);
    require(gnl_recv(port, data, LARGE, PATIENCE) == -EPIPE);
    free(data);
    require(gnl_close(port) == 0);
    return 0;
}

/* Its time is up in the midst of a message: that was sent, and the port writes what is left. */
START_TEST(message_that_has_begun_is_finished_by_the_port)
{
    struct gate go = support_gate();
    gnl_listener *listener = listen_on(&(struct gnl_options){ .message_max = LARGE });
    pid_t child = support_fork(receive_large, &go);
    gnl_port *port = accept_from(listener);
    char *data = malloc(LARGE);

    fill_message(data, LARGE, 7);
    assert_ok(gnl_send(port, data, LARGE, gnl_ms(20)));
    memset(data, 0, LARGE);
    ck_assert_int_eq(gnl_send(port, "x", 1, GNL_NOWAIT), -EAGAIN);
    int descriptor = gnl_port_fd(port);
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = descriptor, .events = POLLIN }, 1, 0), 0);
    support_gate_open(&go);
    if (_i == 1) { /* who polls comes back to write it; else closing does */
        ck_assert_int_eq(poll(&(struct pollfd){ .fd = descriptor, .events = POLLIN }, 1, PATIENCE_MS), 1);
        ck_assert_int_eq(gnl_recv(port, data, 1, GNL_NOWAIT), -EAGAIN);
    }
    assert_ok(gnl_close(port));
    support_expect_exit(child, 0);
    free(data);
    support_gate_close(&go);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(who_never_reads_makes_nobody_hang)
{
    struct ends ends = both_ends(NULL);
    static char data[100000];
    unsigned sent = 0;

    while (gnl_send(ends.client, data, 1000, GNL_NOWAIT) == 0)
        ck_assert_uint_lt(++sent, 100000);
    ck_assert_uint_gt(sent, 50);
    ck_assert_int_eq(gnl_send(ends.client, data, 1000, gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_send(ends.client, data, sizeof data, gnl_ms(20)), -ETIMEDOUT);
    for (unsigned i = 0; i < sent; i++)
        ck_assert_int_eq(gnl_recv(ends.server, data, sizeof data, PATIENCE), 1000);
    ck_assert_int_eq(gnl_recv(ends.server, data, sizeof data, GNL_NOWAIT), -EAGAIN);
    close_ends(&ends);
}
END_TEST

/* ---- names ---- */

static int listen_until_killed(void *context)
{
    listen_on(NULL);
    support_gate_open(context);
    return wait_to_be_killed();
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
    return wait_to_be_killed();
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
    return wait_to_be_killed();
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
    Suite *suite = suite_create("pipes");
    TCase *conversations = support_case(suite, "conversations");

    tcase_add_test(conversations, each_client_has_a_conversation_of_its_own);
    tcase_add_test(conversations, what_was_sent_before_it_was_accepted_arrives);
    tcase_add_test(conversations, empty_message_is_a_message_and_no_end);
    tcase_add_loop_test(conversations, who_has_finished_receives_on, 0, 2);
    tcase_add_test(conversations, bytes_have_no_borders);
    tcase_add_loop_test(conversations, modes_do_not_mix, 0, 2);
    tcase_add_test(conversations, capacities_that_cannot_be_are_refused_with_a_sentence);
    tcase_add_test(conversations, listeners_message_max_is_the_clients_too);
    tcase_add_loop_test(conversations, message_that_has_begun_is_finished_by_the_port, 0, 2);
    tcase_add_test(conversations, who_never_reads_makes_nobody_hang);
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
