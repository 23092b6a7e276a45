/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors of links and identities. A descriptor is an eventfd that a helper thread raises
 * while a receive would not block. It lets itself be woken like any sleeper, and looks around like one.
 *
 *   A: relaxed: marks and descriptors, written under the identity's lock.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"

static void raise_or_lower(_Atomic int *descriptor, bool *raised, bool receivable)
{
    int event = atomic_load_explicit(descriptor, memory_order_relaxed); /* A */
    uint64_t count = 1;

    if (event < 0 || receivable == *raised)
        return;
    ssize_t done = receivable ? write(event, &count, sizeof count) : read(event, &count, sizeof count);
    if (done == sizeof count || errno == EAGAIN)
        *raised = receivable;
}

/* The identity's lock is held. */
static bool look_at_descriptors(struct gnl_identity *me)
{
    bool any = false;

    for (struct gnli_link *link = me->links; link; link = link->next) {
        raise_or_lower(&link->descriptor, &link->raised, gnli_link_receivable(link, true));
        any = any || gnli_link_receivable(link, false);
    }
    raise_or_lower(&me->descriptor, &me->raised, any);
    return any;
}

static void *help(void *context)
{
    struct gnl_identity *me = context;

    while (!atomic_load_explicit(&me->closing, memory_order_relaxed)) { /* A */
        uint64_t seen = gnli_pump_rounds(me);
        pthread_mutex_lock(&me->lock);
        for (struct gnli_link *link = me->links; link; link = link->next)
            if (!link->raised)
                gnli_link_tell(link, true);
        pthread_mutex_unlock(&me->lock);
        gnli_process_barrier();
        pthread_mutex_lock(&me->lock);
        look_at_descriptors(me);
        pthread_mutex_unlock(&me->lock);
        gnli_pump(me, seen, gnli_now_ns() + GNLI_LINK_LOOK_NS);
    }
    return NULL;
}

/* Under the identity's lock. */
static int make_descriptor(struct gnl_identity *me, _Atomic int *descriptor)
{
    int event = gnli_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (event < 0)
        return gnli_fail_errno(errno, "%s: no pollable descriptor", me->subject);
    if (!me->has_helper) {
        int error = gnli_thread_start(&me->helper, help, me);
        if (error != 0) {
            close(event);
            return gnli_fail_errno(error, "%s: cannot start the thread for pollable descriptors",
                                   me->subject);
        }
        me->has_helper = true;
    }
    if (gnli_process_close_in_child(event) < 0) {
        close(event);
        return gnli_fail_plain(-ENOMEM, me->subject);
    }
    atomic_store_explicit(descriptor, event, memory_order_relaxed); /* A */
    look_at_descriptors(me);
    gnli_link_interrupt(me);
    return event;
}

static int descriptor_of(struct gnl_identity *me, _Atomic int *descriptor)
{
    gnli_pump(me, gnli_pump_rounds(me), 0);
    pthread_mutex_lock(&me->lock);
    int event = atomic_load_explicit(descriptor, memory_order_relaxed); /* A */
    if (event < 0)
        event = make_descriptor(me, descriptor);
    pthread_mutex_unlock(&me->lock);
    return event;
}

int gnli_identity_descriptor(struct gnl_identity *me)
{
    return descriptor_of(me, &me->descriptor);
}

int gnli_link_fd(gnl_port *port)
{
    return descriptor_of(gnli_link_of(port)->me, &gnli_link_of(port)->descriptor);
}

void gnli_identity_received(struct gnl_identity *me, struct gnli_link *link)
{
    if (atomic_load_explicit(&me->descriptor, memory_order_relaxed) < 0 &&            /* A */
        (!link || atomic_load_explicit(&link->descriptor, memory_order_relaxed) < 0)) /* A */
        return;
    if (link && gnli_link_receivable(link, true))
        return;
    pthread_mutex_lock(&me->lock);
    bool any = look_at_descriptors(me);
    pthread_mutex_unlock(&me->lock);
    if (!any || link)
        gnli_link_interrupt(me); /* the helper says that it sleeps again */
}
