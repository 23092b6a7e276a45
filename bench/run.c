/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"

#include <errno.h>
#include <getopt.h>
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

struct request {
    unsigned rounds; /* 0: the default */
    bool quick, json;
    const char *only; /* part of rows' names, or NULL */
};

static const char help[] =
    "Usage: ginnel bench [mailbox] [OPTION...]\n"
    "Measures mailboxes on this machine, beside the machine's own limits in the same run.\n"
    "\n"
    "  --json        all numbers, as JSON\n"
    "  --only NAME   only what has NAME in its name, and the limits it is compared with\n"
    "  --quick       less precise, in less than 10 seconds\n"
    "  --rounds N    go through everything N times and take medians (default 5, quick 3)\n"
    "  --help        this text\n"
    "\n"
    "Exit status: 0 measured, whether or not the aims were reached; 1 failed; 2 usage.\n";

/* ---- options ---- */

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "ginnel bench: %s%s; see ginnel bench --help\n", what, which);
    return 2;
}

/* -1: go on; else the exit status. */
static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },         { "json", no_argument, NULL, 'j' },
        { "only", required_argument, NULL, 'o' },   { "quick", no_argument, NULL, 'q' },
        { "rounds", required_argument, NULL, 'r' }, { NULL, 0, NULL, 0 },
    };
    char *end;
    long rounds;

    optind = 0; /* whoever called may have used getopt before */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
        switch (option) {
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'j':
            request->json = true;
            break;
        case 'o':
            request->only = optarg;
            break;
        case 'q':
            request->quick = true;
            break;
        case 'r':
            rounds = strtol(optarg, &end, 10);
            if (*optarg == '\0' || *end != '\0' || rounds < 1 || rounds > ROUNDS_MAX)
                return usage("--rounds takes a number from 1 to 99, not ", optarg);
            request->rounds = (unsigned)rounds;
            break;
        case ':':
            return usage("an argument is missing to ", argv[optind - 1]);
        default:
            return usage("no such option: ", argv[optind - 1]);
        }
    }
    if (optind < argc && strcmp(argv[optind], "mailbox") != 0)
        return usage("nothing of that kind to measure: ", argv[optind]);
    if (optind + 1 < argc)
        return usage("one kind at a time, not also ", argv[optind + 1]);
    return -1;
}

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

static char directory[] = "/dev/shm/ginnel-bench-XXXXXX";

static int make_directory(void)
{
    if (!mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0) {
        fprintf(stderr, "ginnel bench: cannot make a directory %s: %s\n", directory, strerror(errno));
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

int bench_run(int argc, char **argv)
{
    static struct row rows[ROWS_MAX];
    static struct report report;
    struct request request = { 0 };

    int status = parse(&request, argc, argv);
    if (status >= 0)
        return status;
    report.rows = rows;
    report.count = rows_make(rows);
    report.quick = request.quick;
    report.rounds = request.rounds > 0 ? request.rounds : request.quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    if (!choose(&report, request.only))
        return usage("nothing measured has that in its name: ", request.only);
    machine_look();
    if (measure_in_private(&report) < 0)
        return 1;
    if (request.json)
        report_json(&report);
    else
        report_table(&report);
    return fflush(stdout) == 0 ? 0 : 1;
}
