/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction of what one can do with a segment: afterwards others attach it, lock it,
 * copy it and grow it, nobody hangs, and what was half-changed is said to be.
 *
 * The data begins with two words that are the same but while somebody changes them under the lock. A killed
 * process leaves them the same, or GNL_OWNER_DIED.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "driver.h"
#include "findings.h"

#define SIZE       ((size_t)5000)
#define LARGER     ((size_t)50000)
#define SOON       gnl_s(2)
#define DEADLINE_S 20

struct words {
    uint64_t one, other;
};

static gnl_segment *segment; /* each process's own */
static int result;           /* of the victim's operation */

/* ---- what is done ---- */

static void attach(unsigned rights)
{
    if (gnl_segment_attach(&segment, "s", rights) != 0)
        _exit(3);
}

static void attach_to_write(void)
{
    attach(GNL_READ | GNL_WRITE);
}

static void attach_to_read(void)
{
    attach(GNL_READ);
}

static struct words *words(void)
{
    return gnl_segment_data(segment);
}

static void be_half_way(void)
{
    attach_to_write();
    if (gnl_segment_lock(segment, GNL_NOWAIT) < 0)
        _exit(3);
    words()->one++;
}

static void nothing(void) {}

static void run_create(void)
{
    result = gnl_segment_create(&segment, "s", SIZE, NULL);
}

static void run_attach(void)
{
    result = gnl_segment_attach(&segment, "s", GNL_READ | GNL_WRITE);
}

static void run_attach_to_read(void)
{
    result = gnl_segment_attach(&segment, "s", GNL_READ);
}

static void run_detach(void)
{
    result = gnl_segment_detach(segment);
}

/* Whoever goes on after having been stopped may have to wait for others. */
static void run_change(void)
{
    result = gnl_segment_lock(segment, SOON);
    if (result < 0)
        return;
    words()->one++;
    words()->other++;
    result = gnl_segment_unlock(segment);
}

static void run_finish(void)
{
    words()->other++;
    result = gnl_segment_unlock(segment);
}

static void run_detach_inside(void)
{
    words()->other++;
    result = gnl_segment_detach(segment);
}

static void run_snapshot(void)
{
    struct words copy;

    result = gnl_segment_snapshot(segment, 0, &copy, sizeof copy, SOON);
    if (result == 0 && copy.one != copy.other)
        result = -EBADMSG;
}

static void run_grow(void)
{
    result = gnl_segment_grow(segment, LARGER);
}

static void run_wait(void)
{
    result = gnl_segment_wait(segment, gnl_segment_version(segment) - 1, SOON);
}

static void run_remove(void)
{
    result = gnl_remove("segment:s");
}

static const struct operation {
    const char *name, *what;
    void (*ready)(void);
    void (*run)(void);
    bool absent;  /* the segment is not there before */
    bool inside;  /* the victim has it locked when it begins */
    bool removes; /* the name may be gone afterwards */
} operations[] = {
    { .name = "create",
      .what = "gnl_segment_create of a name",
      .ready = nothing,
      .run = run_create,
      .absent = true },
    { .name = "attach", .what = "gnl_segment_attach", .ready = nothing, .run = run_attach },
    { .name = "attach-to-read",
      .what = "the same with GNL_READ",
      .ready = nothing,
      .run = run_attach_to_read },
    { .name = "detach", .what = "gnl_segment_detach", .ready = attach_to_write, .run = run_detach },
    { .name = "lock-change-unlock",
      .what = "gnl_segment_lock and gnl_segment_unlock",
      .ready = attach_to_write,
      .run = run_change },
    { .name = "unlock",
      .what = "gnl_segment_unlock, others asleep",
      .ready = be_half_way,
      .run = run_finish,
      .inside = true },
    { .name = "detach-inside",
      .what = "gnl_segment_detach with the lock held, others asleep",
      .ready = be_half_way,
      .run = run_detach_inside,
      .inside = true },
    { .name = "snapshot", .what = "gnl_segment_snapshot", .ready = attach_to_read, .run = run_snapshot },
    { .name = "wait",
      .what = "gnl_segment_wait for what has changed",
      .ready = attach_to_read,
      .run = run_wait },
    { .name = "grow", .what = "gnl_segment_grow", .ready = attach_to_write, .run = run_grow },
    { .name = "remove", .what = "gnl_remove", .ready = nothing, .run = run_remove, .removes = true },
};

#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- the processes ---- */

static pid_t start_victim(const struct operation *operation)
{
    pid_t pid = step_fork();

    if (pid != 0)
        return pid;
    operation->ready();
    step_surrender();
    step_mark();
    operation->run();
    step_mark();
    if (result < 0)
        found(WRONG, "the operation returned %d: %s", result, gnl_error_detail());
    _exit(result == 0 ? 0 : 1);
}

/* Sleeps until the victim has unlocked: for the lock or, as one who reads, for the version. */
static pid_t start_sleeper(bool reads)
{
    pid_t pid = step_fork();

    if (pid != 0)
        return pid;
    attach(reads ? GNL_READ : GNL_READ | GNL_WRITE);
    result = reads ? gnl_segment_wait(segment, 0, SOON) : gnl_segment_lock(segment, SOON);
    if (!reads && result == GNL_OWNER_DIED)
        words()->one = words()->other; /* it is the one who is told */
    if (!reads && result >= 0)
        gnl_segment_unlock(segment);
    _exit(result >= 0 ? 0 : 1);
}

#define expect(finding, condition, what)                                                 \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            found(finding, "not so: %s (%s); %s", #condition, what, gnl_error_detail()); \
            exit(1);                                                                     \
        }                                                                                \
    } while (0)

/* In a process of its own: others go on. `stopped`: the victim is there still. */
static void survive(bool stopped)
{
    struct gnl_segment_info info;
    struct words copy;

    int made = gnl_segment_create(&segment, "s", SIZE, NULL);
    expect(WRONG, made == 0, "attach it, or make it anew");
    int locked = gnl_segment_lock(segment, stopped ? gnl_ms(20) : SOON);
    expect(HANG, locked >= 0 || (stopped && locked == -ETIMEDOUT), "lock it");
    expect(WRONG, !stopped || locked != GNL_OWNER_DIED, "a stopped one is alive");
    if (locked >= 0) {
        expect(WRONG, locked == GNL_OWNER_DIED || words()->one == words()->other,
               "half-changed is said to be");
        words()->one = words()->other = 7;
        expect(WRONG, gnl_segment_unlock(segment) == 0, "unlock it");
        expect(WRONG, gnl_segment_snapshot(segment, 0, &copy, sizeof copy, SOON) == 0, "copy it");
        expect(WRONG, copy.one == 7 && copy.other == 7, "the copy");
    }
    expect(WRONG, gnl_segment_info(segment, &info) == 0, "information");
    expect(LEAK, stopped || info.attached == 1, "nobody else is attached");
    expect(LEAK, stopped || gnl_segment_participants(segment, NULL, 0) == 1, "and no remains");
    int grown = gnl_segment_grow(segment, LARGER);
    expect(WRONG, grown == 0 || (stopped && grown == -EBUSY), "grow it");
    if (grown == 0) {
        for (size_t i = SIZE; i < LARGER; i++)
            expect(WRONG, ((char *)gnl_segment_data(segment))[i] == 0, "what is new is zeros");
        memset((char *)gnl_segment_data(segment) + SIZE, 0, LARGER - SIZE);
    }
    expect(WRONG, gnl_segment_detach(segment) == 0, "detach it");
    exit(0);
}

static bool ended_well(pid_t pid, const char *who)
{
    int status;

    for (int i = 0; i < DEADLINE_S * 1000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return true;
            found(WRONG, "the %s ended badly (%x)", who, (unsigned)status);
            return false;
        }
        usleep(1000);
    }
    found(HANG, "the %s hangs", who);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return false;
}

static void others_go_on(bool stopped)
{
    pid_t pid = step_fork();

    if (pid == 0)
        survive(stopped);
    ended_well(pid, "survivor");
}

/* ---- one run ---- */

/* A segment as every run begins with; made by a process of its own, so that no other inherits it. */
static void set_stage(const struct operation *operation)
{
    if (operation->absent)
        return;
    pid_t pid = step_fork();
    if (pid == 0) {
        run_create();
        _exit(result == 0 ? 0 : 1);
    }
    if (!ended_well(pid, "maker"))
        exit(2);
}

static bool begin(const struct operation *operation, pid_t *victim)
{
    set_stage(operation);
    step_deadline(DEADLINE_S);
    *victim = start_victim(operation);
    return at_mark(step_await_mark(*victim), "victim");
}

static void clear_stage(void)
{
    int removed = gnl_remove("segment:s");

    if (removed < 0 && removed != -ENOENT)
        found(WRONG, "the segment could not be removed: %s", gnl_error_detail());
    check_directory(NULL);
}

static void run_killed(const struct operation *operation, const struct trace *trace, uint64_t step,
                       uintptr_t *address)
{
    pid_t victim, sleepers[2] = { 0, 0 };

    if (!begin(operation, &victim)) {
        step_kill(victim);
        return;
    }
    if (operation->inside)
        for (unsigned i = 0; i < 2; i++)
            sleepers[i] = start_sleeper(i == 1);
    trace_follow(trace, victim, step, address);
    step_kill(victim);
    for (unsigned i = 0; i < 2; i++)
        if (sleepers[i] > 0)
            ended_well(sleepers[i], i == 1 ? "reader that slept" : "locker that slept");
    others_go_on(false);
}

static void run_stopped(const struct operation *operation, const struct trace *trace, uint64_t step,
                        uintptr_t *address)
{
    pid_t victim;

    if (!begin(operation, &victim) || trace_follow(trace, victim, step, address) != STEPPED) {
        step_kill(victim);
        return;
    }
    at_mark(step_leave_stopped(victim), "victim");
    others_go_on(true);
    at_mark(step_run_stopped(victim), "victim, stopped for a while,");
    kill(victim, SIGCONT);
    if (!operation->removes) /* whose name is gone by then */
        ended_well(victim, "victim, stopped for a while,");
    else
        step_kill(victim);
}

static void run(const struct plan *plan, enum mode mode, uint64_t step, uintptr_t *address)
{
    const struct operation *operation = &operations[plan->operation];

    if (mode == KILL)
        run_killed(operation, &plan->victim, step, address);
    else
        run_stopped(operation, &plan->victim, step, address);
    clear_stage();
}

static void scout(struct plan *plan)
{
    pid_t victim;

    if (begin(&operations[plan->operation], &victim))
        at_mark(trace_record(&plan->victim, victim, NULL), "victim");
    step_kill(victim);
    clear_stage();
}

static struct title title(size_t number)
{
    return (struct title){ operations[number].name, operations[number].what, 1 };
}

int main(int argc, char **argv)
{
    const struct torture segments = {
        .program = "torture_segments",
        .operations = OPERATIONS,
        .title = title,
        .scout = scout,
        .run = run,
    };

    return driver_main(&segments, argc, argv);
}
