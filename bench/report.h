/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured, as a table for people or as JSON. The table goes to standard output.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdio.h>

#include "bench/bench.h"
#include "bench/rows.h"

struct report {
    const char *kind;  /* "mailbox", "direct" */
    const char *title; /* "Mailboxes", "Direct links" */
    const struct row *rows;
    unsigned count; /* of rows */
    unsigned rounds;
    bool quick;
    bool wanted[ROWS_MAX]; /* rows that were measured */
    struct crew_result results[ROWS_MAX][BENCH_ROUNDS_MAX];
};

void report_table(const struct report *report);
void report_json(FILE *file, const struct report *report);

#endif
