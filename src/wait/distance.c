/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/distance.h"

#include <unistd.h>

#include "base/clock.h"
#include "wait/futex.h"

#define TRIAL_FIRST 16
#define TRIAL_LAST  4096
#define LOOKS       16 /* between two questions to the clock */
#define LARGE_CACHE ((long)1 << 20)

bool gnli_distance_close(void)
{
    static _Atomic long cache; /* of a core's own, in bytes and one more; 0 not asked yet */
    long bytes = atomic_load_explicit(&cache, memory_order_relaxed); /* A */

    if (__builtin_expect(bytes == 0, 0)) {
        long told = sysconf(_SC_LEVEL2_CACHE_SIZE);
        bytes = told > 0 ? told + 1 : 1;
        atomic_store_explicit(&cache, bytes, memory_order_relaxed); /* A */
    }
    return bytes > LARGE_CACHE + 1;
}

/* Until it is there, for a moment. */
static bool comes(gnli_there *there, void *context, uint32_t places, int64_t moment_ns)
{
    int64_t end = 0;

    do {
        for (unsigned i = 0; i < LOOKS; i++) {
            if (there(context, places))
                return true;
            gnli_pause();
        }
        if (end == 0)
            end = gnli_now_ns() + moment_ns;
    } while (gnli_now_ns() < end);
    return false;
}

void gnli_distance_wait(struct gnli_distance *distance, uint32_t places, int64_t moment_ns, gnli_there *there,
                        void *context)
{
    uint32_t until = atomic_load_explicit(&distance->until_trial, memory_order_relaxed); /* A */

    if (until > 0) {
        atomic_store_explicit(&distance->until_trial, until - 1, memory_order_relaxed); /* A */
        return;
    }
    uint32_t interval = TRIAL_FIRST;
    for (uint32_t place = 1; place <= places && until == 0; place++)
        if (!comes(there, context, place, moment_ns)) {
            interval = atomic_load_explicit(&distance->interval, memory_order_relaxed); /* A */
            interval = interval > TRIAL_FIRST ? interval : TRIAL_FIRST;
            until = interval;
            interval = interval < TRIAL_LAST ? 2 * interval : TRIAL_LAST;
        }
    atomic_store_explicit(&distance->until_trial, until, memory_order_relaxed); /* A */
    atomic_store_explicit(&distance->interval, interval, memory_order_relaxed); /* A */
}
