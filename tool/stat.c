/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel stat: one link in full, and each process that uses it, or died using it.
 */
#include <inttypes.h>
#include <stdio.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "commands.h"
#include "look.h"
#include "table.h"

static bool json;

static const struct option options[] = {
    { "json", NULL, &json, NULL, NULL, "print an object" },
    { 0 },
};

static const struct usage usage = {
    .command = "stat",
    .operands = "ADDRESS",
    .text = "Shows one in full: what it is like, what it did, and each process that uses it.\n",
    .options = options,
};

static const struct column columns[] = {
    { "PID", true },     { "UID", true },  { "STATE", false }, { "SENDERS", true },  { "RECEIVERS", true },
    { "CLAIMED", true }, { "HELD", true }, { "SENT", true },   { "RECEIVED", true }, { "WAITS", false },
};

static const struct column segment_columns[] = {
    { "PID", true }, { "UID", true }, { "STATE", false }, { "RIGHTS", false }, { "LOCK", false },
};

static void print_number(const char *what, uint64_t number)
{
    printf("%-15s %" PRIu64 "\n", what, number);
}

static void print_text(const char *what, const char *text)
{
    printf("%-15s %s\n", what, text);
}

static void print_segment(const struct gnl_port_info *info)
{
    print_number("size", info->size);
    print_number("version", info->version);
    print_text("locked", info->locked ? "yes" : "no");
    print_number("bytes", info->bytes);
}

static void print_owner(const struct gnl_port_info *info)
{
    char text[LOOK_TEXT];

    print_text("address", info->address);
    look_user(text, info->owner_uid);
    print_text("owner", text);
    printf("%-15s %04o\n", "mode", (unsigned)info->mode & 07777);
}

static void print_properties(const struct gnl_port_info *info)
{
    char text[LOOK_TEXT];

    look_capacity(text, info);
    print_text("capacity", text);
    print_number("message_max", info->message_max);
    print_text("two_way", info->two_way ? "yes" : "no");
    if (info->max_deliveries > 0)
        print_number("max_deliveries", info->max_deliveries);
    else
        print_text("max_deliveries", "no limit");
    print_text("dead_letters", info->dead_letters[0] != '\0' ? info->dead_letters : "none");
}

static void print_counts(const struct gnl_port_info *info)
{
    print_number("queued", info->queued);
    print_number("held", info->held);
    print_number("senders", info->senders);
    print_number("receivers", info->receivers);
    print_number("sent", info->sent);
    print_number("received", info->received);
    print_number("redelivered", info->redelivered);
    print_number("discarded", info->discarded);
    print_number("bytes", info->bytes);
    if (info->nonsense > 0)
        print_number("nonsense", info->nonsense);
}

static const char *waits(const struct gnl_participant *participant)
{
    switch (participant->activity) {
    case GNL_WAITS_TO_SEND:
        return "to send";
    case GNL_WAITS_TO_RECEIVE:
        return "to receive";
    default:
        return "-";
    }
}

static void print_participants(const struct look *look)
{
    struct table table;
    bool elsewhere = false;

    bool segment = look->info.kind == GNL_SEGMENT;

    if (segment)
        table_init(&table, segment_columns, sizeof segment_columns / sizeof segment_columns[0]);
    else
        table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < look->count; i++) {
        const struct gnl_participant *participant = &look->participants[i];
        table_row(&table);
        table_cell(&table, "%s%d", participant->same_pid_namespace ? "" : "*", participant->pid);
        table_cell(&table, "%u", (unsigned)participant->uid);
        table_cell(&table, "%s", participant->alive ? "alive" : "dead");
        elsewhere |= !participant->same_pid_namespace;
        if (segment) {
            table_cell(&table, "%s", participant->senders > 0 ? "writes" : "reads");
            table_cell(&table, "%s", participant->held > 0 ? "has it" : "-");
            continue;
        }
        table_cell(&table, "%" PRIu64, participant->senders);
        table_cell(&table, "%" PRIu64, participant->receivers);
        table_cell(&table, "%" PRIu64, participant->claimed);
        table_cell(&table, "%" PRIu64, participant->held);
        table_cell(&table, "%" PRIu64, participant->sent);
        table_cell(&table, "%" PRIu64, participant->received);
        table_cell(&table, "%s", waits(participant));
    }
    table_print(&table);
    table_fini(&table);
    if (elsewhere)
        puts("* in another pid namespace");
}

int run_stat(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;
    struct look look;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count != 1)
        return usage_error("stat", "one ADDRESS, please: %d given", arguments.count);
    if (!addresses_good("stat", arguments.operands, 1))
        return EXIT_USAGE;
    int result = look_at(&look, arguments.operands[0]);
    if (result < 0)
        return failed(result);
    if (json)
        print_json(look_json(&look, true));
    else {
        print_owner(&look.info);
        if (look.info.kind == GNL_SEGMENT) {
            print_segment(&look.info);
        } else if (look.info.kind == GNL_MAILBOX) {
            print_properties(&look.info);
            print_counts(&look.info);
        }
        if (look.count > 0) {
            putchar('\n');
            print_participants(&look);
        }
    }
    look_end(&look);
    return finish_output(EXIT_OK);
}
