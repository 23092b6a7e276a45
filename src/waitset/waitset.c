/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waitsets: an epoll set of the members' descriptors. Each kind of member has descriptors that the kernel
 * can wait for; of a port they may be true for a moment too long, so it is asked what holds before anybody
 * is told.
 *
 * The kernel begins each time with those that it has not told of: that is what keeps a set fair, as long as
 * it is asked for no more than the caller wants.
 *
 * Locks, outermost first: the handles', the set's, then those of ports.
 *
 *   A: relaxed: the mark of a port that is being closed, which leaves the set under its lock before it goes.
 */
#include <ginnel/waitset.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <ginnel/timeouts.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"
#include "memory/file.h"
#include "port/port.h"
#include "process/process.h"
#include "wait/event.h"
#include "waitset/members.h"

#define AT_A_TIME  64
#define RAISING    1    /* a number that no member has */
#define ROUNDS_MAX 1000 /* of a call that does not wait, over members that were not ready after all */

struct gnl_waitset {
    uint64_t stamp; /* of the process whose it is (life/process.h) */
    int epoll;
    struct gnli_event interrupt; /* in it, under no number: raised when the set ends */
    pthread_mutex_t lock;        /* what follows */
    struct gnli_members members;
    uint64_t looks;
    struct gnli_member *raised,
        **raised_end;          /* under the telling's lock (life/membership.h): the list, its end */
    struct gnli_event raising; /* in the epoll set: there is a list */
    unsigned inside;           /* calls */
    bool ending;
};

static const char subject[] = "waitset";

/* ---- entering ---- */

static int enter(gnl_waitset *set)
{
    int result = 0;

    gnli_failure_begin();
    if (!set)
        return gnli_fail(-EINVAL, "no waitset given");
    if (!gnli_process_is(set->stamp))
        return gnli_fail(-EPERM, "waitset: is the parent process's");
    pthread_mutex_lock(&set->lock);
    if (set->ending)
        result = gnli_fail_plain(-ECANCELED, subject);
    else
        set->inside++;
    pthread_mutex_unlock(&set->lock);
    return result;
}

static int leave(gnl_waitset *set, int result)
{
    if (result < 0)
        gnli_fail_plain(result, subject);
    pthread_mutex_lock(&set->lock);
    set->inside--;
    pthread_mutex_unlock(&set->lock);
    return result;
}

/* ---- making and ending ---- */

static int watch(gnl_waitset *set, int descriptor, uint32_t events, uint64_t number)
{
    struct epoll_event event = { .events = events, .data.u64 = number };

    return epoll_ctl(set->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

static void free_set(gnl_waitset *set, bool ours)
{
    int descriptors[3] = { set->epoll, gnli_event_descriptor(&set->interrupt),
                           gnli_event_descriptor(&set->raising) };

    for (int i = 0; i < 3 && ours; i++)
        if (descriptors[i] >= 0) {
            gnli_process_closed(descriptors[i]);
            close(descriptors[i]);
        }
    gnli_members_free(&set->members);
    free(set);
}

static int open_descriptors(gnl_waitset *set)
{
    set->epoll = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    if (set->epoll < 0)
        return -errno;
    int result = gnli_event_make(&set->interrupt);
    if (result == 0)
        result = watch(set, gnli_event_descriptor(&set->interrupt), EPOLLIN, 0);
    if (result == 0)
        result = gnli_event_make(&set->raising);
    if (result == 0)
        result = watch(set, gnli_event_descriptor(&set->raising), EPOLLIN, RAISING);
    if (result == 0)
        result = gnli_process_close_in_child(set->epoll);
    if (result == 0)
        result = gnli_process_close_in_child(gnli_event_descriptor(&set->interrupt));
    if (result == 0)
        result = gnli_process_close_in_child(gnli_event_descriptor(&set->raising));
    return result;
}

int gnl_waitset_new(gnl_waitset **made)
{
    gnli_failure_begin();
    if (!made)
        return gnli_fail(-EINVAL, "gnl_waitset_new: nowhere to put the set");
    int result = gnli_process_prepare();
    if (result < 0)
        return result;
    gnl_waitset *set = calloc(1, sizeof *set);
    if (!set)
        return gnli_fail_plain(-ENOMEM, subject);
    set->stamp = gnli_process_stamp();
    pthread_mutex_init(&set->lock, NULL);
    gnli_event_init(&set->interrupt);
    gnli_event_init(&set->raising);
    set->raised_end = &set->raised;
    result = open_descriptors(set);
    if (result < 0) {
        free_set(set, true);
        return gnli_fail_errno(-result, "waitset: cannot be made");
    }
    *made = set;
    return 0;
}

/* ---- what the kernel does not see ---- */

/* The telling's lock is held. */
static void raise(gnl_waitset *set, struct gnli_member *member)
{
    member->raised_next = NULL;
    member->raised_at = set->raised_end;
    *set->raised_end = member;
    set->raised_end = &member->raised_next;
    gnli_event_set(&set->raising, true);
}

static void lower(gnl_waitset *set, struct gnli_member *member)
{
    *member->raised_at = member->raised_next;
    if (member->raised_next)
        member->raised_next->raised_at = member->raised_at;
    else
        set->raised_end = member->raised_at;
    member->raised_at = NULL;
    gnli_event_set(&set->raising, set->raised != NULL);
}

static void told(struct gnli_membership *membership, enum gnli_unseen what, bool is_so)
{
    struct gnli_member *member = (struct gnli_member *)(void *)membership;
    struct epoll_event event = { .events = is_so ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u64 = member->number };

    if (member->descriptors[0] < 0)
        return; /* it does not receive */
    if (what == GNLI_WRITES)
        epoll_ctl(member->set->epoll, EPOLL_CTL_MOD, member->descriptors[0], &event);
    else if (is_so && !member->raised_at)
        raise(member->set, member);
    else if (!is_so && member->raised_at)
        lower(member->set, member);
}

/* Puts the numbers of so many into `events`, and these behind the others. How many. */
static int take_raised(gnl_waitset *set, struct epoll_event *events, int most)
{
    int count = 0;
    uint64_t first = 0;

    gnli_telling_lock();
    for (struct gnli_member *member; count < most && (member = set->raised) && member->number != first;) {
        first = first ? first : member->number;
        events[count++].data.u64 = member->number;
        lower(set, member);
        raise(set, member);
    }
    gnli_telling_unlock();
    return count;
}

/* Out of the kernel's set. */
static void unwatch(gnl_waitset *set, const struct gnli_member *member)
{
    for (int i = 0; i < 2; i++)
        if (member->descriptors[i] >= 0)
            epoll_ctl(set->epoll, EPOLL_CTL_DEL, member->descriptors[i], NULL);
}

/* In a forked child the set's descriptors are gone, and nobody tells. */
static void remove_member(gnl_waitset *set, struct gnli_member *member, bool ours)
{
    gnli_members_remove(&set->members, member);
    gnli_membership_end(&member->membership);
    gnli_telling_lock();
    if (ours && member->raised_at)
        lower(set, member);
    gnli_telling_unlock();
    free(member);
}

/* The handles' and the set's lock are held. */
static void drop(gnl_waitset *set, struct gnli_member *member)
{
    unwatch(set, member);
    remove_member(set, member, true);
}

/* What it is a member for is being closed. */
static void object_ends(struct gnli_membership *membership)
{
    struct gnli_member *member = (struct gnli_member *)(void *)membership;
    gnl_waitset *set = member->set;

    if (!gnli_process_is(set->stamp))
        return; /* a forked child: only memory, and that goes with the set */
    pthread_mutex_lock(&set->lock);
    drop(set, member);
    pthread_mutex_unlock(&set->lock);
}

static bool anyone_inside(gnl_waitset *set)
{
    pthread_mutex_lock(&set->lock);
    set->ending = true;
    gnli_event_set(&set->interrupt, true);
    bool result = set->inside > 0;
    pthread_mutex_unlock(&set->lock);
    return result;
}

void gnl_waitset_free(gnl_waitset *set)
{
    struct gnli_member *member;

    gnli_failure_begin();
    if (!set)
        return;
    bool ours = gnli_process_is(set->stamp);
    while (ours && anyone_inside(set))
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    gnli_handles_lock();
    while ((member = gnli_members_last(&set->members))) {
        if (ours)
            unwatch(set, member); /* the descriptor may live on in a copy */
        remove_member(set, member, ours);
    }
    gnli_handles_unlock();
    free_set(set, ours);
}

/* ---- adding and removing ---- */

#define PROCESS_EVENTS GNL_ENDED /* of a process, and of nothing else: a user asks for more */

/* What a descriptor is watched for. Those of ports and processes are readable, whatever they stand for. */
static uint32_t kernels_events(const struct gnli_member *member)
{
    if (member->port || member->events == PROCESS_EVENTS)
        return EPOLLIN;
    return (member->events & GNL_READABLE ? EPOLLIN | EPOLLRDHUP : 0) |
           (member->events & GNL_WRITABLE ? EPOLLOUT : 0);
}

/* Into the kernel's set: both, or none. */
static int watch_member(gnl_waitset *set, struct gnli_member *member)
{
    const int *descriptors = member->descriptors;
    int result = 0;

    for (int i = 0; i < 2 && result == 0; i++)
        if (descriptors[i] >= 0)
            result = watch(set, descriptors[i], kernels_events(member), member->number);
    if (result < 0 && descriptors[0] >= 0 && descriptors[1] >= 0)
        epoll_ctl(set->epoll, EPOLL_CTL_DEL, descriptors[0], NULL);
    return result;
}

static int why_not(int result)
{
    switch (result) {
    case -EEXIST:
        return gnli_fail(-EEXIST, "waitset: it is in the set already: remove it first");
    case -EPERM:
        return gnli_fail(-EOPNOTSUPP, "waitset: a regular file or directory is always ready");
    case -EINVAL:
    case -ELOOP:
        return gnli_fail(-EINVAL, "waitset: a set cannot wait for itself");
    default:
        return gnli_fail_errno(-result, "waitset: cannot watch it");
    }
}

/* The locks are held. `object` NULL: a plain descriptor. */
static int add_member(gnl_waitset *set, struct gnli_memberships *object, struct gnli_member *member)
{
    int result = gnli_members_add(&set->members, member);

    if (result < 0)
        return gnli_fail_plain(result, subject);
    result = watch_member(set, member);
    if (result < 0) {
        gnli_members_remove(&set->members, member);
        return why_not(result);
    }
    if (object)
        gnli_membership_begin(object, &member->membership);
    return 0;
}

static int join(struct gnli_memberships *object, const int descriptors[2], void *context)
{
    const struct gnli_member *wanted = context;
    gnl_waitset *set = wanted->set;
    struct gnli_member *member = malloc(sizeof *member);

    if (!member)
        return gnli_fail_plain(-ENOMEM, subject);
    *member = *wanted;
    member->membership.object_ends = object_ends;
    member->membership.told = told;
    member->descriptors[0] = descriptors[0];
    member->descriptors[1] = descriptors[1];
    gnli_handles_lock();
    pthread_mutex_lock(&set->lock);
    int result = add_member(set, object, member);
    pthread_mutex_unlock(&set->lock);
    gnli_handles_unlock();
    if (result < 0)
        free(member);
    return result;
}

static int check_events(unsigned events)
{
    if ((events & (GNL_READABLE | GNL_WRITABLE)) &&
        !(events & ~(unsigned)(GNL_READABLE | GNL_WRITABLE | GNL_ENDED)))
        return 0;
    return gnli_fail(-EINVAL, "waitset: events are GNL_READABLE, GNL_WRITABLE or both");
}

int gnl_waitset_add_port(gnl_waitset *set, gnl_port *port, unsigned events, void *tag)
{
    struct gnli_member wanted = { .set = set, .port = port, .tag = tag, .events = events };
    int result = enter(set);

    if (result < 0)
        return result;
    result = check_events(events);
    if (result == 0)
        result = gnli_port_join(port, events, join, &wanted);
    return leave(set, result);
}

int gnl_waitset_add_identity(gnl_waitset *set, gnl_identity *identity, void *tag)
{
    struct gnli_member wanted = { .set = set, .tag = tag, .events = GNL_READABLE };
    int result = enter(set);

    return result < 0 ? result : leave(set, gnli_identity_join(identity, join, &wanted));
}

int gnl_waitset_add_listener(gnl_waitset *set, gnl_listener *listener, void *tag)
{
    struct gnli_member wanted = { .set = set, .tag = tag, .events = GNL_READABLE };
    int result = enter(set);

    return result < 0 ? result : leave(set, gnli_listener_join(listener, join, &wanted));
}

int gnl_waitset_add_process(gnl_waitset *set, gnl_process *process, void *tag)
{
    struct gnli_member wanted = { .set = set, .tag = tag, .events = PROCESS_EVENTS };
    int result = enter(set);

    return result < 0 ? result : leave(set, gnli_process_join(process, join, &wanted));
}

int gnl_waitset_add_fd(gnl_waitset *set, int descriptor, unsigned events, void *tag)
{
    struct gnli_member wanted = { .set = set, .tag = tag, .events = events };
    int result = enter(set);

    if (result < 0)
        return result;
    result = descriptor < 0 ? gnli_fail(-EBADF, "waitset: no descriptor given") : check_events(events);
    if (result == 0)
        result = join(NULL, (int[]){ descriptor, -1 }, &wanted);
    return leave(set, result);
}

int gnl_waitset_remove(gnl_waitset *set, void *tag)
{
    int result = enter(set);

    if (result < 0)
        return result;
    struct gnli_member *member;
    gnli_handles_lock();
    pthread_mutex_lock(&set->lock);
    result = gnli_members_tagged(&set->members, tag) ? 0 : -ENOENT;
    while ((member = gnli_members_tagged(&set->members, tag)))
        drop(set, member);
    pthread_mutex_unlock(&set->lock);
    gnli_handles_unlock();
    if (result < 0)
        gnli_fail(-ENOENT, "waitset: nothing in it has that tag");
    return leave(set, result);
}

/* ---- waiting ---- */

/* What the kernel says of a descriptor that needs no second look. */
static unsigned translate(const struct gnli_member *member, uint32_t events)
{
    if (member->events == PROCESS_EVENTS)
        return GNL_ENDED;
    bool failed = events & (EPOLLHUP | EPOLLERR);
    bool ended = failed || (events & EPOLLRDHUP);

    return ((ended || (events & EPOLLIN)) && (member->events & GNL_READABLE) ? GNL_READABLE : 0) |
           ((failed || (events & EPOLLOUT)) && (member->events & GNL_WRITABLE) ? GNL_WRITABLE : 0) |
           (ended ? GNL_ENDED : 0);
}

/* One that is being closed is about to leave the set. */
static unsigned ask(gnl_port *port, unsigned events)
{
    return atomic_load_explicit(&port->closing, memory_order_relaxed) ? 0 /* A */
                                                                      : port->operations->ready(port, events);
}

/* Which of those that the kernel told of are ready. -ECANCELED: the set ends. */
static int look_at(gnl_waitset *set, const struct epoll_event *told, int count, struct gnl_event *events)
{
    int found = 0;

    pthread_mutex_lock(&set->lock);
    uint64_t look = ++set->looks;
    for (int i = 0; i < count; i++) {
        struct gnli_member *member = gnli_members_find(&set->members, told[i].data.u64);
        if (!member || member->told == look) /* a port has two descriptors */
            continue;
        member->told = look;
        unsigned ready = member->port ? ask(member->port, member->events) : translate(member, told[i].events);
        if (ready)
            events[found++] = (struct gnl_event){ .tag = member->tag, .events = ready };
    }
    if (set->ending)
        found = -ECANCELED;
    pthread_mutex_unlock(&set->lock);
    return found;
}

static int wait_for(gnl_waitset *set, struct gnl_event *events, int count, int64_t timeout)
{
    struct epoll_event told[AT_A_TIME];
    int64_t deadline = timeout == GNL_NOWAIT ? 0 : gnli_deadline_ns(timeout);

    for (unsigned rounds = 0;; rounds++) {
        int told_count = gnli_epoll_wait(set->epoll, told, count, deadline);
        if (told_count < 0 && errno != EINTR)
            return gnli_fail_errno(errno, "waitset: cannot wait");
        for (int i = 0; i < told_count; i++)
            if (told[i].data.u64 == RAISING) {
                told[i] = told[--told_count];
                told_count += take_raised(set, told + told_count, count - told_count);
                break;
            }
        int found = look_at(set, told, told_count, events);
        if (found != 0)
            return found;
        if (timeout == GNL_NOWAIT && (told_count <= 0 || rounds == ROUNDS_MAX))
            return -EAGAIN;
        if (timeout != GNL_NOWAIT && gnli_now_ns() >= deadline)
            return -ETIMEDOUT;
    }
}

int gnl_waitset_wait(gnl_waitset *set, struct gnl_event *events, size_t count, int64_t timeout)
{
    int result = enter(set);

    if (result < 0)
        return result;
    if (!events || count == 0)
        result = gnli_fail(-EINVAL, "waitset: no place for an event");
    else if (timeout < GNL_FOREVER)
        result = gnli_fail(-EINVAL, "a timeout is 0 or more nanoseconds, or GNL_FOREVER");
    else
        result = wait_for(set, events, count < AT_A_TIME ? (int)count : AT_A_TIME, timeout);
    return leave(set, result);
}

int gnl_waitset_fd(gnl_waitset *set)
{
    int result = enter(set);

    return result < 0 ? result : leave(set, set->epoll);
}
