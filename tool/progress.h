/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line on the terminal that tells how a long send gets on: count, rate, depth of the queue. It
 * shows itself only if standard error is a terminal, and only once the send takes long.
 */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include <ginnel/port.h>

#define PROGRESS_NS ((int64_t)200000000) /* between two looks */

struct progress {
    bool on;    /* a terminal is watching */
    bool shown; /* a line stands there */
    int64_t start_ns, next_ns;
};

/* `wanted` false: silent whatever standard error is. */
void progress_begin(struct progress *progress, bool wanted);

/* Call it often: it looks at the clock, and seldom does more. */
void progress_tick(struct progress *progress, gnl_port *port, uint64_t sent);

/* Takes the line away and, if there was one, says how it ended. */
void progress_end(struct progress *progress, uint64_t sent);

#endif
