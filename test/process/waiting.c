/* SPDX-License-Identifier: Apache-2.0 */
#include "waiting.h"

#include <errno.h>

gnl_waitset *new_set(void)
{
    gnl_waitset *set;

    assert_ok(gnl_waitset_new(&set));
    return set;
}

gnl_port *new_port(const char *address)
{
    gnl_port *port;

    assert_ok(gnl_open(&port, address, &(struct gnl_options){ .capacity = 4, .message_max = 64 }));
    return port;
}

void drop_port(gnl_port *port, const char *address)
{
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(address));
}

unsigned told(gnl_waitset *set, void *tag, int64_t timeout)
{
    struct gnl_event event = { 0 };
    int result = gnl_waitset_wait(set, &event, 1, timeout);

    if (result == -EAGAIN || result == -ETIMEDOUT)
        return 0;
    ck_assert_msg(result == 1, "%d: %s", result, gnl_error_detail());
    ck_assert_ptr_eq(event.tag, tag);
    return event.events;
}
