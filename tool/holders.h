/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes have which files open or mapped, as /proc tells: those of other users only to root. So
 * who is found has it; that nobody is found proves nothing.
 */
#ifndef TOOL_HOLDERS_H
#define TOOL_HOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Is that process there? */
bool process_lives(pid_t pid);

/* For each file of each process, process after process; the same one more than once. */
void holders_each(void (*visit)(void *context, pid_t pid, dev_t device, ino_t inode), void *context);

#endif
