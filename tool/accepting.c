/* SPDX-License-Identifier: Apache-2.0 */
#include "accepting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "failure.h"
#include "mailbox_options.h"

#define PAUSE_NS ((int64_t)100000000)

int accepting_begin(struct accepting *accepting, const char *address, const struct gnl_options *options,
                    unsigned spare)
{
    struct rlimit limit = { .rlim_cur = RLIM_INFINITY };

    *accepting = (struct accepting){ .wanted = spare };
    const struct gnl_options all = with_tls(options);
    int result = gnl_listen(&accepting->listener, address, &all);
    if (result < 0)
        return result;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur / 4 < spare) /* where there are few, most are for connections still */
        accepting->wanted = (unsigned)(limit.rlim_cur / 4);
    pthread_mutex_init(&accepting->lock, NULL);
    tell_address(accepting->listener, address);
    return 0;
}

static void let_go(struct accepting *accepting)
{
    while (accepting->held > 0)
        close(accepting->spare[--accepting->held]);
}

/* 0, or a negative errno value: there were not so many. */
static int hold(struct accepting *accepting)
{
    while (accepting->held < accepting->wanted) {
        int made = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (made < 0)
            return -errno;
        accepting->spare[accepting->held++] = made;
    }
    return 0;
}

void accepting_end(struct accepting *accepting)
{
    let_go(accepting);
    gnl_listener_close(accepting->listener);
}

static int pause_for(struct accepting *accepting, int code)
{
    struct rlimit limit = { 0 };

    accepting->pause_ends_ns = now_ns() + PAUSE_NS;
    if (!accepting->told && code == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        complain(
            "no descriptor is left for who connects: they wait until others have gone; raise 'ulimit -n' "
            "(%llu), or have --connections turn them away",
            (unsigned long long)limit.rlim_cur);
    else if (!accepting->told)
        complain("cannot accept who connects: %s: they wait until others have gone", strerror(-code));
    accepting->told = true;
    return -EAGAIN;
}

int accepting_next(struct accepting *accepting, gnl_port **port)
{
    pthread_mutex_lock(&accepting->lock);
    int result = now_ns() < accepting->pause_ends_ns ? -EAGAIN : hold(accepting);
    if (result == 0)
        result = gnl_accept(accepting->listener, port, GNL_NOWAIT);
    if (result == -EMFILE || result == -ENFILE || result == -ENOMEM)
        result = pause_for(accepting, result);
    pthread_mutex_unlock(&accepting->lock);
    return result;
}

bool accepting_pauses(struct accepting *accepting)
{
    pthread_mutex_lock(&accepting->lock);
    bool pauses = now_ns() < accepting->pause_ends_ns;
    pthread_mutex_unlock(&accepting->lock);
    return pauses;
}

void accepting_again(struct accepting *accepting)
{
    pthread_mutex_lock(&accepting->lock);
    accepting->pause_ends_ns = 0;
    pthread_mutex_unlock(&accepting->lock);
}

void accepting_lend(struct accepting *accepting)
{
    pthread_mutex_lock(&accepting->lock);
    let_go(accepting);
}

void accepting_regain(struct accepting *accepting)
{
    hold(accepting); /* or not all: accepting_next sees to that */
    pthread_mutex_unlock(&accepting->lock);
}
