/* SPDX-License-Identifier: Apache-2.0 */
#include "process/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "process/cgroup.h"
#include "process/cull.h"
#include "process/process.h"
#include "process/raw.h"
#include "wait/poll.h"

#define ENDING_NS  1000000000 /* it ends by itself, and is not waited for longer than that */
#define KILL_LOOKS 1000       /* of 10 ms: how long it tries to kill what does not end */

/* ---- the keeper's own side: bare code ---- */

/* What it needs, taken from struct gnli_keeper before the program goes on. */
struct duty {
    int socket, parent, children; /* descriptors; -1 closed. `children` tells that one has ended */
    int cgroup;                   /* of the tree, or -1 */
    pid_t child;
    bool child_ended, die_with_parent, own_group;
    pid_t *found;
};

GNLI_BARE void gnli_exit_set(struct gnl_exit *exit, int code, int status, const void *usage)
{
    const struct rusage *used = usage;

    exit->kind = code == CLD_EXITED ? GNL_EXITED : GNL_SIGNALLED;
    exit->code = code == CLD_EXITED ? status : 0;
    exit->signo = code == CLD_EXITED ? 0 : status;
    exit->dumped_core = code == CLD_DUMPED;
    exit->user_ns = (uint64_t)used->ru_utime.tv_sec * 1000000000 + (uint64_t)used->ru_utime.tv_usec * 1000;
    exit->system_ns = (uint64_t)used->ru_stime.tv_sec * 1000000000 + (uint64_t)used->ru_stime.tv_usec * 1000;
    exit->peak_bytes = (uint64_t)used->ru_maxrss * 1024;
}

/* A struct cmsghdr with a descriptor after it. */
struct control {
    size_t length;
    int level, type, descriptor, padding;
};
_Static_assert(sizeof(struct control) == CMSG_SPACE(sizeof(int)), "as the kernel has it");

/* Sends words, and a descriptor if it is not -1. */
GNLI_BARE static void say(int socket, void *words, size_t size, int descriptor)
{
    struct control control = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS, descriptor, 0 };
    struct iovec part = { words, size };
    struct msghdr message = { NULL, 0, &part, 1, NULL, 0, 0 };

    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    GNLI_RAW(SYS_sendmsg, socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True: there are no children left. */
GNLI_BARE static bool reap(struct duty *duty)
{
    struct rusage usage;
    struct gnli_ended ended;
    siginfo_t info;
    bool news = false;
    long result;

    for (;;) {
        info.si_pid = 0;
        result = GNLI_RAW(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | __WALL, &usage);
        if (result == -EINTR)
            continue;
        if (result != 0 || info.si_pid == 0)
            break;
        if (info.si_pid == duty->child) {
            duty->child_ended = news = true;
            gnli_exit_set(&ended.exit, info.si_code, info.si_status, &usage);
        }
    }
    if (news) {
        ended.last = result != 0;
        say(duty->socket, &ended, sizeof ended, -1);
    }
    return result != 0;
}

/* Again until nobody is left: it is not known who was made in the meantime. */
GNLI_BARE static void kill_all(struct duty *duty)
{
    struct pollfd ended = { duty->children, POLLIN, 0 };
    uint64_t drained[16];

    for (int i = 0; i < KILL_LOOKS && !reap(duty); i++) {
        struct timespec moment = { 0, 10000000 };
        if (!duty->child_ended) /* also without /proc */
            GNLI_RAW(SYS_kill, duty->own_group ? -duty->child : duty->child, SIGKILL);
        if (duty->cgroup >= 0) /* also who is somebody else by now */
            gnli_cgroup_kill(duty->cgroup);
        gnli_cull(duty->found);
        GNLI_RAW(SYS_ppoll, &ended, 1, &moment, NULL, GNLI_SIGNALS_BYTES);
        GNLI_RAW(SYS_read, duty->children, drained, sizeof drained);
    }
}

/* A word over the socket: kill them all. Its end: the program needs no keeper. True: so it may end. */
GNLI_BARE static bool listen_to_program(struct duty *duty)
{
    char word;

    if (GNLI_RAW(SYS_read, duty->socket, &word, 1) > 0)
        kill_all(duty);
    else if (!duty->die_with_parent)
        return true;
    GNLI_RAW(SYS_close, duty->socket);
    duty->socket = -1; /* poll passes it over */
    return false;
}

GNLI_BARE static void keep(struct duty *duty)
{
    char drained[512];

    for (;;) {
        struct pollfd events[3] = { { duty->children, POLLIN, 0 },
                                    { duty->parent, POLLIN, 0 },
                                    { duty->socket, POLLIN, 0 } };
        if (reap(duty))
            return;
        if (GNLI_RAW(SYS_ppoll, events, 3, NULL, NULL, GNLI_SIGNALS_BYTES) < 0)
            continue;
        if (events[1].revents) {
            if (duty->die_with_parent)
                kill_all(duty);
            return;
        }
        if (events[2].revents && listen_to_program(duty))
            return;
        if (events[0].revents)
            GNLI_RAW(SYS_read, duty->children, drained, sizeof drained);
    }
}

#define KEPT 5

/* Nothing of the program's is kept open. -1 is none. */
GNLI_BARE static void close_all_but(const int kept[KEPT])
{
    long first = 0;

    for (int round = 0; round < KEPT; round++) {
        long lowest = -1;
        for (int i = 0; i < KEPT; i++)
            if (kept[i] >= first && (lowest < 0 || kept[i] < lowest))
                lowest = kept[i];
        if (lowest < 0)
            break;
        if (first < lowest)
            GNLI_RAW(SYS_close_range, first, lowest - 1, 0);
        first = lowest + 1;
    }
    GNLI_RAW(SYS_close_range, first, ~0U, 0);
}

/* SIGCHLD must not be ignored: the kernel would reap. All others stay blocked. */
GNLI_BARE static int prepare(void)
{
    uint64_t child_ends = (uint64_t)1 << (SIGCHLD - 1);

    gnli_signal_set(SIGCHLD, GNLI_SIGNAL_DEFAULT);
    GNLI_RAW(SYS_prctl, PR_SET_NAME, "ginnel-keeper");
    /* Its own group: what is meant for the program's is not for it. */
    GNLI_RAW(SYS_setpgid, 0, 0);
    long result = GNLI_RAW(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
    return (int)(result == 0
                     ? GNLI_RAW(SYS_signalfd4, -1, &child_ends, GNLI_SIGNALS_BYTES, O_CLOEXEC | O_NONBLOCK)
                     : result);
}

/* The child, in a cgroup of its tree's own where there may be one. Its number, or a negative value. */
GNLI_BARE static pid_t start_child(struct duty *duty, struct gnli_keeper *keeper, int *pidfd)
{
    struct gnli_plan *plan = keeper->plan;

    GNLI_RAW(SYS_close, keeper->socket); /* the program's; descriptors may be few */
    duty->children = prepare();
    if (duty->children < 0) {
        plan->step = GNLI_STEP_CLONE;
        plan->error = -duty->children;
        return -1;
    }
    plan->dies_with = duty->die_with_parent ? (pid_t)GNLI_RAW(SYS_getpid, 0) : 0;
    if (keeper->own_cgroup >= 0) {
        duty->cgroup = gnli_cgroup_make(keeper->own_cgroup, keeper->cgroup_name);
        GNLI_RAW(SYS_close, keeper->own_cgroup);
    }
    plan->cgroup = duty->cgroup;
    pid_t pid = gnli_child_start(plan, keeper->child_stack, pidfd, NULL);
    if (duty->cgroup >= 0 && (pid < 0 || plan->cgroup < 0)) {
        gnli_cgroup_remove(duty->cgroup, keeper->cgroup_name);
        duty->cgroup = -1;
    }
    return pid;
}

GNLI_BARE static void run_keeper(void *context)
{
    struct gnli_keeper *keeper = context;
    struct duty duty = { .socket = keeper->its_socket,
                         .parent = keeper->parent,
                         .cgroup = -1,
                         .die_with_parent = keeper->die_with_parent,
                         .own_group = keeper->plan->own_group,
                         .found = keeper->found };
    struct gnli_started started;
    int pidfd = -1;

    started.pid = duty.child = start_child(&duty, keeper, &pidfd);
    if (started.pid < 0) {
        say(duty.socket, &started, sizeof started, -1);
        return;
    }
    GNLI_RAW(SYS_chdir, "/"); /* not in the way of who unmounts */
    const int kept[KEPT] = { duty.socket, duty.parent, duty.children, duty.cgroup, pidfd };
    close_all_but(kept);
    say(duty.socket, &started, sizeof started, pidfd); /* from here on the plan is gone */
    GNLI_RAW(SYS_close, pidfd);
    keep(&duty);
    if (duty.cgroup >= 0)
        gnli_cgroup_remove(duty.cgroup, keeper->cgroup_name);
}

/* ---- the program's side ---- */

/* Waits until the keeper has said something, or has ended. */
static int await_word(const struct gnli_keeper *keeper, int64_t deadline_ns)
{
    struct pollfd events[2] = { { keeper->socket, POLLIN, 0 }, { keeper->pidfd, POLLIN, 0 } };

    return gnli_poll(events, 2, deadline_ns);
}

/* The number of the child, or that there is none. */
static pid_t receive_started(const struct gnli_keeper *keeper, int *pidfd)
{
    struct gnli_started started;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { &started, sizeof started };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };

    *pidfd = -1;
    await_word(keeper, GNLI_NEVER);
    if (recvmsg(keeper->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof started)
        return gnli_fail(-EAGAIN, "the keeper was killed while it started a process; try again");
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(pidfd, CMSG_DATA(header), sizeof *pidfd);
    if (started.pid > 0 && *pidfd < 0) {
        send(keeper->socket, "k", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        return gnli_fail_errno(EMFILE, "no descriptor left for the process");
    }
    return started.pid;
}

/* The descriptors, and the keeper itself. 0, or a negative code with a sentence. */
static int start(struct gnli_keeper *keeper)
{
    int ends[2];
    int result = 0;

    keeper->socket = keeper->pidfd = -1;
    keeper->parent = gnli_pidfd_open(getpid());
    if (keeper->parent < 0)
        return gnli_fail_errno(-keeper->parent, "no descriptor for this process");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        result = gnli_fail_errno(errno, "no socket for a keeper");
    } else {
        keeper->socket = ends[0];
        keeper->its_socket = ends[1];
        keeper->pid = gnli_clone(&(struct gnli_birth){ .flags = CLONE_VM | CLONE_PIDFD,
                                                       .top = keeper->stack + sizeof keeper->stack,
                                                       .pidfd = &keeper->pidfd },
                                 -1, run_keeper, keeper);
        if (keeper->pid < 0) {
            result = gnli_fail_errno(-keeper->pid, "cannot make a keeper");
            close(keeper->socket);
        }
        close(ends[1]);
    }
    close(keeper->parent);
    return result;
}

/* This program's own descriptor, if the keeper has made a cgroup: what it is for, the keeper can do alone. */
static void open_cgroup(struct gnli_keeper *keeper)
{
    if (keeper->own_cgroup < 0)
        return;
    if (keeper->cgroup_name[0] != '\0')
        keeper->cgroup = openat(keeper->own_cgroup, keeper->cgroup_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(keeper->own_cgroup);
}

pid_t gnli_keeper_start(struct gnli_keeper **keeper, struct gnli_plan *plan, bool die_with_parent, int *pidfd)
{
    struct gnli_keeper *made =
        mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    plan->error = 0;
    if (made == MAP_FAILED)
        return gnli_fail_errno(errno, "no memory for a keeper");
    made->plan = plan;
    made->die_with_parent = die_with_parent;
    made->cgroup = -1;
    made->own_cgroup = plan->own_group ? gnli_cgroup_own() : -1;
    int result = start(made);
    pid_t pid = result < 0 ? result : receive_started(made, pidfd);
    open_cgroup(made);
    if (result < 0) {
        gnli_keeper_free(made);
        return result;
    }
    if (pid < 0) {
        made->ending = *pidfd < 0;
        gnli_keeper_release(made);
        return pid;
    }
    *keeper = made;
    return pid;
}

int gnli_keeper_ask(struct gnli_keeper *keeper, struct gnl_exit *exit, int64_t deadline_ns)
{
    struct gnli_ended ended;
    int result = await_word(keeper, deadline_ns);

    if (result < 0) {
        gnli_pidfd_signal(keeper->pidfd, SIGCONT,
                          0); /* somebody has stopped it; the next one who asks hears */
        return result;
    }
    if (recv(keeper->socket, &ended, sizeof ended, MSG_DONTWAIT) != sizeof ended)
        return -ECHILD;
    *exit = ended.exit;
    keeper->ending = ended.last;
    return 0;
}

void gnli_keeper_release(struct gnli_keeper *keeper)
{
    shutdown(keeper->socket, SHUT_RDWR); /* of forked children's copies, too */
    if (keeper->ending || !keeper->die_with_parent)
        gnli_await_end(keeper->pidfd, gnli_deadline_ns(ENDING_NS));
    if (keeper->cgroup >= 0 && gnli_await_end(keeper->pidfd, 0) == 0) /* it was killed, perhaps */
        gnli_cgroup_remove(keeper->cgroup, keeper->cgroup_name);
    gnli_keeper_close(keeper);
    gnli_abandon(keeper->pid, keeper);
}

void gnli_keeper_close(struct gnli_keeper *keeper)
{
    close(keeper->socket);
    close(keeper->pidfd);
    if (keeper->cgroup >= 0)
        close(keeper->cgroup);
}

void gnli_keeper_free(struct gnli_keeper *keeper)
{
    munmap(keeper, sizeof *keeper);
}
