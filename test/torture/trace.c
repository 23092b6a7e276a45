/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include <stdlib.h>

#define STEPS_MAX   ((uint64_t)1 << 20)
#define SEARCH_MOST 6000 /* steps before the target that are looked at for a breakpoint */
#define PASS_COST   3    /* coming past a breakpoint, in steps */

extern const char __executable_start[], etext[];

/* Breakpoints are in the program's own code: where the C library or the kernel's page loops is theirs. */
static bool fit(uintptr_t address)
{
    return address >= (uintptr_t)__executable_start && address < (uintptr_t)etext;
}

/* How often each address was visited: a table of our own code's bytes. */
static uint32_t *visits;

static uint32_t visit(uintptr_t address)
{
    return fit(address) ? ++visits[address - (uintptr_t)__executable_start] : 0;
}

enum stepped trace_record(struct trace *trace, pid_t pid, enum seen (*look)(pid_t pid, bool system_call))
{
    size_t room = 1024;
    enum stepped stepped = STEPPED;

    *trace = (struct trace){ .points = calloc(room, sizeof *trace->points) };
    visits = calloc((size_t)(etext - __executable_start) + 1, sizeof *visits);
    if (!trace->points || !visits)
        abort();
    trace->points[0].address = step_address(pid);
    for (uint64_t i = 1; i < STEPS_MAX; i++) {
        bool system_call = step_is_system_call(trace->points[i - 1].address);
        stepped = step_once(pid);
        if (stepped != STEPPED)
            break;
        if (i == room) {
            room *= 2;
            trace->points = realloc(trace->points, room * sizeof *trace->points);
            if (!trace->points)
                abort();
        }
        uintptr_t address = step_address(pid);
        bool repeated = address == trace->points[i - 1].address;
        enum seen seen = look ? look(pid, system_call) : SEEN_NOTHING;
        trace->points[i] = (struct trace_point){
            .address = address,
            .visit = repeated ? 0 : visit(address),
            .eventful = seen == SEEN_CHANGE || system_call || step_is_system_call(address),
        };
        trace->steps = i;
        if (seen == SEEN_ENOUGH)
            break;
    }
    free(visits);
    if (stepped == STEPPED_TO_END && trace->steps > 0)
        trace->steps--; /* with the last one the mark's own signal was on its way already */
    return stepped;
}

void trace_free(struct trace *trace)
{
    free(trace->points);
    *trace = (struct trace){ 0 };
}

/* ---- following ---- */

static enum stepped run_to(pid_t pid, uintptr_t address, uint32_t times)
{
    enum stepped stepped = STEPPED;

    while (times-- > 0 && stepped == STEPPED) {
        if (step_address(pid) == address)
            stepped = step_once(pid);
        if (stepped == STEPPED)
            stepped = step_run_to(pid, address);
    }
    return stepped;
}

/* The step from which stepping on to `step` costs least. */
static uint64_t best_start(const struct trace *trace, uint64_t step)
{
    uint64_t best = 0, best_cost = step;

    for (uint64_t i = step; i > 0 && step - i < SEARCH_MOST && step - i < best_cost; i--) {
        if (trace->points[i].visit == 0)
            continue;
        uint64_t cost = step - i + PASS_COST * (uint64_t)trace->points[i].visit;
        if (cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    return best;
}

enum stepped trace_follow(const struct trace *trace, pid_t pid, uint64_t step, uintptr_t *arrived)
{
    uint64_t taken, start = step <= trace->steps ? best_start(trace, step) : 0;
    enum stepped stepped = STEPPED;

    if (step > trace->steps)
        stepped = step_run_traced(pid);
    else if (start > 0)
        stepped = run_to(pid, trace->points[start].address, trace->points[start].visit);
    if (stepped == STEPPED)
        stepped = step_many(pid, step - start, &taken);
    *arrived = stepped == STEPPED ? step_address(pid) : 0;
    return stepped;
}
