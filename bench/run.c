/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/machine.h"
#include "bench/report.h"

#define ROUNDS_DEFAULT 5
#define ROUNDS_QUICK   3

static const struct crew_time time_default = { .warm_ns = 40000000,
                                               .measure_ns = 150000000,
                                               .measure_operations = 64 };
static const struct crew_time time_quick = { .warm_ns = 15000000,
                                             .measure_ns = 30000000,
                                             .measure_operations = 16 };

/* Marks the rows asked for, and those that they are compared with. False: there is none. */
static bool choose(struct report *report, const char *only)
{
    bool any = false;

    for (unsigned i = 0; i < report->count; i++)
        if (!only || strstr(report->rows[i].name, only)) {
            any = true;
            for (int row = (int)i; row >= 0; row = report->rows[row].limit)
                report->wanted[row] = true;
        }
    return any;
}

/* ---- the runtime directory ---- */

static char directory[64];

static int make_directory(void)
{
    snprintf(directory, sizeof directory, "/dev/shm/ginnel-bench-%d-XXXXXX", (int)getpid());
    if (!mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0) {
        fprintf(stderr, "ginnel bench: cannot make the directory %s: %s\n", directory, strerror(errno));
        return -1;
    }
    return 0;
}

static void remove_mailboxes(void)
{
    gnl_remove(MAILBOX_THERE);
    gnl_remove(MAILBOX_BACK);
}

static int make_mailboxes(const struct row *row)
{
    static const char *const addresses[] = { MAILBOX_THERE, MAILBOX_BACK };

    for (unsigned i = 0; i < row->mailboxes; i++) {
        gnl_port *port;
        if (gnl_open(&port, addresses[i],
                     &(struct gnl_options){ .capacity = row->task.capacity, .create = GNL_CREATE_ONLY }) <
            0) {
            fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
            return -1;
        }
        gnl_close(port);
    }
    return 0;
}

/* ---- the rounds ---- */

static void progress(const struct report *report, unsigned round, const char *name)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, name ? "\r\033[Kround %u of %u: %s" : "\r\033[K", round + 1, report->rounds, name);
}

static int measure(struct report *report, struct crew_area *area)
{
    struct crew_time time = report->quick ? time_quick : time_default;

    for (unsigned round = 0; round < report->rounds; round++)
        for (unsigned i = 0; i < report->count; i++) {
            const struct row *row = &report->rows[i];
            if (!report->wanted[i])
                continue;
            progress(report, round, row->name);
            int result = make_mailboxes(row);
            if (result == 0)
                result = crew_run(area, row->parts, row->count, &row->task, time, &report->results[i][round]);
            if (row->mailboxes > 0)
                remove_mailboxes();
            if (result < 0 || crew_interrupted()) {
                if (!crew_interrupted())
                    fprintf(stderr, "ginnel bench: while measuring %s\n", row->name);
                return -1;
            }
        }
    return 0;
}

static int measure_in_private(struct report *report)
{
    struct crew_area *area = crew_area_new();

    if (!area) {
        fprintf(stderr, "ginnel bench: no memory: %s\n", strerror(errno));
        return -1;
    }
    crew_catch_signals();
    if (make_directory() < 0)
        return -1;
    int result = measure(report, area);
    progress(report, 0, NULL);
    rmdir(directory);
    if (crew_interrupted()) {
        signal(crew_interrupted(), SIG_DFL);
        raise(crew_interrupted());
    }
    return result;
}

int bench_mailbox(const struct bench_request *request)
{
    static struct row rows[ROWS_MAX];
    static struct report report;

    report.rows = rows;
    report.count = rows_make(rows);
    report.quick = request->quick;
    report.rounds = request->rounds > 0 ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    if (!choose(&report, request->only)) {
        fprintf(stderr, "ginnel bench: nothing that is measured has '%s' in its name\n", request->only);
        return 2;
    }
    if (sched_getscheduler(0) == SCHED_FIFO || sched_getscheduler(0) == SCHED_RR) {
        fputs("ginnel bench: at a real-time priority its spinning processes would lock out everybody, and "
              "the one "
              "that is to stop them; use nice(1)\n",
              stderr);
        return 1;
    }
    machine_look();
    if (measure_in_private(&report) < 0)
        return 1;
    if (request->json)
        report_json(&report);
    else
        report_table(&report);
    return 0;
}
