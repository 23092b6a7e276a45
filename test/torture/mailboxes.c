/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction, on mailboxes: a process is single-stepped into each operation
 * and killed after step 1, 2, 3, … to the end; then stopped there instead, and continued later. After
 * each, survivors must finish their own operations, every message must be accounted for, and nothing
 * may be left behind.
 *
 * Run by `make torture` with --full, and by the tests with --every 7.
 */

#include "audit.h"
#include "driver.h"
#include "findings.h"
#include "operations.h"
#include "scene.h"
#include "survivors.h"

#define SECONDS_MOST 40                   /* that a run may take before what does not come back is given up */
#define BLOCK_BYTES  ((uint64_t)64 << 10) /* of small chunks */
#define SLOTS_BYTES  ((uint64_t)256 << 10) /* of an unbounded queue that come and go together */

/* Of the operation that is tortured, what else its first run found out. */
static struct trace remains;
static uint64_t usual_bytes; /* of memory that the mailbox has at the end of an undisturbed run */

static const struct operation *operation_of(const struct plan *plan)
{
    return &operations[plan->operation];
}

/* ---- remains ---- */

static enum seen until_claimed(pid_t pid, bool system_call)
{
    struct gnl_participant participant;

    scene_participant(pid, &participant);
    return participant.claimed > 0 ? SEEN_ENOUGH : SEEN_NOTHING;
}

static enum seen until_taken(pid_t pid, bool system_call)
{
    audit_open();
    return audit_taken() ? SEEN_ENOUGH : SEEN_NOTHING;
}

static bool stays(const struct operation *operation)
{
    return operation->leave == LEFT_STOPPED_CLAIMING || operation->leave == LEFT_STOPPED_TAKING;
}

/* Where the remains stay in their operation; NULL: at its end, or anywhere. */
static enum seen (*where_left(const struct operation *operation))(pid_t pid, bool system_call)
{
    switch (operation->leave) {
    case LEFT_CLAIMING:
    case LEFT_STOPPED_CLAIMING:
        return until_claimed;
    case LEFT_STOPPED_TAKING:
        return until_taken;
    case LEFT_ANYWHERE:
    case LEFT_AT_END:
        break;
    }
    return NULL;
}

/* The other process goes as far as the row says. `record`: for the first time. */
static bool leave_remains(const struct operation *operation, struct cast *cast, uint64_t step, bool record)
{
    uintptr_t address;
    enum stepped stepped;

    sem_post(&scene->remains_go);
    if (!at_mark(step_await_mark(cast->remains), "remains"))
        return false;
    if (record) {
        stepped = trace_record(&remains, cast->remains, where_left(operation));
    } else {
        uint64_t steps = remains.steps;
        uint64_t there = operation->leave == LEFT_ANYWHERE ? 1 + step * 7919 % (steps + 1)
                         : where_left(operation)           ? steps
                                                           : steps + 1;
        stepped = trace_follow(&remains, cast->remains, there, &address);
    }
    if (stepped != STEPPED && !at_mark(stepped, "remains"))
        return false;
    if (!stays(operation)) {
        step_kill(cast->remains);
        cast->remains = 0;
    }
    return true;
}

/* A process that was left stopped goes on and does what it was about to. */
static void release_remains(struct cast *cast)
{
    if (cast->remains == 0)
        return;
    if (at_mark(step_run_traced(cast->remains), "stopped process"))
        at_mark(step_run_traced(cast->remains), "stopped process");
    step_kill(cast->remains);
    cast->remains = 0;
}

/* ---- the stage ---- */

static bool set_stage(const struct operation *operation, struct cast *cast, uint64_t step, bool record)
{
    step_deadline(SECONDS_MOST);
    scene_fork(cast, operation);
    if (!operation->absent &&
        gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .capacity = operation->capacity }) != 0) {
        found(WRONG, "the mailbox could not be made: %s", gnl_error_detail());
        return false;
    }
    if (operation->set)
        operation->set();
    sem_post(&scene->victim_go);
    if (!at_mark(step_await_mark(cast->victim), "victim"))
        return false;
    if (operation->leave_run && !leave_remains(operation, cast, step, record))
        return false;
    if (operation->again)
        operation->again();
    survivors_begin(operation, cast);
    return true;
}

static void check_result(const struct operation *operation, bool disturbed)
{
    int64_t least = operation->result, most = operation->result;

    if (disturbed && operation->or_result < least)
        least = operation->or_result;
    if (disturbed && operation->or_result > most)
        most = operation->or_result;
    if (scene->result < least || scene->result > most)
        found(WRONG, "the operation returned %zd, not %lld", scene->result, (long long)operation->result);
}

/* The operation is over: the victim enters the outcome in the ledger. */
static void let_it_record(const struct operation *operation, pid_t victim)
{
    if (at_mark(step_run_traced(victim), "victim"))
        check_result(operation, false);
}

static void settle(const struct operation *operation, struct cast *cast, uint64_t step, uint64_t *bytes)
{
    step_kill(cast->victim);
    cast->victim = 0;
    release_remains(cast);
    survivors_settle(operation, cast, step, bytes);
}

/* ---- the first run ---- */

static enum seen look_for_changes(pid_t pid, bool system_call)
{
    return audit_changed(system_call) ? SEEN_CHANGE : SEEN_NOTHING;
}

static void scout(struct plan *plan)
{
    const struct operation *operation = operation_of(plan);
    struct cast cast;

    trace_free(&remains);
    if (set_stage(operation, &cast, 0, true)) {
        audit_watch();
        enum stepped stepped = trace_record(&plan->victim, cast.victim, look_for_changes);
        if (at_mark(stepped, "victim")) {
            let_it_record(operation, cast.victim);
            settle(operation, &cast, 1, &usual_bytes);
        }
    }
    scene_clear(&cast);
}

/* ---- the others ---- */

/* The victim stays where it is, stopped; the survivors work; then it goes on. */
static void stop_for_a_while(const struct operation *operation, struct cast *cast, uint64_t step)
{
    if (!at_mark(step_leave_stopped(cast->victim), "victim"))
        return;
    release_remains(cast);
    survivors_go_on(operation, step);
    if (at_mark(step_run_stopped(cast->victim), "victim, stopped for a while,") &&
        at_mark(step_run_stopped(cast->victim), "victim, stopped for a while,"))
        check_result(operation, true);
}

static void run(const struct plan *plan, enum mode mode, uint64_t step, uintptr_t *address)
{
    const struct operation *operation = operation_of(plan);
    struct cast cast;
    uint64_t bytes = 0;

    if (set_stage(operation, &cast, step, false)) {
        enum stepped stepped = trace_follow(&plan->victim, cast.victim, step, address);
        if (stepped == STEPPED && mode == STOP)
            stop_for_a_while(operation, &cast, step);
        else if (stepped != STEPPED && at_mark(stepped, "victim"))
            let_it_record(operation, cast.victim);
        settle(operation, &cast, step, &bytes);
        /* Two that need chunks at the same time may both make a block. */
        uint64_t most = usual_bytes + (mode == STOP ? BLOCK_BYTES : 0);
        if (operation->capacity == GNL_UNBOUNDED) /* consumed slots go back when the next block is consumed */
            most += SLOTS_BYTES;
        if (bytes > most && !operation->removes)
            found(LEAK, "the mailbox has %llu bytes of memory, %llu if nobody is killed",
                  (unsigned long long)bytes, (unsigned long long)usual_bytes);
    }
    scene_clear(&cast);
}

static struct title title(size_t number)
{
    const struct operation *operation = &operations[number];

    return (struct title){ operation->name, operation->what, operation->coarser };
}

int main(int argc, char **argv)
{
    const struct torture mailboxes = {
        .program = "torture",
        .operations = operations_count,
        .title = title,
        .prepare = scene_prepare,
        .scout = scout,
        .run = run,
    };

    return driver_main(&mailboxes, argc, argv);
}
