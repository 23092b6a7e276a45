/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many messages queue, and what a send does when there is no room, or a receive when there is
 * no message: refuse, wait, give up after its timeout.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void expect_timeout(const struct pair *pair, gnl_port *port, enum verb verb)
{
    int64_t start = now_ns();

    ck_assert_int_eq(call_now(port, verb, SHORT_NS), -ETIMEDOUT);
    ck_assert_int_ge(now_ns() - start, SHORT_NS);
    expect_sentence(pair->kind);
    ck_assert_int_eq(call_now(port, verb, 1), -ETIMEDOUT); /* a nanosecond is a timeout, not GNL_NOWAIT */
    ck_assert_int_eq(call_now(port, verb, GNL_NOWAIT), -EAGAIN);
    expect_sentence(pair->kind);
}

#define FILLED_MAX 5000 /* larger ones are filled in one test only: that takes long */

/* No more can be sent. False: there is no such state, or it is far away. */
static bool fill(const struct pair *pair)
{
    if (pair->kind->capacity == GNL_UNBOUNDED || pair->kind->capacity > FILLED_MAX)
        return false;
    for (int64_t i = 0; i < pair_room(pair, FILLED_MAX); i++)
        must(call_now(pair->sender, SEND, GNL_NOWAIT) == 0);
    return true;
}

START_TEST(exactly_capacity_messages_queue)
{
    struct pair pair = pair_open(_i);
    int64_t room = pair_room(&pair, 100000);
    char data[32];

    for (unsigned lap = 0; lap < 2; lap++) {
        for (int64_t i = 0; i < room; i++) {
            message_fill(data, sizeof data, (uint64_t)i);
            must(gnl_send(pair.sender, data, sizeof data, GNL_NOWAIT) == 0);
        }
        if (pair.kind->capacity != GNL_UNBOUNDED)
            ck_assert_int_eq(gnl_send(pair.sender, data, sizeof data, GNL_NOWAIT), -EAGAIN);
        for (int64_t i = 0; i < room; i++) {
            must(gnl_recv(pair.receiver, data, sizeof data, GNL_NOWAIT) == sizeof data);
            message_expect(data, sizeof data, (uint64_t)i);
        }
        expect_empty(pair.receiver);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(full_refuses_or_times_out)
{
    struct pair pair = pair_open(_i);

    if (fill(&pair)) {
        expect_timeout(&pair, pair.sender, SEND);
        expect_timeout(&pair, pair.sender, POST);
        expect_timeout(&pair, pair.sender, SEND_MANY);
        if (pair_room(&pair, 1) > 0) {
            assert_ok(call_now(pair.receiver, RECV, GNL_NOWAIT));
            assert_ok(call_now(pair.sender, SEND, GNL_NOWAIT)); /* room for exactly one */
        }
        expect_timeout(&pair, pair.sender, SEND);
    }
    pair_close(&pair);
}
END_TEST

/* Wherever in a call its timeout passes: what is left of it by then must not count as none. */
START_TEST(shortest_timeouts_end)
{
    struct pair pair = pair_open(_i);

    if (fill(&pair))
        for (unsigned i = 0; i < 20000; i++)
            must(call_now(pair.sender, SEND, 1 + i % 2000) == -ETIMEDOUT);
    pair_close(&pair);
}
END_TEST

START_TEST(empty_refuses_or_times_out)
{
    struct pair pair = pair_open(_i);

    expect_timeout(&pair, pair.receiver, RECV);
    expect_timeout(&pair, pair.receiver, TAKE);
    expect_timeout(&pair, pair.receiver, TAKE_MANY);
    pair_close(&pair);
}
END_TEST

START_TEST(send_waits_until_there_is_room)
{
    for (enum verb verb = SEND; verb <= SEND_MANY; verb++) {
        struct pair pair = pair_open(_i);
        struct call call;
        if (fill(&pair)) {
            call_start(&call, pair.sender, verb, GNL_FOREVER);
            call_blocks(&call);
            must(call_now(pair.receiver, RECV, PATIENCE) == 8);
            ck_assert_int_eq(call_end(&call), verb == SEND_MANY ? 1 : 0);
        }
        pair_close(&pair);
    }
}
END_TEST

START_TEST(receive_waits_until_there_is_a_message)
{
    for (enum verb verb = RECV; verb <= TAKE_MANY; verb++) {
        struct pair pair = pair_open(_i);
        struct call call;
        call_start(&call, pair.receiver, verb, GNL_FOREVER);
        call_blocks(&call);
        send_message(pair.sender, 12, 9);
        ck_assert_int_eq(call_end(&call), verb == RECV ? 12 : verb == TAKE ? 0 : 1);
        if (verb == RECV) {
            message_expect(call.data, 12, 9);
        } else {
            ck_assert_uint_eq(call.message.size, 12);
            message_expect(call.message.data, 12, 9);
            assert_ok(gnl_done(&call.message));
        }
        pair_close(&pair);
    }
}
END_TEST

/* Capacity counts what is queued: neither what is held nor what was given back. */
START_TEST(held_messages_leave_room)
{
    struct pair pair = pair_open(_i);
    gnl_message message;

    if (pair_room(&pair, 1) > 0 && fill(&pair)) {
        assert_ok(gnl_take(pair.receiver, &message, GNL_NOWAIT));
        assert_ok(call_now(pair.sender, SEND, GNL_NOWAIT));
        ck_assert_int_eq(call_now(pair.sender, SEND, GNL_NOWAIT), -EAGAIN);
        assert_ok(gnl_giveback(&message)); /* there is always room to give back */
        for (int64_t i = 0; i < pair.kind->capacity + 1; i++)
            must(call_now(pair.receiver, RECV, GNL_NOWAIT) == 8);
        expect_empty(pair.receiver);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(all_who_wait_get_through)
{
    enum { WAITING = 8 };
    struct pair pair = pair_open(_i);
    struct call calls[WAITING];

    for (unsigned i = 0; i < WAITING; i++)
        call_start(&calls[i], pair.receiver, RECV, GNL_FOREVER);
    for (unsigned i = 0; i < WAITING; i++)
        call_blocks(&calls[i]);
    for (unsigned i = 0; i < WAITING; i++)
        send_message(pair.sender, 8, i);
    for (unsigned i = 0; i < WAITING; i++)
        ck_assert_int_eq(call_end(&calls[i]), 8);
    expect_empty(pair.receiver);
    if (fill(&pair)) {
        for (unsigned i = 0; i < WAITING; i++)
            call_start(&calls[i], pair.sender, SEND, GNL_FOREVER);
        for (unsigned i = 0; i < WAITING; i++)
            call_blocks(&calls[i]);
        for (int64_t i = 0; i < WAITING + pair_room(&pair, FILLED_MAX); i++)
            must(call_now(pair.receiver, RECV, PATIENCE) == 8);
        for (unsigned i = 0; i < WAITING; i++)
            ck_assert_int_eq(call_end(&calls[i]), 0);
        expect_empty(pair.receiver);
    }
    pair_close(&pair);
}
END_TEST

/* ---- capacity zero ---- */

static const struct gnl_options rendezvous = { .capacity = GNL_RENDEZVOUS };
static const size_t offer_sizes[] = { 0, 40, 5000 };
#define OFFERS 3

static gnl_port *sender, *receiver;

static void open_rendezvous(void)
{
    assert_ok(gnl_open(&sender, "mailbox:zero", &rendezvous));
    assert_ok(gnl_open(&receiver, "mailbox:zero", &rendezvous));
}

static void close_rendezvous(void)
{
    assert_ok(gnl_close(sender));
    assert_ok(gnl_close(receiver));
    assert_ok(gnl_remove("mailbox:zero"));
}

static uint64_t chunks_and_slots_in_use(void)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(receiver, &info));
    return info.queued + info.held;
}

START_TEST(offer_to_nobody_is_refused_and_leaves_nothing)
{
    char data[5000] = { 0 };

    open_rendezvous();
    ck_assert_int_eq(gnl_send(sender, data, offer_sizes[_i], GNL_NOWAIT), -EAGAIN);
    expect_empty(receiver);
    close_rendezvous();
}
END_TEST

START_TEST(offer_to_a_waiting_receiver_succeeds_without_waiting)
{
    struct call call;
    char data[300] = { 0 };
    int result = -EAGAIN;

    open_rendezvous();
    call_start(&call, receiver, RECV, GNL_FOREVER);
    call_blocks(&call);
    /* The receiver may be too slow to wake when the machine is busy: then the offer is withdrawn. */
    for (unsigned tries = 0; tries < 300 && result == -EAGAIN; tries++)
        result = gnl_send(sender, data, sizeof data, GNL_NOWAIT);
    ck_assert_int_eq(result, 0);
    ck_assert_int_eq(call_end(&call), sizeof data);
    expect_empty(receiver);
    close_rendezvous();
}
END_TEST

START_TEST(timed_out_offer_can_not_be_received)
{
    char data[5000] = { 0 };

    open_rendezvous();
    for (unsigned i = 0; i < 70; i++) /* more often than it has slots */
        ck_assert_int_eq(gnl_send(sender, data, offer_sizes[_i], gnl_us(200)), -ETIMEDOUT);
    expect_empty(receiver);
    ck_assert_uint_eq(chunks_and_slots_in_use(), 0);
    close_rendezvous();
}
END_TEST

START_TEST(receive_without_waiting_takes_what_is_offered)
{
    struct call call;
    char data[8];

    open_rendezvous();
    call_start(&call, sender, _i == 0 ? SEND : POST, GNL_FOREVER);
    call_blocks(&call);
    ck_assert_int_eq(gnl_recv(receiver, data, sizeof data, GNL_NOWAIT), sizeof data);
    message_expect(data, sizeof data, 0);
    ck_assert_int_eq(call_end(&call), 0);
    close_rendezvous();
}
END_TEST

START_TEST(sender_goes_on_once_its_message_is_taken_not_when_it_is_done)
{
    struct call call;
    gnl_message message;

    open_rendezvous();
    call_start(&call, sender, SEND, GNL_FOREVER);
    assert_ok(gnl_take(receiver, &message, PATIENCE));
    ck_assert_int_eq(call_end(&call), 0);
    assert_ok(gnl_giveback(&message)); /* which waits in the mailbox, and its sender does not */
    expect_message(receiver, 8, 0);
    close_rendezvous();
}
END_TEST

START_TEST(more_senders_than_places_all_hand_over)
{
    enum { SENDERS = 100 };
    static struct call calls[SENDERS];

    open_rendezvous();
    for (unsigned i = 0; i < SENDERS; i++)
        call_start(&calls[i], sender, SEND, GNL_FOREVER);
    for (unsigned i = 0; i < SENDERS; i++)
        expect_message(receiver, 8, 0);
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_int_eq(call_end(&calls[i]), 0);
    expect_empty(receiver);
    close_rendezvous();
}
END_TEST

/* Offers are withdrawn at the very moment they are taken: each send either happened or did not. */
#define DUEL_OFFERS 3000
static atomic_bool duel_over;
static uint64_t handed_over;

static void *offer_impatiently(void *context)
{
    char data[5000] = { 0 };

    (void)context;
    for (unsigned i = 0; i < DUEL_OFFERS; i++) {
        int result = gnl_send(sender, data, i % 5 == 0 ? sizeof data : 40, gnl_us(i % 60));
        must(result == 0 || result == -ETIMEDOUT || result == -EAGAIN);
        handed_over += result == 0;
    }
    atomic_store(&duel_over, true);
    return NULL;
}

START_TEST(each_offer_is_either_taken_or_withdrawn)
{
    pthread_t thread;
    uint64_t received = 0;
    char data[5000];

    open_rendezvous();
    ck_assert_int_eq(pthread_create(&thread, NULL, offer_impatiently, NULL), 0);
    while (!atomic_load(&duel_over)) {
        ssize_t result = gnl_recv(receiver, data, sizeof data, received % 2 ? gnl_us(50) : GNL_NOWAIT);
        must(result >= 0 || result == -ETIMEDOUT || result == -EAGAIN);
        received += result >= 0;
    }
    pthread_join(thread, NULL);
    expect_empty(receiver);
    ck_assert_uint_eq(received, handed_over);
    ck_assert_uint_eq(chunks_and_slots_in_use(), 0);
    close_rendezvous();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("capacity");
    TCase *room = support_case(suite, "room");

    add_for_each_kind(room, exactly_capacity_messages_queue);
    add_for_each_kind(room, full_refuses_or_times_out);
    add_for_each_kind(room, shortest_timeouts_end);
    add_for_each_kind(room, empty_refuses_or_times_out);
    add_for_each_kind(room, send_waits_until_there_is_room);
    add_for_each_kind(room, receive_waits_until_there_is_a_message);
    add_for_each_kind(room, held_messages_leave_room);
    add_for_each_kind(room, all_who_wait_get_through);
    TCase *zero = support_case(suite, "capacity zero");
    tcase_add_loop_test(zero, offer_to_nobody_is_refused_and_leaves_nothing, 0, OFFERS);
    tcase_add_test(zero, offer_to_a_waiting_receiver_succeeds_without_waiting);
    tcase_add_loop_test(zero, timed_out_offer_can_not_be_received, 0, OFFERS);
    tcase_add_loop_test(zero, receive_without_waiting_takes_what_is_offered, 0, 2);
    tcase_add_test(zero, sender_goes_on_once_its_message_is_taken_not_when_it_is_done);
    tcase_add_test(zero, more_senders_than_places_all_hand_over);
    tcase_add_test(zero, each_offer_is_either_taken_or_withdrawn);
    return support_run(suite);
}
