/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline between memory and memory. Both outer ends are this process's and do not block: whichever is
 * ready is served, so a stage that waits for room to write is never waited for by one who feeds it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "pipeline/start.h"
#include "wait/poll.h"
#include "wait/write.h"

#define GRACE_NS    INT64_C(1000000000)
#define ROOM_LEAST  65536
#define OUTPUT_MOST (PTRDIFF_MAX - 1) /* a 0 comes behind it */

struct running {
    struct gnl_pipeline_memory *memory;
    struct gnl_spawn_options options;
    int input[2], output[2]; /* pipes: the first is read, the second written; -1: there is none, or no more */
    size_t fed;
    size_t room; /* bytes at memory->output */
};

static int make_pipe(int ends[2], int ours, struct gnl_stdio *theirs)
{
    int result = gnli_pipeline_pipe(ends);
    if (result < 0)
        return result;
    gnli_pipeline_enlarge(ends[ours]);
    if (fcntl(ends[ours], F_SETFL, O_NONBLOCK) != 0)
        return gnli_fail_errno(errno, "cannot make a pipe");
    *theirs = (struct gnl_stdio){ .kind = GNL_FD, .fd = ends[!ours] };
    return 0;
}

static int make_pipes(struct running *running)
{
    int result = 0;

    if (running->memory->input)
        result = make_pipe(running->input, 1, &running->options.standard[0]);
    if (result == 0 && running->memory->output_max > 0)
        result = make_pipe(running->output, 0, &running->options.standard[1]);
    return result;
}

/* ---- the two sides ---- */

static int feed(struct running *running)
{
    const struct gnl_pipeline_memory *memory = running->memory;
    struct iovec rest = { (char *)(uintptr_t)memory->input + running->fed,
                          memory->input_size - running->fed };

    ssize_t size = rest.iov_len > 0 ? gnli_write_quietly(running->input[1], &rest, 1) : 0;
    if (size > 0)
        running->fed += (size_t)size;
    if (size == -EPIPE || running->fed == memory->input_size)
        gnli_pipeline_drop(&running->input[1]);
    return size < 0 && size != -EAGAIN && size != -EPIPE ? (int)size : 0;
}

/* Room for more, and one byte behind it. */
static int make_room(struct running *running)
{
    struct gnl_pipeline_memory *memory = running->memory;
    size_t most = memory->output_max < OUTPUT_MOST ? memory->output_max : OUTPUT_MOST;

    if (running->room > memory->output_size)
        return 0;
    size_t room = running->room < ROOM_LEAST / 2 ? ROOM_LEAST : running->room * 2;
    room = room < most ? room : most;
    char *grown = realloc(memory->output, room + 1);
    if (!grown)
        return -ENOMEM;
    memory->output = grown;
    running->room = room;
    return 0;
}

/* When there is as much as is wanted, is there more? */
static int collect_end(struct running *running)
{
    char byte;

    ssize_t size = read(running->output[0], &byte, 1);
    if (size > 0)
        return gnli_fail(-EMSGSIZE, "the pipeline's output is larger than %zu bytes (output_max)",
                         running->memory->output_max);
    if (size == 0)
        gnli_pipeline_drop(&running->output[0]);
    return size < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static int collect(struct running *running)
{
    struct gnl_pipeline_memory *memory = running->memory;

    if (memory->output_size == memory->output_max)
        return collect_end(running);
    int result = make_room(running);
    if (result < 0)
        return result;
    ssize_t size =
        read(running->output[0], memory->output + memory->output_size, running->room - memory->output_size);
    if (size > 0)
        memory->output_size += (size_t)size;
    if (size == 0)
        gnli_pipeline_drop(&running->output[0]);
    return size < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static int pump(struct running *running, int64_t deadline_ns)
{
    int result = 0;

    while (result == 0 && (running->input[1] >= 0 || running->output[0] >= 0)) {
        struct pollfd entries[2] = { { .fd = running->input[1], .events = POLLOUT },
                                     { .fd = running->output[0], .events = POLLIN } };
        result = gnli_poll(entries, 2, deadline_ns);
        if (result == 0 && entries[0].revents)
            result = feed(running);
        if (result == 0 && entries[1].revents)
            result = collect(running);
    }
    return result;
}

/* ---- all of it ---- */

/* It has failed: nothing of it goes on, and the sentence stays. */
static int end_all(struct gnl_pipeline *pipeline, struct gnl_exit *exits, size_t count, int result)
{
    char sentence[512];

    snprintf(sentence, sizeof sentence, "%s", gnl_error_detail());
    if (gnl_pipeline_terminate(pipeline, GRACE_NS) == 0)
        gnli_pipeline_await(pipeline, exits, count, 0);
    gnli_failure_begin();
    return sentence[0] ? gnli_fail(result, "%s", sentence) : gnli_fail_plain(result, "a pipeline");
}

static int run(struct gnl_pipeline *pipeline, struct running *running, struct gnl_exit *exits, size_t count,
               int64_t deadline_ns)
{
    int result = make_pipes(running);
    if (result == 0)
        result = gnli_pipeline_start(pipeline, &running->options);
    gnli_pipeline_drop(&running->input[0]);
    gnli_pipeline_drop(&running->output[1]);
    if (result < 0)
        return gnli_fail_plain(result, "a pipeline");
    result = pump(running, deadline_ns);
    if (result == 0)
        result = gnli_pipeline_await(pipeline, exits, count, deadline_ns);
    gnli_pipeline_drop(&running->input[1]);
    gnli_pipeline_drop(&running->output[0]);
    return result < 0 ? end_all(pipeline, exits, count, result) : 0;
}

int gnl_pipeline_run(gnl_pipeline *pipeline, const struct gnl_spawn_options *options,
                     struct gnl_pipeline_memory *memory, struct gnl_exit *exits, size_t count,
                     int64_t timeout)
{
    struct gnl_pipeline_memory none = { 0 };
    struct running running = { .memory = memory ? memory : &none, .input = { -1, -1 }, .output = { -1, -1 } };

    gnli_failure_begin();
    running.memory->output = NULL;
    running.memory->output_size = 0;
    int result = gnli_pipeline_check_new(pipeline);
    if (result == 0)
        result = gnli_pipeline_check_wait(exits, count, timeout);
    if (result < 0)
        return result;
    if (options)
        running.options = *options;
    result = run(pipeline, &running, exits, count, gnli_deadline_ns(timeout));
    gnli_pipeline_drop(&running.input[1]);
    gnli_pipeline_drop(&running.output[0]);
    if (running.memory->output)
        running.memory->output[running.memory->output_size] = '\0';
    return result;
}
