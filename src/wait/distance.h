/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a receiver of large messages stays behind their sender.
 *
 * What was just written lies in the writing core's own cache, and comes from there several times slower
 * than from the cache that the cores share, or from memory that nobody has. So in a stream of large
 * messages it is better to be a mebibyte behind, more than a core's own cache holds; and once both run at
 * the same pace, close together or far apart, they stay so. Who finds fewer queued than half of that waits
 * for the whole, if this is a stream: that only a trial tells. Where no next message comes within a moment
 * it was none, and the next trial is later.
 *
 * Cores whose own caches are larger than that, as those of Intel's servers since Ice Lake, give each other
 * what is there as fast as what is in the shared one. There both stay close instead: the receiver does not
 * fall behind, and the sender goes around few messages and waits for a moment until one of them comes back,
 * by trials as above. (What the system calls the second cache's size may be that of several cores' together.)
 *
 * One of these a port and direction; threads may share it, since it only advises.
 *
 *   A: relaxed: advice that may be old or lost.
 */
#ifndef GNLI_WAIT_DISTANCE_H
#define GNLI_WAIT_DISTANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/port.h>

#include "memory/copy.h"
#include "wait/futex.h"

struct gnli_distance {
    _Atomic uint32_t behind;      /* messages that ought to be queued; 0: it does not matter */
    _Atomic uint32_t until_trial; /* waits until the next trial */
    _Atomic uint32_t interval;    /* between trials: doubles with each that failed */
};

#define GNLI_CLOSE ((size_t)768 << 10) /* bytes that two who are close go around, but at least 4 messages */

/* Are they to stay close? Asked of the system once. */
bool gnli_distance_close(void);

/* Does it matter for messages of that size? */
static inline bool gnli_distance_counts(size_t size)
{
    return size >= GNLI_LARGE && size <= GNLI_HUGE;
}

/* Large messages of that size that are a distance: at most 16. */
static inline uint32_t gnli_distance_of(size_t size)
{
    size_t fit = ((size_t)1 << 20) / size;

    return fit < 16 ? (uint32_t)fit : 16;
}

/* How many messages of that size, of a link with that capacity, a receiver ought to be behind. */
static inline uint32_t gnli_distance_behind(size_t size, int64_t capacity, bool close)
{
    uint32_t behind = gnli_distance_counts(size) && !close ? gnli_distance_of(size) : 0;

    return capacity != GNL_UNBOUNDED && capacity < 2 * (int64_t)behind ? 0 : behind;
}

/* A message of `size` bytes was received, whose link has that capacity. */
static inline void gnli_distance_note(struct gnli_distance *distance, size_t size, int64_t capacity)
{
    uint32_t behind = gnli_distance_behind(size, capacity, gnli_distance_close());

    if (atomic_load_explicit(&distance->behind, memory_order_relaxed) != behind) /* A */
        atomic_store_explicit(&distance->behind, behind, memory_order_relaxed);  /* A */
}

/* Not where nobody spins, nor where waiting in vain, 16 times 30 us at the longest, would be felt. */
static inline bool gnli_distance_may(int64_t timeout, struct gnli_spin *spin)
{
    return (timeout < 0 || timeout >= 1000000) && gnli_spin_budget_ns(spin) > 0;
}

/* Is the message there that comes so many after the next one? */
typedef bool gnli_there(void *context, uint32_t places);

/* Until so many are there, for a moment each, if it is time for a trial or the last one was good. */
void gnli_distance_wait(struct gnli_distance *distance, uint32_t places, int64_t moment_ns, gnli_there *there,
                        void *context);

#define GNLI_DISTANCE_MOMENT_NS ((int64_t)30000) /* twice what 64 KiB take at their slowest */

/* Before a receive that may wait: falls behind if that is what pays. */
static inline void gnli_distance_keep(struct gnli_distance *distance, gnli_there *there, void *context)
{
    uint32_t behind = atomic_load_explicit(&distance->behind, memory_order_relaxed); /* A */

    if (__builtin_expect(behind > 0, 0) && !there(context, behind / 2))
        gnli_distance_wait(distance, behind, GNLI_DISTANCE_MOMENT_NS, there, context);
}

#endif
