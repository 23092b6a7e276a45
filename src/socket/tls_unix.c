/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through an encrypted socket. The session's bytes that the kernel has not taken are part of the
 * rest of what was sent (wire.h); that it has read ahead rings the port's bell.
 *
 *   A: relaxed: as in wire.h.
 */
#include "socket/tls.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/errors.h"
#include "wait/poll.h"

#define LINGER_NS INT64_C(1000000000)

static struct gnli_tls_session *session_of(const struct gnli_wire *wire)
{
    return wire->layer;
}

static void count_unsent(struct gnli_wire *wire)
{
    atomic_store_explicit(&wire->unsent, gnli_tls()->unsent(session_of(wire)), memory_order_relaxed); /* A */
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    ssize_t taken = gnli_tls()->write(session_of(wire), parts, count);

    count_unsent(wire);
    if (taken < 0 && taken != -EAGAIN)
        gnli_wire_gone(wire);
    return taken;
}

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    (void)count; /* one is what is asked for */
    ssize_t size = gnli_tls()->read(session_of(wire), parts->iov_base, parts->iov_len);

    wire->ahead = size > 0 && gnli_tls()->ahead(session_of(wire));
    *sender = wire->peer;
    /* Who closes the port shuts its socket down: that is no fault of the other side. */
    bool closing = atomic_load_explicit(&wire->port.closing, memory_order_relaxed); /* A */
    if (size >= 0 || size == -EAGAIN)
        return size;
    gnli_wire_lost(wire);
    return closing ? -EPIPE : size;
}

static void finish(struct gnli_wire *wire)
{
    gnli_tls()->finish(session_of(wire));
    count_unsent(wire);
}

/* The other shall learn that this is an end and no cut, even where calls are inside. */
static void interrupt(struct gnli_wire *wire)
{
    gnli_tls()->finish(session_of(wire));
}

static int leave(struct gnli_wire *wire)
{
    const struct iovec nothing = { 0 };
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    int64_t deadline = gnli_now_ns() + LINGER_NS;

    finish(wire);
    while (put(wire, &nothing, 1) == -EAGAIN && gnli_now_ns() < deadline)
        gnli_poll(&(struct pollfd){ .fd = output, .events = POLLOUT }, 1, deadline);
    int result = gnli_socket_transport.leave(wire);
    bool gone = atomic_load_explicit(&wire->gone, memory_order_relaxed); /* A */
    return result == 0 && !gone && gnli_tls()->unsent(session_of(wire)) > 0 ? gnli_wire_untaken(wire)
                                                                            : result;
}

static void forget(struct gnli_wire *wire)
{
    if (wire->layer)
        gnli_tls()->session_free(session_of(wire));
    wire->layer = NULL;
    gnli_socket_transport.forget(wire);
}

const struct gnli_transport gnli_tls_transport = {
    .stream = true,
    .put = put,
    .get = get,
    .finish = finish,
    .leave = leave,
    .interrupt = interrupt,
    .forget = forget,
};

static int shake_hands(struct gnli_tls_session *session, int made, const char *subject, int64_t deadline)
{
    const struct gnl_tls_engine *engine = gnli_tls();
    int result;

    while ((result = engine->handshake(session)) == -EAGAIN) {
        short events = (short)(engine->unsent(session) > 0 ? POLLIN | POLLOUT : POLLIN);
        if (gnli_now_ns() >= deadline)
            return gnli_fail(-ETIMEDOUT, "%s: connected, but the other side does not finish TLS's handshake",
                             subject);
        gnli_poll(&(struct pollfd){ .fd = made, .events = events }, 1, deadline);
    }
    return result;
}

int gnli_tls_connect(struct gnli_wire *wire, struct gnli_tls_context *context, int made,
                     const struct gnli_address *address, int64_t deadline)
{
    struct gnli_tls_session *session;
    char host[GNL_ADDRESS_MAX + 1], port[GNL_ADDRESS_MAX + 1];

    gnli_address_split(address, host, port);
    int result = gnli_tls()->session_new(&session, context, made, host, wire->port.subject);
    if (result < 0)
        return result;
    result = shake_hands(session, made, wire->port.subject, deadline);
    if (result < 0)
        gnli_tls()->session_free(session);
    else
        wire->layer = session;
    return result;
}
