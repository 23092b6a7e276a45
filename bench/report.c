/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <stdio.h>
#include <stdlib.h>

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

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Sorts the values. */
static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof values[0], by_size);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

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
    return median(ratios, report->rounds);
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
    summary.ns = median(ns, rounds);
    summary.low_ns = ns[0];
    summary.high_ns = ns[rounds - 1];
    summary.p99_ns = median(p99_ns, rounds);
    summary.faults = median(faults, rounds);
    summary.sleeps = median(sleeps, rounds);
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

struct text {
    char text[40];
};

static struct text scaled(double value, const char *const units[4])
{
    struct text result;
    unsigned unit = 0;

    while (value >= 999.5 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(result.text, sizeof result.text, "%.3g %s", value, units[unit]);
    return result;
}

static struct text in_time(double ns)
{
    return scaled(ns, (const char *const[4]){ "ns", "us", "ms", "s" });
}

static struct text in_rate(double ns)
{
    return scaled(1e9 / ns, (const char *const[4]){ "/s", "k/s", "M/s", "G/s" });
}

static struct text in_bytes(double bytes_per_second)
{
    return scaled(bytes_per_second, (const char *const[4]){ "B/s", "kB/s", "MB/s", "GB/s" });
}

static struct text spread(const struct summary *summary, struct text (*shown)(double), bool rate)
{
    struct text low = shown(rate ? summary->high_ns : summary->low_ns);
    struct text high = shown(rate ? summary->low_ns : summary->high_ns);
    struct text result;

    snprintf(result.text, sizeof result.text, "%.15s .. %.15s", low.text, high.text);
    return result;
}

static struct text against(const struct report *report, const struct row *row, const struct summary *summary)
{
    struct text result = { "" };

    if (row->limit >= 0)
        snprintf(result.text, sizeof result.text, "%.2fx %s", summary->ratio, report->rows[row->limit].name);
    return result;
}

static struct text verdict(const struct row *row, const struct summary *summary)
{
    struct text result = { "" };

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
    struct text value = rate ? in_rate(summary.ns) : in_time(summary.ns);
    struct text range = spread(&summary, rate ? in_rate : in_time, rate);
    struct text more = { "" };

    if (row->task.moves)
        more = in_bytes((double)row->task.size / summary.ns * 1e9);
    else if (row->tail)
        snprintf(more.text, sizeof more.text, "p99 %.20s", in_time(summary.p99_ns).text);
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

static void table_disturbance(const struct report *report)
{
    uint64_t preemptions = 0;

    for (unsigned i = 0; i < report->count; i++)
        if (report->wanted[i] && report->rows[i].count <= machine()->places)
            preemptions += summarize(report, i).preemptions;
    if (preemptions > 0)
        printf("Others wanted the cores %llu times while one process a core was being measured.\n",
               (unsigned long long)preemptions);
}

static void table_head(const struct report *report)
{
    const struct machine *here = machine();

    printf("%s, %d cores, %s\n", here->cpu, here->cores, here->kernel);
    printf("Processes pinned to");
    for (unsigned i = 0; i < here->places; i++)
        printf("%s %d", i == 0 ? " cores" : i + 1 == here->places ? " and" : ",", here->core[i]);
    printf("; medians of %u rounds, with the smallest and largest.\n", report->rounds);
    if (here->places < 2)
        printf("There is one core only: all of it is shared, and the aims do not apply.\n");
}

void report_table(const struct report *report)
{
    static const char *const titles[SECTIONS] = {
        [SECTION_LIMITS] = "The machine's own limits",
        [SECTION_LATENCY] =
            "Mailboxes: latency, one way where not said otherwise (ratio: of the limit's time)",
        [SECTION_THROUGHPUT] = "Mailboxes: messages received (ratio: of the limit's rate)",
    };

    table_head(report);
    for (int section = 0; section < SECTIONS; section++) {
        bool begun = false;
        for (unsigned i = 0; i < report->count; i++) {
            if (!report->wanted[i] || report->rows[i].section != (enum row_section)section)
                continue;
            if (!begun)
                printf("\n%s\n", titles[section]);
            begun = true;
            table_row(report, i);
        }
    }
    table_faults(report);
    table_disturbance(report);
}

/* ---- JSON ---- */

static void json_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_machine(const struct report *report)
{
    const struct machine *here = machine();

    printf("  \"kind\": \"mailbox\",\n  \"rounds\": %u,\n  \"quick\": %s,\n", report->rounds,
           report->quick ? "true" : "false");
    printf("  \"machine\": { \"cpu\": ");
    json_string(here->cpu);
    printf(", \"cores\": %d, \"kernel\": ", here->cores);
    json_string(here->kernel);
    printf(", \"pinned\": [");
    for (unsigned i = 0; i < here->places; i++)
        printf("%s%d", i > 0 ? ", " : "", here->core[i]);
    printf("] },\n");
}

static void json_row(const struct report *report, unsigned index)
{
    const struct row *row = &report->rows[index];
    struct summary summary = summarize(report, index);

    printf("    \"%s\": { \"title\": ", row->name);
    json_string(row->title);
    printf(", \"ns\": %.6g, \"low_ns\": %.6g, \"high_ns\": %.6g", summary.ns, summary.low_ns,
           summary.high_ns);
    if (row->tail)
        printf(", \"p99_ns\": %.6g", summary.p99_ns);
    printf(", \"per_second\": %.6g", 1e9 / summary.ns);
    if (row->task.moves)
        printf(", \"bytes_per_second\": %.6g", (double)row->task.size / summary.ns * 1e9);
    if (row->limit >= 0)
        printf(", \"limit\": \"%s\", \"compares\": \"%s\", \"ratio\": %.6g", report->rows[row->limit].name,
               row->compare == COMPARE_TIME ? "time" : "rate", summary.ratio);
    if (row->aim > 0)
        printf(", \"aim\": %.6g, \"reached\": %s", row->aim, summary.reached ? "true" : "false");
    if (row->mailboxes > 0)
        printf(", \"page_faults_per_message\": %.6g, \"sleeps_per_message\": %.6g", summary.faults,
               summary.sleeps);
    printf(", \"preemptions\": %llu }", (unsigned long long)summary.preemptions);
}

void report_json(const struct report *report)
{
    double faults = 0;
    int worst = most_faults(report, &faults);
    bool begun = false;

    printf("{\n");
    json_machine(report);
    printf("  \"rows\": {\n");
    for (unsigned i = 0; i < report->count; i++) {
        if (!report->wanted[i])
            continue;
        printf("%s", begun ? ",\n" : "");
        begun = true;
        json_row(report, i);
    }
    printf("\n  }");
    if (worst >= 0)
        printf(",\n  \"page_faults\": { \"most_per_message\": %.6g, \"row\": \"%s\", \"aim\": %g, "
               "\"reached\": %s }",
               faults, report->rows[worst].name, ROWS_FAULTS_AIM,
               faults < ROWS_FAULTS_AIM ? "true" : "false");
    printf("\n}\n");
}
