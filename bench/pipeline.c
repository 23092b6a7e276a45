/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: what it costs to start two programs and wait for them, how fast bytes go from one to the other,
 * and what it costs to be looked at meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "bench/spawn.h"
#include "bench/ways.h"

static char program[] = SPAWN_PROGRAM;
static char *const arguments[] = { program, NULL };

/* ---- true | true ---- */

/* In the child, which shares the parent's memory until it executes. */
static void become(int end, int standard)
{
    dup2(end, standard);
    execve(program, arguments, environ);
    _exit(127);
}

static bool by_vfork(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t first = vfork();
    if (first == 0)
        become(ends[1], STDOUT_FILENO);
    pid_t second = vfork();
    if (second == 0)
        become(ends[0], STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
    bool good = ways_reap(first);
    return ways_reap(second) && good;
}

static bool all_good(gnl_pipeline *pipeline, const struct gnl_spawn_options *options)
{
    struct gnl_exit ends[2];

    return gnl_pipeline_start(pipeline, options) == 0 &&
           gnl_pipeline_wait(pipeline, ends, 2, GNL_FOREVER) == 0 && ends[0].kind == GNL_EXITED &&
           ends[0].code == 0 && ends[1].kind == GNL_EXITED && ends[1].code == 0;
}

static bool by_ginnel_text(const char *text, const struct gnl_spawn_options *options)
{
    gnl_pipeline *pipeline;

    if (gnl_pipeline_parse(&pipeline, text) < 0)
        return false;
    bool good = all_good(pipeline, options);
    gnl_pipeline_free(pipeline);
    return good;
}

static bool by_ginnel(void)
{
    return by_ginnel_text(SPAWN_PROGRAM " | " SPAWN_PROGRAM, NULL);
}

/* ---- shells, which are started, too ---- */

static bool by_shell(const char *shell, const char *text)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execl(shell, shell, "-c", text, (char *)NULL);
        _exit(127);
    }
    return ways_reap(pid);
}

#define DASH "/bin/dash"
#define BASH "/bin/bash"

static bool by_dash(void)
{
    return by_shell(DASH, SPAWN_PROGRAM " | " SPAWN_PROGRAM);
}

static bool by_bash(void)
{
    return by_shell(BASH, SPAWN_PROGRAM " | " SPAWN_PROGRAM);
}

/* ---- cat BIG … | cat > /dev/null ---- */

#define BIG_BYTES  ((size_t)64 << 20) /* in memory */
#define BIG_TIMES  64                 /* that it is read: a second or so */
#define LARGE_PIPE (1 << 20)

static char *line; /* the whole command */
static char big[128];

static bool fill(int file)
{
    static char page[65536];

    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (char)(i * 31);
    for (size_t done = 0; done < BIG_BYTES; done += sizeof page)
        if (write(file, page, sizeof page) != sizeof page)
            return false;
    return true;
}

/* In the directory that private_run has made. */
static bool make_big(void)
{
    size_t length, room = BIG_TIMES * sizeof big + 64;

    snprintf(big, sizeof big, "%s/big", getenv("GINNEL_DIR"));
    int file = open(big, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    line = malloc(room);
    if (file < 0 || !line || !fill(file)) {
        fprintf(stderr, "ginnel bench: %s: no room for %zu bytes\n", big, BIG_BYTES);
        if (file >= 0)
            close(file);
        unlink(big);
        return false;
    }
    close(file);
    length = (size_t)snprintf(line, room, "cat");
    for (int i = 0; i < BIG_TIMES; i++)
        length += (size_t)snprintf(line + length, room - length, " %s", big);
    snprintf(line + length, room - length, " | cat > /dev/null");
    return true;
}

static void remove_big(void)
{
    unlink(big);
    free(line);
    line = NULL;
}

/* By hand, through a pipe of that size; 0: as the kernel makes it. */
static bool move_through(int size)
{
    static char cat[] = "cat";
    char *many[BIG_TIMES + 2] = { cat };
    gnl_process *first = NULL, *second = NULL;
    struct gnl_exit end = { 0 };
    int from, to;

    for (int i = 1; i <= BIG_TIMES; i++)
        many[i] = big;
    if (gnl_pipe(&from, &to) < 0)
        return false;
    if (size > 0 && fcntl(to, F_SETPIPE_SZ, size) < 0)
        fprintf(stderr, "ginnel bench: no pipe of %d bytes for this user\n", size);
    bool good =
        gnl_spawn(&first, many, &(struct gnl_spawn_options){ .standard[1] = { GNL_FD, to } }) == 0 &&
        gnl_spawn(&second, (char *[]){ cat, NULL },
                  &(struct gnl_spawn_options){ .standard = { { GNL_FD, from }, { GNL_NULL, 0 } } }) == 0;
    close(from);
    close(to);
    good = good && gnl_process_wait(first, &end, GNL_FOREVER) == 0 && end.code == 0 &&
           gnl_process_wait(second, &end, GNL_FOREVER) == 0 && end.code == 0;
    gnl_process_free(first);
    gnl_process_free(second);
    return good;
}

static bool move_by_hand(void)
{
    return move_through(0);
}

static bool move_by_hand_large(void)
{
    return move_through(LARGE_PIPE);
}

static bool move_by_dash(void)
{
    return by_shell(DASH, line);
}

static bool move_by_ginnel(void)
{
    return by_ginnel_text(line, NULL);
}

#define LOOK_NS ((int64_t)250000000) /* as ginnel run --watch does */

/* Looked at from the beginning to the end, as `ginnel run --watch` looks. */
static bool move_and_look(void)
{
    struct gnl_pipe_sample pipe;
    struct gnl_stage_sample stages[2];
    struct gnl_exit ends[2];
    gnl_pipeline *pipeline;
    int result;

    if (gnl_pipeline_parse(&pipeline, line) < 0)
        return false;
    result = gnl_pipeline_start(pipeline, NULL);
    while (result == 0 || result == -ETIMEDOUT) {
        if (gnl_pipeline_sample(pipeline, &pipe, 1) != 1 ||
            gnl_pipeline_sample_stages(pipeline, stages, 2) != 2)
            break;
        result = gnl_pipeline_wait(pipeline, ends, 2, LOOK_NS);
        if (result == 0)
            break;
    }
    gnl_pipeline_free(pipeline);
    return result == 0 && ends[0].code == 0 && ends[1].code == 0;
}

/* ---- one look ---- */

/* At a pipeline that waits, and ends with this process. */
static bool look_once(void)
{
    static gnl_pipeline *waiting;
    struct gnl_pipe_sample pipe;

    if (!waiting && (gnl_pipeline_parse(&waiting, "sleep 1000 | cat") < 0 ||
                     gnl_pipeline_start(waiting, &(struct gnl_spawn_options){ .die_with_parent = 1 }) < 0))
        return false;
    return gnl_pipeline_sample(waiting, &pipe, 1) == 1;
}

/* ---- the tables ---- */

static const struct way starts[] = {
    { .name = "vfork", .title = "pipe, vfork and execve twice, waitpid", .once = by_vfork },
    { .name = "ginnel", .title = "gnl_pipeline_parse, _start, _wait", .once = by_ginnel },
    { .name = "libpipeline",
      .title = "pipeline_start, pipeline_wait",
      .program = "peer-pipeline",
      .argument = "2" },
    { .name = "dash", .title = "dash -c, started for it", .once = by_dash, .needs = DASH },
    { .name = "bash", .title = "bash -c, started for it", .once = by_bash, .needs = BASH },
};

static const struct way moves[] = {
    { .name = "dash", .title = "a pipe of 64 KiB", .once = move_by_dash, .needs = DASH },
    { .name = "by-hand-64k", .title = "gnl_pipe and gnl_spawn, 64 KiB", .once = move_by_hand },
    { .name = "by-hand-1m", .title = "gnl_pipe and gnl_spawn, 1 MiB", .once = move_by_hand_large },
    { .name = "ginnel", .title = "gnl_pipeline, 1 MiB where that is allowed", .once = move_by_ginnel },
};

static const struct way looks[] = {
    { .name = "ginnel", .title = "not looked at", .once = move_by_ginnel },
    { .name = "watched", .title = "looked at four times a second", .once = move_and_look },
};

static const struct way single[] = {
    { .name = "look", .title = "gnl_pipeline_sample", .once = look_once },
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct way_group groups[] = {
    { .name = "start",
      .title = "true | true, started and waited for, from a small process",
      .ways = starts,
      .count = COUNT(starts),
      .times = 200,
      .quick_times = 30 },
    { .name = "start-large",
      .title = "the same from a process with 2 GiB of memory, all touched",
      .ways = starts,
      .count = 3, /* shells are processes of their own */
      .times = 15,
      .quick_times = 3,
      .touched = (size_t)2 << 30 },
    { .name = "throughput",
      .title = "cat BIG | cat > /dev/null, of 4 GiB",
      .ways = moves,
      .count = COUNT(moves),
      .times = 1,
      .quick_times = 1,
      .bytes = (double)BIG_BYTES * BIG_TIMES },
    { .name = "sampling",
      .title = "the same, looked at",
      .ways = looks,
      .count = COUNT(looks),
      .times = 3,
      .quick_times = 1,
      .bytes = (double)BIG_BYTES * BIG_TIMES },
    { .name = "look",
      .title = "one look at two stages and the pipe between them",
      .ways = single,
      .count = COUNT(single),
      .times = 1000,
      .quick_times = 100 },
};

int bench_pipeline(const struct bench_request *request)
{
    static const struct way_kind kind = { .name = "pipeline",
                                          .group_key = "what",
                                          .ratio_key = "time_of_first",
                                          .groups = groups,
                                          .count = COUNT(groups),
                                          .begin = make_big,
                                          .end = remove_big };

    return ways_bench(request, &kind);
}
