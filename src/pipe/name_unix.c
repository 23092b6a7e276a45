/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of pipes: is there somebody who listens? The kernel tells without connecting: a datagram socket that
 * is to be connected to a living socket of another type is told so, and to a dead one's file is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/directory.h"
#include "base/errors.h"
#include "base/socket_file.h"
#include "memory/file.h"
#include "pipe/pipe.h"

#define LOCK_PATIENCE_NS INT64_C(2000000000)

int gnli_pipe_lock(int directory, const char *subject)
{
    int64_t deadline = gnli_now_ns() + LOCK_PATIENCE_NS;

    while (flock(directory, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return gnli_fail_errno(errno, "%s: cannot lock the runtime directory", subject);
        if (gnli_now_ns() > deadline)
            return gnli_fail(-EBUSY, "%s: somebody has the runtime directory locked: try again", subject);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return 0;
}

void gnli_pipe_unlock(int directory)
{
    flock(directory, LOCK_UN);
}

/* 0 it was connected, or why not. */
static int try(int file, int type, pid_t *listener)
{
    struct sockaddr_un path;
    struct ucred peer = { 0 };
    socklen_t size = sizeof peer;

    int probe = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return -errno;
    gnli_socket_path_of(&path, file);
    int result;
    do
        result = connect(probe, (struct sockaddr *)&path, sizeof path) == 0 ? 0 : -errno;
    while (result == -EINTR);
    if (listener)
        *listener = result == 0 && getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid
                        ? peer.pid
                        : -1;
    close(probe);
    return result;
}

static int look_at_socket(struct gnli_pipe_name *name, const char *subject)
{
    int result = try(name->file, SOCK_DGRAM, NULL);

    if (result == -EACCES || result == -EPERM)
        return gnli_fail(-EACCES, "%s: owned by uid %u, mode %04o: you may not connect to it", subject,
                         (unsigned)name->owner, (unsigned)name->mode);
    if (result == 0) /* a datagram socket of somebody else's */
        name->life = GNLI_PIPE_FOREIGN;
    else if (result == -EPROTOTYPE)
        name->life = GNLI_PIPE_LIVES;
    else if (result == -ECONNREFUSED)
        name->life = GNLI_PIPE_DEAD;
    else
        return gnli_fail_errno(-result, "%s: cannot see who has the name", subject);
    return 0;
}

int gnli_pipe_look(struct gnli_pipe_name *name, int directory, const char *file, const char *subject)
{
    struct stat status;

    *name = (struct gnli_pipe_name){ .life = GNLI_PIPE_ABSENT };
    name->file = gnli_above_standard(openat(directory, file, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (name->file < 0 && errno == ENOENT)
        return 0;
    if (name->file < 0)
        return gnli_fail_errno(errno, "%s: cannot look at the name", subject);
    int result = 0;
    if (fstat(name->file, &status) != 0)
        result = gnli_fail_errno(errno, "%s: cannot look at the name", subject);
    name->owner = status.st_uid;
    name->mode = status.st_mode & 0777;
    name->inode = status.st_ino;
    if (result == 0 && !S_ISSOCK(status.st_mode))
        name->life = GNLI_PIPE_FOREIGN;
    else if (result == 0)
        result = look_at_socket(name, subject);
    if (result < 0) {
        close(name->file);
        name->file = -1;
    }
    return result;
}

pid_t gnli_pipe_listener(const struct gnli_pipe_name *name)
{
    pid_t listener = -1;

    /* In byte mode every connection is somebody's: so the listener is not asked. */
    try(name->file, SOCK_SEQPACKET, &listener);
    return listener;
}

/* The directory and what it has under the name. */
static int find(const struct gnli_address *address, struct gnli_pipe_name *name, int *directory,
                char *subject)
{
    char file[GNLI_PIPE_FILE];

    gnli_pipe_subject(subject, address);
    *directory = gnli_above_standard(gnli_directory_open(address->machine_wide, false));
    if (*directory < 0)
        return *directory;
    gnli_pipe_file(file, address);
    int result = gnli_pipe_look(name, *directory, file, subject);
    if (result == 0 && name->life == GNLI_PIPE_ABSENT)
        result = gnli_fail(-ENOENT, "%s: nothing has that name", subject);
    if (result < 0)
        close(*directory);
    return result;
}

int gnli_pipe_remove(const struct gnli_address *address)
{
    char subject[GNL_ADDRESS_MAX + 1], file[GNLI_PIPE_FILE];
    struct gnli_pipe_name name;
    int directory;

    int result = find(address, &name, &directory, subject);
    if (result < 0)
        return result;
    close(name.file);
    gnli_pipe_file(file, address);
    result = gnli_pipe_lock(directory, subject);
    if (result == 0) {
        result = gnli_pipe_look(&name, directory, file, subject);
        if (result == 0 && name.life == GNLI_PIPE_LIVES)
            result = gnli_fail(-EBUSY, "%s: a process listens there, until it ends", subject);
        else if (result == 0 && unlinkat(directory, file, 0) != 0)
            result = gnli_fail_errno(errno, "%s: cannot remove it", subject);
        if (name.file >= 0)
            close(name.file);
        gnli_pipe_unlock(directory);
    }
    close(directory);
    return result;
}

ssize_t gnli_pipe_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                          struct gnl_participant *participants, size_t count)
{
    char subject[GNL_ADDRESS_MAX + 1];
    struct gnli_pipe_name name;
    int directory;

    int result = find(address, &name, &directory, subject);
    if (result < 0)
        return result;
    close(directory);
    bool lives = name.life == GNLI_PIPE_LIVES;
    pid_t pid = lives ? gnli_pipe_listener(&name) : 0;
    close(name.file);
    if (name.life == GNLI_PIPE_FOREIGN)
        return gnli_fail(-EBADMSG, "%s: what has that name is no pipe", subject);
    *info =
        (struct gnl_port_info){ .kind = GNL_PIPE, .two_way = 1, .owner_uid = name.owner, .mode = name.mode };
    gnli_address_format(address, info->address);
    if (count > 0)
        participants[0] = (struct gnl_participant){
            .pid = pid, .uid = name.owner, .alive = lives, .same_pid_namespace = pid > 0
        };
    return 1;
}
