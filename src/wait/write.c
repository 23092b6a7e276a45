/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/write.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

ssize_t gnli_write_quietly(int output, const struct iovec *parts, int count)
{
    sigset_t pipe, before, pending;
    ssize_t size;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    sigemptyset(&pending);
    sigpending(&pending);
    do
        size = writev(output, parts, count);
    while (size < 0 && errno == EINTR);
    int error = size < 0 ? errno : 0;
    /* The signal is this thread's own, and pending: one that was there before stays. */
    if (error == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &(struct timespec){ .tv_sec = 0 }) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return size < 0 ? -error : size;
}
