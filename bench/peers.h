/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ginnel beside its peers: what is measured, and what came of it. peers.c runs the programs of bench/peers/
 * in turn, peers_report.c writes the table, the JSON and the charts.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/bench.h"

/* What all are to do. */
struct peers_work {
    const char *name, *title;
    const char *pattern; /* the program's argument: busy, asleep or stream */
    unsigned size, senders;
};

struct contender {
    const char *name;    /* the peer's, in its program */
    const char *program; /* peer-… */
    const char *title;
    bool ours;
};

#define PEERS_WORKS_MAX 10
#define CONTENDERS_MAX  24
#define REFERENCE       0 /* the contender that ratios are to */

enum outcome_state {
    NOT_WANTED = 0,
    MEASURED,
    CANNOT,  /* not this work */
    MISSING, /* not installed */
    FAILED,
};

struct outcome {
    enum outcome_state state;
    char why[200]; /* CANNOT */
    double ns[BENCH_ROUNDS_MAX];
    double p99_ns[BENCH_ROUNDS_MAX];
    uint64_t sent, received; /* of all rounds */
};

struct peers_report {
    const struct peers_work *works;
    const struct contender *contenders;
    unsigned work_count, contender_count;
    unsigned rounds;
    bool quick;
    struct outcome outcomes[PEERS_WORKS_MAX][CONTENDERS_MAX];
};

/* Writes the path of a program of bench/peers/. False: it was not built, for want of its library. */
bool peers_find(const char *program, char path[4096]);

void peers_table(const struct peers_report *report);

void peers_json(FILE *file, const struct peers_report *report);

void peers_charts(const struct peers_report *report, const char *directory);

#endif
