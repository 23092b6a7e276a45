/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ginnel bench`: measures the library on this machine, beside what the machine itself can do. The
 * command's entry point; everything else in this folder is its inside. It uses public headers only.
 *
 *   run      options, the rounds, the private runtime directory     rows     what is measured, and the aims
 *   crew     processes that do one thing at a time, in step         machine  cores, names
 *   limits   the machine's own                                      report   the table, JSON
 *   latency, throughput   mailboxes
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/*
 * argv[0] is the word before the options. Returns the exit status: 0 measured, whether or not the
 * aims were reached; 1 it could not; 2 usage. Ends the process by the signal that interrupted it.
 */
int bench_run(int argc, char **argv);

#endif
