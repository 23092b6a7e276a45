/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/machine.h"

/* ---- numbers ---- */

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

double figures_median(double *values, unsigned count)
{
    qsort(values, count, sizeof values[0], by_size);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static struct figure scaled(double value, const char *const units[4])
{
    struct figure result;
    unsigned unit = 0;

    while (value >= 999.5 && unit < 3) {
        value /= 1000;
        unit++;
    }
    snprintf(result.text, sizeof result.text, "%.3g %s", value, units[unit]);
    return result;
}

struct figure figures_time(double ns)
{
    return scaled(ns, (const char *const[4]){ "ns", "us", "ms", "s" });
}

struct figure figures_rate(double ns)
{
    return scaled(1e9 / ns, (const char *const[4]){ "/s", "k/s", "M/s", "G/s" });
}

struct figure figures_bytes(double bytes_per_second)
{
    return scaled(bytes_per_second, (const char *const[4]){ "B/s", "kB/s", "MB/s", "GB/s" });
}

void figures_head(unsigned rounds)
{
    const struct machine *here = machine();

    printf("%s, %d cores, %s\n", here->cpu, here->cores, here->kernel);
    printf("Processes pinned to");
    for (unsigned i = 0; i < here->places; i++)
        printf("%s %d", i == 0 ? " cores" : i + 1 == here->places ? " and" : ",", here->core[i]);
    printf("; medians of %u rounds, with the smallest and largest.\n", rounds);
}

/* ---- JSON ---- */

void figures_json_string(FILE *file, const char *text)
{
    putc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(file, "\\u%04x", (unsigned char)*text);
        else
            putc(*text, file);
    }
    putc('"', file);
}

void figures_json_head(FILE *file, const char *kind, unsigned rounds, bool quick)
{
    const struct machine *here = machine();

    fprintf(file, "  \"kind\": \"%s\",\n  \"rounds\": %u,\n  \"quick\": %s,\n", kind, rounds,
            quick ? "true" : "false");
    fprintf(file, "  \"machine\": { \"cpu\": ");
    figures_json_string(file, here->cpu);
    fprintf(file, ", \"cores\": %d, \"kernel\": ", here->cores);
    figures_json_string(file, here->kernel);
    fprintf(file, ", \"pinned\": [");
    for (unsigned i = 0; i < here->places; i++)
        fprintf(file, "%s%d", i > 0 ? ", " : "", here->core[i]);
    fprintf(file, "] },\n");
}

/* ---- files ---- */

FILE *figures_create(const char *directory, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    if (!file)
        fprintf(stderr, "ginnel bench: %s: %s\n", path, strerror(errno));
    return file;
}

bool figures_finish(FILE *file, const char *name)
{
    bool bad = ferror(file) != 0;

    if (fclose(file) != 0 || bad) {
        fprintf(stderr, "ginnel bench: %s: %s\n", name, strerror(errno));
        return false;
    }
    return true;
}

/* ---- charts ---- */

/* A string of gnuplot's, in single quotes. */
static void quoted(FILE *chart, const char *text)
{
    for (; *text != '\0'; text++)
        fprintf(chart, *text == '\'' ? "''" : "%c", *text);
}

FILE *chart_begin(const char *directory, const char *name, const char *title, unsigned height)
{
    const struct machine *here = machine();

    /* 127: the shell found none. chart_end hears of it. */
    FILE *chart = popen("exec gnuplot 2>/dev/null", "we");
    if (!chart)
        return NULL;
    fprintf(chart, "set terminal svg size 900,%u noenhanced font 'sans-serif,13' background '#ffffff'\n",
            height);
    fputs("set output '", chart);
    quoted(chart, directory);
    fputs("/", chart);
    quoted(chart, name);
    fputs("'\nset title '", chart);
    quoted(chart, title);
    fputs("'.\"\\n\".'", chart); /* a new line is one in double quotes only */
    quoted(chart, here->cpu);
    fprintf(chart, ", %d cores, ", here->cores);
    quoted(chart, here->kernel);
    fputs("'\nset grid ytics lc '#dddddd'\nset border 3\nset tics nomirror\n", chart);
    return chart;
}

void chart_end(FILE *chart)
{
    if (chart && pclose(chart) != 0)
        fputs("ginnel bench: no charts without gnuplot (Debian: gnuplot-nox)\n", stderr);
}
