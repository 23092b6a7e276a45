/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's message queues: POSIX mq and System V msg. As large as whoever measures may make them; what
 * does not fit is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>

#include "bench/peers/kernel.h"

static long read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    long limit = -1;

    if (file && fscanf(file, "%ld", &limit) != 1)
        limit = -1;
    if (file)
        fclose(file);
    return limit;
}

/* ---- POSIX ---- */

static void mq_path(char path[200], enum peer_channel channel)
{
    snprintf(path, 200, "/%s", peer_channel_name(channel));
}

static enum peer_result make_mq(const struct peer_work *work, const char *path)
{
    /* Who is not privileged: fs.mqueue.msg_max messages, and RLIMIT_MSGQUEUE bytes. */
    for (long capacity = work->capacity; capacity >= 1; capacity /= 2) {
        struct mq_attr attributes = { .mq_maxmsg = capacity, .mq_msgsize = (long)work->size };
        mqd_t queue = mq_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
        if (queue >= 0) {
            mq_close(queue);
            return PEER_OK;
        }
        if (errno == ENOSYS)
            return peer_say(PEER_CANNOT, "this kernel has no POSIX message queues");
        if (errno != EINVAL && errno != EMFILE && errno != ENOMEM)
            return peer_failed("mq_open", errno);
    }
    return peer_say(PEER_CANNOT, "message too large: at most %ld bytes (fs.mqueue.msgsize_max)",
                    read_limit("/proc/sys/fs/mqueue/msgsize_max"));
}

static enum peer_result setup_mq(const struct peer_work *work)
{
    struct rlimit limit;
    char path[200];

    if (getrlimit(RLIMIT_MSGQUEUE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_MSGQUEUE, &limit);
        limit.rlim_cur = limit.rlim_max = RLIM_INFINITY; /* who may */
        setrlimit(RLIMIT_MSGQUEUE, &limit);
    }
    mq_path(path, PEER_THERE);
    enum peer_result result = make_mq(work, path);
    if (result != PEER_OK || work->pattern != PEER_BUSY)
        return result;
    mq_path(path, PEER_BACK);
    return make_mq(work, path);
}

static void teardown_mq(const struct peer_work *work)
{
    char path[200];

    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        mq_path(path, (enum peer_channel)i);
        mq_unlink(path);
    }
}

static enum peer_result open_mq(struct peer_end *end)
{
    char path[200];

    mq_path(path, end->channel);
    end->fd = mq_open(path, (end->sends ? O_WRONLY : O_RDONLY) | (end->work->waits ? 0 : O_NONBLOCK));
    return end->fd >= 0 ? PEER_OK : peer_failed("mq_open", errno);
}

static enum peer_result send_mq(struct peer_end *end, const void *data)
{
    if (mq_send(end->fd, data, end->work->size, 0) == 0)
        return PEER_OK;
    return errno == EAGAIN ? PEER_NOT_NOW : peer_failed("mq_send", errno);
}

static enum peer_result receive_mq(struct peer_end *end, void **data)
{
    if (mq_receive(end->fd, *data, end->work->size, NULL) == (ssize_t)end->work->size)
        return PEER_OK;
    return errno == EAGAIN ? PEER_NOT_NOW : peer_failed("mq_receive", errno);
}

const struct peer peer_posix_mq = {
    .name = "posix-mq",
    .polls_busy = true,
    .setup = setup_mq,
    .teardown = teardown_mq,
    .open = open_mq,
    .send = send_mq,
    .receive = receive_mq,
};

/* ---- System V ---- */

static int queues[PEER_CHANNELS] = { -1, -1 };

struct letter { /* as msgsnd wants it: the type in front */
    long type;
    char data[];
};

static enum peer_result setup_msg(const struct peer_work *work)
{
    struct msqid_ds status;
    long largest = read_limit("/proc/sys/kernel/msgmax");

    if (largest >= 0 && work->size > (size_t)largest)
        return peer_say(PEER_CANNOT, "message too large: at most %ld bytes (kernel.msgmax)", largest);
    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        queues[i] = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
        if (queues[i] < 0)
            return errno == ENOSYS ? peer_say(PEER_CANNOT, "this kernel has no System V message queues")
                                   : peer_failed("msgget", errno);
        if (msgctl(queues[i], IPC_STAT, &status) == 0 && status.msg_qbytes < work->capacity * work->size) {
            status.msg_qbytes = work->capacity * work->size;
            msgctl(queues[i], IPC_SET, &status); /* who may */
        }
    }
    return PEER_OK;
}

static void teardown_msg(const struct peer_work *work)
{
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        if (queues[i] >= 0)
            msgctl(queues[i], IPC_RMID, NULL);
}

static enum peer_result open_msg(struct peer_end *end)
{
    struct letter *letter = malloc(sizeof *letter + end->work->size);

    end->own = letter;
    if (!letter)
        return peer_failed("a buffer", ENOMEM);
    memset(letter->data, 0, end->work->size);
    letter->type = 1;
    return PEER_OK;
}

/* The type has to stand in front of the message: a program would write it there, so the harness's message is
 * copied, which costs little beside the call. */
static enum peer_result send_msg(struct peer_end *end, const void *data)
{
    struct letter *letter = end->own;

    memcpy(letter->data, data, end->work->size);
    if (msgsnd(queues[end->channel], letter, end->work->size, end->work->waits ? 0 : IPC_NOWAIT) == 0)
        return PEER_OK;
    return errno == EAGAIN ? PEER_NOT_NOW : peer_failed("msgsnd", errno);
}

static enum peer_result receive_msg(struct peer_end *end, void **data)
{
    struct letter *letter = end->own;

    ssize_t size =
        msgrcv(queues[end->channel], letter, end->work->size, 0, end->work->waits ? 0 : IPC_NOWAIT);
    *data = letter->data;
    if (size == (ssize_t)end->work->size)
        return PEER_OK;
    return errno == ENOMSG ? PEER_NOT_NOW : peer_failed("msgrcv", errno);
}

const struct peer peer_sysv_msg = {
    .name = "sysv-msg",
    .polls_busy = true,
    .setup = setup_msg,
    .teardown = teardown_msg,
    .open = open_msg,
    .send = send_msg,
    .receive = receive_msg,
};
