/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is woken, and whether who was spins the next time.
 */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "mailbox/mailbox.h"

START_TEST(sender_asleep_on_a_long_full_queue_is_woken_for_one_slot)
{
    gnl_port *long_one;
    char byte = 'b';

    assert_ok(gnl_open(&long_one, "mailbox:long", &(struct gnl_options){ .capacity = 100 }));
    for (int i = 0; i < 100; i++)
        assert_ok(gnl_send(long_one, &byte, 1, GNL_NOWAIT));
    struct gnli_sleepers *senders = &gnli_mailbox_port_of(long_one)->out.queue->senders;
    uint32_t sequence = atomic_load(&senders->sequence);
    atomic_store(&senders->flag, 1);
    ck_assert_int_eq(gnl_recv(long_one, &byte, 1, GNL_NOWAIT), 1);
    ck_assert_uint_eq(atomic_load(&senders->flag) & 1, 0);
    ck_assert_uint_ne(atomic_load(&senders->sequence), sequence);
    assert_ok(gnl_close(long_one));
    assert_ok(gnl_remove("mailbox:long"));
}
END_TEST

static gnl_port *port;
static int core; /* that the sleeper runs on */

static void stay_on(int number)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(number, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

static void *sleep_for_a_byte(void *unused)
{
    char byte;

    stay_on(core);
    ck_assert_int_eq(gnl_recv(port, &byte, 1, gnl_s(60)), 1);
    return NULL;
}

/* Is a sleeper on `core` to spin the next time, after one on `waker` woke it? */
static bool spins_after_waking_from(int waker)
{
    _Atomic uint32_t *flag = &gnli_mailbox_port_of(port)->in.queue->receivers.flag;
    pthread_t sleeper;

    stay_on(waker);
    ck_assert_int_eq(pthread_create(&sleeper, NULL, sleep_for_a_byte, NULL), 0);
    for (int i = 0; i < 60000 && !(atomic_load(flag) & 1); i++)
        usleep(1000);
    usleep(20000); /* so that it sleeps and nothing but the waking ends that */
    assert_ok(gnl_send(port, "b", 1, GNL_NOWAIT));
    ck_assert_int_eq(pthread_join(sleeper, NULL), 0);
    return gnli_spin_budget_ns(&gnli_mailbox_port_of(port)->in_spin) > 0;
}

START_TEST(sleeper_woken_from_its_own_core_does_not_spin_until_woken_from_another)
{
    cpu_set_t ours;
    int other = -1;

    assert_ok(gnl_open(&port, "mailbox:wait", NULL));
    ck_assert_int_eq(sched_getaffinity(0, sizeof ours, &ours), 0);
    for (int i = CPU_SETSIZE; i-- > 0;)
        if (CPU_ISSET(i, &ours)) {
            other = core;
            core = i;
        }
    bool any = gnli_spin_budget_ns(&gnli_mailbox_port_of(port)->in_spin) > 0; /* not on a single core */
    ck_assert(!spins_after_waking_from(core));
    if (other > core && any)
        ck_assert(spins_after_waking_from(other));
    ck_assert(!spins_after_waking_from(core));
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove("mailbox:wait"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wait");
    TCase *waking = support_case(suite, "waking");

    tcase_add_test(waking, sender_asleep_on_a_long_full_queue_is_woken_for_one_slot);
    tcase_add_test(waking, sleeper_woken_from_its_own_core_does_not_spin_until_woken_from_another);
    return support_run(suite);
}
