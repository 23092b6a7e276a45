/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way through an operation: where a process stood after each step, recorded once by stepping
 * through all of it, and how to bring another process to the same step without stepping all the way:
 * it runs to a breakpoint at an instruction on the way and is single-stepped from there. The driven
 * processes are forked from one parent, so that all have the same addresses.
 */
#ifndef TORTURE_TRACE_H
#define TORTURE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "step.h"

struct trace_point {
    uintptr_t address; /* of the next instruction */
    uint32_t visit; /* how often the process has come to it, this time included; 0: no fit for a breakpoint */
    uint32_t eventful; /* the step before changed shared memory, or it or the next is a system call */
};

struct trace {
    struct trace_point *points; /* [0]: at the mark */
    uint64_t steps;             /* to the end */
};

enum seen { SEEN_NOTHING, SEEN_CHANGE /* in shared memory */, SEEN_ENOUGH /* record no further */ };

/*
 * Steps through to the next mark and records it. `look`, if given, is called after every step and told
 * whether it was a system call.
 */
enum stepped trace_record(struct trace *trace, pid_t pid, enum seen (*look)(pid_t pid, bool system_call));

/* Brings a process that stands at the mark to that step, *arrived. STEPPED_TO_END if it ends before. */
enum stepped trace_follow(const struct trace *trace, pid_t pid, uint64_t step, uintptr_t *arrived);

void trace_free(struct trace *trace);

#endif
