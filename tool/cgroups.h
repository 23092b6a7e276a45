/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of trees of processes (gnl_spawn, `tree`) that killed keepers left, for `ginnel doctor`.
 */
#ifndef TOOL_CGROUPS_H
#define TOOL_CGROUPS_H

#include <stdbool.h>

#include "report.h"

/* Reports those of this user, wherever they are; with `clean` it removes those in which no process is. */
void cgroups_report(struct report *report, bool clean);

#endif
