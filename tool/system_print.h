/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own objects (system.h) as people and programs see them. Names of files are anybody's: nothing
 * that a terminal or a shell would obey comes out.
 */
#ifndef TOOL_SYSTEM_PRINT_H
#define TOOL_SYSTEM_PRINT_H

#include <stdbool.h>

#include <json-c/json.h>

#include "failure.h"
#include "report.h"

/* Adds them to the list, or, if that is NULL, prints a table to standard output, after an empty line. */
enum exit_status system_list(struct json_object *list, bool empty_line);

/* A note on each that is orphaned and that this user may remove. */
void system_report(struct report *report);

#endif
