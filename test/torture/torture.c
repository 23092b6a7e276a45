/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction: a process is single-stepped into each operation of a mailbox
 * and killed after step 1, 2, 3, … to the end; then stopped there instead, and continued later. After
 * each, survivors must finish their own operations, every message must be accounted for, and nothing
 * may be left behind.
 *
 * Run by `make torture` with --full, and by the tests with --every 7.
 */
#include <errno.h>
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

#include "operations.h"
#include "report.h"
#include "run.h"
#include "scene.h"

#define WORKERS_MOST 8

static struct choice {
    const char *operation; /* NULL: all */
    unsigned every;
    bool mode[MODES];
    long at; /* -1: all */
} choice = { .every = 1, .mode = { true, true }, .at = -1 };

static struct report *report; /* shared */

/* ---- running ---- */

static bool chosen(const struct operation *operation)
{
    return !choice.operation || strcmp(choice.operation, operation->name) == 0;
}

static void run_at(const struct plan *plan, enum mode mode, uint64_t step)
{
    uintptr_t address;

    run_once(plan, mode, step, &address);
    atomic_fetch_add(&report->tallies[plan->operation - operations].points[mode], 1);
    report_run(report, plan->operation, mode == KILL ? "killed" : "stopped", step, address);
}

static void torture(const struct operation *operation)
{
    struct plan plan;
    size_t every = choice.every;

    if (every > 1 && operation->coarser > 1)
        every *= operation->coarser;
    run_scout(&plan, operation);
    atomic_store(&report->tallies[operation - operations].steps, plan.victim.steps);
    report_run(report, operation, "only stepped through", plan.victim.steps, 0);
    for (unsigned mode = 0; mode < MODES; mode++) {
        if (!choice.mode[mode])
            continue;
        if (choice.at >= 0) {
            run_at(&plan, (enum mode)mode, (uint64_t)choice.at);
            continue;
        }
        for (size_t i = 0; i < plan.count; i++)
            if (i % every == 0 || i + 1 == plan.count)
                run_at(&plan, (enum mode)mode, plan.points[i]);
    }
    plan_free(&plan);
}

/* ---- workers ---- */

/* Each has a runtime directory of its own; they share the work, an operation at a time. */
static void work(unsigned number)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    scene_prepare(number);
    /* From the end: the longest are there, and nobody shall wait for one of them alone. */
    for (unsigned i; (i = atomic_fetch_add(&report->next, 1)) < operations_count;) {
        const struct operation *operation = &operations[operations_count - 1 - i];
        if (chosen(operation)) {
            torture(operation);
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
            report_progress(report, operations_chosen);
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
            "usage: torture [--full | --every N] [--kill | --stop] [--operation NAME [--at STEP]] [--list]\n"
            "  --full          after every step (the default)\n"
            "  --every N       after every Nth of these steps\n"
            "  --kill, --stop  only the one, not both\n"
            "  --operation     only this operation; --list has their names\n"
            "  --at STEP       only after this step: to repeat a finding\n");
}

static void list(void)
{
    for (size_t i = 0; i < operations_count; i++)
        printf("%-18s %s\n", operations[i].name, operations[i].what);
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
            choice.at = strtol(optarg, NULL, 10);
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
    return optind == argc && choice.every > 0 && (choice.at < 0 || choice.operation) &&
           (choice.mode[KILL] || choice.mode[STOP]);
}

int main(int argc, char **argv)
{
    pid_t workers[WORKERS_MOST];
    unsigned operations_chosen = 0;

    if (!parse(argc, argv)) {
        usage(stderr);
        return 2;
    }
    for (size_t i = 0; i < operations_count; i++)
        operations_chosen += chosen(&operations[i]);
    if (operations_chosen == 0) {
        fprintf(stderr, "torture: there is no operation '%s'; see --list\n", choice.operation);
        return 2;
    }
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED || operations_count > OPERATIONS_MOST) {
        perror("torture: cannot prepare");
        return 2;
    }
    signal(SIGINT, SIG_IGN); /* the workers end by it; what they leave is removed here */
    scene_directory_make();
    int64_t start = now_ns();
    unsigned count = start_workers(workers, operations_chosen);
    bool well = await_workers(workers, count, operations_chosen);
    scene_directory_remove();
    unsigned failed = report_table(report, (double)(now_ns() - start) / 1e9);
    if (!well)
        printf("INTERRUPTED: a worker did not come to its end\n");
    else
        printf("%s\n", failed == 0 ? "nothing was lost, doubled or leaked, and nobody hung" : "FAILED");
    return well && failed == 0 ? 0 : 1;
}
