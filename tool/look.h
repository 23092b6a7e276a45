/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at a link from outside: what ls and stat show, and its form in JSON.
 */
#ifndef TOOL_LOOK_H
#define TOOL_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <json-c/json.h>

#include <ginnel/names.h>

struct look {
    struct gnl_port_info info;
    struct gnl_participant *participants;
    size_t count;
    size_t alive; /* of them */
};

/* 0, or what gnl_inspect said. A look that succeeded is ended by look_end. */
int look_at(struct look *look, const char *address);
void look_end(struct look *look);

/* "mailbox" and "jobs" of mailbox:jobs: *kind_length characters, and what comes after the colon. */
const char *look_name(const char *address, int *kind_length);

#define LOOK_TEXT 64

/* A number of messages, or a word. */
void look_capacity(char text[LOOK_TEXT], const struct gnl_port_info *info);

/* A user's name, or the number of one without. */
void look_user(char text[LOOK_TEXT], uid_t uid);

/* The caller owns the object. */
struct json_object *look_json(const struct look *look, bool participants);

/* A member more. */
void json_add_text(struct json_object *object, const char *key, const char *text);
void json_add_number(struct json_object *object, const char *key, uint64_t number);
void json_add_truth(struct json_object *object, const char *key, bool truth);
void json_add_rights(struct json_object *object, uid_t owner, mode_t mode); /* owner, owner_uid, mode */

/* Prints it to standard output, and ends it. */
void print_json(struct json_object *object);

#endif
