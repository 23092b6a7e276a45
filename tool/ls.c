/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel ls: a row for each name. One that cannot be read, since it is damaged or somebody else's,
 * has a row that says so and does not end the listing.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "commands.h"
#include "look.h"
#include "system_print.h"
#include "table.h"

static bool json;
static bool system_too;

static const struct option options[] = {
    { "json", NULL, &json, NULL, NULL, "print a list of objects" },
    { "system", NULL, &system_too, NULL, NULL,
      "the kernel's own objects too: System V and POSIX shared memory, semaphores, queues" },
    { 0 },
};

static const struct usage usage = {
    .command = "ls",
    .operands = "[ADDRESS...]",
    .text = "Lists what there is: yours, and what is machine-wide.\n",
    .options = options,
};

static const struct column columns[] = {
    { "KIND", false }, { "NAME", false },    { "OWNER", false }, { "MODE", false }, { "QUEUED", true },
    { "HELD", true },  { "CAPACITY", true }, { "BYTES", true },  { "USERS", true },
};

struct listing {
    struct table table;
    struct json_object *list;
};

static void add_row(struct table *table, const struct look *look)
{
    const struct gnl_port_info *info = &look->info;
    char owner[LOOK_TEXT], capacity[LOOK_TEXT];
    int kind_length;
    const char *name = look_name(info->address, &kind_length);

    look_user(owner, info->owner_uid);
    look_capacity(capacity, info); /* of what is no queue: "-", as of what it does not hold */
    table_row(table);
    table_cell(table, "%.*s", kind_length, info->address);
    table_cell(table, "%s", name);
    table_cell(table, "%s", owner);
    table_cell(table, "%04o", (unsigned)info->mode & 07777);
    if (info->kind != GNL_MAILBOX) {
        table_cell(table, "-");
        table_cell(table, "-");
    } else {
        table_cell(table, "%" PRIu64, info->queued);
        table_cell(table, "%" PRIu64, info->held);
    }
    table_cell(table, "%s", capacity);
    table_cell(table, "%" PRIu64, info->bytes);
    table_cell(table, "%zu", look->alive);
}

static void add_unreadable(struct listing *listing, const char *address, const char *why)
{
    int kind_length;
    const char *name = look_name(address, &kind_length);

    if (!json) {
        table_row(&listing->table);
        table_cell(&listing->table, "%.*s", kind_length, address);
        table_cell(&listing->table, "%s", name);
        table_note(&listing->table, why);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "address", json_object_new_string(address));
    json_object_object_add(object, "kind", json_object_new_string_len(address, kind_length));
    json_object_object_add(object, "name", json_object_new_string(name));
    json_object_object_add(object, "error", json_object_new_string(why));
    json_object_array_add(listing->list, object);
}

/* 0, or why it could not be looked at. */
static int add(struct listing *listing, const char *address)
{
    struct look look;

    int result = look_at(&look, address);
    if (result < 0)
        return result;
    if (json)
        json_object_array_add(listing->list, look_json(&look, false));
    else
        add_row(&listing->table, &look);
    look_end(&look);
    return 0;
}

/* For each name that there is. */
static int visit(const char *address, void *context)
{
    struct listing *listing = context;

    int result = add(listing, address);
    if (result < 0 && result != -ENOENT) /* removed just now: it is not there */
        add_unreadable(listing, address, gnl_error_detail());
    return 0;
}

static enum exit_status list(struct listing *listing, char **addresses, int count)
{
    enum exit_status status = EXIT_OK;

    for (int i = 0; i < count; i++) {
        int result = add(listing, addresses[i]);
        if (result < 0)
            status = failed(result);
    }
    if (count == 0) {
        int result = gnl_names(visit, listing);
        if (result < 0)
            status = failed(result);
    }
    return status;
}

int run_ls(int argc, char **argv)
{
    struct arguments arguments;
    struct listing listing = { 0 };
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (system_too && arguments.count > 0)
        return usage_error("ls", "--system lists all there is, and takes no '%s'", arguments.operands[0]);
    if (!addresses_good("ls", arguments.operands, arguments.count))
        return EXIT_USAGE;
    signal(SIGIO, SIG_IGN); /* as in doctor: somebody opens what we have a lease of */
    table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    if (json)
        listing.list = json_object_new_array();
    status = list(&listing, arguments.operands, arguments.count);
    if (!json)
        table_print(&listing.table);
    if (system_too && system_list(listing.list, listing.table.rows_count > 0) != EXIT_OK)
        status = EXIT_FAILED;
    if (json)
        print_json(listing.list);
    table_fini(&listing.table);
    return finish_output(status);
}
