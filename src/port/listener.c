/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening: the verbs of gnl_listener, over the table of the kind of link.
 *
 *   A: relaxed: the closing mark is ordered by life/process.h (gnli_anyone_inside).
 */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "port/port.h"
#include "wait/poll.h"

int gnl_listen(gnl_listener **listener, const char *text, const struct gnl_options *options)
{
    struct gnli_address address;
    const struct gnli_kind *kind;

    int result = gnli_address_find(&address, &kind, text);
    if (result < 0)
        return result;
    if (!listener)
        return gnli_fail(-EINVAL, "gnl_listen: nowhere to put the listener");
    if (!kind->listen)
        return gnli_fail(-EOPNOTSUPP, "%s: nobody listens on such an address: open it on both sides", text);
    result = gnli_options_check(&options);
    if (result == 0)
        result = gnli_options_fit(options, kind);
    if (result == 0)
        result = gnli_process_prepare();
    return result < 0 ? result : kind->listen(listener, &address, options);
}

static int no_listener(void)
{
    return gnli_fail(-EINVAL, "no listener given");
}

/* From here on the listener stays until leave(). */
static int enter(gnl_listener *listener)
{
    int result = 0;

    gnli_failure_begin();
    if (!listener)
        return no_listener();
    gnli_enter(listener);
    if (!gnli_process_is(listener->stamp))
        result = gnli_fail(-EPERM, "%s: the listener is the parent process's", listener->subject);
    else if (atomic_load_explicit(&listener->closing, memory_order_relaxed)) /* A */
        result = gnli_fail_plain(-ECANCELED, listener->subject);
    if (result < 0)
        gnli_leave();
    return result;
}

static int leave(gnl_listener *listener, int result)
{
    if (result < 0)
        gnli_fail_plain(result, listener->subject);
    gnli_leave();
    return result;
}

static int await_port(gnl_listener *listener, gnl_port **port, int64_t timeout)
{
    int64_t deadline = gnli_deadline_ns(timeout);

    for (;;) {
        pthread_mutex_lock(&listener->lock);
        int result = listener->operations->accept(listener, port);
        pthread_mutex_unlock(&listener->lock);
        bool closing = atomic_load_explicit(&listener->closing, memory_order_relaxed); /* A */
        if (closing && result < 0)
            return -ECANCELED;
        if (result != -EAGAIN || timeout == GNL_NOWAIT)
            return result;
        if (gnli_now_ns() >= deadline)
            return -ETIMEDOUT;
        int descriptor = listener->operations->fd(listener);
        gnli_poll(&(struct pollfd){ .fd = descriptor, .events = POLLIN }, 1, deadline);
    }
}

int gnl_accept(gnl_listener *listener, gnl_port **port, int64_t timeout)
{
    int result = enter(listener);

    if (result < 0)
        return result;
    result = gnli_timeout_check(timeout);
    if (result == 0 && !port)
        result = gnli_fail(-EINVAL, "%s: nowhere to put the port", listener->subject);
    return leave(listener, result < 0 ? result : await_port(listener, port, timeout));
}

int gnl_listener_fd(gnl_listener *listener)
{
    int result = enter(listener);

    return result < 0 ? result : leave(listener, listener->operations->fd(listener));
}

const char *gnl_listener_address(gnl_listener *listener)
{
    gnli_failure_begin();
    if (listener)
        return listener->address;
    no_listener();
    return NULL;
}

int gnli_listener_join(gnl_listener *listener, gnli_join *join, void *context)
{
    int result = enter(listener);

    if (result < 0)
        return result;
    result = listener->operations->fd(listener);
    if (result >= 0)
        result = join(&listener->memberships, (int[]){ result, -1 }, context);
    return leave(listener, result);
}

int gnl_listener_close(gnl_listener *listener)
{
    gnli_failure_begin();
    if (!listener)
        return 0;
    if (atomic_exchange_explicit(&listener->closing, true, memory_order_relaxed)) /* A */
        return gnli_fail(-EINVAL, "%s: closed twice", listener->subject);
    while (gnli_process_is(listener->stamp) && gnli_anyone_inside(listener)) {
        listener->operations->interrupt(listener);
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    gnli_memberships_end(&listener->memberships);
    listener->operations->close(listener);
    return 0;
}
