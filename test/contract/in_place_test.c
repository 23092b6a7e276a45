/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages written and read in place: loan, post, take, done, giveback; and several at once.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>

static const size_t sizes[] = { 0, 1, 96, 97, 256, 5000, 65536, 1 << 20 };
#define SIZES (sizeof sizes / sizeof sizes[0])

static gnl_message lend(gnl_port *port, size_t size, uint64_t seed)
{
    gnl_message loan;

    assert_ok(gnl_loan(port, &loan, size, GNL_NOWAIT));
    ck_assert_uint_eq(loan.size, size);
    message_fill(loan.data, size, seed);
    return loan;
}

static gnl_message take(gnl_port *port, size_t size, uint64_t seed)
{
    gnl_message message;

    assert_ok(gnl_take(port, &message, PATIENCE));
    ck_assert_uint_eq(message.size, size);
    message_expect(message.data, size, seed);
    return message;
}

/* Sent by a thread, taken here: for every kind. */
static gnl_message pass(const struct pair *pair, size_t size, uint64_t seed)
{
    struct feed feed;

    feed_start(&feed, pair->sender, seed, 1, size);
    gnl_message message = take(pair->receiver, size, seed);
    feed_end(&feed);
    return message;
}

struct posting {
    pthread_t thread;
    gnl_port *port;
    gnl_message *loan;
};

static void *post(void *context)
{
    struct posting *posting = context;

    must(gnl_post(posting->port, posting->loan, PATIENCE) == 0);
    return NULL;
}

/* Posted by a thread, received here. */
static void expect_posted(const struct pair *pair, gnl_message *loan, size_t size, uint64_t seed)
{
    struct posting posting = { .port = pair->sender, .loan = loan };

    ck_assert_int_eq(pthread_create(&posting.thread, NULL, post, &posting), 0);
    expect_message(pair->receiver, size, seed);
    pthread_join(posting.thread, NULL);
}

/* ---- loans ---- */

START_TEST(loan_arrives_when_posted)
{
    struct pair pair = pair_open(_i);

    for (size_t i = 0; i < SIZES && sizes[i] <= pair.kind->message_max; i++) {
        gnl_message loan = lend(pair.sender, sizes[i], i);
        expect_empty(pair.receiver);
        expect_posted(&pair, &loan, sizes[i], i);
        ck_assert_int_eq(gnl_post(pair.sender, &loan, GNL_NOWAIT), -EINVAL); /* it has ended */
        ck_assert_int_eq(gnl_done(&loan), -EINVAL);
    }
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(loan_s_size_may_be_lowered_not_raised)
{
    struct pair pair = pair_open(_i);

    for (size_t i = 1; i < SIZES && sizes[i] <= pair.kind->message_max; i++) {
        gnl_message loan = lend(pair.sender, sizes[i], i);
        loan.size = sizes[i] + 1;
        ck_assert_int_eq(gnl_post(pair.sender, &loan, GNL_NOWAIT), -EMSGSIZE);
        loan.size = sizes[i] / 2; /* a large one becomes small, too */
        expect_posted(&pair, &loan, sizes[i] / 2, i);
    }
    gnl_message loan = lend(pair.sender, pair.kind->message_max, 7);
    loan.size = 0;
    expect_posted(&pair, &loan, 0, 7);
    pair_close(&pair);
}
END_TEST

START_TEST(loans_take_their_place_when_posted)
{
    struct pair pair = pair_open(_i);

    gnl_message first = lend(pair.sender, 90, 1), second = lend(pair.sender, 90, 2);
    expect_posted(&pair, &second, 90, 2);
    expect_posted(&pair, &first, 90, 1);
    pair_close(&pair);
}
END_TEST

START_TEST(dropped_loan_is_never_sent)
{
    struct pair pair = pair_open(_i);

    for (unsigned again = 0; again < 300; again++) /* more often than there may be loans */
        for (size_t i = 0; i < 4; i++) {
            gnl_message loan;
            must(gnl_loan(pair.sender, &loan, i * 30, GNL_NOWAIT) == 0);
            must(gnl_done(&loan) == 0);
        }
    gnl_message loan = lend(pair.sender, 10, 1);
    assert_ok(gnl_done(&loan));
    ck_assert_int_eq(gnl_done(&loan), -EINVAL);
    ck_assert_int_eq(gnl_post(pair.sender, &loan, GNL_NOWAIT), -EINVAL);
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(failed_post_leaves_the_loan_with_its_bytes)
{
    struct pair pair = pair_open(_i);
    int64_t room = pair_room(&pair, 5000);

    if (pair.kind->capacity != GNL_UNBOUNDED && pair.kind->capacity <= 5000) {
        gnl_message small = lend(pair.sender, 50, 1), large = lend(pair.sender, pair.kind->message_max, 2);
        for (int64_t i = 0; i < room; i++)
            send_message(pair.sender, 1, 0);
        ck_assert_int_eq(gnl_post(pair.sender, &small, GNL_NOWAIT), -EAGAIN);
        ck_assert_int_eq(gnl_post(pair.sender, &large, SHORT_NS), -ETIMEDOUT);
        for (int64_t i = 0; i < room; i++)
            expect_message(pair.receiver, 1, 0);
        expect_posted(&pair, &large, pair.kind->message_max, 2);
        expect_posted(&pair, &small, 50, 1);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(loan_can_not_be_given_back_and_a_taken_message_not_posted)
{
    struct pair pair = pair_open(_i);
    gnl_message loan = lend(pair.sender, 10, 1), message = pass(&pair, 10, 2);

    if (pair.kind->sending.direction == GNL_BOTH)
        ck_assert_int_eq(gnl_giveback(&loan), -EINVAL);
    ck_assert_int_eq(gnl_post(pair.sender, &message, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_post(pair.sender, &(gnl_message){ .data = &pair, .size = 1 }, GNL_NOWAIT), -EINVAL);
    gnl_port *other = pair_sender(&pair);
    ck_assert_int_eq(gnl_post(other, &loan, GNL_NOWAIT), -EINVAL); /* another port's */
    assert_ok(gnl_close(other));
    assert_ok(gnl_done(&loan));
    assert_ok(gnl_done(&message));
    pair_close(&pair);
}
END_TEST

START_TEST(closing_drops_loans)
{
    struct pair pair = pair_open(_i);
    struct gnl_port_info after;

    for (unsigned i = 0; i < 10; i++)
        lend(pair.sender, pair.kind->message_max, i);
    assert_ok(gnl_close(pair.sender));
    expect_empty(pair.receiver);
    pair.sender = pair_sender(&pair);
    for (unsigned i = 0; i < 500; i++) { /* there is memory for ever so many */
        gnl_message loan;
        must(gnl_loan(pair.sender, &loan, 64, GNL_NOWAIT) == 0);
        must(gnl_done(&loan) == 0);
    }
    assert_ok(gnl_port_info(pair.receiver, &after));
    ck_assert_uint_eq(after.queued, 0);
    pair_close(&pair);
}
END_TEST

/* ---- taking ---- */

START_TEST(taken_message_is_first_delivered_once)
{
    struct pair pair = pair_open(_i);

    for (size_t i = 0; i < SIZES && sizes[i] <= pair.kind->message_max; i++) {
        gnl_message message = pass(&pair, sizes[i], i);
        ck_assert_uint_eq(message.deliveries, 1);
        ck_assert_uint_eq(message.flags,
                          kind_is_paired(pair.kind) && !pair.kind->tcp ? GNL_SENDER_VOUCHED : 0);
        ck_assert_int_eq(message.sender.pid, pair.kind->tcp ? 0 : getpid());
        ck_assert_uint_eq(message.sender.uid, pair.kind->tcp ? 0 : geteuid());
        ck_assert_uint_eq(message.sender.gid, pair.kind->tcp ? 0 : getegid());
        ck_assert_str_eq(message.sender.name, pair.kind->direct ? "contract-a" : "");
        assert_ok(gnl_done(&message));
        ck_assert_int_eq(gnl_done(&message), -EINVAL);
        ck_assert_int_eq(gnl_giveback(&message), -EINVAL);
    }
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(copy_of_an_ended_message_is_einval)
{
    struct pair pair = pair_open(_i);
    gnl_message message = pass(&pair, 10, 1), copy = message;

    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_done(&copy), -EINVAL);
    ck_assert_int_eq(gnl_giveback(&copy), -EINVAL);
    pair_close(&pair);
}
END_TEST

START_TEST(given_back_message_comes_first_flagged_and_counted)
{
    struct pair pair = pair_open(_i);
    size_t size = pair.kind->message_max < 5000 ? 90 : 5000;
    gnl_message message = pass(&pair, size, 1);
    struct feed feed;

    feed_start(&feed, pair.sender, 100, 1, 8);
    for (unsigned deliveries = 2; deliveries < 6; deliveries++) {
        assert_ok(gnl_giveback(&message));
        message = take(pair.receiver, size, 1);
        ck_assert_uint_eq(message.flags & ~GNL_SENDER_VOUCHED, GNL_REDELIVERED);
        ck_assert_uint_eq(message.deliveries, deliveries);
        ck_assert_int_eq(message.sender.pid, pair.kind->tcp ? 0 : getpid());
    }
    assert_ok(gnl_done(&message));
    expect_message(pair.receiver, 8, 100);
    feed_end(&feed);
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(given_back_message_goes_to_another_port)
{
    struct pair pair = pair_open(_i);
    gnl_port *other = pair_receiver(&pair);
    struct call call;

    gnl_message message = pass(&pair, 20, 1);
    call_start(&call, other, RECV, GNL_FOREVER);
    call_blocks(&call);
    assert_ok(gnl_giveback(&message)); /* and wakes who waits */
    ck_assert_int_eq(call_end(&call), 20);
    message_expect(call.data, 20, 1);
    assert_ok(gnl_close(other));
    pair_close(&pair);
}
END_TEST

START_TEST(held_messages_block_nobody)
{
    struct pair pair = pair_open(_i);
    gnl_message held = pass(&pair, 40, 999);
    struct feed feed;

    feed_start(&feed, pair.sender, 0, 1500, 40);
    for (uint64_t i = 0; i < 1500; i++)
        expect_message(pair.receiver, 40, i);
    feed_end(&feed);
    message_expect(held.data, held.size, 999); /* laps later it is as it was */
    assert_ok(gnl_done(&held));
    pair_close(&pair);
}
END_TEST

START_TEST(port_holds_held_max_messages_then_enobufs)
{
    static gnl_message held[GNL_HELD_MAX];
    struct pair pair = pair_open(_i);
    gnl_message one_more = { .size = 77 };
    struct feed feed;

    feed_start(&feed, pair.sender, 0, GNL_HELD_MAX + 1, 16);
    for (unsigned i = 0; i < GNL_HELD_MAX; i++)
        must(gnl_take(pair.receiver, &held[i], PATIENCE) == 0);
    ck_assert_int_eq(gnl_take(pair.receiver, &one_more, PATIENCE), -ENOBUFS);
    ck_assert_uint_eq(one_more.size, 77);
    expect_sentence(pair.kind);
    assert_ok(gnl_done(&held[100]));
    assert_ok(gnl_take(pair.receiver, &held[100], PATIENCE));
    message_expect(held[100].data, 16, GNL_HELD_MAX);
    for (unsigned i = 0; i < GNL_HELD_MAX; i++)
        must(gnl_done(&held[i]) == 0);
    feed_end(&feed);
    pair_close(&pair);
}
END_TEST

START_TEST(closing_gives_back_what_is_held)
{
    enum { HELD = 5 };
    struct pair pair = pair_open(_i);
    gnl_port *holder = pair_receiver(&pair);
    gnl_message message;
    struct feed feed;
    unsigned seen = 0;

    feed_start(&feed, pair.sender, 0, HELD + 1, 16);
    for (unsigned i = 0; i < HELD; i++)
        assert_ok(gnl_take(holder, &message, PATIENCE));
    assert_ok(gnl_close(holder));
    for (unsigned i = 0; i < HELD; i++) {
        assert_ok(gnl_take(pair.receiver, &message, GNL_NOWAIT));
        ck_assert_uint_eq(message.flags & ~GNL_SENDER_VOUCHED, GNL_REDELIVERED);
        ck_assert_uint_eq(message.deliveries, 2);
        for (unsigned seed = 0; seed < HELD; seed++) {
            unsigned char expected[16];
            message_fill(expected, 16, seed);
            seen |= (memcmp(expected, message.data, 16) == 0) << seed;
        }
        assert_ok(gnl_done(&message));
    }
    ck_assert_uint_eq(seen, (1 << HELD) - 1);
    expect_message(pair.receiver, 16, HELD); /* then the queue goes on */
    feed_end(&feed);
    pair_close(&pair);
}
END_TEST

/* ---- several at once ---- */

START_TEST(send_many_says_how_many_went)
{
    enum { COUNT = 10 };
    struct pair pair = pair_open(_i);
    int64_t room = pair_room(&pair, COUNT);
    struct iovec messages[COUNT];
    char data[COUNT][30];

    for (unsigned i = 0; i < COUNT; i++) {
        message_fill(data[i], 30, i);
        messages[i] = (struct iovec){ data[i], 30 };
    }
    ssize_t sent = gnl_send_many(pair.sender, messages, COUNT, GNL_NOWAIT);
    ck_assert_int_eq(sent, room > 0 ? room : -EAGAIN);
    for (int64_t i = 0; i < room; i++)
        expect_message(pair.receiver, 30, (uint64_t)i);
    if (room > 2) { /* one that can't be sent ends it, and is not skipped */
        messages[2].iov_len = pair.kind->message_max + 1;
        ck_assert_int_eq(gnl_send_many(pair.sender, messages, COUNT, GNL_NOWAIT), 2);
        ck_assert_int_eq(gnl_send_many(pair.sender, messages + 2, COUNT - 2, GNL_NOWAIT), -EMSGSIZE);
        messages[2] = (struct iovec){ NULL, 30 };
        ck_assert_int_eq(gnl_send_many(pair.sender, messages + 2, COUNT - 2, GNL_NOWAIT), -EINVAL);
        expect_message(pair.receiver, 30, 0);
        expect_message(pair.receiver, 30, 1);
    }
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

struct sending_many {
    gnl_port *port;
    ssize_t result;
};

static void *send_many(void *context)
{
    struct sending_many *sending = context;
    struct iovec messages[50];
    char data[50][30];

    for (unsigned i = 0; i < 50; i++) {
        message_fill(data[i], 30, i);
        messages[i] = (struct iovec){ data[i], 30 };
    }
    sending->result = gnl_send_many(sending->port, messages, 50, PATIENCE);
    return NULL;
}

START_TEST(send_many_waits_for_room_for_each)
{
    struct pair pair = pair_open(_i);
    struct sending_many sending = { .port = pair.sender };
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, send_many, &sending), 0);
    for (uint64_t i = 0; i < 50; i++)
        expect_message(pair.receiver, 30, i);
    pthread_join(thread, NULL);
    ck_assert_int_eq(sending.result, 50);
    pair_close(&pair);
}
END_TEST

START_TEST(take_many_takes_what_is_there)
{
    struct pair pair = pair_open(_i);
    int64_t room = pair_room(&pair, 5);
    gnl_message messages[8];

    memset(messages, 0x55, sizeof messages);
    ck_assert_int_eq(gnl_take_many(pair.receiver, messages, 8, GNL_NOWAIT), -EAGAIN);
    for (size_t i = 0; i < sizeof messages; i++)
        must(((unsigned char *)messages)[i] == 0x55);
    for (int64_t i = 0; i < room; i++)
        send_message(pair.sender, 20, (uint64_t)i);
    if (room > 0) {
        ssize_t taken = gnl_take_many(pair.receiver, messages, 8, PATIENCE); /* does not wait for more */
        ck_assert_int_eq(taken, room);
        for (int64_t i = 0; i < room; i++) {
            message_expect(messages[i].data, 20, (uint64_t)i);
            assert_ok(gnl_done(&messages[i]));
        }
    }
    pair_close(&pair);
}
END_TEST

START_TEST(take_many_takes_no_more_than_asked_for_or_may_be_held)
{
    static gnl_message messages[GNL_HELD_MAX + 10];
    struct pair pair = pair_open(_i);

    if (pair_room(&pair, 1000) > GNL_HELD_MAX + 10) {
        for (unsigned i = 0; i < GNL_HELD_MAX + 10; i++)
            send_message(pair.sender, 20, i);
        ck_assert_int_eq(gnl_take_many(pair.receiver, messages, 3, GNL_NOWAIT), 3);
        ck_assert_int_eq(gnl_take_many(pair.receiver, messages + 3, GNL_HELD_MAX + 7, GNL_NOWAIT),
                         GNL_HELD_MAX - 3);
        ck_assert_int_eq(gnl_take_many(pair.receiver, messages, 1, GNL_NOWAIT), -ENOBUFS);
        for (unsigned i = 0; i < GNL_HELD_MAX; i++) {
            message_expect(messages[i].data, 20, i);
            must(gnl_done(&messages[i]) == 0);
        }
    }
    pair_close(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("in place");
    TCase *loans = support_case(suite, "loans");

    add_for_each_kind(loans, loan_arrives_when_posted);
    add_for_each_kind(loans, loan_s_size_may_be_lowered_not_raised);
    add_for_each_kind(loans, loans_take_their_place_when_posted);
    add_for_each_kind(loans, dropped_loan_is_never_sent);
    add_for_each_kind(loans, failed_post_leaves_the_loan_with_its_bytes);
    add_for_each_shared_kind(loans, loan_can_not_be_given_back_and_a_taken_message_not_posted);
    add_for_each_shared_kind(loans, closing_drops_loans);
    TCase *taking = support_case(suite, "taking");
    add_for_each_kind(taking, taken_message_is_first_delivered_once);
    add_for_each_kind(taking, copy_of_an_ended_message_is_einval);
    add_for_each_kind(taking, given_back_message_comes_first_flagged_and_counted);
    add_for_each_shared_kind(taking, given_back_message_goes_to_another_port);
    add_for_each_kind(taking, held_messages_block_nobody);
    add_for_each_kind(taking, port_holds_held_max_messages_then_enobufs);
    add_for_each_shared_kind(taking, closing_gives_back_what_is_held);
    TCase *many = support_case(suite, "several at once");
    add_for_each_kind(many, send_many_says_how_many_went);
    add_for_each_kind(many, send_many_waits_for_room_for_each);
    add_for_each_kind(many, take_many_takes_what_is_there);
    add_for_each_kind(many, take_many_takes_no_more_than_asked_for_or_may_be_held);
    return support_run(suite);
}
