/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receivers that die holding messages: what they held is delivered again, first of all, flagged and
 * counted; what they were done with is not; and whoever is there notices, whatever it is waiting in.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LARGE ((size_t)300000)

static gnl_message take_redelivered(gnl_port *port, uint64_t expected, unsigned deliveries)
{
    gnl_message message;

    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), expected);
    ck_assert_uint_eq(message.flags & GNL_REDELIVERED, GNL_REDELIVERED);
    ck_assert_uint_eq(message.deliveries, deliveries);
    return message;
}

static void expect_empty(gnl_port *port)
{
    gnl_message message;

    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(250)), -ETIMEDOUT);
}

START_TEST(held_message_is_delivered_again_before_others_flagged_and_counted)
{
    gnl_port *port = open_port(NULL);

    for (uint64_t i = 1; i <= 3; i++)
        send_number(port, i);
    pid_t holder = start_holder(1);
    support_kill(holder);

    gnl_message first = take_redelivered(port, 1, 2);
    ck_assert_int_eq(first.sender.pid, getpid());
    gnl_message second = take_number(port, 2);
    ck_assert_uint_eq(second.flags, 0);
    ck_assert_uint_eq(second.deliveries, 1);
    assert_ok(gnl_done(&first));
    assert_ok(gnl_done(&second));
    ck_assert_uint_eq(receive_number(port), 3);
    expect_empty(port);
    ck_assert_uint_eq(inspect_mailbox().redelivered, 1);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(every_death_counts_one_delivery)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 7);
    for (unsigned deaths = 1; deaths <= 4; deaths++) {
        support_kill(start_holder(1));
        gnl_message message = take_redelivered(port, 7, 2 * deaths);
        assert_ok(gnl_giveback(&message));
    }
    gnl_message message = take_redelivered(port, 7, 9);
    assert_ok(gnl_done(&message));
    expect_empty(port);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(small_and_large_messages_held_in_hundreds_all_come_back)
{
    gnl_port *port = open_port(NULL);
    bool seen[GNL_HELD_MAX] = { false };

    for (uint64_t i = 0; i < GNL_HELD_MAX; i++)
        send_large(port, i, i % 3 == 0 ? 8 : i % 3 == 1 ? 96 : 5000);
    support_kill(start_holder(GNL_HELD_MAX));
    send_number(port, 1000);
    for (unsigned i = 0; i < GNL_HELD_MAX; i++) {
        gnl_message message;
        assert_ok(gnl_take(port, &message, SOON));
        uint64_t number = check_message(message.data, message.size);
        ck_assert_uint_lt(number, GNL_HELD_MAX);
        ck_assert(!seen[number]);
        seen[number] = true;
        ck_assert_uint_eq(message.deliveries, 2);
        assert_ok(gnl_done(&message));
    }
    ck_assert_uint_eq(receive_number(port), 1000);
    expect_empty(port);
    ck_assert_uint_eq(count_participants(true), 1);
    ck_assert_uint_eq(count_participants(false), 0);
    close_port(port);
    remove_mailbox();
}
END_TEST

struct worker {
    struct gate ready;
};

static int take_one_hold_next(void *context)
{
    struct worker *worker = context;
    gnl_port *port = open_port(NULL);
    gnl_message done = take_number(port, 1);
    gnl_message held = take_number(port, 2);

    (void)held;
    require(gnl_done(&done) == 0);
    support_gate_open(&worker->ready);
    for (;;)
        pause();
}

START_TEST(what_the_dead_receiver_was_done_with_is_gone)
{
    struct worker worker = { .ready = support_gate() };
    gnl_port *port = open_port(NULL);

    send_large(port, 1, LARGE);
    send_large(port, 2, LARGE);
    pid_t child = support_fork(take_one_hold_next, &worker);
    support_gate_wait(&worker.ready);
    support_kill(child);
    gnl_message message = take_redelivered(port, 2, 2);
    assert_ok(gnl_done(&message));
    expect_empty(port);
    support_gate_close(&worker.ready);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- a copying receive, cut off ---- */

static int receive_into_trap(void *context)
{
    struct trap *trap = context;
    gnl_port *port = open_port(NULL);

    trap_arm(trap);
    gnl_recv(port, trap->buffer, LARGE, PATIENCE);
    return 1;
}

START_TEST(large_message_whose_copying_is_cut_off_is_delivered_again)
{
    gnl_port *port = open_port(NULL);
    struct trap trap = trap_new(LARGE / 2);
    static char buffer[LARGE];

    send_large(port, 1, LARGE);
    send_large(port, 2, LARGE);
    pid_t child = support_fork(receive_into_trap, &trap);
    support_gate_wait(&trap.reached);
    ck_assert_uint_eq(inspect_mailbox().held, 1);
    support_kill(child);

    gnl_message message = take_redelivered(port, 1, 2);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_recv(port, buffer, sizeof buffer, SOON), LARGE);
    ck_assert_uint_eq(check_message(buffer, LARGE), 2);
    expect_empty(port);
    trap_free(&trap);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- who notices ---- */

struct noticing {
    struct gate ready, noticed;
};

static int notice_blocked(void *context)
{
    struct noticing *noticing = context;
    gnl_port *port = open_port(NULL);
    gnl_message message;

    support_gate_open(&noticing->ready);
    require(gnl_take(port, &message, PATIENCE) == 0);
    require(check_message(message.data, message.size) == 1 && message.flags & GNL_REDELIVERED);
    support_gate_open(&noticing->noticed);
    require(gnl_done(&message) == 0);
    close_port(port);
    return 0;
}

START_TEST(receiver_blocked_in_take_is_woken_by_a_holders_death)
{
    struct noticing noticing = { .ready = support_gate(), .noticed = support_gate() };
    gnl_port *port = open_port(&(struct gnl_options){ .direction = GNL_SEND_ONLY });

    send_number(port, 1);
    pid_t holder = start_holder(1);
    pid_t blocked = support_fork(notice_blocked, &noticing);
    support_gate_wait(&noticing.ready);
    ck_assert(support_sleeps(blocked));
    int64_t start = now_ms();
    support_kill(holder);
    support_gate_wait(&noticing.noticed);
    ck_assert_int_lt(now_ms() - start, 5000);
    support_expect_exit(blocked, 0);
    support_gate_close(&noticing.ready);
    support_gate_close(&noticing.noticed);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(receiver_that_never_waits_notices_a_holders_death)
{
    gnl_port *port = open_port(NULL);
    gnl_message message;
    int result;

    send_number(port, 1);
    pid_t holder = start_holder(1);
    ck_assert_int_eq(gnl_take(port, &message, GNL_NOWAIT), -EAGAIN);
    support_kill(holder);
    int64_t start = now_ms();
    do
        result = gnl_take(port, &message, GNL_NOWAIT);
    while (result == -EAGAIN && now_ms() - start < 5000);
    assert_ok(result);
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(receiver_that_always_has_messages_notices_a_holders_death)
{
    gnl_port *port = open_port(NULL);
    bool noticed = false;

    send_number(port, 1);
    support_kill(start_holder(1));
    for (int64_t start = now_ms(); !noticed && now_ms() - start < 5000;) {
        send_number(port, 2);
        noticed = receive_number(port) == 1;
    }
    ck_assert(noticed);
    ck_assert_uint_eq(receive_number(port), 2);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(epoll_on_the_ports_descriptor_notices_a_holders_death)
{
    gnl_port *port = open_port(NULL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    gnl_message message;

    send_number(port, 1);
    pid_t holder = start_holder(1);
    int descriptor = gnl_port_fd(port);
    assert_ok(descriptor);
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event), 0);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 0);
    support_kill(holder);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, 5000), 1);
    assert_ok(gnl_take(port, &message, GNL_NOWAIT));
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_take(port, &message, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 0);
    close(epoll);
    close_port(port);
    remove_mailbox();
}
END_TEST

static int send_and_leave(void *context)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    send_large(port, 2, LARGE);
    close_port(port);
    return 0;
}

START_TEST(who_opens_the_mailbox_after_all_have_died_gets_what_they_held)
{
    support_expect_exit(support_fork(send_and_leave, NULL), 0);
    support_kill(start_holder(2));

    gnl_port *port = open_port(&(struct gnl_options){ .create = GNL_OPEN_ONLY });
    uint64_t first = receive_number(port);
    uint64_t second = receive_number(port);
    ck_assert_uint_eq(first + second, 3);
    ck_assert_uint_ne(first, second);
    expect_empty(port);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(dead_holder_is_shown_as_dead_until_somebody_mends)
{
    gnl_port *port = open_port(NULL);
    struct gnl_participant participants[4];
    struct gnl_port_info info;
    bool shown = false;

    send_number(port, 1);
    pid_t holder = start_holder(1);
    ck_assert_int_eq(gnl_inspect(MAILBOX, &info, participants, 4), 2);
    for (int i = 0; i < 2; i++)
        if (participants[i].pid == holder) {
            shown = participants[i].alive && participants[i].held == 1 && participants[i].same_pid_namespace;
        }
    ck_assert(shown);
    support_kill(holder);
    ck_assert_uint_eq(count_participants(false), 1);
    ck_assert_uint_eq(receive_number(port), 1);
    ck_assert_uint_eq(count_participants(false), 0);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- other ways to go ---- */

static int hold_and_exit(void *context)
{
    static gnl_port *port; /* reachable at the end: no leak to a checker */

    port = open_port(NULL);
    take_number(port, 1);
    exit(0); /* without gnl_close */
}

static int hold_and_exec(void *context)
{
    struct gate *holds = context;

    take_number(open_port(NULL), 1);
    support_gate_open(holds);
    execl("/bin/sleep", "sleep", "60", NULL);
    return 1;
}

START_TEST(process_that_exits_while_it_holds_counts_as_dead)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    support_expect_exit(support_fork(hold_and_exit, NULL), 0);
    gnl_message message = take_redelivered(port, 1, 2);
    assert_ok(gnl_done(&message));
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(process_that_becomes_another_program_while_it_holds_counts_as_dead)
{
    struct gate holds = support_gate();
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    pid_t child = support_fork(hold_and_exec, &holds);
    support_gate_wait(&holds);
    gnl_message message = take_redelivered(port, 1, 2);
    assert_ok(gnl_done(&message));
    support_kill(child);
    support_gate_close(&holds);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- poisoned messages ---- */

#define GRAVE "mailbox:grave"

static void poison(unsigned deaths)
{
    for (unsigned i = 0; i < deaths; i++)
        support_kill(start_holder(1));
}

START_TEST(message_that_kills_its_receivers_goes_to_the_dead_letters)
{
    gnl_port *port = open_port(&(struct gnl_options){ .max_deliveries = 3, .dead_letters = "grave" });
    gnl_port *grave;
    gnl_message letter;

    send_large(port, 1, LARGE);
    poison(3);
    send_number(port, 2);
    ck_assert_uint_eq(receive_number(port), 2);
    expect_empty(port);

    struct gnl_port_info info = inspect_mailbox();
    ck_assert_uint_eq(info.discarded, 1);
    ck_assert_uint_eq(info.held, 0);
    ck_assert_uint_eq(info.queued, 0);
    assert_ok(gnl_open(&grave, GRAVE, &(struct gnl_options){ .create = GNL_OPEN_ONLY }));
    assert_ok(gnl_take(grave, &letter, SOON));
    ck_assert_uint_eq(letter.size, LARGE);
    ck_assert_uint_eq(check_message(letter.data, letter.size), 1);
    ck_assert_uint_ge(letter.deliveries, 3);
    ck_assert_int_eq(letter.sender.pid, getpid());
    assert_ok(gnl_done(&letter));
    ck_assert_int_eq(gnl_take(grave, &letter, GNL_NOWAIT), -EAGAIN);
    close_port(grave);
    close_port(port);
    remove_mailbox();
    assert_ok(gnl_remove(GRAVE));
}
END_TEST

START_TEST(poisoned_message_without_dead_letters_is_discarded_and_counted)
{
    gnl_port *port = open_port(&(struct gnl_options){ .max_deliveries = 2 });

    send_number(port, 1);
    poison(2);
    expect_empty(port);
    ck_assert_uint_eq(inspect_mailbox().discarded, 1);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(dead_letters_that_cannot_be_reached_lose_nothing)
{
    gnl_port *port = open_port(&(struct gnl_options){ .max_deliveries = 1, .dead_letters = "grave" });
    gnl_port *grave;
    gnl_message letter;

    /* A grave that is full: of capacity 1 and with something in it. */
    assert_ok(gnl_open(&grave, GRAVE, &(struct gnl_options){ .capacity = 1 }));
    send_number(grave, 100);
    send_number(port, 1);
    poison(1);
    expect_empty(port);
    ck_assert_uint_eq(inspect_mailbox().discarded, 0);
    ck_assert_uint_eq(inspect_mailbox().queued, 1);
    ck_assert_uint_eq(receive_number(grave), 100);
    expect_empty(port); /* looks again, and now there is room */
    assert_ok(gnl_take(grave, &letter, GNL_NOWAIT));
    ck_assert_uint_eq(check_message(letter.data, letter.size), 1);
    assert_ok(gnl_done(&letter));
    ck_assert_uint_eq(inspect_mailbox().discarded, 1);
    close_port(grave);
    close_port(port);
    remove_mailbox();
    assert_ok(gnl_remove(GRAVE));
}
END_TEST

/* ---- senders ---- */

static const int64_t long_queues[] = { 200000, GNL_UNBOUNDED };
#define MANY 150000

static int send_many_and_end(void *context)
{
    gnl_port *port = open_port(context);

    for (uint64_t i = 1; i <= MANY; i++)
        send_number(port, i);
    return 0; /* without gnl_close: dead to the others */
}

/* Whoever sweeps after it must not look at all that it has sent, again and again. */
START_TEST(what_a_dead_sender_left_in_a_long_queue_is_received_as_ever)
{
    struct gnl_options options = { .capacity = long_queues[_i] };
    gnl_port *port = open_port(&options);

    support_expect_exit(support_fork(send_many_and_end, &options), 0);
    for (uint64_t i = 1; i <= MANY; i++)
        ck_assert_uint_eq(receive_number(port), i);
    expect_empty(port);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* More senders than cores on one queue: each has to start far behind where the others are by then. */
START_TEST(senders_of_an_unbounded_mailbox_are_never_refused)
{
    struct gnl_options options = { .capacity = GNL_UNBOUNDED };
    gnl_port *port = open_port(&options);
    pid_t senders[4];

    for (int i = 0; i < 4; i++)
        senders[i] = support_fork(send_many_and_end, &options);
    for (uint64_t i = 0; i < 4 * (uint64_t)MANY; i++)
        receive_number(port);
    for (int i = 0; i < 4; i++)
        support_expect_exit(senders[i], 0);
    expect_empty(port);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("death");
    TCase *senders = support_case(suite, "senders");
    TCase *held = support_case(suite, "held");
    TCase *noticed = support_case(suite, "noticed");
    TCase *poisoned = support_case(suite, "poisoned");

    tcase_add_test(held, held_message_is_delivered_again_before_others_flagged_and_counted);
    tcase_add_test(held, every_death_counts_one_delivery);
    tcase_add_test(held, small_and_large_messages_held_in_hundreds_all_come_back);
    tcase_add_test(held, what_the_dead_receiver_was_done_with_is_gone);
    tcase_add_test(held, large_message_whose_copying_is_cut_off_is_delivered_again);
    tcase_add_test(held, process_that_exits_while_it_holds_counts_as_dead);
    tcase_add_test(held, process_that_becomes_another_program_while_it_holds_counts_as_dead);
    tcase_add_test(noticed, receiver_blocked_in_take_is_woken_by_a_holders_death);
    tcase_add_test(noticed, receiver_that_never_waits_notices_a_holders_death);
    tcase_add_test(noticed, receiver_that_always_has_messages_notices_a_holders_death);
    tcase_add_test(noticed, epoll_on_the_ports_descriptor_notices_a_holders_death);
    tcase_add_test(noticed, who_opens_the_mailbox_after_all_have_died_gets_what_they_held);
    tcase_add_test(noticed, dead_holder_is_shown_as_dead_until_somebody_mends);
    tcase_add_test(poisoned, message_that_kills_its_receivers_goes_to_the_dead_letters);
    tcase_add_test(poisoned, poisoned_message_without_dead_letters_is_discarded_and_counted);
    tcase_add_test(poisoned, dead_letters_that_cannot_be_reached_lose_nothing);
    tcase_add_loop_test(senders, what_a_dead_sender_left_in_a_long_queue_is_received_as_ever, 0, 2);
    tcase_add_test(senders, senders_of_an_unbounded_mailbox_are_never_refused);
    return support_run(suite);
}
