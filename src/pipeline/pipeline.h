/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline from inside: what the parser makes, what start makes of it, what sampling looks at.
 */
#ifndef GNLI_PIPELINE_PIPELINE_H
#define GNLI_PIPELINE_PIPELINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/pipeline.h>

#include "pipeline/word.h"

/* `2> file`, `2>&1`: in the order of the text, since each means what is there by then. */
struct gnli_redirection {
    int number;    /* 0 to 2 */
    int flags;     /* of open */
    char *path;    /* NULL: a copy of `source` */
    int source;    /* 0 to 2 */
    int opened;    /* while it starts; -1 */
    bool created;  /* by that */
    size_t column; /* of the path, or of the copy, in the text */
};

struct gnli_stage {
    struct gnli_list words;       /* the command and its arguments */
    struct gnli_list assignments; /* NAME=VALUE */
    struct gnli_redirection *redirections;
    size_t redirection_count;
    size_t column;        /* of its command in the text; 0: there is no text */
    gnl_process *process; /* once it has been started */
};

/* Between stage i and stage i + 1. */
struct gnli_joint {
    uint64_t inode; /* of the pipe: who has one of its ends is known by it */
    int path;       /* an O_PATH descriptor of it, no end: to look at it; -1: none */
};

struct gnl_pipeline {
    uint64_t stamp; /* of the process whose pipeline it is */
    struct gnli_stage *stages;
    size_t length;
    struct gnli_joint *joints; /* length - 1, once it has been started */
    bool started;
    int64_t started_ns; /* CLOCK_REALTIME_COARSE, before the first stage */
    pthread_mutex_t lock;
    struct gnli_watch *watch; /* once it has been looked at; guarded by the lock */
};

/* Begins a public call: 0, or why this process may not make it. The second: or it cannot be started. */
int gnli_pipeline_check(const struct gnl_pipeline *pipeline);
int gnli_pipeline_check_new(const struct gnl_pipeline *pipeline);

/* Waits until all stages have ended: as gnl_pipeline_wait, of which the first checks the arguments. */
int gnli_pipeline_check_wait(const struct gnl_exit *exits, size_t count, int64_t timeout);
int gnli_pipeline_await(struct gnl_pipeline *pipeline, struct gnl_exit *exits, size_t count,
                        int64_t deadline_ns);

/* A further stage, empty; NULL: no memory. */
struct gnli_stage *gnli_pipeline_extend(struct gnl_pipeline *pipeline);

/* ---- parse.c ---- */

/* Adds the text's stages. 0, -EINVAL with a sentence, -ENOMEM. */
int gnli_pipeline_read(struct gnl_pipeline *pipeline, const char *text);

/* ---- sample.c: with the pipeline's lock ---- */

/* Looks, if the pipeline is being looked at: before a stage is reaped, whose account goes with it. */
void gnli_watch_look(struct gnl_pipeline *pipeline);

/* Does not close the joints' descriptors. */
void gnli_watch_free(struct gnl_pipeline *pipeline);

#endif
