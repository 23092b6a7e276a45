/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction of what one can do with a segment: afterwards others attach it, lock it,
 * copy it and grow it, nobody hangs, and what was half-changed is said to be.
 *
 *   segments [--every N] [OPERATION]
 *
 * The data begins with two words that are the same but while somebody changes them under the lock. A killed
 * process leaves them the same, or GNL_OWNER_DIED.
 */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "step.h"
#include "symbol.h"
#include "trace.h"

#define SIZE       ((size_t)5000)
#define LARGER     ((size_t)50000)
#define SOON       gnl_s(2)
#define DEADLINE_S 20
#define TOLD_MOST  10

struct words {
    uint64_t one, other;
};

static gnl_segment *segment; /* each process's own */
static int result;           /* of the victim's operation */
static char directory[] = "/dev/shm/ginnel-torture-XXXXXX";

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
    const char *name;
    void (*ready)(void);
    void (*run)(void);
    bool absent;  /* the segment is not there before */
    bool inside;  /* the victim has it locked when it begins */
    bool removes; /* the name may be gone afterwards */
} operations[] = {
    { .name = "create", .ready = nothing, .run = run_create, .absent = true },
    { .name = "attach", .ready = nothing, .run = run_attach },
    { .name = "attach-to-read", .ready = nothing, .run = run_attach_to_read },
    { .name = "detach", .ready = attach_to_write, .run = run_detach },
    { .name = "lock-change-unlock", .ready = attach_to_write, .run = run_change },
    { .name = "unlock", .ready = be_half_way, .run = run_finish, .inside = true },
    { .name = "detach-inside", .ready = be_half_way, .run = run_detach_inside, .inside = true },
    { .name = "snapshot", .ready = attach_to_read, .run = run_snapshot },
    { .name = "wait", .ready = attach_to_read, .run = run_wait },
    { .name = "grow", .ready = attach_to_write, .run = run_grow },
    { .name = "remove", .ready = nothing, .run = run_remove, .removes = true },
};

#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- the processes ---- */

static pid_t fork_child(void)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static pid_t start_victim(const struct operation *operation)
{
    pid_t pid = fork_child();

    if (pid != 0)
        return pid;
    operation->ready();
    step_surrender();
    step_mark();
    operation->run();
    step_mark();
    if (result < 0)
        fprintf(stderr, "%s: its result is %d: %s\n", operation->name, result, gnl_error_detail());
    _exit(result == 0 ? 0 : 1);
}

/* Sleeps until the victim has unlocked: for the lock or, as one who reads, for the version. */
static pid_t start_sleeper(bool reads)
{
    pid_t pid = fork_child();

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

static unsigned found;

#define expect(condition, what)                                                               \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "  not so: %s (%s); %s\n", #condition, what, gnl_error_detail()); \
            exit(1);                                                                          \
        }                                                                                     \
    } while (0)

/* In a process of its own: others go on. `stopped`: the victim is there still. */
static void survive(const struct operation *operation, bool stopped)
{
    struct gnl_segment_info info;
    struct words copy;

    int made = gnl_segment_create(&segment, "s", SIZE, NULL);
    expect(made == 0, "attach it, or make it anew");
    int locked = gnl_segment_lock(segment, stopped ? gnl_ms(20) : SOON);
    expect(locked >= 0 || (stopped && locked == -ETIMEDOUT), "lock it");
    expect(!stopped || locked != GNL_OWNER_DIED, "a stopped one is alive");
    if (locked >= 0) {
        expect(locked == GNL_OWNER_DIED || words()->one == words()->other, "half-changed is said to be");
        words()->one = words()->other = 7;
        expect(gnl_segment_unlock(segment) == 0, "unlock it");
        expect(gnl_segment_snapshot(segment, 0, &copy, sizeof copy, SOON) == 0, "copy it");
        expect(copy.one == 7 && copy.other == 7, "the copy");
    }
    expect(gnl_segment_info(segment, &info) == 0, "information");
    expect(stopped || info.attached == 1, "nobody else is attached");
    expect(stopped || gnl_segment_participants(segment, NULL, 0) == 1, "and no remains");
    int grown = gnl_segment_grow(segment, LARGER);
    expect(grown == 0 || (stopped && grown == -EBUSY), "grow it");
    if (grown == 0) {
        for (size_t i = SIZE; i < LARGER; i++)
            expect(((char *)gnl_segment_data(segment))[i] == 0, "what is new is zeros");
        memset((char *)gnl_segment_data(segment) + SIZE, 0, LARGER - SIZE);
    }
    expect(gnl_segment_detach(segment) == 0, "detach it");
    (void)operation;
    exit(0);
}

static bool ended_well(pid_t pid, const char *who)
{
    int status;

    for (int i = 0; i < DEADLINE_S * 1000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return true;
            fprintf(stderr, "  the %s ended badly (%x)\n", who, (unsigned)status);
            return false;
        }
        usleep(1000);
    }
    fprintf(stderr, "  the %s hangs\n", who);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return false;
}

static bool others_go_on(const struct operation *operation, bool stopped)
{
    pid_t pid = fork_child();

    if (pid == 0)
        survive(operation, stopped);
    return ended_well(pid, "survivor");
}

/* ---- one run ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    return where->level > 0 ? remove(path) : 0;
}

/* A segment as every run begins with; made by a process of its own, so that no other inherits it. */
static void set_stage(const struct operation *operation)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    if (operation->absent)
        return;
    pid_t pid = fork_child();
    if (pid == 0) {
        run_create();
        _exit(result == 0 ? 0 : 1);
    }
    if (!ended_well(pid, "maker"))
        exit(2);
}

static void tell(const struct operation *operation, const char *how, uint64_t step, uintptr_t address)
{
    char symbol[200];

    symbol_of(address, symbol, sizeof symbol);
    if (found++ < TOLD_MOST)
        printf("FOUND: %s %s after step %llu, at %s\n", operation->name, how, (unsigned long long)step,
               symbol);
}

static void run_killed(const struct operation *operation, const struct trace *trace, uint64_t step)
{
    uintptr_t address = 0;
    pid_t sleepers[2] = { 0, 0 };
    bool well = true;

    set_stage(operation);
    step_deadline(DEADLINE_S);
    pid_t victim = start_victim(operation);
    if (step_await_mark(victim) != STEPPED_TO_END) {
        tell(operation, "did not begin", 0, 0);
        return;
    }
    if (operation->inside)
        for (unsigned i = 0; i < 2; i++)
            sleepers[i] = start_sleeper(i == 1);
    trace_follow(trace, victim, step, &address);
    step_kill(victim);
    for (unsigned i = 0; i < 2; i++)
        well &=
            sleepers[i] == 0 || ended_well(sleepers[i], i == 1 ? "reader that slept" : "locker that slept");
    well &= others_go_on(operation, false);
    if (!well)
        tell(operation, "killed", step, address);
}

static void run_stopped(const struct operation *operation, const struct trace *trace, uint64_t step)
{
    uintptr_t address = 0;

    set_stage(operation);
    step_deadline(DEADLINE_S);
    pid_t victim = start_victim(operation);
    bool well = step_await_mark(victim) == STEPPED_TO_END;
    if (well && trace_follow(trace, victim, step, &address) == STEPPED) {
        step_leave_stopped(victim);
        well = others_go_on(operation, true);
        well &= step_run_stopped(victim) == STEPPED_TO_END; /* its mark */
        kill(victim, SIGCONT);
        well &= ended_well(victim, "victim, stopped for a while,") || operation->removes;
    } else {
        step_kill(victim);
    }
    if (!well)
        tell(operation, "stopped", step, address);
}

static void torture(const struct operation *operation, unsigned every)
{
    struct trace trace;
    unsigned runs = 0;

    set_stage(operation);
    step_deadline(120);
    pid_t victim = start_victim(operation);
    if (step_await_mark(victim) != STEPPED_TO_END || trace_record(&trace, victim, NULL) != STEPPED_TO_END) {
        step_kill(victim);
        tell(operation, "cannot be stepped through", 0, 0);
        return;
    }
    step_kill(victim);
    for (uint64_t step = 0; step <= trace.steps; step += every) {
        run_killed(operation, &trace, step);
        run_stopped(operation, &trace, step);
        runs += 2;
    }
    printf("%-20s %6llu instructions, %6u runs\n", operation->name, (unsigned long long)trace.steps, runs);
    fflush(stdout);
    trace_free(&trace);
}

int main(int argc, char **argv)
{
    unsigned every = 1;
    const char *only = NULL;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc)
            every = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            only = argv[i];
    if (every == 0 || !mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0) {
        perror("segments: cannot prepare");
        return 2;
    }
    for (size_t i = 0; i < OPERATIONS; i++)
        if (!only || strcmp(only, operations[i].name) == 0)
            torture(&operations[i], every);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    rmdir(directory);
    puts(found == 0 ? "nobody hung, nothing half-changed went unsaid" : "FAILED");
    return found == 0 ? 0 : 1;
}
