/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Participants and the kernel's proof of death; telling a forked child from its parent; who is
 * inside a port.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "life/participant.h"
#include "life/process.h"

#define LIFE_BYTES ((off_t)1 << 60) /* as in participant.c: a layout that other processes rely on */
#define SIZE       ((size_t)4096)

static struct gnli_file *file;
static struct gnli_participant *records;
static uint64_t here; /* this pid namespace */

static void open_file(void)
{
    int directory = open(support_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_ok(gnli_process_prepare());
    assert_ok(gnli_file_new(&file, directory, SIZE, 0600, "the file"));
    close(directory);
    records = gnli_map(file, 0, SIZE);
    ck_assert_ptr_nonnull(records);
    here = gnli_process_pid_namespace();
    ck_assert_uint_ne(here, 0);
}

static void close_file(void)
{
    gnli_unmap(records, SIZE);
    gnli_file_close(file);
}

static bool dead(unsigned number)
{
    return gnli_participant_dead(file, records, number, here);
}

static int lock_life(unsigned number, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = LIFE_BYTES + number, .l_len = 1 };

    return fcntl(file->descriptor, F_SETLK, &lock);
}

struct child {
    unsigned number;
    short lock; /* if not -1: instead of joining */
    struct gate ready, go;
};

static int participate(void *context)
{
    struct child *child = context;

    if (child->lock == -1)
        require(gnli_participant_join(file, records, child->number, here) == 0);
    else
        require(lock_life(child->number, child->lock) == 0);
    support_gate_open(&child->ready);
    support_gate_wait(&child->go);
    return 0;
}

static pid_t start(struct child *child)
{
    child->ready = support_gate();
    child->go = support_gate();
    pid_t pid = support_fork(participate, child);
    support_gate_wait(&child->ready);
    return pid;
}

static void finish(struct child *child, pid_t pid)
{
    support_gate_open(&child->go);
    support_expect_exit(pid, 0);
    support_gate_close(&child->ready);
    support_gate_close(&child->go);
}

START_TEST(participant_lives_from_join_to_leave)
{
    open_file();
    ck_assert(dead(1)); /* nobody has joined */
    assert_ok(gnli_participant_join(file, records, 1, here));
    ck_assert(!dead(1));
    ck_assert_uint_eq(atomic_load(&records[1].state), GNLI_PARTICIPANT_ALIVE);
    ck_assert_uint_eq(atomic_load(&records[1].pid), (unsigned)getpid());
    gnli_participant_leave(file, records, 1);
    ck_assert_uint_eq(atomic_load(&records[1].state), GNLI_PARTICIPANT_FREE);
    ck_assert(dead(1));
    close_file();
}
END_TEST

START_TEST(killed_participant_is_dead_and_a_stopped_one_is_not)
{
    struct child child = { .number = 2, .lock = -1 };

    open_file();
    pid_t pid = start(&child);
    ck_assert(!dead(2));
    support_stop(pid);
    ck_assert(!dead(2));
    support_kill(pid);
    ck_assert(dead(2));
    ck_assert_uint_eq(atomic_load(&records[2].state), GNLI_PARTICIPANT_ALIVE); /* until it is swept */
    support_gate_close(&child.ready);
    support_gate_close(&child.go);
    close_file();
}
END_TEST

START_TEST(zombie_is_dead)
{
    struct child child = { .number = 2, .lock = -1 };
    siginfo_t ended;

    open_file();
    pid_t pid = start(&child);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT), 0);
    ck_assert(dead(2));
    support_expect_signal(pid, SIGKILL);
    support_gate_close(&child.ready);
    support_gate_close(&child.go);
    close_file();
}
END_TEST

static int ask_about_the_parent(void *context)
{
    (void)context;
    return dead(1) ? 1 : 0;
}

START_TEST(forked_child_does_not_live_for_its_parent)
{
    open_file();
    assert_ok(gnli_participant_join(file, records, 1, here));
    support_expect_exit(support_fork(ask_about_the_parent, NULL), 0);
    /* The number's owner gives up its lock: a child that has inherited everything changes nothing. */
    struct child child = { .number = 9, .lock = -1 };
    pid_t pid = start(&child);
    ck_assert_int_eq(lock_life(1, F_UNLCK), 0);
    ck_assert(dead(1));
    finish(&child, pid);
    close_file();
}
END_TEST

START_TEST(read_lock_proves_nothing)
{
    struct child child = { .number = 3, .lock = F_RDLCK };

    open_file();
    atomic_store(&records[3].state, GNLI_PARTICIPANT_ALIVE);
    pid_t pid = start(&child);
    atomic_store(&records[3].pid, (uint32_t)pid);
    atomic_store(&records[3].pid_namespace, here);
    ck_assert(dead(3));
    finish(&child, pid);
    close_file();
}
END_TEST

START_TEST(write_lock_of_another_process_than_the_record_says_proves_nothing)
{
    struct child child = { .number = 3, .lock = F_WRLCK };

    open_file();
    atomic_store(&records[3].pid, (uint32_t)getpid());
    atomic_store(&records[3].pid_namespace, here);
    pid_t pid = start(&child);
    ck_assert(dead(3));
    atomic_store(&records[3].pid, (uint32_t)pid);
    ck_assert(!dead(3));
    finish(&child, pid);
    close_file();
}
END_TEST

START_TEST(from_another_pid_namespace_any_write_lock_is_life)
{
    struct child child = { .number = 3, .lock = F_WRLCK };

    open_file();
    atomic_store(&records[3].pid, 1);
    atomic_store(&records[3].pid_namespace, here + 1);
    ck_assert(dead(3));
    pid_t pid = start(&child);
    ck_assert(!dead(3));
    finish(&child, pid);
    ck_assert(dead(3));
    close_file();
}
END_TEST

static int try_admission(void *context)
{
    return gnli_participant_admit(file, *(unsigned *)context) ? 1 : 0;
}

START_TEST(admission_to_a_number_is_one_process_s)
{
    unsigned same = 5, other = 6;

    open_file();
    ck_assert(gnli_participant_admit(file, 5));
    support_expect_exit(support_fork(try_admission, &same), 0);
    support_expect_exit(support_fork(try_admission, &other), 1);
    gnli_participant_admit_end(file, 5);
    support_expect_exit(support_fork(try_admission, &same), 1);
    ck_assert(gnli_participant_admit(file, 5)); /* that child is dead and holds up nothing */
    gnli_participant_admit_end(file, 5);
    close_file();
}
END_TEST

START_TEST(lost_proof_of_life_is_taken_again)
{
    char path[64];

    open_file();
    assert_ok(gnli_participant_join(file, records, 1, here));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file->descriptor);
    close(open(path, O_RDWR | O_CLOEXEC)); /* the trap of record locks */
    ck_assert(dead(1));
    assert_ok(gnli_participant_confirm(file, records, 1));
    ck_assert(!dead(1));
    /* Others noticed meanwhile, mended what it left and freed the number. */
    gnli_participant_leave(file, records, 1);
    ck_assert_int_eq(gnli_participant_confirm(file, records, 1), -ESTALE);
    ck_assert(dead(1));
    close_file();
}
END_TEST

START_TEST(without_its_descriptor_nothing_is_confirmed_and_nobody_declared_dead)
{
    struct child child = { .number = 2, .lock = -1 };

    open_file();
    pid_t pid = start(&child);
    close(file->descriptor);
    ck_assert_int_eq(gnli_participant_confirm(file, records, 1), -EBADF);
    ck_assert(!dead(2));
    ck_assert(!dead(7));
    finish(&child, pid);
    close_file();
}
END_TEST

START_TEST(counters_move_to_the_totals_once)
{
    struct gnli_participant record = { .sent = 1, .received = 2, .redelivered = 3, .discarded = 4 };
    _Atomic uint64_t totals[4] = { 10, 20, 30, 40 };

    gnli_participant_add_up(&record, totals);
    gnli_participant_add_up(&record, totals);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(atomic_load(&totals[i]), (i + 1) * 11);
    ck_assert_uint_eq(atomic_load(&record.sent), 0);
}
END_TEST

/* ---- fork ---- */

/* ---- readers ---- */

static int read_until_told(void *context)
{
    struct gate *gates = context;

    require(gnli_reader_join(file, here) == 0);
    support_gate_open(&gates[0]);
    support_gate_wait(&gates[1]);
    return 0;
}

static bool reads(pid_t pid)
{
    static struct gnli_reader readers[4096];
    unsigned count = gnli_readers(file, here, readers, 4096);
    bool found = false;

    ck_assert_uint_le(count, 4096);
    for (unsigned i = 0; i < count; i++)
        found |= readers[i].pid == pid && readers[i].pid_namespace == (uint32_t)here;
    return found;
}

START_TEST(readers_are_known_as_long_as_they_live)
{
    struct gate gates[3][2];
    pid_t children[3];

    open_file();
    ck_assert_uint_eq(gnli_readers(file, here, NULL, 0), 0);
    for (unsigned i = 0; i < 3; i++) {
        gates[i][0] = support_gate(), gates[i][1] = support_gate();
        children[i] = support_fork(read_until_told, gates[i]);
        support_gate_wait(&gates[i][0]);
        ck_assert(reads(children[i]));
    }
    assert_ok(gnli_reader_join(file, here));
    ck_assert(reads(getpid()));
    ck_assert_uint_eq(gnli_readers(file, here, NULL, 0), 4);
    gnli_reader_leave(file, here);
    support_kill(children[1]);
    ck_assert(reads(children[0]) && !reads(children[1]) && reads(children[2]));
    ck_assert_uint_eq(gnli_readers(file, here, NULL, 0), 2);
    for (unsigned i = 0; i < 3; i++) {
        support_gate_open(&gates[i][1]);
        if (i != 1)
            support_expect_exit(children[i], 0);
        support_gate_close(&gates[i][0]);
        support_gate_close(&gates[i][1]);
    }
    close_file();
}
END_TEST

/* Locks that no reader takes: at another's place, for writing, and of a whole stretch. */
static int pretend_to_read(void *context)
{
    struct gate *gates = context;
    off_t place = ((off_t)1 << 61) + (off_t)((here & UINT32_MAX) << 22);
    struct flock locks[] = {
        { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = place + getppid(), .l_len = 1 },
        { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = place + getpid(), .l_len = 1 },
        { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = place + 100000000, .l_len = 1000000 },
        { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)1 << 62, .l_len = 0 },
    };

    for (unsigned i = 0; i < 4; i++)
        require(fcntl(file->descriptor, F_SETLK, &locks[i]) == 0);
    for (off_t i = 0; i < 3000; i++) { /* many, in every other byte */
        struct flock lock = locks[0];
        lock.l_start = place + 200000000 + 2 * i;
        require(fcntl(file->descriptor, F_SETLK, &lock) == 0);
    }
    support_gate_open(&gates[0]);
    support_gate_wait(&gates[1]);
    return 0;
}

START_TEST(who_pretends_to_read_is_not_believed_and_looking_ends)
{
    struct gate gates[2] = { support_gate(), support_gate() };

    open_file();
    pid_t child = support_fork(pretend_to_read, gates);
    support_gate_wait(&gates[0]);
    ck_assert(!reads(getpid()));
    ck_assert(!reads(child));
    support_gate_open(&gates[1]);
    support_expect_exit(child, 0);
    close_file();
    support_gate_close(&gates[0]);
    support_gate_close(&gates[1]);
}
END_TEST

static int stamp_differs(void *context)
{
    uint64_t *parents = context;

    require(!gnli_process_is(parents[0]) && (parents[1] == 0 || !gnli_process_is(parents[1])));
    uint64_t mine = gnli_process_stamp();
    require(mine != 0 && mine != parents[0] && mine != parents[1]);
    require(gnli_process_is(mine) && gnli_process_stamp() == mine);
    if (parents[1] != 0)
        return 0;
    uint64_t both[2] = { parents[0], mine };
    pid_t child = fork();
    require(child >= 0);
    if (child == 0)
        _exit(stamp_differs(both));
    int status;
    require(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

START_TEST(stamp_is_the_process_s_own_down_to_grandchildren)
{
    assert_ok(gnli_process_prepare());
    uint64_t stamps[2] = { gnli_process_stamp(), 0 };

    ck_assert_uint_ne(stamps[0], 0);
    assert_ok(gnli_process_prepare());
    ck_assert(gnli_process_is(stamps[0]));
    support_expect_exit(support_fork(stamp_differs, stamps), 0);
    ck_assert(gnli_process_is(stamps[0]));
}
END_TEST

/* ---- inside ---- */

struct visitor {
    const void *object;
    struct gate inside, go, outside, end;
};

static void *visit(void *context)
{
    struct visitor *visitor = context;

    gnli_enter(visitor->object);
    support_gate_open(&visitor->inside);
    support_gate_wait(&visitor->go);
    gnli_leave();
    support_gate_open(&visitor->outside);
    support_gate_wait(&visitor->end);
    return NULL;
}

static int nobody_came_along(void *context)
{
    return gnli_anyone_inside(context) ? 1 : 0;
}

START_TEST(thread_is_inside_from_enter_to_leave)
{
    static int object, another;
    struct visitor visitor = { &object, support_gate(), support_gate(), support_gate(), support_gate() };
    pthread_t thread;

    assert_ok(gnli_process_prepare());
    ck_assert(!gnli_anyone_inside(&object));
    ck_assert_int_eq(pthread_create(&thread, NULL, visit, &visitor), 0);
    support_gate_wait(&visitor.inside);
    ck_assert(gnli_anyone_inside(&object));
    ck_assert(!gnli_anyone_inside(&another));
    support_expect_exit(support_fork(nobody_came_along, &object), 0); /* that thread is not in the child */
    support_gate_open(&visitor.go);
    support_gate_wait(&visitor.outside);
    ck_assert(!gnli_anyone_inside(&object));
    support_gate_open(&visitor.end);
    pthread_join(thread, NULL);
    ck_assert(!gnli_anyone_inside(&object));
    support_gate_close(&visitor.inside);
    support_gate_close(&visitor.go);
    support_gate_close(&visitor.outside);
    support_gate_close(&visitor.end);
}
END_TEST

START_TEST(own_thread_does_not_count)
{
    static int object;

    assert_ok(gnli_process_prepare());
    gnli_enter(&object);
    ck_assert(!gnli_anyone_inside(&object));
    gnli_leave();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("life");
    TCase *participants = support_case(suite, "participants");

    tcase_add_test(participants, participant_lives_from_join_to_leave);
    tcase_add_test(participants, killed_participant_is_dead_and_a_stopped_one_is_not);
    tcase_add_test(participants, zombie_is_dead);
    tcase_add_test(participants, forked_child_does_not_live_for_its_parent);
    tcase_add_test(participants, read_lock_proves_nothing);
    tcase_add_test(participants, write_lock_of_another_process_than_the_record_says_proves_nothing);
    tcase_add_test(participants, from_another_pid_namespace_any_write_lock_is_life);
    tcase_add_test(participants, admission_to_a_number_is_one_process_s);
    tcase_add_test(participants, lost_proof_of_life_is_taken_again);
    tcase_add_test(participants, without_its_descriptor_nothing_is_confirmed_and_nobody_declared_dead);
    tcase_add_test(participants, counters_move_to_the_totals_once);
    tcase_add_test(participants, readers_are_known_as_long_as_they_live);
    tcase_add_test(participants, who_pretends_to_read_is_not_believed_and_looking_ends);
    TCase *process = support_case(suite, "process");
    tcase_add_test(process, stamp_is_the_process_s_own_down_to_grandchildren);
    tcase_add_test(process, thread_is_inside_from_enter_to_leave);
    tcase_add_test(process, own_thread_does_not_count);
    return support_run(suite);
}
