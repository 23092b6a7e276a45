/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary pipes, and one end of one as a port in byte mode.
 *
 *   A: relaxed: the descriptors of a wire, as in fifo_unix.c
 */
#include <ginnel/pipe.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/process.h"
#include "wait/write.h"
#include "wire/wire.h"

int gnl_pipe(int *read_end, int *write_end)
{
    int ends[2];

    if (!read_end || !write_end)
        return gnli_fail(-EINVAL, "a pipe has two ends: NULL was given for one");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return gnli_fail_errno(errno, "cannot make a pipe");
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

/* ---- a port ---- */

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
    ssize_t size;

    (void)sender; /* nobody says who it was */
    do
        size = readv(input, parts, count);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */

    return gnli_write_quietly(output, parts, count);
}

static void finish(struct gnli_wire *wire)
{
    gnli_wire_disown(atomic_exchange_explicit(&wire->output, -1, memory_order_relaxed)); /* A */
}

static const struct gnli_transport transport = { .put = put, .get = get, .finish = finish };

/* Which end it is, or why it is none. */
static int direction_of(int end, struct stat *status)
{
    int flags = fcntl(end, F_GETFL);

    if (flags < 0 || fstat(end, status) != 0)
        return gnli_fail_errno(errno, "the end of a pipe, %d", end);
    if (!S_ISFIFO(status->st_mode) || (flags & O_ACCMODE) == O_RDWR || flags & O_PATH)
        return gnli_fail(-EINVAL, "descriptor %d is no end of a pipe", end);
    /* A call on the port never waits in read or write. */
    if (fcntl(end, F_SETFL, flags | O_NONBLOCK) != 0)
        return gnli_fail_errno(errno, "the end of a pipe, %d", end);
    return (flags & O_ACCMODE) == O_RDONLY ? GNL_RECV_ONLY : GNL_SEND_ONLY;
}

int gnl_pipe_port(gnl_port **port, int end)
{
    char subject[32];
    struct gnl_options options = { .stream = 1 };
    struct stat status = { 0 };
    struct gnli_wire *wire;

    gnli_failure_begin();
    if (!port)
        return gnli_fail(-EINVAL, "no place given for the port");
    int result = gnli_process_prepare();
    if (result < 0)
        return result;
    int direction = direction_of(end, &status);
    if (direction < 0)
        return direction;
    options.direction = direction;
    snprintf(subject, sizeof subject, "pipe %d", end);
    result = gnli_wire_new(&wire, &transport, NULL, &options, subject);
    if (result < 0)
        return result;
    result = gnli_wire_own(end);
    if (result < 0) {
        gnli_wire_free(wire);
        return gnli_fail_plain(result, subject);
    }
    wire->kind = GNL_PIPE_END;
    wire->owner = status.st_uid;
    wire->mode = status.st_mode & 07777;
    atomic_store_explicit(direction == GNL_RECV_ONLY ? &wire->input : &wire->output, end,
                          memory_order_relaxed); /* A */
    *port = &wire->port;
    return 0;
}
