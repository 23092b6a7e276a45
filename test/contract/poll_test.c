/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors: readable when a receive would not block.
 */
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

static bool readable(int descriptor, int timeout_ms)
{
    struct pollfd entry = { .fd = descriptor, .events = POLLIN };

    return poll(&entry, 1, timeout_ms) == 1 && entry.revents == POLLIN;
}

static bool quiet(void *context)
{
    return !readable(*(int *)context, 0);
}

static int descriptor_of(gnl_port *port)
{
    int descriptor = gnl_port_fd(port);

    assert_ok(descriptor);
    ck_assert_int_eq(gnl_port_fd(port), descriptor); /* the same each time */
    ck_assert_int_ne(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    return descriptor;
}

START_TEST(readable_from_the_message_until_it_is_received)
{
    struct pair pair = pair_open(_i);
    int descriptor = descriptor_of(pair.receiver);

    for (uint64_t i = 0; i < 20; i++) {
        struct feed feed;
        ck_assert(!readable(descriptor, 0));
        feed_start(&feed, pair.sender, i, 1, 33);
        ck_assert(readable(descriptor, PATIENCE_MS));
        ck_assert(readable(descriptor, 0)); /* until somebody receives */
        char data[33];
        ck_assert_int_eq(gnl_recv(pair.receiver, data, sizeof data, GNL_NOWAIT), 33);
        message_expect(data, 33, i);
        ck_assert(!readable(descriptor, 0)); /* at once: no receive has to find nothing first */
        feed_end(&feed);
        expect_empty(pair.receiver);
        ck_assert(!readable(descriptor, 0));
    }
    pair_close(&pair);
}
END_TEST

START_TEST(readable_while_any_message_is_left)
{
    struct pair pair = pair_open(_i);
    int descriptor = descriptor_of(pair.receiver);
    struct feed feed;

    feed_start(&feed, pair.sender, 0, 100, 10);
    for (uint64_t i = 0; i < 100; i++) {
        gnl_message message;
        must(readable(descriptor, PATIENCE_MS));
        int result = gnl_take(pair.receiver, &message, GNL_NOWAIT);
        if (result == -EAGAIN) { /* a rendezvous offer may be between two hands */
            i--;
            continue;
        }
        must(result == 0);
        message_expect(message.data, 10, i);
        must(gnl_done(&message) == 0);
    }
    feed_end(&feed);
    expect_empty(pair.receiver);
    ck_assert(support_until(quiet, &descriptor));
    pair_close(&pair);
}
END_TEST

START_TEST(message_that_came_before_the_descriptor_counts)
{
    struct pair pair = pair_open(_i);
    struct call call;

    call_start(&call, pair.sender, SEND, PATIENCE);
    if (pair.kind->capacity == GNL_RENDEZVOUS)
        call_blocks(&call);
    else
        assert_ok(call_end(&call));
    ck_assert(readable(descriptor_of(pair.receiver), 0));
    expect_message(pair.receiver, 8, 0);
    if (pair.kind->capacity == GNL_RENDEZVOUS)
        assert_ok(call_end(&call));
    pair_close(&pair);
}
END_TEST

START_TEST(readable_after_giveback_by_another_port)
{
    struct pair pair = pair_open(_i);
    gnl_port *other = pair_receiver(&pair);
    gnl_message message;
    struct feed feed;

    feed_start(&feed, pair.sender, 7, 1, 10);
    assert_ok(gnl_take(other, &message, PATIENCE));
    feed_end(&feed);
    int descriptor = descriptor_of(pair.receiver);
    ck_assert(!readable(descriptor, 0));
    assert_ok(gnl_giveback(&message));
    ck_assert(readable(descriptor, PATIENCE_MS));
    expect_message(pair.receiver, 10, 7);
    expect_empty(pair.receiver);
    ck_assert(support_until(quiet, &descriptor));
    assert_ok(gnl_close(other));
    pair_close(&pair);
}
END_TEST

START_TEST(quiet_as_soon_as_the_last_that_was_given_back_is_received)
{
    enum { COUNT = 5 };
    struct pair pair = pair_open(_i);
    int descriptor = descriptor_of(pair.receiver);
    gnl_message messages[COUNT];
    struct feed feed;

    for (unsigned round = 0; round < 10; round++) {
        feed_start(&feed, pair.sender, 0, COUNT, 10);
        for (unsigned i = 0; i < COUNT; i++)
            assert_ok(gnl_take(pair.receiver, &messages[i], PATIENCE));
        feed_end(&feed);
        ck_assert(!readable(descriptor, 0));
        for (unsigned i = 0; i < COUNT; i++)
            assert_ok(gnl_giveback(&messages[i]));
        for (unsigned i = 0; i < COUNT; i++) {
            char data[10];
            ck_assert(readable(descriptor, PATIENCE_MS));
            ck_assert_int_eq(gnl_recv(pair.receiver, data, sizeof data, GNL_NOWAIT), 10);
        }
        ck_assert(!readable(descriptor, 0));
    }
    pair_close(&pair);
}
END_TEST

START_TEST(readable_after_the_holder_closed_its_port)
{
    struct pair pair = pair_open(_i);
    gnl_port *holder = pair_receiver(&pair);
    gnl_message message;
    struct feed feed;

    int descriptor = descriptor_of(pair.receiver);
    feed_start(&feed, pair.sender, 7, 1, 10);
    assert_ok(gnl_take(holder, &message, PATIENCE));
    feed_end(&feed);
    assert_ok(gnl_close(holder));
    ck_assert(readable(descriptor, PATIENCE_MS));
    expect_message(pair.receiver, 10, 7);
    pair_close(&pair);
}
END_TEST

/* What one port receives makes the others' descriptors quiet again. */
START_TEST(quiet_once_another_port_has_received)
{
    struct pair pair = pair_open(_i);
    gnl_port *other = pair_receiver(&pair);
    int descriptor = descriptor_of(other);
    struct feed feed;

    feed_start(&feed, pair.sender, 1, 1, 10);
    ck_assert(readable(descriptor, PATIENCE_MS));
    expect_message(pair.receiver, 10, 1);
    feed_end(&feed);
    ck_assert(support_until(quiet, &descriptor));
    assert_ok(gnl_close(other));
    pair_close(&pair);
}
END_TEST

START_TEST(readable_after_remove)
{
    struct pair pair = pair_open(_i);
    int descriptor = descriptor_of(pair.receiver);

    ck_assert(!readable(descriptor, 0));
    assert_ok(gnl_remove(pair.kind->address));
    ck_assert(readable(descriptor, PATIENCE_MS));
    ck_assert_int_eq(call_now(pair.receiver, RECV, GNL_NOWAIT), -EIDRM);
    ck_assert(readable(descriptor, PATIENCE_MS)); /* it stays so */
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
}
END_TEST

START_TEST(epoll_tells_which_of_many)
{
    enum { PORTS = 300 }; /* more than one helper thread serves */
    static gnl_port *ports[PORTS];
    char address[64];
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };

    for (unsigned i = 0; i < PORTS; i++) {
        snprintf(address, sizeof address, "mailbox:poll-%u", i % 30);
        must(gnl_open(&ports[i], address, &(struct gnl_options){ .capacity = 4, .message_max = 64 }) == 0);
        event.data.u32 = i;
        must(epoll_ctl(set, EPOLL_CTL_ADD, gnl_port_fd(ports[i]), &event) == 0);
    }
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 0);
    for (unsigned i = 0; i < 30; i++) {
        send_message(ports[i], 10, i);
        for (;;) { /* a slow helper may still tell of the message before, which is gone */
            must(epoll_wait(set, &event, 1, PATIENCE_MS) == 1);
            if (event.data.u32 % 30 == i)
                break;
            must(event.data.u32 % 30 < i);
            expect_empty(ports[event.data.u32]);
        }
        expect_message(ports[event.data.u32], 10, i);
        expect_empty(ports[i]);
        while (epoll_wait(set, &event, 1, 0) > 0) { /* those who were told of it, too, find it gone */
            must(event.data.u32 % 30 <= i);
            expect_empty(ports[event.data.u32]);
        }
    }
    for (unsigned i = 0; i < PORTS; i++)
        must(gnl_close(ports[i]) == 0);
    ck_assert_int_eq(epoll_wait(set, &event, 1, 0), 0); /* closed descriptors left the set */
    close(set);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(address, sizeof address, "mailbox:poll-%u", i);
        assert_ok(gnl_remove(address));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("poll");
    TCase *descriptors = support_case(suite, "descriptors");

    add_for_each_kind(descriptors, readable_from_the_message_until_it_is_received);
    add_for_each_kind(descriptors, readable_while_any_message_is_left);
    add_for_each_kind(descriptors, message_that_came_before_the_descriptor_counts);
    add_for_each_shared_kind(descriptors, readable_after_giveback_by_another_port);
    add_for_each_kind(descriptors, quiet_as_soon_as_the_last_that_was_given_back_is_received);
    add_for_each_shared_kind(descriptors, readable_after_the_holder_closed_its_port);
    add_for_each_shared_kind(descriptors, quiet_once_another_port_has_received);
    add_for_each_shared_kind(descriptors, readable_after_remove);
    tcase_add_test(descriptors, epoll_tells_which_of_many);
    return support_run(suite);
}
