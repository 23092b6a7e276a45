/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying what another core has just had in its cache, or is about to read.
 *
 * Which way to copy is the fastest depends on where the host has put the cores: what libc takes for large
 * blocks is best within one core, and may be several times slower than another way between two. A
 * receiver's other way is a loop of vector loads and stores, a sender's are stores past the caches, which
 * fetch nothing from the far side first (docs/performance.md).
 *
 * Only the clock can tell, and only of both sides together: stores past the caches are cheap for who makes
 * them, and may be dear for who reads. So what counts is how long a stretch of messages takes, waiting
 * included, once the queue is as full or empty as it gets in that way. Now and then the two ways are
 * compared, two stretches each; the other way is taken when it takes a quarter less time. It is not even
 * tried for so long where its copies alone take longer than that.
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

#define GNLI_LARGE ((size_t)16384)   /* bytes from which on how a message is copied matters, */
#define GNLI_HUGE  ((size_t)1 << 19) /* and up to which: more than a core's own cache holds goes libc's way */

/* libc's way, and another. */
enum gnli_copy_way { GNLI_COPY_LIBC, GNLI_COPY_OTHER, GNLI_COPY_WAYS };

struct gnli_copying {
    _Atomic uint32_t way;     /* of this stretch */
    _Atomic uint32_t settled; /* what was found best */
    _Atomic uint32_t left;    /* large copies until the stretch ends */
    _Atomic uint32_t measure; /* so many of these at its end are measured, if it is one that is compared */
    _Atomic uint32_t glances; /* so many copies of the other way are still to be timed by themselves, */
    _Atomic uint64_t glanced; /* and the quickest that was: nanoseconds a mebibyte */
    _Atomic uint32_t stretch; /* its number in the round, from 1 on */
    _Atomic uint32_t round;   /* stretches from one comparison to the next: doubles if that changed nothing */
    _Atomic int64_t since_ns; /* when the measured part began, and what it has copied */
    _Atomic uint64_t bytes;
    _Atomic uint64_t pace[GNLI_COPY_WAYS]; /* the best one of the comparison: nanoseconds a mebibyte */
};

typedef void gnli_copy_other(void *to, const void *from, size_t size);

gnli_copy_other gnli_copy_by_vectors;  /* for who reads */
gnli_copy_other gnli_copy_past_caches; /* for who writes: all is there for others when it returns */

void gnli_copy_large(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                     size_t size, int64_t slack);

/* `slack`: messages by which one side may be ahead of the other; a negative one is no limit. */
static inline void gnli_copy(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                             size_t size, int64_t slack)
{
    if (size < GNLI_LARGE || size > GNLI_HUGE)
        memcpy(to, from, size);
    else
        gnli_copy_large(copying, other, to, from, size, slack);
}

#endif
