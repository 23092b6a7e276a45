/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ginnel bench spawn`: a program started and waited for, by Ginnel and by what there is besides. What a
 * program of bench/peers/ does in the same way is declared here.
 */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include <stdbool.h>
#include <stddef.h>

#define SPAWN_PROGRAM "/bin/true"

/* Starts SPAWN_PROGRAM and waits until it has ended with 0; false: it could not. */
typedef bool spawn_once(void);

/*
 * The median time of so many, in nanoseconds, on the first core, after a few that do not count, in a process
 * that has touched so many bytes, page by page. Negative: failed.
 */
double spawn_measure(spawn_once *once, unsigned count, size_t touched);

#endif
