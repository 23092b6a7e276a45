/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monotonic clock, and deadlines made from the API's timeouts.
 */
#ifndef GNLI_BASE_CLOCK_H
#define GNLI_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define GNLI_NEVER INT64_MAX /* a deadline that does not come */

static inline int64_t gnli_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t gnli_now_ns(void)
{
    return gnli_clock_ns(CLOCK_MONOTONIC);
}

/* Some milliseconds coarse, and ten times cheaper. */
static inline int64_t gnli_tick_ns(void)
{
    return gnli_clock_ns(CLOCK_MONOTONIC_COARSE);
}

/* Of a valid timeout: GNL_FOREVER (-1) and what lies past the end of time never come. */
static inline int64_t gnli_deadline_ns(int64_t timeout)
{
    int64_t deadline;

    if (timeout < 0 || __builtin_add_overflow(gnli_now_ns(), timeout, &deadline))
        return GNLI_NEVER;
    return deadline;
}

#endif
