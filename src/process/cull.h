/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending all that descends from a keeper (Linux): bare code (raw.h), since the program is dead by then, or is
 * doing something else.
 */
#ifndef GNLI_PROCESS_CULL_H
#define GNLI_PROCESS_CULL_H

#include <sys/types.h>

#define GNLI_CULL_MAX 4096 /* processes at a time */

/*
 * Sends SIGKILL to all that descend from the calling process, which has one thread; to be called again until
 * it has no children. `found` has room for GNLI_CULL_MAX.
 */
void gnli_cull(pid_t *found);

#endif
