/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pipeline did, when it has ended: a table, or one line of JSON, on standard error, since standard
 * output belongs to the last stage.
 */
#ifndef TOOL_RUN_REPORT_H
#define TOOL_RUN_REPORT_H

#include <stdbool.h>

#include "run_look.h"

/* `exits` of all stages; `seconds` from start to end. What the looks could not see is "unknown", or null. */
void run_report(const struct run_looks *looks, const struct gnl_exit *exits, double seconds, bool json);

#endif
