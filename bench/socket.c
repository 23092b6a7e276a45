/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw UNIX socket between two processes: what named pipes are held against. What goes to and fro over it is
 * latency.c's.
 */
#include "bench/parts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int connection = -1; /* each member is a process of its own */

static int listen_and_accept(const struct sockaddr_un *name, socklen_t size)
{
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (const struct sockaddr *)name, size) != 0 ||
        listen(listener, 1) != 0 || poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 10000) != 1)
        return -1;
    int made = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return made;
}

static int connect_in_time(const struct sockaddr_un *name, socklen_t size)
{
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    for (unsigned i = 0; i < 10000; i++) {
        if (connect(made, (const struct sockaddr *)name, size) == 0)
            return made;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return -1;
}

/* In the abstract namespace, by the number of the process that both are children of. */
int socket_begin(struct crew_member *member)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    const struct timeval limit = { .tv_usec = CALL_TIMEOUT / 1000 };

    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "ginnel-bench-%d", (int)getppid());
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    connection = member->number == 0 ? connect_in_time(&name, size) : listen_and_accept(&name, size);
    if (connection < 0 || setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return crew_fail(member, "a socket", -errno);
    return 0;
}

int socket_pass(struct crew_member *member, bool out)
{
    for (;;) {
        ssize_t size = out ? send(connection, member->buffer, member->task->size, MSG_NOSIGNAL)
                           : recv(connection, member->buffer, member->task->size, 0);
        if (size == (ssize_t)member->task->size)
            return 1;
        if (crew_stopped(member))
            return 0;
        if (size >= 0 || errno != EAGAIN)
            return crew_fail(member, "a socket", -errno);
    }
}

/* ---- one way ---- */

static int64_t give(struct crew_member *member)
{
    return socket_pass(member, true);
}

static int64_t get(struct crew_member *member)
{
    return socket_pass(member, false);
}

const struct crew_part limit_socket_stream[2] = {
    { .begin = socket_begin, .step = give, .place = 0 },
    { .begin = socket_begin, .step = get, .place = 1, .sampling = SAMPLE_SLICES, .counts = true },
};
