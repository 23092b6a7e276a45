/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that are stopped, or that hold messages for long, are alive: nothing is stolen from them,
 * they block nobody, and once continued they complete what they had begun.
 */
#include "ledger.h"

#include <errno.h>
#include <signal.h>

#define STOPS 40
#define LAPS  500

/* ---- stopped anywhere ---- */

struct others {
    struct ledger *ledger;
    unsigned stopped;
    uint64_t before[PLAYERS];
};

/* Some other sender and some other receiver have done something since. */
static bool others_went_on(void *context)
{
    struct others *others = context;
    bool sent = false, received = false;

    for (unsigned i = 0; i < PLAYERS; i++)
        if (i != others->stopped && ledger_progress(others->ledger, i) > others->before[i]) {
            sent |= i < SENDERS;
            received |= i >= SENDERS;
        }
    return sent && received;
}

static void stop_at_random(const struct scenario *scenario)
{
    struct ledger *ledger = ledger_start(scenario);

    for (unsigned i = 0; i < STOPS; i++) {
        struct others others = { .ledger = ledger, .stopped = ledger_random(ledger, PLAYERS) };
        pause_us(ledger_random(ledger, 2000));
        pid_t process = ledger_player(ledger, others.stopped);
        support_stop(process);
        for (unsigned j = 0; j < PLAYERS; j++)
            others.before[j] = ledger_progress(ledger, j);
        bool went_on = support_until(others_went_on, &others);
        ck_assert_int_eq(kill(process, SIGCONT), 0);
        ck_assert_msg(went_on, "player %u is stopped, and the others stand still", others.stopped);
    }
    ck_assert_uint_eq(ledger_finish(ledger).redelivered, 0);
}

START_TEST(others_go_on_past_who_is_stopped_in_a_small_mailbox)
{
    stop_at_random(&(struct scenario){ .capacity = 4, .copying = true, .sizes = { 8, 96 } });
}
END_TEST

START_TEST(others_go_on_past_who_is_stopped_with_messages_of_all_sizes)
{
    stop_at_random(&(struct scenario){ .capacity = 50, .sizes = { 64, 300, 9000, 60000 } });
}
END_TEST

START_TEST(others_go_on_past_who_is_stopped_in_a_rendezvous)
{
    stop_at_random(&(struct scenario){ .capacity = GNL_RENDEZVOUS, .copying = true, .sizes = { 64, 2000 } });
}
END_TEST

START_TEST(others_go_on_past_who_is_stopped_in_an_unbounded_mailbox)
{
    stop_at_random(&(struct scenario){ .capacity = GNL_UNBOUNDED, .copying = true, .sizes = { 64, 2000 } });
}
END_TEST

/* ---- stopped while it writes ---- */

struct writer {
    struct trap trap;
    size_t size;
};

static int write_slowly(void *context)
{
    struct writer *writer = context;
    gnl_port *port = open_port(NULL);

    trap_arm(&writer->trap);
    require(gnl_send(port, writer->trap.buffer, writer->size, PATIENCE) == 0);
    close_port(port);
    return 0;
}

static void pass_a_writer(size_t size)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 4 });
    struct writer writer = { .trap = trap_new(size / 2), .size = size };
    unsigned found = 0;

    fill_message(writer.trap.buffer, size, 1000000);
    pid_t child = support_fork(write_slowly, &writer);
    support_gate_wait(&writer.trap.reached);
    support_stop(child);
    for (uint64_t i = 0; i < LAPS * 4; i++) {
        send_number(port, i);
        ck_assert_uint_eq(receive_number(port), i);
    }
    /* Two at a time, so that there is always one to pass it by. */
    for (uint64_t i = 0; i < LAPS; i++) {
        send_number(port, 2 * i);
        send_number(port, 2 * i + 1);
        ck_assert_uint_eq(receive_number(port), 2 * i);
        ck_assert_uint_eq(receive_number(port), 2 * i + 1);
    }
    ck_assert_int_eq(kill(child, SIGCONT), 0);
    support_gate_open(&writer.trap.release);
    support_expect_exit(child, 0);
    gnl_message message;
    while (gnl_take(port, &message, GNL_NOWAIT) == 0) {
        ck_assert_uint_eq(check_message(message.data, message.size), 1000000);
        ck_assert_uint_eq(message.flags, 0);
        assert_ok(gnl_done(&message));
        found++;
    }
    ck_assert_uint_eq(found, 1);
    trap_free(&writer.trap);
    close_port(port);
    remove_mailbox();
}

START_TEST(sender_stopped_while_it_writes_blocks_nobody_and_completes)
{
    pass_a_writer(96);
}
END_TEST

START_TEST(sender_stopped_while_it_writes_a_large_message_blocks_nobody_and_completes)
{
    pass_a_writer(200000);
}
END_TEST

/* ---- holding ---- */

static void pass_many_laps(gnl_port *port)
{
    for (uint64_t i = 0; i < LAPS * 4; i++) {
        send_number(port, i);
        ck_assert_uint_eq(receive_number(port), i);
    }
}

START_TEST(receiver_that_holds_all_it_may_blocks_nobody)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 4 });
    gnl_message message;
    gnl_message held[GNL_HELD_MAX];

    for (uint64_t i = 0; i < GNL_HELD_MAX; i++) {
        send_number(port, 5000 + i);
        held[i] = take_number(port, 5000 + i);
    }
    ck_assert_int_eq(gnl_take(port, &message, GNL_NOWAIT), -ENOBUFS);
    gnl_port *other;
    assert_ok(gnl_open(&other, MAILBOX, NULL));
    pass_many_laps(other);
    /* Capacity counts what is queued, not what is held. */
    for (uint64_t i = 0; i < 4; i++)
        assert_ok(gnl_send(other, &i, sizeof i, GNL_NOWAIT));
    ck_assert_int_eq(gnl_send(other, "", 1, GNL_NOWAIT), -EAGAIN);
    for (uint64_t i = 0; i < 4; i++)
        ck_assert_uint_eq(receive_number(other), i);
    for (uint64_t i = 0; i < GNL_HELD_MAX; i++) {
        ck_assert_uint_eq(check_message(held[i].data, held[i].size), 5000 + i);
        assert_ok(gnl_done(&held[i]));
    }
    close_port(other);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(many_receivers_that_hold_for_long_block_nobody)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 4 });
    pid_t holders[6];

    for (unsigned i = 0; i < 6; i++) {
        for (unsigned j = 0; j < 4; j++)
            send_large(port, i, 1000);
        holders[i] = start_holder(4);
        support_stop(holders[i]);
    }
    pass_many_laps(port);
    ck_assert_uint_eq(inspect_mailbox().held, 24);
    ck_assert_uint_eq(inspect_mailbox().redelivered, 0);
    for (unsigned i = 0; i < 6; i++)
        support_kill(holders[i]); /* a stopped process can be killed, and is dead then */
    for (unsigned i = 0; i < 24; i++)
        ck_assert_uint_lt(receive_number(port), 6);
    close_port(port);
    remove_mailbox();
}
END_TEST

struct slow_worker {
    struct gate holds, go_on;
};

static int work_slowly(void *context)
{
    struct slow_worker *worker = context;
    gnl_port *port = open_port(NULL);
    gnl_message message = take_number(port, 1);

    support_gate_open(&worker->holds);
    support_gate_wait(&worker->go_on);
    require(check_message(message.data, message.size) == 1);
    require(gnl_done(&message) == 0);
    close_port(port);
    return 0;
}

START_TEST(nothing_is_stolen_from_a_stopped_receiver)
{
    struct slow_worker worker = { .holds = support_gate(), .go_on = support_gate() };
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_large(port, 1, 200000);
    pid_t child = support_fork(work_slowly, &worker);
    support_gate_wait(&worker.holds);
    support_stop(child);
    /* Several looks around of ours. */
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(500)), -ETIMEDOUT);
    ck_assert_uint_eq(count_participants(true), 2);
    ck_assert_int_eq(kill(child, SIGCONT), 0);
    support_gate_open(&worker.go_on);
    support_expect_exit(child, 0);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(250)), -ETIMEDOUT);
    support_gate_close(&worker.holds);
    support_gate_close(&worker.go_on);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stopped");
    TCase *anywhere = support_case(suite, "anywhere");
    TCase *writing = support_case(suite, "writing");
    TCase *holding = support_case(suite, "holding");

    tcase_add_test(anywhere, others_go_on_past_who_is_stopped_in_a_small_mailbox);
    tcase_add_test(anywhere, others_go_on_past_who_is_stopped_with_messages_of_all_sizes);
    tcase_add_test(anywhere, others_go_on_past_who_is_stopped_in_a_rendezvous);
    tcase_add_test(anywhere, others_go_on_past_who_is_stopped_in_an_unbounded_mailbox);
    tcase_add_test(writing, sender_stopped_while_it_writes_blocks_nobody_and_completes);
    tcase_add_test(writing, sender_stopped_while_it_writes_a_large_message_blocks_nobody_and_completes);
    tcase_add_test(holding, receiver_that_holds_all_it_may_blocks_nobody);
    tcase_add_test(holding, many_receivers_that_hold_for_long_block_nobody);
    tcase_add_test(holding, nothing_is_stolen_from_a_stopped_receiver);
    return support_run(suite);
}
