/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as messages: who, what and when; masks, forks, and what the kernel loses. */
#include "helpers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static gnl_port *open_signals(const int *signals, size_t count)
{
    gnl_port *port;

    assert_ok(gnl_signal_port(&port, signals, count));
    return port;
}

static gnl_port *open_signal(int signo)
{
    return open_signals(&signo, 1);
}

static struct gnl_signal receive(gnl_port *port)
{
    struct gnl_signal signal;

    ck_assert_int_eq(gnl_recv(port, &signal, sizeof signal, PATIENCE), sizeof signal);
    return signal;
}

static int receive_error(gnl_port *port, int64_t timeout)
{
    struct gnl_signal signal;

    return (int)gnl_recv(port, &signal, sizeof signal, timeout);
}

static bool is_blocked(int signo)
{
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    return sigismember(&mask, signo) == 1;
}

static int64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void queue_value(int signo, int value)
{
    ck_assert_int_eq(sigqueue(getpid(), signo, (union sigval){ .sival_int = value }), 0);
}

START_TEST(signal_tells_its_sender_value_and_time)
{
    gnl_port *port = open_signal(SIGUSR1);
    int64_t before = realtime_ns();

    queue_value(SIGUSR1, -77);
    struct gnl_signal signal = receive(port);
    ck_assert_int_eq(signal.signo, SIGUSR1);
    ck_assert_int_eq(signal.value, -77);
    ck_assert_int_eq(signal.code, SI_QUEUE);
    ck_assert_int_eq(signal.sender.pid, getpid());
    ck_assert_uint_eq(signal.sender.uid, getuid());
    ck_assert_str_eq(signal.sender.name, "");
    ck_assert(signal.time >= before && signal.time <= realtime_ns());
    kill(getpid(), SIGUSR1);
    ck_assert_int_eq(receive(port).code, SI_USER);
    ck_assert_int_eq(receive_error(port, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(receive_error(port, gnl_ms(20)), -ETIMEDOUT);
    assert_ok(gnl_close(port));
}
END_TEST

static int send_and_end(void *context)
{
    require(sigqueue(getppid(), SIGRTMIN, (union sigval){ .sival_int = *(int *)context }) == 0);
    return 42;
}

START_TEST(child_tells_who_it_is_and_how_it_ended)
{
    const int signals[] = { SIGRTMIN, SIGCHLD };
    gnl_port *port = open_signals(signals, 2);
    int value = 5;

    pid_t child = support_fork(send_and_end, &value);
    struct gnl_signal first = receive(port), second = receive(port);
    struct gnl_signal *own = first.signo == SIGCHLD ? &second : &first;
    struct gnl_signal *end = first.signo == SIGCHLD ? &first : &second;
    ck_assert_int_eq(own->signo, SIGRTMIN);
    ck_assert_int_eq(own->value, 5);
    ck_assert_int_eq(own->sender.pid, child);
    ck_assert_int_eq(end->sender.pid, child);
    ck_assert_int_eq(end->code, CLD_EXITED);
    ck_assert_int_eq(end->value, 42);
    support_expect_exit(child, 42);
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(real_time_signals_queue_in_order)
{
    gnl_port *port = open_signal(SIGRTMIN + 2);

    for (int i = 0; i < 100; i++)
        queue_value(SIGRTMIN + 2, i);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(receive(port).value, i);
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(standard_signals_merge_as_documented)
{
    gnl_port *port = open_signal(SIGUSR2);

    for (int i = 0; i < 10; i++)
        kill(getpid(), SIGUSR2);
    ck_assert_int_eq(receive(port).signo, SIGUSR2);
    ck_assert_int_eq(receive_error(port, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(taken_signals_are_given_back_and_ended)
{
    gnl_port *port = open_signal(SIGRTMIN);
    gnl_message message, again, copy;
    struct gnl_port_info info;

    queue_value(SIGRTMIN, 1);
    queue_value(SIGRTMIN, 2);
    assert_ok(gnl_take(port, &message, PATIENCE));
    ck_assert_uint_eq(message.size, sizeof(struct gnl_signal));
    ck_assert_int_eq(((struct gnl_signal *)message.data)->value, 1);
    ck_assert_uint_eq(message.flags, 0); /* sigqueue: its word alone */
    ck_assert_int_eq(message.sender.pid, getpid());
    copy = message;
    assert_ok(gnl_port_info(port, &info));
    ck_assert_uint_eq(info.held, 1);
    ck_assert_uint_eq(info.queued, 1);
    assert_ok(gnl_giveback(&message));
    ck_assert_int_eq(gnl_done(&copy), -EINVAL);
    assert_ok(gnl_take(port, &again, PATIENCE));
    ck_assert_int_eq(((struct gnl_signal *)again.data)->value, 1);
    ck_assert_uint_eq(again.flags, GNL_REDELIVERED);
    ck_assert_uint_eq(again.deliveries, 2);
    assert_ok(gnl_giveback(&again));
    ck_assert_int_eq(receive(port).value, 1);
    ck_assert_int_eq(receive(port).value, 2);
    kill(getpid(), SIGRTMIN);
    assert_ok(gnl_take(port, &message, PATIENCE));
    ck_assert_uint_eq(message.flags, GNL_SENDER_VOUCHED);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_done(&message), -EINVAL);
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(no_more_than_so_many_are_held)
{
    static gnl_message messages[GNL_HELD_MAX + 1];
    gnl_port *port = open_signal(SIGRTMIN);

    for (int i = 0; i <= GNL_HELD_MAX; i++)
        queue_value(SIGRTMIN, i);
    for (unsigned i = 0; i < GNL_HELD_MAX; i++)
        ck_assert_int_eq(gnl_take(port, &messages[i], GNL_NOWAIT), 0);
    ck_assert_int_eq(gnl_take(port, &messages[GNL_HELD_MAX], GNL_NOWAIT), -ENOBUFS);
    assert_ok(gnl_done(&messages[3]));
    assert_ok(gnl_take(port, &messages[3], GNL_NOWAIT)); /* the last one was not lost */
    ck_assert_int_eq(((struct gnl_signal *)messages[3].data)->value, GNL_HELD_MAX);
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(only_what_can_arrive_is_accepted)
{
    static const int impossible[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                                      SIGTRAP, SIGSYS,  0,       -1,     1000,   32 };
    gnl_port *port = NULL;

    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        int signals[] = { SIGUSR1, impossible[i] };
        ck_assert_int_eq(gnl_signal_port(&port, signals, 2), -EINVAL);
        ck_assert(strstr(gnl_error_detail(), "signals") != NULL);
    }
    ck_assert_int_eq(gnl_signal_port(&port, impossible, 0), -EINVAL);
    ck_assert_int_eq(gnl_signal_port(&port, NULL, 1), -EINVAL);
    ck_assert_int_eq(gnl_signal_port(NULL, (int[]){ SIGUSR1 }, 1), -EINVAL);
    ck_assert_ptr_null(port);
    ck_assert(!is_blocked(SIGUSR1));
    port = open_signals((int[]){ SIGUSR1, SIGUSR1 }, 2);
    gnl_port *second;
    ck_assert_int_eq(gnl_signal_port(&second, (int[]){ SIGUSR2, SIGUSR1 }, 2), -EBUSY);
    ck_assert(!is_blocked(SIGUSR2));
    ck_assert_int_eq(gnl_send(port, "x", 1, GNL_NOWAIT), -EPERM);
    ck_assert_int_eq(gnl_recv(port, &second, 4, GNL_NOWAIT), -EMSGSIZE);
    assert_ok(gnl_close(port));
    assert_ok(gnl_close(open_signal(SIGUSR1)));
}
END_TEST

static volatile sig_atomic_t handled;

static void handle(int signo)
{
    handled = signo;
}

START_TEST(closing_gives_the_mask_back)
{
    sigset_t usr2;

    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &usr2, NULL);
    gnl_port *port = open_signals((int[]){ SIGUSR1, SIGUSR2 }, 2);
    ck_assert(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
    signal(SIGUSR1, handle);
    kill(getpid(), SIGUSR1); /* not received: it takes its ordinary course */
    ck_assert_int_eq(handled, 0);
    assert_ok(gnl_close(port));
    ck_assert_int_eq(handled, SIGUSR1);
    ck_assert(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2)); /* the second was so before */
}
END_TEST

static int use_as_child(void *context)
{
    gnl_port *port = context, *own;
    struct gnl_port_info info;

    require(receive_error(port, GNL_NOWAIT) == -EPERM);
    require(gnl_port_info(port, &info) == -EPERM);
    require(gnl_port_fd(port) == -EPERM);
    require(is_blocked(SIGUSR1));
    require(gnl_signal_port(&own, (int[]){ SIGUSR1 }, 1) == -EBUSY);
    require(gnl_close(port) == 0);
    require(!is_blocked(SIGUSR1));
    require(gnl_signal_port(&own, (int[]){ SIGUSR1 }, 1) == 0);
    require(kill(getpid(), SIGUSR1) == 0);
    require(receive_error(own, SOON) == sizeof(struct gnl_signal));
    require(gnl_close(own) == 0);
    return 0;
}

START_TEST(forked_child_has_ports_of_its_own)
{
    gnl_port *port = open_signal(SIGUSR1);
    int descriptor = gnl_port_fd(port);

    assert_ok(descriptor);
    support_expect_exit(support_fork(use_as_child, port), 0);
    kill(getpid(), SIGUSR1);
    ck_assert_int_eq(receive(port).signo, SIGUSR1);
    ck_assert_int_eq(gnl_port_fd(port), descriptor);
    assert_ok(gnl_close(port));
}
END_TEST

static void *receive_in_thread(void *context)
{
    static int result;

    result = receive_error(context, PATIENCE);
    return &result;
}

START_TEST(close_ends_a_blocked_receive)
{
    gnl_port *port = open_signal(SIGUSR1);
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, receive_in_thread, port), 0);
    pause_us(20000);
    assert_ok(gnl_close(port));
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert(*(int *)result == -ECANCELED);
}
END_TEST

START_TEST(thread_that_was_started_later_receives)
{
    gnl_port *port = open_signal(SIGUSR1);
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, receive_in_thread, port), 0);
    kill(getpid(), SIGUSR1);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert(*(int *)result == sizeof(struct gnl_signal));
    assert_ok(gnl_close(port));
}
END_TEST

START_TEST(without_descriptors_nothing_is_blocked)
{
    struct rlimit limit, none;
    gnl_port *port;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    for (rlim_t left = 0; left < 3; left++) {
        none = (struct rlimit){ .rlim_cur = (rlim_t)next + left, .rlim_max = limit.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
        ck_assert_int_eq(gnl_signal_port(&port, (int[]){ SIGUSR1 }, 1), -EMFILE);
        ck_assert(!is_blocked(SIGUSR1));
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_ok(gnl_close(open_signal(SIGUSR1)));
}
END_TEST

START_TEST(waits_with_others_in_a_set)
{
    gnl_port *port = open_signals((int[]){ SIGTERM, SIGRTMIN }, 2);
    struct gnl_event event;
    gnl_waitset *set;
    gnl_message message;

    assert_ok(gnl_waitset_new(&set));
    ck_assert_int_eq(gnl_waitset_add_port(set, port, GNL_WRITABLE, port), -EPERM);
    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, GNL_NOWAIT), -EAGAIN);
    kill(getpid(), SIGTERM);
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, PATIENCE), 1);
    ck_assert_ptr_eq(event.tag, port);
    ck_assert_uint_eq(event.events, GNL_READABLE);
    assert_ok(gnl_take(port, &message, GNL_NOWAIT));
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_giveback(&message));
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, GNL_NOWAIT), 1);
    ck_assert_int_eq(receive(port).signo, SIGTERM);
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_close(port));
    ck_assert_int_eq(gnl_waitset_remove(set, port), -ENOENT);
    gnl_waitset_free(set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("signals");
    TCase *messages = support_case(suite, "messages"), *ports = support_case(suite, "ports");

    tcase_add_test(messages, signal_tells_its_sender_value_and_time);
    tcase_add_test(messages, child_tells_who_it_is_and_how_it_ended);
    tcase_add_test(messages, real_time_signals_queue_in_order);
    tcase_add_test(messages, standard_signals_merge_as_documented);
    tcase_add_test(messages, taken_signals_are_given_back_and_ended);
    tcase_add_test(messages, no_more_than_so_many_are_held);
    tcase_add_test(ports, only_what_can_arrive_is_accepted);
    tcase_add_test(ports, closing_gives_the_mask_back);
    tcase_add_test(ports, forked_child_has_ports_of_its_own);
    tcase_add_test(ports, close_ends_a_blocked_receive);
    tcase_add_test(ports, thread_that_was_started_later_receives);
    tcase_add_test(ports, without_descriptors_nothing_is_blocked);
    tcase_add_test(ports, waits_with_others_in_a_set);
    return support_run(suite);
}
