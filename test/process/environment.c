/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What else a process may be like: showered with signals, started without standard descriptors, on its
 * way out.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#define MESSAGES 100000

/* ---- signals ---- */

static size_t size_in_storm(uint64_t number)
{
    return number % 100 == 0 ? 60000 : number % 10 == 0 ? 500 : 8;
}

static int send_in_storm(void *context)
{
    gnl_port *port;

    (void)context;
    start_storm();
    port = open_port(NULL);
    for (uint64_t i = 0; i < MESSAGES; i++)
        send_large(port, i, size_in_storm(i));
    close_port(port);
    end_storm();
    return 0;
}

static void pass_in_storm(int64_t capacity)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = capacity });

    pid_t child = support_fork(send_in_storm, NULL);
    start_storm();
    for (uint64_t i = 0; i < MESSAGES; i++)
        ck_assert_uint_eq(receive_number(port), i);
    end_storm();
    support_expect_exit(child, 0);
    close_port(port);
    remove_mailbox();
}

START_TEST(thousand_signals_a_second_interrupt_nothing)
{
    pass_in_storm(16);
}
END_TEST

START_TEST(signals_neither_end_nor_lengthen_a_wait)
{
    gnl_port *port = open_port(NULL);
    gnl_message message;

    start_storm();
    int64_t start = now_ms();
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(300)), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - start, 299);
    ck_assert_int_lt(now_ms() - start, 10000);
    end_storm();
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- standard descriptors ---- */

static void expect_closed(void)
{
    for (int i = 0; i <= 2; i++)
        if (fcntl(i, F_GETFD) != -1 || errno != EBADF)
            _exit(10 + i);
}

static int without_standard_descriptors(void *context)
{
    struct gnl_port_info info;
    gnl_port *port, *other;

    (void)context;
    for (int i = 0; i <= 2; i++)
        close(i);
    port = open_port(NULL);
    expect_closed();
    int descriptor = gnl_port_fd(port);
    require(descriptor > 2);
    expect_closed();
    require(gnl_open(&other, "mailbox:other", NULL) == 0);
    expect_closed();
    require(gnl_inspect(MAILBOX, &info, NULL, 0) == 2);
    expect_closed();
    require(receive_number(port) == 1);
    send_large(port, 2, 100000);
    close_port(other);
    require(gnl_remove("mailbox:other") == 0);
    close_port(port);
    expect_closed();
    return 0;
}

START_TEST(librarys_descriptors_are_never_standard_input_output_or_error)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    support_expect_exit(support_fork(without_standard_descriptors, NULL), 0);
    ck_assert_uint_eq(receive_number(port), 2);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- on the way out ---- */

static gnl_port *port_at_exit;

static void say_goodbye(void)
{
    send_number(port_at_exit, 2);
    close_port(port_at_exit);
}

static int end_with_handlers(void *context)
{
    (void)context;
    require(atexit(say_goodbye) == 0);
    port_at_exit = open_port(NULL);
    send_number(port_at_exit, 1);
    exit(0);
}

START_TEST(handlers_that_run_at_exit_may_use_ports)
{
    gnl_port *port = open_port(NULL);

    support_expect_exit(support_fork(end_with_handlers, NULL), 0);
    ck_assert_uint_eq(receive_number(port), 1);
    ck_assert_uint_eq(receive_number(port), 2);
    ck_assert_uint_eq(count_participants(false), 0);
    close_port(port);
    remove_mailbox();
}
END_TEST

static int exit_holding(void *context)
{
    (void)context;
    port_at_exit = open_port(NULL);
    gnl_message loan;
    require(gnl_port_fd(port_at_exit) > 2);
    take_number(port_at_exit, 1);
    require(gnl_loan(port_at_exit, &loan, 100000, GNL_NOWAIT) == 0);
    exit(0);
}

START_TEST(exit_with_everything_open_leaves_nothing_behind)
{
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_number(port, 1);
    support_expect_exit(support_fork(exit_holding, NULL), 0);
    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    ck_assert_uint_eq(count_participants(false), 0);
    ck_assert_uint_eq(count_participants(true), 1);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("environment");
    TCase *signals = support_case(suite, "signals");
    TCase *descriptors = support_case(suite, "descriptors");
    TCase *ending = support_case(suite, "ending");

    tcase_add_test(signals, thousand_signals_a_second_interrupt_nothing);
    tcase_add_test(signals, signals_neither_end_nor_lengthen_a_wait);
    tcase_add_test(descriptors, librarys_descriptors_are_never_standard_input_output_or_error);
    tcase_add_test(ending, handlers_that_run_at_exit_may_use_ports);
    tcase_add_test(ending, exit_with_everything_open_leaves_nothing_behind);
    return support_run(suite);
}
