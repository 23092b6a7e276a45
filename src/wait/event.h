/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pollable descriptors, for those to whom the kernel does not tell what happens in memory: an eventfd that
 * somebody keeps true.
 *
 *   A: relaxed: the descriptor is made once, under its keeper's lock, and then stays.
 */
#ifndef GNLI_WAIT_EVENT_H
#define GNLI_WAIT_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct gnli_event {
    _Atomic int descriptor; /* -1: nobody has asked for it */
    bool raised;            /* under its keeper's lock */
};

void gnli_event_init(struct gnli_event *event);

/* Makes the descriptor, which is not ready at first. An errno value as a negative code. */
int gnli_event_make(struct gnli_event *event);

/* Ready or not. Nothing where nobody has asked. The keeper's lock is held. */
void gnli_event_set(struct gnli_event *event, bool ready);

static inline int gnli_event_descriptor(const struct gnli_event *event)
{
    return atomic_load_explicit(&event->descriptor, memory_order_relaxed); /* A */
}

/* Somebody has asked for it, and it is not ready: its keeper has to find out when it is. */
static inline bool gnli_event_due(const struct gnli_event *event)
{
    return gnli_event_descriptor(event) >= 0 && !event->raised;
}

/* epoll_wait with a deadline in nanoseconds. How many events, or -1 and errno. */
int gnli_epoll_wait(int epoll, struct epoll_event *events, int count, int64_t deadline_ns);

#endif
