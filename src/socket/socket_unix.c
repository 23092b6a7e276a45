/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through a socket.
 *
 *   A: relaxed: descriptors, set before the port is anybody's.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "socket/socket.h"
#include "wait/poll.h"
#include "wire/stream.h"

#define DEAD_AFTER_NS INT64_C(60000000000)
#define PROBES        3 /* and as long as half of the time for the first */
#define DRAIN_READS   64

/* ---- the transport ---- */

/* No error of the other side, or of the way to it, is the caller's: it is gone, and why is said. */
static int gone(struct gnli_wire *wire, int error)
{
    if (error == EAGAIN)
        return -EAGAIN;
    if (error == ENOBUFS || error == ENOMEM)
        return -ENOSPC;
    if (error == EPIPE || error == ENOTCONN)
        return -EPIPE;
    return gnli_wire_lost(wire, error);
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    struct msghdr header = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count };
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    ssize_t sent;

    do
        sent = sendmsg(output, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? gone(wire, errno) : sent;
}

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    struct msghdr header = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count };
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
    int flags = gnli_wire_flags(wire);
    ssize_t size;

    do
        size = recvmsg(input, &header, flags | MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR && flags);
    *sender = wire->peer;
    return size >= 0 ? size : errno == EINTR ? -EAGAIN : gone(wire, errno);
}

static void finish(struct gnli_wire *wire)
{
    shutdown(atomic_load_explicit(&wire->output, memory_order_relaxed), SHUT_WR); /* A */
}

/* What the kernel tells of a connection, once, to who asks first. After the other's end a reset is EPIPE. */
static void hear(struct gnli_wire *wire, int error)
{
    bool matters = !atomic_load_explicit(&wire->all_taken, memory_order_relaxed); /* A */

    if (error != 0 && error != EAGAIN && error != EINTR && matters)
        gnli_wire_note_lost(wire, error == EPIPE ? ECONNRESET : error);
}

void gnli_socket_hear(struct gnli_wire *wire)
{
    int error = 0;
    socklen_t size = sizeof error;

    getsockopt(atomic_load_explicit(&wire->output, memory_order_relaxed), SOL_SOCKET, SO_ERROR, /* A */
               &error, &size);
    hear(wire, error);
}

static bool is_lost(const struct gnli_wire *wire)
{
    return atomic_load_explicit(&wire->lost, memory_order_relaxed) != 0; /* A */
}

/* What was received and never read would have the kernel drop what was sent: it is read away. */
static void drain(struct gnli_wire *wire, int input)
{
    char away[4096];
    ssize_t size = 1;

    for (unsigned i = 0; i < DRAIN_READS && size > 0; i++)
        size = recv(input, away, sizeof away, MSG_DONTWAIT);
    if (size < 0 && errno != ENOTCONN)
        hear(wire, errno);
}

/*
 * The other shall receive all that was handed to the kernel. A word of its own that comes after the
 * socket is closed resets the connection; so that is closed once the kernel has sent all, or the other takes
 * none of it.
 */
static int leave(struct gnli_wire *wire)
{
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    int unsent = 0;

    gnli_socket_hear(wire);
    shutdown(output, SHUT_WR);
    drain(wire, output);
    while (!is_lost(wire) && ioctl(output, SIOCOUTQNSD, &unsent) == 0 && unsent > 0 &&
           gnli_wire_is_taken(wire)) {
        gnli_poll(NULL, 0, gnli_now_ns() + 1000000); /* no event tells of that */
        drain(wire, output);
    }
    gnli_socket_hear(wire);
    return unsent > 0 && !is_lost(wire) ? gnli_wire_untaken(wire) : 0; /* of what is lost the wire tells */
}

static void forget(struct gnli_wire *wire)
{
    gnli_crowd_leave(wire->own);
    wire->own = NULL;
}

const struct gnli_transport gnli_socket_transport = {
    .stream = true, .sleeps = true, .put = put, .get = get, .finish = finish, .leave = leave, .forget = forget
};

/* ---- beginning ---- */

static int at_least_one(int64_t seconds)
{
    return seconds < 1 ? 1 : seconds > 32767 ? 32767 : (int)seconds;
}

/* Small messages go at once, and who has gone without a word is noticed. */
static void set_up_tcp(int made, const struct gnl_options *options)
{
    const int yes = 1, probes = PROBES;
    int64_t dead_ns = options->dead_after ? options->dead_after : DEAD_AFTER_NS;
    int first = at_least_one(dead_ns / 2000000000), next = at_least_one(dead_ns / 2000000000 / PROBES);
    unsigned user_ms = dead_ns / 1000000 > INT32_MAX ? INT32_MAX : (unsigned)(dead_ns / 1000000);

    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(made, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(made, IPPROTO_TCP, TCP_KEEPIDLE, &first, sizeof first);
    setsockopt(made, IPPROTO_TCP, TCP_KEEPINTVL, &next, sizeof next);
    setsockopt(made, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    if (options->dead_after)
        setsockopt(made, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof user_ms);
}

int gnli_socket_attach(struct gnli_wire *wire, int made, const struct gnl_options *options)
{
    struct ucred peer = { 0 };
    socklen_t size = sizeof peer;
    uint8_t hello[GNLI_STREAM_HELLO];
    int domain = 0;
    socklen_t domain_size = sizeof domain;

    atomic_store_explicit(&wire->input, made, memory_order_relaxed);  /* A */
    atomic_store_explicit(&wire->output, made, memory_order_relaxed); /* A */
    getsockopt(made, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size);
    if (domain != AF_UNIX)
        set_up_tcp(made, options);
    else if (getsockopt(made, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        wire->peer = (struct gnl_sender){ .pid = peer.pid, .uid = peer.uid, .gid = peer.gid };
    if (wire->bytes)
        return 0;
    gnli_stream_hello(wire, hello);
    struct iovec part = { hello, sizeof hello };
    if (wire->transport->put(wire, &part, 1) == sizeof hello) /* it has room: it is new */
        return 0;
    bool sent = domain == AF_UNIX && recv(made, hello, 1, MSG_PEEK | MSG_DONTWAIT) > 0; /* and closed */
    return sent ? 0 : -EPIPE;
}
