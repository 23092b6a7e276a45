/* SPDX-License-Identifier: Apache-2.0 */
#include "base/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

#define MACHINE_WIDE "/dev/shm/ginnel"
#define PATH_BYTES   4096

/* Writes the path of this user's directory. */
static int own_path(char *path, size_t size)
{
    const char *chosen = secure_getenv("GINNEL_DIR");
    int length;

    if (chosen && chosen[0] != '\0')
        length = snprintf(path, size, "%s", chosen);
    else
        length = snprintf(path, size, "/dev/shm/ginnel-%u", (unsigned)geteuid());
    if (length < 0 || (size_t)length >= size)
        return gnli_fail(-ENAMETOOLONG, "GINNEL_DIR is longer than a path may be");
    /* With a slash at the end the kernel follows a symbolic link, whatever O_NOFOLLOW says. */
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    return 0;
}

/* What can be done about it, after a sentence; about the machine-wide one only root can do anything. */
static const char *advice(bool machine_wide)
{
    return machine_wide ? "; root can mend that: ginnel doctor says how" : "; " GNLI_DIRECTORY_ELSEWHERE;
}

/* Gives what is complete its name, unless that exists. */
static int give_name(const char *made, const char *path)
{
    if (renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    /* Some file systems can't say "unless it exists": there it replaces nothing but an empty directory. */
    return errno == EINVAL ? rename(made, path) : -1;
}

/*
 * Makes the directory if nothing has its name: whole, beside it, and then renamed. mkdir applies the
 * umask, and who is killed between it and chmod would leave a directory that keeps its users out for ever.
 */
static int make(const char *path, bool machine_wide)
{
    char made[PATH_BYTES];
    struct stat status;
    const char *slash = strrchr(path, '/');
    int error = 0;

    if (lstat(path, &status) == 0 || errno != ENOENT)
        return 0; /* opening it tells */
    int length = snprintf(made, sizeof made, "%.*s.ginnel-XXXXXX", slash ? (int)(slash - path) + 1 : 0, path);
    if (length < 0 || (size_t)length >= sizeof made)
        error = ENAMETOOLONG;
    else if (!mkdtemp(made))
        error = errno;
    else if (chmod(made, machine_wide ? 01777 : 0700) != 0 || give_name(made, path) != 0) {
        error = errno;
        rmdir(made);
    }
    /* Others were quicker: then theirs is as good. */
    return error == 0 || error == EEXIST || error == ENOTEMPTY
               ? 0
               : gnli_fail(-error, "cannot make the directory %s (%s)%s", path, strerrordesc_np(error),
                           advice(machine_wide));
}

static int check(int directory, const char *path, bool machine_wide)
{
    struct stat status;
    uid_t owner = machine_wide ? 0 : geteuid();

    if (fstat(directory, &status) != 0)
        return gnli_fail_errno(errno, "%s", path);
    if (status.st_uid != owner)
        return gnli_fail(-EPERM, "%s belongs to uid %u, not to uid %u: not used%s", path,
                         (unsigned)status.st_uid, (unsigned)owner, advice(machine_wide));
    if (machine_wide && (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
        return gnli_fail(-EPERM, "%s is not sticky: anybody could replace what is in it; chmod 1777 it",
                         path);
    if (!machine_wide && (status.st_mode & (S_IWGRP | S_IWOTH)))
        return gnli_fail(-EPERM, "%s: others may write to it; chmod 0700 it", path);
    return 0;
}

/* On the way there may be links of root's or this user's: what others make leads where they like. */
static int check_way(const char *path)
{
    char part[PATH_BYTES];
    struct stat status;

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (lstat(part, &status) != 0)
            return 0; /* opening it tells */
        if (S_ISLNK(status.st_mode) && status.st_uid != 0 && status.st_uid != geteuid())
            return gnli_fail(-EPERM, "%s is a symbolic link of uid %u: not followed%s", part,
                             (unsigned)status.st_uid, advice(false));
    }
    return 0;
}

int gnli_directory_open(bool machine_wide, bool create)
{
    char path[PATH_BYTES] = MACHINE_WIDE;

    int result = machine_wide ? 0 : own_path(path, sizeof path);
    if (result == 0 && !machine_wide)
        result = check_way(path);
    if (result < 0)
        return result;
    if (create && (!machine_wide || geteuid() == 0)) {
        result = make(path, machine_wide);
        if (result < 0)
            return result;
    }
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) {
        if (errno == ENOENT && machine_wide)
            return gnli_fail(-ENOENT, "%s is absent: installing Ginnel makes it, or root's first use", path);
        if (errno == ENOENT)
            return gnli_fail(-ENOENT, "%s is not there: nothing has been made in it yet", path);
        if (errno == ELOOP || errno == ENOTDIR)
            return gnli_fail(-EPERM, "%s is not a directory, or a symbolic link: not used%s", path,
                             advice(machine_wide));
        return gnli_fail(-errno, "cannot open the directory %s (%s)%s", path, strerrordesc_np(errno),
                         advice(machine_wide));
    }
    result = check(directory, path, machine_wide);
    if (result < 0) {
        close(directory);
        return result;
    }
    return directory;
}
