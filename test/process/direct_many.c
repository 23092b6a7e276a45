/* SPDX-License-Identifier: Apache-2.0 */
/* Direct links of a process that lives long: thousands of others come and go, and nothing of them stays. */
#include "links.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#define PEERS 10000
#define EACH  250 /* by one process */
#define WARM  1000
#define SLACK ((long)256 << 10) /* bytes; if a link stayed of each, it would be megabytes */

/* Without pages of files: of code, which come when it is first executed. */
static long resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long size, resident, shared;

    require(file && fscanf(file, "%ld %ld %ld", &size, &resident, &shared) == 3);
    fclose(file);
    return (resident - shared) * sysconf(_SC_PAGESIZE);
}

struct usage {
    long bytes;
    unsigned descriptors;
};

/* How many were there at a time decides how large the heap has become: only what is in use counts. */
static struct usage usage_now(void)
{
    malloc_trim(0);
    return (struct usage){ resident_bytes(), count_descriptors() };
}

static void assert_flat(struct usage before)
{
    struct usage now = usage_now();

    /* ASan keeps what was freed for a while. */
    ck_assert_msg(now.bytes < before.bytes + SLACK || ADDRESS_SANITIZER, "%ld bytes, %ld before", now.bytes,
                  before.bytes);
    ck_assert_uint_eq(now.descriptors, before.descriptors);
    ck_assert_uint_eq(count_memory_mappings(), 0);
}

/* Any call notices some of the ends. */
static bool is_tidy(void *me)
{
    require(gnl_send_to(me, "nobody", "x", 1, GNL_NOWAIT) == -ENOENT);
    return count_memory_mappings() == 0;
}

static const char *peer_name(char name[32], unsigned number)
{
    snprintf(name, 32, "peer-%u", number);
    return name;
}

static int call_and_go(void *context)
{
    char name[32];
    const unsigned *first = context;

    for (unsigned i = *first; i < *first + EACH; i++) {
        gnl_identity *me = claim(peer_name(name, i));
        tell(me, "server", i, 8);
        if (i % EACH == EACH - 1)
            _exit(0); /* without a word */
        release(me);
    }
    return 0;
}

START_TEST(peers_that_call_and_go_leave_nothing)
{
    struct usage before = { 0 };
    struct gnl_sender sender;
    char name[32];

    gnl_identity *me = claim("server");
    for (unsigned first = 0; first < PEERS; first += EACH) {
        bool came[EACH] = { false };
        pid_t child = support_fork(call_and_go, &first);
        for (unsigned i = 0; i < EACH; i++) {
            uint64_t number = hear_who(me, NULL, &sender);
            ck_assert_str_eq(sender.name, peer_name(name, (unsigned)number));
            ck_assert(number >= first && number < first + EACH && !came[number - first]);
            came[number - first] = true;
        }
        support_expect_exit(child, 0);
        bury(peer_name(name, first + EACH - 1));
        ck_assert(support_until(is_tidy, me));
        if (first + EACH == WARM)
            before = usage_now();
    }
    assert_flat(before);
    release(me);
}
END_TEST

struct called {
    struct gate there, go;
    unsigned first;
};

static int be_called(void *context)
{
    struct called *called = context;
    gnl_identity *all[EACH];
    char name[32];

    for (unsigned i = 0; i < EACH; i++)
        all[i] = claim(peer_name(name, called->first + i));
    support_gate_open(&called->there);
    support_gate_wait(&called->go);
    for (unsigned i = 0; i < EACH; i += 2) /* the others go with what was sent to them */
        require(hear(all[i], "server") == called->first + i);
    return 0;
}

/* Who only sends is told by nobody. */
START_TEST(peers_that_were_called_and_went_leave_nothing)
{
    struct called called = { .there = support_gate(), .go = support_gate() };
    struct usage before = { 0 };
    char name[32];

    gnl_identity *me = claim("server");
    for (; called.first < PEERS / 5; called.first += EACH) {
        pid_t child = support_fork(be_called, &called);
        support_gate_wait(&called.there);
        for (unsigned i = called.first; i < called.first + EACH; i++)
            tell(me, peer_name(name, i), i, 8);
        support_gate_open(&called.go);
        support_expect_exit(child, 0);
        ck_assert(support_until(is_tidy, me));
        if (called.first + EACH == WARM)
            before = usage_now();
    }
    assert_flat(before);
    /* Who asks for one of the last is told that it has ended, once. */
    peer_name(name, called.first - 1);
    ck_assert_int_eq(gnl_send_to(me, name, "x", 1, GNL_NOWAIT), -EPIPE);
    ck_assert_int_eq(gnl_send_to(me, name, "x", 1, GNL_NOWAIT), -ENOENT);
    for (unsigned i = 0; i < called.first; i++)
        bury(peer_name(name, i));
    release(me);
    support_gate_close(&called.there);
    support_gate_close(&called.go);
}
END_TEST

START_TEST(names_that_nobody_has_leave_nothing)
{
    struct usage before = { 0 };
    char name[32], byte;

    gnl_identity *me = claim("server");
    for (unsigned i = 0; i < PEERS; i++) {
        ck_assert_int_eq(gnl_recv_from(me, peer_name(name, i), &byte, 1, NULL, GNL_NOWAIT), -EAGAIN);
        ck_assert_int_eq(gnl_send_to(me, name, "x", 1, GNL_NOWAIT), -ENOENT);
        if (i == WARM)
            before = usage_now();
    }
    assert_flat(before);
    release(me);
}
END_TEST

#define LIVES 200

static int live_often(void *context)
{
    (void)context;
    for (uint64_t life = 0; life < LIVES; life++) {
        gnl_identity *me = claim("alice");
        tell(me, "bob", 2 * life, 8);
        tell(me, "bob", 2 * life + 1, 10000);
        release(me);
    }
    return 0;
}

static gnl_identity *bob_whom_alice_called(void)
{
    gnl_identity *me = claim("bob");
    gnl_identity *other = claim("carol");

    support_expect_exit(support_fork(live_often, NULL), 0);
    tell(other, "bob", 77, 8);
    ck_assert_uint_eq(hear(me, "carol"), 77); /* those that wait keep nobody else off */
    release(other);
    return me;
}

START_TEST(all_that_many_lives_of_a_name_had_sent_is_received)
{
    gnl_identity *me = bob_whom_alice_called();

    for (uint64_t i = 0; i < 2 * (uint64_t)LIVES; i++)
        ck_assert_uint_eq(hear(me, NULL), i);
    ck_assert_int_eq(hear_error(me, NULL, GNL_NOWAIT), -EAGAIN);
    release(me);
}
END_TEST

START_TEST(each_of_many_lives_of_a_name_ends_once)
{
    gnl_identity *me = bob_whom_alice_called();

    for (uint64_t life = 0; life < LIVES; life++) {
        ck_assert_uint_eq(hear(me, "alice"), 2 * life);
        ck_assert_uint_eq(hear(me, "alice"), 2 * life + 1);
        ck_assert_int_eq(hear_error(me, "alice", SOON), -EPIPE);
    }
    ck_assert_int_eq(hear_error(me, "alice", GNL_NOWAIT), -EAGAIN);
    release(me);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct links of many");
    TCase *tests = support_case(suite, "come and go");

    tcase_add_test(tests, peers_that_call_and_go_leave_nothing);
    tcase_add_test(tests, peers_that_were_called_and_went_leave_nothing);
    tcase_add_test(tests, names_that_nobody_has_leave_nothing);
    tcase_add_test(tests, all_that_many_lives_of_a_name_had_sent_is_received);
    tcase_add_test(tests, each_of_many_lives_of_a_name_ends_once);
    return support_run(suite);
}
