/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The looks at a pipeline, live on a terminal that is standard error: a block of lines, drawn again and
 * again in place. It begins with an empty line, on which the cursor is left, so that what a stage writes to
 * the same terminal stands there, and the next block below it.
 */
#ifndef TOOL_RUN_WATCH_H
#define TOOL_RUN_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "run_look.h"

struct run_watch {
    struct run_looks looks;
    int terminal; /* to be drawn on: one that has been stopped has nobody wait; -1: none */
    bool shown;   /* a block stands there */
    int64_t next_ns;
};

/*
 * A pipeline that has been started; `live`: drawn, if standard error is a terminal. 0; negative after a
 * complaint.
 */
int run_watch_begin(struct run_watch *watch, gnl_pipeline *pipeline, bool live);

/*
 * Looks, and draws, until all stages have ended: 0. None has been reaped then: gnl_pipeline_wait does not
 * wait. Sooner: -ETIMEDOUT, -EINTR a signal came; to be called again; or another code, with a sentence.
 */
int run_watch_wait(struct run_watch *watch, int64_t timeout);

/* Takes the block away; the looks stay. */
void run_watch_clear(struct run_watch *watch);

void run_watch_end(struct run_watch *watch);

#endif
