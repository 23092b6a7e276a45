/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <ginnel/errors.h>

static const char *speaker;

void failure_speaker(const char *subcommand)
{
    speaker = subcommand;
}

void complain(const char *format, ...)
{
    char text[1024], line[1200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* One line, and nothing that a terminal obeys: names come from anybody. */
    for (char *at = text; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = '?';
    snprintf(line, sizeof line, "ginnel%s%s: %s\n", speaker ? " " : "", speaker ? speaker : "", text);
    fputs(line, stderr);
}

enum exit_status status_of(int code)
{
    switch (code) {
    case -EAGAIN:
    case -ETIMEDOUT:
        return EXIT_WOULD_BLOCK;
    case -EPIPE:
    case -EIDRM:
        return EXIT_GONE;
    }
    return code < 0 ? EXIT_FAILED : EXIT_OK;
}

enum exit_status failed(int code)
{
    complain("%s", gnl_error_detail());
    return status_of(code);
}

enum exit_status finish_output(enum exit_status status)
{
    bool before = ferror(stdout) != 0;
    bool now = fflush(stdout) != 0;

    if (!before && !now)
        return status;
    complain("standard output: %s", now ? strerror(errno) : "write error");
    return EXIT_FAILED;
}
