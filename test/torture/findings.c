/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct findings *findings;
int64_t longest_ns;

bool findings_prepare(void)
{
    findings = mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return findings != MAP_FAILED;
}

void findings_reset(void)
{
    memset(findings, 0, sizeof *findings);
}

void found(enum finding finding, const char *format, ...)
{
    va_list arguments;

    atomic_fetch_add(&findings->count[finding], 1);
    unsigned place = atomic_fetch_add(&findings->said, 1);
    if (place >= FINDING_WORDS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(findings->words[place], FINDING_WORDS_SIZE, format, arguments);
    va_end(arguments);
}

unsigned findings_total(void)
{
    unsigned total = 0;

    for (unsigned i = 0; i < FINDINGS; i++)
        total += atomic_load(&findings->count[i]);
    return total;
}

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t took_since(int64_t start)
{
    int64_t took = now_ns() - start;

    if (took > longest_ns)
        longest_ns = took;
    return took;
}
