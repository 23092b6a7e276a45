/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pids prove nothing: they are given to others, and repeat in other pid namespaces. Needs root.
 */
#include "helpers.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NO_PIDS   "needs the right to choose a pid"
#define NO_SPACES "needs the right to make a pid namespace"

/* As fork, with a pid of the caller's choice; -1: not permitted. */
static pid_t fork_with_pid(pid_t pid, int (*run)(void *context), void *context)
{
    struct clone_args arguments = { .exit_signal = SIGCHLD,
                                    .set_tid = (uint64_t)(uintptr_t)&pid,
                                    .set_tid_size = 1 };

    fflush(NULL);
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(run(context));
}

struct member {
    uint64_t number;
    struct gate ready, go_on;
};

static struct member new_member(uint64_t number)
{
    return (struct member){ .number = number, .ready = support_gate(), .go_on = support_gate() };
}

static void free_member(struct member *member)
{
    support_gate_close(&member->ready);
    support_gate_close(&member->go_on);
}

static int stranger(void *context)
{
    struct member *member = context;

    support_gate_open(&member->ready);
    support_gate_wait(&member->go_on);
    return 0;
}

START_TEST(holder_whose_pid_an_unrelated_process_has_now_is_dead)
{
    struct member member = new_member(0);
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_number(port, 1);
    pid_t holder = start_holder(1);
    support_kill(holder);
    pid_t other = fork_with_pid(holder, stranger, &member);
    if (other < 0) {
        ck_assert_uint_eq(receive_number(port), 1);
    } else {
        ck_assert_int_eq(other, holder);
        support_gate_wait(&member.ready);
        assert_ok(gnl_take(port, &message, SOON));
        ck_assert_uint_eq(message.deliveries, 2);
        assert_ok(gnl_done(&message));
        ck_assert_uint_eq(count_participants(false), 0);
        support_gate_open(&member.go_on);
        support_expect_exit(other, 0);
    }
    free_member(&member);
    close_port(port);
    remove_mailbox();
    if (other < 0)
        skip(NO_PIDS);
}
END_TEST

static int hold_a_number(void *context)
{
    struct member *member = context;
    gnl_port *port = open_port(NULL);
    gnl_message message = take_number(port, member->number);

    support_gate_open(&member->ready);
    support_gate_wait(&member->go_on);
    require(check_message(message.data, message.size) == member->number);
    require(gnl_done(&message) == 0);
    close_port(port);
    return 0;
}

START_TEST(member_that_has_a_dead_members_pid_keeps_what_it_holds_and_gets_nothing_else)
{
    struct member first = new_member(1), second = new_member(1);
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_number(port, 1);
    pid_t holder = support_fork(hold_a_number, &first);
    support_gate_wait(&first.ready);
    support_kill(holder);
    /* The next of that pid is the one to mend: it gets the message that its namesake held. */
    pid_t other = fork_with_pid(holder, hold_a_number, &second);
    if (other > 0) {
        support_gate_wait(&second.ready);
        ck_assert_int_eq(gnl_take(port, &message, gnl_ms(300)), -ETIMEDOUT);
        ck_assert_uint_eq(count_participants(true), 2);
        support_gate_open(&second.go_on);
        support_expect_exit(other, 0);
        ck_assert_int_eq(gnl_take(port, &message, gnl_ms(200)), -ETIMEDOUT);
    }
    free_member(&first);
    free_member(&second);
    close_port(port);
    remove_mailbox();
    if (other < 0)
        skip(NO_PIDS);
}
END_TEST

/* ---- pid namespaces ---- */

START_TEST(of_two_processes_with_one_pid_in_two_namespaces_only_the_killed_one_is_dead)
{
    struct member first = new_member(1), second = new_member(2);
    gnl_port *port = open_port(NULL);
    struct gnl_participant participants[4];
    struct gnl_port_info info;
    gnl_message message;
    unsigned elsewhere = 0;

    send_number(port, 1);
    send_large(port, 2, 5000);
    pid_t one = fork_in_pid_namespace(hold_a_number, &first);
    if (one < 0) {
        free_member(&first);
        free_member(&second);
        close_port(port);
        remove_mailbox();
        skip(NO_SPACES);
    }
    support_gate_wait(&first.ready);
    pid_t two = fork_in_pid_namespace(hold_a_number, &second);
    ck_assert_int_gt(two, 0);
    support_gate_wait(&second.ready);

    ck_assert_int_eq(gnl_inspect(MAILBOX, &info, participants, 4), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(participants[i].alive);
        if (!participants[i].same_pid_namespace) {
            ck_assert_int_eq(participants[i].pid, 1);
            elsewhere++;
        }
    }
    ck_assert_uint_eq(elsewhere, 2);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(300)), -ETIMEDOUT);
    support_kill(one);
    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), 1);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(300)), -ETIMEDOUT);
    support_gate_open(&second.go_on);
    support_expect_exit(two, 0);
    free_member(&first);
    free_member(&second);
    close_port(port);
    remove_mailbox();
}
END_TEST

static int receive_what_the_dead_held(void *context)
{
    struct member *member = context;
    gnl_port *port = open_port(NULL);
    gnl_message message;

    require(getpid() == 1);
    require(gnl_take(port, &message, gnl_ms(300)) == -ETIMEDOUT);
    support_gate_open(&member->ready);
    require(gnl_take(port, &message, PATIENCE) == 0);
    require(check_message(message.data, message.size) == 1 && message.deliveries == 2);
    require(gnl_done(&message) == 0);
    send_number(port, 2);
    close_port(port);
    return 0;
}

START_TEST(death_outside_is_noticed_inside_a_pid_namespace)
{
    struct member member = new_member(1);
    gnl_port *port = open_port(&(struct gnl_options){ .direction = GNL_SEND_ONLY });

    send_number(port, 1);
    pid_t holder = start_holder(1);
    pid_t child = fork_in_pid_namespace(receive_what_the_dead_held, &member);
    if (child > 0)
        support_gate_wait(&member.ready);
    support_kill(holder);
    if (child > 0)
        support_expect_exit(child, 0);
    free_member(&member);
    close_port(port);
    remove_mailbox();
    if (child < 0)
        skip(NO_SPACES);
}
END_TEST

static int between_siblings(void *context)
{
    struct member *member = context;
    gnl_port *port = open_port(NULL);

    for (uint64_t i = 0; i < 2000; i++)
        send_large(port, i, i % 10 ? 8 : 3000);
    support_gate_open(&member->ready);
    close_port(port);
    return 0;
}

START_TEST(messages_pass_between_pid_namespaces)
{
    struct member member = new_member(0);
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 16 });

    pid_t child = fork_in_pid_namespace(between_siblings, &member);
    for (uint64_t i = 0; child > 0 && i < 2000; i++)
        ck_assert_uint_eq(receive_number(port), i);
    if (child > 0)
        support_expect_exit(child, 0);
    free_member(&member);
    close_port(port);
    remove_mailbox();
    if (child < 0)
        skip(NO_SPACES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pids");
    TCase *reuse = support_case(suite, "reuse");
    TCase *namespaces = support_case(suite, "namespaces");

    tcase_add_test(reuse, holder_whose_pid_an_unrelated_process_has_now_is_dead);
    tcase_add_test(reuse, member_that_has_a_dead_members_pid_keeps_what_it_holds_and_gets_nothing_else);
    tcase_add_test(namespaces, of_two_processes_with_one_pid_in_two_namespaces_only_the_killed_one_is_dead);
    tcase_add_test(namespaces, death_outside_is_noticed_inside_a_pid_namespace);
    tcase_add_test(namespaces, messages_pass_between_pid_namespaces);
    return support_run(suite);
}
