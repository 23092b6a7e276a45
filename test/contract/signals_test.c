/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal handlers that interrupt waits a thousand times a second neither end nor lengthen them.
 */
#include "kinds.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t interruptions;

static void count(int signo)
{
    (void)signo;
    interruptions++;
}

/* Only this thread is interrupted: the ones started before have the signal blocked. */
static void start_interrupting(void)
{
    struct sigaction action = { .sa_handler = count }; /* without SA_RESTART */
    struct itimerval often = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
    sigset_t alarm;

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    ck_assert_int_eq(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL), 0);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void stop_interrupting(void)
{
    struct itimerval never = { .it_value.tv_sec = 0 };

    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
}

/* For the threads that a test starts. */
static void block_interruptions(void)
{
    sigset_t alarm;

    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &alarm, NULL), 0);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* If each signal began the wait anew, it would never end. */
static void expect_timeout(gnl_port *port, enum verb verb)
{
    int64_t start = now_ns();
    sig_atomic_t before = interruptions;

    ssize_t result = call_now(port, verb, gnl_ms(100));
    int64_t elapsed = now_ns() - start;
    ck_assert_int_eq(result, -ETIMEDOUT);
    ck_assert_int_ge(elapsed, gnl_ms(100));
    ck_assert_int_gt(interruptions, before);
}

START_TEST(timed_waits_end_at_their_timeout)
{
    struct pair pair = pair_open(_i);
    bool bounded = pair.kind->capacity != GNL_UNBOUNDED && pair.kind->capacity <= 5000;

    if (bounded)
        for (int64_t i = 0; i < pair_room(&pair, 5000); i++)
            must(call_now(pair.sender, SEND, GNL_NOWAIT) == 0);
    start_interrupting();
    if (bounded) {
        expect_timeout(pair.sender, SEND);
        expect_timeout(pair.sender, POST);
        expect_timeout(pair.sender, SEND_MANY);
        for (int64_t i = 0; i < pair_room(&pair, 5000); i++)
            must(call_now(pair.receiver, RECV, GNL_NOWAIT) == 8);
    }
    expect_timeout(pair.receiver, RECV);
    expect_timeout(pair.receiver, TAKE);
    expect_timeout(pair.receiver, TAKE_MANY);
    stop_interrupting();
    pair_close(&pair);
}
END_TEST

static void *send_late(void *context)
{
    nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL); /* some interruptions later */
    send_message(context, 10, 5);
    return NULL;
}

START_TEST(endless_waits_end_with_what_they_wait_for)
{
    struct pair pair = pair_open(_i);
    pthread_t thread;

    block_interruptions();
    ck_assert_int_eq(pthread_create(&thread, NULL, send_late, pair.sender), 0);
    start_interrupting();
    char data[10];
    ssize_t result = gnl_recv(pair.receiver, data, sizeof data, GNL_FOREVER);
    stop_interrupting();
    ck_assert_int_eq(result, 10);
    message_expect(data, 10, 5);
    pthread_join(thread, NULL);
    pair_close(&pair);
}
END_TEST

static void *echo(void *context)
{
    struct pair *pair = context;
    static char data[1 << 20];

    for (uint64_t i = 0; i < 600; i++) {
        ssize_t size = gnl_recv(pair->receiver, data, sizeof data, PATIENCE);
        must(size >= 0);
        message_expect(data, (size_t)size, i);
    }
    return NULL;
}

/* Nothing is lost or doubled when a thread that is interrupted all the time sends; or receives. */
START_TEST(interrupted_sender_loses_nothing)
{
    static const size_t sizes[] = { 0, 8, 90, 97, 4096, 65536 };
    struct pair pair = pair_open(_i);
    pthread_t thread;

    block_interruptions();
    ck_assert_int_eq(pthread_create(&thread, NULL, echo, &pair), 0);
    start_interrupting();
    for (uint64_t i = 0; i < 600; i++) {
        size_t size = sizes[i % 6];
        send_message(pair.sender, size > pair.kind->message_max ? pair.kind->message_max : size, i);
    }
    stop_interrupting();
    pthread_join(thread, NULL);
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

START_TEST(interrupted_receiver_loses_nothing)
{
    struct pair pair = pair_open(_i);
    struct feed feed;

    block_interruptions();
    feed_start(&feed, pair.sender, 0, 600, pair.kind->message_max > 3000 ? 3000 : 90);
    start_interrupting();
    for (uint64_t i = 0; i < 600; i++)
        expect_message(pair.receiver, feed.size, i);
    stop_interrupting();
    feed_end(&feed);
    expect_empty(pair.receiver);
    pair_close(&pair);
}
END_TEST

/* A mailbox is made, opened and fed while signals undo what the kernel was doing. */
START_TEST(interrupted_opening_and_large_messages_succeed)
{
    block_interruptions();
    start_interrupting();
    for (unsigned again = 0; again < 5; again++) {
        struct pair pair = pair_open(_i);
        size_t size = pair.kind->message_max;
        if (pair.kind->alone > 0 && size > pair.kind->alone)
            size = pair.kind->alone;
        if (pair_room(&pair, 1) > 0) {
            send_message(pair.sender, size, again);
            expect_message(pair.receiver, size, again);
        }
        pair_close(&pair);
    }
    stop_interrupting();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("signals");
    TCase *interrupted = support_case(suite, "interrupted");

    add_for_each_kind(interrupted, timed_waits_end_at_their_timeout);
    add_for_each_kind(interrupted, endless_waits_end_with_what_they_wait_for);
    add_for_each_kind(interrupted, interrupted_sender_loses_nothing);
    add_for_each_kind(interrupted, interrupted_receiver_loses_nothing);
    add_for_each_kind(interrupted, interrupted_opening_and_large_messages_succeed);
    return support_run(suite);
}
