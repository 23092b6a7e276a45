/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A keeper has its tree's cgroup locked (flock) for as long as it lives. The kernel removes none in which a
 * process is.
 */
#include "cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "ginnel-"

static bool is_populated(int directory)
{
    char text[256] = "";
    int events = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC);

    if (events < 0)
        return true;
    ssize_t length = read(events, text, sizeof text - 1);
    close(events);
    return length <= 0 || !strstr(text, "populated 0");
}

static void check(struct report *report, bool clean, const char *path)
{
    struct stat status;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (directory < 0)
        return;
    if (fstat(directory, &status) == 0 && status.st_uid == geteuid() &&
        flock(directory, LOCK_EX | LOCK_NB) == 0) {
        if (is_populated(directory))
            report_add(report, NOTE, path, "to end them: echo 1 > cgroup.kill, in that directory",
                       "the keeper of this tree of processes was killed, and they go on");
        else if (!clean)
            report_add(report, PROBLEM, path, "ginnel doctor --clean",
                       "the cgroup of a tree of processes that has ended, and whose keeper was killed");
        else if (rmdir(path) == 0)
            report_add(report, CLEANED, path, NULL,
                       "no process was in it, and its keeper had been killed: removed");
        else if (errno != ENOENT)
            report_add(report, PROBLEM, path, NULL, "cannot be removed: %s", strerror(errno));
    }
    close(directory);
}

/* Where cgroups of version 2 are mounted first; false: nowhere. */
static bool find_top(char *top, size_t size)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *mount;
    bool found = false;

    while (mounts && !found && (mount = getmntent(mounts))) {
        found = strcmp(mount->mnt_type, "cgroup2") == 0;
        if (found)
            snprintf(top, size, "%s", mount->mnt_dir);
    }
    if (mounts)
        endmntent(mounts);
    return found;
}

void cgroups_report(struct report *report, bool clean)
{
    char top[4096];
    FTSENT *entry;

    if (!find_top(top, sizeof top))
        return;
    FTS *walk = fts_open((char *[]){ top, NULL }, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    while (walk && (entry = fts_read(walk))) /* those inside first */
        if (entry->fts_info == FTS_DP && strncmp(entry->fts_name, PREFIX, strlen(PREFIX)) == 0)
            check(report, clean, entry->fts_path);
    if (walk)
        fts_close(walk);
}
