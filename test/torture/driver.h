/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of the torture have in common: the command line, workers that share the operations and
 * have a runtime directory each, the points at which an operation is disturbed, and the table at the end.
 *
 * A program says what is tortured; a run is an operation that is prepared, stepped into, and killed or
 * stopped there, whereupon survivors show that they can go on and that nothing is missing. What is not as it
 * has to be is found() (findings.h).
 */
#ifndef TORTURE_DRIVER_H
#define TORTURE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "step.h"
#include "trace.h"

enum mode { KILL, STOP, MODES };

/* What a first run finds out about an operation. */
struct plan {
    size_t operation;    /* its number */
    struct trace victim; /* the way through it */
    uint64_t *points; /* the steps after which the victim is to be killed or stopped; the last is its end */
    size_t count;
};

struct title {
    const char *name, *what;
    unsigned coarser; /* in the short form, so many times fewer points: each takes long; 0 is 1 */
};

struct torture {
    const char *program;
    size_t operations;
    struct title (*title)(size_t operation);
    void (*prepare)(void); /* once in each worker, whose runtime directory is there; or NULL */
    /* The first run, to the end, undisturbed but for the stepping: finds the way through. */
    void (*scout)(struct plan *plan);
    /* One run; *address: where the victim stood, left alone at its end. */
    void (*run)(const struct plan *plan, enum mode mode, uint64_t step, uintptr_t *address);
};

/* The whole program: its exit status. */
int driver_main(const struct torture *torture, int argc, char **argv);

/* Has the process come to its next mark? If not, that is found. */
bool at_mark(enum stepped stepped, const char *who);

/* What the runtime directory has but `kept` (or NULL) was left behind: that is found, and removed. */
void check_directory(const char *kept);

#endif
