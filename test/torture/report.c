/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdio.h>
#include <unistd.h>

#include "symbol.h"

#define DESCRIBED_MOST 8 /* runs of an operation whose findings are described */

static const char *const clear_line = "\r\033[K";

static void describe(const char *name, const char *when, uint64_t step, uintptr_t address)
{
    char where[128];

    symbol_of(address, where, sizeof where);
    fprintf(stderr, "%s%s: %s after step %llu, at %s:\n", isatty(STDERR_FILENO) ? clear_line : "", name, when,
            (unsigned long long)step, where);
    unsigned said = atomic_load(&findings->said);
    for (unsigned i = 0; i < said && i < FINDING_WORDS_MAX; i++)
        fprintf(stderr, "    %s\n", findings->words[i]);
    if (said > FINDING_WORDS_MAX)
        fprintf(stderr, "    and %u more\n", said - FINDING_WORDS_MAX);
    fflush(stderr);
}

void report_run(struct report *report, size_t operation, const char *name, const char *when, uint64_t step,
                uintptr_t address)
{
    struct tally *tally = &report->tallies[operation];

    if (longest_ns > atomic_load(&report->longest_ns))
        atomic_store(&report->longest_ns, longest_ns);
    if (findings_total() == 0)
        return;
    if (atomic_fetch_add(&tally->runs_with_findings, 1) < DESCRIBED_MOST)
        describe(name, when, step, address);
    for (unsigned i = 0; i < FINDINGS; i++)
        atomic_fetch_add(&tally->findings[i], atomic_load(&findings->count[i]));
}

static void add(struct tally *total, const struct tally *tally)
{
    atomic_fetch_add(&total->steps, atomic_load(&tally->steps));
    for (unsigned i = 0; i < MODES; i++)
        atomic_fetch_add(&total->points[i], atomic_load(&tally->points[i]));
    for (unsigned i = 0; i < FINDINGS; i++)
        atomic_fetch_add(&total->findings[i], atomic_load(&tally->findings[i]));
    atomic_fetch_add(&total->runs_with_findings, atomic_load(&tally->runs_with_findings));
}

static void sum_up(const struct report *report, size_t operations, struct tally *total)
{
    for (size_t i = 0; i < operations; i++)
        add(total, &report->tallies[i]);
}

void report_progress(const struct report *report, size_t operations, unsigned operations_chosen)
{
    struct tally total = { 0 };

    if (!isatty(STDERR_FILENO))
        return;
    sum_up(report, operations, &total);
    fprintf(stderr, "%s%u of %u operations, killed at %u instructions, stopped at %u, %u failed", clear_line,
            atomic_load(&report->ended), operations_chosen, total.points[KILL], total.points[STOP],
            total.runs_with_findings);
    fflush(stderr);
}

static void print_row(const char *name, const struct tally *tally)
{
    printf("%-18s %12llu %8u %8u %6u %6u %6u %6u %6u\n", name, (unsigned long long)tally->steps,
           tally->points[KILL], tally->points[STOP], tally->findings[HANG], tally->findings[LOSS],
           tally->findings[DUPLICATE], tally->findings[LEAK], tally->findings[WRONG]);
}

void report_heading(void)
{
    if (isatty(STDERR_FILENO))
        fputs(clear_line, stderr);
    printf("%-18s %12s %8s %8s %6s %6s %6s %6s %6s\n", "operation", "instructions", "killed", "stopped",
           "hangs", "losses", "twice", "leaks", "wrong");
}

void report_row(const struct report *report, size_t operation, const char *name)
{
    const struct tally *tally = &report->tallies[operation];

    if (tally->points[KILL] + tally->points[STOP] + tally->runs_with_findings > 0)
        print_row(name, tally);
}

void report_total(const struct report *report, size_t operations, double seconds)
{
    struct tally total = { 0 };

    sum_up(report, operations, &total);
    print_row("total", &total);
    printf("%u kill points and %u stop points tried in %.0f s; the longest that a survivor had to wait: %.0f "
           "ms\n",
           total.points[KILL], total.points[STOP], seconds, (double)report->longest_ns / 1e6);
}

unsigned report_failed(const struct report *report, size_t operations)
{
    struct tally total = { 0 };

    sum_up(report, operations, &total);
    return total.runs_with_findings;
}
