/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An end for work whose length shared memory decides. Of honest members' words it is soon over; a hostile
 * one can name billions of places, or change a word each time that it is looked at. Whoever loops over
 * such words spends a budget, and gives up when it is gone: with -EAGAIN, or leaving the rest for later.
 *
 * It is time of this thread on the processor: who was stopped or starved in the midst of an honest loop
 * has lost nothing. The clock is looked at every so many steps; a short loop never looks.
 */
#ifndef GNLI_BASE_BUDGET_H
#define GNLI_BASE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define GNLI_STEPS_A_LOOK 1024
#define GNLI_STEP_KERNEL  64 /* a step that asks the kernel something */

struct gnli_budget {
    int64_t allowed_ns; /* from the first look on */
    int64_t end_ns;     /* 0: not looked yet */
    uint64_t steps;
};

/* Spends so many steps; true: it is gone. */
static inline bool gnli_budget_spent(struct gnli_budget *budget, uint64_t steps)
{
    budget->steps += steps;
    if (budget->steps < GNLI_STEPS_A_LOOK)
        return false;
    budget->steps = 0;
    int64_t now = gnli_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (budget->end_ns == 0)
        budget->end_ns = now + budget->allowed_ns;
    return now >= budget->end_ns;
}

#endif
