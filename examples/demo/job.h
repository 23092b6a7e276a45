/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word count's job, as all of its processes know it: a feeder sends every line of a text through
 * the mailbox `lines` to workers; each sends what it counted through the mailbox `counts` to the
 * collector, and is done with the line only then. So a line that a killed worker held is delivered
 * to another; and one whose count was sent already is told apart by its number.
 *
 *   text             the lines                  crew        the processes, seen from the collector
 *   job              the mailboxes              drama       what is done to the workers
 *   feeder, worker   what those run             tally       the collector's sums
 *   show             what happens, for people   wordcount   the collector, from start to end
 */
#ifndef DEMO_JOB_H
#define DEMO_JOB_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/ginnel.h>

#define WORKERS 4
#define BATCH   64 /* lines that are sent, or taken, at a time */

/* wordcount.c: set by SIGINT, SIGTERM and SIGHUP, of which the feeder and the workers heed SIGTERM alone. */
extern volatile sig_atomic_t asked_to_end;

struct text {
    const char *bytes;
    size_t size;
    uint64_t lines; /* a last one without newline included */
    size_t longest; /* bytes, its newline included */
};

/* A message of `lines`: this, then the bytes of the line. */
struct line {
    uint64_t number; /* from 0 */
};

/* A message of `counts`. */
struct count {
    uint64_t line;
    uint64_t newlines, words, bytes;
    uint32_t worker;
    uint32_t redelivered;
};

/* text.c: maps a file and looks for its longest line. 0, or a negative errno value. */
int text_open(struct text *text, const char *path);

/* The length of the line that starts there, its newline included. */
size_t text_line(const struct text *text, size_t start);

#define LINES  "mailbox:lines"
#define COUNTS "mailbox:counts"

/* job.c: the mailboxes; made by whoever comes first. The program ends with a message if that fails. */
gnl_port *open_lines(const struct text *text, enum gnl_direction direction);
gnl_port *open_counts(const struct text *text, enum gnl_direction direction);

/* The program ends with a message: what could not be done, and why (gnl_error_detail, strerror). */
_Noreturn void give_up(const char *what, const char *why);

/* feeder.c: sends every line, in order. */
void feed(const struct text *text);

/* worker.c: counts lines, until it is asked to end and none is left. */
void work(const struct text *text, uint32_t worker, bool unprintable_words);

#endif
