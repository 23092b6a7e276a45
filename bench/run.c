/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"

#include <stdio.h>
#include <string.h>

#include "bench/figures.h"
#include "bench/machine.h"
#include "bench/private.h"
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

/* ---- a row's mailboxes ---- */

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

static int measure(struct crew_area *area, void *context)
{
    struct report *report = context;
    struct crew_time time = report->quick ? time_quick : time_default;

    for (unsigned round = 0; round < report->rounds; round++)
        for (unsigned i = 0; i < report->count; i++) {
            const struct row *row = &report->rows[i];
            if (!report->wanted[i])
                continue;
            private_progress(round, report->rounds, row->name);
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

static bool save(const struct report *report, const char *path)
{
    char name[32];

    snprintf(name, sizeof name, "%s.json", report->kind);
    FILE *file = figures_create(path, name);
    if (!file)
        return false;
    report_json(file, report);
    return figures_finish(file, name);
}

static int bench(const struct bench_request *request, const char *kind, const char *title,
                 unsigned (*make)(struct row rows[ROWS_MAX]))
{
    static struct row rows[ROWS_MAX];
    static struct report report;

    report.kind = kind;
    report.title = title;
    report.rows = rows;
    report.count = make(rows);
    report.quick = request->quick;
    report.rounds = request->rounds > 0 ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    if (!choose(&report, request->only)) {
        fprintf(stderr, "ginnel bench: nothing that is measured has '%s' in its name\n", request->only);
        return 2;
    }
    machine_look();
    if (private_run(measure, &report) < 0)
        return 1;
    if (request->json)
        report_json(stdout, &report);
    else
        report_table(&report);
    return request->save && !save(&report, request->save) ? 1 : 0;
}

int bench_mailbox(const struct bench_request *request)
{
    return bench(request, "mailbox", "Mailboxes", rows_make);
}

int bench_pipe(const struct bench_request *request)
{
    return bench(request, "pipe", "Named pipes", rows_make_pipe);
}

int bench_socket(const struct bench_request *request)
{
    return bench(request, "socket", "Sockets", rows_make_socket);
}

int bench_direct(const struct bench_request *request)
{
    return bench(request, "direct", "Direct links", rows_make_direct);
}
