/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments between processes: holders killed and stopped, waiting without polling, copies beside a writer
 * that never pauses, forked children, a full file system.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define SIZE          ((size_t)20000)
#define WORDS         (SIZE / sizeof(uint64_t))
#define LITTLE        gnl_ms(30)
#define NOT_PERMITTED 77 /* exit status of a child */

static gnl_segment *make(const char *name)
{
    gnl_segment *segment = NULL;

    require(gnl_segment_create(&segment, name, SIZE, NULL) == 0);
    return segment;
}

static gnl_segment *attach(unsigned rights)
{
    gnl_segment *segment = NULL;

    require(gnl_segment_attach(&segment, "s", rights) == 0);
    return segment;
}

static void end(gnl_segment *segment)
{
    assert_ok(gnl_segment_detach(segment));
    assert_ok(gnl_remove("segment:s"));
}

/* Every word gets the same value, slowly enough that somebody can come in between. */
static void fill(gnl_segment *segment, uint64_t value)
{
    volatile uint64_t *words = gnl_segment_data(segment);

    for (size_t i = 0; i < WORDS; i++)
        words[i] = value;
}

/* Are all words the same? */
static bool uniform(const uint64_t *words)
{
    for (size_t i = 1; i < WORDS; i++)
        if (words[i] != words[0])
            return false;
    return true;
}

struct gates {
    struct gate there, go;
};

static struct gates open_gates(void)
{
    return (struct gates){ support_gate(), support_gate() };
}

static void close_gates(struct gates *gates)
{
    support_gate_close(&gates->there);
    support_gate_close(&gates->go);
}

/* Locks it, changes half of it, and stays there. */
static int die_inside(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);

    require(gnl_segment_lock(segment, PATIENCE) == 0);
    memset(gnl_segment_data(segment), 1, SIZE / 2);
    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    require(gnl_segment_unlock(segment) == 0);
    return 0;
}

/* ---- the holder's death ---- */

START_TEST(lock_whose_holder_was_killed_inside_is_had_at_once_and_says_so)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    uint64_t version = gnl_segment_version(segment);
    ck_assert_int_eq(gnl_segment_lock(segment, LITTLE), -ETIMEDOUT);
    support_kill(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    ck_assert_uint_ne(gnl_segment_version(segment), version);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(segment));
    end(segment);
    close_gates(&gates);
}
END_TEST

static int lock_late(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);

    support_gate_open(&gates->go);
    require(gnl_segment_lock(segment, PATIENCE) == GNL_OWNER_DIED);
    require(gnl_segment_unlock(segment) == 0);
    return 0;
}

START_TEST(who_sleeps_for_the_lock_gets_it_when_its_holder_is_killed)
{
    struct gates gates = open_gates(), late = open_gates();
    gnl_segment *segment = make("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    pid_t sleeper = support_fork(lock_late, &late);
    support_gate_wait(&late.go);
    ck_assert(support_sleeps(sleeper));
    support_kill(holder);
    support_expect_exit(sleeper, 0);
    end(segment);
    close_gates(&gates);
    close_gates(&late);
}
END_TEST

START_TEST(stopped_holder_is_alive_and_goes_on)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make("s");
    pid_t holder = support_fork(die_inside, &gates);

    support_gate_wait(&gates.there);
    support_stop(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, gnl_ms(400)), -ETIMEDOUT);
    kill(holder, SIGCONT);
    support_gate_open(&gates.go);
    support_expect_exit(holder, 0);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(segment));
    end(segment);
    close_gates(&gates);
}
END_TEST

static int read_after_death(void *context)
{
    struct gates *gates = context;
    static uint64_t copy[WORDS];
    gnl_segment *segment = attach(GNL_READ);

    uint64_t seen = gnl_segment_version(segment);
    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    /* Nobody who may write is there to notice. */
    require(gnl_segment_snapshot(segment, 0, copy, SIZE, PATIENCE) == GNL_OWNER_DIED);
    require(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT) == GNL_OWNER_DIED);
    require(gnl_segment_wait(segment, seen, PATIENCE) == GNL_OWNER_DIED);
    return 0;
}

START_TEST(dying_writer_does_not_wedge_those_who_only_read)
{
    struct gates gates = open_gates(), reading = open_gates();
    static uint64_t copy[WORDS];

    assert_ok(gnl_segment_detach(make("s")));
    pid_t holder = support_fork(die_inside, &gates);
    support_gate_wait(&gates.there);
    pid_t reader = support_fork(read_after_death, &reading);
    support_gate_wait(&reading.there);
    support_kill(holder);
    support_gate_open(&reading.go);
    support_expect_exit(reader, 0);
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), GNL_OWNER_DIED);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), 0);
    end(segment);
    close_gates(&gates);
    close_gates(&reading);
}
END_TEST

#define WORKERS 3
#define KILLS   60

static int work(void *context)
{
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);
    uint64_t *words = gnl_segment_data(segment);

    (void)context;
    for (;;) {
        int result = gnl_segment_lock(segment, PATIENCE);
        require(result >= 0);
        require(result == GNL_OWNER_DIED || uniform(words)); /* half-changed only where it was said */
        fill(segment, words[0] + 1);
        require(gnl_segment_unlock(segment) == 0);
    }
}

START_TEST(holders_killed_at_random_leave_nothing_half_changed_unsaid)
{
    gnl_segment *segment = make("s");
    pid_t workers[WORKERS];
    unsigned seed = (unsigned)getpid(), inside = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = support_fork(work, NULL);
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned victim = (unsigned)rand_r(&seed) % WORKERS;
        pause_us(500 + (unsigned)rand_r(&seed) % 4000);
        support_kill(workers[victim]);
        int result = gnl_segment_lock(segment, PATIENCE);
        assert_ok(result);
        ck_assert(result == GNL_OWNER_DIED || uniform(gnl_segment_data(segment)));
        inside += result == GNL_OWNER_DIED;
        fill(segment, i);
        assert_ok(gnl_segment_unlock(segment));
        workers[victim] = support_fork(work, NULL);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        support_kill(workers[i]);
    int result = gnl_segment_lock(segment, PATIENCE);
    assert_ok(result);
    assert_ok(gnl_segment_unlock(segment));
    struct gnl_segment_info info;
    assert_ok(gnl_segment_info(segment, &info));
    ck_assert_uint_eq(info.attached, 1);
    ck_assert_uint_lt((uint64_t)gnl_segment_participants(segment, NULL, 0), 1 + WORKERS + 2);
    printf("%u of %u were killed inside\n", inside, KILLS);
    end(segment);
}
END_TEST

/* ---- without polling ---- */

struct waiter {
    struct gates gates;
    uint64_t *woken_ns; /* shared */
    unsigned rights;
};

#define WAKES 20

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int wait_often(void *context)
{
    struct waiter *waiter = context;
    gnl_segment *segment = attach(waiter->rights);
    struct rusage usage;

    for (unsigned i = 0; i < WAKES; i++) {
        uint64_t seen = gnl_segment_version(segment);
        support_gate_open(&waiter->gates.there);
        require(gnl_segment_wait(segment, seen, PATIENCE) == 0);
        waiter->woken_ns[i] = clock_ns();
    }
    require(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec == 0 ? 0 : 1;
}

static int compare(const void *one, const void *other)
{
    int64_t difference = *(const int64_t *)one - *(const int64_t *)other;

    return (difference > 0) - (difference < 0);
}

static void wake_up(unsigned rights)
{
    struct waiter waiter = { open_gates(), shared_memory(WAKES * sizeof(uint64_t)), rights };
    gnl_segment *segment = make("s");
    int64_t took[WAKES];
    pid_t child = support_fork(wait_often, &waiter);

    for (unsigned i = 0; i < WAKES; i++) {
        support_gate_wait(&waiter.gates.there);
        ck_assert(support_sleeps(child));
        assert_ok(gnl_segment_lock(segment, GNL_NOWAIT));
        uint64_t unlocked = clock_ns();
        assert_ok(gnl_segment_unlock(segment));
        while (*(volatile uint64_t *)&waiter.woken_ns[i] == 0)
            pause_us(10);
        took[i] = (int64_t)(waiter.woken_ns[i] - unlocked);
    }
    support_expect_exit(child, 0);
    qsort(took, WAKES, sizeof took[0], compare);
    /* Who looked now and then, as often as the library looks around, would need 50 ms. */
    ck_assert_msg(took[WAKES / 2] < 10000000, "woken after %lld us", (long long)took[WAKES / 2] / 1000);
    end(segment);
    close_gates(&waiter.gates);
}

START_TEST(who_waits_for_a_change_sleeps_and_is_woken_by_it)
{
    wake_up(GNL_READ | GNL_WRITE);
}
END_TEST

START_TEST(who_may_only_read_is_woken_too)
{
    wake_up(GNL_READ);
}
END_TEST

/* ---- consistent copies ---- */

static int write_without_pause(void *context)
{
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);

    for (uint64_t value = 1;; value++) {
        require(gnl_segment_lock(segment, PATIENCE) == 0);
        fill(segment, value);
        require(gnl_segment_unlock(segment) == 0);
        if (value == 1)
            support_gate_open(context);
    }
}

START_TEST(copies_beside_a_writer_that_never_pauses_are_whole)
{
    struct gate started = support_gate();
    static uint64_t copy[WORDS];
    unsigned got = 0;

    gnl_segment *segment = make("s");
    pid_t writer = support_fork(write_without_pause, &started);
    support_gate_wait(&started);
    gnl_segment *reader = attach(GNL_READ);
    uint64_t before = gnl_segment_version(reader);
    for (int64_t start = now_ms(); now_ms() - start < 1000;) {
        int result = gnl_segment_snapshot(reader, 0, copy, SIZE, gnl_ms(200));
        ck_assert(result == 0 || result == -ETIMEDOUT);
        ck_assert(result < 0 || uniform(copy));
        got += result == 0;
    }
    ck_assert_uint_gt(got, 0);
    ck_assert_uint_gt(gnl_segment_version(reader), before + 10); /* and it went on */
    support_kill(writer);
    ck_assert_int_ge(gnl_segment_snapshot(reader, 0, copy, SIZE, SOON), 0);
    assert_ok(gnl_segment_detach(reader));
    end(segment);
    support_gate_close(&started);
}
END_TEST

/* ---- who is attached ---- */

static int stay_attached(void *context)
{
    struct gates *gates = context;
    gnl_segment *one = attach(GNL_READ);

    support_gate_open(&gates->there);
    support_gate_wait(&gates->go);
    gnl_segment *other = attach(GNL_READ | GNL_WRITE);
    support_gate_open(&gates->there);
    require(gnl_segment_detach(one) == 0);
    for (;;)
        pause();
    return gnl_segment_detach(other);
}

static uint64_t attached(gnl_segment *segment)
{
    struct gnl_segment_info info;

    assert_ok(gnl_segment_info(segment, &info));
    return info.attached;
}

static bool one_left(void *context)
{
    return attached(context) == 1;
}

START_TEST(attached_are_the_living_whatever_their_rights)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make("s");
    struct gnl_participant users[4];

    ck_assert_uint_eq(attached(segment), 1);
    pid_t child = support_fork(stay_attached, &gates);
    support_gate_wait(&gates.there);
    ck_assert_uint_eq(attached(segment), 2);
    ck_assert_int_eq(gnl_segment_participants(segment, users, 4), 2);
    ck_assert_int_eq(users[1].pid, child);
    ck_assert_uint_eq(users[1].uid, geteuid());
    ck_assert_uint_eq(users[1].senders, 0);
    support_gate_open(&gates.go);
    support_gate_wait(&gates.there);
    ck_assert_uint_eq(attached(segment), 2); /* a process that has it twice is one */
    ck_assert_int_eq(gnl_segment_participants(segment, users, 4), 2);
    ck_assert_uint_eq(users[1].senders, 1);
    support_kill(child);
    ck_assert(one_left(segment));
    end(segment);
    close_gates(&gates);
}
END_TEST

/* ---- fork ---- */

static int use_inherited(void *context)
{
    gnl_segment *segment = context;

    require(gnl_segment_unlock(segment) == -EPERM); /* the parent's */
    require(gnl_segment_lock(segment, LITTLE) == -ETIMEDOUT);
    require(gnl_segment_detach(segment) == 0);
    return 0;
}

static int lock_inherited(void *context)
{
    require(gnl_segment_lock(context, PATIENCE) == 0);
    memset(gnl_segment_data(context), 2, 10);
    raise(SIGKILL);
    return 1;
}

START_TEST(forked_child_goes_on_as_itself_and_does_not_have_its_parents_lock)
{
    gnl_segment *segment = make(NULL);

    assert_ok(gnl_segment_lock(segment, GNL_NOWAIT));
    support_expect_exit(support_fork(use_inherited, segment), 0);
    assert_ok(gnl_segment_unlock(segment));
    support_expect_signal(support_fork(lock_inherited, segment), SIGKILL);
    ck_assert_int_eq(gnl_segment_lock(segment, GNL_NOWAIT), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    ck_assert_int_eq(((char *)gnl_segment_data(segment))[0], 2);
    ck_assert_uint_eq(attached(segment), 1);
    assert_ok(gnl_segment_detach(segment));
}
END_TEST

static int leave_a_child(void *context)
{
    struct gates *gates = context;
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);

    require(gnl_segment_lock(segment, PATIENCE) == 0);
    if (fork() == 0) {
        support_gate_open(&gates->there);
        support_gate_wait(&gates->go);
        _exit(0);
    }
    for (;;)
        pause();
    return 0;
}

START_TEST(surviving_child_does_not_make_its_dead_parent_look_alive)
{
    struct gates gates = open_gates();
    gnl_segment *segment = make("s");
    pid_t holder = support_fork(leave_a_child, &gates);

    support_gate_wait(&gates.there);
    support_kill(holder);
    ck_assert_int_eq(gnl_segment_lock(segment, SOON), GNL_OWNER_DIED);
    assert_ok(gnl_segment_unlock(segment));
    support_gate_open(&gates.go);
    end(segment);
    close_gates(&gates);
}
END_TEST

/* ---- full ---- */

static int fill_the_file_system(void *context)
{
    gnl_segment *one, *other;
    struct gnl_segment_info info;
    struct stat status;

    (void)context;
    if (!mount_tmpfs(support_directory(), "size=2m,mode=0700"))
        return NOT_PERMITTED;
    require(gnl_segment_create(&one, "s", (size_t)4 << 20, NULL) == -ENOSPC);
    require(strstr(gnl_error_detail(), "'s'"));
    require(stat(path_in_directory("segment:s"), &status) != 0);
    require(gnl_segment_create(&one, "s", (size_t)1 << 20, NULL) == 0);
    memset(gnl_segment_data(one), 3, (size_t)1 << 20);
    require(gnl_segment_create(&other, "t", (size_t)1 << 20, NULL) == -ENOSPC);
    require(gnl_segment_grow(one, (size_t)3 << 20) == -ENOSPC);
    require(gnl_segment_size(one) == (size_t)1 << 20);
    require(gnl_segment_info(one, &info) == 0 && info.size == (uint64_t)1 << 20);
    require(info.bytes <= ((uint64_t)1 << 20) + 8192); /* what was reserved in vain is given back */
    require(gnl_segment_grow(one, (size_t)3 << 19) == 0);
    memset(gnl_segment_data(one), 4, (size_t)3 << 19); /* no fault */
    require(gnl_segment_lock(one, GNL_NOWAIT) == 0 && gnl_segment_unlock(one) == 0);
    require(gnl_segment_detach(one) == 0);
    return gnl_remove("segment:s");
}

START_TEST(full_file_system_is_enospc_when_made_and_when_grown_and_never_a_fault)
{
    int status = 0;
    pid_t child = support_fork(fill_the_file_system, NULL);

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_PERMITTED)
        skip("needs the right to mount");
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* ---- truncated ---- */

START_TEST(whoever_copies_from_a_file_that_was_truncated_is_told)
{
    static char copy[SIZE];
    gnl_segment *segment = make("s");

    ck_assert_int_eq(truncate(path_in_directory("segment:s"), 0), 0);
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), -EBADMSG);
    ck_assert_int_eq(gnl_segment_lock(segment, PATIENCE), -EBADMSG);
    ck_assert_int_eq(gnl_segment_wait(segment, 0, PATIENCE), -EBADMSG);
    ck_assert_int_eq(gnl_segment_grow(segment, 2 * SIZE), -EBADMSG);
    end(segment);
}
END_TEST

/* ---- scribbled ---- */

#define WORDS_AT 64 /* docs/formats/segment.md: the word, changes, waiting */
#define SIZE_AT  24 /* size, participants, silent */
#define DATA_AT  589824

/* Writes over what coordinates the others, as fast as it can; and truncates the file now and then, or not. */
static int scribble(void *context)
{
    const bool *truncates = context;
    uint64_t seed = 88172645463325252;
    gnl_segment *segment = attach(GNL_READ | GNL_WRITE);
    uint64_t *control = (uint64_t *)(void *)mmap(NULL, 131072, PROT_READ | PROT_WRITE, MAP_SHARED,
                                                 open(path_in_directory("segment:s"), O_RDWR | O_CLOEXEC), 0);

    require(control != MAP_FAILED && gnl_segment_size(segment) == SIZE);
    for (;;) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        uint64_t value = seed % 3 == 0 ? seed : seed % 3 == 1 ? seed >> 50 : seed >> 8 << 16 | (seed & 7);
        switch (seed >> 32 & 7) {
        case 0:
            control[SIZE_AT / 8 + (seed >> 40 & 1)] = value;
            break;
        case 1:
            control[65536 / 8 + (seed >> 40 & 63)] = value;
            break;
        default:
            control[WORDS_AT / 8 + (seed >> 40 & 1)] = value;
        }
        if (*truncates && (seed & 0xfff) == 0) {
            require(truncate(path_in_directory("segment:s"), DATA_AT / 2) == 0);
            require(truncate(path_in_directory("segment:s"), DATA_AT + SIZE) == 0);
        }
    }
    return 0;
}

static bool in_time(int64_t start_ms, int result)
{
    return now_ms() - start_ms < 5000 && result <= GNL_OWNER_DIED && result > -200;
}

/* Calls everything, again and again; each comes back soon, with whatever. */
static int bear_it(void *context)
{
    static char copy[SIZE];
    struct gnl_participant users[8];
    struct gnl_segment_info info;
    struct gnl_port_info port_info;
    gnl_segment *segment;

    (void)context;
    for (int64_t end = now_ms() + 1500; now_ms() < end;) {
        int64_t start = now_ms();
        if (gnl_segment_attach(&segment, "s", now_ms() & 1 ? GNL_READ : GNL_READ | GNL_WRITE) != 0)
            continue;
        for (unsigned i = 0; i < 20; i++) {
            int result = gnl_segment_lock(segment, gnl_ms(1));
            require(in_time(start, result));
            if (result >= 0) {
                memset(gnl_segment_data(segment), (int)i, gnl_segment_size(segment));
                require(in_time(start, gnl_segment_unlock(segment)));
            }
            require(in_time(start, gnl_segment_snapshot(segment, 0, copy, SIZE, gnl_ms(1))));
            require(in_time(start, gnl_segment_wait(segment, gnl_segment_version(segment), gnl_ms(1))));
            start = now_ms();
        }
        gnl_segment_info(segment, &info);
        gnl_segment_participants(segment, users, 8);
        gnl_inspect("segment:s", &port_info, users, 8);
        gnl_segment_refresh(segment);
        require(in_time(start, 0));
        require(gnl_segment_detach(segment) == 0);
    }
    return 0;
}

static void scribble_on_it(bool truncates)
{
    assert_ok(gnl_segment_detach(make("s")));
    pid_t scribbler = support_fork(scribble, &truncates);
    pid_t honest[2] = { support_fork(bear_it, NULL), support_fork(bear_it, NULL) };
    support_expect_exit(honest[0], 0);
    support_expect_exit(honest[1], 0);
    support_kill(scribbler);
    assert_ok(gnl_remove("segment:s"));
}

START_TEST(scribbling_over_the_words_hurts_nobody_beyond_errors)
{
    scribble_on_it(false);
}
END_TEST

START_TEST(scribbling_and_truncating_hurts_nobody_beyond_errors)
{
    scribble_on_it(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segments");
    TCase *death = support_case(suite, "death");
    TCase *change = support_case(suite, "change");
    TCase *users = support_case(suite, "users");

    tcase_add_test(death, lock_whose_holder_was_killed_inside_is_had_at_once_and_says_so);
    tcase_add_test(death, who_sleeps_for_the_lock_gets_it_when_its_holder_is_killed);
    tcase_add_test(death, stopped_holder_is_alive_and_goes_on);
    tcase_add_test(death, dying_writer_does_not_wedge_those_who_only_read);
    tcase_add_test(death, holders_killed_at_random_leave_nothing_half_changed_unsaid);
    tcase_add_test(change, who_waits_for_a_change_sleeps_and_is_woken_by_it);
    tcase_add_test(change, who_may_only_read_is_woken_too);
    tcase_add_test(change, copies_beside_a_writer_that_never_pauses_are_whole);
    tcase_add_test(users, attached_are_the_living_whatever_their_rights);
    tcase_add_test(users, forked_child_goes_on_as_itself_and_does_not_have_its_parents_lock);
    tcase_add_test(users, surviving_child_does_not_make_its_dead_parent_look_alive);
    tcase_add_test(users, whoever_copies_from_a_file_that_was_truncated_is_told);
    tcase_add_test(users, full_file_system_is_enospc_when_made_and_when_grown_and_never_a_fault);
    TCase *scribbled = support_case(suite, "scribbled");
    tcase_add_test(scribbled, scribbling_over_the_words_hurts_nobody_beyond_errors);
    tcase_add_test(scribbled, scribbling_and_truncating_hurts_nobody_beyond_errors);
    return support_run(suite);
}
