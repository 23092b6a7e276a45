/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction: a process is single-stepped into each operation of a mailbox
 * and killed after step 1, 2, 3, … to the end; then stopped there instead, and continued later. After
 * each, survivors must finish their own operations, every message must be accounted for, and nothing
 * may be left behind.
 *
 * Run by `make torture` with --full, and by the tests with --every 7.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operations.h"
#include "run.h"
#include "scene.h"
#include "symbol.h"

#define SAID_MOST 8 /* findings of an operation that are described */

static struct choice {
    const char *operation; /* NULL: all */
    unsigned every;
    bool mode[MODES];
    long at; /* -1: all */
} choice = { .every = 1, .mode = { true, true }, .at = -1 };

struct tally {
    uint64_t steps;
    unsigned points[MODES];
    unsigned findings[FINDINGS];
    unsigned runs_with_findings;
};

static const char *const mode_names[MODES] = { "kill", "stop" };

/* ---- telling ---- */

static void progress(const struct operation *operation, enum mode mode, size_t done, size_t count)
{
    static int64_t said;
    int64_t now = now_ns();

    if (!isatty(STDERR_FILENO) || (now - said < 100000000 && done < count))
        return;
    said = now;
    fprintf(stderr, "\r%-18s %s %zu of %zu \033[K", operation->name, mode_names[mode], done, count);
}

static void clear_progress(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static void tell(const struct operation *operation, const char *when, uint64_t step, uintptr_t address)
{
    const struct findings *findings = &scene->findings;
    char where[128];

    clear_progress();
    symbol_of(address, where, sizeof where);
    printf("%s: %s after step %llu, at %s:\n", operation->name, when, (unsigned long long)step, where);
    unsigned said = atomic_load(&findings->said);
    for (unsigned i = 0; i < said && i < FINDING_WORDS_MAX; i++)
        printf("    %s\n", findings->words[i]);
    if (said > FINDING_WORDS_MAX)
        printf("    and %u more\n", said - FINDING_WORDS_MAX);
    fflush(stdout);
}

static void count_findings(struct tally *tally, const struct operation *operation, const char *when,
                           uint64_t step, uintptr_t address)
{
    if (findings_total(&scene->findings) == 0)
        return;
    if (tally->runs_with_findings++ < SAID_MOST)
        tell(operation, when, step, address);
    for (unsigned i = 0; i < FINDINGS; i++)
        tally->findings[i] += atomic_load(&scene->findings.count[i]);
}

static void print_head(void)
{
    printf("%-18s %12s %8s %8s %6s %6s %6s %6s %6s\n", "operation", "instructions", "killed", "stopped",
           "hangs", "losses", "twice", "leaks", "wrong");
}

static void print_row(const char *name, const struct tally *tally)
{
    printf("%-18s %12llu %8u %8u %6u %6u %6u %6u %6u\n", name, (unsigned long long)tally->steps,
           tally->points[KILL], tally->points[STOP], tally->findings[HANG], tally->findings[LOSS],
           tally->findings[DUPLICATE], tally->findings[LEAK], tally->findings[WRONG]);
    fflush(stdout);
}

/* ---- running ---- */

static void run_at(const struct plan *plan, struct tally *tally, enum mode mode, uint64_t step)
{
    uintptr_t address;

    run_once(plan, mode, step, &address);
    tally->points[mode]++;
    count_findings(tally, plan->operation, mode == KILL ? "killed" : "stopped", step, address);
}

static void torture(const struct operation *operation, struct tally *tally)
{
    struct plan plan;
    size_t every = (size_t)choice.every * (operation->coarser > 1 ? operation->coarser : 1);

    run_scout(&plan, operation);
    tally->steps = plan.victim.steps;
    count_findings(tally, operation, "only stepped through", plan.victim.steps, 0);
    for (unsigned mode = 0; mode < MODES; mode++) {
        if (!choice.mode[mode])
            continue;
        if (choice.at >= 0) {
            run_at(&plan, tally, (enum mode)mode, (uint64_t)choice.at);
            continue;
        }
        for (size_t i = 0; i < plan.count; i++)
            if (i % every == 0 || i + 1 == plan.count) {
                progress(operation, (enum mode)mode, i + 1, plan.count);
                run_at(&plan, tally, (enum mode)mode, plan.points[i]);
            }
    }
    plan_free(&plan);
    clear_progress();
    print_row(operation->name, tally);
}

static void add(struct tally *total, const struct tally *tally)
{
    total->steps += tally->steps;
    for (unsigned i = 0; i < MODES; i++)
        total->points[i] += tally->points[i];
    for (unsigned i = 0; i < FINDINGS; i++)
        total->findings[i] += tally->findings[i];
    total->runs_with_findings += tally->runs_with_findings;
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
    struct tally total = { 0 };
    unsigned ran = 0;

    if (!parse(argc, argv)) {
        usage(stderr);
        return 2;
    }
    int64_t start = now_ns();
    scene_prepare();
    print_head();
    for (size_t i = 0; i < operations_count; i++) {
        struct tally tally = { 0 };
        if (choice.operation && strcmp(choice.operation, operations[i].name) != 0)
            continue;
        torture(&operations[i], &tally);
        add(&total, &tally);
        ran++;
    }
    scene_end();
    if (ran == 0) {
        fprintf(stderr, "torture: there is no operation '%s'; see --list\n", choice.operation);
        return 2;
    }
    print_row("total", &total);
    printf(
        "%u kill points, %u stop points tried in %.0f s; the longest that a survivor had to wait: %.0f ms\n",
        total.points[KILL], total.points[STOP], (double)(now_ns() - start) / 1e9, (double)longest_ns / 1e6);
    printf("%s\n",
           total.runs_with_findings == 0 ? "nothing was lost, doubled or leaked, and nobody hung" : "FAILED");
    return total.runs_with_findings == 0 ? 0 : 1;
}
