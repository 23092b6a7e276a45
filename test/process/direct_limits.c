/* SPDX-License-Identifier: Apache-2.0 */
/* Direct links at their limits: rendezvous, memory that comes back, no descriptor left. */
#include "links.h"

#include <errno.h>
#include <sys/resource.h>

/* ---- rendezvous ---- */

#define OFFERS 3000

struct offers {
    atomic_bool over;
    unsigned char taken[OFFERS], received[OFFERS];
};

static int make_offers(void *context)
{
    struct offers *offers = context;
    gnl_identity *me = claim("alice");
    uint64_t state = 7;
    static char data[20000];

    require(gnl_identity_capacity(me, GNL_RENDEZVOUS) == 0);
    for (uint64_t i = 0; i < OFFERS; i++) {
        size_t size = i % 7 == 3 ? 20000 : 16;
        int64_t timeout = i % 5 == 0 ? GNL_NOWAIT : (int64_t)dice(&state, 400000) + 1;
        fill_message(data, size, i);
        int result = gnl_send_to(me, "bob", data, size, timeout);
        require(result == 0 || result == -ETIMEDOUT || (result == -EAGAIN && timeout == GNL_NOWAIT));
        offers->taken[i] = result == 0;
    }
    atomic_store(&offers->over, true);
    release(me);
    return 0;
}

START_TEST(each_offer_is_either_taken_or_withdrawn)
{
    struct offers *offers = shared_memory(sizeof *offers);
    static char data[20000];
    uint64_t state = 8, last = 0, count = 0;
    int result = 0;

    gnl_identity *me = claim("bob");
    pid_t alice = support_fork(make_offers, offers);
    while (result != -EPIPE) {
        ssize_t size = gnl_recv_from(me, "alice", data, sizeof data, NULL, (int64_t)dice(&state, 300000));
        result = size < 0 ? (int)size : 0;
        ck_assert_msg(size > 0 || result == -EPIPE || result == -ETIMEDOUT || result == -EAGAIN, "%d",
                      result);
        if (size > 0) {
            uint64_t number = check_message(data, (size_t)size);
            ck_assert(number < OFFERS && (count == 0 || number > last));
            offers->received[number]++;
            last = number;
            count++;
        }
    }
    support_expect_exit(alice, 0);
    for (unsigned i = 0; i < OFFERS; i++)
        ck_assert_msg(offers->taken[i] == offers->received[i], "offer %u: sent %d, received %d", i,
                      offers->taken[i], offers->received[i]);
    ck_assert_uint_gt(count, 10);
    release(me);
}
END_TEST

static void expect_passed(gnl_port *port, uint64_t count)
{
    struct gnl_port_info info;

    ck_assert_int_eq(gnl_port_info(port, &info), 0);
    ck_assert_uint_eq(info.sent, count);
    ck_assert_uint_eq(info.received, count);
}

START_TEST(what_was_withdrawn_counts_as_neither_sent_nor_received)
{
    gnl_port *port;

    gnl_identity *alice = claim("alice"), *bob = claim("bob");
    ck_assert_int_eq(gnl_identity_capacity(alice, GNL_RENDEZVOUS), 0);
    ck_assert_int_eq(gnl_link(alice, "bob", &port, PATIENCE), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(gnl_send(port, "12345678", 8, gnl_ms(1)), -ETIMEDOUT);
    ck_assert_int_eq(hear_error(bob, "alice", gnl_ms(1)), -ETIMEDOUT);
    expect_passed(port, 0);
    ck_assert_int_eq(gnl_finish(port), 0);
    ck_assert_int_eq(hear_error(bob, "alice", PATIENCE), -EPIPE);
    expect_passed(port, 0);
    ck_assert_int_eq(gnl_close(port), 0);
    release(alice);
    release(bob);
}
END_TEST

static int wait_for_an_offer(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("bob");

    support_gate_open(&step->first);
    require(hear(me, "alice") == 1);
    require(hear(me, "alice") == 2);
    release(me);
    return 0;
}

START_TEST(offer_without_waiting_succeeds_where_somebody_receives_and_fails_elsewhere)
{
    struct step step = step_open();
    uint64_t number = 0;

    pid_t bob = support_fork(wait_for_an_offer, &step);
    support_gate_wait(&step.first);
    gnl_identity *me = claim("alice");
    assert_ok(gnl_identity_capacity(me, GNL_RENDEZVOUS));
    ck_assert(support_sleeps(bob));
    for (number = 1; number <= 2; number++) {
        int64_t end = now_ms() + PATIENCE_MS;
        while (gnl_send_to(me, "bob", &number, sizeof number, GNL_NOWAIT) != 0)
            ck_assert_int_lt(now_ms(), end);
    }
    support_expect_exit(bob, 0);
    release(me);
    step_close(&step);
}
END_TEST

/* ---- what it costs, and gives back ---- */

#define LARGE (256 << 10)
#define MANY  256 /* 64 MiB */

static long shared_kib(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    long found = -1;

    require(file);
    while (fgets(line, sizeof line, file))
        sscanf(line, "Shmem: %ld kB", &found);
    fclose(file);
    return found;
}

static bool given_back(void *context)
{
    return shared_kib() < *(long *)context;
}

static int hold_the_link(void *context)
{
    struct step *step = context;
    gnl_identity *me = claim("bob");

    require(hear(me, "alice") == 0);
    support_gate_open(&step->first);
    support_gate_wait(&step->second); /* for all to be sent */
    require(hear(me, "alice") == 1);
    while (hear_error(me, "alice", PATIENCE) == 0)
        ;
    require(count_memories() == 0 && count_memory_mappings() == 0);
    support_gate_open(&step->third);
    wait_to_be_killed();
}

START_TEST(memory_of_an_unbounded_link_comes_back_when_it_ends)
{
    struct step step = step_open();
    gnl_port *port;

    pid_t bob = support_fork(hold_the_link, &step);
    long before = shared_kib();
    gnl_identity *me = claim("alice");
    assert_ok(gnl_identity_capacity(me, GNL_UNBOUNDED));
    for (uint64_t i = 0; i < MANY; i++)
        tell(me, "bob", i, LARGE);
    ck_assert_int_ge(memories_kib(), 20000);
    assert_ok(gnl_link(me, "bob", &port, PATIENCE));
    assert_ok(gnl_close(port));
    support_gate_wait(&step.first);
    ck_assert_uint_eq(count_memories(), 0);
    ck_assert_uint_eq(count_memory_mappings(), 0);
    support_gate_open(&step.second);
    support_gate_wait(&step.third);
    long limit = before + 16000;
    ck_assert_msg(support_until(given_back, &limit), "%ld kB before, %ld kB now", before, shared_kib());
    support_kill(bob);
    release(me);
    bury("bob");
    step_close(&step);
}
END_TEST

static int call_when_told(void *context)
{
    struct step *step = context;

    support_gate_wait(&step->first);
    gnl_identity *me = claim("alice");
    tell(me, "bob", 1, 8);
    tell(me, "bob", 2, 50000);
    support_gate_open(&step->second);
    require(hear(me, "bob") == 3);
    release(me);
    return 0;
}

static unsigned fill_descriptors(int *opened, unsigned most, unsigned leave)
{
    unsigned count = 0;

    while (count < most && (opened[count] = dup(0)) >= 0)
        count++;
    for (; leave > 0 && count > 0; leave--)
        close(opened[--count]);
    return count;
}

/* `_i` descriptors are left: each step of meeting is where they run out once. */
START_TEST(without_descriptors_calls_fail_clearly_and_nothing_is_lost)
{
    struct step step = step_open();
    struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
    int opened[64];

    pid_t alice = support_fork(call_when_told, &step);
    gnl_identity *me = claim("bob"), *other;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned count = fill_descriptors(opened, 64, (unsigned)_i);
    if (_i == 0) {
        ck_assert_int_eq(gnl_identity_claim(&other, "carol"), -EMFILE);
        ck_assert_int_eq(gnl_identity_fd(me), -EMFILE);
    }
    support_gate_open(&step.first);
    support_gate_wait(&step.second);
    int64_t start = now_ms();
    int first = hear_error(me, "alice", gnl_ms(50));
    ck_assert(first == 0 || first == -ETIMEDOUT);
    ck_assert_int_lt(now_ms() - start, 5000);
    if (_i < 4) {
        int result = gnl_send_to(me, "alice", "x", 1, GNL_NOWAIT);
        ck_assert_msg(result == -EMFILE || result == -EAGAIN, "%d", result);
    }
    while (count > 0)
        close(opened[--count]);
    if (first != 0)
        ck_assert_uint_eq(hear(me, "alice"), 1);
    ck_assert_uint_eq(hear(me, "alice"), 2);
    tell(me, "alice", 3, 8);
    support_expect_exit(alice, 0);
    release(me);
    step_close(&step);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits of direct links");
    TCase *test_case = support_case(suite, "rendezvous");

    tcase_add_test(test_case, each_offer_is_either_taken_or_withdrawn);
    tcase_add_test(test_case, what_was_withdrawn_counts_as_neither_sent_nor_received);
    tcase_add_test(test_case, offer_without_waiting_succeeds_where_somebody_receives_and_fails_elsewhere);
    test_case = support_case(suite, "resources");
    tcase_add_test(test_case, memory_of_an_unbounded_link_comes_back_when_it_ends);
    tcase_add_loop_test(test_case, without_descriptors_calls_fail_clearly_and_nothing_is_lost, 0, 12);
    return support_run(suite);
}
