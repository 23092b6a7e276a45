/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders and receivers killed at random instants at full speed: nobody hangs, what was sent is received
 * exactly once and whole, and nothing of the dead remains. And killed at the one instant where most
 * hangs on it, in the midst of writing a message.
 */
#include "ledger.h"

#include <errno.h>
#include <string.h>

#define KILLS 40

static void kill_at_random(const struct scenario *scenario)
{
    struct ledger *ledger = ledger_start(scenario);
    unsigned victims = scenario->copying ? PLAYERS - 1 : PLAYERS;

    for (unsigned i = 0; i < KILLS; i++) {
        pause_us(300 + ledger_random(ledger, 4000));
        ledger_kill(ledger, ledger_random(ledger, victims));
        inspect_mailbox(); /* finds no damage, whoever is in the midst of what, or died there */
    }
    ledger_finish(ledger);
}

START_TEST(small_messages_through_a_small_mailbox_survive_kills)
{
    kill_at_random(&(struct scenario){ .capacity = 4, .sizes = { 8, 96 } });
}
END_TEST

START_TEST(messages_of_all_sizes_survive_kills)
{
    kill_at_random(&(struct scenario){ .capacity = 100, .sizes = { 64, 300, 9000, 100000 } });
}
END_TEST

START_TEST(mailbox_of_capacity_one_survives_kills)
{
    kill_at_random(&(struct scenario){ .capacity = 1, .sizes = { 64, 2000 } });
}
END_TEST

START_TEST(rendezvous_survives_kills)
{
    kill_at_random(&(struct scenario){ .capacity = GNL_RENDEZVOUS, .sizes = { 64, 2000 } });
}
END_TEST

START_TEST(unbounded_mailbox_survives_kills_and_gives_its_memory_back)
{
    kill_at_random(&(struct scenario){ .capacity = GNL_UNBOUNDED, .sizes = { 64, 96, 300, 9000 } });
}
END_TEST

START_TEST(two_way_mailbox_survives_kills)
{
    kill_at_random(&(struct scenario){ .capacity = 8, .two_way = true, .sizes = { 64, 2000 } });
}
END_TEST

START_TEST(memory_of_large_messages_is_not_lost_with_those_who_had_it)
{
    kill_at_random(&(struct scenario){ .capacity = 2, .size_fixed = 100000 });
}
END_TEST

START_TEST(copying_receiver_loses_nothing_when_others_are_killed)
{
    kill_at_random(&(struct scenario){ .capacity = 16, .copying = true, .sizes = { 8, 64, 96, 5000 } });
}
END_TEST

/* ---- killed while it writes ---- */

struct cut_off {
    struct trap *trap;
    size_t size;
};

static int send_from_trap(void *context)
{
    struct cut_off *cut_off = context;
    gnl_port *port = open_port(NULL);

    trap_arm(cut_off->trap);
    gnl_send(port, cut_off->trap->buffer, cut_off->size, PATIENCE);
    return 1;
}

/* A sender is killed half-way through copying a message in. */
static void cut_off_sender(int64_t capacity, size_t size)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = capacity });
    struct trap trap = trap_new(size / 2);
    struct cut_off cut_off = { .trap = &trap, .size = size };
    int64_t sent = 0;
    int result;

    send_number(port, 0);
    pid_t child = support_fork(send_from_trap, &cut_off);
    support_gate_wait(&trap.reached);
    support_kill(child);
    ck_assert_uint_eq(receive_number(port), 0);

    while ((result = gnl_send(port, &sent, sizeof sent, GNL_NOWAIT)) == 0)
        sent++;
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_int_eq(sent, capacity);
    for (int64_t i = 0; i < sent; i++)
        ck_assert_uint_eq(receive_number(port), (uint64_t)i);
    gnl_message message;
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(150)), -ETIMEDOUT);
    ck_assert_uint_eq(count_participants(false), 0);
    trap_free(&trap);
    close_port(port);
    remove_mailbox();
}

START_TEST(message_whose_sender_is_killed_while_it_writes_is_not_delivered)
{
    cut_off_sender(4, 96);
}
END_TEST

START_TEST(large_message_whose_sender_is_killed_while_it_writes_is_not_delivered)
{
    cut_off_sender(4, 300000);
}
END_TEST

START_TEST(receiver_waiting_behind_a_dead_senders_gap_goes_on)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 8 });
    struct trap trap = trap_new(48);
    struct cut_off cut_off = { .trap = &trap, .size = 96 };

    pid_t child = support_fork(send_from_trap, &cut_off);
    support_gate_wait(&trap.reached);
    for (uint64_t i = 1; i <= 3; i++)
        send_number(port, i);
    ck_assert_uint_eq(receive_number(port), 1);
    support_kill(child);
    for (uint64_t i = 2; i <= 40; i++) {
        ck_assert_uint_eq(receive_number(port), i);
        send_number(port, i + 2);
    }
    trap_free(&trap);
    close_port(port);
    remove_mailbox();
}
END_TEST

START_TEST(loans_of_the_dead_come_home)
{
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 2, .message_max = 1 << 20 });

    for (unsigned i = 0; i < 40; i++) {
        struct trap trap = trap_new(500000);
        struct cut_off cut_off = { .trap = &trap, .size = 1000000 };
        pid_t child = support_fork(send_from_trap, &cut_off);
        support_gate_wait(&trap.reached);
        support_kill(child);
        trap_free(&trap);
        send_large(port, i, 1000000);
        ck_assert_uint_eq(receive_number(port), i);
    }
    ck_assert_uint_lt(inspect_mailbox().bytes, 8 << 20);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("killed");
    TCase *anywhere = support_case(suite, "anywhere");
    TCase *writing = support_case(suite, "writing");

    tcase_add_test(anywhere, small_messages_through_a_small_mailbox_survive_kills);
    tcase_add_test(anywhere, messages_of_all_sizes_survive_kills);
    tcase_add_test(anywhere, mailbox_of_capacity_one_survives_kills);
    tcase_add_test(anywhere, rendezvous_survives_kills);
    tcase_add_test(anywhere, unbounded_mailbox_survives_kills_and_gives_its_memory_back);
    tcase_add_test(anywhere, two_way_mailbox_survives_kills);
    tcase_add_test(anywhere, memory_of_large_messages_is_not_lost_with_those_who_had_it);
    tcase_add_test(anywhere, copying_receiver_loses_nothing_when_others_are_killed);
    tcase_add_test(writing, message_whose_sender_is_killed_while_it_writes_is_not_delivered);
    tcase_add_test(writing, large_message_whose_sender_is_killed_while_it_writes_is_not_delivered);
    tcase_add_test(writing, receiver_waiting_behind_a_dead_senders_gap_goes_on);
    tcase_add_test(writing, loans_of_the_dead_come_home);
    return support_run(suite);
}
