/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline that runs, looked at again and again: often in the beginning, then four times a second. What
 * `ginnel run` shows live and in the end is made of these looks.
 */
#ifndef TOOL_RUN_LOOK_H
#define TOOL_RUN_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/ginnel.h>

#define LOOK_PERIOD_NS ((int64_t)250000000)

/* Parts of the time, as the looks found a stage, or a pipe. */
struct run_share {
    double busy; /* neither of the two */
    double reading, writing;
    double unseen;
    double fill; /* of the pipe behind the stage */
};

struct run_looks {
    gnl_pipeline *pipeline;
    size_t length; /* stages */
    struct gnl_stage_sample *stages;
    struct gnl_pipe_sample *pipes;      /* length - 1 */
    struct run_share *whole, *recently; /* since the beginning, and of the last seconds */
    double *cpu, *rate;                 /* recently: parts of a core; bytes a second, negative: unknown */
    int64_t *capacity;                  /* bytes, while there was any */
    int64_t begin_ns, last_ns, next_ns, period_ns;
    double whole_s, recent_s; /* that the looks stand for */
    unsigned count;
    size_t ended; /* stages, at the last look */
};

/* Begins with a pipeline that has been started. 0; negative after a complaint. */
int run_looks_begin(struct run_looks *looks, gnl_pipeline *pipeline);
void run_looks_end(struct run_looks *looks);

/*
 * Looks whenever it is time, and when a stage has ended, until a look is due to be shown or `timeout` (ns;
 * GNL_FOREVER) has passed. 0: all stages have ended, and none was reaped; -EAGAIN there was a look;
 * -ETIMEDOUT; -EINTR a signal came.
 */
int run_looks_wait(struct run_looks *looks, int64_t timeout);

enum run_place { RUN_NOWHERE, RUN_AT_STAGE, RUN_AT_INPUT, RUN_AT_OUTPUT };

/*
 * What all others wait for, by shares of `whole` or `recently`: the stage that least of all waits itself; or
 * who gives the first stage its input, or takes the last one's output. *stage: which. Too few looks:
 * nowhere.
 */
enum run_place run_bottleneck(const struct run_looks *looks, const struct run_share *shares, size_t *stage);

/* The same in words: "sort (stage 3)", "the input". False: nowhere. */
bool run_bottleneck_text(char *text, size_t room, const struct run_looks *looks, enum run_place place,
                         size_t stage);

/* Bytes with a unit, powers of 1000: "1.23 GB". */
#define RUN_TEXT 64
void run_bytes_text(char text[RUN_TEXT], double bytes);

#endif
