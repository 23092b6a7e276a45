/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel tells of them: /proc/sysvipc, a line an object; /dev/shm, a file a POSIX object
 * (semaphores are those called sem.NAME); a mounted mqueue, a file a queue. Names and contents of files are
 * anybody's.
 *
 * Of System V objects the kernel keeps the numbers of the last users. A number may be another process's by
 * now: then the object passes for idle, and an orphan is missed; one that is used is never called an orphan.
 * Of POSIX objects it keeps none, but says by a lease that nobody has the file (lease.h).
 */
#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "holders.h"
#include "lease.h"

#define POSIX_DIRECTORY "/dev/shm"
#define SEMAPHORE       "sem."
#define SEMAPHORES_MAX  4096 /* of a set, that are looked at */

/* An object more, of that kind; NULL: out of memory. */
static struct system_object *add(struct system_objects *objects, enum system_kind kind)
{
    if (objects->count == objects->room) {
        size_t room = 2 * objects->room + 16;
        struct system_object *list = realloc(objects->list, room * sizeof *list);
        if (!list)
            return NULL;
        objects->list = list;
        objects->room = room;
    }
    struct system_object *object = &objects->list[objects->count++];
    *object = (struct system_object){ .kind = kind, .state = SYSTEM_UNKNOWN, .items = -1, .users = -1 };
    return object;
}

static void add_process(struct system_object *object, pid_t pid, const char *role)
{
    for (size_t i = 0; i < object->processes_count; i++)
        if (object->processes[i].pid == pid && strcmp(object->processes[i].role, role) == 0)
            return;
    if (object->processes_count < SYSTEM_PROCESSES_MAX)
        object->processes[object->processes_count++] =
            (struct system_process){ pid, role, process_lives(pid) };
    else
        object->more = true;
}

/* ---- System V ---- */

/* One that `happened`, if its number is known here. */
static void add_last(struct system_object *object, pid_t pid, const char *role, bool happened)
{
    if (pid > 0)
        add_process(object, pid, role);
    else if (happened)
        object->hidden = true;
}

static bool read_memory(struct system_object *object, const char *line)
{
    long long attached, detached;
    pid_t creator, last;

    if (sscanf(line, "%d %d %o %" SCNu64 " %d %d %" SCNd64 " %u %*u %u %*u %lld %lld", (int *)&object->key,
               &object->id, &object->mode, &object->size, &creator, &last, &object->users, &object->owner_uid,
               &object->creator_uid, &attached, &detached) != 11)
        return false;
    add_last(object, creator, "creator", true);
    add_last(object, last, "last user", attached != 0 || detached != 0);
    return true;
}

static bool read_queue(struct system_object *object, const char *line)
{
    long long sent, received;
    pid_t sender, receiver;

    if (sscanf(line, "%d %d %o %" SCNu64 " %" SCNd64 " %d %d %u %*u %u %*u %lld %lld", (int *)&object->key,
               &object->id, &object->mode, &object->size, &object->items, &sender, &receiver,
               &object->owner_uid, &object->creator_uid, &sent, &received) != 11)
        return false;
    add_last(object, sender, "last sender", sent != 0);
    add_last(object, receiver, "last receiver", received != 0);
    return true;
}

/* Who used each semaphore last, and how many wait, as far as this user may ask. */
static void ask_semaphores(struct system_object *object)
{
    int64_t waiting = 0;

    object->hidden = object->items > SEMAPHORES_MAX;
    for (int i = 0; i < object->items && i < SEMAPHORES_MAX; i++) {
        pid_t last = semctl(object->id, i, GETPID);
        int for_more = semctl(object->id, i, GETNCNT), for_zero = semctl(object->id, i, GETZCNT);
        if (last < 0 || for_more < 0 || for_zero < 0) {
            object->hidden = true;
            return;
        }
        waiting += for_more + for_zero;
        add_last(object, last, "last user", false);
    }
    object->users = waiting;
}

static bool read_semaphores(struct system_object *object, const char *line)
{
    if (sscanf(line, "%d %d %o %" SCNd64 " %u %*u %u", (int *)&object->key, &object->id, &object->mode,
               &object->items, &object->owner_uid, &object->creator_uid) != 6)
        return false;
    ask_semaphores(object);
    return true;
}

/* What the numbers say. Are there none nobody is known to have used it. */
static enum system_state judge(const struct system_object *object)
{
    if (object->users > 0)
        return SYSTEM_USED;
    for (size_t i = 0; i < object->processes_count; i++)
        if (object->processes[i].alive)
            return SYSTEM_IDLE;
    return object->hidden || object->more || object->processes_count == 0 ? SYSTEM_UNKNOWN : SYSTEM_ORPHANED;
}

/* Are the numbers in /proc those of this process's pid namespace? */
static bool numbers_are_ours(void)
{
    char self[32];
    ssize_t length = readlink("/proc/self", self, sizeof self - 1);

    self[length > 0 ? length : 0] = '\0';
    return atoi(self) == getpid();
}

static int look_at_table(struct system_objects *objects, const char *path, enum system_kind kind,
                         bool (*read)(struct system_object *object, const char *line))
{
    FILE *table = fopen(path, "re");
    bool ours = numbers_are_ours();
    char line[512];
    int result = 0;

    if (!table) {
        objects->no_system_v = true;
        return 0;
    }
    while (result == 0 && fgets(line, sizeof line, table)) {
        struct system_object *object = add(objects, kind);
        if (!object)
            result = -ENOMEM;
        else if (!read(object, line)) /* the titles */
            objects->count--;
        else if (ours)
            object->state = judge(object);
    }
    fclose(table);
    return result;
}

/* ---- POSIX ---- */

/* A file, unless it is none that this kind of object has, or has vanished. */
static int add_file(struct system_objects *objects, int directory, const char *path, const char *name,
                    enum system_kind kind)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return 0;
    struct system_object *object = add(objects, kind);
    if (!object || asprintf(&object->path, "%s/%s", path, name) < 0) {
        objects->count -= object != NULL;
        return -ENOMEM;
    }
    object->owner_uid = object->creator_uid = status.st_uid;
    object->mode = status.st_mode & 07777;
    object->size = kind == SYSTEM_POSIX_QUEUE ? 0 : (uint64_t)status.st_size; /* of a queue: what is in it */
    object->device = status.st_dev;
    object->inode = status.st_ino;
    return 0;
}

static int look_at_directory(struct system_objects *objects, const char *path, bool queues)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int result = 0;

    if (!directory)
        return 0;
    while (result == 0 && (entry = readdir(directory))) {
        enum system_kind kind = queues ? SYSTEM_POSIX_QUEUE : SYSTEM_POSIX_MEMORY;
        if (!queues && strncmp(entry->d_name, SEMAPHORE, strlen(SEMAPHORE)) == 0)
            kind = SYSTEM_POSIX_SEMAPHORE;
        result = add_file(objects, dirfd(directory), path, entry->d_name, kind);
    }
    closedir(directory);
    return result;
}

/* The first mqueue that is mounted has all queues of the namespace that it was mounted in: this one's. */
static int look_at_queues(struct system_objects *objects)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *mount;
    int result = 0;

    objects->no_queues = true;
    while (mounts && objects->no_queues && (mount = getmntent(mounts)))
        if (strcmp(mount->mnt_type, "mqueue") == 0) {
            objects->no_queues = false;
            result = look_at_directory(objects, mount->mnt_dir, true);
        }
    if (mounts)
        endmntent(mounts);
    return result;
}

/* ---- who has those files ---- */

static int by_file(const void *left, const void *right)
{
    const struct system_object *a = *(struct system_object *const *)left;
    const struct system_object *b = *(struct system_object *const *)right;

    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->inode == b->inode ? 0 : a->inode < b->inode ? -1 : 1;
}

struct files {
    struct system_object **list; /* by device and inode */
    pid_t *seen;                 /* of each, the process that had it last: it has it more than once */
    size_t count;
};

static void hold(void *context, pid_t pid, dev_t device, ino_t inode)
{
    struct files *files = context;
    struct system_object wanted = { .device = device, .inode = inode }, *key = &wanted;
    struct system_object **found = bsearch(&key, files->list, files->count, sizeof *files->list, by_file);

    if (!found || files->seen[found - files->list] == pid)
        return;
    files->seen[found - files->list] = pid;
    (*found)->users = ((*found)->users > 0 ? (*found)->users : 0) + 1;
    add_process(*found, pid, "user");
}

/* The object's file, if it is there still; -1: no, or this user may not. */
static int open_file(const struct system_object *object)
{
    int file = open(object->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (file < 0)
        return -1;
    if (fstat(file, &status) == 0 && status.st_dev == object->device && status.st_ino == object->inode)
        return file;
    close(file);
    return -1;
}

/* A queue's file tells how full it is, and who wants to be told of a message: somebody who has it. */
static void read_queue_file(struct system_object *object, int file)
{
    char text[128];
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    pid_t told = 0;

    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "QSIZE:%" SCNu64 " NOTIFY:%*d SIGNO:%*d NOTIFY_PID:%d", &object->size, &told) == 2 &&
        told > 0 && object->users < 0) {
        object->users = 1;
        add_process(object, told, "user");
    }
}

/* Who was found has it; that nobody has it is the kernel's word, for the owner and for root. */
static void judge_file(struct system_object *object)
{
    int file = open_file(object);

    if (file >= 0 && object->kind == SYSTEM_POSIX_QUEUE)
        read_queue_file(object, file);
    if (object->users > 0) {
        object->state = SYSTEM_USED;
    } else if (file >= 0 && lease_granted(file, F_WRLCK)) {
        object->state = SYSTEM_ORPHANED;
        object->users = 0;
    }
    if (file >= 0)
        close(file);
}

static int find_holders(struct system_objects *objects, size_t first)
{
    struct files files = { .count = objects->count - first };

    if (files.count == 0)
        return 0;
    files.list = calloc(files.count, sizeof *files.list);
    files.seen = calloc(files.count, sizeof *files.seen);
    if (files.list && files.seen) {
        for (size_t i = 0; i < files.count; i++)
            files.list[i] = &objects->list[first + i];
        qsort(files.list, files.count, sizeof *files.list, by_file);
        holders_each(hold, &files);
        for (size_t i = 0; i < files.count; i++)
            judge_file(files.list[i]);
    }
    int result = files.list && files.seen ? 0 : -ENOMEM;
    free(files.list);
    free(files.seen);
    return result;
}

/* ---- all of them ---- */

static int in_order(const void *left, const void *right)
{
    const struct system_object *a = left, *b = right;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->path)
        return strcmp(a->path, b->path);
    return a->id == b->id ? 0 : a->id < b->id ? -1 : 1;
}

int system_look(struct system_objects *objects)
{
    struct system_objects seen = { 0 };

    int result = look_at_table(&seen, "/proc/sysvipc/shm", SYSTEM_V_MEMORY, read_memory);
    if (result == 0)
        result = look_at_table(&seen, "/proc/sysvipc/sem", SYSTEM_V_SEMAPHORES, read_semaphores);
    if (result == 0)
        result = look_at_table(&seen, "/proc/sysvipc/msg", SYSTEM_V_QUEUE, read_queue);
    size_t files = seen.count;
    if (result == 0)
        result = look_at_directory(&seen, POSIX_DIRECTORY, false);
    if (result == 0)
        result = look_at_queues(&seen);
    if (result == 0)
        result = find_holders(&seen, files);
    if (result < 0) {
        system_end(&seen);
        return result;
    }
    if (seen.count > 0)
        qsort(seen.list, seen.count, sizeof *seen.list, in_order);
    *objects = seen;
    return 0;
}

void system_end(struct system_objects *objects)
{
    for (size_t i = 0; i < objects->count; i++)
        free(objects->list[i].path);
    free(objects->list);
    objects->list = NULL;
}

bool system_removable(const struct system_object *object)
{
    uid_t user = geteuid();

    return user == 0 || user == object->owner_uid || user == object->creator_uid;
}
