/* SPDX-License-Identifier: Apache-2.0 */
#include "process/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/process.h"

/* One process, as /proc/PID/stat has it. */
struct look {
    pid_t pid, parent, group, session;
    uint64_t start;
    char state;
    char name[16];
    bool belongs, grouped;
};

struct looks {
    struct look *list; /* by pid */
    size_t count, room;
    pid_t *leaders; /* members' numbers that nobody else can have got since the last look, ascending */
    size_t leader_count;
};

/* Parses "PID (NAME) STATE PPID PGRP SESSION … STARTTIME": the name may have anything in it. */
static bool parse(struct look *look, char *text)
{
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    unsigned long long start;

    if (!name || !end || end < name)
        return false;
    *end = '\0';
    *look = (struct look){ .pid = (pid_t)strtol(text, NULL, 10) };
    snprintf(look->name, sizeof look->name, "%s", name + 1);
    if (sscanf(end + 1, " %c %d %d %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &look->state, &look->parent, &look->group, &look->session, &start) != 5)
        return false;
    look->start = start;
    return true;
}

/* 1, or 0: there is none of that number; or why nobody can be looked at. */
static int read_look(struct look *look, int proc, const char *pid)
{
    char path[64], text[1024];

    snprintf(path, sizeof path, "%s/stat", pid);
    int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    return parse(look, text);
}

static bool has_ended(const struct look *look)
{
    return look->state == 'Z' || look->state == 'X';
}

uint64_t gnli_process_start(pid_t pid)
{
    char path[32];
    struct look look;

    snprintf(path, sizeof path, "/proc/%d", pid);
    return read_look(&look, AT_FDCWD, path) > 0 ? look.start : 0;
}

static int compare(const void *a, const void *b)
{
    pid_t one = ((const struct look *)a)->pid, other = ((const struct look *)b)->pid;

    return (one > other) - (one < other);
}

/* Makes room for one more in a list; false: no memory. */
static bool make_room(void **list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    size_t more = *room ? *room * 2 : 64;
    void *grown = reallocarray(*list, more, size);
    if (!grown)
        return false;
    *list = grown;
    *room = more;
    return true;
}

static int look_at_all(struct looks *looks)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int result = 0;

    if (!proc)
        return -errno;
    while (result == 0 && (entry = readdir(proc))) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        void *list = looks->list;
        if (!make_room(&list, looks->count, &looks->room, sizeof *looks->list))
            result = -ENOMEM;
        looks->list = list;
        int found = result == 0 ? read_look(&looks->list[looks->count], dirfd(proc), entry->d_name) : result;
        if (found < 0)
            result = found;
        else
            looks->count += (size_t)found;
    }
    closedir(proc);
    if (!looks->list)
        return result < 0 ? result : -ENOENT;
    qsort(looks->list, looks->count, sizeof *looks->list, compare);
    return result;
}

static struct look *find(const struct looks *looks, pid_t pid)
{
    const struct look wanted = { .pid = pid };

    return looks->list ? bsearch(&wanted, looks->list, looks->count, sizeof *looks->list, compare) : NULL;
}

static bool is_member(const struct look *look, const struct gnli_member *member)
{
    return look && look->pid == member->fate.pid && look->start == member->start;
}

static struct gnli_member *add(struct gnli_tree *tree, const struct look *look)
{
    void *list = tree->members;

    if (!make_room(&list, tree->count, &tree->room, sizeof *tree->members))
        return NULL;
    tree->members = list;
    struct gnli_member *member = &tree->members[tree->count++];
    *member = (struct gnli_member){ .start = look->start };
    member->fate.pid = look->pid;
    memcpy(member->fate.name, look->name, sizeof member->fate.name);
    return member;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t one = *(const pid_t *)a, other = *(const pid_t *)b;

    return (one > other) - (one < other);
}

/*
 * A member's number stands for its group and session while it is there, and at the look after that: the
 * kernel gives it to nobody else as long as any of these is left, and a child that it had made in its last
 * moment is an orphan that is known by nothing else.
 */
static int find_leaders(const struct gnli_tree *tree, struct looks *looks)
{
    looks->leaders = tree->count > 0 ? reallocarray(NULL, tree->count, sizeof *looks->leaders) : NULL;
    if (tree->count > 0 && !looks->leaders)
        return -ENOMEM;
    for (size_t i = 0; i < tree->count; i++) {
        const struct gnli_member *member = &tree->members[i];
        if (member->alive || is_member(find(looks, member->fate.pid), member))
            looks->leaders[looks->leader_count++] = member->fate.pid;
    }
    if (looks->leader_count > 0)
        qsort(looks->leaders, looks->leader_count, sizeof *looks->leaders, compare_pids);
    return 0;
}

static bool is_led(const struct looks *looks, pid_t leader)
{
    return looks->leader_count > 0 &&
           bsearch(&leader, looks->leaders, looks->leader_count, sizeof *looks->leaders, compare_pids);
}

/* Whose parent belongs does; and who is in a group or session that a member leads. */
static bool belongs(const struct gnli_tree *tree, const struct looks *looks, const struct look *look)
{
    const struct look *parent = find(looks, look->parent);

    if (parent && parent->belongs)
        return true;
    return (!tree->root_is_member && look->parent == tree->root) || is_led(looks, look->group) ||
           is_led(looks, look->session);
}

/* Those in the cgroup belong, whoever their parents are. */
static void mark_grouped(const struct gnli_tree *tree, struct looks *looks)
{
    int descriptor = tree->cgroup >= 0 ? openat(tree->cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC) : -1;
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "r") : NULL;
    int pid;

    if (!file && descriptor >= 0)
        close(descriptor);
    while (file && fscanf(file, "%d", &pid) == 1) {
        struct look *look = find(looks, pid);
        if (look)
            look->belongs = look->grouped = true;
    }
    if (file)
        fclose(file);
}

static int mark(const struct gnli_tree *tree, struct looks *looks)
{
    bool more = true;

    int result = find_leaders(tree, looks);
    if (result < 0)
        return result;
    mark_grouped(tree, looks);
    for (size_t i = 0; i < tree->count; i++) {
        struct look *look = find(looks, tree->members[i].fate.pid);
        if (is_member(look, &tree->members[i]))
            look->belongs = true;
    }
    while (more) { /* a generation each time */
        more = false;
        for (size_t i = 0; i < looks->count; i++)
            if (!looks->list[i].belongs && belongs(tree, looks, &looks->list[i]))
                more = looks->list[i].belongs = true;
    }
    return 0;
}

/* Notes which members are alive, and adds the new ones. The caller itself is never one. */
static ssize_t update(struct gnli_tree *tree, const struct looks *looks)
{
    size_t known = tree->count;
    pid_t self = getpid();

    for (size_t i = 0; i < known; i++) {
        struct gnli_member *member = &tree->members[i];
        struct look *look = find(looks, member->fate.pid);
        bool same = is_member(look, member);
        member->alive = same && !has_ended(look);
        member->stopped = same && (look->state == 'T' || look->state == 't');
        member->grouped = same && look->grouped;
        if (same)
            look->belongs = false; /* not a new one */
    }
    for (size_t i = 0; i < looks->count; i++) {
        const struct look *look = &looks->list[i];
        if (!look->belongs || look->pid == self || has_ended(look))
            continue;
        struct gnli_member *member = add(tree, look);
        if (!member)
            return -ENOMEM;
        member->alive = true;
        member->grouped = look->grouped;
    }
    return (ssize_t)(tree->count - known);
}

ssize_t gnli_tree_look(struct gnli_tree *tree)
{
    struct looks looks = { 0 };

    ssize_t result = look_at_all(&looks);
    if (result == 0) {
        const struct look *root = tree->root_is_member && tree->count == 0 ? find(&looks, tree->root) : NULL;
        if (root && !add(tree, root))
            result = -ENOMEM;
    }
    if (result == 0)
        result = mark(tree, &looks);
    if (result == 0)
        result = update(tree, &looks);
    free(looks.leaders);
    free(looks.list);
    return result;
}

/* A pidfd of the very process. */
static int open_member(const struct gnli_member *member)
{
    int pidfd = gnli_pidfd_open(member->fate.pid);

    if (pidfd >= 0 && gnli_process_start(member->fate.pid) != member->start) {
        close(pidfd);
        return -ESRCH;
    }
    return pidfd;
}

int gnli_tree_signal(const struct gnli_member *member, int signo)
{
    int pidfd = open_member(member);

    if (pidfd < 0)
        return pidfd;
    int result = gnli_pidfd_signal(pidfd, signo, 0);
    close(pidfd);
    return result;
}

int gnli_tree_await(const struct gnli_member *member, int64_t deadline_ns)
{
    int pidfd = open_member(member);

    if (pidfd < 0)
        return pidfd == -ESRCH || pidfd == -EINVAL ? 0 : pidfd;
    int result = gnli_await_end(pidfd, deadline_ns);
    close(pidfd);
    return result;
}
