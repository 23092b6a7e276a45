/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waitsets over every kind of port: what is told, when, and until when.
 */
#include "kinds.h"

#include <errno.h>
#include <poll.h>

#define MOST 100000 /* messages that fill a link */

static gnl_waitset *new_set(void)
{
    gnl_waitset *set;

    assert_ok(gnl_waitset_new(&set));
    return set;
}

static gnl_waitset *set_of(gnl_port *port, unsigned events)
{
    gnl_waitset *set = new_set();

    assert_ok(gnl_waitset_add_port(set, port, events, port));
    return set;
}

/* What is told of the one member of the set; 0: nothing within the timeout. */
static unsigned told(gnl_waitset *set, int64_t timeout)
{
    struct gnl_event event = { 0 };
    int result = gnl_waitset_wait(set, &event, 1, timeout);

    if (result == -EAGAIN || result == -ETIMEDOUT)
        return 0;
    ck_assert_msg(result == 1, "%d: %s", result, gnl_error_detail());
    ck_assert_ptr_nonnull(event.tag);
    return event.events;
}

static bool nothing_told(void *set)
{
    return told(set, GNL_NOWAIT) == 0;
}

/* Messages as long as there is room. */
static int64_t fill(const struct pair *pair)
{
    int64_t sent = 0;

    while (sent < MOST && gnl_send(pair->sender, "x", 1, GNL_NOWAIT) == 0)
        sent++;
    return sent;
}

static bool readable_too(gnl_waitset *set)
{
    struct pollfd entry = { .fd = gnl_waitset_fd(set), .events = POLLIN };

    return poll(&entry, 1, 0) == 1 && entry.revents == POLLIN;
}

START_TEST(readable_from_the_message_until_it_is_received)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);

    for (uint64_t i = 0; i < 10; i++) {
        struct feed feed;
        char data[33];
        ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
        feed_start(&feed, pair.sender, i, 1, 33);
        ck_assert_uint_eq(told(set, PATIENCE), GNL_READABLE);
        ck_assert_uint_eq(told(set, GNL_NOWAIT), GNL_READABLE); /* it is still so */
        ck_assert(readable_too(set));
        ck_assert_int_eq(gnl_recv(pair.receiver, data, sizeof data, GNL_NOWAIT), 33);
        message_expect(data, 33, i);
        ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
        ck_assert(!readable_too(set));
        feed_end(&feed);
    }
    ck_assert_int_eq(gnl_waitset_wait(set, &(struct gnl_event){ 0 }, 1, SHORT_NS), -ETIMEDOUT);
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(message_that_came_before_the_set_counts)
{
    struct pair pair = pair_open(_i);
    struct call call;

    call_start(&call, pair.sender, SEND, PATIENCE);
    if (pair.kind->capacity == GNL_RENDEZVOUS)
        call_blocks(&call);
    else
        assert_ok(call_end(&call));
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    ck_assert_uint_eq(told(set, GNL_NOWAIT), GNL_READABLE);
    expect_message(pair.receiver, 8, 0);
    if (pair.kind->capacity == GNL_RENDEZVOUS)
        assert_ok(call_end(&call));
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(writable_while_a_send_would_not_block)
{
    struct pair pair = pair_open(_i);
    char byte;

    if (pair.kind->capacity == GNL_RENDEZVOUS) {
        pair_close(&pair);
        return;
    }
    gnl_waitset *set = set_of(pair.sender, GNL_WRITABLE);
    ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
    int64_t sent = fill(&pair);
    if (pair.kind->pipe &&
        pair.kind->capacity == GNL_UNBOUNDED) { /* what the kernel holds, and how it tells */
        ck_assert(pair.kind->tcp || told(set, SHORT_NS) == 0);
        for (; sent > 0; sent--)
            must(gnl_recv(pair.receiver, &byte, 1, GNL_NOWAIT) == 1);
        ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
    } else if (pair.kind->capacity == GNL_UNBOUNDED) {
        ck_assert_uint_eq(told(set, GNL_NOWAIT), GNL_WRITABLE);
    } else {
        ck_assert_int_eq(sent, pair_room(&pair, MOST));
        ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
        ck_assert_uint_eq(told(set, SHORT_NS), 0);
        for (unsigned i = 0; i < 3; i++) {
            must(gnl_recv(pair.receiver, &byte, 1, GNL_NOWAIT) == 1);
            ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
            assert_ok(gnl_send(pair.sender, "y", 1, GNL_NOWAIT));
            ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
        }
    }
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

/* Capacity zero: the one who waits inside a receive is the room. */
START_TEST(writable_while_somebody_waits_to_receive)
{
    struct pair pair = pair_open(_i);
    struct call call;

    if (pair.kind->capacity != GNL_RENDEZVOUS) {
        pair_close(&pair);
        return;
    }
    gnl_waitset *set = set_of(pair.sender, GNL_WRITABLE);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(told(set, SHORT_NS), 0);
        call_start(&call, pair.receiver, RECV, PATIENCE);
        ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
        call_blocks(&call);
        assert_ok(gnl_send(pair.sender, "x", 1, GNL_NOWAIT));
        ck_assert_int_eq(call_end(&call), 1);
        ck_assert(support_until(nothing_told, set));
    }
    call_start(&call, pair.receiver, RECV, gnl_ms(200)); /* who gives up is no room */
    ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
    ck_assert_int_eq(call_end(&call), -ETIMEDOUT);
    ck_assert(support_until(nothing_told, set));
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(both_ways_of_a_port_are_one_event)
{
    struct pair pair = pair_open(_i);
    gnl_port *port = pair.receiver; /* it sends into what it receives from, or to the other end */
    struct gnl_event events[4];

    if (pair.kind->capacity == GNL_RENDEZVOUS || pair.kind->receiving.direction == GNL_RECV_ONLY) {
        pair_close(&pair);
        return;
    }
    gnl_waitset *set = set_of(port, GNL_READABLE | GNL_WRITABLE);
    ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
    send_message(pair.sender, 5, 1);
    bool full = pair.kind->capacity == 1 && !kind_is_paired(pair.kind);
    unsigned expected = full ? GNL_READABLE : GNL_READABLE | GNL_WRITABLE;
    while (told(set, PATIENCE) != expected)
        ;
    ck_assert_int_eq(gnl_waitset_wait(set, events, 4, GNL_NOWAIT), 1);
    ck_assert_uint_eq(events[0].events, expected);
    expect_message(port, 5, 1);
    ck_assert_uint_eq(told(set, PATIENCE), GNL_WRITABLE);
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(directions_are_kept)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *set = new_set();

    if (pair.kind->sending.direction == GNL_SEND_ONLY) {
        ck_assert_int_eq(gnl_waitset_add_port(set, pair.sender, GNL_READABLE, NULL), -EPERM);
        ck_assert_int_eq(gnl_waitset_add_port(set, pair.receiver, GNL_WRITABLE, NULL), -EPERM);
        expect_sentence(pair.kind);
    }
    ck_assert_int_eq(gnl_waitset_add_port(set, pair.receiver, 0, NULL), -EINVAL);
    ck_assert_int_eq(gnl_waitset_add_port(set, pair.receiver, GNL_ENDED, NULL), -EINVAL);
    ck_assert_int_eq(gnl_waitset_add_port(set, pair.receiver, 8 | GNL_READABLE, NULL), -EINVAL);
    assert_ok(gnl_waitset_add_port(set, pair.receiver, GNL_READABLE | GNL_ENDED, NULL));
    ck_assert_int_eq(gnl_waitset_add_port(set, pair.receiver, GNL_READABLE, set), -EEXIST);
    ck_assert_int_eq(gnl_waitset_remove(set, set), -ENOENT);
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(removed_mailbox_has_ended)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *receives = set_of(pair.receiver, GNL_READABLE);
    gnl_waitset *sends = set_of(pair.sender, GNL_WRITABLE);

    fill(&pair);
    assert_ok(gnl_remove(pair.kind->address));
    while (!(told(receives, PATIENCE) & GNL_ENDED))
        ;
    while (!(told(sends, PATIENCE) & GNL_ENDED))
        ;
    ck_assert_uint_eq(told(receives, GNL_NOWAIT), GNL_READABLE | GNL_ENDED);
    ck_assert_uint_eq(told(sends, GNL_NOWAIT), GNL_WRITABLE | GNL_ENDED);
    ck_assert_int_eq(call_now(pair.receiver, RECV, GNL_NOWAIT), -EIDRM);
    ck_assert_int_eq(call_now(pair.sender, SEND, GNL_NOWAIT), -EIDRM);
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
    gnl_waitset_free(receives);
    gnl_waitset_free(sends);
}
END_TEST

/* Who receives is told with what is still to come, and who waits for room as well. */
START_TEST(other_end_that_has_gone_has_ended)
{
    struct pair pair = pair_open(_i);

    if (!kind_is_paired(pair.kind) || pair.kind->capacity == GNL_RENDEZVOUS) {
        pair_close(&pair);
        return;
    }
    gnl_waitset *receives = set_of(pair.receiver, GNL_READABLE);
    gnl_waitset *sends = set_of(pair.receiver, GNL_WRITABLE);
    send_message(pair.sender, 5, 1);
    ck_assert_uint_eq(told(receives, PATIENCE), GNL_READABLE);
    ck_assert_uint_eq(told(sends, PATIENCE), GNL_WRITABLE);
    while (pair.kind->capacity > 0 && gnl_send(pair.receiver, "x", 1, GNL_NOWAIT) == 0)
        ;
    assert_ok(gnl_close(pair.sender));
    while (told(receives, PATIENCE) != (GNL_READABLE | GNL_ENDED))
        ;
    /* Over TCP it may have finished alone. */
    while (!pair.kind->tcp && told(sends, PATIENCE) != (GNL_WRITABLE | GNL_ENDED))
        ;
    expect_message(pair.receiver, 5, 1);
    ck_assert_uint_eq(told(receives, PATIENCE), GNL_READABLE | GNL_ENDED);
    ck_assert_int_eq(call_now(pair.receiver, RECV, GNL_NOWAIT), -EPIPE);
    if (pair.kind->direct) /* told once; now one of that name may come */
        ck_assert(support_until(nothing_told, receives));
    gnl_waitset_free(receives);
    gnl_waitset_free(sends);
    pair.sender = NULL;
    pair_close(&pair);
}
END_TEST

/* Told to nobody yet, since it came with the messages of one call. */
START_TEST(end_that_was_met_behind_messages_is_told_too)
{
    struct pair pair = pair_open(_i);
    gnl_message messages[4];

    if (!kind_is_paired(pair.kind) || pair.kind->capacity == GNL_RENDEZVOUS) {
        pair_close(&pair);
        return;
    }
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    send_message(pair.sender, 5, 1);
    assert_ok(gnl_close(pair.sender));
    ck_assert_int_eq(gnl_take_many(pair.receiver, messages, 4, PATIENCE), 1);
    ck_assert_uint_eq(told(set, PATIENCE), GNL_READABLE | GNL_ENDED);
    assert_ok(gnl_done(&messages[0]));
    ck_assert_int_eq(call_now(pair.receiver, RECV, GNL_NOWAIT), -EPIPE);
    if (pair.kind->direct)
        ck_assert(support_until(nothing_told, set));
    gnl_waitset_free(set);
    pair.sender = NULL;
    pair_close(&pair);
}
END_TEST

START_TEST(other_end_that_sends_no_more_has_ended)
{
    struct pair pair = pair_open(_i);

    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    if (kind_is_paired(pair.kind) && pair.kind->capacity != GNL_RENDEZVOUS) {
        send_message(pair.sender, 5, 1);
        assert_ok(gnl_finish(pair.sender));
        ck_assert(told(set, PATIENCE) & GNL_READABLE);
        expect_message(pair.receiver, 5, 1);
        ck_assert_uint_eq(told(set, PATIENCE), GNL_READABLE | GNL_ENDED);
        ck_assert_int_eq(call_now(pair.receiver, RECV, GNL_NOWAIT), -EPIPE);
    } else if (!kind_is_paired(pair.kind)) { /* a mailbox has no other end */
        assert_ok(gnl_finish(pair.sender));
        ck_assert_uint_eq(told(set, SHORT_NS), 0);
    }
    gnl_waitset_free(set);
    pair_close(&pair);
}
END_TEST

START_TEST(closed_port_leaves_its_sets)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    gnl_waitset *other = set_of(pair.receiver, GNL_READABLE);
    struct feed feed;

    assert_ok(gnl_waitset_add_port(set, pair.sender, GNL_WRITABLE, &pair));
    feed_start(&feed, pair.sender, 0, 1, 5);
    while (!(told(other, PATIENCE) & GNL_READABLE))
        ;
    expect_message(pair.receiver, 5, 0);
    feed_end(&feed);
    assert_ok(gnl_close(pair.receiver));
    ck_assert_int_eq(gnl_waitset_remove(set, pair.receiver), -ENOENT);
    ck_assert_uint_eq(told(other, GNL_NOWAIT), 0);
    pair.receiver = NULL;
    assert_ok(gnl_waitset_remove(set, &pair));
    ck_assert_uint_eq(told(set, GNL_NOWAIT), 0);
    gnl_waitset_free(set);
    gnl_waitset_free(other);
    pair_close(&pair);
}
END_TEST

struct waiter {
    pthread_t thread;
    gnl_waitset *set;
    atomic_int thread_id;
    struct gnl_event event;
    int result;
};

static void *wait_in_thread(void *context)
{
    struct waiter *waiter = context;

    gnl_waitset_fd(waiter->set);
    atomic_store(&waiter->thread_id, gettid());
    waiter->result = gnl_waitset_wait(waiter->set, &waiter->event, 1, PATIENCE);
    return NULL;
}

static bool is_known(void *context)
{
    struct waiter *waiter = context;

    return atomic_load(&waiter->thread_id) != 0;
}

static void start_waiter(struct waiter *waiter, gnl_waitset *set)
{
    *waiter = (struct waiter){ .set = set };
    ck_assert_int_eq(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter), 0);
    ck_assert(support_until(is_known, waiter));
    ck_assert(support_sleeps(atomic_load(&waiter->thread_id)));
}

START_TEST(closed_while_another_thread_waits)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    struct waiter waiter;

    start_waiter(&waiter, set);
    assert_ok(gnl_close(pair.receiver));
    pair.receiver = NULL;
    assert_ok(gnl_waitset_add_port(set, pair.sender, GNL_WRITABLE, &pair));
    bool alone = pair.kind->capacity == GNL_RENDEZVOUS || pair.kind->direct; /* nobody is there to send to */
    if (alone)
        gnl_waitset_free(set);
    ck_assert_int_eq(pthread_join(waiter.thread, NULL), 0);
    if (alone) {
        ck_assert(waiter.result == -ECANCELED || (waiter.result == 1 && waiter.event.tag == &pair));
    } else {
        ck_assert_int_eq(waiter.result, 1);
        ck_assert_ptr_eq(waiter.event.tag, &pair);
        gnl_waitset_free(set);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(set_that_is_freed_ends_its_waits)
{
    struct pair pair = pair_open(_i);
    gnl_waitset *set = set_of(pair.receiver, GNL_READABLE);
    struct waiter waiters[3];

    for (unsigned i = 0; i < 3; i++)
        start_waiter(&waiters[i], set);
    gnl_waitset_free(set);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(waiters[i].thread, NULL), 0);
        ck_assert_int_eq(waiters[i].result, -ECANCELED);
    }
    struct feed feed;
    feed_start(&feed, pair.sender, 0, 1, 5);
    expect_message(pair.receiver, 5, 0); /* the port is as it was */
    feed_end(&feed);
    pair_close(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waitset");
    TCase *events = support_case(suite, "events");
    TCase *ends = support_case(suite, "ends");

    add_for_each_kind(events, readable_from_the_message_until_it_is_received);
    add_for_each_kind(events, message_that_came_before_the_set_counts);
    add_for_each_kind(events, writable_while_a_send_would_not_block);
    add_for_each_kind(events, writable_while_somebody_waits_to_receive);
    add_for_each_kind(events, both_ways_of_a_port_are_one_event);
    add_for_each_kind(events, directions_are_kept);
    add_for_each_shared_kind(ends, removed_mailbox_has_ended);
    add_for_each_kind(ends, other_end_that_has_gone_has_ended);
    add_for_each_kind(ends, end_that_was_met_behind_messages_is_told_too);
    add_for_each_kind(ends, other_end_that_sends_no_more_has_ended);
    add_for_each_kind(ends, closed_port_leaves_its_sets);
    add_for_each_kind(ends, closed_while_another_thread_waits);
    add_for_each_kind(ends, set_that_is_freed_ends_its_waits);
    return support_run(suite);
}
