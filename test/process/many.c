/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Very many processes on one mailbox.
 */
#include "helpers.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define EACH 10

struct crowd {
    _Atomic uint64_t next; /* number of the next message */
    _Atomic uint64_t received;
    uint64_t total;
    atomic_uchar seen[100 * EACH];
};

static int send_each(void *context)
{
    struct crowd *crowd = context;
    gnl_port *port = open_port(&(struct gnl_options){ .direction = GNL_SEND_ONLY });

    for (unsigned i = 0; i < EACH; i++)
        send_large(port, atomic_fetch_add(&crowd->next, 1), i % 4 ? 8 : 400);
    close_port(port);
    return 0;
}

static int receive_some(void *context)
{
    struct crowd *crowd = context;
    gnl_port *port = open_port(&(struct gnl_options){ .direction = GNL_RECV_ONLY });
    gnl_message message;

    while (atomic_load(&crowd->received) < crowd->total) {
        int result = gnl_take(port, &message, gnl_ms(100));
        if (result == -ETIMEDOUT)
            continue;
        require(result == 0 && message.flags == 0);
        uint64_t number = check_message(message.data, message.size);
        require(number < crowd->total);
        require(atomic_fetch_add(&crowd->seen[number], 1) == 0);
        require(gnl_done(&message) == 0);
        atomic_fetch_add(&crowd->received, 1);
    }
    close_port(port);
    return 0;
}

static void gather(unsigned senders, unsigned receivers, int64_t capacity)
{
    pid_t children[200];
    struct crowd *crowd = shared_memory(sizeof *crowd);
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = capacity });

    crowd->total = senders * EACH;
    close_port(port); /* else all inherit it, and end with it open */
    for (unsigned i = 0; i < senders + receivers; i++)
        children[i] = support_fork(i % 2 == 0 && i / 2 < senders ? send_each : receive_some, crowd);
    for (unsigned i = 0; i < senders + receivers; i++)
        support_expect_exit(children[i], 0);
    ck_assert_uint_eq(atomic_load(&crowd->received), crowd->total);
    ck_assert_uint_eq(count_participants(true), 0);
    ck_assert_uint_eq(count_participants(false), 0);
    ck_assert_uint_eq(inspect_mailbox().queued, 0);
    ck_assert_uint_eq(inspect_mailbox().sent, crowd->total);
    ck_assert_uint_eq(inspect_mailbox().received, crowd->total);
    remove_mailbox();
    munmap(crowd, sizeof *crowd);
}

START_TEST(two_hundred_processes_share_a_mailbox)
{
    gather(100, 100, 8);
}
END_TEST

START_TEST(sixty_four_senders_meet_sixty_four_receivers)
{
    gather(64, 64, GNL_RENDEZVOUS);
}
END_TEST

START_TEST(members_come_and_go_in_hundreds)
{
    enum { MEMBERS = 300 };
    struct gate gates[2] = { support_gate(), support_gate() };
    pid_t children[MEMBERS];
    gnl_port *port = open_port(NULL);

    for (unsigned i = 0; i < MEMBERS; i++)
        children[i] = support_fork(stay_until_told, gates);
    for (unsigned i = 0; i < MEMBERS; i++)
        support_gate_wait(&gates[0]);
    ck_assert_uint_eq(count_participants(true), MEMBERS + 1);
    /* Some are killed, the others leave: all numbers are free again. */
    for (unsigned i = 0; i < MEMBERS; i += 3)
        support_kill(children[i]);
    for (unsigned i = 0; i < MEMBERS; i++)
        if (i % 3 != 0)
            support_gate_open(&gates[1]);
    for (unsigned i = 0; i < MEMBERS; i++)
        if (i % 3 != 0)
            support_expect_exit(children[i], 0);
    close_port(port);
    port = open_port(NULL); /* and looks at everybody */
    ck_assert_uint_eq(count_participants(true), 1);
    ck_assert_uint_eq(count_participants(false), 0);
    support_gate_close(&gates[0]);
    support_gate_close(&gates[1]);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("many");
    TCase *many = support_case(suite, "many");

    tcase_add_test(many, two_hundred_processes_share_a_mailbox);
    tcase_add_test(many, sixty_four_senders_meet_sixty_four_receivers);
    tcase_add_test(many, members_come_and_go_in_hundreds);
    return support_run(suite);
}
