/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors: of a port one for receiving and one for sending, kept true by a helper thread of
 * this process that sleeps on the mailboxes' futexes for all of them, and looks around ten times a second
 * like every sleeper. So a message is noticed even if its sender was killed before it could wake anybody,
 * and so is what a dead holder leaves.
 *
 * One is *watched* until it is raised, and again when a call has found the mailbox empty, or full, and has
 * lowered it. A helper serves up to POLLS_EACH of them; beyond that there is another one.
 *
 *   A: relaxed: set under the lock, or advice.
 *   B: the flag is raised (seq_cst), then the mailbox is looked at; who made something happen looks at the
 *      flag after it (seq_cst): mailbox/wait.c, B.
 *   C: a futex's word is read (seq_cst) before the look; whoever has news moves it (seq_cst) before the
 *      wake: who read it earlier does not fall asleep.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"

#define POLLS_EACH      (GNLI_FUTEX_MANY - 1)
#define LOOK_AROUND_NS  ((int64_t)100000000)
#define ASK_WHEN_ASLEEP 16

struct gnli_poll {
    struct gnli_event event; /* the watcher's lock is its keeper's */
    struct gnli_mailbox_port *port;
    bool sending;
    struct watcher *watcher;
};

struct watcher {
    pthread_t thread;
    pthread_mutex_t lock;
    _Atomic uint32_t control; /* moves when the list or a descriptor has changed; a futex */
    unsigned count;           /* under the lock */
    struct gnli_poll *polls[POLLS_EACH];
    struct watcher *next;
};

static struct watcher *watchers; /* under the handles' lock; helpers live as long as the process */
static uint64_t watchers_stamp;  /* of the process whose threads they are */

static struct gnli_poll *_Atomic *place_of(struct gnli_mailbox_port *port, bool sending)
{
    return sending ? &port->out_poll : &port->in_poll;
}

static struct gnli_poll *poll_of(struct gnli_mailbox_port *port, bool sending)
{
    return atomic_load_explicit(place_of(port, sending), memory_order_relaxed); /* A */
}

static bool holds(struct gnli_poll *poll)
{
    return poll->sending ? gnli_mailbox_sendable(poll->port) : gnli_mailbox_receivable(poll->port);
}

/* One round over all of them: raises and lowers, and says what to sleep on. The lock is held. */
static unsigned look_at_polls(struct watcher *watcher, struct gnli_futex_one *words)
{
    unsigned count = 0;

    for (unsigned i = 0; i < watcher->count; i++) {
        struct gnli_poll *poll = watcher->polls[i];
        struct gnli_sleepers *sleepers =
            poll->sending ? &poll->port->out.queue->senders : &poll->port->in.queue->receivers;
        uint32_t sequence = atomic_load_explicit(&sleepers->sequence, memory_order_seq_cst); /* C */
        atomic_store_explicit(&sleepers->flag, 1, memory_order_seq_cst);                     /* B */
        gnli_event_set(&poll->event, holds(poll)); /* lowered, where another process was quicker */
        if (!poll->event.raised)
            words[count++] = (struct gnli_futex_one){ .word = &sleepers->sequence, .value = sequence };
    }
    return count;
}

/* The lock is held. */
static void look_around(struct watcher *watcher)
{
    for (unsigned i = 0; i < watcher->count; i++) {
        struct gnli_mailbox *mailbox = watcher->polls[i]->port->mailbox;
        /* Taken for dead meanwhile? Its next receive joins anew. */
        gnli_participant_confirm(mailbox->view.file, mailbox->view.participants, gnli_mailbox_me(mailbox));
        gnli_mailbox_look_around(mailbox, ASK_WHEN_ASLEEP);
        gnli_mailbox_bury_again(watcher->polls[i]->port);
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
        unsigned count = 1 + look_at_polls(watcher, words + 1);
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

/* A helper with room for one more; the handles' lock is held. */
static struct watcher *find_watcher(void)
{
    if (watchers_stamp != gnli_process_stamp()) { /* after fork: those threads are the parent's */
        watchers = NULL;
        watchers_stamp = gnli_process_stamp();
    }
    for (struct watcher *watcher = watchers; watcher; watcher = watcher->next) {
        pthread_mutex_lock(&watcher->lock);
        bool room = watcher->count < POLLS_EACH;
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

static void free_poll(struct gnli_poll *poll)
{
    int descriptor = gnli_event_descriptor(&poll->event);

    if (descriptor >= 0)
        close(descriptor);
    free(poll);
}

static int start(struct gnli_mailbox_port *port, bool sending)
{
    struct gnli_poll *poll = calloc(1, sizeof *poll);
    if (!poll)
        return -ENOMEM;
    poll->port = port;
    poll->sending = sending;
    gnli_event_init(&poll->event);
    int result = gnli_event_make(&poll->event);
    if (result < 0) {
        free_poll(poll);
        return gnli_fail_errno(-result, "%s: no pollable descriptor", port->port.subject);
    }
    poll->watcher = find_watcher();
    if (!poll->watcher) {
        int error = errno;
        free_poll(poll);
        return gnli_fail_errno(error, "%s: cannot start the thread for pollable descriptors",
                               port->port.subject);
    }
    pthread_mutex_lock(&poll->watcher->lock);
    atomic_store_explicit(place_of(port, sending), poll, memory_order_relaxed); /* A */
    gnli_event_set(&poll->event, holds(poll));
    poll->watcher->polls[poll->watcher->count++] = poll;
    pthread_mutex_unlock(&poll->watcher->lock);
    poke(poll->watcher);
    return 0;
}

int gnli_mailbox_fd(gnl_port *base, bool sending)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);

    int result = gnli_mailbox_usable(port->mailbox);
    if (result < 0)
        return result;
    gnli_handles_lock();
    if (!poll_of(port, sending))
        result = start(port, sending);
    gnli_handles_unlock();
    return result < 0 ? result : gnli_event_descriptor(&poll_of(port, sending)->event);
}

static bool keep(struct gnli_poll *poll)
{
    bool ready = holds(poll);

    pthread_mutex_lock(&poll->watcher->lock);
    bool lowered = poll->event.raised && !ready;
    gnli_event_set(&poll->event, ready);
    pthread_mutex_unlock(&poll->watcher->lock);
    if (lowered)
        poke(poll->watcher); /* it sleeps on this one again */
    return ready;
}

void gnli_poll_changed(struct gnli_mailbox_port *port, bool sending)
{
    struct gnli_poll *poll = poll_of(port, sending);

    if (!holds(poll))
        keep(poll);
}

unsigned gnli_mailbox_ready(gnl_port *base, unsigned events)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    unsigned ready = gnli_mailbox_usable(port->mailbox) < 0 ? GNL_ENDED : 0;

    if ((events & GNL_READABLE) && keep(poll_of(port, false)))
        ready |= GNL_READABLE;
    if ((events & GNL_WRITABLE) && keep(poll_of(port, true)))
        ready |= GNL_WRITABLE;
    return ready;
}

static void stop_watching(struct gnli_poll *poll)
{
    struct watcher *watcher = poll->watcher;

    pthread_mutex_lock(&watcher->lock);
    for (unsigned i = 0; i < watcher->count; i++)
        if (watcher->polls[i] == poll)
            watcher->polls[i--] = watcher->polls[--watcher->count];
    pthread_mutex_unlock(&watcher->lock);
    poke(watcher);
}

void gnli_poll_close(struct gnli_mailbox_port *port)
{
    for (int sending = 0; sending < 2; sending++) {
        struct gnli_poll *poll = poll_of(port, sending);
        if (!poll)
            continue;
        gnli_handles_lock();
        if (watchers_stamp == gnli_process_stamp())
            stop_watching(poll);
        free_poll(poll);
        gnli_handles_unlock();
    }
}

void gnli_poll_forget(struct gnli_mailbox_port *port)
{
    for (int sending = 0; sending < 2; sending++)
        if (poll_of(port, sending)) {
            free_poll(poll_of(port, sending));
            atomic_store_explicit(place_of(port, sending), NULL, memory_order_relaxed); /* A */
        }
}
