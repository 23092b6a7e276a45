/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <stdlib.h>

#include "audit.h"
#include "scene.h"
#include "survivors.h"

#define SECONDS_MOST      40   /* that a run may take before what does not come back is given up */
#define EVERY_INSTRUCTION 3000 /* longer operations are stopped at their events and now and then */
#define NOW_AND_THEN      50
#define BLOCK_BYTES       ((uint64_t)64 << 10)  /* of small chunks */
#define SLOTS_BYTES       ((uint64_t)256 << 10) /* of an unbounded queue that come and go together */

static bool at_mark(enum stepped stepped, const char *who)
{
    if (stepped == STEPPED_TO_END)
        return true;
    if (stepped == STEPPED_LATE)
        found(HANG, "the %s does not come to its end", who);
    else
        found(WRONG, "the %s died of something", who);
    return false;
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
static bool leave_remains(struct plan *plan, struct cast *cast, uint64_t step, bool record)
{
    const struct operation *operation = plan->operation;
    uintptr_t address;
    enum stepped stepped;

    sem_post(&scene->remains_go);
    if (!at_mark(step_await_mark(cast->remains), "remains"))
        return false;
    if (record) {
        stepped = trace_record(&plan->remains, cast->remains, where_left(operation));
    } else {
        uint64_t steps = plan->remains.steps;
        uint64_t there = operation->leave == LEFT_ANYWHERE ? 1 + step * 7919 % (steps + 1)
                         : where_left(operation)           ? steps
                                                           : steps + 1;
        stepped = trace_follow(&plan->remains, cast->remains, there, &address);
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

static bool set_stage(struct plan *plan, struct cast *cast, uint64_t step, bool record)
{
    const struct operation *operation = plan->operation;

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
    if (operation->leave_run && !leave_remains(plan, cast, step, record))
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

static void settle(struct plan *plan, struct cast *cast, uint64_t step, uint64_t *bytes)
{
    step_kill(cast->victim);
    cast->victim = 0;
    release_remains(cast);
    survivors_settle(plan->operation, cast, step, bytes);
}

/* ---- the first run ---- */

static enum seen look_for_changes(pid_t pid, bool system_call)
{
    return audit_changed(system_call) ? SEEN_CHANGE : SEEN_NOTHING;
}

static void choose_points(struct plan *plan)
{
    const struct trace *trace = &plan->victim;

    plan->points = calloc(trace->steps + 2, sizeof *plan->points);
    if (!plan->points)
        abort();
    for (uint64_t step = 1; step <= trace->steps; step++) {
        const struct trace_point *point = &trace->points[step];
        bool repeated =
            point->address == trace->points[step - 1].address; /* amid copying or clearing memory */
        if (trace->steps <= EVERY_INSTRUCTION || point->eventful || (step % NOW_AND_THEN == 0 && !repeated))
            plan->points[plan->count++] = step;
    }
    plan->points[plan->count++] = trace->steps + 1;
}

void run_scout(struct plan *plan, const struct operation *operation)
{
    struct cast cast;

    *plan = (struct plan){ .operation = operation };
    if (set_stage(plan, &cast, 0, true)) {
        audit_watch();
        enum stepped stepped = trace_record(&plan->victim, cast.victim, look_for_changes);
        if (at_mark(stepped, "victim")) {
            let_it_record(operation, cast.victim);
            settle(plan, &cast, 1, &plan->bytes);
        }
    }
    scene_clear(&cast);
    choose_points(plan);
}

void plan_free(struct plan *plan)
{
    trace_free(&plan->victim);
    trace_free(&plan->remains);
    free(plan->points);
    *plan = (struct plan){ 0 };
}

/* ---- the others ---- */

/* The victim stays where it is, stopped; the survivors work; then it goes on. */
static void stop_for_a_while(struct plan *plan, struct cast *cast, uint64_t step)
{
    const struct operation *operation = plan->operation;

    if (!at_mark(step_leave_stopped(cast->victim), "victim"))
        return;
    release_remains(cast);
    survivors_go_on(operation, step);
    if (at_mark(step_run_stopped(cast->victim), "victim, stopped for a while,") &&
        at_mark(step_run_stopped(cast->victim), "victim, stopped for a while,"))
        check_result(operation, true);
}

void run_once(const struct plan *given, enum mode mode, uint64_t step, uintptr_t *address)
{
    struct plan plan = *given;
    struct cast cast;
    uint64_t bytes = 0;

    *address = 0;
    if (set_stage(&plan, &cast, step, false)) {
        enum stepped stepped = trace_follow(&plan.victim, cast.victim, step, address);
        if (stepped == STEPPED && mode == STOP)
            stop_for_a_while(&plan, &cast, step);
        else if (stepped != STEPPED && at_mark(stepped, "victim"))
            let_it_record(plan.operation, cast.victim);
        settle(&plan, &cast, step, &bytes);
        /* Two that need chunks at the same time may both make a block. */
        uint64_t most = plan.bytes + (mode == STOP ? BLOCK_BYTES : 0);
        if (plan.operation->capacity ==
            GNL_UNBOUNDED) /* consumed slots go back when the next block is consumed */
            most += SLOTS_BYTES;
        if (bytes > most && !plan.operation->removes)
            found(LEAK, "the mailbox has %llu bytes of memory, %llu if nobody is killed",
                  (unsigned long long)bytes, (unsigned long long)plan.bytes);
    }
    scene_clear(&cast);
}
