/* SPDX-License-Identifier: Apache-2.0 */
#include "segments.h"

#include <signal.h>

gnl_segment *make(const char *name, size_t size)
{
    gnl_segment *segment = NULL;

    assert_ok(gnl_segment_create(&segment, name, size, NULL));
    return segment;
}

struct gnl_segment_info info_of(gnl_segment *segment)
{
    struct gnl_segment_info info = { 0 };

    assert_ok(gnl_segment_info(segment, &info));
    return info;
}

struct touch {
    volatile char *place;
    bool write;
};

static int touch(void *context)
{
    struct touch *touch = context;

    signal(SIGSEGV, SIG_DFL);
    if (touch->write)
        *touch->place = 1;
    return *touch->place == 77 ? 0 : 0;
}

void assert_touch(void *place, bool write, int signo)
{
    struct touch what = { place, write };
    pid_t child = support_fork(touch, &what);

    if (signo == 0)
        support_expect_exit(child, 0);
    else
        support_expect_signal(child, signo);
}
