/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

#include "scene.h"

void found(enum finding finding, const char *format, ...)
{
    struct findings *findings = &scene->findings;
    va_list arguments;

    atomic_fetch_add(&findings->count[finding], 1);
    unsigned place = atomic_fetch_add(&findings->said, 1);
    if (place >= FINDING_WORDS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(findings->words[place], FINDING_WORDS_SIZE, format, arguments);
    va_end(arguments);
}

unsigned findings_total(const struct findings *findings)
{
    unsigned total = 0;

    for (unsigned i = 0; i < FINDINGS; i++)
        total += atomic_load(&findings->count[i]);
    return total;
}
