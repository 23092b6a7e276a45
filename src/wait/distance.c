/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/distance.h"

#include "base/clock.h"
#include "wait/futex.h"

#define TRIAL_FIRST 16
#define TRIAL_LAST  4096
#define MOMENT_NS   ((int64_t)30000) /* until the next message, twice what 64 KiB take at their slowest */
#define LOOKS       16               /* between two questions to the clock */

/* Until it is there, for a moment. */
static bool comes(gnli_there *there, void *context, uint32_t places)
{
    int64_t end = 0;

    do {
        for (unsigned i = 0; i < LOOKS; i++) {
            if (there(context, places))
                return true;
            gnli_pause();
        }
        if (end == 0)
            end = gnli_now_ns() + MOMENT_NS;
    } while (gnli_now_ns() < end);
    return false;
}

void gnli_distance_wait(struct gnli_distance *distance, uint32_t behind, gnli_there *there, void *context)
{
    uint32_t until = atomic_load_explicit(&distance->until_trial, memory_order_relaxed); /* A */

    if (until > 0) {
        atomic_store_explicit(&distance->until_trial, until - 1, memory_order_relaxed); /* A */
        return;
    }
    uint32_t interval = TRIAL_FIRST;
    for (uint32_t places = 1; places <= behind && until == 0; places++)
        if (!comes(there, context, places)) {
            interval = atomic_load_explicit(&distance->interval, memory_order_relaxed); /* A */
            interval = interval > TRIAL_FIRST ? interval : TRIAL_FIRST;
            until = interval;
            interval = interval < TRIAL_LAST ? 2 * interval : TRIAL_LAST;
        }
    atomic_store_explicit(&distance->until_trial, until, memory_order_relaxed); /* A */
    atomic_store_explicit(&distance->interval, interval, memory_order_relaxed); /* A */
}
