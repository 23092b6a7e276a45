/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: text from people. Addresses, pipelines, and what the tool's options take: what is accepted
 * means one thing and can be said again; a whole command line ends in values, in help or in one complaint.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "base/address.h"
#include "fuzz/room.h"
#include "mailbox_options.h"
#include "quantities.h"

#define WORDS_MAX 64

/* In place of tool/failure.c: silence, but the complaint is made and counted. */
static unsigned complaints;

void complain(const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    must(vsnprintf(text, sizeof text, format, arguments) >= 0);
    va_end(arguments);
    complaints++;
}

const char *failure_detail(void)
{
    return gnl_error_detail();
}

enum exit_status finish_output(enum exit_status status)
{
    return status;
}

static void try_address(const char *text)
{
    char formatted[GNL_ADDRESS_MAX + 1];
    struct gnli_address address, again;

    bool parsed = gnli_address_parse(&address, text) == 0;
    must(parsed || gnl_address_check(text) < 0);
    if (!parsed)
        return;
    must(address.path[0] != '\0' || gnli_name_valid(address.name)); /* a FIFO has a path */
    gnli_address_format(&address, formatted);
    must(strcmp(formatted, text) == 0);
    must(gnli_address_parse(&again, formatted) == 0);
    must(strcmp(again.kind, address.kind) == 0 && strcmp(again.name, address.name) == 0);
    must(again.machine_wide == address.machine_wide);
}

static void try_opening(const char *text)
{
    struct gnl_options options = { .create = GNL_OPEN_ONLY };
    gnl_port *port;

    call_begins("gnl_open", 0);
    int result = gnl_open(&port, text, &options);
    call_ended(result);
    must(result < 0); /* there is none */
    must(gnl_error_detail()[0] != '\0');
    options = (struct gnl_options){ .create = GNL_OPEN_ONLY, .max_deliveries = 1, .dead_letters = text };
    call_ended(gnl_open(&port, "mailbox:none", &options));
}

/* A number that is accepted is that number. */
static void try_quantities(const char *text)
{
    uint64_t number = 0;
    int64_t duration = 0, capacity = 0;
    size_t size = 0;
    mode_t mode = 0;
    uint32_t limit = 0;
    enum gnl_side side = GNL_ONE_WAY;
    char again[64];

    if (parse_count(text, &number)) {
        must(number > 0);
        snprintf(again, sizeof again, "%" PRIu64, number);
        must(strcmp(again, text + (strspn(text, "0"))) == 0);
    }
    if (parse_size(text, &size))
        must(size > 0 && text[0] >= '0' && text[0] <= '9');
    if (parse_duration(text, &duration))
        must(duration >= 0);
    if (parse_capacity(text, &capacity))
        must(capacity == GNL_RENDEZVOUS || capacity == GNL_UNBOUNDED ||
             (capacity > 0 && capacity <= GNL_CAPACITY_MAX));
    size = 0;
    if (parse_message_max(text, &size))
        must(size > 0 && size <= GNL_MESSAGE_MAX_LIMIT);
    if (parse_mode(text, &mode))
        must(mode > 0 && mode <= 0777);
    if (parse_limit(text, &limit))
        must(limit > 0);
    if (parse_side(text, &side))
        must(side == GNL_SIDE_A || side == GNL_SIDE_B);
}

/* A pipeline that is read has a stage; another's error says where. Patterns stay in the room: no slashes. */
static void try_pipeline(const char *text)
{
    gnl_pipeline *pipeline = NULL;
    char *tame = strdup(text);

    must(tame);
    if (strpbrk(tame, "*?["))
        for (char *slash = tame; (slash = strchr(slash, '/'));)
            *slash = '_';
    int result = gnl_pipeline_parse(&pipeline, tame);
    must(result == 0 ? gnl_pipeline_length(pipeline) > 0
                     : !pipeline && strncmp(gnl_error_detail(), "column ", 7) == 0);
    gnl_pipeline_free(pipeline);
    free(tame);
}

/* The lines of the text are the words of a command line. */
static void try_arguments(char *text)
{
    static struct gnl_options mailbox;
    static uint64_t count;
    static int64_t timeout;
    static const char *plain;
    static bool flag;
    static const struct option options[] = {
        MAILBOX_OPTIONS(mailbox),
        { "count", "N", &count, parse_count, A_COUNT, "" },
        { "timeout", "TIME", &timeout, parse_duration, A_DURATION, "" },
        { "text", "TEXT", &plain, parse_text, "text", "" },
        { "flag", NULL, &flag, NULL, NULL, "" },
        { 0 },
    };
    const struct usage usage = {
        .command = "fuzz", .operands = "", .text = "", .options = options, .takes_command = text[0] == '!'
    };
    char *words[WORDS_MAX + 1], *rest = NULL;
    struct arguments arguments;
    enum exit_status status = EXIT_OK;
    int words_count = 0;

    for (char *word = strtok_r(text, "\n", &rest); word && words_count < WORDS_MAX;
         word = strtok_r(NULL, "\n", &rest))
        words[words_count++] = word;
    words[words_count] = NULL;
    for (int i = 0; i < words_count; i++) /* that prints */
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            words[i] = (char[]){ "help" };
    complaints = 0;
    bool goes_on = arguments_parse(&arguments, &usage, words_count, words, &status);
    must(goes_on ? complaints == 0 : complaints == 1 && status == EXIT_USAGE);
    must(!goes_on || (arguments.count >= 0 && arguments.count <= words_count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    room();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    try_address(text);
    try_opening(text);
    try_quantities(text);
    try_pipeline(text);
    try_arguments(text);
    free(text);
    return 0;
}
