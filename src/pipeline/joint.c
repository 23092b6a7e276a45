/* SPDX-License-Identifier: Apache-2.0 */
/* A pipe between two stages, looked at without being one of its ends for longer than an instant (watch.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pipeline/proc.h"
#include "pipeline/watch.h"

static int open_end(int path, int flags)
{
    char name[48];

    snprintf(name, sizeof name, "/proc/self/fd/%d", path);
    return open(name, flags | O_NONBLOCK | O_CLOEXEC);
}

static int events_of(int descriptor, short events)
{
    struct pollfd entry = { .fd = descriptor, .events = events };

    return poll(&entry, 1, 0) > 0 ? entry.revents : 0;
}

static void read_fill(struct gnli_watched_joint *pipe, int descriptor)
{
    int queued;
    int capacity = fcntl(descriptor, F_GETPIPE_SZ);

    if (capacity > 0 && ioctl(descriptor, FIONREAD, &queued) == 0) {
        pipe->queued = queued;
        pipe->capacity = capacity;
    }
}

/* Nobody reads any more. */
static void leave(struct gnli_watched_joint *pipe, int descriptor)
{
    read_fill(pipe, descriptor);
    pipe->final = true;
}

/*
 * Its writing end, for the instant of the look: who reads is seen by it. False: nobody does. Then what is in
 * it stays there, if it is still the old pipe: who writes shows that. Of one without ends the kernel has
 * just made a new one.
 */
static bool look_by_writing_end(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer)
{
    int end = open_end(pipe->path, O_WRONLY);

    if (end < 0) {
        pipe->queued = pipe->capacity = -1;
        return true;
    }
    bool read = !(events_of(end, POLLOUT) & POLLERR);
    if (read)
        read_fill(pipe, end);
    else if (gnli_proc_pipe(writer->pid, STDOUT_FILENO) == writer->out)
        leave(pipe, end);
    close(end);
    return read;
}

/*
 * A reading end, if there is somebody who reads and nobody who writes: it is in nobody's way then. Or -1.
 * The writing end comes first: that there is a reader shows that it is still the old pipe, and keeps it so.
 * Of one without ends the kernel would make a new one.
 */
static int open_quiet_end(int path)
{
    int writing = open_end(path, O_WRONLY);

    if (writing < 0)
        return -1;
    bool read = !(events_of(writing, POLLOUT) & POLLERR);
    int reading = read ? open_end(path, O_RDONLY) : -1;
    close(writing);
    if (reading >= 0 && !(events_of(reading, POLLIN) & POLLHUP)) {
        close(reading);
        reading = -1;
    }
    return reading;
}

void gnli_joint_hold(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer)
{
    struct gnli_proc_stat stat;

    if (pipe->path < 0 || pipe->held >= 0 || pipe->closed || pipe->final)
        return;
    if (!gnli_proc_stat(&stat, writer->pid, 0) || stat.start != writer->start || stat.state == 'Z')
        pipe->held = open_quiet_end(pipe->path);
}

static void close_both(struct gnli_watched_joint *pipe)
{
    if (pipe->held >= 0) {
        leave(pipe, pipe->held);
        close(pipe->held);
        pipe->held = -1;
    }
    if (!pipe->final)
        pipe->queued = -1;
    pipe->capacity = 0;
    pipe->closed = true;
}

void gnli_joint_look(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                     const struct gnli_watched_stage *reader)
{
    bool writer_ended = writer->sample.state == GNL_STAGE_ENDED;
    bool reader_ended = reader->sample.state == GNL_STAGE_ENDED;

    if (pipe->closed)
        return;
    if (pipe->path < 0) {
        pipe->queued = pipe->capacity = -1;
        pipe->closed = writer_ended && reader_ended;
    } else if (pipe->held >= 0) {
        read_fill(pipe, pipe->held);
    } else if (!pipe->final) {
        bool read = look_by_writing_end(pipe, writer);
        /* There is a reader, and who wrote has ended: somebody else has its end, who is not known. */
        if (read && writer->ended)
            pipe->strangers = (pipe->held = open_quiet_end(pipe->path)) < 0;
    }
    if (writer_ended && reader_ended && pipe->path >= 0)
        close_both(pipe);
}

/* ---- what has passed ---- */

static int64_t smaller(int64_t one, int64_t other)
{
    if (one < 0 || other < 0)
        return one < 0 ? other : one;
    return one < other ? one : other;
}

/* No more than this was written, or read, by its account; -1: that may have gaps. */
static int64_t bound(const struct gnli_watched_stage *stage, int64_t account)
{
    return stage->lost || stage->several || stage->splices ? -1 : account;
}

void gnli_joint_count(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                      const struct gnli_watched_stage *reader)
{
    int64_t written = pipe->strangers ? -1 : bound(writer, writer->written);
    int64_t read = bound(reader, reader->read);
    int64_t passed = -1;

    if (written >= 0 && pipe->queued >= 0)
        passed = written > pipe->queued ? written - pipe->queued : 0;
    /* It wrote what it does not account for. */
    bool gap = writer->ended && written >= 0 && written < pipe->queued;
    pipe->passed = gap || writer->writes_elsewhere || !writer->files_seen ? -1 : passed;
    pipe->passed_most = smaller(gap ? -1 : passed >= 0 ? passed : written, read);
}

int gnli_joint_waits(const struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                     const struct gnli_watched_stage *reader)
{
    bool reads = reader->awaits_in, writes = writer->awaits_out;

    if (pipe->closed || (!reads && !writes))
        return GNL_PIPE_NOBODY;
    if (reads && writes) /* seen one after the other */
        return pipe->queued > 0 ? GNL_PIPE_WRITER : GNL_PIPE_READER;
    return reads ? GNL_PIPE_READER : GNL_PIPE_WRITER;
}
