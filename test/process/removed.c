/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox that is removed: everybody who is blocked in it comes back with -EIDRM, whatever they were
 * waiting in, also if it was removed by taking its file away.
 */
#include "helpers.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

struct waiting {
    struct gnl_options options;
    int (*wait_in)(gnl_port *port);
    struct gate ready;
};

static int in_take(gnl_port *port)
{
    gnl_message message;

    return gnl_take(port, &message, PATIENCE);
}

static int in_recv(gnl_port *port)
{
    char data[8];

    return (int)gnl_recv(port, data, sizeof data, GNL_FOREVER);
}

static int in_send(gnl_port *port)
{
    int result;

    do
        result = gnl_send(port, "", 1, GNL_FOREVER);
    while (result == 0);
    return result;
}

static int in_post(gnl_port *port)
{
    gnl_message message;

    require(gnl_loan(port, &message, 5000, PATIENCE) == 0);
    int result = gnl_post(port, &message, GNL_FOREVER);
    require(result < 0 && gnl_done(&message) == -EIDRM);
    return result;
}

static int in_poll(gnl_port *port)
{
    struct pollfd entry = { .fd = gnl_port_fd(port), .events = POLLIN };
    gnl_message message;

    require(entry.fd >= 0);
    require(poll(&entry, 1, PATIENCE_MS) == 1);
    return gnl_take(port, &message, GNL_NOWAIT);
}

static int wait_until_removed(void *context)
{
    struct waiting *waiting = context;
    gnl_port *port = open_port(&waiting->options);

    support_gate_open(&waiting->ready);
    require(waiting->wait_in(port) == -EIDRM);
    /* And so every later call. */
    require(gnl_send(port, "", 1, GNL_NOWAIT) == -EIDRM);
    require(in_take(port) == -EIDRM);
    close_port(port);
    return 0;
}

static void by_gnl_remove(void)
{
    remove_mailbox();
}

static void by_unlink(void)
{
    ck_assert_int_eq(unlink(path_in_directory(MAILBOX)), 0);
}

static void wake_all(void (*remove_it)(void), int64_t capacity, int (*const *ways)(gnl_port *port),
                     unsigned count)
{
    pid_t children[8];
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = capacity });

    for (unsigned i = 0; i < count; i++) {
        struct waiting waiting = { .wait_in = ways[i], .ready = support_gate() };
        children[i] = support_fork(wait_until_removed, &waiting);
        support_gate_wait(&waiting.ready);
        support_gate_close(&waiting.ready);
    }
    for (unsigned i = 0; i < count; i++)
        ck_assert(support_sleeps(children[i]));
    int64_t start = now_ms();
    remove_it();
    for (unsigned i = 0; i < count; i++)
        support_expect_exit(children[i], 0);
    ck_assert_int_lt(now_ms() - start, 5000);
    ck_assert_int_eq(gnl_send(port, "", 1, GNL_NOWAIT), -EIDRM);
    close_port(port);
    ck_assert_int_eq(gnl_remove(MAILBOX), -ENOENT);
}

static int (*const receivers[])(gnl_port *port) = { in_take, in_recv, in_poll };
static int (*const senders[])(gnl_port *port) = { in_send, in_send };
static int (*const meeting[])(gnl_port *port) = { in_send, in_post };

START_TEST(removal_wakes_blocked_receivers)
{
    wake_all(by_gnl_remove, 0, receivers, 3);
}
END_TEST

START_TEST(removal_wakes_blocked_senders)
{
    wake_all(by_gnl_remove, 3, senders, 2);
}
END_TEST

START_TEST(removal_wakes_senders_that_wait_for_a_receiver)
{
    wake_all(by_gnl_remove, GNL_RENDEZVOUS, meeting, 2);
}
END_TEST

START_TEST(unlinking_the_file_wakes_blocked_receivers)
{
    wake_all(by_unlink, 0, receivers, 3);
}
END_TEST

START_TEST(unlinking_the_file_wakes_blocked_senders)
{
    wake_all(by_unlink, 3, senders, 2);
}
END_TEST

START_TEST(unlinking_the_file_wakes_senders_that_wait_for_a_receiver)
{
    wake_all(by_unlink, GNL_RENDEZVOUS, meeting, 2);
}
END_TEST

static int remove_it(void *context)
{
    (void)context;
    remove_mailbox();
    return 0;
}

START_TEST(name_can_be_used_again_at_once_and_the_old_stays_removed)
{
    gnl_port *old = open_port(&(struct gnl_options){ .capacity = 5 });
    gnl_message message;

    send_number(old, 1);
    gnl_message held = take_number(old, 1);
    support_expect_exit(support_fork(remove_it, NULL), 0);
    gnl_port *new = open_port(&(struct gnl_options){ .capacity = 6, .create = GNL_CREATE_ONLY });
    send_number(new, 2);
    ck_assert_int_eq(gnl_take(old, &message, GNL_NOWAIT), -EIDRM);
    ck_assert_uint_eq(check_message(held.data, held.size), 1); /* what is held can be read still */
    gnl_done(&held);
    close_port(old);
    ck_assert_uint_eq(receive_number(new), 2);
    close_port(new);
    remove_mailbox();
}
END_TEST

static int remove_and_make(void *context)
{
    int *rounds = context;

    for (int i = 0; i < *rounds; i++) {
        gnl_port *port;
        uint64_t number = 0;
        require(gnl_open(&port, MAILBOX, &(struct gnl_options){ .capacity = 16 }) == 0);
        int result = gnl_send(port, &number, sizeof number, GNL_NOWAIT);
        require(result == 0 || result == -EIDRM || result == -EAGAIN);
        close_port(port);
        result = gnl_remove(MAILBOX);
        require(result == 0 || result == -ENOENT);
    }
    return 0;
}

START_TEST(making_and_removing_at_once_always_ends_well)
{
    int rounds = 150;
    pid_t children[3];

    for (unsigned i = 0; i < 3; i++)
        children[i] = support_fork(remove_and_make, &rounds);
    for (unsigned i = 0; i < 3; i++)
        support_expect_exit(children[i], 0);
    gnl_remove(MAILBOX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("removed");
    TCase *removed = support_case(suite, "removed");

    tcase_add_test(removed, removal_wakes_blocked_receivers);
    tcase_add_test(removed, removal_wakes_blocked_senders);
    tcase_add_test(removed, removal_wakes_senders_that_wait_for_a_receiver);
    tcase_add_test(removed, unlinking_the_file_wakes_blocked_receivers);
    tcase_add_test(removed, unlinking_the_file_wakes_blocked_senders);
    tcase_add_test(removed, unlinking_the_file_wakes_senders_that_wait_for_a_receiver);
    tcase_add_test(removed, name_can_be_used_again_at_once_and_the_old_stays_removed);
    tcase_add_test(removed, making_and_removing_at_once_always_ends_well);
    return support_run(suite);
}
