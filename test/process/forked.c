/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fork: a child goes on using the ports that it inherited as a participant of its own; what the parent
 * held stays the parent's; neither makes the other look alive; programs that are executed inherit nothing.
 */
#include "helpers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

#define LARGE ((size_t)100000)

struct family {
    gnl_port *port;
    gnl_message held, loan, small_loan;
    struct gate one, two;
};

static int use_inherited_port(void *context)
{
    struct family *family = context;
    struct gnl_participant participants[4];
    struct gnl_port_info info;
    bool listed = false;

    send_number(family->port, 2);
    require(receive_number(family->port) == 1);
    ssize_t found = gnl_inspect(MAILBOX, &info, participants, 4);
    require(found == 2);
    for (ssize_t i = 0; i < found; i++)
        listed |= participants[i].pid == getpid() && participants[i].alive;
    require(listed);
    close_port(family->port);
    return 0;
}

START_TEST(child_uses_an_inherited_port_as_a_participant_of_its_own)
{
    struct family family = { .port = open_port(NULL) };

    send_number(family.port, 1);
    support_expect_exit(support_fork(use_inherited_port, &family), 0);
    gnl_message message = take_number(family.port, 2);
    ck_assert_int_ne(message.sender.pid, getpid());
    assert_ok(gnl_done(&message));
    ck_assert_uint_eq(count_participants(true), 1);
    ck_assert_uint_eq(count_participants(false), 0);
    close_port(family.port);
    remove_mailbox();
}
END_TEST

static int touch_what_the_parent_holds(void *context)
{
    struct family *family = context;

    gnl_message held = family->held, again = family->held, loan = family->loan, small = family->small_loan;
    require(check_message(held.data, held.size) == 1);
    require(gnl_done(&held) == -EPERM && strstr(gnl_error_detail(), "this message is held by the parent"));
    require(gnl_giveback(&again) == -EPERM);
    require(gnl_post(family->port, &loan, GNL_NOWAIT) == -EPERM);
    require(gnl_done(&loan) == -EPERM && strstr(gnl_error_detail(), "this loan is the parent process's"));
    require(gnl_post(family->port, &small, GNL_NOWAIT) == -EPERM);
    require(strlen(gnl_error_detail()) > 0);
    close_port(family->port);
    return 0;
}

START_TEST(messages_and_loans_of_the_parent_are_not_the_childs)
{
    struct family family = { .port = open_port(NULL) };

    send_large(family.port, 1, LARGE);
    family.held = take_number(family.port, 1);
    assert_ok(gnl_loan(family.port, &family.loan, LARGE, GNL_NOWAIT));
    assert_ok(gnl_loan(family.port, &family.small_loan, 8, GNL_NOWAIT));
    fill_message(family.loan.data, LARGE, 2);
    fill_message(family.small_loan.data, 8, 3);
    support_expect_exit(support_fork(touch_what_the_parent_holds, &family), 0);
    /* To the parent nothing has happened. */
    ck_assert_uint_eq(check_message(family.held.data, family.held.size), 1);
    assert_ok(gnl_done(&family.held));
    assert_ok(gnl_post(family.port, &family.loan, GNL_NOWAIT));
    assert_ok(gnl_post(family.port, &family.small_loan, GNL_NOWAIT));
    ck_assert_uint_eq(receive_number(family.port), 2);
    ck_assert_uint_eq(receive_number(family.port), 3);
    gnl_message message;
    ck_assert_int_eq(gnl_take(family.port, &message, GNL_NOWAIT), -EAGAIN);
    close_port(family.port);
    remove_mailbox();
}
END_TEST

static int close_inherited(void *context)
{
    struct family *family = context;

    close_port(family->port);
    return 0;
}

static int exit_only(void *context)
{
    (void)context;
    return 0;
}

static void child_comes_and_goes(int (*child)(void *context))
{
    struct family family = { .port = open_port(NULL) };
    gnl_message message;

    send_number(family.port, 1);
    family.held = take_number(family.port, 1);
    int descriptor = gnl_port_fd(family.port);
    assert_ok(descriptor);
    support_expect_exit(support_fork(child, &family), 0);
    gnl_port *other;
    assert_ok(gnl_open(&other, MAILBOX, NULL));
    ck_assert_int_eq(gnl_take(other, &message, gnl_ms(250)), -ETIMEDOUT); /* nobody took us for dead */
    close_port(other);
    assert_ok(gnl_done(&family.held));
    send_number(family.port, 2);
    struct pollfd entry = { .fd = descriptor, .events = POLLIN };
    ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
    ck_assert_uint_eq(receive_number(family.port), 2);
    close_port(family.port);
    remove_mailbox();
}

START_TEST(child_that_closes_an_inherited_port_does_not_disturb_the_parent)
{
    child_comes_and_goes(close_inherited);
}
END_TEST

START_TEST(child_that_ends_does_not_disturb_the_parent)
{
    child_comes_and_goes(exit_only);
}
END_TEST

/* ---- who lives ---- */

static int idle(void *context)
{
    struct family *family = context;

    support_gate_open(&family->one);
    while (pause() != 0)
        ;
    return 0;
}

static int parent_with_child(void *context)
{
    struct family *family = context;
    bool child_joins = family->port != NULL;

    family->port = open_port(NULL);
    take_number(family->port, 1);
    pid_t child = fork();
    if (child == 0) {
        if (child_joins)
            send_number(family->port, 3);
        idle(family);
    }
    support_gate_wait(&family->one);
    require(write(family->two.ends[1], &child, sizeof child) == sizeof child);
    for (;;)
        pause();
}

static void parent_dies_child_lives(bool child_joins)
{
    struct family family = { .one = support_gate(), .two = support_gate() };
    gnl_port *port = open_port(NULL);
    gnl_message message;
    pid_t grandchild;

    send_number(port, 1);
    family.port = child_joins ? port : NULL;
    pid_t parent = support_fork(parent_with_child, &family);
    ck_assert_int_eq(read(family.two.ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    support_kill(parent);
    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), 1);
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(kill(grandchild, 0), 0);
    ck_assert_uint_eq(count_participants(true), child_joins ? 2 : 1);
    ck_assert_uint_eq(count_participants(false), 0);
    ck_assert_int_eq(kill(grandchild, SIGKILL), 0);
    if (child_joins)
        ck_assert_uint_eq(receive_number(port), 3);
    support_gate_close(&family.one);
    support_gate_close(&family.two);
    close_port(port);
    remove_mailbox();
}

START_TEST(surviving_child_does_not_make_its_dead_parent_look_alive)
{
    parent_dies_child_lives(false);
}
END_TEST

START_TEST(surviving_child_that_uses_the_port_does_not_make_its_dead_parent_look_alive)
{
    parent_dies_child_lives(true);
}
END_TEST

static int take_and_wait(void *context)
{
    struct family *family = context;

    take_number(family->port, 2);
    return idle(family);
}

START_TEST(what_a_dead_child_held_comes_back_and_what_its_parent_holds_stays)
{
    struct family family = { .one = support_gate(), .port = open_port(NULL) };

    send_number(family.port, 1);
    send_number(family.port, 2);
    family.held = take_number(family.port, 1);
    pid_t child = support_fork(take_and_wait, &family);
    support_gate_wait(&family.one);
    support_kill(child);
    gnl_message message;
    assert_ok(gnl_take(family.port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), 2);
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_take(family.port, &message, gnl_ms(250)), -ETIMEDOUT);
    assert_ok(gnl_done(&family.held));
    support_gate_close(&family.one);
    close_port(family.port);
    remove_mailbox();
}
END_TEST

static int become_a_daemon(void *context)
{
    struct family *family = context;

    family->port = open_port(NULL);
    gnl_port *port = family->port;
    pid_t first = fork();
    if (first == 0) {
        pid_t second = fork();
        if (second == 0) {
            support_gate_wait(&family->one);
            uint64_t number = receive_number(port);
            send_number(port, number + 1);
            close_port(port);
            _exit(0);
        }
        _exit(0);
    }
    require(waitpid(first, NULL, 0) == first);
    return 0;
}

START_TEST(grandchild_goes_on_when_all_before_it_have_ended)
{
    struct family family = { .one = support_gate() };
    gnl_port *port = open_port(NULL);

    support_expect_exit(support_fork(become_a_daemon, &family), 0);
    send_number(port, 41);
    support_gate_open(&family.one);
    uint64_t number = 0;
    for (int64_t start = now_ms(); number != 42 && now_ms() - start < PATIENCE_MS;) {
        gnl_message message;
        assert_ok(gnl_take(port, &message, PATIENCE));
        number = check_message(message.data, message.size);
        if (number == 41)
            assert_ok(gnl_giveback(&message)); /* not for us */
        else
            assert_ok(gnl_done(&message));
    }
    ck_assert_uint_eq(number, 42);
    support_gate_close(&family.one);
    close_port(port);
    remove_mailbox();
}
END_TEST

static int bury_another(void *context)
{
    struct family *family = context;
    struct gnl_participant participants[4];
    struct gnl_port_info info;
    gnl_message message;
    bool listed = false;

    require(gnl_take(family->port, &message, PATIENCE) == 0);
    require(gnl_giveback(&message) == 0);
    require(gnl_take(family->port, &message, GNL_NOWAIT) == -EAGAIN);
    ssize_t found = gnl_inspect("mailbox:grave", &info, participants, 4);
    for (ssize_t i = 0; i < found; i++)
        listed |= participants[i].pid == getpid();
    require(info.queued == 2);
    require(listed);
    close_port(family->port);
    return 0;
}

START_TEST(child_sends_dead_letters_in_its_own_name)
{
    struct family family = { .port = open_port(
                                 &(struct gnl_options){ .max_deliveries = 1, .dead_letters = "grave" }) };
    gnl_message message;

    send_number(family.port, 1);
    message = take_number(family.port, 1);
    assert_ok(gnl_giveback(&message));
    ck_assert_int_eq(gnl_take(family.port, &message, GNL_NOWAIT), -EAGAIN);
    send_number(family.port, 2);
    support_expect_exit(support_fork(bury_another, &family), 0);
    close_port(family.port);
    remove_mailbox();
    assert_ok(gnl_remove("mailbox:grave"));
}
END_TEST

/* ---- while others are at it ---- */

struct busy {
    gnl_port *port;
    atomic_bool end_sending, end_receiving;
};

static void *send_all_the_time(void *context)
{
    struct busy *busy = context;

    for (uint64_t i = 0; !atomic_load(&busy->end_sending); i++) {
        gnl_port *another;
        send_large(busy->port, i, i % 2 ? 8 : 5000);
        if (i % 64 == 0 && gnl_open(&another, MAILBOX, NULL) == 0)
            gnl_close(another);
    }
    return NULL;
}

static void *receive_all_the_time(void *context)
{
    struct busy *busy = context;
    gnl_message message;

    while (!atomic_load(&busy->end_receiving))
        if (gnl_take(busy->port, &message, gnl_ms(20)) == 0) {
            check_message(message.data, message.size);
            require(gnl_done(&message) == 0);
        }
    return NULL;
}

static int open_and_send(void *context)
{
    struct busy *busy = context;
    gnl_port *mine = open_port(NULL);

    send_number(busy->port, 1);
    send_large(mine, 2, 5000);
    close_port(mine);
    close_port(busy->port);
    return 0;
}

START_TEST(fork_while_other_threads_are_in_the_library_leaves_a_child_that_works)
{
    if (ADDRESS_SANITIZER)
        skip("the sanitizer's own allocator does not survive a fork beside other threads");
    struct busy busy = { .port = open_port(&(struct gnl_options){ .capacity = 32 }) };
    pthread_t threads[2];

    pthread_create(&threads[0], NULL, send_all_the_time, &busy);
    pthread_create(&threads[1], NULL, receive_all_the_time, &busy);
    for (unsigned i = 0; i < 60; i++)
        support_expect_exit(support_fork(open_and_send, &busy), 0);
    atomic_store(&busy.end_sending, true);
    pthread_join(threads[0], NULL); /* it may wait for room: the other goes on receiving */
    atomic_store(&busy.end_receiving, true);
    pthread_join(threads[1], NULL);
    ck_assert_uint_eq(count_participants(true), 1);
    close_port(busy.port);
    remove_mailbox();
}
END_TEST

/* ---- programs that are executed ---- */

/* An executed program lists its open descriptors on a pipe: nothing of ours is among them. */
static void expect_nothing_inherited(bool spawned)
{
    char seen[4096] = "";
    size_t length = 0;
    ssize_t got;
    int ends[2];
    pid_t child;
    char name[] = "sh", option[] = "-c", command[] = "for f in /proc/$$/fd/*; do readlink $f; done; true";
    char *arguments[] = { name, option, command, NULL };
    char *environment[] = { NULL };
    gnl_port *port = open_port(NULL);

    assert_ok(gnl_port_fd(port));
    send_large(port, 1, LARGE);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    if (spawned) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        ck_assert_int_eq(posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environment), 0);
        posix_spawn_file_actions_destroy(&actions);
    } else {
        child = fork();
        if (child == 0) {
            dup2(ends[1], 1);
            execve("/bin/sh", arguments, environment);
            _exit(1);
        }
    }
    close(ends[1]);
    while ((got = read(ends[0], seen + length, sizeof seen - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    support_expect_exit(child, 0);
    ck_assert_msg(strstr(seen, "pipe:"), "the list is there: %s", seen);
    ck_assert_msg(!strstr(seen, "mailbox") && !strstr(seen, "eventfd") && !strstr(seen, support_directory()),
                  "a program inherits: %s", seen);
    ck_assert_uint_eq(receive_number(port), 1);
    close_port(port);
    remove_mailbox();
}

START_TEST(executed_programs_inherit_no_descriptor)
{
    expect_nothing_inherited(false);
}
END_TEST

START_TEST(spawned_programs_inherit_no_descriptor)
{
    expect_nothing_inherited(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forked");
    TCase *child = support_case(suite, "child");
    TCase *life = support_case(suite, "life");
    TCase *threads = support_case(suite, "threads");
    TCase *programs = support_case(suite, "programs");

    tcase_add_test(child, child_uses_an_inherited_port_as_a_participant_of_its_own);
    tcase_add_test(child, messages_and_loans_of_the_parent_are_not_the_childs);
    tcase_add_test(child, child_that_closes_an_inherited_port_does_not_disturb_the_parent);
    tcase_add_test(child, child_that_ends_does_not_disturb_the_parent);
    tcase_add_test(child, child_sends_dead_letters_in_its_own_name);
    tcase_add_test(life, surviving_child_does_not_make_its_dead_parent_look_alive);
    tcase_add_test(life, surviving_child_that_uses_the_port_does_not_make_its_dead_parent_look_alive);
    tcase_add_test(life, what_a_dead_child_held_comes_back_and_what_its_parent_holds_stays);
    tcase_add_test(life, grandchild_goes_on_when_all_before_it_have_ended);
    tcase_add_test(threads, fork_while_other_threads_are_in_the_library_leaves_a_child_that_works);
    tcase_add_test(programs, executed_programs_inherit_no_descriptor);
    tcase_add_test(programs, spawned_programs_inherit_no_descriptor);
    return support_run(suite);
}
