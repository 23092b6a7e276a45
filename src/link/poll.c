/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors of links and identities, which a helper thread keeps true. It lets itself be woken
 * like any sleeper, looks around like one, and connects where somebody polls for room.
 *
 *   A: relaxed: the mark of closing; whoever sets it wakes the helper.
 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"

/* Keeps a link's two true. Lowered: the helper is to be told. The identity's lock is held. */
static bool keep(struct gnli_link *link)
{
    bool raised[2] = { link->events[0].raised, link->events[1].raised };

    gnli_event_set(&link->events[0], gnli_link_receivable(link, true));
    if (gnli_event_descriptor(&link->events[1]) >= 0)
        gnli_event_set(&link->events[1], gnli_link_sendable(link));
    return raised[0] > link->events[0].raised || raised[1] > link->events[1].raised;
}

/* The identity's lock is held. */
static bool keep_all(struct gnl_identity *me)
{
    bool any = false;

    for (struct gnli_link *link = me->links; link; link = link->next) {
        keep(link);
        any = any || gnli_link_receivable(link, false);
    }
    gnli_event_set(&me->event, any);
    return any;
}

/* Is somebody still to appear, to whom a send would not block then? The identity's lock is held. */
static bool connect_some(struct gnl_identity *me)
{
    bool missing = false;

    for (struct gnli_link *link = me->links; link; link = link->next) {
        if (!gnli_event_due(&link->events[1]))
            continue;
        bool locked = gnli_lock(&link->sending);
        if (!link->out && !link->untold) {
            int result = gnli_link_connect(me, link);
            link->refused = result < 0 && result != -ENOENT && result != -EAGAIN;
            missing = missing || result < 0;
        }
        gnli_unlock(&link->sending, locked);
    }
    if (missing)
        gnli_watch_names(me);
    return missing;
}

static void *help(void *context)
{
    struct gnl_identity *me = context;

    while (!atomic_load_explicit(&me->closing, memory_order_relaxed)) { /* A */
        uint64_t seen = gnli_pump_rounds(me);
        pthread_mutex_lock(&me->lock);
        bool missing = connect_some(me);
        for (struct gnli_link *link = me->links; link; link = link->next)
            if (!link->events[0].raised || gnli_event_due(&link->events[1]))
                gnli_link_tell(link, true);
        pthread_mutex_unlock(&me->lock);
        gnli_process_barrier();
        pthread_mutex_lock(&me->lock);
        keep_all(me);
        pthread_mutex_unlock(&me->lock);
        gnli_pump(me, seen, gnli_now_ns() + (missing ? GNLI_NOBODY_YET_NS : GNLI_LINK_LOOK_NS));
    }
    return NULL;
}

/* Under the identity's lock. */
static int start_helper(struct gnl_identity *me)
{
    int error = me->has_helper ? 0 : gnli_thread_start(&me->helper, help, me);

    if (error != 0)
        return gnli_fail_errno(error, "%s: cannot start the thread for pollable descriptors", me->subject);
    me->has_helper = true;
    return 0;
}

/* Under the identity's lock. */
static int make(struct gnl_identity *me, struct gnli_event *event)
{
    int result = start_helper(me);

    if (result < 0)
        return result;
    result = gnli_event_make(event);
    if (result < 0)
        return gnli_fail_errno(-result, "%s: no pollable descriptor", me->subject);
    if (gnli_process_close_in_child(gnli_event_descriptor(event)) < 0) {
        close(gnli_event_descriptor(event));
        gnli_event_init(event);
        return gnli_fail_plain(-ENOMEM, me->subject);
    }
    keep_all(me);
    gnli_link_interrupt(me);
    return 0;
}

static int descriptor_of(struct gnl_identity *me, struct gnli_event *event)
{
    gnli_pump(me, gnli_pump_rounds(me), 0);
    pthread_mutex_lock(&me->lock);
    int result = gnli_event_descriptor(event) < 0 ? make(me, event) : 0;
    pthread_mutex_unlock(&me->lock);
    return result < 0 ? result : gnli_event_descriptor(event);
}

int gnli_identity_descriptor(struct gnl_identity *me)
{
    return descriptor_of(me, &me->event);
}

int gnli_link_fd(gnl_port *port, bool sending)
{
    return descriptor_of(gnli_link_of(port)->me, &gnli_link_of(port)->events[sending]);
}

unsigned gnli_link_ready(gnl_port *port, unsigned events)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnl_identity *me = link->me;
    unsigned ready = 0;

    pthread_mutex_lock(&me->lock);
    bool lowered = keep(link);
    for (int sending = 0; sending < 2; sending++) {
        unsigned asked = events & (sending ? GNL_WRITABLE : GNL_READABLE);
        if (asked && link->events[sending].raised)
            ready |= asked | (gnli_link_has_ended(link, sending) ? GNL_ENDED : 0);
    }
    pthread_mutex_unlock(&me->lock);
    if (lowered)
        gnli_link_interrupt(me); /* the helper says that it sleeps again */
    return ready;
}

void gnli_identity_received(struct gnl_identity *me, struct gnli_link *link)
{
    if (gnli_event_descriptor(&me->event) < 0 && (!link || gnli_event_descriptor(&link->events[0]) < 0))
        return;
    if (link && gnli_link_receivable(link, true))
        return;
    pthread_mutex_lock(&me->lock);
    bool any = keep_all(me);
    pthread_mutex_unlock(&me->lock);
    if (!any || link)
        gnli_link_interrupt(me); /* as above */
}

void gnli_link_sent(struct gnli_link *link)
{
    struct gnl_identity *me = link->me;

    if (gnli_event_descriptor(&link->events[1]) < 0 || gnli_link_sendable(link))
        return;
    pthread_mutex_lock(&me->lock);
    bool lowered = keep(link);
    pthread_mutex_unlock(&me->lock);
    if (lowered)
        gnli_link_interrupt(me); /* as above */
}
