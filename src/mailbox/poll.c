/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors: an eventfd per port, made readable by a helper thread of this process that
 * sleeps on the mailboxes' futexes for all such ports, and looks around ten times a second like
 * every sleeper. So a message is noticed even if its sender was killed before it could wake anybody,
 * and so is what a dead holder leaves.
 *
 * A port is *watched* until its descriptor is raised, and again when a receive has found the mailbox
 * empty and has lowered it. A helper serves up to PORTS_EACH ports; beyond that there is another one.
 *
 *   A: relaxed: set under the lock, or advice.
 *   B: the flag is raised (seq_cst), then the mailbox is looked at; a sender publishes, then looks at the
 *      flag (seq_cst): mailbox/wait.c, B.
 *   C: a futex's word is read (seq_cst) before the look; whoever has news moves it (seq_cst) before the
 *      wake: who read it earlier does not fall asleep.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"

#define PORTS_EACH      (GNLI_FUTEX_MANY - 1)
#define LOOK_AROUND_NS  ((int64_t)100000000)
#define ASK_WHEN_ASLEEP 16

struct gnli_poll {
    int descriptor; /* an eventfd */
    struct watcher *watcher;
    bool raised; /* under the watcher's lock */
};

struct watcher {
    pthread_t thread;
    pthread_mutex_t lock;
    _Atomic uint32_t control; /* moves when the list or a port's state has changed; a futex */
    unsigned count;           /* under the lock */
    struct gnli_mailbox_port *ports[PORTS_EACH];
    struct watcher *next;
};

static struct watcher *watchers; /* under the handles' lock; helpers live as long as the process */
static uint64_t watchers_stamp;  /* of the process whose threads they are */

static struct gnli_poll *poll_of(struct gnli_mailbox_port *port)
{
    return atomic_load_explicit(&port->poll, memory_order_relaxed); /* A */
}

/* The lock is held. */
static void raise_descriptor(struct gnli_poll *poll)
{
    uint64_t one = 1;

    poll->raised = write(poll->descriptor, &one, sizeof one) == sizeof one || errno == EAGAIN;
}

/* The lock is held. */
static void lower_descriptor(struct gnli_poll *poll)
{
    uint64_t count;

    if (read(poll->descriptor, &count, sizeof count) >= 0 || errno == EAGAIN)
        poll->raised = false;
}

/* One round over all ports: raises and lowers descriptors, and says what to sleep on. The lock is held. */
static unsigned look_at_ports(struct watcher *watcher, struct gnli_futex_one *words)
{
    unsigned count = 0;

    for (unsigned i = 0; i < watcher->count; i++) {
        struct gnli_mailbox_port *port = watcher->ports[i];
        struct gnli_poll *poll = poll_of(port);
        struct gnli_sleepers *sleepers = &port->in->queue->receivers;
        uint32_t sequence = atomic_load_explicit(&sleepers->sequence, memory_order_seq_cst); /* C */
        atomic_store_explicit(&sleepers->flag, 1, memory_order_seq_cst);                     /* B */
        bool receivable = gnli_mailbox_receivable(port);
        if (receivable && !poll->raised)
            raise_descriptor(poll);
        else if (!receivable && poll->raised) /* another process was quicker */
            lower_descriptor(poll);
        if (!poll->raised)
            words[count++] = (struct gnli_futex_one){ .word = &sleepers->sequence, .value = sequence };
    }
    return count;
}

/* The lock is held. */
static void look_around(struct watcher *watcher)
{
    for (unsigned i = 0; i < watcher->count; i++) {
        struct gnli_mailbox *mailbox = watcher->ports[i]->mailbox;
        /* Taken for dead meanwhile? Its next receive joins anew. */
        gnli_participant_confirm(mailbox->view.file, mailbox->view.participants, gnli_mailbox_me(mailbox));
        gnli_mailbox_look_around(mailbox, ASK_WHEN_ASLEEP);
        gnli_mailbox_bury_again(watcher->ports[i]);
    }
}

static void *watch(void *context)
{
    struct watcher *watcher = context;
    int64_t looked = gnli_now_ns();

    for (;;) {
        struct gnli_futex_one words[GNLI_FUTEX_MANY];
        uint32_t control = atomic_load_explicit(&watcher->control, memory_order_seq_cst); /* C */
        pthread_mutex_lock(&watcher->lock);
        if (gnli_now_ns() - looked >= LOOK_AROUND_NS) {
            look_around(watcher);
            looked = gnli_now_ns();
        }
        words[0] = (struct gnli_futex_one){ .word = &watcher->control, .value = control };
        unsigned count = 1 + look_at_ports(watcher, words + 1);
        bool idle = watcher->count == 0;
        pthread_mutex_unlock(&watcher->lock);
        if (idle)
            gnli_futex_wait(&watcher->control, control, GNLI_NEVER);
        else
            gnli_futex_wait_many(words, count, looked + LOOK_AROUND_NS);
    }
    return NULL;
}

static void poke(struct watcher *watcher)
{
    atomic_fetch_add_explicit(&watcher->control, 1, memory_order_seq_cst); /* C */
    gnli_futex_wake(&watcher->control);
}

/* A helper with room for one more port; the handles' lock is held. */
static struct watcher *find_watcher(void)
{
    if (watchers_stamp != gnli_process_stamp()) { /* after fork: those threads are the parent's */
        watchers = NULL;
        watchers_stamp = gnli_process_stamp();
    }
    for (struct watcher *watcher = watchers; watcher; watcher = watcher->next) {
        pthread_mutex_lock(&watcher->lock);
        bool room = watcher->count < PORTS_EACH;
        pthread_mutex_unlock(&watcher->lock);
        if (room)
            return watcher;
    }
    struct watcher *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    pthread_mutex_init(&made->lock, NULL);
    int error = gnli_thread_start(&made->thread, watch, made);
    if (error == 0)
        pthread_detach(made->thread);
    if (error != 0) {
        free(made);
        errno = error;
        return NULL;
    }
    made->next = watchers;
    watchers = made;
    return made;
}

static int start(struct gnli_mailbox_port *port)
{
    struct gnli_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return -ENOMEM;
    poll->descriptor = gnli_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (poll->descriptor < 0) {
        int error = errno;
        free(poll);
        return gnli_fail_errno(error, "%s: no pollable descriptor", port->port.subject);
    }
    poll->watcher = find_watcher();
    if (!poll->watcher) {
        int error = errno;
        close(poll->descriptor);
        free(poll);
        return gnli_fail_errno(error, "%s: cannot start the thread for pollable descriptors",
                               port->port.subject);
    }
    pthread_mutex_lock(&poll->watcher->lock);
    atomic_store_explicit(&port->poll, poll, memory_order_relaxed); /* A */
    if (gnli_mailbox_receivable(port))
        raise_descriptor(poll);
    poll->watcher->ports[poll->watcher->count++] = port;
    pthread_mutex_unlock(&poll->watcher->lock);
    poke(poll->watcher);
    return 0;
}

int gnli_mailbox_fd(gnl_port *base)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);

    int result = gnli_mailbox_usable(port->mailbox);
    if (result < 0)
        return result;
    gnli_handles_lock();
    if (!poll_of(port))
        result = start(port);
    gnli_handles_unlock();
    return result < 0 ? result : poll_of(port)->descriptor;
}

void gnli_poll_received(struct gnli_mailbox_port *port)
{
    struct gnli_poll *poll = poll_of(port);

    if (gnli_mailbox_receivable(port))
        return;
    pthread_mutex_lock(&poll->watcher->lock);
    bool was_raised = poll->raised;
    if (was_raised)
        lower_descriptor(poll);
    pthread_mutex_unlock(&poll->watcher->lock);
    if (was_raised)
        poke(poll->watcher);
}

void gnli_poll_close(struct gnli_mailbox_port *port)
{
    struct gnli_poll *poll = poll_of(port);

    if (!poll)
        return;
    gnli_handles_lock();
    struct watcher *watcher = watchers_stamp == gnli_process_stamp() ? poll->watcher : NULL;
    if (watcher) {
        pthread_mutex_lock(&watcher->lock);
        for (unsigned i = 0; i < watcher->count; i++)
            if (watcher->ports[i] == port)
                watcher->ports[i--] = watcher->ports[--watcher->count];
        pthread_mutex_unlock(&watcher->lock);
        poke(watcher);
    }
    close(poll->descriptor);
    free(poll);
    gnli_handles_unlock();
}

void gnli_poll_forget(struct gnli_mailbox_port *port)
{
    struct gnli_poll *poll = poll_of(port);

    if (poll) {
        close(poll->descriptor);
        free(poll);
        atomic_store_explicit(&port->poll, NULL, memory_order_relaxed); /* A */
    }
}
