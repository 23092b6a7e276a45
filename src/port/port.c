/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs: what is the same for every kind of link.
 *
 *   A: relaxed: the marks of a port. Closing is ordered by life/process.h (gnli_anyone_inside), a
 *      forked child has one thread.
 */
#include "port/port.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "port/kinds.h"

static const struct gnli_kind *const kinds[] = {
#define GNLI_ROW(kind) &kind,
    GNLI_KINDS(GNLI_ROW)
#undef GNLI_ROW
};

static const struct gnli_kind *find_kind(const char *text)
{
    size_t length = strcspn(text, ":");

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(kinds[i]->name) == length && strncmp(kinds[i]->name, text, length) == 0)
            return kinds[i];
    return NULL;
}

int gnli_address_find(struct gnli_address *address, const struct gnli_kind **kind, const char *text)
{
    const struct gnli_kind *found = text ? find_kind(text) : NULL;

    gnli_failure_begin();
    int result = gnli_address_parse(address, text);
    if (result < 0 && (found || !text || text[0] == ':' || !strchr(text, ':')))
        return result;
    if (found) {
        *kind = found;
        return 0;
    }
    /* Of an unknown kind nobody knows what its addresses look like: so that is what is said. */
    gnli_fail(-EPROTONOSUPPORT,
              "address '%.100s': no such kind of address: there are mailbox:, direct:, pipe:, fifo:, unix:, "
              "tcp:, tls: and segment:",
              text);
    return -EPROTONOSUPPORT;
}

int gnl_address_check(const char *text)
{
    struct gnli_address address;
    const struct gnli_kind *kind;

    return gnli_address_find(&address, &kind, text);
}

int gnli_options_check(const struct gnl_options **options)
{
    static const struct gnl_options defaults;

    if (!*options)
        *options = &defaults;
    for (size_t i = 0; i < sizeof defaults.reserved / sizeof defaults.reserved[0]; i++)
        if ((*options)->reserved[i] != 0)
            return gnli_fail(-EINVAL, "options.reserved must be zero: start from { 0 }");
    return 0;
}

int gnli_options_fit(const struct gnl_options *options, const struct gnli_kind *kind)
{
    if (kind->kind != GNL_SOCKET &&
        (options->connect_timeout || options->dead_after || options->connections_max))
        return gnli_fail(-EINVAL, "connect_timeout, dead_after and connections_max are for sockets alone");
    if (options->tls && strcmp(kind->name, "tls") != 0)
        return gnli_fail(-EINVAL, "options.tls is for addresses that begin with tls:");
    return 0;
}

int gnl_open(gnl_port **port, const char *text, const struct gnl_options *options)
{
    struct gnli_address address;
    const struct gnli_kind *kind;

    int result = gnli_address_find(&address, &kind, text);
    if (result < 0)
        return result;
    if (!port)
        return gnli_fail(-EINVAL, "gnl_open: nowhere to put the port");
    result = gnli_options_check(&options);
    if (result == 0)
        result = gnli_options_fit(options, kind);
    if (result == 0)
        result = gnli_process_prepare();
    return result < 0 ? result : kind->open(port, &address, options);
}

int gnl_remove(const char *text)
{
    struct gnli_address address;
    const struct gnli_kind *kind;

    int result = gnli_address_find(&address, &kind, text);
    if (result == 0)
        result = gnli_process_prepare();
    return result < 0 ? result : kind->remove(&address);
}

ssize_t gnl_inspect(const char *text, struct gnl_port_info *info, struct gnl_participant *participants,
                    size_t count)
{
    struct gnli_address address;
    const struct gnli_kind *kind;

    int result = gnli_address_find(&address, &kind, text);
    if (result < 0)
        return result;
    if (!info || (!participants && count > 0))
        return gnli_fail(-EINVAL, "gnl_inspect: nowhere to put what is seen");
    result = gnli_process_prepare();
    return result < 0 ? result : kind->inspect(&address, info, participants, count);
}

/* ---- entering and leaving ---- */

enum way { EITHER = 0, SENDING = 1, RECEIVING = 2 };

/* Why not, in words; or in a forked child: 0, go on. */
__attribute__((cold, noinline)) static int turn_back(gnl_port *port, enum way way)
{
    int result = 0;

    if (way == SENDING && port->direction == GNL_RECV_ONLY)
        result = gnli_fail(-EPERM, "%s: this port may only receive", port->subject);
    else if (way == RECEIVING && port->direction == GNL_SEND_ONLY)
        result = gnli_fail(-EPERM, "%s: this port may only send", port->subject);
    else if (way == SENDING && atomic_load_explicit(&port->finished, memory_order_relaxed)) /* A */
        result = gnli_fail(-EPIPE, "%s: this port said that it sends no more", port->subject);
    else if (atomic_load_explicit(&port->closing, memory_order_relaxed)) /* A */
        result = gnli_fail_plain(-ECANCELED, port->subject);
    else if (atomic_fetch_and_explicit(&port->owed, (unsigned char)~way, memory_order_relaxed) & way) /* A */
        result = gnli_fail_plain(-EPIPE, port->subject);
    else if (!gnli_process_is(atomic_load_explicit(&port->stamp, memory_order_relaxed))) /* A */
        result = port->operations->after_fork(port);
    if (result < 0)
        gnli_leave();
    return result;
}

__attribute__((cold, noinline)) static int no_port(void)
{
    return gnli_fail(-EINVAL, "no port given");
}

/* From here on the port stays until leave(). */
static inline int enter(gnl_port *port, enum way way)
{
    gnli_failure_begin();
    if (!port)
        return no_port();
    gnli_enter(port);
    bool wrong_way = (way == SENDING && port->direction == GNL_RECV_ONLY) ||
                     (way == RECEIVING && port->direction == GNL_SEND_ONLY);
    if (wrong_way ||
        (way == SENDING && atomic_load_explicit(&port->finished, memory_order_relaxed)) || /* A */
        atomic_load_explicit(&port->closing, memory_order_relaxed) ||                      /* A */
        (atomic_load_explicit(&port->owed, memory_order_relaxed) & way) ||                 /* A */
        !gnli_process_is(atomic_load_explicit(&port->stamp, memory_order_relaxed)))        /* A */
        return turn_back(port, way);
    return 0;
}

static inline ssize_t leave(gnl_port *port, ssize_t result)
{
    if (result < 0)
        gnli_fail_plain((int)result, port->subject);
    gnli_leave();
    return result;
}

int gnli_timeout_check(int64_t timeout)
{
    return timeout < GNL_FOREVER ? gnli_fail(-EINVAL, "a timeout is 0 or more nanoseconds, or GNL_FOREVER")
                                 : 0;
}

static int bad_timeout(void)
{
    return gnli_timeout_check(GNL_FOREVER - 1);
}

static int bad_buffer(void)
{
    return gnli_fail(-EINVAL, "no data given, but a size");
}

/* What many calls in one come to: an end that only the last of them met is told by the next call. */
static ssize_t leave_many(gnl_port *port, enum way way, size_t done, ssize_t result)
{
    if (done > 0 && result == -EPIPE)
        atomic_fetch_or_explicit(&port->owed, (unsigned char)way, memory_order_relaxed); /* A */
    return leave(port, done > 0 ? (ssize_t)done : result);
}

/* ---- the verbs ---- */

int gnl_send(gnl_port *port, const void *data, size_t size, int64_t timeout)
{
    int result = enter(port, SENDING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!data && size > 0)
        result = bad_buffer();
    else
        result = port->operations->send(port, data, size, timeout);
    return (int)leave(port, result);
}

ssize_t gnl_recv(gnl_port *port, void *data, size_t size, int64_t timeout)
{
    static char nowhere; /* no buffer, but an address: memcpy wants one even for no bytes */
    ssize_t result = enter(port, RECEIVING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!data && size > 0)
        result = bad_buffer();
    else
        result = port->operations->recv(port, data ? data : &nowhere, size, timeout);
    return leave(port, result);
}

int gnl_loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout)
{
    int result = enter(port, SENDING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!message)
        result = gnli_fail(-EINVAL, "%s: nowhere to put the message", port->subject);
    else
        result = port->operations->loan(port, message, size, timeout);
    return (int)leave(port, result);
}

static int bad_message(gnl_port *port)
{
    return gnli_fail(-EINVAL, "%s: this message is not on loan from this port, or not taken from it",
                     port->subject);
}

int gnl_post(gnl_port *port, gnl_message *message, int64_t timeout)
{
    int result = enter(port, SENDING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!message || message->port_ != port)
        result = bad_message(port);
    else
        result = port->operations->post(port, message, timeout);
    return (int)leave(port, result);
}

int gnl_take(gnl_port *port, gnl_message *message, int64_t timeout)
{
    ssize_t result = gnl_take_many(port, message, 1, timeout);

    return result < 0 ? (int)result : 0;
}

int gnl_done(gnl_message *message)
{
    if (!message || !message->port_) {
        gnli_failure_begin();
        return gnli_fail(-EINVAL, "no message given, or one that has ended");
    }
    gnl_port *port = message->port_;
    int result = enter(port, EITHER);
    return result < 0 ? result : (int)leave(port, port->operations->done(port, message));
}

int gnl_giveback(gnl_message *message)
{
    if (!message || !message->port_) {
        gnli_failure_begin();
        return gnli_fail(-EINVAL, "no message given, or one that has ended");
    }
    gnl_port *port = message->port_;
    int result = enter(port, RECEIVING);
    return result < 0 ? result : (int)leave(port, port->operations->giveback(port, message));
}

/* What is left of a timeout for the next of many: never GNL_NOWAIT, so that who waited times out. */
static int64_t remaining(int64_t timeout, int64_t deadline)
{
    if (timeout <= 0)
        return timeout;
    int64_t left = deadline - gnli_now_ns();
    return left > 0 ? left : 1;
}

ssize_t gnl_send_many(gnl_port *port, const struct iovec *messages, size_t count, int64_t timeout)
{
    ssize_t result = enter(port, SENDING);
    size_t sent = 0;

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        return leave(port, bad_timeout());
    if (!messages || count == 0)
        return leave(port, gnli_fail(-EINVAL, "%s: no messages given", port->subject));
    int64_t deadline = timeout > 0 ? gnli_deadline_ns(timeout) : GNLI_NEVER;
    for (; sent < count; sent++) {
        ssize_t together = 0;
        if (port->operations->send_many && count - sent > 1)
            together = port->operations->send_many(port, messages + sent, count - sent);
        if (together > 0) {
            sent += (size_t)together - 1;
            continue;
        }
        if (together < 0) {
            result = together;
            break;
        }
        const struct iovec *message = &messages[sent];
        if (!message->iov_base && message->iov_len > 0) {
            result = bad_buffer();
            break;
        }
        /* Time is looked at only where one would have to wait. */
        result = port->operations->send(port, message->iov_base, message->iov_len, GNL_NOWAIT);
        if (result == -EAGAIN && timeout != GNL_NOWAIT)
            result = port->operations->send(port, message->iov_base, message->iov_len,
                                            remaining(timeout, deadline));
        if (result < 0)
            break;
    }
    return leave_many(port, SENDING, sent, result);
}

ssize_t gnl_take_many(gnl_port *port, gnl_message *messages, size_t count, int64_t timeout)
{
    ssize_t result = enter(port, RECEIVING);
    size_t taken = 0;

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        return leave(port, bad_timeout());
    if (!messages || count == 0)
        return leave(port, gnli_fail(-EINVAL, "%s: nowhere to put messages", port->subject));
    for (; taken < count; taken++) {
        result = port->operations->take(port, &messages[taken], taken == 0 ? timeout : GNL_NOWAIT);
        if (result < 0)
            break;
    }
    return leave_many(port, RECEIVING, taken, result);
}

/* ---- handing over ---- */

static int hands_nothing_over(gnl_port *port)
{
    return gnli_fail(-EOPNOTSUPP, "%s: this kind of link hands nothing over: a direct link does",
                     port->subject);
}

int gnli_port_give(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout)
{
    int result = enter(port, SENDING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!port->operations->give)
        result = hands_nothing_over(port);
    else
        result = port->operations->give(port, descriptor, note, size, timeout);
    return (int)leave(port, result);
}

int gnli_port_receive_given(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout)
{
    int result = enter(port, RECEIVING);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        result = bad_timeout();
    else if (!port->operations->receive_given)
        result = hands_nothing_over(port);
    else
        result = port->operations->receive_given(port, descriptor, note, size, timeout);
    return (int)leave(port, result);
}

int gnl_port_fd(gnl_port *port)
{
    int result = enter(port, RECEIVING);

    return result < 0 ? result : (int)leave(port, port->operations->fd(port, false));
}

int gnli_port_join(gnl_port *port, unsigned events, gnli_join *join, void *context)
{
    int descriptors[2] = { -1, -1 };
    int result = enter(port, EITHER);

    if (result < 0)
        return result;
    if ((events & GNL_READABLE) && port->direction == GNL_SEND_ONLY)
        result = gnli_fail(-EPERM, "%s: this port may only send", port->subject);
    else if ((events & GNL_WRITABLE) && port->direction == GNL_RECV_ONLY)
        result = gnli_fail(-EPERM, "%s: this port may only receive", port->subject);
    if (result == 0 && (events & GNL_READABLE)) {
        descriptors[0] = port->operations->own_fd ? port->operations->own_fd(port) : -1;
        if (descriptors[0] < 0)
            result = descriptors[0] = port->operations->fd(port, false);
    }
    if (result >= 0 && (events & GNL_WRITABLE))
        result = descriptors[1] = port->operations->fd(port, true);
    if (result >= 0)
        result = join(&port->memberships, descriptors, context);
    if (result >= 0 && port->operations->joined)
        port->operations->joined(port);
    return (int)leave(port, result);
}

int gnl_finish(gnl_port *port)
{
    int result = enter(port, EITHER);

    return result < 0 ? result : (int)leave(port, port->operations->finish(port));
}

int gnl_port_info(gnl_port *port, struct gnl_port_info *info)
{
    int result = enter(port, EITHER);

    if (result < 0)
        return result;
    if (!info)
        return (int)leave(port, gnli_fail(-EINVAL, "%s: nowhere to put the information", port->subject));
    return (int)leave(port, port->operations->info(port, info));
}

int gnl_close(gnl_port *port)
{
    gnli_failure_begin();
    if (!port)
        return 0;
    if (atomic_exchange_explicit(&port->closing, true, memory_order_relaxed)) /* A */
        return gnli_fail(-EINVAL, "%s: closed twice", port->subject);
    while (gnli_anyone_inside(port)) {
        port->operations->interrupt(port);
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    gnli_memberships_end(&port->memberships);
    return port->operations->close(port);
}
