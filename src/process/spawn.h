/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gnl_spawn in two halves, for who starts several programs: the kernel makes the next process while the one
 * before reads its program.
 */
#ifndef GNLI_PROCESS_SPAWN_H
#define GNLI_PROCESS_SPAWN_H

#include <stdatomic.h>

#include "process/child.h"
#include "process/process.h"

#define GNLI_PATH_DEFAULT "/bin:/usr/bin" /* where there is no PATH */

/* A child that may not have executed its program yet; it uses this memory until then. */
struct gnli_spawning {
    struct gnl_process *process;
    struct gnli_plan plan;
    void *stack; /* the child's; NULL: nobody is to wait for it */
    atomic_int alive;
};

/*
 * What gnl_spawn does up to where there is a process, along that PATH; `unusual` as in a plan. What the
 * arguments lead to stays there until gnli_spawn_end, which follows every success: it waits, and returns what
 * gnl_spawn does.
 */
int gnli_spawn_begin(struct gnli_spawning *spawning, char *const argv[], const char *path,
                     const struct gnl_spawn_options *options, const uint64_t *unusual);
int gnli_spawn_end(struct gnli_spawning *spawning, gnl_process **process);

#endif
