/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes over UNIX sockets: connecting, and what goes through.
 *
 *   A: relaxed: descriptors, set before the port is anybody's.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "base/socket_file.h"
#include "memory/file.h"
#include "pipe/pipe.h"

#define SEND_BUFFER (1 << 20) /* as far as the system allows */

/* ---- the transport ---- */

static int gone(int error)
{
    return error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED ? -EPIPE
           : error == ENOBUFS || error == ENOMEM                             ? -ENOSPC
                                                                             : -error;
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    struct msghdr header = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count };
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    ssize_t sent;

    do
        sent = sendmsg(output, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? gone(errno) : sent;
}

/* Descriptors that nobody asked for are closed. */
static void read_control(struct msghdr *header, struct gnl_sender *sender, int *descriptor)
{
    for (struct cmsghdr *each = CMSG_FIRSTHDR(header); each; each = CMSG_NXTHDR(header, each)) {
        if (each->cmsg_level != SOL_SOCKET)
            continue;
        if (each->cmsg_type == SCM_CREDENTIALS && each->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
            struct ucred from;
            memcpy(&from, CMSG_DATA(each), sizeof from);
            if (from.pid != 0)
                *sender = (struct gnl_sender){ .pid = from.pid, .uid = from.uid, .gid = from.gid };
        } else if (each->cmsg_type == SCM_RIGHTS) {
            size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int received;
                memcpy(&received, CMSG_DATA(each) + i * sizeof received, sizeof received);
                if (descriptor && *descriptor < 0)
                    *descriptor = received;
                else
                    close(received);
            }
        }
    }
}

ssize_t gnli_pipe_receive(int from, const struct iovec *parts, int count, int flags,
                          struct gnl_sender *sender, int *descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr header = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count };
    ssize_t size;

    if (descriptor)
        *descriptor = -1;
    do {
        header.msg_control = control.bytes;
        header.msg_controllen = descriptor ? sizeof control.bytes : CMSG_SPACE(sizeof(struct ucred));
        size = recvmsg(from, &header, flags | MSG_CMSG_CLOEXEC);
        /* It went while there was something unread of ours: told once, before what it had sent. */
    } while (size < 0 && ((errno == EINTR && flags) || errno == ECONNRESET));
    if (size < 0)
        return errno == ENOTCONN ? 0 : errno == EINTR ? -EAGAIN : -errno;
    read_control(&header, sender, descriptor);
    return size;
}

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */

    return gnli_pipe_receive(input, parts, count, gnli_wire_flags(wire), sender, NULL);
}

static void finish(struct gnli_wire *wire)
{
    shutdown(atomic_load_explicit(&wire->output, memory_order_relaxed), SHUT_WR); /* A */
}

const struct gnli_transport gnli_pipe_transport = {
    .sleeps = true, .put = put, .get = get, .finish = finish
};

/* ---- connecting ---- */

int gnli_pipe_attach(struct gnli_wire *wire, int made)
{
    struct ucred peer = { 0 };
    socklen_t size = sizeof peer;
    const int yes = 1, bytes = SEND_BUFFER;

    int result = gnli_wire_own(made);
    if (result < 0) {
        close(made);
        return result;
    }
    atomic_store_explicit(&wire->input, made, memory_order_relaxed);  /* A */
    atomic_store_explicit(&wire->output, made, memory_order_relaxed); /* A */
    if (getsockopt(made, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        setsockopt(made, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
        return -errno;
    setsockopt(made, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    wire->peer = (struct gnl_sender){ .pid = peer.pid, .uid = peer.uid, .gid = peer.gid };
    return 0;
}

/* Sends the hello and, with it, the other end of the credit. */
static int introduce(struct gnli_wire *wire)
{
    struct gnli_pipe_hello hello = { .terms = gnli_wire_terms(wire) };
    struct iovec part = { &hello, sizeof hello };
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes };
    int ends[2];

    memcpy(hello.magic, GNLI_PIPE_MAGIC, sizeof hello.magic);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return -errno;
    int mine = gnli_above_standard(ends[0]);
    int result = mine < 0 ? -errno : gnli_wire_own(mine);
    if (result == 0) {
        wire->credit = mine;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        *rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                    .cmsg_type = SCM_RIGHTS,
                                    .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(rights), &ends[1], sizeof(int));
        int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
        if (sendmsg(output, &header, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof hello)
            result = errno == EPIPE || errno == ECONNRESET ? -ENOENT : -errno;
    } else if (mine >= 0) {
        close(mine);
    }
    close(ends[1]);
    return result;
}

static int connect_to(struct gnli_wire *wire, const struct gnli_pipe_name *name)
{
    struct sockaddr_un path;

    int made = gnli_above_standard(
        socket(AF_UNIX, (wire->bytes ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (made < 0)
        return -errno;
    gnli_socket_path_of(&path, name->file);
    int result;
    do
        result = connect(made, (struct sockaddr *)&path, sizeof path) == 0 ? 0 : -errno;
    while (result == -EINTR);
    if (result < 0) {
        close(made);
        return result;
    }
    result = gnli_pipe_attach(wire, made);
    return result == 0 && !wire->bytes ? introduce(wire) : result;
}

static int nobody(const char *subject, enum gnli_pipe_life life)
{
    return gnli_fail(
        -ENOENT, life == GNLI_PIPE_DEAD ? "%s: nobody listens there any more" : "%s: nobody listens there",
        subject);
}

static int cannot_connect(struct gnli_wire *wire, int code)
{
    const char *subject = wire->port.subject;

    switch (code) {
    case -EPROTOTYPE:
        return gnli_fail(-EINVAL, "%s: is in %s mode: options.stream has to be %d", subject,
                         wire->bytes ? "message" : "byte", !wire->bytes);
    case -ECONNREFUSED:
    case -ENOENT:
        return nobody(subject, GNLI_PIPE_DEAD);
    case -EAGAIN:
        return gnli_fail(-EAGAIN, "%s: %d are waiting to be accepted already: try again", subject,
                         GNLI_BACKLOG);
    default:
        return gnli_fail_errno(-code, "%s: cannot connect", subject);
    }
}

static int check_name(const struct gnli_pipe_name *name, const struct gnl_options *options,
                      const char *subject)
{
    uid_t wanted = options->owner_uid == GNL_OWNER_ROOT ? 0 : options->owner_uid;

    if (name->life == GNLI_PIPE_FOREIGN)
        return gnli_fail(-EBADMSG, "%s: what has that name is no pipe: not used", subject);
    if (name->life != GNLI_PIPE_LIVES)
        return nobody(subject, name->life);
    if (options->owner_uid && name->owner != wanted)
        return gnli_fail(-EPERM, "%s: belongs to uid %u, not to uid %u", subject, (unsigned)name->owner,
                         (unsigned)wanted);
    if (options->mode && options->mode != name->mode)
        return gnli_fail(-EINVAL, "%s: has mode %04o, not %04o", subject, (unsigned)name->mode,
                         (unsigned)options->mode);
    return 0;
}

int gnli_pipe_connect(struct gnli_wire *wire, const struct gnli_address *address,
                      const struct gnl_options *options)
{
    const char *subject = wire->port.subject;
    struct gnli_pipe_name name;
    char file[GNLI_PIPE_FILE];

    int directory = gnli_above_standard(gnli_directory_open(address->machine_wide, false));
    if (directory < 0)
        return directory;
    gnli_pipe_file(file, address);
    int result = gnli_pipe_look(&name, directory, file, subject);
    close(directory);
    if (result < 0)
        return result;
    result = check_name(&name, options, subject);
    if (result == 0) {
        wire->owner = name.owner;
        wire->mode = name.mode;
        result = connect_to(wire, &name);
        if (result < 0)
            result = cannot_connect(wire, result);
        else if (options->owner_uid && wire->peer.uid != name.owner)
            result = gnli_fail(-EPERM, "%s: uid %u listens there, not uid %u", subject,
                               (unsigned)wire->peer.uid, (unsigned)name.owner);
    }
    if (name.file >= 0)
        close(name.file);
    return result;
}
