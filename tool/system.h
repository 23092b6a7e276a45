/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own objects for communication, whoever made them: System V and POSIX shared memory,
 * semaphores and message queues, each with the processes that use it or used it last. For
 * `ginnel ls --system` and `ginnel doctor`; nothing is changed.
 */
#ifndef TOOL_SYSTEM_H
#define TOOL_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum system_kind {
    SYSTEM_V_MEMORY,
    SYSTEM_V_SEMAPHORES,
    SYSTEM_V_QUEUE,
    SYSTEM_POSIX_MEMORY,
    SYSTEM_POSIX_SEMAPHORE,
    SYSTEM_POSIX_QUEUE,
};

enum system_state {
    SYSTEM_USED,     /* somebody has it */
    SYSTEM_IDLE,     /* nobody has it, but a process lives that used it last, or made it */
    SYSTEM_ORPHANED, /* nobody has it, and the processes that are known are dead */
    SYSTEM_UNKNOWN,  /* the kernel does not tell, or not this user */
};

struct system_process {
    pid_t pid;
    const char *role; /* "creator", "last user", "last sender", "last receiver", "user" */
    bool alive;
};

#define SYSTEM_PROCESSES_MAX 8 /* that are named */

struct system_object {
    enum system_kind kind;
    enum system_state state;
    int id;       /* System V */
    uint32_t key; /* System V; 0: private */
    char *path;   /* POSIX: of its file, which may have any name; NULL: System V */
    uid_t owner_uid, creator_uid;
    mode_t mode;
    uint64_t size; /* bytes; of a queue those in it; of System V semaphores 0 */
    int64_t items; /* messages, or semaphores; -1: it has none, or that is unknown */
    int64_t users; /* processes that have it attached, open or mapped, or wait for it; -1: unknown */
    struct system_process processes[SYSTEM_PROCESSES_MAX];
    size_t processes_count;
    bool more;    /* there are processes that are not named */
    bool hidden;  /* a process used it whose number this pid namespace does not have */
    dev_t device; /* POSIX: its file */
    ino_t inode;
};

struct system_objects {
    struct system_object *list; /* by kind */
    size_t count, room;
    bool no_system_v; /* the kernel does not tell of them */
    bool no_queues;   /* POSIX queues are nowhere to be seen: no mqueue is mounted */
};

/* 0 or -ENOMEM. A look that succeeded is ended by system_end. */
int system_look(struct system_objects *objects);
void system_end(struct system_objects *objects);

/* May this user remove it? */
bool system_removable(const struct system_object *object);

#endif
