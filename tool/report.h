/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ginnel doctor` found: lines for people, or JSON.
 */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "failure.h"

enum finding {
    PROBLEM, /* wrong still */
    CLEANED, /* was wrong */
    NOTE,    /* good to know */
};

struct report {
    struct json_object *list; /* NULL: lines */
    size_t count[NOTE + 1];
};

void report_begin(struct report *report, bool json);

/* One finding: about what, what it is, and what to do (NULL: nothing). */
__attribute__((format(printf, 5, 6))) void report_add(struct report *report, enum finding finding,
                                                      const char *about, const char *advice,
                                                      const char *format, ...);

/* Prints what is left to print. EXIT_FAILED if there was a problem. */
enum exit_status report_end(struct report *report);

#endif
