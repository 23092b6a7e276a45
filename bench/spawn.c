/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to start a program and wait for its end, from a small process and from one with much memory.
 * Each way is measured in a process of its own, in turn within each round; ratios are to vfork and exec, the
 * least that a child can cost.
 */
#include "bench/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "bench/bench.h"
#include "bench/crew.h"
#include "bench/figures.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/private.h"

#define ROUNDS_DEFAULT 5
#define ROUNDS_QUICK   3
#define REFERENCE_WAY  0 /* vfork */

/* ---- the ways ---- */

static char program[] = SPAWN_PROGRAM;
static char *const arguments[] = { program, NULL };

static bool reap(pid_t pid)
{
    int status = -1;

    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

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
    return reap(pid);
}

static bool by_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        become_program();
    return reap(pid);
}

static bool by_posix_spawn(void)
{
    pid_t pid;

    return posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0 && reap(pid);
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

struct way {
    const char *name, *title;
    spawn_once *once; /* NULL: a program of its own does it */
    const char *program;
};

static const struct way ways[] = {
    [REFERENCE_WAY] = { "vfork", "vfork, execve, waitpid", by_vfork, NULL },
    { "ginnel", "gnl_spawn, gnl_process_wait", by_ginnel, NULL },
    { "ginnel-tree", "the same, a tree that dies with its parent", by_ginnel_tree, NULL },
    { "posix-spawn", "posix_spawn, waitpid", by_posix_spawn, NULL },
    { "fork", "fork, execve, waitpid", by_fork, NULL },
    { "libpipeline", "pipeline_start, pipeline_wait", NULL, "peer-pipeline" },
};

#define WAYS (sizeof ways / sizeof ways[0])

/* ---- measuring one ---- */

static void touch(size_t bytes)
{
    if (bytes == 0)
        return;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        ((volatile char *)memory)[i] = 1;
}

double spawn_measure(spawn_once *once, unsigned count, size_t touched)
{
    double *ns = calloc(count, sizeof *ns);
    double median = -1;
    unsigned done = 0, warm = 1 + count / 20;

    machine_look();
    machine_pin(0);
    touch(touched);
    for (unsigned i = 0; ns && i < warm + count; i++) {
        int64_t start = crew_now_ns();
        if (!once())
            break;
        if (i >= warm)
            ns[done++] = (double)(crew_now_ns() - start);
    }
    if (ns && done == count)
        median = figures_median(ns, count);
    free(ns);
    return median;
}

struct task {
    unsigned count;
    size_t touched;
};

/* In a process of its own, which says what it measured. */
static double measure_in_child(const struct way *way, const struct task *task, const char *path)
{
    char count[16], touched[32];
    double ns = -1;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (way->once) {
            ns = spawn_measure(way->once, task->count, task->touched);
            _exit(write(ends[1], &ns, sizeof ns) != sizeof ns);
        }
        snprintf(count, sizeof count, "%u", task->count);
        snprintf(touched, sizeof touched, "%zu", task->touched);
        dup2(ends[1], STDOUT_FILENO);
        execl(path, way->program, count, touched, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0 || read(ends[0], &ns, sizeof ns) != sizeof ns)
        ns = -1;
    close(ends[0]);
    return reap(pid) ? ns : -1;
}

/* ---- the rounds ---- */

struct parent {
    const char *name, *title;
    struct task task, quick;
};

static const struct parent parents[] = {
    { "small", "from a small process", { 300, 0 }, { 50, 0 } },
    { "large",
      "from a process with 2 GiB of memory, all touched",
      { 15, (size_t)2 << 30 },
      { 3, (size_t)2 << 30 } },
};

#define PARENTS (sizeof parents / sizeof parents[0])

struct spawn_report {
    unsigned rounds;
    bool quick;
    const char *only;
    bool measured[PARENTS][WAYS];
    double ns[PARENTS][WAYS][BENCH_ROUNDS_MAX];
    double ratio[PARENTS][WAYS][BENCH_ROUNDS_MAX];
};

/* What has the name, and the reference beside it. */
static bool wanted(const struct spawn_report *report, const struct parent *parent, const struct way *way)
{
    bool any = false;

    if (!report->only || strstr(parent->name, report->only) || strstr(way->name, report->only))
        return true;
    for (unsigned w = 0; w < WAYS; w++)
        any |= strstr(ways[w].name, report->only) != NULL;
    return any && way == &ways[REFERENCE_WAY];
}

static bool has_room(const struct task *task)
{
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    return task->touched == 0 ||
           (pages > 0 && (size_t)pages > (task->touched + task->touched / 4) / (size_t)page);
}

static int measure_round(struct spawn_report *report, unsigned round, unsigned p)
{
    const struct task *task = report->quick ? &parents[p].quick : &parents[p].task;
    char path[4096] = "";

    for (unsigned w = 0; w < WAYS && has_room(task); w++) {
        const struct way *way = &ways[w];
        if (!wanted(report, &parents[p], way) || (!way->once && !peers_find(way->program, path)))
            continue;
        private_progress(round, report->rounds, way->name);
        double ns = measure_in_child(way, task, path);
        if (crew_interrupted())
            return -1;
        if (ns <= 0) {
            fprintf(stderr, "ginnel bench: %s: could not start %s\n", way->name, SPAWN_PROGRAM);
            return -1;
        }
        report->measured[p][w] = true;
        report->ns[p][w][round] = ns;
        report->ratio[p][w][round] = ns / report->ns[p][REFERENCE_WAY][round];
    }
    return 0;
}

static int measure(struct crew_area *area, void *context)
{
    struct spawn_report *report = context;

    (void)area;
    for (unsigned round = 0; round < report->rounds; round++)
        for (unsigned p = 0; p < PARENTS; p++)
            if (measure_round(report, round, p) < 0)
                return -1;
    private_progress(0, 0, NULL);
    return 0;
}

/* ---- the report ---- */

static double median_of(const double *values, unsigned count)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, values, sizeof sorted);
    return figures_median(sorted, count);
}

static void table(const struct spawn_report *report)
{
    figures_head(report->rounds);
    for (unsigned p = 0; p < PARENTS; p++) {
        printf("\n%s started and waited for, %s\n", SPAWN_PROGRAM, parents[p].title);
        for (unsigned w = 0; w < WAYS; w++) {
            if (!report->measured[p][w]) {
                if (wanted(report, &parents[p], &ways[w]))
                    printf("  %-12s not %s\n", ways[w].name,
                           ways[w].once ? "measured: too little memory" : "installed");
                continue;
            }
            printf("  %-12s %9s  %5.2fx of vfork  %s\n", ways[w].name,
                   figures_time(median_of(report->ns[p][w], report->rounds)).text,
                   median_of(report->ratio[p][w], report->rounds), ways[w].title);
        }
    }
}

static void json(FILE *file, const struct spawn_report *report)
{
    const char *comma = "";

    fprintf(file, "{\n");
    figures_json_head(file, "spawn", report->rounds, report->quick);
    fprintf(file, "  \"rows\": [");
    for (unsigned p = 0; p < PARENTS; p++)
        for (unsigned w = 0; w < WAYS; w++) {
            if (!report->measured[p][w])
                continue;
            fprintf(file, "%s\n    { \"parent\": \"%s\", \"way\": \"%s\", \"ns\": %.6g, \"of_vfork\": %.4g }",
                    comma, parents[p].name, ways[w].name, median_of(report->ns[p][w], report->rounds),
                    median_of(report->ratio[p][w], report->rounds));
            comma = ",";
        }
    fprintf(file, "\n  ]\n}\n");
}

int bench_spawn(const struct bench_request *request)
{
    static struct spawn_report report;
    bool any = false;

    report.rounds = request->rounds ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    report.quick = request->quick;
    report.only = request->only;
    for (unsigned p = 0; p < PARENTS; p++)
        for (unsigned w = 0; w < WAYS; w++)
            any |= wanted(&report, &parents[p], &ways[w]);
    if (!any) {
        fprintf(stderr, "ginnel bench: nothing that is measured has '%s' in its name\n", request->only);
        return 2;
    }
    machine_look();
    if (private_run(measure, &report) < 0)
        return 1;
    if (request->json)
        json(stdout, &report);
    else
        table(&report);
    FILE *file = request->save ? figures_create(request->save, "spawn.json") : NULL;
    if (file)
        json(file, &report);
    return request->save && (!file || !figures_finish(file, "spawn.json"));
}
