/* SPDX-License-Identifier: Apache-2.0 */
#include "run_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "failure.h"
#include "look.h"
#include "printable.h"
#include "table.h"

static const struct column columns[] = {
    { "STAGE", true },     { "COMMAND", false }, { "ENDED", false },         { "CPU", true },
    { "MEMORY", true },    { "BUSY", true },     { "WAITED TO READ", true }, { "TO WRITE", true },
    { "PASSED ON", true }, { "UNREAD", true },   { "PIPE FULL", true },
};

/* ---- a table ---- */

static void add_end(struct table *table, const struct gnl_exit *end)
{
    if (end->kind == GNL_EXITED)
        table_cell(table, "%d", end->code);
    else if (end->kind == GNL_SIGNALLED)
        table_cell(table, "SIG%s%s", sigabbrev_np(end->signo) ? sigabbrev_np(end->signo) : "?",
                   end->dumped_core ? ", core" : "");
    else
        table_cell(table, "unknown");
}

static void add_share_cell(struct table *table, const struct run_looks *looks, double share)
{
    if (looks->count > 1)
        table_cell(table, "%.0f %%", share * 100);
    else
        table_cell(table, "unknown");
}

static void add_usage(struct table *table, const struct gnl_exit *end)
{
    char text[RUN_TEXT];

    if (end->kind == GNL_GONE) {
        table_cell(table, "unknown");
        table_cell(table, "unknown");
        return;
    }
    run_bytes_text(text, (double)end->peak_bytes);
    table_cell(table, "%.2f s", (double)(end->user_ns + end->system_ns) / 1e9);
    table_cell(table, "%s", text);
}

/* "1.2 GB", "<= 1.2 GB", "unknown" */
static void add_passed(struct table *table, const struct gnl_pipe_sample *pipe)
{
    char text[RUN_TEXT];
    int64_t bytes = pipe->passed >= 0 ? pipe->passed : pipe->passed_most;

    run_bytes_text(text, (double)bytes);
    if (bytes < 0)
        table_cell(table, "unknown");
    else
        table_cell(table, "%s%s", pipe->passed >= 0 ? "" : "<= ", text);
}

static void add_pipe(struct table *table, const struct run_looks *looks, size_t i)
{
    char text[RUN_TEXT];

    add_passed(table, &looks->pipes[i]);
    run_bytes_text(text, (double)looks->pipes[i].queued);
    table_cell(table, "%s", looks->pipes[i].queued >= 0 ? text : "unknown");
    add_share_cell(table, looks, looks->whole[i].fill);
}

static void add_stage(struct table *table, const struct run_looks *looks, const struct gnl_exit *end,
                      size_t i)
{
    char name[sizeof looks->stages[i].name];

    memcpy(name, looks->stages[i].name, sizeof name);
    table_row(table);
    table_cell(table, "%zu", i + 1);
    table_cell(table, "%s", name);
    add_end(table, end);
    add_usage(table, end);
    add_share_cell(table, looks, looks->whole[i].busy);
    add_share_cell(table, looks, looks->whole[i].reading);
    add_share_cell(table, looks, looks->whole[i].writing);
    if (i + 1 < looks->length)
        add_pipe(table, looks, i);
}

static void print_text(FILE *file, const struct run_looks *looks, const struct gnl_exit *exits,
                       double seconds)
{
    const struct gnl_stage_sample *first = &looks->stages[0];
    char text[RUN_TEXT], size[RUN_TEXT];
    struct table table;
    size_t stage = 0;

    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < looks->length; i++)
        add_stage(&table, looks, &exits[i], i);
    table_print_to(&table, file);
    table_fini(&table);
    enum run_place place = run_bottleneck(looks, looks->whole, &stage);
    bool known = run_bottleneck_text(text, sizeof text, looks, place, stage);
    fprintf(file, "%.2f s, bottleneck: %s", seconds, known ? text : "unknown");
    if (first->input_at >= 0) {
        run_bytes_text(text, (double)first->input_at);
        run_bytes_text(size, (double)first->input_size);
        fprintf(file, ", input: at %s of %s when last seen", text, size);
    }
    fputc('\n', file);
}

/* ---- JSON ---- */

static void add_double(struct json_object *object, const char *key, double value)
{
    char text[RUN_TEXT];

    snprintf(text, sizeof text, "%.6f", value);
    json_object_object_add(object, key, json_object_new_double_s(value, text));
}

/* Negative: null. */
static void add_known(struct json_object *object, const char *key, int64_t value)
{
    json_object_object_add(object, key, value < 0 ? NULL : json_object_new_int64(value));
}

static void add_share_json(struct json_object *object, const struct run_looks *looks, const char *key,
                           double share)
{
    if (looks->count > 1)
        add_double(object, key, share);
    else
        json_object_object_add(object, key, NULL);
}

static struct json_object *stage_json(const struct run_looks *looks, const struct gnl_exit *end, size_t i)
{
    struct json_object *object = json_object_new_object();
    char name[sizeof looks->stages[i].name];
    bool known = end->kind != GNL_GONE;

    memcpy(name, looks->stages[i].name, sizeof name);
    make_printable(name);
    json_add_number(object, "stage", i + 1);
    json_add_text(object, "command", name);
    add_known(object, "exited", end->kind == GNL_EXITED ? end->code : -1);
    add_known(object, "signal", end->kind == GNL_SIGNALLED ? end->signo : -1);
    if (known) {
        add_double(object, "user_seconds", (double)end->user_ns / 1e9);
        add_double(object, "system_seconds", (double)end->system_ns / 1e9);
    } else {
        json_object_object_add(object, "user_seconds", NULL);
        json_object_object_add(object, "system_seconds", NULL);
    }
    add_known(object, "peak_bytes", known ? (int64_t)end->peak_bytes : -1);
    add_share_json(object, looks, "busy", looks->whole[i].busy);
    add_share_json(object, looks, "reading", looks->whole[i].reading);
    add_share_json(object, looks, "writing", looks->whole[i].writing);
    add_share_json(object, looks, "unseen", looks->whole[i].unseen);
    return object;
}

static struct json_object *pipe_json(const struct run_looks *looks, double seconds, size_t i)
{
    const struct gnl_pipe_sample *pipe = &looks->pipes[i];
    struct json_object *object = json_object_new_object();

    json_add_number(object, "from", i + 1);
    json_add_number(object, "to", i + 2);
    add_known(object, "bytes", pipe->passed);
    add_known(object, "bytes_at_most", pipe->passed_most);
    if (pipe->passed >= 0 && seconds > 0)
        add_double(object, "bytes_per_second", (double)pipe->passed / seconds);
    else
        json_object_object_add(object, "bytes_per_second", NULL);
    add_known(object, "unread_bytes", pipe->queued);
    add_known(object, "capacity", looks->capacity[i] > 0 ? looks->capacity[i] : -1);
    add_share_json(object, looks, "fill", looks->whole[i].fill);
    return object;
}

static struct json_object *bottleneck_json(const struct run_looks *looks)
{
    static const char *const words[] = {
        [RUN_AT_STAGE] = "stage", [RUN_AT_INPUT] = "input", [RUN_AT_OUTPUT] = "output"
    };
    size_t stage = 0;
    enum run_place place = run_bottleneck(looks, looks->whole, &stage);

    if (place == RUN_NOWHERE)
        return NULL;
    struct json_object *object = json_object_new_object();
    json_add_text(object, "at", words[place]);
    add_known(object, "stage", place == RUN_AT_STAGE ? (int64_t)stage + 1 : -1);
    return object;
}

static void print_line(FILE *file, const struct run_looks *looks, const struct gnl_exit *exits,
                       double seconds)
{
    const struct gnl_stage_sample *first = &looks->stages[0];
    struct json_object *object = json_object_new_object(), *stages = json_object_new_array();
    struct json_object *pipes = json_object_new_array(), *input = NULL;

    for (size_t i = 0; i < looks->length; i++)
        json_object_array_add(stages, stage_json(looks, &exits[i], i));
    for (size_t i = 0; i + 1 < looks->length; i++)
        json_object_array_add(pipes, pipe_json(looks, seconds, i));
    if (first->input_at >= 0) {
        input = json_object_new_object();
        add_known(input, "seen_at", first->input_at);
        add_known(input, "size", first->input_size);
    }
    add_double(object, "seconds", seconds);
    json_add_number(object, "looks", looks->count);
    json_object_object_add(object, "bottleneck", bottleneck_json(looks));
    json_object_object_add(object, "stages", stages);
    json_object_object_add(object, "pipes", pipes);
    json_object_object_add(object, "input", input);
    fprintf(file, "%s\n",
            json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

void run_report(const struct run_looks *looks, const struct gnl_exit *exits, double seconds, bool json)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length); /* standard error has no buffer, and others write there */

    if (!file) {
        complain("out of memory");
        return;
    }
    if (json)
        print_line(file, looks, exits, seconds);
    else
        print_text(file, looks, exits, seconds);
    if (fclose(file) == 0)
        fputs(text, stderr);
    free(text);
}
