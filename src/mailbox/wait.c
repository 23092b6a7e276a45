/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking and waking. docs/protocol.md, Sleeping.
 *
 *   A: relaxed: how many wait, for people to read; notes that a port makes for itself; where sleepers were
 *      woken from, which is advice.
 *   B: a sleeper raises the flag, then looks (seq_cst); who made something happen looks at the flag
 *      after it (seq_cst): one of them sees the other.
 *   C: the sequence is read (seq_cst) before the look, and moves (seq_cst) before the wake: who read it
 *      earlier does not fall asleep.
 *   D: who waits to receive says so, then, behind a fence, looks at the senders' flag (both seq_cst); who
 *      polls for room raises it, then looks whether somebody waits: mailbox/send.c, F.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <sched.h>

#include "base/clock.h"

#define WAKE_FOR_ONE_NS ((int64_t)5000000)
#define LOOK_AROUND_NS  ((int64_t)100000000)
#define ASK_WHEN_ASLEEP 16 /* participants asked after at a look around */
#define GLANCES         32 /* at the word that has to change, between two attempts */
#define TRIES_A_LOOK    4  /* at the clock, while spinning */

/* The core that this thread runs on, as it stands in a flag that is not raised: even; 0 unknown. */
static uint32_t core(void)
{
    return 2 * (uint32_t)(sched_getcpu() + 1);
}

/* After a sleep: was it ended from this very core? Not if the flag is up again: who knows. */
static bool woken_from_here(struct gnli_sleepers *sleepers)
{
    uint32_t from = atomic_load_explicit(&sleepers->flag, memory_order_relaxed); /* A */

    return from != 0 && from == core();
}

void gnli_wake_slowly(struct gnli_sleepers *sleepers)
{
    atomic_store_explicit(&sleepers->flag, core(), memory_order_seq_cst);    /* B K2 */
    atomic_fetch_add_explicit(&sleepers->sequence, 1, memory_order_seq_cst); /* C */
    gnli_futex_wake(&sleepers->sequence);
}

/*
 * Senders who sleep because a long queue is full go on once an eighth of it is free: woken for every slot
 * they would go to sleep again for every message. But of a queue that is received from slowly an eighth may
 * take for ever: so once in a while one slot is enough.
 */
void gnli_wake_senders_slowly(struct gnli_slots *ring, uint64_t position)
{
    struct gnli_queue *queue = ring->queue;

    if (ring->count > GNLI_RENDEZVOUS_SLOTS) {
        uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed); /* A */
        if (gnli_slots_distance(ring, position, tail) > (int64_t)(ring->count - ring->count / 8)) {
            int64_t now = gnli_tick_ns();
            int64_t since = now - atomic_load_explicit(&queue->woken_ns, memory_order_relaxed); /* A */
            if (since >= 0 && since < WAKE_FOR_ONE_NS)
                return;
            atomic_store_explicit(&queue->woken_ns, now, memory_order_relaxed); /* A */
        }
    }
    gnli_wake_slowly(&queue->senders);
}

void gnli_mailbox_wake_all(struct gnli_view *view)
{
    struct gnli_queue *queues = view->state->queues;

    for (unsigned i = 0; i < view->layout.queues; i++) {
        gnli_wake_slowly(&queues[i].receivers);
        gnli_wake_slowly(&queues[i].senders);
    }
}

/* Until it changes, for a while. Nothing else is looked at: each line more makes finding out slower. */
static void watch(const struct gnli_stuck *stuck)
{
    for (unsigned i = 0; i < GLANCES; i++) {
        gnli_pause();
        if (atomic_load_explicit(stuck->word, memory_order_relaxed) != stuck->seen) /* A */
            return;
    }
}

static int spin(struct gnli_mailbox_port *port, const struct gnli_patience *patience, int64_t deadline,
                gnli_attempt *attempt, void *context, struct gnli_stuck *stuck)
{
    int32_t budget = gnli_spin_budget_ns(patience->spin);

    if (budget == 0)
        return -EAGAIN;
    gnli_spin_lag(patience->spin);
    int64_t end = 0;
    do {
        for (unsigned i = 0; i < TRIES_A_LOOK; i++) {
            watch(stuck);
            int result = attempt(port, context, stuck);
            if (result != -EAGAIN) {
                gnli_spin_waited(patience->spin, 0, false);
                return result;
            }
        }
        if (end == 0) { /* not before: reading the clock takes as long as many messages do */
            end = gnli_now_ns() + budget;
            end = end < deadline ? end : deadline;
        }
    } while (gnli_now_ns() < end);
    return -EAGAIN;
}

static int sleep_on(struct gnli_mailbox_port *port, const struct gnli_patience *patience, int64_t deadline,
                    gnli_attempt *attempt, void *context, struct gnli_stuck *stuck)
{
    struct gnli_sleepers *sleepers = patience->sleepers;
    int64_t looked = gnli_now_ns();

    for (;;) {
        uint32_t sequence = atomic_load_explicit(&sleepers->sequence, memory_order_seq_cst); /* C L1 */
        atomic_store_explicit(&sleepers->flag, 1, memory_order_seq_cst);                     /* B L2 */
        int result = gnli_mailbox_port_usable(port);
        if (result == 0)
            result = attempt(port, context, stuck); /* L3 */
        if (result != -EAGAIN)
            return result;
        int64_t now = gnli_now_ns();
        if (now >= deadline)
            return -ETIMEDOUT;
        if (now - looked >= LOOK_AROUND_NS) {
            looked = now;
            result = gnli_mailbox_confirm(port->mailbox);
            if (result < 0)
                return result;
            gnli_mailbox_look_around(port->mailbox, ASK_WHEN_ASLEEP);
            gnli_mailbox_tidy(port->mailbox);
            gnli_mailbox_bury_again(port);
            continue;
        }
        int64_t until = looked + LOOK_AROUND_NS;
        gnli_futex_wait(&sleepers->sequence, sequence, until < deadline ? until : deadline); /* L4 */
        /* What it was woken for, before the flag goes up again: else the next sender wakes nobody. */
        result = gnli_mailbox_port_usable(port);
        if (result == 0)
            result = attempt(port, context, stuck);
        if (result != -EAGAIN)
            return result;
    }
}

/* With capacity zero who waits to receive is what others poll for. */
static void tell_of_waiting(struct gnli_mailbox_port *port, const struct gnli_patience *patience)
{
    struct gnli_queue *queue = port->in.queue;

    if (port->mailbox->view.layout.capacity != GNL_RENDEZVOUS || patience->sleepers != &queue->receivers)
        return;
    atomic_thread_fence(memory_order_seq_cst); /* D */
    gnli_wake(&queue->senders);
}

int gnli_mailbox_wait(struct gnli_mailbox_port *port, const struct gnli_patience *patience, int64_t timeout,
                      gnli_attempt *attempt, void *context, struct gnli_stuck *stuck)
{
    int64_t deadline = gnli_deadline_ns(timeout);
    unsigned me = gnli_mailbox_me(port->mailbox);

    gnli_add(patience->waiting, 1);
    tell_of_waiting(port, patience);
    int result = spin(port, patience, deadline, attempt, context, stuck);
    if (result == -EAGAIN) {
        int64_t start = gnli_now_ns();
        result = sleep_on(port, patience, deadline, attempt, context, stuck);
        gnli_spin_waited(patience->spin, gnli_now_ns() - start, woken_from_here(patience->sleepers));
    }
    if (gnli_mailbox_me(port->mailbox) == me) /* else that record is not ours any more */
        gnli_add(patience->waiting, -1);
    return result;
}
