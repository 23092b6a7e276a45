/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/ways.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/crew.h"
#include "bench/figures.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/private.h"

#define ROUNDS_DEFAULT 5
#define ROUNDS_QUICK   3
#define REFERENCE_WAY  0

struct ways_report {
    const struct way_kind *kind;
    unsigned rounds;
    bool quick;
    const char *only;
    bool measured[WAY_GROUPS_MAX][WAYS_MAX];
    double ns[WAY_GROUPS_MAX][WAYS_MAX][BENCH_ROUNDS_MAX];
    double ratio[WAY_GROUPS_MAX][WAYS_MAX][BENCH_ROUNDS_MAX];
};

/* ---- measuring one ---- */

bool ways_reap(pid_t pid)
{
    int status = -1;

    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

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

double ways_measure(way_once *once, unsigned times, size_t touched)
{
    unsigned done = 0, warm = 1 + times / 20;
    double *ns = calloc(times, sizeof *ns);
    double median = -1;

    touch(touched);
    for (unsigned i = 0; ns && i < warm + times; i++) {
        int64_t start = crew_now_ns();
        if (!once())
            break;
        if (i >= warm)
            ns[done++] = (double)(crew_now_ns() - start);
    }
    if (ns && done == times)
        median = figures_median(ns, times);
    free(ns);
    return median;
}

/* In a process of its own, which says what it measured. */
static double measure_in_child(const struct way *way, const struct way_group *group, unsigned times,
                               const char *path)
{
    char count[16], touched[32];
    double ns = -1;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (group->pinned)
            machine_pin(0);
        if (way->once) {
            ns = ways_measure(way->once, times, group->touched);
            _exit(write(ends[1], &ns, sizeof ns) != sizeof ns);
        }
        snprintf(count, sizeof count, "%u", times);
        snprintf(touched, sizeof touched, "%zu", group->touched);
        dup2(ends[1], STDOUT_FILENO);
        execl(path, way->program, count, touched, way->argument, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0 || read(ends[0], &ns, sizeof ns) != sizeof ns)
        ns = -1;
    close(ends[0]);
    return ways_reap(pid) ? ns : -1;
}

/* ---- the rounds ---- */

/* What has the name, and the reference beside it. */
static bool wanted(const struct ways_report *report, const struct way_group *group, const struct way *way)
{
    bool any = false;

    if (!report->only || strstr(group->name, report->only) || strstr(way->name, report->only))
        return true;
    for (unsigned w = 0; w < group->count; w++)
        any |= strstr(group->ways[w].name, report->only) != NULL;
    return any && way == &group->ways[REFERENCE_WAY];
}

static bool has_room(const struct way_group *group)
{
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);

    return group->touched == 0 ||
           (pages > 0 && (size_t)pages > (group->touched + group->touched / 4) / (size_t)page);
}

/* Shells are found as any program is. */
static bool is_there(const struct way *way, char path[4096])
{
    return way->once ? !way->needs || access(way->needs, X_OK) == 0 : peers_find(way->program, path);
}

static int measure_round(struct ways_report *report, unsigned round, unsigned g)
{
    const struct way_group *group = &report->kind->groups[g];
    unsigned times = report->quick ? group->quick_times : group->times;
    char path[4096] = "";

    for (unsigned w = 0; w < group->count && has_room(group); w++) {
        const struct way *way = &group->ways[w];
        if (!wanted(report, group, way) || !is_there(way, path))
            continue;
        private_progress(round, report->rounds, way->name);
        double ns = measure_in_child(way, group, times, path);
        if (crew_interrupted())
            return -1;
        if (ns <= 0) {
            fprintf(stderr, "ginnel bench: %s, %s: it failed\n", group->name, way->name);
            return -1;
        }
        report->measured[g][w] = true;
        report->ns[g][w][round] = ns;
        report->ratio[g][w][round] = ns / report->ns[g][REFERENCE_WAY][round];
    }
    return 0;
}

static int measure(struct crew_area *area, void *context)
{
    struct ways_report *report = context;
    int result = 0;

    (void)area;
    if (report->kind->begin && !report->kind->begin())
        return -1;
    for (unsigned round = 0; round < report->rounds && result == 0; round++)
        for (unsigned g = 0; g < report->kind->count && result == 0; g++)
            result = measure_round(report, round, g);
    if (report->kind->end)
        report->kind->end();
    private_progress(0, 0, NULL);
    return result;
}

/* ---- the report ---- */

static double median_of(const double *values, unsigned count)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, values, sizeof sorted);
    return figures_median(sorted, count);
}

static void table_row(const struct ways_report *report, unsigned g, unsigned w)
{
    const struct way_group *group = &report->kind->groups[g];
    const struct way *way = &group->ways[w];

    if (!report->measured[g][w]) {
        if (wanted(report, group, way))
            printf("  %-12s not %s\n", way->name,
                   has_room(group) ? "installed" : "measured: too little memory");
        return;
    }
    double ns = median_of(report->ns[g][w], report->rounds);
    printf("  %-12s %9s  %5.*fx of %s  %s\n", way->name,
           group->bytes > 0 ? figures_bytes(group->bytes * 1e9 / ns).text : figures_time(ns).text,
           group->bytes > 0 ? 3 : 2,
           group->bytes > 0 ? 1 / median_of(report->ratio[g][w], report->rounds)
                            : median_of(report->ratio[g][w], report->rounds),
           group->ways[REFERENCE_WAY].name, way->title);
}

static void table(const struct ways_report *report)
{
    figures_head(report->rounds);
    for (unsigned g = 0; g < report->kind->count; g++) {
        printf("\n%s\n", report->kind->groups[g].title);
        for (unsigned w = 0; w < report->kind->groups[g].count; w++)
            table_row(report, g, w);
    }
}

static void json_row(FILE *file, const struct ways_report *report, unsigned g, unsigned w)
{
    const struct way_kind *kind = report->kind;
    const struct way_group *group = &kind->groups[g];
    double ns = median_of(report->ns[g][w], report->rounds);

    fprintf(file, "    { \"%s\": \"%s\", \"way\": \"%s\", \"ns\": %.6g, \"%s\": %.4g", kind->group_key,
            group->name, group->ways[w].name, ns, kind->ratio_key,
            median_of(report->ratio[g][w], report->rounds));
    if (group->bytes > 0)
        fprintf(file, ", \"bytes_per_second\": %.6g", group->bytes * 1e9 / ns);
    fprintf(file, " }");
}

static void json(FILE *file, const struct ways_report *report)
{
    const char *comma = "";

    fprintf(file, "{\n");
    figures_json_head(file, report->kind->name, report->rounds, report->quick);
    fprintf(file, "  \"rows\": [");
    for (unsigned g = 0; g < report->kind->count; g++)
        for (unsigned w = 0; w < report->kind->groups[g].count; w++) {
            if (!report->measured[g][w])
                continue;
            fprintf(file, "%s\n", comma);
            json_row(file, report, g, w);
            comma = ",";
        }
    fprintf(file, "\n  ]\n}\n");
}

int ways_bench(const struct bench_request *request, const struct way_kind *kind)
{
    static struct ways_report report;
    char name[64];
    bool any = false;

    report.kind = kind;
    report.rounds = request->rounds ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    report.quick = request->quick;
    report.only = request->only;
    for (unsigned g = 0; g < kind->count; g++)
        for (unsigned w = 0; w < kind->groups[g].count; w++)
            any |= wanted(&report, &kind->groups[g], &kind->groups[g].ways[w]);
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
    snprintf(name, sizeof name, "%s.json", kind->name);
    FILE *file = request->save ? figures_create(request->save, name) : NULL;
    if (file)
        json(file, &report);
    return request->save && (!file || !figures_finish(file, name));
}
