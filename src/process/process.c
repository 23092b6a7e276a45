/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of processes: opened, asked, signalled, waited for, freed.
 */
#include "process/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "wait/poll.h"

#define KEEPER_NS 1000000000 /* a keeper answers at once; one that is stopped is asked again */
#define TRACED_NS 10000000   /* between two looks at one that has ended, and that a debugger holds */

struct gnl_process *gnli_process_new(void)
{
    if (gnli_process_prepare() < 0)
        return NULL;
    struct gnl_process *process = calloc(1, sizeof *process);
    if (!process) {
        gnli_fail_plain(-ENOMEM, "a process's handle");
        return NULL;
    }
    process->stamp = gnli_process_stamp();
    process->pidfd = -1;
    pthread_mutex_init(&process->lock, NULL);
    return process;
}

void gnli_process_drop(struct gnl_process *process)
{
    pthread_mutex_destroy(&process->lock);
    free(process);
}

int gnli_process_check(const struct gnl_process *process)
{
    gnli_failure_begin();
    if (!process)
        return gnli_fail(-EINVAL, "no process given");
    if (!gnli_process_is(process->stamp))
        return gnli_fail(-EPERM, "%s: the handle is the parent process's", process->subject);
    return 0;
}

int gnl_process_open(gnl_process **process, pid_t pid)
{
    gnli_failure_begin();
    if (!process || pid <= 0)
        return gnli_fail(-EINVAL, "%d is not the number of a process", pid);
    struct gnl_process *opened = gnli_process_new();
    if (!opened)
        return -ENOMEM;
    opened->pid = pid;
    snprintf(opened->subject, sizeof opened->subject, "process %d", pid);
    int result = opened->pidfd = gnli_pidfd_open(pid);
    if (result < 0) {
        gnli_process_drop(opened);
        if (result == -ESRCH)
            return gnli_fail(-ESRCH, "there is no process %d", pid);
        if (result == -EINVAL || result == -ENOENT)
            return gnli_fail(-EINVAL, "%d is a thread of a process, not a process", pid);
        return gnli_fail_errno(-result, "process %d", pid);
    }
    *process = opened;
    return 0;
}

pid_t gnl_process_pid(const gnl_process *process)
{
    int result = gnli_process_check(process);

    return result < 0 ? result : process->pid;
}

int gnl_process_fd(gnl_process *process)
{
    int result = gnli_process_check(process);

    return result < 0 ? result : process->pidfd;
}

int gnli_process_join(gnl_process *process, gnli_join *join, void *context)
{
    int result = gnli_process_check(process);

    return result < 0 ? result : join(&process->memberships, (int[]){ process->pidfd, -1 }, context);
}

int gnl_process_signal(gnl_process *process, int signo, int value)
{
    int result = gnli_process_check(process);

    if (result < 0)
        return result;
    /* A zombie takes signals, but there is nobody any more. */
    if (gnli_await_end(process->pidfd, 0) == 0)
        return gnli_fail(-ESRCH, "%s has ended", process->subject);
    result = gnli_pidfd_signal(process->pidfd, signo, value);
    if (result == -EINVAL)
        return gnli_fail(-EINVAL, "there is no signal %d", signo);
    return result < 0 ? gnli_fail_errno(-result, "%s: signal %d", process->subject, signo) : 0;
}

/*
 * How it ended, which its pidfd says that it has: kept in the handle. Its keeper is given until the deadline
 * to say so; after one that has passed, as long as that may take. The lock is held.
 */
static int learn(struct gnl_process *process, int64_t deadline_ns)
{
    int64_t now_ns = gnli_now_ns(), until_ns = now_ns + KEEPER_NS;

    if (deadline_ns > now_ns && deadline_ns < until_ns)
        until_ns = deadline_ns;
    int result = process->keeper ? gnli_keeper_ask(process->keeper, &process->exit, until_ns)
                                 : gnli_reap(process->pidfd, &process->exit);

    if (result == -ECHILD)
        process->exit = (struct gnl_exit){ .kind = GNL_GONE };
    if (result == 0 || result == -ECHILD) {
        process->ended = true;
        return 0;
    }
    return result;
}

int gnli_process_collect(struct gnl_process *process, struct gnl_exit *exit, int64_t deadline_ns)
{
    for (;;) {
        int result = 0;
        pthread_mutex_lock(&process->lock);
        if (!process->ended)
            result = learn(process, deadline_ns);
        if (result == 0 && exit)
            *exit = process->exit;
        pthread_mutex_unlock(&process->lock);
        if (result != -EAGAIN && result != -ETIMEDOUT)
            return result;
        if (gnli_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
        if (result == -EAGAIN)
            gnli_poll(NULL, 0, gnli_deadline_ns(TRACED_NS));
    }
}

int gnli_process_await(struct gnl_process *process, struct gnl_exit *exit, int64_t deadline_ns)
{
    int result = gnli_await_end(process->pidfd, deadline_ns);

    return result < 0 ? result : gnli_process_collect(process, exit, deadline_ns);
}

int gnl_process_wait(gnl_process *process, struct gnl_exit *exit, int64_t timeout)
{
    int result = gnli_process_check(process);

    if (result < 0)
        return result;
    if (timeout < GNL_FOREVER)
        return gnli_fail(-EINVAL, "a timeout is nanoseconds, GNL_NOWAIT or GNL_FOREVER, not %lld",
                         (long long)timeout);
    result = gnli_process_await(process, exit, gnli_deadline_ns(timeout));
    if (result == -ETIMEDOUT && timeout == GNL_NOWAIT)
        result = -EAGAIN;
    return result < 0 ? gnli_fail_plain(result, process->subject) : 0;
}

int gnl_process_set_tree(gnl_process *process)
{
    int result = gnli_process_check(process);

    if (result < 0)
        return result;
    pthread_mutex_lock(&process->lock);
    process->tree = true;
    pthread_mutex_unlock(&process->lock);
    return 0;
}

ssize_t gnl_process_fates(gnl_process *process, struct gnl_fate *fates, size_t count)
{
    int result = gnli_process_check(process);

    if (result < 0)
        return result;
    if (!fates && count > 0)
        return gnli_fail(-EINVAL, "no memory given for %zu fates", count);
    pthread_mutex_lock(&process->lock);
    size_t known = process->fate_count;
    if (known > 0 && count > 0)
        memcpy(fates, process->fates, (count < known ? count : known) * sizeof *fates);
    pthread_mutex_unlock(&process->lock);
    return (ssize_t)known;
}

int gnl_process_free(gnl_process *process)
{
    gnli_failure_begin();
    if (!process)
        return 0;
    gnli_memberships_end(&process->memberships);
    if (!gnli_process_is(process->stamp)) { /* copies: the lock may be held for ever */
        if (process->keeper) {
            gnli_keeper_close(process->keeper);
            gnli_keeper_free(process->keeper);
        }
    } else {
        if (process->keeper)
            gnli_keeper_release(process->keeper);
        else if (process->spawned && !process->ended && gnli_reap(process->pidfd, NULL) == -EAGAIN)
            gnli_abandon(process->pid, NULL);
        pthread_mutex_destroy(&process->lock);
    }
    close(process->pidfd);
    free(process->fates);
    free(process);
    return 0;
}
