/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's byte streams, and the one socket that keeps messages apart: pipe, FIFO, UNIX stream and
 * seqpacket, TCP. One system call a message on each side. Buffers are as large as an ordinary user may make
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/peers/kernel.h"

#define PIPE_BYTES   (1 << 20)
#define SOCKET_BYTES (4 << 20) /* the kernel grants what net.core.wmem_max allows */

/* A connection: [0] is read, [1] written. Senders have one each, or share the first. */
static int connections[PEER_CHANNELS][PEER_SENDERS_MAX][2];
static bool shared; /* one connection for all senders: what they write stays whole */

static unsigned connections_of(const struct peer_work *work)
{
    return shared ? 1 : work->senders;
}

/* ---- making them ---- */

static enum peer_result shared_pipes(const struct peer_work *work)
{
    shared = true;
    if (work->senders > 1 && work->size > PIPE_BUF)
        return peer_say(PEER_CANNOT, "what several write stays whole up to %d bytes only", PIPE_BUF);
    return PEER_OK;
}

static enum peer_result make_pipes(const struct peer_work *work)
{
    enum peer_result result = shared_pipes(work);

    for (unsigned i = 0; i < PEER_CHANNELS && result == PEER_OK; i++) {
        if (pipe2(connections[i][0], O_CLOEXEC) < 0)
            return peer_failed("pipe", errno);
        fcntl(connections[i][0][1], F_SETPIPE_SZ, PIPE_BYTES);
    }
    return result;
}

static enum peer_result make_fifos(const struct peer_work *work)
{
    enum peer_result result = shared_pipes(work);
    char path[200];

    for (unsigned i = 0; i < PEER_CHANNELS && result == PEER_OK; i++) {
        int *ends = connections[i][0];
        snprintf(path, sizeof path, "%s/%s", peer_directory(), peer_channel_name((enum peer_channel)i));
        if (mkfifo(path, 0600) < 0)
            return peer_failed(path, errno);
        ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* does not wait for who writes */
        ends[1] = ends[0] < 0 ? -1 : open(path, O_WRONLY | O_CLOEXEC);
        if (ends[1] < 0 || fcntl(ends[0], F_SETFL, 0) < 0)
            return peer_failed(path, errno);
        fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    }
    return result;
}

static void enlarge(int ends[2])
{
    int bytes = SOCKET_BYTES;

    setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static enum peer_result make_unix(const struct peer_work *work, int type)
{
    shared = type == SOCK_SEQPACKET;
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        for (unsigned sender = 0; sender < connections_of(work); sender++) {
            int *ends = connections[i][sender];
            if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
                return peer_failed("socketpair", errno);
            enlarge(ends);
        }
    return PEER_OK;
}

static enum peer_result make_unix_streams(const struct peer_work *work)
{
    return make_unix(work, SOCK_STREAM);
}

/* A message has to fit into the buffer, and the kernel says so only when one is sent. */
static enum peer_result make_unix_packets(const struct peer_work *work)
{
    int bytes = 0;
    enum peer_result result = make_unix(work, SOCK_SEQPACKET);

    if (result == PEER_OK)
        getsockopt(connections[0][0][1], SOL_SOCKET, SO_SNDBUF, &bytes, &(socklen_t){ sizeof bytes });
    if (result == PEER_OK && work->size + 1024 > (size_t)bytes)
        return peer_say(PEER_CANNOT, "message too large: the buffer has %d bytes (net.core.wmem_max)", bytes);
    return result;
}

static enum peer_result connect_tcp(int listener, const struct sockaddr_in *address, int ends[2])
{
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (ends[1] < 0 || connect(ends[1], (const struct sockaddr *)address, sizeof *address) < 0)
        return peer_failed("connect", errno);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (ends[0] < 0)
        return peer_failed("accept", errno);
    for (unsigned i = 0; i < 2; i++)
        setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return PEER_OK;
}

/* The kernel's own buffers: it enlarges them as needed. */
static enum peer_result make_tcp(const struct peer_work *work)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum peer_result result = PEER_OK;

    shared = false;
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 4) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &(socklen_t){ sizeof address }) < 0)
        return peer_failed("a socket that listens", errno);
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        for (unsigned sender = 0; sender < work->senders && result == PEER_OK; sender++)
            result = connect_tcp(listener, &address, connections[i][sender]);
    close(listener);
    return result;
}

/* ---- using them ---- */

/* Descriptors share their flags with those of other processes: each connection end has one user, or users
 * of the same kind. */
static enum peer_result use(struct peer_end *end)
{
    unsigned first = end->sends && !shared ? end->sender : 0;

    end->fd = connections[end->channel][first][end->sends];
    for (unsigned i = 0; i < connections_of(end->work); i++)
        if (!end->work->waits && fcntl(connections[end->channel][i][end->sends], F_SETFL, O_NONBLOCK) < 0)
            return peer_failed("fcntl", errno);
    return PEER_OK;
}

/* Once begun a message is finished, asleep or not. */
static enum peer_result write_all(struct peer_end *end, const void *data)
{
    for (size_t done = 0; done < end->work->size;) {
        ssize_t size = write(end->fd, (const char *)data + done, end->work->size - done);
        if (size < 0 && errno == EAGAIN && done == 0)
            return PEER_NOT_NOW;
        if (size < 0 && errno != EAGAIN && errno != EINTR)
            return peer_failed("write", errno);
        done += size > 0 ? (size_t)size : 0;
    }
    return PEER_OK;
}

/* With several connections: stays with one while it has something, then looks for the next that has. */
static enum peer_result await_connection(struct peer_end *end)
{
    struct pollfd fds[PEER_SENDERS_MAX];
    unsigned count = connections_of(end->work);

    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){ .fd = connections[end->channel][i][0], .events = POLLIN };
    if (poll(fds, count, end->work->waits ? -1 : 0) < 0)
        return peer_failed("poll", errno);
    for (unsigned i = 0; i < count; i++)
        if (fds[i].revents & POLLIN)
            end->fd = fds[i].fd;
    return PEER_OK;
}

static enum peer_result read_all(struct peer_end *end, void **data)
{
    bool several = connections_of(end->work) > 1; /* then all are sockets */

    for (size_t done = 0; done < end->work->size;) {
        void *rest = (char *)*data + done;
        size_t size_left = end->work->size - done;
        ssize_t size = several && done == 0 ? recv(end->fd, rest, size_left, MSG_DONTWAIT)
                                            : read(end->fd, rest, size_left);
        if (size == 0)
            return peer_say(PEER_FAILED, "read: the other side is gone");
        if (size < 0 && errno == EAGAIN && done == 0) {
            if (!several)
                return PEER_NOT_NOW;
            enum peer_result result = await_connection(end);
            if (result != PEER_OK)
                return result;
            continue;
        }
        if (size < 0 && errno != EAGAIN && errno != EINTR)
            return peer_failed("read", errno);
        done += size > 0 ? (size_t)size : 0;
    }
    return PEER_OK;
}

#define STREAM(label, maker)                                                               \
    {                                                                                      \
        .name = label, .polls_busy = true, .setup = maker, .open = use, .send = write_all, \
        .receive = read_all                                                                \
    }

const struct peer peer_pipe = STREAM("pipe", make_pipes);
const struct peer peer_fifo = STREAM("fifo", make_fifos);
const struct peer peer_unix_stream = STREAM("unix-stream", make_unix_streams);
const struct peer peer_unix_seqpacket = STREAM("unix-seqpacket", make_unix_packets);
const struct peer peer_tcp = STREAM("tcp", make_tcp);
