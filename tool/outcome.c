/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

#include <errno.h>

#include <ginnel/ginnel.h>

#include "clock.h"
#include "interrupt.h"

#define SLICE_NS ((int64_t)100000000) /* a wait in the library does not end with a signal */

/* Of a wait that began then, the next part; 0: its time is up. */
static int64_t slice(int64_t start, int64_t timeout)
{
    int64_t left = timeout == GNL_FOREVER ? SLICE_NS : timeout - (now_ns() - start);

    return left < 0 ? 0 : left < SLICE_NS ? left : SLICE_NS;
}

/* A message that has begun when its send's time is up is the port's to finish: until it has. */
static int see_out(gnl_port *port, int64_t timeout)
{
    int64_t start = now_ns(), next = SLICE_NS;
    struct gnl_event event;
    gnl_waitset *set;

    int result = gnl_waitset_new(&set);
    if (result < 0)
        return result;
    result = gnl_waitset_add_port(set, port, GNL_WRITABLE, port);
    while (result == 0 && next > 0) {
        next = slice(start, timeout);
        result = interrupt_caught() != 0 ? -EINTR : gnl_waitset_wait(set, &event, 1, next);
        if (next > 0 && result == -ETIMEDOUT)
            result = 0;
    }
    gnl_waitset_free(set);
    return result == -EAGAIN ? -ETIMEDOUT : result > 0 ? 0 : result;
}

/* Of the two one that cannot be asked has neither. */
static struct gnl_port_info ask(gnl_port *port)
{
    struct gnl_port_info info = { .lost = 1 };

    gnl_port_info(port, &info);
    return info;
}

bool outcome_ended_well(gnl_port *port)
{
    return !ask(port).lost;
}

int outcome_await(gnl_port *port, bool bytes, bool rests, int64_t timeout)
{
    gnl_message message;

    int result = rests ? see_out(port, timeout) : 0;
    /* Who has not accepted is not written to before that; what is left then is closing's to tell. */
    if (result == -ETIMEDOUT && !bytes && !ask(port).accepted)
        result = timeout == GNL_NOWAIT ? 0 : -EAGAIN;
    if (result < 0)
        return result;
    gnl_finish(port);
    int64_t start = now_ns(), next;
    int64_t patience = timeout != GNL_FOREVER && timeout < OUTCOME_NS ? timeout : OUTCOME_NS;
    bool accepted = bytes || timeout == GNL_NOWAIT;
    do {
        next = slice(start, accepted ? patience : timeout);
        result = interrupt_caught() != 0 ? -EINTR : gnl_take(port, &message, next);
        if (result == 0)
            gnl_done(&message);
        if (!accepted && ask(port).accepted) {
            accepted = true;
            start = now_ns();
        }
    } while (next > 0 && (result == 0 || result == -ETIMEDOUT));
    /* An answer that is too large for this side is no refusal. */
    bool fine = result == 0 || result == -EAGAIN || result == -ETIMEDOUT || result == -EMSGSIZE ||
                (result == -EPIPE && outcome_ended_well(port));
    return !fine ? result : accepted ? 0 : -EAGAIN;
}

int outcome_reason(gnl_port *port)
{
    gnl_message message;
    int result;

    while ((result = gnl_take(port, &message, GNL_NOWAIT)) == 0)
        gnl_done(&message);
    return result == -EAGAIN || (result == -EPIPE && outcome_ended_well(port)) ? 0 : result;
}
