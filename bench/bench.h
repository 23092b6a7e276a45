/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ginnel bench`: measures the library on this machine, beside what the machine itself can do. The
 * command's entry point; everything else in this folder is its inside. It uses public headers only.
 *
 *   run      the rounds                                   rows     what is measured, and the aims
 *   crew     processes that do one thing, in step         machine  cores, names
 *   limits   the machine's own                            report   the table, JSON
 *   latency, throughput   mailboxes                       figures  numbers, JSON, charts
 *   peers, peers/         beside the peers                private  the runtime directory, interrupts
 *   scale    from one to very many                        ways     the same work in several ways
 *   spawn    programs that are started                    pipeline programs joined by pipes
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>

#define BENCH_ROUNDS_MAX 99

struct bench_request {
    unsigned rounds; /* at most BENCH_ROUNDS_MAX; 0: the default */
    bool quick;      /* less precise, in less than 10 seconds */
    bool json;
    const char *only; /* what rows' names have in them; NULL: all rows */
    const char *save; /* the directory for JSON and charts; NULL: they are not kept */
};

/*
 * Measures mailboxes and prints a table or JSON to standard output. Returns the exit status: 0
 * measured, whether or not the aims were reached; 1 it could not; 2 no row has such a name. Ends the
 * process by the signal that interrupts it.
 */
int bench_mailbox(const struct bench_request *request);

/* The same of direct links, of named pipes, of sockets, of programs that are started, and of pipelines. */
int bench_pipe(const struct bench_request *request);
int bench_socket(const struct bench_request *request);
int bench_direct(const struct bench_request *request);
int bench_spawn(const struct bench_request *request);
int bench_pipeline(const struct bench_request *request);

/* The same of Ginnel beside its peers, and as there is more of everything. */
int bench_peers(const struct bench_request *request);
int bench_scale(const struct bench_request *request);

#endif
