/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers have done and found so far, in memory that they share with the program that
 * started them; and how it is told: a line that moves on a terminal, findings as they come, a table
 * at the end.
 */
#ifndef TORTURE_REPORT_H
#define TORTURE_REPORT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "driver.h"
#include "findings.h"

#define OPERATIONS_MOST 64

struct tally {
    _Atomic uint64_t steps;
    atomic_uint points[MODES];
    atomic_uint findings[FINDINGS];
    atomic_uint runs_with_findings;
};

struct report {
    atomic_uint next;           /* the operation that nobody has begun yet */
    atomic_uint ended;          /* operations */
    _Atomic int64_t longest_ns; /* that a survivor had to wait */
    struct tally tallies[OPERATIONS_MOST];
};

/* A worker has made a run: counts what it found, and describes it. */
void report_run(struct report *report, size_t operation, const char *name, const char *when, uint64_t step,
                uintptr_t address);

/* On a terminal: how far it is. */
void report_progress(const struct report *report, size_t operations, unsigned operations_chosen);

/* The table: a row for an operation with runs; the sentence at the end. */
void report_heading(void);
void report_row(const struct report *report, size_t operation, const char *name);
void report_total(const struct report *report, size_t operations, double seconds);

/* How many runs found something. */
unsigned report_failed(const struct report *report, size_t operations);

#endif
