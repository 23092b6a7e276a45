/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to start a program and wait for its end, from a small process and from one with much memory.
 * Each way is measured in a process of its own, in turn within each round; ratios are to vfork and exec, the
 * least that a child can cost.
 */
#include "bench/spawn.h"

#include <spawn.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "bench/ways.h"

/* ---- the ways ---- */

static char program[] = SPAWN_PROGRAM;
static char *const arguments[] = { program, NULL };

/* In the child. */
static void become_program(void)
{
    execve(program, arguments, environ);
    _exit(127);
}

static bool by_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0)
        become_program();
    return ways_reap(pid);
}

static bool by_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        become_program();
    return ways_reap(pid);
}

static bool by_posix_spawn(void)
{
    pid_t pid;

    return posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0 && ways_reap(pid);
}

static bool by_ginnel_with(const struct gnl_spawn_options *options)
{
    gnl_process *process;
    struct gnl_exit end;

    if (gnl_spawn(&process, arguments, options) < 0)
        return false;
    bool good = gnl_process_wait(process, &end, GNL_FOREVER) == 0 && end.kind == GNL_EXITED && end.code == 0;
    gnl_process_free(process);
    return good;
}

static bool by_ginnel(void)
{
    return by_ginnel_with(NULL);
}

static bool by_ginnel_tree(void)
{
    return by_ginnel_with(&(struct gnl_spawn_options){ .tree = 1, .die_with_parent = 1 });
}

static const struct way ways[] = {
    { .name = "vfork", .title = "vfork, execve, waitpid", .once = by_vfork },
    { .name = "ginnel", .title = "gnl_spawn, gnl_process_wait", .once = by_ginnel },
    { .name = "ginnel-tree", .title = "the same, a tree that dies with its parent", .once = by_ginnel_tree },
    { .name = "posix-spawn", .title = "posix_spawn, waitpid", .once = by_posix_spawn },
    { .name = "fork", .title = "fork, execve, waitpid", .once = by_fork },
    { .name = "libpipeline",
      .title = "pipeline_start, pipeline_wait",
      .program = "peer-pipeline",
      .argument = "1" },
};

#define WAYS (sizeof ways / sizeof ways[0])

#define LARGE ((size_t)2 << 30)

static const struct way_group groups[] = {
    { .name = "small",
      .title = SPAWN_PROGRAM " started and waited for, from a small process",
      .ways = ways,
      .count = WAYS,
      .times = 300,
      .quick_times = 50,
      .pinned = true },
    { .name = "large",
      .title = SPAWN_PROGRAM " started and waited for, from a process with 2 GiB of memory, all touched",
      .ways = ways,
      .count = WAYS,
      .times = 15,
      .quick_times = 3,
      .pinned = true,
      .touched = LARGE },
};

int bench_spawn(const struct bench_request *request)
{
    static const struct way_kind kind = { .name = "spawn",
                                          .group_key = "parent",
                                          .ratio_key = "of_vfork",
                                          .groups = groups,
                                          .count = sizeof groups / sizeof groups[0] };

    return ways_bench(request, &kind);
}
