/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying what another core has just had in its cache, or is about to read.
 *
 * Which way to copy is the fastest depends on where the host has put the cores: what libc takes for large
 * blocks is best within one core, and may be several times slower than another way between two. A
 * receiver's other way is a loop of vector loads and stores, a sender's are stores past the caches, which
 * fetch nothing from the far side first (docs/performance.md). Only the clock can tell: now and then both
 * ways are measured, a few copies each, and the other way is taken while it is faster by a third.
 *
 * One of these a port and direction; threads may share it, since it only advises.
 *
 *   A: relaxed: advice that may be old or lost.
 */
#ifndef GNLI_MEMORY_COPY_H
#define GNLI_MEMORY_COPY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GNLI_LARGE ((size_t)16384) /* bytes from which on how a message is copied matters */

/* libc's way, and another. */
enum gnli_copy_way { GNLI_COPY_LIBC, GNLI_COPY_OTHER, GNLI_COPY_WAYS };

struct gnli_copying {
    _Atomic uint32_t turn;                 /* large copies so far */
    _Atomic uint32_t way;                  /* what has been found best */
    _Atomic uint32_t pace[GNLI_COPY_WAYS]; /* the best one measured last: picoseconds a byte */
};

typedef void gnli_copy_other(void *to, const void *from, size_t size);

gnli_copy_other gnli_copy_by_vectors;  /* for who reads */
gnli_copy_other gnli_copy_past_caches; /* for who writes: all is there for others when it returns */

void gnli_copy_large(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                     size_t size);

static inline void gnli_copy(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                             size_t size)
{
    if (size < GNLI_LARGE)
        memcpy(to, from, size);
    else
        gnli_copy_large(copying, other, to, from, size);
}

#endif
