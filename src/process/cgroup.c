/* SPDX-License-Identifier: Apache-2.0 */
#include "process/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "process/raw.h"

#define NAMES        100      /* to try, where killed keepers of the same number left theirs */
#define REMOVE_LOOKS 1000     /* at who is still in it */
#define LOOK_NS      10000000 /* between two */
#define DEPTH_MAX    6        /* of cgroups in it */

/* ---- where the program's own is ---- */

/* The path of "0::PATH", which the caller frees; NULL: there is none. */
static char *read_own_path(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char *line = NULL, *path = NULL;
    size_t size = 0;

    while (file && !path && getline(&line, &size, file) > 0)
        if (strncmp(line, "0::/", 4) == 0)
            path = strndup(line + 3, strcspn(line + 3, "\n"));
    free(line);
    if (file)
        fclose(file);
    return path;
}

/* `mount` is a line of mountinfo: number, parent, device, what of the file system is mounted, where, … */
static int open_below(char *mount, const char *own)
{
    char path[PATH_MAX], *rest = NULL, *fields[5];
    struct statfs system;

    if (!strstr(mount, " - cgroup2 "))
        return -1;
    for (int i = 0; i < 5; i++)
        if (!(fields[i] = strtok_r(i == 0 ? mount : NULL, " ", &rest)))
            return -1;
    size_t above = strcmp(fields[3], "/") == 0 ? 0 : strlen(fields[3]);
    if (strncmp(own, fields[3], above) != 0 || (own[above] != '/' && own[above] != '\0'))
        return -1;
    if (snprintf(path, sizeof path, "%s%s", fields[4], own + above) >= (int)sizeof path)
        return -1;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0 && (fstatfs(directory, &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC)) {
        close(directory); /* something else is mounted over it */
        return -1;
    }
    return directory;
}

int gnli_cgroup_own(void)
{
    char *own = read_own_path(), *line = NULL;
    FILE *mounts = own ? fopen("/proc/self/mountinfo", "re") : NULL;
    int directory = -1;
    size_t size = 0;

    while (mounts && directory < 0 && getline(&line, &size, mounts) > 0)
        directory = open_below(line, own);
    if (mounts)
        fclose(mounts);
    free(line);
    free(own);
    return directory;
}

/* ---- one of a tree's own: bare code ---- */

GNLI_BARE int gnli_cgroup_make(int own, char name[GNLI_CGROUP_NAME])
{
    char *end = gnli_put_number(gnli_put_text(name, GNLI_CGROUP_PREFIX), (int)GNLI_RAW(SYS_getpid, 0));
    long result = GNLI_RAW(SYS_mkdirat, own, name, 0755);

    for (int i = 1; i < NAMES && result == -EEXIST; i++) {
        gnli_put_number(gnli_put_text(end, "-"), i);
        result = GNLI_RAW(SYS_mkdirat, own, name, 0755);
    }
    int directory =
        result == 0 ? (int)GNLI_RAW(SYS_openat, own, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (directory >= 0) {
        /* Not waited for: whoever has it locked instead is somebody who keeps it from being cleaned away. */
        GNLI_RAW(SYS_flock, directory, LOCK_SH | LOCK_NB);
        return directory;
    }
    if (result == 0)
        GNLI_RAW(SYS_unlinkat, own, name, AT_REMOVEDIR);
    name[0] = '\0';
    return -1;
}

/* Writes a word into one of its files. */
GNLI_BARE static bool tell(int directory, const char *file, const char *word, long length)
{
    long descriptor = GNLI_RAW(SYS_openat, directory, file, O_WRONLY | O_CLOEXEC);

    if (descriptor < 0)
        return false;
    long written = GNLI_RAW(SYS_write, descriptor, word, length);
    GNLI_RAW(SYS_close, descriptor);
    return written == length;
}

GNLI_BARE bool gnli_cgroup_kill(int directory)
{
    return tell(directory, "cgroup.kill", "1", 1);
}

/* "populated 0": among the lines of cgroup.events. */
GNLI_BARE static bool says_empty(long events)
{
    static const char wanted[] = "populated 0";
    char text[128];
    unsigned matched = 0;

    long length = GNLI_RAW(SYS_pread64, events, text, sizeof text, 0);
    GNLI_WRITTEN(text);
    for (long i = 0; i < length && wanted[matched] != '\0'; i++)
        matched = text[i] == wanted[matched] ? matched + 1 : 0;
    /* One that is not there any more can't be read. */
    return wanted[matched] == '\0' || length == -ENODEV;
}

GNLI_BARE bool gnli_cgroup_is_empty(int directory, int64_t wait_ns)
{
    long file = GNLI_RAW(SYS_openat, directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
    struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
    struct pollfd change = { (int)file, POLLPRI, 0 };

    if (file < 0)
        return file == -ENOENT || file == -ENODEV;
    bool empty = says_empty(file);
    if (!empty && wait_ns > 0) {
        GNLI_RAW(SYS_ppoll, &change, 1, &wait, NULL, GNLI_SIGNALS_BYTES);
        empty = says_empty(file);
    }
    GNLI_RAW(SYS_close, file);
    return empty;
}

/* Who is in it goes into the one above: the first few. Returns how many went. */
GNLI_BARE static int move_out(int directory)
{
    char text[512];
    int moved = 0;
    long length, start = 0;

    long file = GNLI_RAW(SYS_openat, directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    length = GNLI_RAW(SYS_read, file, text, sizeof text);
    GNLI_WRITTEN(text);
    GNLI_RAW(SYS_close, file);
    for (long i = 0; i < length; i++)
        if (text[i] == '\n') { /* a number that was cut off is for the next time */
            moved += tell(directory, "../cgroup.procs", text + start, i - start);
            start = i + 1;
        }
    return moved;
}

/* The cgroups in it, whose makers are dead or gone to the one above: those that are empty. */
GNLI_BARE static void remove_below(int directory, int depth)
{
    char entries[512] __attribute__((aligned(8)));
    long length;

    GNLI_RAW(SYS_lseek, directory, 0, SEEK_SET);
    while (depth > 0 && (length = GNLI_RAW(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
        GNLI_WRITTEN(entries);
        for (long at = 0; at < length;) {
            const struct gnli_entry *entry = (const struct gnli_entry *)(const void *)(entries + at);
            at += entry->length;
            if (entry->type != GNLI_ENTRY_DIRECTORY || entry->name[0] == '.')
                continue;
            long below =
                GNLI_RAW(SYS_openat, directory, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below < 0)
                continue;
            remove_below((int)below, depth - 1);
            GNLI_RAW(SYS_close, below);
            GNLI_RAW(SYS_unlinkat, directory, entry->name, AT_REMOVEDIR);
        }
    }
}

GNLI_BARE void gnli_cgroup_remove(int directory, const char *name)
{
    char path[GNLI_CGROUP_NAME + 4];

    gnli_put_text(gnli_put_text(path, "../"), name);
    for (int i = 0; i < REMOVE_LOOKS; i++) {
        if (GNLI_RAW(SYS_unlinkat, directory, path, AT_REMOVEDIR) != -EBUSY)
            return;
        remove_below(directory, DEPTH_MAX);
        if (move_out(directory) == 0)
            gnli_cgroup_is_empty(directory, LOOK_NS);
    }
}
