/* SPDX-License-Identifier: Apache-2.0 */
#include "base/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

#define MACHINE_WIDE "/dev/shm/ginnel"

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

/* Makes the directory; mkdir alone would apply the umask. */
static int make(const char *path, mode_t mode)
{
    if (mkdir(path, mode & 0777) != 0)
        return errno == EEXIST ? 0 : gnli_fail_errno(errno, "cannot make the directory %s", path);
    if (chmod(path, mode) != 0)
        return gnli_fail_errno(errno, "cannot set the mode of %s", path);
    return 0;
}

static int check(int directory, const char *path, bool machine_wide)
{
    struct stat status;
    uid_t owner = machine_wide ? 0 : geteuid();

    if (fstat(directory, &status) != 0)
        return gnli_fail_errno(errno, "%s", path);
    if (status.st_uid != owner)
        return gnli_fail(-EPERM, "%s belongs to uid %u, not to uid %u: not used", path,
                         (unsigned)status.st_uid, (unsigned)owner);
    if (machine_wide && (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
        return gnli_fail(-EPERM, "%s is not sticky: anybody could replace what is in it; chmod 1777 it",
                         path);
    if (!machine_wide && (status.st_mode & (S_IWGRP | S_IWOTH)))
        return gnli_fail(-EPERM, "%s: others may write to it; chmod 0700 it", path);
    return 0;
}

int gnli_directory_open(bool machine_wide, bool create)
{
    char path[4096] = MACHINE_WIDE;

    int result = machine_wide ? 0 : own_path(path, sizeof path);
    if (result < 0)
        return result;
    if (create && (!machine_wide || geteuid() == 0)) {
        result = make(path, machine_wide ? 01777 : 0700);
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
            return gnli_fail(-EPERM, "%s is not a directory, or a symbolic link: not used", path);
        return gnli_fail_errno(errno, "%s", path);
    }
    result = check(directory, path, machine_wide);
    if (result < 0) {
        close(directory);
        return result;
    }
    return directory;
}
