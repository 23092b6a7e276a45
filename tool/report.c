/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "look.h"
#include "printable.h"

static const char *const words[] = { [PROBLEM] = "problem", [CLEANED] = "cleaned", [NOTE] = "note" };

void report_begin(struct report *report, bool json)
{
    *report = (struct report){ .list = json ? json_object_new_array() : NULL };
}

void report_add(struct report *report, enum finding finding, const char *about, const char *advice,
                const char *format, ...)
{
    char what[1024], whose[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(whose, sizeof whose, "%s", about);
    make_printable(what); /* names of files may be anything */
    make_printable(whose);
    report->count[finding]++;
    if (!report->list) {
        printf("%-8s %s: %s\n", words[finding], whose, what);
        if (advice)
            printf("         -> %s\n", advice);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "finding", json_object_new_string(words[finding]));
    json_object_object_add(object, "about", json_object_new_string(whose));
    json_object_object_add(object, "what", json_object_new_string(what));
    if (advice)
        json_object_object_add(object, "advice", json_object_new_string(advice));
    json_object_array_add(report->list, object);
}

enum exit_status report_end(struct report *report)
{
    if (report->list)
        print_json(report->list);
    else if (report->count[PROBLEM] + report->count[CLEANED] == 0)
        puts("nothing is wrong");
    return report->count[PROBLEM] > 0 ? EXIT_FAILED : EXIT_OK;
}
