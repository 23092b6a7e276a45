/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll(2) to the nanosecond: its own timeouts are milliseconds, and a call that waits a few microseconds
 * would take a thousand.
 */
#ifndef GNLI_WAIT_POLL_H
#define GNLI_WAIT_POLL_H

#include <poll.h>
#include <stdint.h>

/* Until the deadline, whatever signals come: 0 something is ready, -ETIMEDOUT, or what poll says. */
int gnli_poll(struct pollfd *events, unsigned count, int64_t deadline_ns);

#endif
