/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured: a row is one crew, what it is compared with, and what it aims at. The rows stand
 * in the order in which a round goes through them, each limit right before what is held against it.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include "bench/parts.h"

enum row_section { SECTION_LIMITS, SECTION_LATENCY, SECTION_THROUGHPUT, SECTIONS };

/* What a ratio is of: time over the limit's time, or rate over the limit's rate. */
enum row_compare { COMPARE_TIME, COMPARE_RATE };

#define ROW_NAME_MAX  32
#define ROW_TITLE_MAX 48

struct row {
    char name[ROW_NAME_MAX];   /* in JSON and for --only */
    char title[ROW_TITLE_MAX]; /* in the table */
    enum row_section section;
    struct crew_part parts[CREW_MAX];
    unsigned count;     /* of parts */
    unsigned mailboxes; /* 0, 1 or 2 */
    struct crew_task task;
    int limit; /* the row that it is compared with, -1: none */
    enum row_compare compare;
    double aim; /* at most (time), at least (rate); 0: none */
    bool tail;  /* samples are single events: their 99th percentile means something */
};

#define ROWS_MAX 64

/* Write the table, of mailboxes, direct links, named pipes or sockets, and return how many rows it has. */
unsigned rows_make(struct row rows[ROWS_MAX]);
unsigned rows_make_direct(struct row rows[ROWS_MAX]);
unsigned rows_make_pipe(struct row rows[ROWS_MAX]);
unsigned rows_make_socket(struct row rows[ROWS_MAX]);

/* Page faults a message that count as none. */
#define ROWS_FAULTS_AIM 0.001

#endif
