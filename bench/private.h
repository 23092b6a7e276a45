/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of its own: a runtime directory that nobody else uses, and an end by the signal that interrupts it.
 */
#ifndef BENCH_PRIVATE_H
#define BENCH_PRIVATE_H

#include "bench/crew.h"

/*
 * Calls measure(area, context) with GINNEL_DIR at a directory of its own, which is removed afterwards, and
 * returns what it returns; -1 after a complaint if it cannot be run. An interrupt ends the process, by the
 * same signal, once `measure` has returned.
 */
int private_run(int (*measure)(struct crew_area *area, void *context), void *context);

/* Complains if this process has a real-time priority: nothing may be measured then. */
bool private_real_time(void);

/* Says on a terminal what is being measured; NULL: nothing any more. */
void private_progress(unsigned round, unsigned rounds, const char *name);

#endif
