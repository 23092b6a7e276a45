/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever may write a mailbox's file may truncate it, punch holes into it and scribble over it while
 * others use it. They get errors or wrong contents: no signal, and nobody hangs.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct user {
    int (*use)(gnl_port *port);
    struct gate ready;
    atomic_bool *end;
};

static int blocked_in_take(gnl_port *port)
{
    gnl_message message;

    return gnl_take(port, &message, PATIENCE);
}

static int blocked_in_poll(gnl_port *port)
{
    struct pollfd entry = { .fd = gnl_port_fd(port), .events = POLLIN };
    gnl_message message;

    require(entry.fd >= 0);
    require(poll(&entry, 1, PATIENCE_MS) == 1);
    return gnl_take(port, &message, GNL_NOWAIT);
}

static int blocked_in_send(gnl_port *port)
{
    int result;

    do
        result = gnl_send(port, "", 1, PATIENCE);
    while (result == 0);
    return result;
}

/* Sends and receives until it fails. */
static int busy(gnl_port *port)
{
    static char data[5000];
    gnl_message message;
    int64_t start = now_ms();
    int result = 0;

    for (uint64_t i = 0; now_ms() - start < PATIENCE_MS; i++) {
        result = gnl_send(port, data, i % 2 ? 8 : sizeof data, GNL_NOWAIT);
        if (result == -EBADMSG)
            break;
        result = gnl_take(port, &message, GNL_NOWAIT);
        if (result == 0)
            gnl_done(&message);
        else if (result == -EBADMSG)
            break;
    }
    return result;
}

static int use_until_truncated(void *context)
{
    struct user *user = context;
    gnl_port *port = open_port(NULL);
    struct gnl_port_info info;

    support_gate_open(&user->ready);
    require(user->use(port) == -EBADMSG);
    require(gnl_send(port, "", 1, GNL_NOWAIT) == -EBADMSG);
    require(strlen(gnl_error_detail()) > 0);
    gnl_port_info(port, &info);
    close_port(port);
    return 0;
}

static void truncate_under(int (*const *uses)(gnl_port *port), unsigned count, int64_t capacity, off_t size)
{
    pid_t children[4];
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = capacity });

    for (unsigned i = 0; i < count; i++) {
        struct user user = { .use = uses[i], .ready = support_gate() };
        children[i] = support_fork(use_until_truncated, &user);
        support_gate_wait(&user.ready);
        if (uses[i] != busy)
            ck_assert(support_sleeps(children[i]));
        support_gate_close(&user.ready);
    }
    int64_t start = now_ms();
    ck_assert_int_eq(truncate(path_in_directory(MAILBOX), size), 0);
    for (unsigned i = 0; i < count; i++)
        support_expect_exit(children[i], 0);
    ck_assert_int_lt(now_ms() - start, 10000);
    close_port(port);
    remove_mailbox();
}

static int (*const receivers[])(gnl_port *port) = { blocked_in_take, blocked_in_poll };
static int (*const senders[])(gnl_port *port) = { blocked_in_send };
static int (*const busy_ones[])(gnl_port *port) = { busy, busy };

START_TEST(truncation_to_nothing_wakes_blocked_receivers_with_ebadmsg)
{
    truncate_under(receivers, 2, 0, 0);
}
END_TEST

START_TEST(truncation_to_a_part_wakes_blocked_receivers_with_ebadmsg)
{
    truncate_under(receivers, 2, 0, 4096);
}
END_TEST

START_TEST(truncation_wakes_blocked_senders_with_ebadmsg)
{
    truncate_under(senders, 1, 2, 0);
}
END_TEST

START_TEST(truncation_under_busy_processes_is_ebadmsg_and_no_signal)
{
    truncate_under(busy_ones, 2, 8, 0);
}
END_TEST

START_TEST(growing_the_file_does_no_harm)
{
    struct stat status;
    gnl_port *port = open_port(NULL);

    send_large(port, 1, 5000);
    ck_assert_int_eq(stat(path_in_directory(MAILBOX), &status), 0);
    ck_assert_int_eq(truncate(path_in_directory(MAILBOX), status.st_size + (1 << 20)), 0);
    gnl_port *again;
    assert_ok(gnl_open(&again, MAILBOX, NULL));
    ck_assert_uint_eq(receive_number(again), 1);
    send_large(port, 2, 100000);
    support_kill(start_holder(1));
    ck_assert_uint_eq(receive_number(port), 2);
    close_port(again);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- scribbling ---- */

/* Every call comes back, whatever it says. */
static int use_whatever_happens(void *context)
{
    struct user *user = context;
    static char data[70000];
    gnl_message message;
    gnl_port *port = open_port(NULL);

    support_gate_open(&user->ready);
    for (uint64_t i = 0; !atomic_load(user->end); i++) {
        size_t size = i % 3 == 0 ? 8 : i % 3 == 1 ? 3000 : sizeof data;
        gnl_send(port, data, size, i % 2 ? GNL_NOWAIT : gnl_ms(1));
        if (gnl_take(port, &message, i % 5 ? GNL_NOWAIT : gnl_ms(1)) == 0) {
            require(message.size <= 1 << 20);
            memset(data, ((char *)message.data)[message.size ? message.size - 1 : 0], 8);
            if (i % 7 == 0)
                gnl_giveback(&message);
            else
                gnl_done(&message);
        }
        gnl_recv(port, data, sizeof data, GNL_NOWAIT);
        if (i % 50 == 0) {
            gnl_port *another;
            if (gnl_open(&another, MAILBOX, NULL) == 0)
                gnl_close(another);
        }
    }
    gnl_close(port);
    return 0;
}

static void disturb(void (*disturb_once)(int descriptor, unsigned random, off_t used))
{
    atomic_bool *end = shared_memory(sizeof *end);
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 32 });
    unsigned seed = (unsigned)now_ms();
    pid_t children[3];

    printf("seed %u\n", seed);
    for (unsigned i = 0; i < 3; i++) {
        struct user user = { .ready = support_gate(), .end = end };
        children[i] = support_fork(use_whatever_happens, &user);
        support_gate_wait(&user.ready);
        support_gate_close(&user.ready);
    }
    int descriptor = open(path_in_directory(MAILBOX), O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(descriptor, 0);
    /* Header, records, cells, queues and slots are in the first part. */
    for (unsigned i = 0; i < 400; i++) {
        seed = seed * 1103515245 + 12345;
        disturb_once(descriptor, seed >> 4, 1200000);
        pause_us(500);
    }
    atomic_store(end, true);
    for (unsigned i = 0; i < 3; i++)
        support_expect_exit(children[i], 0);
    close(descriptor);
    gnl_close(port);
    remove_mailbox();
    munmap(end, sizeof *end);
}

static void scribble(int descriptor, unsigned random, off_t used)
{
    const uint64_t values[] = { 0, UINT64_MAX, random, (uint64_t)random << 20, 1, (uint64_t)1 << 63 };
    uint64_t value = values[random % 6];

    ck_assert_int_eq(pwrite(descriptor, &value, sizeof value, (off_t)(random / 6) * 8 % used), sizeof value);
}

static void punch(int descriptor, unsigned random, off_t used)
{
    ck_assert_int_eq(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)random % used & ~4095L, 4096),
                     0);
}

START_TEST(scribbling_makes_neither_crashes_nor_hangs)
{
    disturb(scribble);
}
END_TEST

START_TEST(punching_holes_makes_neither_crashes_nor_hangs)
{
    disturb(punch);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scribbled");
    TCase *truncated = support_case(suite, "truncated");
    TCase *scribbled = support_case(suite, "scribbled");

    tcase_add_test(truncated, truncation_to_nothing_wakes_blocked_receivers_with_ebadmsg);
    tcase_add_test(truncated, truncation_to_a_part_wakes_blocked_receivers_with_ebadmsg);
    tcase_add_test(truncated, truncation_wakes_blocked_senders_with_ebadmsg);
    tcase_add_test(truncated, truncation_under_busy_processes_is_ebadmsg_and_no_signal);
    tcase_add_test(truncated, growing_the_file_does_no_harm);
    tcase_add_test(scribbled, scribbling_makes_neither_crashes_nor_hangs);
    tcase_add_test(scribbled, punching_holes_makes_neither_crashes_nor_hangs);
    return support_run(suite);
}
