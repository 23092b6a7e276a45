/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes between processes: several clients, ends and half-ends, byte mode, who they are, and what is
 * left of a message.
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
    return support_run(suite);
}
