/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/event.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "memory/file.h"

void gnli_event_init(struct gnli_event *event)
{
    event->raised = false;
    atomic_store_explicit(&event->descriptor, -1, memory_order_relaxed); /* A */
}

int gnli_event_make(struct gnli_event *event)
{
    int descriptor = gnli_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

    if (descriptor < 0)
        return -errno;
    atomic_store_explicit(&event->descriptor, descriptor, memory_order_relaxed); /* A */
    return 0;
}

void gnli_event_set(struct gnli_event *event, bool ready)
{
    int descriptor = gnli_event_descriptor(event);
    uint64_t count = 1;

    if (descriptor < 0 || ready == event->raised)
        return;
    ssize_t done = ready ? write(descriptor, &count, sizeof count) : read(descriptor, &count, sizeof count);
    if (done == sizeof count || errno == EAGAIN)
        event->raised = ready;
}

int gnli_epoll_wait(int epoll, struct epoll_event *events, int count, int64_t deadline_ns)
{
    int64_t left = deadline_ns == GNLI_NEVER ? GNLI_NEVER : deadline_ns - gnli_now_ns();
    struct timespec until = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };

    if (left <= 0)
        return epoll_wait(epoll, events, count, 0);
    int found = epoll_pwait2(epoll, events, count, deadline_ns == GNLI_NEVER ? NULL : &until, NULL);
    if (found >= 0 || errno != ENOSYS)
        return found;
    int64_t milliseconds = left / 1000000 + 1; /* an older kernel */
    return epoll_wait(epoll, events, count, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds);
}
