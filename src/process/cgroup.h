/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup of a tree's own (Linux, cgroup v2), below the program's: nobody leaves it by forking, whoever it
 * becomes, and the kernel ends all in it at once. Where the program may not make one there is none, and the
 * tree is known by who descends from its keeper.
 *
 * The keeper makes it, and removes it before it ends. All that time it has the directory locked (flock): one
 * that nobody has locked and in which no process is was left by a killed keeper, and may be removed.
 */
#ifndef GNLI_PROCESS_CGROUP_H
#define GNLI_PROCESS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#define GNLI_CGROUP_PREFIX "ginnel-" /* then the keeper's number */
#define GNLI_CGROUP_NAME   40

/* A descriptor of the directory of this process's own cgroup; -1: none is to be had. */
int gnli_cgroup_own(void);

/* What follows is bare code (raw.h). */

/* Makes one below `own`: its directory, and its name there; -1 and an empty name: that may not be done. */
int gnli_cgroup_make(int own, char name[GNLI_CGROUP_NAME]);

/* SIGKILL to all in it, at once, whoever they are, and are being forked. False: Linux before 5.14. */
bool gnli_cgroup_kill(int directory);

/* Nobody is in it any more. Waits for at most that time until something changes. */
bool gnli_cgroup_is_empty(int directory, int64_t wait_ns);

/* Removes it. Who is in it still goes back to the cgroup above. The descriptor stays open. */
void gnli_cgroup_remove(int directory, const char *name);

#endif
