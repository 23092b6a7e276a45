/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw socket between two processes: what named pipes and sockets are held against. What goes to and fro
 * over it is latency.c's.
 */
#include "bench/parts.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static int connection = -1; /* each member is a process of its own */

union name {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in inet;
};

/* In the abstract namespace, by the number of the process that both are children of; or on the loopback. */
static socklen_t name_of(struct crew_member *member, union name *name)
{
    if (member->task->wire == WIRE_TCP) {
        uint32_t port = member->number == 0 ? crew_tcp_port(member) : 0;
        name->inet = (struct sockaddr_in){ .sin_family = AF_INET,
                                           .sin_port = htons((uint16_t)port),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        return sizeof name->inet;
    }
    name->local = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int length = snprintf(name->local.sun_path + 1, sizeof name->local.sun_path - 1, "ginnel-bench-%d",
                          (int)getppid());
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int new_socket(const struct crew_member *member, const union name *name)
{
    int type =
        member->task->wire == WIRE_UNIX || member->task->wire == WIRE_TCP ? SOCK_STREAM : SOCK_SEQPACKET;

    return socket(name->any.sa_family, type | SOCK_CLOEXEC, 0);
}

static int listen_and_accept(struct crew_member *member, const union name *name, socklen_t size)
{
    int listener = new_socket(member, name);
    union name found = { 0 };

    if (listener < 0 || bind(listener, &name->any, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, &found.any, &(socklen_t){ sizeof found }) != 0)
        return -1;
    atomic_store_explicit(&member->area->tcp_port, ntohs(found.inet.sin_port), memory_order_release);
    if (poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 10000) != 1)
        return -1;
    int made = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return made;
}

static int connect_in_time(struct crew_member *member, const union name *name, socklen_t size)
{
    int made = new_socket(member, name);

    for (unsigned i = 0; i < 10000; i++) {
        if (connect(made, &name->any, size) == 0)
            return made;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return -1;
}

int socket_begin(struct crew_member *member)
{
    const struct timeval limit = { .tv_usec = CALL_TIMEOUT / 1000 };
    union name name;
    const int yes = 1;

    socklen_t size = name_of(member, &name);
    connection =
        member->number == 0 ? connect_in_time(member, &name, size) : listen_and_accept(member, &name, size);
    if (connection < 0 || setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return crew_fail(member, "a socket", -errno);
    if (member->task->wire == WIRE_TCP)
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return 0;
}

/* A message of the task's size, which a stream may cut. */
int socket_pass(struct crew_member *member, bool out)
{
    size_t done = 0, whole = member->task->size;

    while (done < whole) {
        ssize_t size = out ? send(connection, member->buffer + done, whole - done, MSG_NOSIGNAL)
                           : recv(connection, member->buffer + done, whole - done, 0);
        if (size > 0) {
            done += (size_t)size;
            continue;
        }
        if (crew_stopped(member))
            return 0;
        if (size == 0 || errno != EAGAIN)
            return crew_fail(member, "a socket", -errno);
    }
    return 1;
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
