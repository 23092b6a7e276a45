/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <ginnel/errors.h>
#include <ginnel/port.h>

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

enum exit_status status_on(gnl_port *port, int code)
{
    struct gnl_port_info info;

    /* Over TLS a cut is -EBADMSG, since what came may be a part. */
    return code == -EBADMSG && port && gnl_port_info(port, &info) == 0 && info.lost ? EXIT_GONE
                                                                                    : status_of(code);
}

/* Names that no sentence has for anything else. */
static const struct word {
    const char *field, *option;
} words[] = {
    { "options.tls", "an option --tls-..." },
    { "options.stream", "--stream" },
    { "connect_timeout", "--connect-timeout" },
    { "dead_after", "--dead-after" },
    { "connections_max", "--connections" },
    { "max_deliveries", "--max-deliveries" },
    { "dead_letters", "--dead-letters" },
    { "server_name", "--tls-name" },
    { 0 },
};

/* The word that begins here, if it is one of those; it does not in the midst of a path or of another word. */
static const struct word *find_word(const char *text, const char *at)
{
    const struct word *word = words;

    if (at > text && at[-1] != ' ' && at[-1] != '(')
        return NULL;
    while (word->field && strncmp(at, word->field, strlen(word->field)) != 0)
        word++;
    return word->field && !isalnum((unsigned char)at[strlen(word->field)]) ? word : NULL;
}

const char *failure_detail(void)
{
    static _Thread_local char detail[512];
    const char *text = gnl_error_detail();
    size_t length = 0;

    for (const char *at = text; *at && length < sizeof detail - 1;) {
        const struct word *word = find_word(text, at);
        size_t room = sizeof detail - length;
        int added = word ? snprintf(detail + length, room, "%s", word->option)
                         : snprintf(detail + length, room, "%c", *at);
        at += word ? strlen(word->field) : 1;
        length += (size_t)added < room ? (size_t)added : room - 1;
    }
    detail[length] = '\0';
    return detail;
}

enum exit_status failed_on(gnl_port *port, int code)
{
    complain("%s", failure_detail());
    return status_on(port, code);
}

enum exit_status failed(int code)
{
    return failed_on(NULL, code);
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
