/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction, on direct links: a process, the victim, is single-stepped into each
 * operation and killed after step 1, 2, 3, … to the end; then stopped there instead, and continued later.
 * After each, the survivor has all that the victim had sent, in order and once, is told of its death, and
 * can talk to the next of its name; what it holds of the link is gone. A stopped victim blocks nobody, and
 * keeps its name.
 *
 * Run by `make torture` with --full, and by the tests with --every 31.
 */
#include "links.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"
#include "findings.h"

#define SECONDS_MOST 40
#define RECORDS      3 /* of the way through an operation */
#define BEFOREHAND   4 /* messages that wait for the victim */

struct stage *stage;

/* ---- the cast ---- */

static pid_t fork_victim(const struct operation *operation)
{
    pid_t pid = step_fork();

    if (pid != 0)
        return pid;
    while (sem_wait(&stage->go) != 0)
        ;
    operation->ready();
    step_surrender();
    step_mark();
    int result = operation->run();
    step_mark();
    atomic_store(&stage->result, result);
    step_mark();
    _exit(0);
}

/* Sleeps in a call to the victim. */
static pid_t fork_mate(enum mate mate)
{
    static char data[LARGE];
    pid_t pid = step_fork();
    uint64_t number = 0;

    if (pid != 0)
        return pid;
    if (gnl_identity_claim(&me, "mate") != 0)
        found(WRONG, "the mate has no name: %s", gnl_error_detail());
    if (mate == MATE_SENDS)
        gnl_identity_capacity(me, GNL_RENDEZVOUS);
    else
        gnl_send_to(me, "victim", "x", 1, PATIENCE_NS); /* so that it is told of the victim's end */
    atomic_store(&stage->mate_inside, 1);
    ssize_t result = mate == MATE_SENDS
                         ? gnl_send_to(me, "victim", &number, sizeof number, 4 * PATIENCE_NS)
                         : gnl_recv_from(me, "victim", data, sizeof data, NULL, 4 * PATIENCE_NS);
    atomic_store(&stage->mate_result, (int)result);
    atomic_store(&stage->mate_over, 1);
    for (;;)
        pause();
}

static bool await(atomic_int *flag)
{
    for (int64_t start = now_ns(); now_ns() - start < 2 * PATIENCE_NS;) {
        if (atomic_load(flag))
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return false;
}

static void await_asleep(pid_t pid)
{
    if (!await(&stage->mate_inside))
        found(WRONG, "the mate does not begin");
    for (int64_t start = now_ns(); step_state(pid) != 'S' && now_ns() - start < PATIENCE_NS;)
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* ---- the survivor ---- */

static uint64_t next; /* of the victim's messages, to the survivor */
static bool told_of_end;

/* One message of the victim's, or the error. */
static int hear(int64_t timeout)
{
    static char got[LARGE];
    uint64_t number;
    int64_t start = now_ns();

    ssize_t size = gnl_recv_from(me, "victim", got, sizeof got, NULL, timeout);
    if (took_since(start) > timeout + PATIENCE_NS)
        found(HANG, "receiving took %lld ms", (long long)(now_ns() - start) / 1000000);
    if (size < 0) {
        told_of_end = told_of_end || size == -EPIPE;
        return (int)size;
    }
    memcpy(&number, got, sizeof number);
    if (number != next)
        found(number < next ? DUPLICATE : LOSS, "message %llu came, not %llu", (unsigned long long)number,
              (unsigned long long)next);
    next = number + 1;
    if (number >= atomic_load(&stage->trying) || number + 1 == atomic_load(&stage->refused))
        found(WRONG, "message %llu was never sent", (unsigned long long)number);
    for (ssize_t i = sizeof number; i < size; i++)
        if (got[i] != (char)(number + 1)) {
            found(WRONG, "message %llu is torn", (unsigned long long)number);
            break;
        }
    return 0;
}

static unsigned count_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    unsigned count = 0;

    while (stream && readdir(stream))
        count++;
    closedir(stream);
    return count;
}

/* Another of this process's names, to show that the survivor's other links go on. */
static void use_other_link(const char *name)
{
    gnl_identity *other;
    char answer[8];

    int result = gnl_identity_claim(&other, name);
    if (result != 0) {
        found(WRONG, "'%s' could not be claimed: %s", name, gnl_error_detail());
        return;
    }
    if (gnl_send_to(other, "survivor", "12345678", 8, PATIENCE_NS) != 0 ||
        gnl_recv_from(me, name, answer, sizeof answer, NULL, PATIENCE_NS) != 8 ||
        gnl_send_to(me, name, "12345678", 8, PATIENCE_NS) != 0 ||
        gnl_recv_from(other, "survivor", answer, sizeof answer, NULL, PATIENCE_NS) != 8)
        found(WRONG, "the link with '%s' does not work: %s", name, gnl_error_detail());
    gnl_identity_release(other);
    result = (int)gnl_recv_from(me, name, answer, sizeof answer, NULL, PATIENCE_NS);
    if (result != -EPIPE)
        found(WRONG, "the end of '%s' was not told: %d", name, result);
}

static bool set_stage(const struct operation *operation, pid_t *victim, pid_t *mate)
{
    char filling[LARGE] = { 0 };

    memset(stage, 0, sizeof *stage);
    sem_init(&stage->go, 1, 0);
    sem_init(&stage->there, 1, 0);
    sem_init(&stage->filled, 1, 0);
    me = NULL;
    next = 0;
    told_of_end = false;
    step_deadline(SECONDS_MOST);
    *victim = fork_victim(operation);
    *mate = operation->mate == ALONE ? 0 : fork_mate(operation->mate);
    if (gnl_identity_claim(&me, "survivor") != 0) {
        found(WRONG, "the survivor has no name: %s", gnl_error_detail());
        return false;
    }
    sem_post(&stage->go);
    if (!operation->bare) {
        if (hear(PATIENCE_NS) != 0)
            found(WRONG, "the victim's first message did not come: %s", gnl_error_detail());
        for (unsigned i = 0; i < BEFOREHAND && operation->waiting > 0; i++)
            if (gnl_send_to(me, "victim", filling, operation->waiting, PATIENCE_NS) != 0)
                found(WRONG, "a message could not be sent beforehand: %s", gnl_error_detail());
        sem_post(&stage->filled);
    }
    if (step_await_mark(*victim) != STEPPED_TO_END) {
        found(HANG, "the victim does not come to its mark");
        return false;
    }
    if (*mate > 0)
        await_asleep(*mate);
    return true;
}

/* While the victim is stopped. */
static void go_on(const struct operation *operation)
{
    gnl_identity *thief;

    use_other_link("other");
    if (!operation->takes_name && gnl_identity_claim(&thief, "victim") != -EADDRINUSE)
        found(WRONG, "the name of a stopped process was free");
    while (hear(GNL_NOWAIT) == 0)
        ;
    if (operation->ends || operation->bare)
        return;
    int result = gnl_send_to(me, "victim", "12345678", 8, GNL_NOWAIT);
    if (result != 0)
        found(WRONG, "a stopped process could not be sent to: %s", gnl_strerror(result));
}

static void check_mate(const struct operation *operation, pid_t mate)
{
    if (!await(&stage->mate_over)) {
        found(HANG, "the mate hangs");
        step_kill(mate);
        return;
    }
    int result = atomic_load(&stage->mate_result);
    bool succeeded = operation->mate == MATE_SENDS ? result == 0 : result >= 0;
    bool must =
        operation->mate == MATE_SENDS ? atomic_load(&stage->heard) > 0 : atomic_load(&stage->told) > 1;
    if (!succeeded && result != -EPIPE)
        found(WRONG, "the mate's call gave %d", result);
    if (!succeeded && must)
        found(LOSS, "the victim's call succeeded, the mate's did not");
    step_kill(mate);
}

/* After the victim's death. */
static void settle(const struct operation *operation, pid_t victim, pid_t mate, unsigned descriptors)
{
    int result;

    step_kill(victim);
    if (mate > 0)
        check_mate(operation, mate);
    /* Where the victim had no link perhaps nobody tells of its end. */
    while ((result = hear(told_of_end ? GNL_NOWAIT : operation->bare ? gnl_ms(10) : PATIENCE_NS)) == 0)
        ;
    if (!told_of_end && !operation->bare)
        found(HANG, "the victim's end was not told: %d", result);
    uint64_t told = atomic_load(&stage->told), trying = atomic_load(&stage->trying);
    if (mate == 0 && (next < told || next > trying))
        found(LOSS, "%llu messages sent, %llu begun, %llu received", (unsigned long long)told,
              (unsigned long long)trying, (unsigned long long)next);
    result = gnl_send_to(me, "victim", "x", 1, GNL_NOWAIT);
    if (result == -EPIPE)
        result = gnl_send_to(me, "victim", "x", 1, GNL_NOWAIT);
    if (result != -ENOENT)
        found(WRONG, "sending to the dead gave %d", result);
    use_other_link("victim"); /* the name is free, and the next of it is another */
    if (mate > 0) {
        gnl_identity *other;
        if (gnl_identity_claim(&other, "mate") != 0 || gnl_identity_release(other) != 0)
            found(WRONG, "the mate's name: %s", gnl_error_detail());
    }
    gnl_identity_release(me);
    unsigned now = count_descriptors();
    if (now != descriptors)
        found(LEAK, "%u descriptors, not %u", now, descriptors);
}

/* ---- runs ---- */

static void check_result(const struct operation *operation)
{
    int result = atomic_load(&stage->result);

    if (result != operation->result && !(operation->result != 0 && result == 0))
        found(WRONG, "the operation returned %d, not %d", result, operation->result);
}

/* One run. `trace`: it is to be recorded, to the end; else the way to `step`. */
static void play(const struct plan *plan, struct trace *trace, enum mode mode, uint64_t step,
                 uintptr_t *address)
{
    const struct operation *operation = &links_operations[plan->operation];
    unsigned descriptors = count_descriptors();
    pid_t victim, mate;

    if (set_stage(operation, &victim, &mate)) {
        enum stepped stepped =
            trace ? trace_record(trace, victim, NULL) : trace_follow(&plan->victim, victim, step, address);
        if (stepped != STEPPED) {
            if (at_mark(stepped, "victim") && at_mark(step_run_traced(victim), "victim"))
                check_result(operation);
        } else if (mode == STOP && at_mark(step_leave_stopped(victim), "victim")) {
            go_on(operation);
            if (at_mark(step_run_stopped(victim), "victim, stopped for a while,") &&
                at_mark(step_run_stopped(victim), "victim, stopped for a while,"))
                check_result(operation);
        }
    }
    settle(operation, victim, mate, descriptors);
    check_directory(".claims");
}

/* The shortest way of a few through the operation: one on which the victim had to wait is mostly waiting. */
static void scout(struct plan *plan)
{
    uintptr_t address;

    play(plan, &plan->victim, KILL, 0, &address);
    for (unsigned i = 1; i < RECORDS; i++) {
        struct trace again = { 0 };
        play(plan, &again, KILL, 0, &address);
        if (again.steps > 0 && again.steps < plan->victim.steps) {
            struct trace longer = plan->victim;
            plan->victim = again;
            again = longer;
        }
        trace_free(&again);
    }
}

static void run(const struct plan *plan, enum mode mode, uint64_t step, uintptr_t *address)
{
    play(plan, NULL, mode, step, address);
}

static void prepare(void)
{
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED) {
        perror("torture_links: cannot prepare");
        _exit(2);
    }
}

static struct title title(size_t number)
{
    return (struct title){ links_operations[number].name, links_operations[number].what, 1 };
}

int main(int argc, char **argv)
{
    const struct torture links = {
        .program = "torture_links",
        .operations = links_operations_count,
        .title = title,
        .prepare = prepare,
        .scout = scout,
        .run = run,
    };

    return driver_main(&links, argc, argv);
}
