/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same work done in several ways, each in a process of its own, in turn within each round; a ratio to
 * the first way of its group is taken round by round. `ginnel bench spawn` and `pipeline` are tables of
 * these.
 */
#ifndef BENCH_WAYS_H
#define BENCH_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "bench/bench.h"

/* Does the work once; false: it could not. */
typedef bool way_once(void);

struct way {
    const char *name, *title;
    way_once *once;       /* NULL: a program of bench/peers/ does it */
    const char *needs;    /* the program that `once` runs; NULL: none that might be missing */
    const char *program;  /* its name */
    const char *argument; /* its third; NULL: none */
};

/* Ways beside each other; the first is the reference. */
struct way_group {
    const char *name, *title;
    const struct way *ways;
    unsigned count;
    unsigned times, quick_times; /* that each does it in a round */
    bool pinned;                 /* to the first core, with all that it starts */
    size_t touched;              /* bytes of memory that the process has touched */
    double bytes;                /* that are moved each time; 0: it is not about that */
};

#define WAY_GROUPS_MAX 6
#define WAYS_MAX       8 /* of a group */

struct way_kind {
    const char *name;      /* "spawn": as in `ginnel bench spawn`, and of the file that is kept */
    const char *group_key; /* of a row in JSON */
    const char *ratio_key;
    const struct way_group *groups;
    unsigned count;
    bool (*begin)(void); /* before the rounds; NULL: nothing to be done. False after a complaint */
    void (*end)(void);
};

/* Returns as bench_mailbox does. */
int ways_bench(const struct bench_request *request, const struct way_kind *kind);

/*
 * The median time of so many, in nanoseconds, after a few that do not count, in a process that has touched
 * so many bytes, page by page. Negative: failed. For programs of bench/peers/, too.
 */
double ways_measure(way_once *once, unsigned times, size_t touched);

/* Reaps it: true if it exited with 0. */
bool ways_reap(pid_t pid);

#endif
