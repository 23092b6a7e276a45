/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages sent and received by copying: sizes, order, buffers that are too small.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>

static const size_t sizes[] = {
    0, 1, 7, 8, 9, 95, 96, 97, 255, 256, 257, 4095, 4096, 8192, 8193, 65536, (1 << 20) - 1, 1 << 20
};
#define SIZES (sizeof sizes / sizeof sizes[0])

START_TEST(messages_of_every_size_arrive_whole)
{
    struct pair pair = pair_open(_i);

    for (size_t i = 0; i < SIZES && sizes[i] <= pair.kind->message_max; i++) {
        struct feed feed;
        feed_start(&feed, pair.sender, i, 3, sizes[i]);
        for (uint64_t n = 0; n < 3; n++)
            expect_message(pair.receiver, sizes[i], i + n);
        feed_end(&feed);
    }
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(message_of_message_max_arrives_and_one_more_byte_is_emsgsize)
{
    struct pair pair = pair_open(_i);
    size_t most = pair.kind->message_max;
    char *data = calloc(1, most + 1);
    struct feed feed;

    feed_start(&feed, pair.sender, 1, 1, most);
    expect_message(pair.receiver, most, 1);
    feed_end(&feed);
    ck_assert_int_eq(gnl_send(pair.sender, data, most + 1, GNL_NOWAIT), -EMSGSIZE);
    expect_sentence(pair.kind);
    gnl_message loan = { .size = 77 };
    ck_assert_int_eq(gnl_loan(pair.sender, &loan, most + 1, GNL_NOWAIT), -EMSGSIZE);
    ck_assert_uint_eq(loan.size, 77);
    struct iovec vector = { data, most + 1 };
    ck_assert_int_eq(gnl_send_many(pair.sender, &vector, 1, GNL_NOWAIT), -EMSGSIZE);
    expect_empty(pair.receiver);
    free(data);
    pair_close(&pair);
}
END_TEST

START_TEST(larger_buffer_than_the_message_keeps_its_rest)
{
    struct pair pair = pair_open(_i);
    struct feed feed;
    char buffer[64];

    memset(buffer, 'r', sizeof buffer);
    feed_start(&feed, pair.sender, 3, 1, 10);
    ck_assert_int_eq(gnl_recv(pair.receiver, buffer, sizeof buffer, PATIENCE), 10);
    message_expect(buffer, 10, 3);
    for (size_t i = 10; i < sizeof buffer; i++)
        ck_assert_int_eq(buffer[i], 'r');
    feed_end(&feed);
    pair_close(&pair);
}
END_TEST

START_TEST(empty_message_needs_no_buffer)
{
    struct pair pair = pair_open(_i);
    struct call call;

    call_start(&call, pair.receiver, RECV, PATIENCE);
    assert_ok(gnl_send(pair.sender, NULL, 0, PATIENCE));
    ck_assert_int_eq(call_end(&call), 0);
    struct feed feed;
    feed_start(&feed, pair.sender, 0, 1, 0);
    ck_assert_int_eq(gnl_recv(pair.receiver, NULL, 0, PATIENCE), 0);
    feed_end(&feed);
    pair_close(&pair);
}
END_TEST

START_TEST(too_small_a_buffer_leaves_the_message_in_its_place)
{
    static const size_t some[] = { 1, 96, 97, 5000 };
    struct pair pair = pair_open(_i);
    char buffer[5000];

    for (size_t i = 0; i < sizeof some / sizeof some[0] && some[i] <= pair.kind->message_max; i++) {
        struct feed feed;
        char says[32];
        feed_start(&feed, pair.sender, 10, 3, some[i]);
        for (unsigned again = 0; again < 3; again++) {
            memset(buffer, 'b', sizeof buffer);
            ck_assert_int_eq(gnl_recv(pair.receiver, buffer, some[i] - 1, PATIENCE), -EMSGSIZE);
            for (size_t at = 0; at < some[i]; at++)
                must(buffer[at] == 'b');
            expect_sentence(pair.kind);
            snprintf(says, sizeof says, "%zu bytes", some[i]);
            ck_assert_ptr_nonnull(strstr(gnl_error_detail(), says));
        }
        for (uint64_t n = 10; n < 13; n++)
            expect_message(pair.receiver, some[i], n);
        feed_end(&feed);
    }
    pair_close(&pair);
}
END_TEST

/* A small buffer stays -EMSGSIZE for a message that was given back, too. */
START_TEST(too_small_a_buffer_leaves_what_was_given_back)
{
    struct pair pair = pair_open(_i);
    struct feed feed;
    gnl_message message;
    char byte;

    feed_start(&feed, pair.sender, 5, 1, 80);
    assert_ok(gnl_take(pair.receiver, &message, PATIENCE));
    feed_end(&feed);
    assert_ok(gnl_giveback(&message));
    ck_assert_int_eq(gnl_recv(pair.receiver, &byte, 1, GNL_NOWAIT), -EMSGSIZE);
    expect_message(pair.receiver, 80, 5);
    pair_close(&pair);
}
END_TEST

START_TEST(one_sender_and_one_receiver_are_first_in_first_out)
{
    enum { COUNT = 1500 };
    struct pair pair = pair_open(_i);
    struct feed feed;

    feed_start(&feed, pair.sender, 0, COUNT, 24);
    for (uint64_t i = 0; i < COUNT; i++)
        expect_message(pair.receiver, 24, i);
    feed_end(&feed);
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

/* Small and large messages share one queue. */
START_TEST(order_holds_whatever_the_sizes)
{
    struct pair pair = pair_open(_i);

    for (uint64_t i = 0; i < 200; i++) {
        size_t size = sizes[i * 7 % 16];
        if (size > pair.kind->message_max)
            size = pair.kind->message_max;
        if (pair_room(&pair, 2) == 2) { /* two at a time where they fit */
            send_message(pair.sender, size, i);
            send_message(pair.sender, 8, i + 1000);
            expect_message(pair.receiver, size, i);
            expect_message(pair.receiver, 8, i + 1000);
        } else {
            struct feed feed;
            feed_start(&feed, pair.sender, i, 1, size);
            expect_message(pair.receiver, size, i);
            feed_end(&feed);
        }
    }
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(port_receives_what_was_sent_before_it_was_opened)
{
    struct pair pair = pair_open(_i);

    if (pair_room(&pair, 1) == 1) {
        send_message(pair.sender, 30, 1);
        gnl_port *late = pair_receiver(&pair);
        expect_message(late, 30, 1);
        assert_ok(gnl_close(late));
    }
    pair_close(&pair);
}
END_TEST

START_TEST(messages_outlive_the_ports_that_sent_them)
{
    struct pair pair = pair_open(_i);

    if (pair_room(&pair, 1) == 1) {
        send_message(pair.sender, 90, 1);
        assert_ok(gnl_close(pair.sender));
        assert_ok(gnl_close(pair.receiver));
        pair.sender = pair_sender(&pair);
        pair.receiver = pair_receiver(&pair);
        expect_message(pair.receiver, 90, 1);
    }
    pair_close(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("messages");
    TCase *copying = support_case(suite, "copying");

    add_for_each_kind(copying, messages_of_every_size_arrive_whole);
    add_for_each_kind(copying, message_of_message_max_arrives_and_one_more_byte_is_emsgsize);
    add_for_each_kind(copying, larger_buffer_than_the_message_keeps_its_rest);
    add_for_each_kind(copying, empty_message_needs_no_buffer);
    add_for_each_kind(copying, too_small_a_buffer_leaves_the_message_in_its_place);
    add_for_each_kind(copying, too_small_a_buffer_leaves_what_was_given_back);
    add_for_each_kind(copying, one_sender_and_one_receiver_are_first_in_first_out);
    add_for_each_kind(copying, order_holds_whatever_the_sizes);
    add_for_each_shared_kind(copying, port_receives_what_was_sent_before_it_was_opened);
    add_for_each_shared_kind(copying, messages_outlive_the_ports_that_sent_them);
    return support_run(suite);
}
