/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, with one end made by hand (docs/formats/socket.md): cuts at every byte, ends at every byte, sizes
 * that cannot be, silence, floods; and byte streams with who knows nothing of Ginnel.
 */
#include "helpers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define ANY_PORT "tcp:127.0.0.1:0"
#define HELLO    "GNNLSOCK\0\0\0\0\0\0\0"
#define TALK     HELLO "\0\0\0\0\5hello\0\0\0\0\0\0\0\3you" /* a message, an empty one, another */
#define AT(text) (text), sizeof(text) - 1

static gnl_listener *listen_on(const char *address, const struct gnl_options *options)
{
    gnl_listener *listener;

    assert_ok(gnl_listen(&listener, address, options));
    return listener;
}

static gnl_port *accept_from(gnl_listener *listener)
{
    gnl_port *port;

    assert_ok(gnl_accept(listener, &port, PATIENCE));
    return port;
}

static int raw_connect(gnl_listener *listener)
{
    const char *number = strrchr(gnl_listener_address(listener), ':') + 1;
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtol(number, NULL, 10)) };
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(made, (struct sockaddr *)&name, sizeof name), 0);
    return made;
}

static void put(int to, const char *data, size_t size)
{
    ck_assert_int_eq(send(to, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void expect(gnl_port *port, const char *text)
{
    char data[100];
    ssize_t size = gnl_recv(port, data, sizeof data, PATIENCE);

    ck_assert_msg(size == (ssize_t)strlen(text) && memcmp(data, text, (size_t)size) == 0, "%zd: %s", size,
                  gnl_error_detail());
}

static void expect_code(gnl_port *port, int code)
{
    char data[100];
    ssize_t got = gnl_recv(port, data, sizeof data, PATIENCE);

    ck_assert_msg(got == code, "%zd, not %d: %s", got, code, gnl_error_detail());
}

/* ---- frames ---- */

START_TEST(frames_may_be_cut_at_every_byte)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    char byte;

    for (size_t cut = 0; cut <= sizeof TALK - 1; cut++) {
        int peer = raw_connect(listener);
        put(peer, TALK, cut);
        gnl_port *port = NULL;
        if (cut >= sizeof HELLO)
            port = accept_from(listener);
        else
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
        if (port && cut < sizeof HELLO + 9)
            ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EAGAIN);
        put(peer, TALK + cut, sizeof TALK - 1 - cut);
        if (!port)
            port = accept_from(listener);
        expect(port, "hello");
        expect(port, "");
        expect(port, "you");
        close(peer);
        expect_code(port, -EPIPE);
        assert_ok(gnl_close(port));
    }
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(one_byte_at_a_time_is_a_message_too)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    int peer = raw_connect(listener);
    char byte;

    put(peer, AT(HELLO "\0"));
    gnl_port *port = accept_from(listener);
    for (const char *at = TALK + 16; at < TALK + 25; at++) {
        ck_assert_int_eq(gnl_recv(port, &byte, 1, gnl_ms(5)), -ETIMEDOUT);
        put(peer, at, 1);
    }
    expect(port, "hello");
    close(peer);
    expect_code(port, -EPIPE);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* And another port of the listener goes on. */
START_TEST(end_at_every_byte_ends_that_port_alone)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    int honest = raw_connect(listener);

    put(honest, AT(HELLO "\0"));
    gnl_port *other = accept_from(listener);
    for (size_t cut = 0; cut < 25; cut++) {
        struct linger reset = { .l_onoff = 1 };
        int peer = raw_connect(listener);
        gnl_port *port;
        put(peer, TALK, cut);
        if (cut % 2) /* a reset, or an end */
            setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (cut >= 16)
            port = accept_from(listener);
        close(peer);
        if (cut >= 16) {
            expect_code(port, -EPIPE);
            expect_code(port, -EPIPE);
            assert_ok(gnl_close(port));
        } else {
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
        }
        put(honest, AT("\0\0\0\1x"));
        expect(other, "x");
    }
    close(honest);
    assert_ok(gnl_close(other));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(message_larger_than_message_max_ends_the_receiving)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    int peer = raw_connect(listener);

    put(peer, AT(HELLO "\0\0\0\0\1x\0\x10\0\1much"));
    gnl_port *port = accept_from(listener);
    expect(port, "x");
    ck_assert(poll(&(struct pollfd){ .fd = gnl_port_fd(port), .events = POLLIN }, 1, PATIENCE_MS) == 1);
    expect_code(port, -EMSGSIZE);
    expect_code(port, -EMSGSIZE);
    assert_ok(gnl_close(port));
    close(peer);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(messages_of_every_size_go_both_ways)
{
    static const size_t sizes[] = { 0, 1, 16379, 16380, 16381, 100000, 1 << 20 };
    gnl_listener *listener = listen_on("tcp:[::1]:0", NULL);
    gnl_port *client, *server;
    static char data[1 << 20];

    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    server = accept_from(listener);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *message = malloc(sizes[i] + 8);
        memset(message, (int)i, sizes[i]);
        for (unsigned way = 0; way < 2; way++) {
            /* What the kernel has no room for the port goes on with. */
            int result = gnl_send(way ? server : client, message, sizes[i], gnl_ms(10));
            ck_assert_int_eq(result, 0);
            gnl_port_fd(way ? server : client);
            gnl_port *from = way ? client : server, *to = way ? server : client;
            ssize_t got;
            while ((got = gnl_recv(from, data, sizeof data, gnl_ms(1))) == -ETIMEDOUT)
                gnl_recv(to, data, sizeof data, GNL_NOWAIT);
            ck_assert_int_eq(got, (ssize_t)sizes[i]);
            ck_assert(sizes[i] == 0 || memcmp(data, message, sizes[i]) == 0);
        }
        free(message);
    }
    assert_ok(gnl_finish(client));
    expect_code(server, -EPIPE);
    assert_ok(gnl_send(server, "still", 5, PATIENCE));
    expect(client, "still");
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* They go together, and what does not fit is the next call's. */
START_TEST(many_messages_at_once_arrive_in_order)
{
    enum { COUNT = 1000 };
    static uint32_t numbers[COUNT];
    static struct iovec messages[COUNT];
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    gnl_port *client, *server;
    size_t sent = 0;
    uint32_t received = 0, number;

    for (uint32_t i = 0; i < COUNT; i++) {
        numbers[i] = i;
        messages[i] = (struct iovec){ &numbers[i], sizeof numbers[i] };
    }
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    server = accept_from(listener);
    for (unsigned round = 0; round < 300; round++) {
        while (sent < COUNT) {
            ssize_t went = gnl_send_many(client, messages + sent, COUNT - sent, GNL_NOWAIT);
            ck_assert(went > 0 || went == -EAGAIN);
            sent += went > 0 ? (size_t)went : 0;
            while (round % 2 && gnl_recv(server, &number, sizeof number, GNL_NOWAIT) == sizeof number)
                ck_assert_uint_eq(number, received++ % COUNT);
            if (went == -EAGAIN)
                break;
        }
        sent %= COUNT;
        while (gnl_recv(server, &number, sizeof number, gnl_ms(1)) == sizeof number)
            ck_assert_uint_eq(number, received++ % COUNT);
    }
    ck_assert_uint_ge(received, COUNT);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- who connects, and who listens ---- */

START_TEST(flood_of_the_mute_keeps_no_honest_one_out)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    gnl_port *port, *client;
    int mute[300]; /* more than may be new at a time */

    for (unsigned i = 0; i < 300; i++) {
        mute[i] = raw_connect(listener);
        if (i % 100 == 99)
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
    }
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    port = accept_from(listener);
    assert_ok(gnl_send(client, "in", 2, PATIENCE));
    expect(port, "in");
    put(mute[299], AT("GET / HTTP/1.1\r\n\r\n"));
    ck_assert_int_eq(gnl_accept(listener, &(gnl_port *){ NULL }, gnl_ms(20)), -ETIMEDOUT);
    for (unsigned i = 0; i < 300; i++)
        close(mute[i]);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(connections_beyond_the_limit_are_turned_away)
{
    gnl_listener *listener = listen_on(ANY_PORT, &(struct gnl_options){ .connections_max = 2 });
    gnl_port *clients[3], *ports[3];

    for (unsigned i = 0; i < 3; i++)
        assert_ok(gnl_open(&clients[i], gnl_listener_address(listener), NULL));
    for (unsigned i = 0; i < 2; i++)
        ports[i] = accept_from(listener);
    ck_assert_int_eq(gnl_accept(listener, &ports[2], gnl_ms(20)), -ETIMEDOUT);
    expect_code(clients[2], -EPIPE);
    assert_ok(gnl_close(ports[0]));
    assert_ok(gnl_close(clients[2]));
    assert_ok(gnl_open(&clients[2], gnl_listener_address(listener), NULL));
    ports[0] = accept_from(listener);
    assert_ok(gnl_listener_close(listener)); /* before those that it accepted */
    for (unsigned i = 0; i < 3; i++)
        assert_ok(gnl_close(clients[i]));
    assert_ok(gnl_close(ports[0]));
    assert_ok(gnl_close(ports[1]));
}
END_TEST

START_TEST(peer_that_takes_nothing_is_dead_in_time)
{
    gnl_listener *listener = listen_on(ANY_PORT, &(struct gnl_options){ .dead_after = gnl_s(1) });
    int peer = raw_connect(listener);
    static char data[100000];
    int result = 0;

    put(peer, AT(HELLO "\0"));
    gnl_port *port = accept_from(listener);
    while (result == 0)
        result = gnl_send(port, data, sizeof data, PATIENCE);
    ck_assert_msg(result == -EPIPE, "%d: %s", result, gnl_error_detail());
    assert_ok(gnl_close(port));
    close(peer);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(nobody_there_is_said_at_once)
{
    gnl_listener *listener = listen_on(ANY_PORT, NULL);
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *port;

    strcpy(address, gnl_listener_address(listener));
    gnl_listener *second;
    ck_assert_int_eq(gnl_listen(&second, address, NULL), -EADDRINUSE);
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(gnl_open(&port, address, NULL), -ECONNREFUSED);
    ck_assert_int_eq(gnl_open(&port, "tcp:127.0.0.1:70000", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "tcp:::1:80", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "tcp:127.0.0.1:0", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "unix:/nowhere/s", NULL), -ENOENT);
}
END_TEST

static int listen_and_die(void *address)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, address, NULL) == 0);
    return 0;
}

START_TEST(file_of_a_dead_listener_is_taken_over)
{
    char address[GNL_ADDRESS_MAX + 1];
    gnl_listener *second;
    gnl_port *port;

    snprintf(address, sizeof address, "unix:%s/s", support_directory());
    support_expect_exit(support_fork(listen_and_die, address), 0);
    ck_assert_int_eq(gnl_open(&port, address, NULL), -ENOENT);
    gnl_listener *listener = listen_on(address, NULL);
    ck_assert_int_eq(gnl_listen(&second, address, NULL), -EADDRINUSE);
    ck_assert_int_eq(gnl_remove(address), -EBUSY);
    assert_ok(gnl_open(&port, address, NULL));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(gnl_remove(address), -ENOENT);
}
END_TEST

/* ---- byte streams ---- */

START_TEST(bytes_are_what_others_send_and_get)
{
    gnl_listener *listener = listen_on(ANY_PORT, &(struct gnl_options){ .stream = 1 });
    int peer = raw_connect(listener);
    char data[20];

    gnl_port *port = accept_from(listener);
    put(peer, AT("plain"));
    expect(port, "plain");
    assert_ok(gnl_send(port, "back", 4, PATIENCE));
    assert_ok(gnl_finish(port));
    ck_assert_int_eq(recv(peer, data, sizeof data, MSG_WAITALL), 4);
    put(peer, AT("more"));
    expect(port, "more");
    close(peer);
    expect_code(port, -EPIPE);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets");
    TCase *frames = support_case(suite, "frames");
    TCase *ends = support_case(suite, "ends");

    tcase_add_test(frames, frames_may_be_cut_at_every_byte);
    tcase_add_test(frames, one_byte_at_a_time_is_a_message_too);
    tcase_add_test(frames, end_at_every_byte_ends_that_port_alone);
    tcase_add_test(frames, message_larger_than_message_max_ends_the_receiving);
    tcase_add_test(frames, messages_of_every_size_go_both_ways);
    tcase_add_test(frames, many_messages_at_once_arrive_in_order);
    tcase_add_test(ends, flood_of_the_mute_keeps_no_honest_one_out);
    tcase_add_test(ends, connections_beyond_the_limit_are_turned_away);
    tcase_add_test(ends, peer_that_takes_nothing_is_dead_in_time);
    tcase_add_test(ends, nobody_there_is_said_at_once);
    tcase_add_test(ends, file_of_a_dead_listener_is_taken_over);
    tcase_add_test(ends, bytes_are_what_others_send_and_get);
    return support_run(suite);
}
