/* SPDX-License-Identifier: Apache-2.0 */
/* What users see of a pipeline that runs: all its stages, then all its pipes, at one look. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/process.h"
#include "pipeline/pipeline.h"
#include "pipeline/watch.h"
#include "process/process.h"

struct gnli_watch {
    struct gnli_watched_stage *stages;
    struct gnli_watched_joint *pipes; /* one less */
    size_t length;
};

static void watch_stage(struct gnl_pipeline *pipeline, struct gnli_watch *watch, size_t i)
{
    struct gnl_process *process = pipeline->stages[i].process;
    uint64_t in = i > 0 ? pipeline->joints[i - 1].inode : 0;
    uint64_t out = i + 1 < pipeline->length ? pipeline->joints[i].inode : 0;
    pid_t keeper = process->keeper ? process->keeper->pid : 0;

    gnli_stage_watch(&watch->stages[i], process->pid, keeper, pipeline->started_ns, in, out);
    memcpy(watch->stages[i].sample.name, process->name, sizeof process->name);
    /* Still the process that was looked at, since nobody has reaped it. */
    if (gnli_pidfd_signal(process->pidfd, 0, 0) == -ESRCH) {
        watch->stages[i].start = 0;
        watch->stages[i].lost = true;
    }
}

static int begin(struct gnl_pipeline *pipeline)
{
    struct gnli_watch *watch = calloc(1, sizeof *watch);
    size_t length = pipeline->length;

    if (watch) {
        watch->stages = calloc(length, sizeof *watch->stages);
        watch->pipes = calloc(length, sizeof *watch->pipes);
    }
    pipeline->watch = watch;
    if (!watch || !watch->stages || !watch->pipes) {
        gnli_watch_free(pipeline);
        return gnli_fail(-ENOMEM, "no memory to look at a pipeline of %zu stages", length);
    }
    watch->length = length;
    for (size_t i = 0; i < length; i++)
        watch_stage(pipeline, watch, i);
    for (size_t i = 0; i + 1 < length; i++)
        watch->pipes[i] = (struct gnli_watched_joint){ .path = pipeline->joints[i].path,
                                                       .held = -1,
                                                       .queued = -1,
                                                       .capacity = -1,
                                                       .passed = -1,
                                                       .passed_most = -1 };
    return 0;
}

void gnli_watch_free(struct gnl_pipeline *pipeline)
{
    struct gnli_watch *watch = pipeline->watch;

    pipeline->watch = NULL;
    if (!watch)
        return;
    for (size_t i = 0; watch->stages && i < watch->length; i++)
        gnli_stage_unwatch(&watch->stages[i]);
    for (size_t i = 0; watch->pipes && i + 1 < watch->length; i++)
        if (watch->pipes[i].held >= 0)
            close(watch->pipes[i].held);
    free(watch->stages);
    free(watch->pipes);
    free(watch);
}

void gnli_watch_look(struct gnl_pipeline *pipeline)
{
    struct gnli_watch *watch = pipeline->watch;

    if (!watch)
        return;
    for (size_t i = 0; i + 1 < watch->length; i++)
        gnli_joint_hold(&watch->pipes[i], &watch->stages[i]);
    for (size_t i = 0; i < watch->length; i++)
        gnli_stage_look(&watch->stages[i]);
    for (size_t i = 0; i + 1 < watch->length; i++) {
        gnli_joint_look(&watch->pipes[i], &watch->stages[i], &watch->stages[i + 1]);
        gnli_joint_count(&watch->pipes[i], &watch->stages[i], &watch->stages[i + 1]);
    }
}

/*
 * Begins a public call, and a watch if there is none; `look`: looks in any case. With the lock, or an error.
 */
static int look(struct gnl_pipeline *pipeline, const void *samples, size_t count, bool always)
{
    gnli_failure_begin();
    if (!pipeline)
        return gnli_fail(-EINVAL, "no pipeline given");
    if (!samples && count > 0)
        return gnli_fail(-EINVAL, "no memory given for %zu samples", count);
    if (!gnli_process_is(pipeline->stamp))
        return gnli_fail(-EPERM, "a pipeline stays the parent's; this is its child");
    pthread_mutex_lock(&pipeline->lock);
    int result = pipeline->started ? 0 : gnli_fail(-EINVAL, "the pipeline has not been started");
    bool first = result == 0 && !pipeline->watch;
    if (first)
        result = begin(pipeline);
    if (result < 0) {
        pthread_mutex_unlock(&pipeline->lock);
        return result;
    }
    if (first || always)
        gnli_watch_look(pipeline);
    return 0;
}

int gnl_pipeline_sample(gnl_pipeline *pipeline, struct gnl_pipe_sample *samples, size_t count)
{
    int result = look(pipeline, samples, count, true);

    if (result < 0)
        return result;
    const struct gnli_watch *watch = pipeline->watch;
    assert(watch);
    size_t pipes = watch->length - 1;
    for (size_t i = 0; i < pipes && i < count; i++) {
        const struct gnli_watched_joint *pipe = &watch->pipes[i];
        samples[i] = (struct gnl_pipe_sample){
            .queued = pipe->queued,
            .capacity = pipe->capacity,
            .passed = pipe->passed,
            .passed_most = pipe->passed_most,
            .waits = gnli_joint_waits(pipe, &watch->stages[i], &watch->stages[i + 1]),
        };
    }
    pthread_mutex_unlock(&pipeline->lock);
    return (int)pipes;
}

int gnl_pipeline_sample_stages(gnl_pipeline *pipeline, struct gnl_stage_sample *samples, size_t count)
{
    int result = look(pipeline, samples, count, false);

    if (result < 0)
        return result;
    const struct gnli_watch *watch = pipeline->watch;
    assert(watch);
    size_t stages = watch->length;
    for (size_t i = 0; i < stages && i < count; i++)
        samples[i] = watch->stages[i].sample;
    pthread_mutex_unlock(&pipeline->lock);
    return (int)stages;
}
