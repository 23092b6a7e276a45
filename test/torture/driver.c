/* SPDX-License-Identifier: Apache-2.0 */
#include "driver.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "findings.h"
#include "report.h"

#define WORKERS_MOST 8
/*
 * Longer operations, which are mostly loops and the C library's, are disturbed at their events, now and then,
 * and in the full form at the first few visits to each of our own instructions.
 */
#define EVERY_INSTRUCTION 3000
#define VISITS            3
#define NOW_AND_THEN      50

static const struct torture *torture; /* of this program */

static struct choice {
    const char *operation; /* NULL: all */
    unsigned every;
    bool mode[MODES];
    uint64_t from, to; /* steps */
} choice = { .every = 1, .mode = { true, true }, .to = UINT64_MAX };

static struct report *report; /* shared */
static char directory[64] = "/dev/shm/ginnel-torture-XXXXXX";

/* ---- what the programs use ---- */

bool at_mark(enum stepped stepped, const char *who)
{
    if (stepped == STEPPED_TO_END)
        return true;
    if (stepped == STEPPED_LATE)
        found(HANG, "the %s does not come to its end", who);
    else
        found(WRONG, "the %s died of something", who);
    return false;
}

void check_directory(const char *kept)
{
    DIR *listing = opendir(directory);

    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            (kept && strcmp(entry->d_name, kept) == 0))
            continue;
        found(LEAK, "the file %s was left in the runtime directory", entry->d_name);
        unlinkat(dirfd(listing), entry->d_name, 0);
    }
    if (listing)
        closedir(listing);
}

/* ---- running ---- */

static bool chosen(size_t operation)
{
    return !choice.operation || strcmp(choice.operation, torture->title(operation).name) == 0;
}

static void choose_points(struct plan *plan)
{
    const struct trace *trace = &plan->victim;

    plan->points = calloc(trace->steps + 2, sizeof *plan->points);
    if (!plan->points)
        abort();
    for (uint64_t step = 1; step <= trace->steps; step++) {
        const struct trace_point *point = &trace->points[step];
        bool repeated =
            point->address == trace->points[step - 1].address; /* amid copying or clearing memory */
        bool early = point->visit > 0 && point->visit <= VISITS && choice.every == 1; /* in the full form */
        if (trace->steps <= EVERY_INSTRUCTION || point->eventful || early ||
            (step % NOW_AND_THEN == 0 && !repeated))
            plan->points[plan->count++] = step;
    }
    plan->points[plan->count++] = trace->steps + 1;
}

static void run_at(const struct plan *plan, enum mode mode, uint64_t step)
{
    uintptr_t address = 0;

    findings_reset();
    torture->run(plan, mode, step, &address);
    atomic_fetch_add(&report->tallies[plan->operation].points[mode], 1);
    report_run(report, plan->operation, torture->title(plan->operation).name,
               mode == KILL ? "killed" : "stopped", step, address);
}

static void torture_one(size_t operation)
{
    struct plan plan = { .operation = operation };
    struct title title = torture->title(operation);
    size_t every = choice.every;

    if (every > 1 && title.coarser > 1)
        every *= title.coarser;
    findings_reset();
    torture->scout(&plan);
    choose_points(&plan);
    atomic_store(&report->tallies[operation].steps, plan.victim.steps);
    report_run(report, operation, title.name, "only stepped through", plan.victim.steps, 0);
    for (unsigned mode = 0; mode < MODES; mode++)
        for (size_t i = 0; i < plan.count && choice.mode[mode]; i++)
            if (plan.points[i] >= choice.from && plan.points[i] <= choice.to &&
                (i % every == 0 || i + 1 == plan.count))
                run_at(&plan, (enum mode)mode, plan.points[i]);
    trace_free(&plan.victim);
    free(plan.points);
}

/* ---- workers ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    return remove(path);
}

/* Each has a runtime directory of its own; they share the work, an operation at a time. */
static void work(unsigned number)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    size_t length = strlen(directory);
    snprintf(directory + length, sizeof directory - length, "/%u", number);
    if (!findings_prepare() || setenv("GINNEL_DIR", directory, 1) != 0) {
        perror("torture: cannot prepare");
        _exit(2);
    }
    if (torture->prepare)
        torture->prepare();
    /* From the end: the longest are there, and nobody shall wait for one of them alone. */
    for (unsigned i; (i = atomic_fetch_add(&report->next, 1)) < torture->operations;) {
        size_t operation = torture->operations - 1 - i;
        if (chosen(operation)) {
            torture_one(operation);
            atomic_fetch_add(&report->ended, 1);
        }
    }
    _exit(0);
}

static unsigned start_workers(pid_t *workers, unsigned operations_chosen)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = cores < 1 ? 1 : cores > WORKERS_MOST ? WORKERS_MOST : (unsigned)cores;

    if (count > operations_chosen)
        count = operations_chosen;
    for (unsigned i = 0; i < count; i++) {
        workers[i] = fork();
        if (workers[i] == 0)
            work(i);
    }
    return count;
}

/* Waits for the workers. False: one of them ended by something else than the end of its work. */
static bool await_workers(const pid_t *workers, unsigned count, unsigned operations_chosen)
{
    bool well = true;

    for (unsigned i = 0; i < count; i++) {
        int status;
        while (waitpid(workers[i], &status, WNOHANG) == 0) {
            report_progress(report, torture->operations, operations_chosen);
            nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
        }
        well = well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return well;
}

/* ---- the command line ---- */

static void usage(FILE *stream)
{
    fprintf(stream,
            "usage: %s [--full | --every N] [--kill | --stop] [--operation NAME] [--from STEP] [--to STEP]\n"
            "       %s --list\n"
            "  --full          after every step (the default)\n"
            "  --every N       after every Nth of these steps\n"
            "  --kill, --stop  only the one, not both\n"
            "  --operation     only this operation; --list has their names\n"
            "  --from, --to    only after these steps\n"
            "  --at STEP       only after this one: to repeat a finding\n",
            torture->program, torture->program);
}

static void list(void)
{
    for (size_t i = 0; i < torture->operations; i++)
        printf("%-18s %s\n", torture->title(i).name, torture->title(i).what);
}

static bool parse(int argc, char **argv)
{
    static const struct option options[] = {
        { "full", no_argument, NULL, 'f' },
        { "every", required_argument, NULL, 'e' },
        { "kill", no_argument, NULL, 'k' },
        { "stop", no_argument, NULL, 's' },
        { "operation", required_argument, NULL, 'o' },
        { "at", required_argument, NULL, 'a' },
        { "from", required_argument, NULL, 'b' },
        { "to", required_argument, NULL, 't' },
        { "list", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'f':
            choice.every = 1;
            break;
        case 'e':
            choice.every = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            choice.mode[STOP] = false;
            break;
        case 's':
            choice.mode[KILL] = false;
            break;
        case 'o':
            choice.operation = optarg;
            break;
        case 'a':
            choice.from = choice.to = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            choice.from = strtoull(optarg, NULL, 10);
            break;
        case 't':
            choice.to = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            list();
            exit(0);
        case 'h':
            usage(stdout);
            exit(0);
        default:
            return false;
        }
    return optind == argc && choice.every > 0 && (choice.mode[KILL] || choice.mode[STOP]);
}

static unsigned count_chosen(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < torture->operations; i++)
        count += chosen(i);
    return count;
}

static void print_table(double seconds)
{
    report_heading();
    for (size_t i = 0; i < torture->operations; i++)
        report_row(report, i, torture->title(i).name);
    report_total(report, torture->operations, seconds);
}

int driver_main(const struct torture *what, int argc, char **argv)
{
    pid_t workers[WORKERS_MOST];

    torture = what;
    if (!parse(argc, argv)) {
        usage(stderr);
        return 2;
    }
    unsigned operations_chosen = count_chosen();
    if (operations_chosen == 0) {
        fprintf(stderr, "%s: there is no operation '%s'; see --list\n", torture->program, choice.operation);
        return 2;
    }
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED || torture->operations > OPERATIONS_MOST || !mkdtemp(directory)) {
        perror("torture: cannot prepare");
        return 2;
    }
    signal(SIGINT, SIG_IGN); /* the workers end by it; what they leave is removed here */
    int64_t start = now_ns();
    unsigned count = start_workers(workers, operations_chosen);
    bool well = await_workers(workers, count, operations_chosen);
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    print_table((double)(now_ns() - start) / 1e9);
    unsigned failed = report_failed(report, torture->operations);
    if (!well)
        printf("INTERRUPTED: a worker did not come to its end\n");
    else
        printf("%s\n", failed == 0 ? "nothing was lost, doubled or leaked, and nobody hung" : "FAILED");
    return well && failed == 0 ? 0 : 1;
}
