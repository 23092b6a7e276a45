/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "pipeline/start.h"
#include "process/process.h"

#define SUBJECT "a pipeline"

int gnli_pipeline_check(const struct gnl_pipeline *pipeline)
{
    gnli_failure_begin();
    if (!pipeline)
        return gnli_fail(-EINVAL, "no pipeline given");
    if (!gnli_process_is(pipeline->stamp))
        return gnli_fail(-EPERM, "the pipeline is the parent process's");
    return 0;
}

static int check_started(const struct gnl_pipeline *pipeline)
{
    int result = gnli_pipeline_check(pipeline);

    if (result == 0 && !pipeline->started)
        result = gnli_fail(-EINVAL, "the pipeline has not been started");
    return result;
}

/* ---- making ---- */

static int make(gnl_pipeline **pipeline)
{
    if (!pipeline)
        return gnli_fail(-EINVAL, "no place given for the pipeline");
    int result = gnli_process_prepare();
    if (result < 0)
        return result;
    struct gnl_pipeline *made = calloc(1, sizeof *made);
    if (!made)
        return gnli_fail_plain(-ENOMEM, SUBJECT);
    made->stamp = gnli_process_stamp();
    pthread_mutex_init(&made->lock, NULL);
    *pipeline = made;
    return 0;
}

int gnl_pipeline_new(gnl_pipeline **pipeline)
{
    gnli_failure_begin();
    return make(pipeline);
}

int gnl_pipeline_parse(gnl_pipeline **pipeline, const char *text)
{
    struct gnl_pipeline *made = NULL;

    gnli_failure_begin();
    if (!text)
        return gnli_fail(-EINVAL, "no text given for the pipeline");
    int result = make(pipeline ? &made : NULL);
    if (result < 0 || !made)
        return result;
    result = gnli_pipeline_read(made, text);
    if (result < 0) {
        gnl_pipeline_free(made);
        return gnli_fail_plain(result, SUBJECT);
    }
    *pipeline = made;
    return 0;
}

struct gnli_stage *gnli_pipeline_extend(struct gnl_pipeline *pipeline)
{
    struct gnli_stage *grown = reallocarray(pipeline->stages, pipeline->length + 1, sizeof *grown);

    if (!grown)
        return NULL;
    pipeline->stages = grown;
    grown[pipeline->length] = (struct gnli_stage){ 0 };
    return &grown[pipeline->length++];
}

static void free_stage(struct gnli_stage *stage)
{
    if (stage->process)
        gnl_process_free(stage->process);
    gnli_list_free(&stage->words);
    gnli_list_free(&stage->assignments);
    for (size_t i = 0; i < stage->redirection_count; i++)
        free(stage->redirections[i].path);
    free(stage->redirections);
}

int gnl_pipeline_add(gnl_pipeline *pipeline, char *const argv[])
{
    int result = gnli_pipeline_check(pipeline);

    if (result < 0)
        return result;
    if (pipeline->started)
        return gnli_fail(-EBUSY, "the pipeline has been started: it gets no more stages");
    if (!argv || !argv[0])
        return gnli_fail(-EINVAL, "no program given: argv[0] is its name");
    struct gnli_stage *stage = gnli_pipeline_extend(pipeline);
    result = stage ? 0 : -ENOMEM;
    for (size_t i = 0; result == 0 && argv[i]; i++)
        result = gnli_list_add(&stage->words, strdup(argv[i]));
    if (result < 0 && stage)
        free_stage(&pipeline->stages[--pipeline->length]);
    return result < 0 ? gnli_fail_plain(result, SUBJECT) : 0;
}

void gnli_pipeline_forget(struct gnl_pipeline *pipeline)
{
    for (size_t i = 0; pipeline->joints && i < pipeline->length; i++)
        if (pipeline->joints[i].path >= 0)
            close(pipeline->joints[i].path);
    free(pipeline->joints);
    pipeline->joints = NULL;
}

void gnl_pipeline_free(gnl_pipeline *pipeline)
{
    if (!pipeline)
        return;
    gnli_watch_free(pipeline);
    gnli_pipeline_forget(pipeline);
    for (size_t i = 0; i < pipeline->length; i++)
        free_stage(&pipeline->stages[i]);
    free(pipeline->stages);
    if (gnli_process_is(pipeline->stamp))
        pthread_mutex_destroy(&pipeline->lock);
    free(pipeline);
}

/* ---- running ---- */

int gnli_pipeline_check_new(const struct gnl_pipeline *pipeline)
{
    int result = gnli_pipeline_check(pipeline);

    if (result < 0)
        return result;
    if (pipeline->started)
        return gnli_fail(-EBUSY, "the pipeline has been started");
    if (pipeline->length == 0)
        return gnli_fail(-EINVAL, "the pipeline has no stages");
    return 0;
}

int gnl_pipeline_start(gnl_pipeline *pipeline, const struct gnl_spawn_options *options)
{
    int result = gnli_pipeline_check_new(pipeline);

    if (result < 0)
        return result;
    result = gnli_pipeline_start(pipeline, options);
    return result < 0 ? gnli_fail_plain(result, SUBJECT) : 0;
}

size_t gnl_pipeline_length(const gnl_pipeline *pipeline)
{
    return pipeline ? pipeline->length : 0;
}

gnl_process *gnl_pipeline_stage(const gnl_pipeline *pipeline, size_t stage)
{
    return pipeline && stage < pipeline->length ? pipeline->stages[stage].process : NULL;
}

/* Before it is reaped whoever looks at the pipeline looks once more. */
static int await_stage(struct gnl_pipeline *pipeline, size_t i, struct gnl_exit *exit, int64_t deadline_ns)
{
    struct gnl_process *process = pipeline->stages[i].process;

    int result = gnli_await_end(process->pidfd, deadline_ns);
    if (result < 0)
        return result;
    pthread_mutex_lock(&pipeline->lock);
    if (!process->ended)
        gnli_watch_look(pipeline);
    pthread_mutex_unlock(&pipeline->lock);
    return gnli_process_collect(process, exit, deadline_ns);
}

int gnli_pipeline_await(struct gnl_pipeline *pipeline, struct gnl_exit *exits, size_t count,
                        int64_t deadline_ns)
{
    int result = 0;

    for (size_t i = 0; i < pipeline->length && result == 0; i++)
        result = await_stage(pipeline, i, i < count ? &exits[i] : NULL, deadline_ns);
    return result;
}

int gnli_pipeline_check_wait(const struct gnl_exit *exits, size_t count, int64_t timeout)
{
    if (timeout < GNL_FOREVER)
        return gnli_fail(-EINVAL, "a timeout is nanoseconds, GNL_NOWAIT or GNL_FOREVER, not %lld",
                         (long long)timeout);
    if (!exits && count > 0)
        return gnli_fail(-EINVAL, "no memory given for %zu exits", count);
    return 0;
}

int gnl_pipeline_wait(gnl_pipeline *pipeline, struct gnl_exit *exits, size_t count, int64_t timeout)
{
    int result = check_started(pipeline);

    if (result == 0)
        result = gnli_pipeline_check_wait(exits, count, timeout);
    if (result < 0)
        return result;
    result = gnli_pipeline_await(pipeline, exits, count, gnli_deadline_ns(timeout));
    if (result == -ETIMEDOUT && timeout == GNL_NOWAIT)
        result = -EAGAIN;
    return result < 0 ? gnli_fail_plain(result, SUBJECT) : 0;
}

int gnl_pipeline_terminate(gnl_pipeline *pipeline, int64_t grace)
{
    int result = check_started(pipeline);

    if (result < 0)
        return result;
    struct gnl_process **processes = calloc(pipeline->length, sizeof(void *));
    if (!processes)
        return gnli_fail_plain(-ENOMEM, SUBJECT);
    for (size_t i = 0; i < pipeline->length; i++) {
        processes[i] = pipeline->stages[i].process;
        gnl_process_set_tree(processes[i]);
    }
    pthread_mutex_lock(&pipeline->lock);
    gnli_watch_look(pipeline);
    pthread_mutex_unlock(&pipeline->lock);
    result = gnli_process_terminate(processes, pipeline->length, grace, NULL);
    free(processes);
    return result < 0 ? gnli_fail_plain(result, SUBJECT) : 0;
}
