/* SPDX-License-Identifier: Apache-2.0 */
/* Starting all stages of a pipeline, or none. */
#ifndef GNLI_PIPELINE_START_H
#define GNLI_PIPELINE_START_H

#include "pipeline/pipeline.h"

/* It has stages, and has not been started. A sentence says what failed; nothing is left of it then. */
int gnli_pipeline_start(struct gnl_pipeline *pipeline, const struct gnl_spawn_options *options);

/*
 * An ordinary pipe, of which a child that the program forks has neither end: it would keep the stream open.
 * Both ends are the caller's, to be dropped, or -1; so after an error, too.
 */
int gnli_pipeline_pipe(int ends[2]);
void gnli_pipeline_drop(int *end); /* -1: there is none */

/* As large as this user may have it. */
void gnli_pipeline_enlarge(int end);

/* The joints and their descriptors. */
void gnli_pipeline_forget(struct gnl_pipeline *pipeline);

#endif
