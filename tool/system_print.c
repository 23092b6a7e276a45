/* SPDX-License-Identifier: Apache-2.0 */
#include "system_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "look.h"
#include "printable.h"
#include "system.h"
#include "table.h"

#define TEXT 256

static const struct {
    const char *word;
    const char *what;
    const char *remove; /* the command, up to the name */
    const char *items;  /* as JSON calls them; NULL: it has none */
} kinds[] = {
    [SYSTEM_V_MEMORY] = { "sysv-shm", "System V shared memory", "ipcrm -m", NULL },
    [SYSTEM_V_SEMAPHORES] = { "sysv-sem", "System V semaphores", "ipcrm -s", "semaphores" },
    [SYSTEM_V_QUEUE] = { "sysv-msg", "a System V message queue", "ipcrm -q", "messages" },
    [SYSTEM_POSIX_MEMORY] = { "posix-shm", "POSIX shared memory", "rm", NULL },
    [SYSTEM_POSIX_SEMAPHORE] = { "posix-sem", "a POSIX semaphore", "rm", NULL },
    [SYSTEM_POSIX_QUEUE] = { "posix-mq", "a POSIX message queue", "rm", NULL },
};

static const char *const states[] = {
    [SYSTEM_USED] = "used",
    [SYSTEM_IDLE] = "idle",
    [SYSTEM_ORPHANED] = "orphaned",
    [SYSTEM_UNKNOWN] = "unknown",
};

static const struct column columns[] = {
    { "KIND", false }, { "NAME", false }, { "KEY", false },  { "OWNER", false }, { "MODE", false },
    { "BYTES", true }, { "ITEMS", true }, { "USERS", true }, { "STATE", false }, { "PROCESSES", false },
};

/* What programs call it: "/jobs" of /dev/shm/jobs and /dev/shm/sem.jobs; or a number. The caller owns it. */
static char *name_of(const struct system_object *object)
{
    char *name = NULL;

    if (!object->path) {
        if (asprintf(&name, "%d", object->id) < 0)
            return NULL;
        return name;
    }
    const char *file = strrchr(object->path, '/') + 1;
    if (object->kind == SYSTEM_POSIX_SEMAPHORE)
        file += strlen("sem.");
    if (asprintf(&name, "/%s", file) < 0)
        return NULL;
    make_printable(name);
    return name;
}

/* The caller owns it. */
static char *removal_of(const struct system_object *object)
{
    const char *verb = kinds[object->kind].remove;
    char *command = NULL, *word = NULL;

    if (!object->path) {
        if (asprintf(&command, "%s %d", verb, object->id) < 0)
            return NULL;
        return command;
    }
    word = shell_word(object->path);
    if (word && asprintf(&command, "%s %s", verb, word) < 0)
        command = NULL;
    free(word);
    return command;
}

/* "creator 12 (dead), last user 15": of users, who are alive, the numbers alone. */
static void processes_text(char text[TEXT], const struct system_object *object)
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < object->processes_count && length < TEXT - 64; i++) {
        const struct system_process *process = &object->processes[i];
        length += (size_t)snprintf(text + length, TEXT - length, "%s%s %d%s", i > 0 ? ", " : "",
                                   process->role, (int)process->pid, process->alive ? "" : " (dead)");
    }
    if (object->more)
        snprintf(text + length, TEXT - length, ", …");
}

/* "-" for a number that there is not. */
static void add_number(struct table *table, int64_t number)
{
    if (number < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%" PRId64, number);
}

static void add_row(struct table *table, const struct system_object *object)
{
    char owner[LOOK_TEXT], text[TEXT];
    char *name = name_of(object);

    look_user(owner, object->owner_uid);
    processes_text(text, object);
    table_row(table);
    table_cell(table, "%s", kinds[object->kind].word);
    table_cell(table, "%s", name ? name : "?");
    if (object->path)
        table_cell(table, "-");
    else
        table_cell(table, "0x%08" PRIx32, object->key);
    table_cell(table, "%s", owner);
    table_cell(table, "%04o", (unsigned)object->mode & 07777);
    table_cell(table, "%" PRIu64, object->size);
    add_number(table, object->items);
    add_number(table, object->users);
    table_cell(table, "%s", states[object->state]);
    table_cell(table, "%s", text);
    free(name);
}

static void print_table(const struct system_objects *objects, bool empty_line)
{
    struct table table;

    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < objects->count; i++)
        add_row(&table, &objects->list[i]);
    if (empty_line && objects->count > 0)
        putchar('\n');
    table_print(&table);
    table_fini(&table);
}

/* ---- JSON ---- */

static struct json_object *processes_json(const struct system_object *object)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < object->processes_count; i++) {
        struct json_object *process = json_object_new_object();
        json_add_number(process, "pid", (uint64_t)object->processes[i].pid);
        json_add_text(process, "role", object->processes[i].role);
        json_add_truth(process, "alive", object->processes[i].alive);
        json_object_array_add(list, process);
    }
    return list;
}

static struct json_object *to_json(const struct system_object *object)
{
    struct json_object *json = json_object_new_object();
    char text[16];
    char *name = name_of(object), *removal = removal_of(object);

    json_add_text(json, "kind", kinds[object->kind].word);
    json_add_text(json, "name", name ? name : "");
    if (!object->path) {
        json_add_number(json, "id", (uint64_t)object->id);
        snprintf(text, sizeof text, "0x%08" PRIx32, object->key);
        json_add_text(json, "key", text);
    }
    json_add_rights(json, object->owner_uid, object->mode);
    json_add_number(json, "bytes", object->size);
    if (kinds[object->kind].items)
        json_add_number(json, kinds[object->kind].items, (uint64_t)object->items);
    if (object->users >= 0)
        json_add_number(json, "users", (uint64_t)object->users);
    json_add_text(json, "state", states[object->state]);
    json_object_object_add(json, "processes", processes_json(object));
    json_add_text(json, "remove", removal ? removal : "");
    free(name);
    free(removal);
    return json;
}

enum exit_status system_list(struct json_object *list, bool empty_line)
{
    struct system_objects objects;

    if (system_look(&objects) < 0) {
        complain("out of memory");
        return EXIT_FAILED;
    }
    if (!list)
        print_table(&objects, empty_line);
    for (size_t i = 0; list && i < objects.count; i++)
        json_object_array_add(list, to_json(&objects.list[i]));
    if (objects.no_system_v)
        complain("the kernel shows no System V objects: /proc/sysvipc is not there");
    if (objects.no_queues)
        complain("POSIX message queues are not shown: no mqueue is mounted; root: "
                 "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue");
    system_end(&objects);
    return EXIT_OK;
}

/* ---- the doctor ---- */

static void report_orphan(struct report *report, const struct system_object *object)
{
    char about[LOOK_TEXT], who[TEXT];
    char *removal = removal_of(object);

    snprintf(about, sizeof about, "%s %d", kinds[object->kind].word, object->id);
    processes_text(who, object);
    report_add(report, NOTE, object->path ? object->path : about, removal,
               "%s of %" PRIu64 " bytes, not Ginnel's, is left behind: %s", kinds[object->kind].what,
               object->size, who[0] != '\0' ? who : "nobody has it open or mapped");
    free(removal);
}

void system_report(struct report *report)
{
    struct system_objects objects;

    if (system_look(&objects) < 0) {
        report_add(report, PROBLEM, "memory", NULL, "is not enough to look at the kernel's own objects");
        return;
    }
    for (size_t i = 0; i < objects.count; i++)
        if (objects.list[i].state == SYSTEM_ORPHANED && system_removable(&objects.list[i]))
            report_orphan(report, &objects.list[i]);
    system_end(&objects);
}
