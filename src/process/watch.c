/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's handles of processes (Linux): made, signalled, waited for, reaped; and the children whose
 * handles were freed.
 */
#include <errno.h>
#include <linux/wait.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "life/process.h"
#include "process/process.h"
#include "process/tree.h"
#include "wait/poll.h"

#define REAPED_AT_ONCE 64 /* looks at abandoned ones a call */

int gnli_pidfd_open(pid_t pid)
{
    int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);

    return descriptor >= 0 ? descriptor : -errno;
}

int gnli_pidfd_signal(int pidfd, int signo, int value)
{
    siginfo_t info = { .si_signo = signo, .si_code = SI_QUEUE };

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return syscall(SYS_pidfd_send_signal, pidfd, signo, &info, 0) == 0 ? 0 : -errno;
}

int gnli_await_end(int pidfd, int64_t deadline_ns)
{
    struct pollfd event = { pidfd, POLLIN, 0 };

    return gnli_poll(&event, 1, deadline_ns);
}

/* waitid as the kernel has it, with what the process used. */
static int wait_for(int type, int id, struct gnl_exit *exit)
{
    struct rusage usage;
    siginfo_t info;
    long result;

    info.si_pid = 0;
    do
        result = syscall(SYS_waitid, type, id, &info, WEXITED | WNOHANG | __WALL, &usage);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return -errno;
    if (info.si_pid == 0)
        return -EAGAIN;
    if (exit)
        gnli_exit_set(exit, info.si_code, info.si_status, &usage);
    return 0;
}

int gnli_reap(int pidfd, struct gnl_exit *exit)
{
    return wait_for(P_PIDFD, pidfd, exit);
}

/* ---- children whose handles are gone ---- */

/*
 * Kept by number and start, not by descriptor: a program that frees the handles of ten thousand servers has
 * not used up its descriptors. The number is theirs until they are reaped; should the program have done that
 * itself, the start tells.
 */
struct abandoned {
    struct abandoned *next;
    uint64_t stamp, start;
    pid_t pid;
    struct gnli_keeper *keeper; /* NULL, or it is the keeper, whose memory this is */
};

static struct abandoned *first, **last = &first; /* under the handles' lock */

static void append(struct abandoned *child)
{
    child->next = NULL;
    *last = child;
    last = &child->next;
}

void gnli_abandon(pid_t pid, struct gnli_keeper *keeper)
{
    struct abandoned *child = malloc(sizeof *child);

    /* Without memory it stays a zombie, and a keeper its memory. */
    if (!child)
        return;
    *child = (struct abandoned){
        .pid = pid, .keeper = keeper, .start = gnli_process_start(pid), .stamp = gnli_process_stamp()
    };
    gnli_handles_lock();
    append(child);
    gnli_handles_unlock();
    gnli_reap_abandoned();
}

/* True: it is no more, or was never this process's. */
static bool over(const struct abandoned *child)
{
    if (!gnli_process_is(child->stamp))
        return true;
    uint64_t start = gnli_process_start(child->pid);
    if (start != child->start && start != 0)
        return true; /* somebody else's number now */
    return wait_for(P_PID, child->pid, NULL) != -EAGAIN;
}

void gnli_reap_abandoned(void)
{
    gnli_handles_lock();
    for (int i = 0; i < REAPED_AT_ONCE && first; i++) {
        struct abandoned *child = first;
        first = child->next;
        if (!first)
            last = &first;
        if (!over(child)) {
            append(child);
            continue;
        }
        if (child->keeper)
            gnli_keeper_free(child->keeper);
        free(child);
    }
    gnli_handles_unlock();
}
