/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as messages: a port over a signalfd, and an eventfd for what was given back. Both are in an epoll
 * set, which is the port's descriptor and what a receiver sleeps on.
 *
 *   A: relaxed: the marks of a port; closing is ordered by life/process.h.
 */
#include <ginnel/signals.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <ginnel/timeouts.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "memory/file.h"
#include "port/port.h"
#include "wait/event.h"

/* A signal that somebody holds, or that was given back. */
struct place {
    struct gnl_signal signal;
    uint64_t serial; /* of its use: a copy of a message that has ended ends no other; 0: free */
    unsigned deliveries;
    bool vouched, returned;
};

struct signal_port {
    struct gnl_port port;
    sigset_t signals;
    sigset_t blocked; /* those that were not blocked before */
    pthread_t opener;
    int signalfd, epoll;
    struct gnli_event news; /* in it: something was given back, or the port is closing */
    pthread_mutex_t lock;   /* what follows */
    struct place places[GNL_HELD_MAX];
    unsigned returned_count;
    uint64_t serial, received, redelivered;
};

enum { MESSAGE_PLACE, MESSAGE_SERIAL, MESSAGE_STAMP };

static struct signal_port *port_of(gnl_port *port)
{
    return (struct signal_port *)(void *)port;
}

/* ---- receiving ---- */

static int64_t time_now(void)
{
    return gnli_clock_ns(CLOCK_REALTIME);
}

/* A sender that is the kernel's word: of sigqueue(3) it is the sender's own. */
static bool vouched(int code)
{
    return code >= 0 || code == SI_TKILL;
}

/* The next signal from the kernel. -EAGAIN. */
static int read_signal(struct signal_port *port, struct place *place)
{
    struct signalfd_siginfo seen;
    ssize_t got;

    do
        got = read(port->signalfd, &seen, sizeof seen);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (got != sizeof seen)
        return -EAGAIN;
    *place = (struct place){
        .signal = { .signo = (int)seen.ssi_signo,
                    .value = seen.ssi_signo == SIGCHLD && seen.ssi_code > 0 ? seen.ssi_status : seen.ssi_int,
                    .sender = { .pid = (pid_t)seen.ssi_pid, .uid = seen.ssi_uid, .gid = (gid_t)-1 },
                    .code = seen.ssi_code,
                    .time = time_now() },
        .deliveries = 1,
        .vouched = vouched(seen.ssi_code),
    };
    return 0;
}

/* One that was given back: the first. The lock is held, and there is one. */
static struct place *first_returned(struct signal_port *port)
{
    struct place *first = NULL;

    for (unsigned i = 0; i < GNL_HELD_MAX; i++) {
        struct place *place = &port->places[i];
        if (place->returned && (!first || place->serial < first->serial))
            first = place;
    }
    return first;
}

static void keep_news(struct signal_port *port)
{
    gnli_event_set(&port->news, port->returned_count > 0 ||
                                    atomic_load_explicit(&port->port.closing, memory_order_relaxed)); /* A */
}

/* Into `place`, or where it lies if it was given back: *found. The lock is held. */
static int next_signal(struct signal_port *port, struct place *place, struct place **found)
{
    int result = 0;

    if (port->returned_count > 0) {
        *found = first_returned(port);
        (*found)->returned = false;
        (*found)->deliveries++;
        port->returned_count--;
        port->redelivered++;
        keep_news(port);
    } else {
        *found = place;
        result = read_signal(port, place);
        port->received += result == 0;
    }
    return result;
}

static struct place *free_place(struct signal_port *port)
{
    for (unsigned i = 0; i < GNL_HELD_MAX; i++)
        if (port->places[i].serial == 0)
            return &port->places[i];
    return NULL;
}

static void describe(struct signal_port *port, struct place *place, gnl_message *message)
{
    *message = (gnl_message){
        .data = &place->signal,
        .size = sizeof place->signal,
        .sender = place->signal.sender,
        .flags = (place->vouched ? GNL_SENDER_VOUCHED : 0u) | (place->deliveries > 1 ? GNL_REDELIVERED : 0u),
        .deliveries = place->deliveries,
        .port_ = &port->port,
        .private_ = { [MESSAGE_PLACE] = (uint64_t)(place - port->places),
                      [MESSAGE_SERIAL] = place->serial,
                      [MESSAGE_STAMP] =
                          atomic_load_explicit(&port->port.stamp, memory_order_relaxed) }, /* A */
    };
}

/* Without waiting; message NULL: into the buffer. */
static int try_receive(struct signal_port *port, struct gnl_signal *copy, gnl_message *message)
{
    struct place here, *found = NULL;

    pthread_mutex_lock(&port->lock);
    struct place *place = message && port->returned_count == 0 ? free_place(port) : &here;
    int result = place ? next_signal(port, place, &found) : -ENOBUFS;
    if (result == 0 && message) {
        found->serial = ++port->serial;
        describe(port, found, message);
    } else if (result == 0) {
        assert(copy && found);
        *copy = found->signal;
        if (found != &here)
            found->serial = 0;
    }
    pthread_mutex_unlock(&port->lock);
    return result;
}

static int receive(gnl_port *base, struct gnl_signal *copy, gnl_message *message, int64_t timeout)
{
    struct signal_port *port = port_of(base);
    int64_t deadline = timeout == GNL_NOWAIT ? 0 : gnli_deadline_ns(timeout);

    for (;;) {
        struct epoll_event event;
        if (atomic_load_explicit(&base->closing, memory_order_relaxed)) /* A */
            return -ECANCELED;
        int result = try_receive(port, copy, message);
        if (result == -ENOBUFS)
            return gnli_fail(-ENOBUFS, "%s: %d messages are held already: gnl_done some", base->subject,
                             GNL_HELD_MAX);
        if (result != -EAGAIN || timeout == GNL_NOWAIT)
            return result;
        if (gnli_now_ns() >= deadline)
            return -ETIMEDOUT;
        if (gnli_epoll_wait(port->epoll, &event, 1, deadline) < 0 && errno != EINTR)
            return -errno;
    }
}

static ssize_t receive_copy(gnl_port *base, void *data, size_t size, int64_t timeout)
{
    struct gnl_signal signal;

    if (size < sizeof signal)
        return gnli_fail(-EMSGSIZE, "%s: a message is a struct gnl_signal of %zu bytes, the buffer of %zu",
                         base->subject, sizeof signal, size);
    int result = receive(base, &signal, NULL, timeout);
    if (result < 0)
        return result;
    memcpy(data, &signal, sizeof signal);
    return sizeof signal;
}

static int take(gnl_port *base, gnl_message *message, int64_t timeout)
{
    return receive(base, NULL, message, timeout);
}

static int end(gnl_port *base, gnl_message *message, bool giveback)
{
    struct signal_port *port = port_of(base);
    uint64_t at = message->private_[MESSAGE_PLACE];
    int result = -EINVAL;

    pthread_mutex_lock(&port->lock);
    struct place *place = at < GNL_HELD_MAX ? &port->places[at] : NULL;
    if (place && place->serial != 0 && place->serial == message->private_[MESSAGE_SERIAL]) {
        result = 0;
        place->serial = giveback ? ++port->serial : 0; /* who still has the message has it no more */
        place->returned = giveback;
        port->returned_count += giveback;
        keep_news(port);
    }
    pthread_mutex_unlock(&port->lock);
    if (result < 0)
        return gnli_fail(-EINVAL, "%s: this message has ended", base->subject);
    message->port_ = NULL;
    message->data = NULL;
    return 0;
}

static int done(gnl_port *base, gnl_message *message)
{
    return end(base, message, false);
}

static int giveback(gnl_port *base, gnl_message *message)
{
    return end(base, message, true);
}

/* ---- the other operations ---- */

static int send_nothing(gnl_port *base, const void *data, size_t size, int64_t timeout)
{
    (void)data, (void)size, (void)timeout;
    return gnli_fail(-EPERM, "%s: this port may only receive", base->subject);
}

static int loan_nothing(gnl_port *base, gnl_message *message, size_t size, int64_t timeout)
{
    return send_nothing(base, message, size, timeout);
}

static int post_nothing(gnl_port *base, gnl_message *message, int64_t timeout)
{
    return send_nothing(base, message, 0, timeout);
}

static int descriptor_of(gnl_port *base, bool sending)
{
    (void)sending;
    return port_of(base)->epoll;
}

static unsigned ready(gnl_port *base, unsigned events)
{
    struct epoll_event event;

    return gnli_epoll_wait(port_of(base)->epoll, &event, 1, 0) > 0 ? events & GNL_READABLE : 0;
}

static int finish(gnl_port *base)
{
    (void)base; /* it never sent anything */
    return 0;
}

/* How many of its signals are pending; of each one at least. */
static unsigned count_pending(const struct signal_port *port)
{
    unsigned count = 0;
    sigset_t pending;

    sigpending(&pending);
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        count += sigismember(&port->signals, signo) == 1 && sigismember(&pending, signo) == 1;
    return count;
}

static int info(gnl_port *base, struct gnl_port_info *info)
{
    struct signal_port *port = port_of(base);
    struct gnl_port_info seen = { .address = "signals",
                                  .kind = GNL_SIGNALS,
                                  .owner_uid = geteuid(),
                                  .mode = 0600,
                                  .capacity = GNL_UNBOUNDED,
                                  .message_max = sizeof(struct gnl_signal),
                                  .receivers = 1 };

    pthread_mutex_lock(&port->lock);
    for (unsigned i = 0; i < GNL_HELD_MAX; i++)
        seen.held += port->places[i].serial != 0 && !port->places[i].returned;
    seen.queued = port->returned_count + count_pending(port);
    seen.received = port->received;
    seen.sent = port->received + seen.queued - port->returned_count;
    seen.redelivered = port->redelivered;
    pthread_mutex_unlock(&port->lock);
    *info = seen;
    return 0;
}

static int after_fork(gnl_port *base)
{
    return gnli_fail(-EPERM, "%s: is the parent process's: close it, and open one of your own",
                     base->subject);
}

static void interrupt(gnl_port *base)
{
    struct signal_port *port = port_of(base);

    if (!gnli_process_is(atomic_load_explicit(&base->stamp, memory_order_relaxed))) /* A */
        return;
    pthread_mutex_lock(&port->lock);
    keep_news(port);
    pthread_mutex_unlock(&port->lock);
}

/* ---- opening and closing ---- */

static sigset_t taken; /* by ports of this process; under the handles' lock */

static void free_port(struct signal_port *port)
{
    int descriptors[3] = { port->epoll, port->signalfd, gnli_event_descriptor(&port->news) };

    for (int i = 0; i < 3; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    free(port);
}

static void untake(const sigset_t *signals)
{
    gnli_handles_lock();
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (sigismember(signals, signo) == 1)
            sigdelset(&taken, signo);
    gnli_handles_unlock();
}

static int close_port(gnl_port *base)
{
    struct signal_port *port = port_of(base);

    untake(&port->signals);
    if (pthread_equal(port->opener, pthread_self()))
        pthread_sigmask(SIG_UNBLOCK, &port->blocked, NULL);
    free_port(port);
    return 0;
}

static const struct gnli_port_operations operations = {
    .send = send_nothing,
    .recv = receive_copy,
    .loan = loan_nothing,
    .post = post_nothing,
    .take = take,
    .done = done,
    .giveback = giveback,
    .fd = descriptor_of,
    .ready = ready,
    .finish = finish,
    .info = info,
    .after_fork = after_fork,
    .interrupt = interrupt,
    .close = close_port,
};

static int collect(sigset_t *set, const int *signals, size_t count)
{
    static const int impossible[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

    sigemptyset(set);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof impossible / sizeof impossible[0]; j++)
            if (signals[i] == impossible[j])
                return gnli_fail(-EINVAL, "signals: SIG%s cannot arrive as a message: %s",
                                 sigabbrev_np(signals[i]),
                                 j < 2 ? "it cannot be blocked" : "it tells of a fault of the program's own");
        if (sigaddset(set, signals[i]) != 0) /* those that libc keeps for itself included */
            return gnli_fail(-EINVAL, "signals: there is no signal %d", signals[i]);
    }
    return 0;
}

static int take_signals(const sigset_t *signals)
{
    int busy = 0;

    gnli_handles_lock();
    for (int signo = 1; signo <= SIGRTMAX && busy == 0; signo++)
        busy = sigismember(signals, signo) == 1 && sigismember(&taken, signo) == 1 ? signo : 0;
    if (busy == 0)
        sigorset(&taken, &taken, signals);
    gnli_handles_unlock();
    return busy == 0 ? 0 : gnli_fail(-EBUSY, "signals: signal %d arrives at another port already", busy);
}

static int open_descriptors(struct signal_port *port)
{
    struct epoll_event event = { .events = EPOLLIN };

    port->epoll = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    port->signalfd = gnli_above_standard(signalfd(-1, &port->signals, SFD_CLOEXEC | SFD_NONBLOCK));
    int result = gnli_event_make(&port->news);
    if (port->epoll < 0 || port->signalfd < 0 || result < 0)
        return result < 0 ? result : -errno;
    if (epoll_ctl(port->epoll, EPOLL_CTL_ADD, port->signalfd, &event) != 0 ||
        epoll_ctl(port->epoll, EPOLL_CTL_ADD, gnli_event_descriptor(&port->news), &event) != 0)
        return -errno;
    return 0;
}

/* From here on they arrive. */
static void block(struct signal_port *port)
{
    sigset_t before;

    pthread_sigmask(SIG_BLOCK, &port->signals, &before);
    port->blocked = port->signals;
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        if (sigismember(&before, signo) == 1)
            sigdelset(&port->blocked, signo);
    port->opener = pthread_self();
}

int gnl_signal_port(gnl_port **made, const int *signals, size_t count)
{
    sigset_t set;

    gnli_failure_begin();
    if (!made || !signals || count == 0)
        return gnli_fail(-EINVAL, "gnl_signal_port: no %s given", made ? "signals" : "place for the port");
    int result = collect(&set, signals, count);
    if (result == 0)
        result = gnli_process_prepare();
    if (result == 0)
        result = take_signals(&set);
    if (result < 0)
        return result;
    struct signal_port *port = calloc(1, sizeof *port);
    if (!port) {
        untake(&set);
        return gnli_fail_plain(-ENOMEM, "signals");
    }
    port->port.operations = &operations;
    port->port.direction = GNL_RECV_ONLY;
    snprintf(port->port.subject, sizeof port->port.subject, "signals");
    atomic_store_explicit(&port->port.stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
    port->signals = set;
    port->epoll = port->signalfd = -1;
    pthread_mutex_init(&port->lock, NULL);
    gnli_event_init(&port->news);
    result = open_descriptors(port);
    if (result < 0) {
        untake(&set);
        free_port(port);
        return gnli_fail_errno(-result, "signals: no descriptors for a port");
    }
    block(port);
    *made = &port->port;
    return 0;
}
