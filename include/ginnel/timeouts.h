/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeouts: relative, in nanoseconds, int64_t everywhere. A signal handler that interrupts a wait
 * does not end it and does not lengthen it.
 */
#ifndef GINNEL_TIMEOUTS_H
#define GINNEL_TIMEOUTS_H

#include <stdint.h>

#define GNL_NOWAIT  ((int64_t)0)  /* do not wait: -EAGAIN instead */
#define GNL_FOREVER ((int64_t)-1) /* wait as long as it takes; other negative values are -EINVAL */

static inline int64_t gnl_us(int64_t microseconds)
{
    return microseconds * 1000;
}
static inline int64_t gnl_ms(int64_t milliseconds)
{
    return milliseconds * 1000000;
}
static inline int64_t gnl_s(int64_t seconds)
{
    return seconds * 1000000000;
}

#endif
