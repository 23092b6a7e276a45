/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as messages: they arrive on a port, which waits with others in a waitset, instead of interrupting
 * whatever the program is doing.
 *
 *     const int signals[] = { SIGTERM, SIGCHLD };
 *     gnl_signal_port(&port, signals, 2);           // before threads are started
 *     struct gnl_signal signal;
 *     gnl_recv(port, &signal, sizeof signal, GNL_FOREVER);
 *
 * The kernel delivers a signal to any thread that does not block it. So the port blocks its signals in the
 * calling thread; threads started later inherit that, and threads that are there already have to block them
 * themselves.
 *
 * What the kernel promises: real-time signals (SIGRTMIN to SIGRTMAX) queue, each with its value, until
 * RLIMIT_SIGPENDING. Standard signals do not: while one is pending the next of the same number is lost.
 * Lower numbers come first. A signal for one thread (pthread_kill) is received by that thread only.
 *
 * gnl_close gives back the mask in which the thread found the signals, if it is the thread that opened the
 * port; other threads' masks nobody can change, and they stay. What has arrived and was not received then
 * takes its ordinary course: a handler, or the end of the process.
 *
 * Fork: the child has the mask, but not the parent's signals: every call on the port but gnl_close is -EPERM
 * there, and gnl_close gives the mask back. Exec: a new program inherits the mask, so close the port in the
 * child before (gnl_spawn starts programs with no signal blocked).
 */
#ifndef GINNEL_SIGNALS_H
#define GINNEL_SIGNALS_H

#include <stddef.h>
#include <stdint.h>

#include <ginnel/message.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* A message of a signal port: its only kind, and always of this size. */
struct gnl_signal {
    int signo;
    int value;                /* that came with it: sigqueue(3), a timer; of SIGCHLD the child's status */
    struct gnl_sender sender; /* pid and uid; no name, and gid is (gid_t)-1. pid 0: the kernel, or one
                                 outside of this pid namespace; of SIGCHLD the child */
    int code;                 /* si_code: SI_USER, SI_QUEUE, SI_TIMER, CLD_EXITED, … (sigaction(2)) */
    int64_t time;             /* when it was received, nanoseconds since 1970 (CLOCK_REALTIME): the kernel
                                 does not note when it was sent */
    uint64_t reserved[4];
};

/*
 * Opens a port on which these signals arrive. The caller owns *port and ends it with gnl_close. It may only
 * receive: gnl_recv (-EMSGSIZE if there is no room for a struct gnl_signal), gnl_take and what goes with it,
 * gnl_port_fd, gnl_waitset_add_port. A taken signal has the same sender; it is flagged GNL_SENDER_VOUCHED but
 * for those of sigqueue(3), whose sender says itself who it is.
 *
 * -EINVAL no signals, none of that number, SIGKILL or SIGSTOP, which cannot be blocked, or one that tells of
 * a fault of the program's own (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS); -EBUSY one of them arrives
 * at another port of this process; -EMFILE, -ENFILE, -ENOMEM.
 */
int gnl_signal_port(gnl_port **port, const int *signals, size_t count);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
