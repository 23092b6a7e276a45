/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX FIFOs as ports in byte mode. A FIFO has one direction; each end is opened when it is first used, and
 * anew after those on the other side have gone: others may come.
 *
 *   A: relaxed: descriptors: `input` is written under `receiving`, `output` under `sending`.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"
#include "memory/file.h"
#include "pipe/pipe.h"
#include "port/kinds.h"
#include "wait/write.h"

/* Another descriptor of the FIFO, whatever has become of its name. */
static int open_end(struct gnli_wire *wire, int access)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", wire->file);
    int made = gnli_above_standard(open(path, access | O_NONBLOCK | O_CLOEXEC));
    if (made < 0)
        return -errno;
    int result = gnli_wire_own(made);
    if (result < 0)
        close(made);
    return result < 0 ? result : made;
}

/* ---- reading ---- */

static int reopen(struct gnli_wire *wire)
{
    int before = atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
    int set = atomic_load_explicit(&wire->set, memory_order_relaxed);      /* A */
    struct epoll_event event = { .events = EPOLLIN };

    int made = open_end(wire, O_RDONLY);
    if (made < 0)
        return made;
    wire->writers = false;
    atomic_store_explicit(&wire->input, made, memory_order_relaxed); /* A */
    if (set >= 0)
        epoll_ctl(set, EPOLL_CTL_ADD, made, &event);
    gnli_wire_disown(before); /* only now: what was written meanwhile stays */
    return 0;
}

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    ssize_t size;

    (void)sender;                                                       /* nobody says who it was */
    if (atomic_load_explicit(&wire->input, memory_order_relaxed) < 0) { /* A */
        int result = reopen(wire);
        if (result < 0)
            return result;
    }
    struct pollfd entry = { .fd = atomic_load_explicit(&wire->input, memory_order_relaxed) }; /* A */
    do
        size = readv(entry.fd, parts, count);
    while (size < 0 && errno == EINTR);
    if (size > 0 || (size < 0 && errno == EAGAIN))
        wire->writers = true;
    if (size != 0)
        return size < 0 ? -errno : size;
    /* Nobody has it open for writing: have they gone, or has nobody come yet? */
    bool gone = poll(&entry, 1, 0) == 1 && entry.revents & POLLHUP;
    if (!gone && !wire->writers)
        return -EAGAIN;
    int result = reopen(wire);
    return result < 0 ? result : 0;
}

/* ---- writing ---- */

static void close_output(struct gnli_wire *wire)
{
    gnli_wire_disown(atomic_exchange_explicit(&wire->output, -1, memory_order_relaxed)); /* A */
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */

    if (output < 0) {
        output = open_end(wire, O_WRONLY);
        if (output < 0)
            return output == -ENXIO ? -EAGAIN : output;                     /* nobody reads yet */
        atomic_store_explicit(&wire->output, output, memory_order_relaxed); /* A */
    }
    ssize_t size = gnli_write_quietly(output, parts, count);
    if (size == -EPIPE)
        close_output(wire);
    return size;
}

static const struct gnli_transport transport = {
    .put = put,
    .get = get,
    .finish = close_output,
    .reopen = reopen,
};

/* ---- opening ---- */

static mode_t mode_of(const struct gnl_options *options)
{
    return options->mode ? options->mode : 0600;
}

/* *made: it was not there before. */
static int make(const struct gnli_address *address, const struct gnl_options *options, bool *made)
{
    *made = options->create != GNL_OPEN_ONLY && mkfifo(address->path, mode_of(options)) == 0;
    if (*made || options->create == GNL_OPEN_ONLY || (errno == EEXIST && options->create != GNL_CREATE_ONLY))
        return 0;
    return gnli_fail_errno(errno, "fifo '%s': cannot make it", address->path);
}

/* Whatever the umask. Not by its name: another may have put a link to something else there since. */
static int set_mode(int file, const char *subject, mode_t mode, struct stat *status)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (status->st_uid != geteuid())
        return gnli_fail(-EPERM, "%s: somebody else's has just taken its place", subject);
    if (chmod(path, mode) != 0 || fstat(file, status) != 0)
        return gnli_fail_errno(errno, "%s: cannot set its mode", subject);
    return 0;
}

/* A descriptor by which it can be opened later; that it is a FIFO is known before anything is opened. */
static int find(const struct gnli_address *address, struct stat *status)
{
    int file = gnli_above_standard(open(address->path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (file < 0)
        return gnli_fail_errno(errno, "fifo '%s': cannot open it", address->path);
    int result = 0;
    if (fstat(file, status) != 0)
        result = gnli_fail_errno(errno, "fifo '%s': cannot look at it", address->path);
    else if (S_ISLNK(status->st_mode))
        result = gnli_fail(-EPERM, "fifo '%s': is a symbolic link: not followed; name what it leads to",
                           address->path);
    else if (!S_ISFIFO(status->st_mode))
        result = gnli_fail(-EBADMSG, "fifo '%s': is no FIFO: not used", address->path);
    if (result < 0)
        close(file);
    return result < 0 ? result : file;
}

static int check_options(const struct gnl_options *options, const char *subject)
{
    if (options->capacity || options->message_max)
        return gnli_fail(-EINVAL, "%s: bytes have no capacity or message_max", subject);
    return gnli_pipe_check(options, subject);
}

static int check_file(const struct stat *status, const struct gnl_options *options, const char *subject)
{
    uid_t wanted = options->owner_uid == GNL_OWNER_ROOT ? 0 : options->owner_uid;
    mode_t mode = status->st_mode & 07777;

    if (options->owner_uid && status->st_uid != wanted)
        return gnli_fail(-EPERM, "%s: belongs to uid %u, not to uid %u", subject, (unsigned)status->st_uid,
                         (unsigned)wanted);
    if (options->mode && options->mode != mode)
        return gnli_fail(-EINVAL, "%s: has mode %04o, not %04o", subject, (unsigned)mode,
                         (unsigned)options->mode);
    return 0;
}

/* The port has the file from now on; what this user may not do with it shows now. */
static int attach(struct gnli_wire *wire, int file, const struct stat *status)
{
    int result = gnli_wire_own(file);
    if (result < 0) {
        close(file);
        return result;
    }
    wire->file = file;
    wire->kind = GNL_FIFO;
    wire->owner = status->st_uid;
    wire->mode = status->st_mode & 07777;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    enum gnl_direction direction = wire->port.direction;
    int rights = direction == GNL_SEND_ONLY ? W_OK : direction == GNL_RECV_ONLY ? R_OK : R_OK | W_OK;
    if (faccessat(AT_FDCWD, path, rights, AT_EACCESS) != 0)
        return gnli_fail_errno(errno, "%s: owned by uid %u, mode %04o", wire->port.subject,
                               (unsigned)wire->owner, (unsigned)wire->mode);
    return direction == GNL_RECV_ONLY ? reopen(wire) : 0;
}

static int open_fifo(gnl_port **port, const struct gnli_address *address, const struct gnl_options *options)
{
    char subject[GNL_ADDRESS_MAX + 1];
    struct gnl_options bytes = *options;
    struct gnli_wire *wire = NULL;
    struct stat status = { 0 };
    bool made = false;

    snprintf(subject, sizeof subject, "fifo '%.110s'", address->path);
    bytes.stream = 1;
    int result = check_options(options, subject);
    if (result == 0)
        result = make(address, options, &made);
    if (result < 0)
        return result;
    int file = find(address, &status);
    if (file < 0)
        return file;
    if (made)
        result = set_mode(file, subject, mode_of(options), &status);
    if (result == 0)
        result = check_file(&status, options, subject);
    if (result == 0)
        result = gnli_wire_new(&wire, &transport, address, &bytes, subject);
    if (result < 0) {
        close(file);
        return result;
    }
    assert(wire);
    result = attach(wire, file, &status);
    if (result < 0) {
        gnli_fail_plain(result, subject);
        gnli_wire_free(wire);
        return result;
    }
    *port = &wire->port;
    return 0;
}

/* ---- from outside ---- */

static int remove_fifo(const struct gnli_address *address)
{
    struct stat status;

    int file = find(address, &status);
    if (file < 0)
        return file;
    close(file);
    return unlink(address->path) == 0 ? 0
                                      : gnli_fail_errno(errno, "fifo '%s': cannot remove it", address->path);
}

static ssize_t inspect_fifo(const struct gnli_address *address, struct gnl_port_info *info,
                            struct gnl_participant *participants, size_t count)
{
    struct stat status = { 0 };

    (void)participants, (void)count; /* who has it open the kernel does not tell */
    int file = find(address, &status);
    if (file < 0)
        return file;
    close(file);
    *info = (struct gnl_port_info){ .kind = GNL_FIFO,
                                    .owner_uid = status.st_uid,
                                    .mode = status.st_mode & 07777 };
    gnli_address_format(address, info->address);
    return 0;
}

const struct gnli_kind gnli_fifo_kind = {
    .name = "fifo",
    .kind = GNL_FIFO,
    .open = open_fifo,
    .remove = remove_fifo,
    .inspect = inspect_fifo,
};
