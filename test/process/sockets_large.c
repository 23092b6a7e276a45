/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that are larger than a port's buffer: their bytes land in the memory of the call that waits for
 * them, and are moved when that call ends before them. One end is made by hand (docs/formats/socket.md).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "socketing.h"

#define LARGE_SIZE 100000 /* more than the port's buffer */

static const char head[4] = { 0, LARGE_SIZE >> 16, (char)(LARGE_SIZE >> 8 & 0xff),
                              (char)(LARGE_SIZE & 0xff) };

/* Connects by hand: a peer of which a message of that many 'x' has begun, of which so many are here. */
static gnl_port *half_a_message(gnl_listener *listener, int *peer, size_t here)
{
    static char some[LARGE_SIZE];

    memset(some, 'x', sizeof some);
    *peer = raw_connect(listener);
    put(*peer, AT(HELLO "\0"));
    put(*peer, head, sizeof head);
    put(*peer, some, here);
    return accept_from(listener);
}

static void put_rest(int peer, size_t here)
{
    static char rest[LARGE_SIZE];

    memset(rest, 'x', sizeof rest);
    put(peer, rest, LARGE_SIZE - here);
    put(peer, "\0\0\0\3end", 7);
}

static void expect_whole(ssize_t size, const char *data)
{
    ck_assert_int_eq(size, LARGE_SIZE);
    ck_assert(data[0] == 'x' && memcmp(data, data + 1, LARGE_SIZE - 1) == 0);
}

/* What a call had got of it is not lost with the call's memory. */
START_TEST(message_that_has_begun_outlives_the_call)
{
    static const size_t parts[] = { 0, 1, 16380, 16384, 50000, LARGE_SIZE - 1 };
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    static char data[LARGE_SIZE];

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int peer;
        gnl_port *port = half_a_message(listener, &peer, parts[i]);
        char *gone = malloc(LARGE_SIZE), small;
        ck_assert_int_eq(gnl_recv(port, gone, LARGE_SIZE, gnl_ms(20)), -ETIMEDOUT);
        ck_assert_int_eq(gnl_recv(port, gone, LARGE_SIZE, GNL_NOWAIT), -EAGAIN);
        memset(gone, 0, LARGE_SIZE);
        free(gone);
        ck_assert_int_eq(gnl_recv(port, data, LARGE_SIZE, GNL_NOWAIT), -EAGAIN);
        memset(data, 0, LARGE_SIZE);
        ck_assert_int_eq(gnl_recv(port, &small, 1, GNL_NOWAIT), -EAGAIN);
        put_rest(peer, parts[i]);
        ck_assert_int_eq(gnl_recv(port, &small, 1, PATIENCE), -EMSGSIZE);
        expect_whole(gnl_recv(port, data, LARGE_SIZE, PATIENCE), data);
        expect(port, "end");
        close(peer);
        assert_ok(gnl_close(port));
    }
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Its memory is no longer the port's when the call has failed. */
START_TEST(end_in_the_midst_leaves_the_memory)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    char *data = malloc(LARGE_SIZE), byte;
    int peer;

    gnl_port *port = half_a_message(listener, &peer, 50000);
    close(peer);
    ck_assert_int_eq(gnl_recv(port, data, LARGE_SIZE, PATIENCE), -EPIPE);
    free(data);
    expect_code(port, -EPIPE);
    ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EPIPE);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

struct waiter {
    gnl_port *port;
    atomic_int thread;
    ssize_t size;
    char data[LARGE_SIZE];
};

static bool runs(void *context)
{
    return atomic_load(&((struct waiter *)context)->thread) != 0;
}

static void *wait_for_it(void *context)
{
    struct waiter *waiter = context;

    atomic_store(&waiter->thread, gettid());
    waiter->size = gnl_recv(waiter->port, waiter->data, sizeof waiter->data, PATIENCE);
    return NULL;
}

/* One of two callers has it, whole, whoever had begun; and what is given back goes before it. */
START_TEST(several_may_wait_for_a_message_that_has_begun)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    static struct waiter first, second;
    struct waiter *waiters[] = { &first, &second };
    gnl_message message;
    pthread_t threads[2];
    int peer = raw_connect(listener);

    put(peer, AT(HELLO "\0\0\0\0\4back"));
    gnl_port *port = accept_from(listener);
    assert_ok(gnl_take(port, &message, PATIENCE));
    put(peer, head, sizeof head);
    put(peer, first.data, 30000);
    for (int i = 0; i < 2; i++) {
        waiters[i]->port = port;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_it, waiters[i]), 0);
        ck_assert(support_until(runs, waiters[i]));
        ck_assert(support_sleeps(atomic_load(&waiters[i]->thread)));
    }
    assert_ok(gnl_giveback(&message));
    put(peer, second.data, LARGE_SIZE - 30000);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    const struct waiter *large = waiters[second.size == LARGE_SIZE],
                        *given = waiters[first.size == LARGE_SIZE];
    ck_assert_int_eq(large->size, LARGE_SIZE);
    ck_assert_int_eq(given->size, 4);
    ck_assert(memcmp(given->data, "back", 4) == 0);
    close(peer);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_large");
    TCase *tests = support_case(suite, "landing");

    tcase_add_test(tests, message_that_has_begun_outlives_the_call);
    tcase_add_test(tests, end_in_the_midst_leaves_the_memory);
    tcase_add_test(tests, several_may_wait_for_a_message_that_has_begun);
    return support_run(suite);
}
