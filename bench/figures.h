/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures and how they are written: for people, as JSON, and as charts. What the reports share.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>
#include <stdio.h>

struct figure {
    char text[40];
};

/* The median; sorts the values. */
double figures_median(double *values, unsigned count);

/* With three digits and a unit: a time, the rate of what takes that time, bytes a second. */
struct figure figures_time(double ns);
struct figure figures_rate(double ns);
struct figure figures_bytes(double bytes_per_second);

/* The machine and how it was measured, on standard output. */
void figures_head(unsigned rounds);

/* The same as the first members of an object: "kind" to "machine", with a comma after it. */
void figures_json_head(FILE *file, const char *kind, unsigned rounds, bool quick);
void figures_json_string(FILE *file, const char *text);

/* DIRECTORY/NAME for writing; NULL after a complaint. */
FILE *figures_create(const char *directory, const char *name);

/* Closes it; false after a complaint if not all could be written. */
bool figures_finish(FILE *file, const char *name);

/*
 * gnuplot, which reads a script, drawing DIRECTORY/NAME: an SVG with the title and, below it, the machine.
 * NULL if it cannot be started. chart_end says so on standard error where there is no gnuplot; it is no
 * failure.
 */
FILE *chart_begin(const char *directory, const char *name, const char *title, unsigned height);
void chart_end(FILE *chart);

#endif
