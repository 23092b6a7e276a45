/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through an encrypted socket. The session's bytes that the kernel has not taken are part of the
 * rest of what was sent (wire.h); that it has read ahead rings the port's bell.
 *
 *   A: relaxed: as in wire.h.
 */
#include "socket/tls.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/errors.h"
#include "wait/poll.h"

static struct gnli_tls_session *session_of(const struct gnli_wire *wire)
{
    return wire->layer;
}

static void count_unsent(struct gnli_wire *wire)
{
    atomic_store_explicit(&wire->unsent, gnli_tls()->unsent(session_of(wire)), memory_order_relaxed); /* A */
}

/* No more can be written after the other's end, which may have been in good order. */
static void note_lost(struct gnli_wire *wire)
{
    int how = gnli_tls()->lost(session_of(wire));

    if (how != 0 && how != EPIPE && !atomic_load_explicit(&wire->all_taken, memory_order_relaxed)) /* A */
        gnli_wire_note_lost(wire, how);
}

static ssize_t put(struct gnli_wire *wire, const struct iovec *parts, int count)
{
    ssize_t taken = gnli_tls()->write(session_of(wire), parts, count);

    count_unsent(wire);
    if (taken < 0 && taken != -EAGAIN)
        note_lost(wire);
    return taken;
}

static ssize_t get(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender)
{
    (void)count; /* one is what is asked for */
    ssize_t size = gnli_tls()->read(session_of(wire), parts->iov_base, parts->iov_len);

    wire->ahead = size > 0 && gnli_tls()->ahead(session_of(wire));
    *sender = wire->peer;
    if (size < 0 && size != -EAGAIN)
        note_lost(wire);
    return size;
}

/*
 * The other learns that this is an end and no cut. It may have closed, and answer TLS's word for that with a
 * reset: which tells nothing if its kernel had all before.
 */
static void say_end(struct gnli_wire *wire, bool rests)
{
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    int queued = 1;

    if (!atomic_exchange_explicit(&wire->end_said, true, memory_order_relaxed)) { /* A */
        gnli_socket_hear(wire);
        bool all = !rests && ioctl(output, SIOCOUTQ, &queued) == 0 && queued == 0;
        atomic_store_explicit(&wire->all_taken, all, memory_order_relaxed); /* A */
    }
    gnli_tls()->finish(session_of(wire));
    count_unsent(wire);
}

static void finish(struct gnli_wire *wire)
{
    say_end(wire, false);
}

/* Even where calls are inside. */
static void interrupt(struct gnli_wire *wire)
{
    pthread_mutex_lock(&wire->sending);
    bool rests = gnli_wire_rests(wire);
    pthread_mutex_unlock(&wire->sending);
    say_end(wire, rests);
}

static int leave(struct gnli_wire *wire)
{
    const struct iovec nothing = { 0 };
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */

    finish(wire);
    while (put(wire, &nothing, 1) == -EAGAIN && gnli_wire_is_taken(wire))
        gnli_poll(&(struct pollfd){ .fd = output, .events = POLLOUT }, 1, wire->closing_until_ns);
    int result = gnli_socket_transport.leave(wire);
    return result == 0 && gnli_tls()->unsent(session_of(wire)) > 0 ? gnli_wire_untaken(wire) : result;
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
