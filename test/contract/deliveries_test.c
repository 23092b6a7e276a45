/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that are delivered too often: max_deliveries and dead_letters.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>

#define ADDRESS "mailbox:work"
#define GRAVES  "mailbox:graves"

static const size_t sizes[] = { 0, 50, 5000 };
#define SIZES 3

static gnl_port *port;

static void open_work(uint32_t max_deliveries, const char *dead_letters)
{
    assert_ok(
        gnl_open(&port, ADDRESS,
                 &(struct gnl_options){ .max_deliveries = max_deliveries, .dead_letters = dead_letters }));
}

static void close_work(void)
{
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(ADDRESS));
}

/* Taken and given back that many times. */
static void fail_at_it(unsigned times, size_t size, uint64_t seed)
{
    gnl_message message;

    for (unsigned i = 1; i <= times; i++) {
        assert_ok(gnl_take(port, &message, GNL_NOWAIT));
        ck_assert_uint_eq(message.deliveries, i);
        ck_assert_uint_eq(message.size, size);
        message_expect(message.data, size, seed);
        assert_ok(gnl_giveback(&message));
    }
}

static struct gnl_port_info info(void)
{
    struct gnl_port_info seen;

    assert_ok(gnl_port_info(port, &seen));
    return seen;
}

static void expect_buried(size_t size, uint64_t seed, unsigned deliveries)
{
    gnl_port *graves;
    gnl_message message;

    assert_ok(gnl_open(&graves, GRAVES, &(struct gnl_options){ .create = GNL_OPEN_ONLY }));
    assert_ok(gnl_take(graves, &message, GNL_NOWAIT));
    ck_assert_uint_eq(message.size, size);
    message_expect(message.data, size, seed);
    ck_assert_uint_eq(message.deliveries, deliveries);
    ck_assert_uint_eq(message.flags, GNL_REDELIVERED);
    ck_assert_int_eq(message.sender.pid, getpid()); /* who sent it, not who buried it */
    assert_ok(gnl_done(&message));
    expect_empty(graves);
    assert_ok(gnl_close(graves));
}

START_TEST(message_goes_to_the_dead_letters_after_max_deliveries)
{
    open_work(3, "graves"); /* a bare name will do */
    ck_assert_str_eq(info().dead_letters, GRAVES);
    send_message(port, sizes[_i], 7);
    send_message(port, 8, 8);
    fail_at_it(3, sizes[_i], 7);
    expect_message(port, 8, 8); /* the next one, since that is gone */
    expect_empty(port);
    ck_assert_uint_eq(info().discarded, 1);
    ck_assert_uint_eq(info().queued, 0);
    ck_assert_uint_eq(info().held, 0);
    expect_buried(sizes[_i], 7, 4);
    close_work();
    assert_ok(gnl_remove(GRAVES));
}
END_TEST

START_TEST(last_giveback_buries_it_at_once)
{
    gnl_message message;
    gnl_port *graves;

    open_work(1, "graves");
    send_message(port, 8, 7);
    assert_ok(gnl_take(port, &message, GNL_NOWAIT));
    assert_ok(gnl_giveback(&message));
    /* Nobody receives from the mailbox any more. */
    assert_ok(gnl_open(&graves, GRAVES, NULL));
    assert_ok(gnl_take(graves, &message, GNL_NOWAIT));
    message_expect(message.data, message.size, 7);
    assert_ok(gnl_done(&message));
    assert_ok(gnl_close(graves));
    ck_assert_uint_eq(info().queued + info().held, 0);
    close_work();
    assert_ok(gnl_remove(GRAVES));
}
END_TEST

START_TEST(mailbox_is_not_its_own_dead_letters)
{
    gnl_port *none = NULL;

    ck_assert_int_eq(
        gnl_open(&none, GRAVES, &(struct gnl_options){ .max_deliveries = 1, .dead_letters = "graves" }),
        -EINVAL);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(gnl_open(&none, GRAVES, &(struct gnl_options){ .create = GNL_OPEN_ONLY }), -ENOENT);
}
END_TEST

START_TEST(copy_of_a_message_that_has_ended_ends_no_other)
{
    gnl_message first, copy, second;

    open_work(3, NULL);
    send_message(port, 8, 7);
    send_message(port, 8, 8);
    assert_ok(gnl_take(port, &first, GNL_NOWAIT));
    copy = first;
    assert_ok(gnl_done(&first));
    assert_ok(gnl_take(port, &second, GNL_NOWAIT));
    ck_assert_int_eq(gnl_done(&copy), -EINVAL);
    ck_assert_uint_eq(info().held, 1);
    assert_ok(gnl_done(&second));
    close_work();
}
END_TEST

START_TEST(without_dead_letters_it_is_dropped)
{
    open_work(1, NULL);
    send_message(port, sizes[_i], 7);
    send_message(port, 8, 8);
    fail_at_it(1, sizes[_i], 7);
    expect_message(port, 8, 8);
    expect_empty(port);
    ck_assert_uint_eq(info().discarded, 1);
    ck_assert_uint_eq(info().queued + info().held, 0);
    close_work();
}
END_TEST

START_TEST(without_max_deliveries_it_comes_for_ever)
{
    open_work(0, NULL);
    send_message(port, sizes[_i], 7);
    fail_at_it(300, sizes[_i], 7);
    expect_message(port, sizes[_i], 7);
    ck_assert_uint_eq(info().discarded, 0);
    ck_assert_uint_eq(info().redelivered, 300);
    close_work();
}
END_TEST

START_TEST(done_within_max_deliveries_is_done)
{
    gnl_message message;

    open_work(3, GRAVES);
    send_message(port, sizes[_i], 7);
    fail_at_it(2, sizes[_i], 7);
    assert_ok(gnl_take(port, &message, GNL_NOWAIT));
    ck_assert_uint_eq(message.deliveries, 3);
    assert_ok(gnl_done(&message));
    expect_empty(port);
    ck_assert_uint_eq(info().discarded, 0);
    ck_assert_int_eq(gnl_remove(GRAVES), -ENOENT); /* nobody was buried: they were not even made */
    close_work();
}
END_TEST

START_TEST(closing_counts_like_giving_back)
{
    gnl_message message;

    open_work(2, GRAVES);
    send_message(port, sizes[_i], 7);
    for (unsigned i = 1; i <= 2; i++) {
        gnl_port *holder;
        assert_ok(gnl_open(&holder, ADDRESS, NULL));
        assert_ok(gnl_take(holder, &message, GNL_NOWAIT));
        ck_assert_uint_eq(message.deliveries, i);
        assert_ok(gnl_close(holder));
    }
    expect_empty(port);
    expect_buried(sizes[_i], 7, 3);
    close_work();
    assert_ok(gnl_remove(GRAVES));
}
END_TEST

static bool graves_full(void *context)
{
    (void)context;
    expect_empty(port);
    return info().discarded == 0;
}

static bool buried(void *context)
{
    return !graves_full(context);
}

/* While the dead letters can't be reached the message stays, and is tried again, however one receives. */
START_TEST(message_waits_for_full_dead_letters)
{
    gnl_port *graves;

    assert_ok(gnl_open(&graves, GRAVES, &(struct gnl_options){ .capacity = 1 }));
    send_message(graves, 1, 1);
    open_work(1, GRAVES);
    send_message(port, sizes[_i], 7);
    fail_at_it(1, sizes[_i], 7);
    ck_assert_int_eq(call_now(port, TAKE, gnl_ms(250)), -ETIMEDOUT); /* tries, more than once */
    ck_assert(graves_full(NULL));
    ck_assert_uint_eq(info().queued, 1);
    expect_message(graves, 1, 1);
    ck_assert(support_until(buried, NULL));
    ck_assert_uint_eq(info().queued, 0);
    expect_buried(sizes[_i], 7, 2); /* the vain attempts delivered it to nobody */
    assert_ok(gnl_close(graves));
    close_work();
    assert_ok(gnl_remove(GRAVES));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deliveries");
    TCase *limit = support_case(suite, "limit");

    tcase_add_loop_test(limit, message_goes_to_the_dead_letters_after_max_deliveries, 0, SIZES);
    tcase_add_test(limit, last_giveback_buries_it_at_once);
    tcase_add_test(limit, mailbox_is_not_its_own_dead_letters);
    tcase_add_test(limit, copy_of_a_message_that_has_ended_ends_no_other);
    tcase_add_loop_test(limit, without_dead_letters_it_is_dropped, 0, SIZES);
    tcase_add_loop_test(limit, without_max_deliveries_it_comes_for_ever, 0, SIZES);
    tcase_add_loop_test(limit, done_within_max_deliveries_is_done, 0, SIZES);
    tcase_add_loop_test(limit, closing_counts_like_giving_back, 0, SIZES);
    tcase_add_loop_test(limit, message_waits_for_full_dead_letters, 0, SIZES);
    return support_run(suite);
}
