/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities: the public calls.
 *
 *   A: relaxed: marks; closing is ordered by life/process.h.
 */
#include <ginnel/identity.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"

/* ---- entering ---- */

static int enter(struct gnl_identity *me)
{
    gnli_failure_begin();
    if (!me)
        return gnli_fail(-EINVAL, "no identity given");
    gnli_enter(me);
    int result = 0;
    if (!gnli_process_is(atomic_load_explicit(&me->stamp, memory_order_relaxed))) /* A */
        result = gnli_fail(-EPERM, "%s: is the parent process's", me->subject);
    else if (atomic_load_explicit(&me->closing, memory_order_relaxed)) /* A */
        result = gnli_fail_plain(-ECANCELED, me->subject);
    if (result < 0)
        gnli_leave();
    return result;
}

static ssize_t leave(struct gnl_identity *me, ssize_t result, const char *subject)
{
    if (result < 0)
        gnli_fail_plain((int)result, subject ? subject : me->subject);
    gnli_leave();
    return result;
}

/* ---- claiming and releasing ---- */

static void init_monotonic(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int open_descriptors(struct gnl_identity *me)
{
    me->epoll = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    me->interrupt = gnli_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (me->epoll < 0 || me->interrupt < 0)
        return -errno;
    int result = gnli_process_close_in_child(me->epoll);
    if (result == 0)
        result = gnli_watch(me, me->interrupt, GNLI_INTERRUPT_ID, true);
    if (result == 0)
        result = gnli_watch(me, me->claim.listener, GNLI_LISTENER_ID, true);
    return result;
}

static void free_identity(struct gnl_identity *me, bool ours)
{
    int descriptor = gnli_event_descriptor(&me->event);

    if (ours) {
        gnli_shut(&me->epoll);
        gnli_shut(&me->interrupt);
        gnli_shut(&me->appear);
        gnli_shut(&descriptor);
        if (me->claim.listener >= 0)
            gnli_process_closed(me->claim.listener);
    }
    gnli_claim_release(&me->claim, ours);
    free(me);
}

static int claim(struct gnl_identity *me, const char *name)
{
    char address_text[GNL_ADDRESS_MAX + 1];
    struct gnli_address address;

    snprintf(address_text, sizeof address_text, "direct:%.100s", name);
    int result = gnli_address_parse(&address, address_text);
    if (result < 0)
        return result;
    snprintf(me->subject, sizeof me->subject, "identity '%.80s'", name);
    result = gnli_claim_take(&me->claim, &address, me->subject);
    if (result < 0)
        return result;
    atomic_store_explicit(&me->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
    result = open_descriptors(me);
    if (result < 0)
        gnli_fail_errno(-result, "%s: cannot watch its links", me->subject);
    return result;
}

int gnl_identity_claim(gnl_identity **identity, const char *name)
{
    gnli_failure_begin();
    if (!identity || !name)
        return gnli_fail(-EINVAL, "gnl_identity_claim: no %s given",
                         identity ? "name" : "place for the identity");
    int result = gnli_process_prepare();
    if (result < 0)
        return result;
    struct gnl_identity *me = calloc(1, sizeof *me);
    if (!me)
        return gnli_fail_plain(-ENOMEM, "identity");
    me->epoll = me->interrupt = me->appear = -1;
    gnli_event_init(&me->event);
    me->claim.listener = -1;
    me->next_id = GNLI_PARTS;
    me->capacity = GNL_CAPACITY_DEFAULT;
    pthread_mutex_init(&me->lock, NULL);
    pthread_mutex_init(&me->waking, NULL);
    init_monotonic(&me->woken);
    result = claim(me, name);
    if (result == 0)
        *identity = me;
    else if (me->claim.listener >= 0)
        free_identity(me, true);
    else
        free(me);
    return result;
}

int gnl_identity_allow(gnl_identity *me, uid_t uid, gid_t gid)
{
    int result = enter(me);

    if (result < 0)
        return result;
    pthread_mutex_lock(&me->lock);
    if (me->allowed_count == GNLI_ALLOWED_MAX)
        result =
            gnli_fail(-ENOSPC, "%s: %d users and groups are allowed already", me->subject, GNLI_ALLOWED_MAX);
    else if ((result = gnli_claim_admit(&me->claim, uid, gid)) < 0)
        gnli_fail_errno(-result, "%s: cannot let others in", me->subject);
    else
        me->allowed[me->allowed_count++] = (struct gnli_allowed){ .uid = uid, .gid = gid };
    pthread_mutex_unlock(&me->lock);
    return (int)leave(me, result, NULL);
}

static bool valid_capacity(int64_t capacity)
{
    return capacity == GNL_RENDEZVOUS || capacity == GNL_UNBOUNDED ||
           (capacity >= 0 && capacity <= GNL_CAPACITY_MAX);
}

int gnl_identity_capacity(gnl_identity *me, int64_t capacity)
{
    int result = enter(me);

    if (result < 0)
        return result;
    if (!valid_capacity(capacity))
        return (int)leave(me, gnli_fail(-EINVAL, "%s: no such capacity", me->subject), NULL);
    pthread_mutex_lock(&me->lock);
    me->capacity = capacity == 0 ? GNL_CAPACITY_DEFAULT : capacity;
    pthread_mutex_unlock(&me->lock);
    return (int)leave(me, 0, NULL);
}

static void end_helper(struct gnl_identity *me)
{
    if (me->has_helper) {
        gnli_link_interrupt(me);
        pthread_join(me->helper, NULL);
    }
}

int gnl_identity_release(gnl_identity *me)
{
    gnli_failure_begin();
    if (!me)
        return 0;
    bool ours = gnli_process_is(atomic_load_explicit(&me->stamp, memory_order_relaxed)); /* A */
    if (atomic_exchange_explicit(&me->closing, true, memory_order_relaxed))              /* A */
        return gnli_fail(-EINVAL, "%s: released twice", me->subject);
    while (ours && gnli_anyone_inside(me)) {
        gnli_link_interrupt(me);
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    gnli_memberships_end(&me->memberships);
    if (ours)
        end_helper(me);
    while (me->links && ours)
        gnl_close(&me->links->port);
    while (me->links) { /* whether one of the parent's threads was closing it or not */
        gnli_memberships_end(&me->links->port.memberships);
        gnli_link_operations.close(&me->links->port);
    }
    while (me->callers) {
        struct gnli_caller *caller = me->callers;
        me->callers = caller->next;
        if (ours) {
            gnli_shut(&caller->socket);
            gnli_shut(&caller->life);
        }
        free(caller);
    }
    free_identity(me, ours);
    return 0;
}

/* ---- sending and receiving by name ---- */

/* The link with a name that a caller gave; it stays until link_leave. */
static int link_enter(struct gnl_identity *me, const char *name, struct gnli_link **found)
{
    if (!name)
        return gnli_fail(-EINVAL, "%s: no name given", me->subject);
    if (me->claim.address.machine_wide && name[0] == '/')
        name++;
    else if (me->claim.address.machine_wide != (name[0] == '/'))
        return gnli_fail(-EINVAL, "%s: links lead to names of its own kind, %s: not '%.80s'", me->subject,
                         me->claim.address.machine_wide ? "machine-wide" : "this user's", name);
    if (!gnli_name_valid(name))
        return gnli_fail(-EINVAL, "'%.80s' is not a name: 1 to 63 of A-Z a-z 0-9 . _ -, no leading dot",
                         name);
    if (strcmp(name, me->claim.address.name) == 0)
        return gnli_fail(-EINVAL, "%s: that is its own name", me->subject);
    pthread_mutex_lock(&me->lock);
    struct gnli_link *link = gnli_link_find(me, name, true);
    if (link)
        link->users++;
    pthread_mutex_unlock(&me->lock);
    if (!link)
        return gnli_fail_plain(-ENOMEM, me->subject);
    *found = link;
    return 0;
}

static ssize_t link_leave(struct gnl_identity *me, struct gnli_link *link, ssize_t result)
{
    char subject[GNL_ADDRESS_MAX + 1];

    assert(link);
    strcpy(subject, link->port.subject);
    pthread_mutex_lock(&me->lock);
    link->users--;
    if (gnli_link_idle(link) && !link->untold && !link->in_untold) {
        gnli_link_unlist(me, link);
        free(link);
    }
    pthread_mutex_unlock(&me->lock);
    return leave(me, result, subject);
}

/* From now on the program has the port, until it closes it. */
static gnl_port *lend(struct gnl_identity *me, struct gnli_link *link)
{
    pthread_mutex_lock(&me->lock);
    link->lent = true;
    pthread_mutex_unlock(&me->lock);
    return &link->port;
}

static int bad_arguments(const void *data, size_t size, int64_t timeout)
{
    if (timeout < GNL_FOREVER)
        return gnli_fail(-EINVAL, "a timeout is 0 or more nanoseconds, or GNL_FOREVER");
    if (!data && size > 0)
        return gnli_fail(-EINVAL, "no data given, but a size");
    return 0;
}

int gnl_send_to(gnl_identity *me, const char *name, const void *data, size_t size, int64_t timeout)
{
    struct gnli_link *link = NULL;
    int result = enter(me);

    if (result < 0)
        return result;
    result = bad_arguments(data, size, timeout);
    if (result == 0)
        result = link_enter(me, name, &link);
    if (result < 0)
        return (int)leave(me, result, NULL);
    if (atomic_load_explicit(&link->port.finished, memory_order_relaxed)) /* A */
        result = gnli_fail(-EPIPE, "%s: this side said that it sends no more", link->port.subject);
    else
        result = gnli_link_send(&link->port, data, size, timeout);
    return (int)link_leave(me, link, result);
}

static int receive_from_anyone(struct gnl_identity *me, struct gnli_link *none, void *context)
{
    int result = -EAGAIN;

    (void)none;
    pthread_mutex_lock(&me->lock);
    uint64_t count = 0, place = 0;
    for (struct gnli_link *link = me->links; link; link = link->next)
        count++;
    /* Each time another first: who sends without end keeps nobody else off. */
    uint64_t first = count > 0 ? me->turn % count : 0;
    for (unsigned round = 0; round < 2 && result == -EAGAIN; round++) {
        place = 0;
        for (struct gnli_link *link = me->links; link && result == -EAGAIN; link = link->next, place++)
            if ((place >= first) == (round == 0))
                result = gnli_link_receive(me, link, context);
    }
    if (result != -EAGAIN)
        me->turn = place;
    pthread_mutex_unlock(&me->lock);
    return result;
}

ssize_t gnl_recv_from(gnl_identity *me, const char *name, void *data, size_t size, struct gnl_sender *sender,
                      int64_t timeout)
{
    static char nowhere;
    struct gnl_sender from;
    struct gnli_receipt receipt = {
        .data = data ? data : &nowhere, .size = size, .sender = &from, .from_anyone = name == NULL
    };
    struct gnli_link *link = NULL;
    ssize_t result = enter(me);

    if (result < 0)
        return result;
    result = bad_arguments(data, size, timeout);
    if (result == 0 && name)
        result = link_enter(me, name, &link);
    if (result < 0)
        return leave(me, result, NULL);
    result = link ? gnli_link_receive(me, link, &receipt) : receive_from_anyone(me, NULL, &receipt);
    if (result == -EAGAIN)
        result =
            gnli_link_wait(me, link, true, timeout, link ? gnli_link_receive : receive_from_anyone, &receipt);
    if (result == 0 && sender)
        *sender = from;
    if (result == 0)
        result = receipt.received;
    gnli_identity_received(me, link);
    return link ? link_leave(me, link, result) : leave(me, result, NULL);
}

int gnl_link(gnl_identity *me, const char *name, gnl_port **port, int64_t timeout)
{
    struct gnli_link *link = NULL;
    int result = enter(me);

    if (result < 0)
        return result;
    result = bad_arguments("", 0, timeout);
    if (result == 0 && !port)
        result = gnli_fail(-EINVAL, "%s: nowhere to put the port", me->subject);
    if (result == 0)
        result = link_enter(me, name, &link);
    if (result < 0)
        return (int)leave(me, result, NULL);
    assert(link && port);
    result = gnli_link_met(me, link, timeout);
    if (result == 0)
        *port = lend(me, link);
    return (int)link_leave(me, link, result);
}

int gnli_link_open(struct gnl_identity *me, const char *name, gnl_port **port, int64_t capacity,
                   size_t message_max)
{
    struct gnli_link *link = NULL;
    int result = enter(me);

    if (result < 0)
        return result;
    if (!valid_capacity(capacity) || message_max > GNL_MESSAGE_MAX_LIMIT)
        result = gnli_fail(-EINVAL, "%s: no such capacity, or no such message_max", me->subject);
    if (result == 0)
        result = link_enter(me, name, &link);
    if (result < 0)
        return (int)leave(me, result, NULL);
    assert(link);
    bool locked = gnli_lock(&link->sending);
    bool met = link->out != NULL;
    int64_t has = met ? link->out->capacity : link->capacity;
    uint64_t most = met ? link->out->message_max : link->message_max;
    if (met && ((capacity != 0 && capacity != has) || (message_max != 0 && message_max != most)))
        result = gnli_fail(-EINVAL, "%s: exists with another capacity or message_max", link->port.subject);
    else if (!met) {
        link->capacity = capacity != 0 ? capacity : has;
        link->message_max = message_max != 0 ? message_max : most;
    }
    gnli_unlock(&link->sending, locked);
    if (result == 0)
        *port = lend(me, link);
    return (int)link_leave(me, link, result);
}

ssize_t gnli_identity_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                              struct gnl_participant *participants, size_t count)
{
    struct gnl_port_info seen = { .kind = GNL_DIRECT, .two_way = 1 };
    struct gnl_participant has = { .same_pid_namespace = 1 };

    int result = gnli_claim_look(address, &seen, &has);
    if (result < 0)
        return result;
    gnli_address_format(address, seen.address);
    *info = seen;
    if (has.pid != 0 && count > 0)
        participants[0] = has;
    return has.pid != 0;
}

int gnl_identity_fd(gnl_identity *me)
{
    int result = enter(me);

    return result < 0 ? result : (int)leave(me, gnli_identity_descriptor(me), NULL);
}

int gnli_identity_join(gnl_identity *me, gnli_join *join, void *context)
{
    int result = enter(me);

    if (result < 0)
        return result;
    result = gnli_identity_descriptor(me);
    if (result >= 0)
        result = join(&me->memberships, (int[]){ result, -1 }, context);
    return (int)leave(me, result, NULL);
}
