/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/poll.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

int gnli_poll(struct pollfd *events, unsigned count, int64_t deadline_ns)
{
    for (;;) {
        struct timespec left = { 0 };
        if (deadline_ns != GNLI_NEVER) {
            int64_t ns = deadline_ns - gnli_now_ns();
            ns = ns > 0 ? ns : 0;
            left = (struct timespec){ ns / 1000000000, ns % 1000000000 };
        }
        int ready = ppoll(events, count, deadline_ns == GNLI_NEVER ? NULL : &left, NULL);
        if (ready > 0)
            return 0;
        if (ready == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}
