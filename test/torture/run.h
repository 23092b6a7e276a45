/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: an operation is prepared, stepped into, and killed or stopped there; the survivors then
 * show that they can go on and that nothing is missing.
 */
#ifndef TORTURE_RUN_H
#define TORTURE_RUN_H

#include <stdint.h>

#include "operations.h"
#include "trace.h"

enum mode { KILL, STOP, MODES };

/* What a first run finds out about an operation. */
struct plan {
    const struct operation *operation;
    struct trace victim;
    struct trace remains;
    uint64_t bytes;   /* of memory that the mailbox has at the end of an undisturbed run */
    uint64_t *points; /* the steps after which the victim is to be killed or stopped; the last is its end */
    size_t count;
};

/* The first run, to the end, undisturbed but for the stepping. Its findings are those of the operation. */
void run_scout(struct plan *plan, const struct operation *operation);
void plan_free(struct plan *plan);

/* One run; *address: where the victim stood, 0 at its end. What was found is in scene->findings. */
void run_once(const struct plan *plan, enum mode mode, uint64_t step, uintptr_t *address);

#endif
