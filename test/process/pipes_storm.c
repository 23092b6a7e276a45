/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes and FIFOs while a signal interrupts both sides each millisecond: nothing is lost, doubled or
 * torn, and a wait ends when it should.
 */
#include "piping.h"

#include <errno.h>
#include <string.h>

#define ROUNDS 3000
#define BYTES  ((size_t)8 << 20)

static size_t size_of(uint64_t number)
{
    return number % 1000 == 999 ? LARGE : number % 10 == 9 ? 60000 : 8;
}

/* ---- messages ---- */

/* Each goes there and comes back. */
static int echo(void *context)
{
    gnl_port *port;
    char *data = malloc(LARGE);
    ssize_t size;

    start_storm();
    port = connect_to(&(struct gnl_options){ .message_max = LARGE });
    while ((size = gnl_recv(port, data, LARGE, PATIENCE)) > 0)
        require(gnl_send(port, data, (size_t)size, PATIENCE) == 0);
    require(size == -EPIPE);
    require(gnl_close(port) == 0);
    end_storm();
    free(data);
    (void)context;
    return 0;
}

START_TEST(messages_go_there_and_back)
{
    gnl_listener *listener = listen_on(&(struct gnl_options){ .message_max = LARGE });
    char *data = malloc(LARGE);
    gnl_port *port, *nobody;

    start_storm();
    int64_t start = now_ms();
    ck_assert_int_eq(gnl_accept(listener, &nobody, gnl_ms(100)), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - start, 99);
    pid_t child = support_fork(echo, NULL);
    port = accept_from(listener);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        fill_message(data, size_of(i), i);
        assert_ok(gnl_send(port, data, size_of(i), PATIENCE));
        ssize_t size = gnl_recv(port, data, LARGE, PATIENCE);
        ck_assert_int_eq(size, size_of(i));
        ck_assert_uint_eq(check_message(data, (size_t)size), i);
    }
    assert_ok(gnl_finish(port));
    ck_assert_int_eq(gnl_recv(port, data, LARGE, PATIENCE), -EPIPE);
    end_storm();
    support_expect_exit(child, 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
    free(data);
}
END_TEST

/* ---- bytes ---- */

/* The number of each byte that is to come, in pieces of any size. */
static void send_bytes(gnl_port *port)
{
    static unsigned char data[100000];
    size_t sent = 0;

    while (sent < BYTES) {
        size_t size = 1 + (sent * 7919) % sizeof data;
        size = size < BYTES - sent ? size : BYTES - sent;
        for (size_t i = 0; i < size; i++)
            data[i] = (unsigned char)((sent + i) % 251);
        require(gnl_send(port, data, size, PATIENCE) == 0);
        sent += size;
    }
    require(gnl_finish(port) == 0);
}

static void receive_bytes(gnl_port *port)
{
    static unsigned char data[70000];
    size_t received = 0;
    ssize_t size;

    while ((size = gnl_recv(port, data, sizeof data, PATIENCE)) > 0) {
        for (ssize_t i = 0; i < size; i++)
            require(data[i] == (received + (size_t)i) % 251);
        received += (size_t)size;
    }
    require(size == -EPIPE && received == BYTES);
}

static int send_all(void *context)
{
    gnl_port *port;

    start_storm();
    if (context)
        require(gnl_open(&port, context, &(struct gnl_options){ .direction = GNL_SEND_ONLY }) == 0);
    else
        port = connect_to(&(struct gnl_options){ .stream = 1 });
    send_bytes(port);
    require(gnl_close(port) == 0);
    end_storm();
    return 0;
}

START_TEST(stream_of_bytes_is_whole)
{
    gnl_listener *listener = listen_on(&(struct gnl_options){ .stream = 1 });

    start_storm();
    pid_t child = support_fork(send_all, NULL);
    gnl_port *port = accept_from(listener);
    receive_bytes(port);
    end_storm();
    support_expect_exit(child, 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(bytes_through_a_fifo_are_whole)
{
    char address[420];
    gnl_port *port;

    snprintf(address, sizeof address, "fifo:%s", path_in_directory("storm"));
    assert_ok(gnl_open(&port, address, &(struct gnl_options){ .direction = GNL_RECV_ONLY }));
    start_storm();
    pid_t child = support_fork(send_all, address);
    receive_bytes(port);
    end_storm();
    support_expect_exit(child, 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(address));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipes, storm");
    TCase *storm = support_case(suite, "storm");

    tcase_add_test(storm, messages_go_there_and_back);
    tcase_add_test(storm, stream_of_bytes_is_whole);
    tcase_add_test(storm, bytes_through_a_fifo_are_whole);
    return support_run(suite);
}
