/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers.h"

#include <stdlib.h>
#include <string.h>

#include "bench/figures.h"

/* Two times, one over the other's, round by round. */
struct comparison {
    double ratio;   /* the median */
    unsigned above; /* in so many rounds it is more than 1, */
    unsigned count; /* of so many */
};

static struct comparison compare(const struct outcome *one, const struct outcome *other, unsigned rounds)
{
    struct comparison comparison = { .count = rounds };
    double ratios[BENCH_ROUNDS_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        ratios[i] = one->ns[i] / other->ns[i];
        comparison.above += ratios[i] > 1;
    }
    comparison.ratio = figures_median(ratios, rounds);
    return comparison;
}

/* Who takes less time leads if that is so in four rounds of five; else nobody does, whatever the median. */
static bool leads(const struct comparison *comparison)
{
    return 5 * comparison->above >= 4 * comparison->count;
}

static bool trails(const struct comparison *comparison)
{
    return 5 * (comparison->count - comparison->above) >= 4 * comparison->count;
}

/* A contender's figures over all rounds. */
struct summary {
    const struct contender *contender;
    const struct outcome *outcome;
    double ns, low_ns, high_ns, p99_ns;
    struct comparison beside; /* the reference; count 0: not measured */
};

static bool measured(const struct peers_report *report, unsigned work, unsigned contender)
{
    return report->outcomes[work][contender].state == MEASURED;
}

static struct summary summarize(const struct peers_report *report, unsigned work, unsigned contender)
{
    const struct outcome *outcome = &report->outcomes[work][contender];
    const struct outcome *reference = &report->outcomes[work][REFERENCE];
    struct summary summary = { .contender = &report->contenders[contender], .outcome = outcome };
    double ns[BENCH_ROUNDS_MAX], p99_ns[BENCH_ROUNDS_MAX];
    unsigned rounds = report->rounds;

    if (outcome->state != MEASURED)
        return summary;
    memcpy(ns, outcome->ns, sizeof ns);
    memcpy(p99_ns, outcome->p99_ns, sizeof p99_ns);
    summary.ns = figures_median(ns, rounds);
    summary.low_ns = ns[0];
    summary.high_ns = ns[rounds - 1];
    summary.p99_ns = figures_median(p99_ns, rounds);
    if (reference->state == MEASURED)
        summary.beside = compare(outcome, reference, rounds);
    return summary;
}

/* The fastest first; what was not measured last, in the order of the list. */
static int by_time(const void *a, const void *b)
{
    const struct summary *left = a, *right = b;

    if (left->ns > 0 && right->ns > 0 && left->ns != right->ns)
        return left->ns < right->ns ? -1 : 1;
    if ((left->ns > 0) != (right->ns > 0))
        return left->ns > 0 ? -1 : 1;
    return (left->contender > right->contender) - (left->contender < right->contender);
}

static unsigned rank(const struct peers_report *report, unsigned work, struct summary ranked[CONTENDERS_MAX])
{
    unsigned count = 0;

    for (unsigned i = 0; i < report->contender_count; i++)
        if (report->outcomes[work][i].state != NOT_WANTED)
            ranked[count++] = summarize(report, work, i);
    qsort(ranked, count, sizeof ranked[0], by_time);
    return count;
}

/* ---- the table ---- */

static const char *why_not(const struct outcome *outcome)
{
    switch (outcome->state) {
    case CANNOT:
        return outcome->why;
    case MISSING:
        return "not installed";
    default:
        return "failed";
    }
}

/* Who leads, beside Ginnel's copies. */
static void verdict(const struct summary *summary, bool is_reference)
{
    const struct comparison *beside = &summary->beside;

    if (beside->count == 0 || is_reference)
        return;
    if (summary->contender->ours)
        printf("  %.2fx of copying", 1 / beside->ratio);
    else if (leads(beside))
        printf("  Ginnel leads, %.2fx", beside->ratio);
    else if (trails(beside))
        printf("  LEADS GINNEL, %.2fx", 1 / beside->ratio);
    else
        printf("  level, %.2fx", beside->ratio);
}

static void table_row(const struct peers_report *report, const struct peers_work *work,
                      const struct summary *summary)
{
    bool rate = strcmp(work->pattern, "stream") == 0;
    struct figure (*shown)(double) = rate ? figures_rate : figures_time;

    printf("  %-20s ", summary->contender->title);
    if (summary->outcome->state != MEASURED) {
        printf("%9s  %s\n", "-", why_not(summary->outcome));
        return;
    }
    struct figure low = shown(rate ? summary->high_ns : summary->low_ns);
    struct figure high = shown(rate ? summary->low_ns : summary->high_ns);
    printf("%9s  %9.15s .. %-9.15s", shown(summary->ns).text, low.text, high.text);
    if (rate)
        printf(" %9s", figures_bytes((double)work->size / summary->ns * 1e9).text);
    verdict(summary, summary->contender == &report->contenders[REFERENCE]);
    putchar('\n');
}

/* The fastest of ours, or of the others, in most rounds; NULL: none was measured. */
static const struct summary *best(const struct peers_report *report, const struct summary *ranked,
                                  unsigned count, bool ours)
{
    const struct summary *found = NULL;

    for (unsigned i = 0; i < count; i++)
        if (ranked[i].contender->ours == ours && ranked[i].ns > 0 &&
            (!found || compare(ranked[i].outcome, found->outcome, report->rounds).ratio < 1))
            found = &ranked[i];
    return found;
}

/* Whoever leads in a work, in a line. */
static void table_leader(const struct peers_report *report, unsigned work)
{
    struct summary ranked[CONTENDERS_MAX];
    unsigned count = rank(report, work, ranked);
    const struct summary *ours = best(report, ranked, count, true),
                         *other = best(report, ranked, count, false);

    if (!ours || !other)
        return;
    struct comparison beside = compare(other->outcome, ours->outcome, report->rounds);
    printf("  %-34s ", report->works[work].title);
    if (leads(&beside))
        printf("%s leads %s, %.2fx\n", ours->contender->title, other->contender->title, beside.ratio);
    else if (trails(&beside))
        printf("%s LEADS %s, %.2fx\n", other->contender->title, ours->contender->title, 1 / beside.ratio);
    else
        printf("%s and %s are level, %.2fx\n", ours->contender->title, other->contender->title, beside.ratio);
}

void peers_table(const struct peers_report *report)
{
    struct summary ranked[CONTENDERS_MAX];

    figures_head(report->rounds);
    for (unsigned i = 0; i < report->work_count; i++) {
        unsigned count = rank(report, i, ranked);
        if (count == 0)
            continue;
        printf("\n%s: %s\n", report->works[i].title,
               strcmp(report->works[i].pattern, "stream") == 0 ? "messages received" : "time");
        for (unsigned j = 0; j < count; j++)
            table_row(report, &report->works[i], &ranked[j]);
    }
    printf("\nThe fastest of each side\n");
    for (unsigned i = 0; i < report->work_count; i++)
        table_leader(report, i);
}

/* ---- JSON ---- */

static void json_outcome(FILE *file, const struct peers_report *report, unsigned work, unsigned contender)
{
    struct summary summary = summarize(report, work, contender);
    const struct outcome *outcome = summary.outcome;

    fprintf(file, "\"%s\": { ", summary.contender->name);
    if (outcome->state != MEASURED) {
        fputs("\"not_measured\": ", file);
        figures_json_string(file, why_not(outcome));
        fputs(" }", file);
        return;
    }
    fprintf(file, "\"ns\": %.6g, \"low_ns\": %.6g, \"high_ns\": %.6g, \"per_second\": %.6g", summary.ns,
            summary.low_ns, summary.high_ns, 1e9 / summary.ns);
    if (summary.beside.count > 0)
        fprintf(file, ", \"ratio\": %.6g, \"slower_in_rounds\": %u", summary.beside.ratio,
                summary.beside.above);
    if (strcmp(report->works[work].pattern, "asleep") == 0)
        fprintf(file, ", \"p99_ns\": %.6g", summary.p99_ns);
    fprintf(file, ", \"sent\": %llu, \"received\": %llu }", (unsigned long long)outcome->sent,
            (unsigned long long)outcome->received);
}

static void json_work(FILE *file, const struct peers_report *report, unsigned work)
{
    const char *comma = "";

    fprintf(file, "    \"%s\": { \"title\": ", report->works[work].name);
    figures_json_string(file, report->works[work].title);
    fprintf(file, ", \"size\": %u, \"senders\": %u, \"peers\": {", report->works[work].size,
            report->works[work].senders);
    for (unsigned i = 0; i < report->contender_count; i++)
        if (report->outcomes[work][i].state != NOT_WANTED) {
            fprintf(file, "%s\n      ", comma);
            comma = ",";
            json_outcome(file, report, work, i);
        }
    fputs("\n    } }", file);
}

void peers_json(FILE *file, const struct peers_report *report)
{
    const char *comma = "";

    fprintf(file, "{\n");
    figures_json_head(file, "peers", report->rounds, report->quick);
    fprintf(file, "  \"works\": {");
    for (unsigned i = 0; i < report->work_count; i++) {
        bool wanted = false;
        for (unsigned j = 0; j < report->contender_count; j++)
            wanted |= report->outcomes[i][j].state != NOT_WANTED;
        if (!wanted)
            continue;
        fprintf(file, "%s\n", comma);
        comma = ",";
        json_work(file, report, i);
    }
    fprintf(file, "\n  }\n}\n");
}

/* ---- charts ---- */

/* The works of a chart, as groups of columns beside each other; contenders along the axis. */
struct chart {
    const char *file, *title, *axis;
    const char *works[4]; /* their names, as far as there are */
    const char *labels[4];
    bool rate;
};

static const struct chart charts[] = {
    { "peers-latency.svg",
      "One way, 64 B (less is better)",
      "ns",
      { "latency_busy", "latency_asleep" },
      { "both sides busy", "receiver asleep" },
      false },
    { "peers-1to1.svg",
      "One sender, one receiver (more is better)",
      "messages a second",
      { "stream_64", "stream_1k", "stream_64k", "stream_1m" },
      { "64 B", "1 KiB", "64 KiB", "1 MiB" },
      true },
    { "peers-2to1.svg",
      "Two senders, one receiver (more is better)",
      "messages a second",
      { "stream_64_2to1", "stream_1k_2to1", "stream_64k_2to1", "stream_1m_2to1" },
      { "64 B", "1 KiB", "64 KiB", "1 MiB" },
      true },
};

static int find_work(const struct peers_report *report, const char *name)
{
    for (unsigned i = 0; name && i < report->work_count; i++)
        if (strcmp(report->works[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* A line for each contender: its title; median, low and high for each work. */
static void chart_data(FILE *file, const struct peers_report *report, const struct chart *chart)
{
    fputs("$figures << END\n", file);
    for (unsigned i = 0; i < report->contender_count; i++) {
        fprintf(file, "\"%s\"", report->contenders[i].title);
        for (unsigned j = 0; j < 4 && chart->works[j]; j++) {
            int work = find_work(report, chart->works[j]);
            if (work < 0 || !measured(report, (unsigned)work, i)) {
                fputs(" NaN NaN NaN", file);
                continue;
            }
            struct summary summary = summarize(report, (unsigned)work, i);
            if (chart->rate)
                fprintf(file, " %g %g %g", 1e9 / summary.ns, 1e9 / summary.high_ns, 1e9 / summary.low_ns);
            else
                fprintf(file, " %g %g %g", summary.ns, summary.low_ns, summary.high_ns);
        }
        fputs("\n", file);
    }
    fputs("END\n", file);
}

void peers_charts(const struct peers_report *report, const char *directory)
{
    static const char *const colours[] = { "#1b6ca8", "#f29f05", "#5a9e4b", "#b23a48" };

    for (unsigned i = 0; i < sizeof charts / sizeof charts[0]; i++) {
        const struct chart *chart = &charts[i];
        FILE *file = chart_begin(directory, chart->file, chart->title, 560);
        if (!file)
            return;
        chart_data(file, report, chart);
        fprintf(file,
                "set style data histogram\nset style histogram errorbars gap 1 lw 1\n"
                "set style fill solid 0.9 border -1\nset logscale y\nset xtics rotate by -40\n"
                "set ylabel '%s'\nset key outside top center horizontal\nset bars small\nplot",
                chart->axis);
        for (unsigned j = 0; j < 4 && chart->works[j]; j++)
            fprintf(file, "%s $figures using %u:%u:%u:xtic(1) title '%s' lc rgb '%s'", j > 0 ? "," : "",
                    2 + 3 * j, 3 + 3 * j, 4 + 3 * j, chart->labels[j], colours[j]);
        fputs("\n", file);
        chart_end(file);
    }
}
