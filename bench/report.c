/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <stdio.h>

#include "bench/figures.h"
#include "bench/machine.h"

/* A row over all rounds: medians, and the smallest and largest round. */
struct summary {
    double ns, low_ns, high_ns;
    double p99_ns; /* 0: none */
    double ratio;  /* 0: none */
    double faults, sleeps;
    uint64_t preemptions; /* of all rounds */
    bool reached;
};

/* Round by round: what disturbs the machine for longer than a moment disturbs both. */
static double median_ratio(const struct report *report, unsigned index)
{
    const struct row *row = &report->rows[index];
    double ratios[BENCH_ROUNDS_MAX];

    if (row->limit < 0)
        return 0;
    for (unsigned round = 0; round < report->rounds; round++) {
        double ns = report->results[index][round].ns;
        double limit_ns = report->results[row->limit][round].ns;
        ratios[round] = row->compare == COMPARE_TIME ? ns / limit_ns : limit_ns / ns;
    }
    return figures_median(ratios, report->rounds);
}

static struct summary summarize(const struct report *report, unsigned index)
{
    const struct row *row = &report->rows[index];
    const struct crew_result *results = report->results[index];
    unsigned rounds = report->rounds;
    double ns[BENCH_ROUNDS_MAX], p99_ns[BENCH_ROUNDS_MAX], faults[BENCH_ROUNDS_MAX], sleeps[BENCH_ROUNDS_MAX];
    struct summary summary = { 0 };

    for (unsigned round = 0; round < rounds; round++) {
        ns[round] = results[round].ns;
        p99_ns[round] = results[round].p99_ns;
        faults[round] = results[round].faults;
        sleeps[round] = results[round].sleeps;
        summary.preemptions += results[round].preemptions;
    }
    summary.ns = figures_median(ns, rounds);
    summary.low_ns = ns[0];
    summary.high_ns = ns[rounds - 1];
    summary.p99_ns = figures_median(p99_ns, rounds);
    summary.faults = figures_median(faults, rounds);
    summary.sleeps = figures_median(sleeps, rounds);
    summary.ratio = median_ratio(report, index);
    if (row->aim > 0)
        summary.reached =
            row->compare == COMPARE_TIME ? summary.ratio <= row->aim : summary.ratio >= row->aim;
    return summary;
}

/* The row with the most page faults a message, of those where messages stream. -1: none was measured. */
static int most_faults(const struct report *report, double *faults)
{
    int worst = -1;

    for (unsigned i = 0; i < report->count; i++) {
        if (!report->wanted[i] || report->rows[i].section != SECTION_THROUGHPUT)
            continue;
        struct summary summary = summarize(report, i);
        if (worst < 0 || summary.faults > *faults) {
            worst = (int)i;
            *faults = summary.faults;
        }
    }
    return worst;
}

/* ---- the table ---- */

static struct figure spread(const struct summary *summary, struct figure (*shown)(double), bool rate)
{
    struct figure low = shown(rate ? summary->high_ns : summary->low_ns);
    struct figure high = shown(rate ? summary->low_ns : summary->high_ns);
    struct figure result;

    snprintf(result.text, sizeof result.text, "%.15s .. %.15s", low.text, high.text);
    return result;
}

static struct figure against(const struct report *report, const struct row *row,
                             const struct summary *summary)
{
    struct figure result = { "" };

    if (row->limit >= 0)
        snprintf(result.text, sizeof result.text, "%.2fx %s", summary->ratio, report->rows[row->limit].name);
    return result;
}

static struct figure verdict(const struct row *row, const struct summary *summary)
{
    struct figure result = { "" };

    if (row->aim > 0)
        snprintf(result.text, sizeof result.text, "%s %.2f %s",
                 row->compare == COMPARE_TIME ? "<=" : ">=", row->aim,
                 summary->reached ? "reached" : "NOT reached");
    return result;
}

static void table_row(const struct report *report, unsigned index)
{
    const struct row *row = &report->rows[index];
    struct summary summary = summarize(report, index);
    bool rate = row->section == SECTION_THROUGHPUT;
    struct figure value = rate ? figures_rate(summary.ns) : figures_time(summary.ns);
    struct figure range = spread(&summary, rate ? figures_rate : figures_time, rate);
    struct figure more = { "" };

    if (row->task.moves)
        more = figures_bytes((double)row->task.size / summary.ns * 1e9);
    else if (row->tail)
        snprintf(more.text, sizeof more.text, "p99 %.20s", figures_time(summary.p99_ns).text);
    printf("  %-20s %-38s %9s  %-22s %12s  %-16s %s\n", row->name, row->title, value.text, range.text,
           more.text, against(report, row, &summary).text, verdict(row, &summary).text);
}

static void table_faults(const struct report *report)
{
    double faults = 0;
    int worst = most_faults(report, &faults);

    if (worst >= 0)
        printf("\nPage faults a message, at most: %.3g (%s). Aim: none (less than %g): %s\n", faults,
               report->rows[worst].name, ROWS_FAULTS_AIM,
               faults < ROWS_FAULTS_AIM ? "reached" : "NOT reached");
}

/* Has each of its processes a core? */
static bool one_a_core(const struct row *row)
{
    return row->count == 1 || (row->count <= machine()->places && row->parts[0].place != row->parts[1].place);
}

static void table_disturbance(const struct report *report)
{
    uint64_t preemptions = 0;

    for (unsigned i = 0; i < report->count; i++)
        if (report->wanted[i] && one_a_core(&report->rows[i]))
            preemptions += summarize(report, i).preemptions;
    if (preemptions > 0)
        printf("Others wanted the cores %llu times while one process a core was being measured.\n",
               (unsigned long long)preemptions);
}

void report_table(const struct report *report)
{
    static const char *const titles[SECTIONS] = {
        [SECTION_LIMITS] = "the machine's own limits",
        [SECTION_LATENCY] = "latency, one way where not said otherwise (ratio: of the limit's time)",
        [SECTION_THROUGHPUT] = "messages received (ratio: of the limit's rate)",
    };

    figures_head(report->rounds);
    if (machine()->places < 2)
        printf("There is one core only: all of it is shared, and the aims do not apply.\n");
    for (int section = 0; section < SECTIONS; section++) {
        bool begun = false;
        for (unsigned i = 0; i < report->count; i++) {
            if (!report->wanted[i] || report->rows[i].section != (enum row_section)section)
                continue;
            if (!begun)
                printf("\n%s: %s\n", section == SECTION_LIMITS ? "Beside" : report->title, titles[section]);
            begun = true;
            table_row(report, i);
        }
    }
    table_faults(report);
    table_disturbance(report);
}

/* ---- JSON ---- */

static void json_row(FILE *file, const struct report *report, unsigned index)
{
    const struct row *row = &report->rows[index];
    struct summary summary = summarize(report, index);

    fprintf(file, "    \"%s\": { \"title\": ", row->name);
    figures_json_string(file, row->title);
    fprintf(file, ", \"ns\": %.6g, \"low_ns\": %.6g, \"high_ns\": %.6g", summary.ns, summary.low_ns,
            summary.high_ns);
    if (row->tail)
        fprintf(file, ", \"p99_ns\": %.6g", summary.p99_ns);
    fprintf(file, ", \"per_second\": %.6g", 1e9 / summary.ns);
    if (row->task.moves)
        fprintf(file, ", \"bytes_per_second\": %.6g", (double)row->task.size / summary.ns * 1e9);
    if (row->limit >= 0)
        fprintf(file, ", \"limit\": \"%s\", \"compares\": \"%s\", \"ratio\": %.6g",
                report->rows[row->limit].name, row->compare == COMPARE_TIME ? "time" : "rate", summary.ratio);
    if (row->aim > 0)
        fprintf(file, ", \"aim\": %.6g, \"reached\": %s", row->aim, summary.reached ? "true" : "false");
    if (row->mailboxes > 0 || row->task.direct || (row->task.wire && !row->task.socket))
        fprintf(file, ", \"page_faults_per_message\": %.6g, \"sleeps_per_message\": %.6g", summary.faults,
                summary.sleeps);
    fprintf(file, ", \"preemptions\": %llu }", (unsigned long long)summary.preemptions);
}

void report_json(FILE *file, const struct report *report)
{
    double faults = 0;
    int worst = most_faults(report, &faults);
    bool begun = false;

    fprintf(file, "{\n");
    figures_json_head(file, report->kind, report->rounds, report->quick);
    fprintf(file, "  \"rows\": {\n");
    for (unsigned i = 0; i < report->count; i++) {
        if (!report->wanted[i])
            continue;
        fprintf(file, "%s", begun ? ",\n" : "");
        begun = true;
        json_row(file, report, i);
    }
    fprintf(file, "\n  }");
    if (worst >= 0)
        fprintf(file,
                ",\n  \"page_faults\": { \"most_per_message\": %.6g, \"row\": \"%s\", \"aim\": %g, "
                "\"reached\": %s }",
                faults, report->rows[worst].name, ROWS_FAULTS_AIM,
                faults < ROWS_FAULTS_AIM ? "true" : "false");
    fprintf(file, "\n}\n");
}
