/* SPDX-License-Identifier: Apache-2.0 */
#include "look.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS_MAX 16 /* while others come and go */
#define SPARE     8

int look_at(struct look *look, const char *address)
{
    struct look seen = { 0 };
    ssize_t found = gnl_inspect(address, &seen.info, NULL, 0);
    size_t room = 0;

    for (unsigned i = 0; i < LOOKS_MAX && found > (ssize_t)room; i++) {
        room = (size_t)found + SPARE;
        free(seen.participants);
        seen.participants = calloc(room, sizeof *seen.participants);
        if (!seen.participants)
            return -ENOMEM;
        found = gnl_inspect(address, &seen.info, seen.participants, room);
    }
    if (found < 0) {
        free(seen.participants);
        return (int)found;
    }
    seen.count = (size_t)found < room ? (size_t)found : room;
    for (size_t i = 0; i < seen.count; i++)
        seen.alive += seen.participants[i].alive != 0;
    *look = seen;
    return 0;
}

void look_end(struct look *look)
{
    free(look->participants);
    look->participants = NULL;
}

const char *look_name(const char *address, int *kind_length)
{
    const char *colon = strchr(address, ':');

    *kind_length = colon ? (int)(colon - address) : 0;
    return colon ? colon + 1 : address;
}

void look_capacity(char text[LOOK_TEXT], const struct gnl_port_info *info)
{
    if (info->kind != GNL_MAILBOX)
        snprintf(text, LOOK_TEXT, "-");
    else if (info->capacity == GNL_RENDEZVOUS)
        snprintf(text, LOOK_TEXT, "rendezvous");
    else if (info->capacity == GNL_UNBOUNDED)
        snprintf(text, LOOK_TEXT, "unbounded");
    else
        snprintf(text, LOOK_TEXT, "%" PRId64, info->capacity);
}

void look_user(char text[LOOK_TEXT], uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(text, LOOK_TEXT, "%s", user->pw_name);
    else
        snprintf(text, LOOK_TEXT, "%u", (unsigned)uid);
}

/* ---- JSON ---- */

void json_add_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

void json_add_number(struct json_object *object, const char *key, uint64_t number)
{
    json_object_object_add(object, key, json_object_new_uint64(number));
}

void json_add_truth(struct json_object *object, const char *key, bool truth)
{
    json_object_object_add(object, key, json_object_new_boolean(truth));
}

void json_add_rights(struct json_object *object, uid_t owner, mode_t mode)
{
    char text[LOOK_TEXT];

    look_user(text, owner);
    json_add_text(object, "owner", text);
    json_add_number(object, "owner_uid", owner);
    snprintf(text, sizeof text, "%04o", (unsigned)mode & 07777);
    json_add_text(object, "mode", text);
}

/* Whoever has a segment attached. */
static struct json_object *user_json(const struct gnl_participant *participant)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "pid", json_object_new_int64(participant->pid));
    json_add_number(object, "uid", participant->uid);
    json_add_truth(object, "alive", participant->alive);
    json_add_truth(object, "same_pid_namespace", participant->same_pid_namespace);
    json_add_truth(object, "writes", participant->senders > 0);
    json_add_truth(object, "locked", participant->held > 0);
    return object;
}

static struct json_object *participant_json(const struct gnl_participant *participant)
{
    static const char *const activities[] = {
        [GNL_IDLE] = "idle",
        [GNL_WAITS_TO_SEND] = "waits to send",
        [GNL_WAITS_TO_RECEIVE] = "waits to receive",
    };
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "pid", json_object_new_int64(participant->pid));
    json_add_number(object, "uid", participant->uid);
    json_add_truth(object, "alive", participant->alive);
    json_add_truth(object, "same_pid_namespace", participant->same_pid_namespace);
    json_add_number(object, "senders", participant->senders);
    json_add_number(object, "receivers", participant->receivers);
    json_add_number(object, "held", participant->held);
    json_add_number(object, "claimed", participant->claimed);
    json_add_number(object, "sent", participant->sent);
    json_add_number(object, "received", participant->received);
    json_add_text(object, "activity", activities[participant->activity]);
    return object;
}

static void add_link(struct json_object *object, const struct gnl_port_info *info)
{
    char text[LOOK_TEXT];

    look_capacity(text, info);
    if (info->capacity > 0)
        json_add_number(object, "capacity", (uint64_t)info->capacity);
    else
        json_add_text(object, "capacity", text);
    json_add_number(object, "message_max", info->message_max);
    json_add_truth(object, "two_way", info->two_way);
    json_add_number(object, "max_deliveries", info->max_deliveries);
    json_add_text(object, "dead_letters", info->dead_letters);
}

static void add_segment(struct json_object *object, const struct gnl_port_info *info)
{
    json_add_number(object, "size", info->size);
    json_add_number(object, "version", info->version);
    json_add_truth(object, "locked", info->locked);
    json_add_number(object, "bytes", info->bytes);
}

static void add_counts(struct json_object *object, const struct gnl_port_info *info)
{
    json_add_number(object, "queued", info->queued);
    json_add_number(object, "held", info->held);
    json_add_number(object, "senders", info->senders);
    json_add_number(object, "receivers", info->receivers);
    json_add_number(object, "sent", info->sent);
    json_add_number(object, "received", info->received);
    json_add_number(object, "redelivered", info->redelivered);
    json_add_number(object, "discarded", info->discarded);
    json_add_number(object, "bytes", info->bytes);
    json_add_number(object, "nonsense", info->nonsense);
}

struct json_object *look_json(const struct look *look, bool participants)
{
    const struct gnl_port_info *info = &look->info;
    struct json_object *object = json_object_new_object();
    int kind_length;
    const char *name = look_name(info->address, &kind_length);

    json_add_text(object, "address", info->address);
    json_object_object_add(object, "kind", json_object_new_string_len(info->address, kind_length));
    json_add_text(object, "name", name);
    json_add_rights(object, info->owner_uid, info->mode);
    if (info->kind == GNL_SEGMENT) {
        add_segment(object, info);
    } else if (info->kind == GNL_MAILBOX) {
        add_link(object, info);
        add_counts(object, info);
    }
    json_add_number(object, "users", look->alive);
    json_add_number(object, "dead", look->count - look->alive);
    if (participants) {
        struct json_object *list = json_object_new_array();
        for (size_t i = 0; i < look->count; i++)
            json_object_array_add(list, info->kind == GNL_SEGMENT ? user_json(&look->participants[i])
                                                                  : participant_json(&look->participants[i]));
        json_object_object_add(object, "participants", list);
    }
    return object;
}

void print_json(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}
