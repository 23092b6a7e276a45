/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, with one end made by hand (docs/formats/socket.md): cuts at every byte, ends at every byte, sizes
 * that cannot be; and byte streams with who knows nothing of Ginnel.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "socketing.h"

/* A message, an empty one, another. */
static const char talk[] = HELLO "\0\0\0\0\5hello\0\0\0\0\0\0\0\3you";
/* ---- frames ---- */

START_TEST(frames_may_be_cut_at_every_byte)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    char byte;

    for (size_t cut = 0; cut <= sizeof talk - 1; cut++) {
        int peer = raw_connect(listener);
        put(peer, talk, cut);
        gnl_port *port = NULL;
        if (cut >= sizeof HELLO)
            port = accept_from(listener);
        else
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
        if (port && cut < sizeof HELLO + 9)
            ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EAGAIN);
        put(peer, talk + cut, sizeof talk - 1 - cut);
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
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    int peer = raw_connect(listener);
    char byte;

    put(peer, AT(HELLO "\0"));
    gnl_port *port = accept_from(listener);
    for (const char *at = talk + 16; at < talk + 25; at++) {
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

static struct gnl_port_info info_of(gnl_port *port)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(port, &info));
    return info;
}

/* And another port of the listener goes on. */
START_TEST(end_at_every_byte_ends_that_port_alone)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    int honest = raw_connect(listener);

    put(honest, AT(HELLO "\0"));
    gnl_port *other = accept_from(listener);
    for (size_t cut = 0; cut < 25; cut++) {
        struct linger reset = { .l_onoff = 1 };
        int peer = raw_connect(listener);
        gnl_port *port;
        put(peer, talk, cut);
        if (cut % 2) /* a reset, or an end */
            setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (cut >= 16)
            port = accept_from(listener);
        close(peer);
        if (cut >= 16) {
            expect_code(port, -EPIPE);
            expect_code(port, -EPIPE);
            ck_assert_int_eq(info_of(port).lost, 1); /* it has not read our hello: a reset */
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
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
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

/* Exactly, whatever the other may be meant to know: who listens says how much. */
START_TEST(message_max_is_exact)
{
    static const char large[101] = "\0\0\0\x64";
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .message_max = 97 });
    gnl_port *client;
    char data[100];

    for (unsigned more = 0; more < 2; more++) {
        int peer = raw_connect(listener);
        put(peer, AT(HELLO "\0"));
        put(peer, more ? "\0\0\0\x62" : "\0\0\0\x61", 4);
        put(peer, large, 97 + more);
        gnl_port *port = accept_from(listener);
        ck_assert_int_eq(gnl_recv(port, data, sizeof data, PATIENCE), more ? -EMSGSIZE : 97);
        assert_ok(gnl_close(port));
        close(peer);
    }
    /* Who has heard the hello sends no such thing. */
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    gnl_port *port = accept_from(listener);
    assert_ok(gnl_send(port, "x", 1, PATIENCE));
    expect(client, "x");
    ck_assert_int_eq(gnl_send(client, large, 98, PATIENCE), -EMSGSIZE);
    assert_ok(gnl_send(client, large, 97, PATIENCE));
    ck_assert_int_eq(gnl_recv(port, data, sizeof data, PATIENCE), 97);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* It cannot know yet whether that is too large. */
START_TEST(large_message_waits_to_be_accepted)
{
    static char large[65537];
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    gnl_port *client;

    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    assert_ok(gnl_send(client, large, sizeof large - 1, GNL_NOWAIT));
    ck_assert_int_eq(gnl_send(client, large, sizeof large, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_send(client, large, sizeof large, gnl_ms(10)), -ETIMEDOUT);
    ck_assert_int_eq(info_of(client).accepted, 0);
    gnl_port *port = accept_from(listener);
    assert_ok(gnl_send(client, large, sizeof large, PATIENCE));
    ck_assert_int_eq(info_of(client).accepted, 1);
    ck_assert_int_eq(gnl_recv(port, large, sizeof large, PATIENCE), sizeof large - 1);
    ck_assert_int_eq(gnl_recv(port, large, sizeof large, PATIENCE), sizeof large);
    assert_ok(gnl_close(client));
    expect_code(port, -EPIPE);
    ck_assert_int_eq(info_of(port).lost, 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* What it sent stays sent: it was handed to the kernel. */
START_TEST(who_has_closed_before_it_was_accepted_is_read)
{
    static const char *const kinds[] = { ANY_PORT, "unix:%s/early", "unix:@%s" };
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *client;

    snprintf(address, sizeof address, kinds[_i], support_directory());
    gnl_listener *listener = listen_at(address, NULL);

    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    assert_ok(gnl_send(client, "one", 3, PATIENCE));
    assert_ok(gnl_send(client, "two", 3, PATIENCE));
    assert_ok(gnl_close(client));
    gnl_port *server = accept_from(listener);
    expect(server, "one");
    expect(server, "two");
    expect_code(server, -EPIPE);
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/*
 * To a listener that accepts later, whose hello then finds nobody: TCP resets the connection, and what the
 * sender's kernel still had is lost. So closing waits until it has none, or says that it has.
 */
START_TEST(closing_says_whether_all_was_taken)
{
    static const unsigned counts[] = { 1, 10, 40, 60, 80, 100, 1000, 100000 };
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    static char data[1000];

    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        gnl_port *client;
        unsigned sent = 0, received = 0;
        ssize_t size;

        assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
        while (sent < counts[i] && gnl_send(client, data, sizeof data, GNL_NOWAIT) == 0)
            sent++;
        int closed = gnl_close(client);
        ck_assert(closed == 0 || closed == -ETIMEDOUT);
        ck_assert(counts[i] > 10 || closed == 0);
        ck_assert(counts[i] < 100000 || closed == -ETIMEDOUT);
        gnl_port *server = accept_from(listener);
        while ((size = gnl_recv(server, data, sizeof data, PATIENCE)) == sizeof data)
            received++;
        ck_assert_int_eq(size, -EPIPE);
        ck_assert_msg(closed < 0 || received == sent, "%u of %u", received, sent);
        assert_ok(gnl_close(server));
    }
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Who closes with something unread resets the connection. */
START_TEST(closing_tells_of_a_reset_that_no_call_has_seen)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);

    for (unsigned seen = 0; seen < 2; seen++) {
        int peer = raw_connect(listener);
        put(peer, AT(HELLO "\0"));
        gnl_port *port = accept_from(listener);
        assert_ok(gnl_send(port, "for nobody", 10, PATIENCE));
        close(peer);
        ck_assert(poll(&(struct pollfd){ .fd = gnl_port_fd(port), .events = POLLIN }, 1, 30000) == 1);
        if (seen)
            expect_code(port, -EPIPE);
        ck_assert_int_eq(gnl_close(port), seen ? 0 : -EPIPE);
    }
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Whoever posts it without having written it sends nothing of what this process had in its memory. */
START_TEST(loan_is_zeros)
{
    gnl_listener *listener = listen_at("unix:@loans", NULL);
    static const char zeros[5000];
    gnl_message message;
    gnl_port *client;

    assert_ok(gnl_open(&client, "unix:@loans", NULL));
    for (size_t size = 1; size < sizeof zeros; size *= 3) {
        char *old = malloc(size);
        ck_assert_ptr_nonnull(old);
        memset(old, 's', size);
        free(old);
        assert_ok(gnl_loan(client, &message, size, GNL_NOWAIT));
        ck_assert_mem_eq(message.data, zeros, size);
        assert_ok(gnl_done(&message));
    }
    assert_ok(gnl_close(client));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(messages_of_every_size_go_both_ways)
{
    static const size_t sizes[] = { 0, 1, 16379, 16380, 16381, 100000, 1 << 20 };
    gnl_listener *listener = listen_at("tcp:[::1]:0", NULL);
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
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
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

/* ---- in a set ---- */

static unsigned told(gnl_waitset *set, int64_t timeout)
{
    struct gnl_event event = { 0 };
    int result = gnl_waitset_wait(set, &event, 1, timeout);

    ck_assert_msg(result == 1 || result == -EAGAIN || result == -ETIMEDOUT, "%d: %s", result,
                  gnl_error_detail());
    return event.events;
}

static char x[] = "x";

static gnl_waitset *set_of(gnl_port *port)
{
    gnl_waitset *set;

    assert_ok(gnl_waitset_new(&set));
    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    return set;
}

/* One read brings them all; the socket is empty then, and the set tells all the same. */
START_TEST(set_tells_of_messages_that_were_read_ahead)
{
    struct iovec messages[10];
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    gnl_message held;
    gnl_port *client;

    for (unsigned i = 0; i < 10; i++)
        messages[i] = (struct iovec){ x, 1 };
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    gnl_port *server = accept_from(listener);
    gnl_waitset *early = set_of(server);
    ck_assert_int_eq(gnl_send_many(client, messages, 10, PATIENCE), 10);
    ck_assert_uint_eq(told(early, PATIENCE), GNL_READABLE);
    expect(server, "x");
    gnl_waitset *late = set_of(server);
    for (unsigned i = 1; i < 10; i++) {
        ck_assert_uint_eq(told(early, GNL_NOWAIT), GNL_READABLE);
        ck_assert_uint_eq(told(late, GNL_NOWAIT), GNL_READABLE);
        ck_assert(poll(&(struct pollfd){ .fd = gnl_waitset_fd(late), .events = POLLIN }, 1, 0) == 1);
        if (i == 5)
            gnl_waitset_free(early);
        if (i == 5)
            early = set_of(server);
        expect(server, "x");
    }
    ck_assert_uint_eq(told(early, GNL_NOWAIT), 0);
    ck_assert_uint_eq(told(late, GNL_NOWAIT), 0);
    ck_assert(poll(&(struct pollfd){ .fd = gnl_waitset_fd(late), .events = POLLIN }, 1, 0) == 0);
    assert_ok(gnl_send(client, "y", 1, PATIENCE));
    assert_ok(gnl_take(server, &held, PATIENCE));
    ck_assert_uint_eq(told(late, GNL_NOWAIT), 0);
    assert_ok(gnl_giveback(&held));
    ck_assert_uint_eq(told(late, GNL_NOWAIT), GNL_READABLE);
    assert_ok(gnl_waitset_remove(late, server));
    ck_assert_uint_eq(told(late, GNL_NOWAIT), 0);
    ck_assert_uint_eq(told(early, GNL_NOWAIT), GNL_READABLE);
    assert_ok(gnl_close(server)); /* it leaves the set */
    ck_assert_uint_eq(told(early, GNL_NOWAIT), 0);
    gnl_waitset_free(early);
    gnl_waitset_free(late);
    assert_ok(gnl_close(client));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Members that have read ahead take turns with those that the kernel tells of. */
START_TEST(nobody_in_a_set_is_forgotten)
{
    enum { PORTS = 5, EACH = 20 };
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    gnl_port *clients[PORTS], *servers[PORTS];
    unsigned received[PORTS] = { 0 };
    struct iovec messages[EACH];
    gnl_waitset *set;

    for (unsigned i = 0; i < EACH; i++)
        messages[i] = (struct iovec){ x, 1 };
    assert_ok(gnl_waitset_new(&set));
    for (unsigned i = 0; i < PORTS; i++) {
        assert_ok(gnl_open(&clients[i], gnl_listener_address(listener), NULL));
        servers[i] = accept_from(listener);
        assert_ok(gnl_waitset_add_port(set, servers[i], GNL_READABLE, &servers[i]));
        ck_assert_int_eq(gnl_send_many(clients[i], messages, EACH, PATIENCE), EACH);
    }
    for (unsigned rounds = 0; rounds < PORTS * EACH; rounds++) {
        struct gnl_event event;
        char byte;
        ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, PATIENCE), 1);
        size_t i = (size_t)((gnl_port **)event.tag - servers);
        ck_assert_int_eq(gnl_recv(servers[i], &byte, 1, GNL_NOWAIT), 1);
        received[i]++;
        for (unsigned j = 0; j < PORTS; j++)
            ck_assert_msg(received[i] <= received[j] + 3 * PORTS, "%u of one, %u of another", received[i],
                          received[j]);
    }
    ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
    for (unsigned i = 0; i < PORTS; i++) {
        assert_ok(gnl_close(clients[i]));
        assert_ok(gnl_close(servers[i]));
    }
    gnl_waitset_free(set);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Who waits in a set writes it, and calls nothing of that port. */
START_TEST(set_finishes_a_message_that_has_begun)
{
    static char large[1 << 20];
    gnl_listener *listener = listen_at("unix:@sockets-set", NULL);
    gnl_port *client;
    ssize_t got;

    assert_ok(gnl_open(&client, "unix:@sockets-set", NULL));
    gnl_port *server = accept_from(listener);
    assert_ok(gnl_send(server, "met", 3, PATIENCE));
    gnl_waitset *early = set_of(client);
    expect(client, "met");
    assert_ok(gnl_send(client, large, sizeof large, GNL_NOWAIT));
    gnl_waitset *late = set_of(client);
    for (unsigned i = 0; (got = gnl_recv(server, large, sizeof large, GNL_NOWAIT)) == -EAGAIN; i++)
        ck_assert_uint_eq(told(i % 2 ? early : late, gnl_ms(1)), 0);
    ck_assert_int_eq(got, sizeof large);
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = gnl_waitset_fd(early), .events = POLLIN }, 1, 0), 0);
    gnl_waitset_free(early);
    gnl_waitset_free(late);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- byte streams ---- */

START_TEST(bytes_are_what_others_send_and_get)
{
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .stream = 1 });
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
    TCase *sets = support_case(suite, "sets");
    TCase *bytes = support_case(suite, "bytes");

    tcase_add_test(frames, frames_may_be_cut_at_every_byte);
    tcase_add_test(frames, one_byte_at_a_time_is_a_message_too);
    tcase_add_test(frames, end_at_every_byte_ends_that_port_alone);
    tcase_add_test(frames, message_larger_than_message_max_ends_the_receiving);
    tcase_add_test(frames, message_max_is_exact);
    tcase_add_test(frames, large_message_waits_to_be_accepted);
    tcase_add_loop_test(frames, who_has_closed_before_it_was_accepted_is_read, 0, 3);
    tcase_add_test(frames, closing_says_whether_all_was_taken);
    tcase_add_test(frames, closing_tells_of_a_reset_that_no_call_has_seen);
    tcase_add_test(frames, loan_is_zeros);
    tcase_add_test(frames, messages_of_every_size_go_both_ways);
    tcase_add_test(frames, many_messages_at_once_arrive_in_order);
    tcase_add_test(sets, set_tells_of_messages_that_were_read_ahead);
    tcase_add_test(sets, nobody_in_a_set_is_forgotten);
    tcase_add_test(sets, set_finishes_a_message_that_has_begun);
    tcase_add_test(bytes, bytes_are_what_others_send_and_get);
    return support_run(suite);
}
