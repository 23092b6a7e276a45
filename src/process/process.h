/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handle, and what the files of this room ask of each other. process.c has the calls that any system
 * could have; spawn, child, keeper, watch and tree are Linux's ways.
 */
#ifndef GNLI_PROCESS_PROCESS_H
#define GNLI_PROCESS_PROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/process.h>
#include <ginnel/timeouts.h>

#include "life/membership.h"
#include "process/keeper.h"

struct gnl_process {
    uint64_t stamp; /* of the process whose handle it is */
    pid_t pid;
    int pidfd;
    char name[16];                       /* of its command */
    char subject[48];                    /* for sentences */
    bool spawned;                        /* here */
    struct gnli_keeper *keeper;          /* NULL: it has none */
    struct gnli_memberships memberships; /* of waitsets */
    pthread_mutex_t lock;                /* guards what follows */
    bool tree;
    bool ended;
    struct gnl_exit exit;
    struct gnl_fate *fates;
    size_t fate_count;
};

/* A handle, empty but for its stamp and lock; NULL: no memory. */
struct gnl_process *gnli_process_new(void);

/* Frees one that has come to nothing: no process, no descriptor. */
void gnli_process_drop(struct gnl_process *process);

/* Begins a public call: 0, or why this process may not make it. */
int gnli_process_check(const struct gnl_process *process);

/*
 * gnl_process_terminate, for several at the same time: all are asked before any is waited for. `exit` is of
 * one alone, or NULL.
 */
int gnli_process_terminate(struct gnl_process *const *processes, size_t count, int64_t grace,
                           struct gnl_exit *exit);

/* For waitsets: joins with the process's descriptor; the handle tells its memberships when it is freed. */
int gnli_process_join(struct gnl_process *process, gnli_join *join, void *context);

/* Waits until the process has ended: 0, -ETIMEDOUT. */
int gnli_await_end(int pidfd, int64_t deadline_ns);

/* Waits as gnl_process_wait does, for a handle that was checked. */
int gnli_process_await(struct gnl_process *process, struct gnl_exit *exit, int64_t deadline_ns);

/* The second half of that: the process has ended. */
int gnli_process_collect(struct gnl_process *process, struct gnl_exit *exit, int64_t deadline_ns);

/* By the descriptor: never a process that has got the number since. */
int gnli_pidfd_open(pid_t pid);
int gnli_pidfd_signal(int pidfd, int signo, int value);

/* How a child of ours ended, reaped; -EAGAIN it runs; -ECHILD it is not ours to reap. */
int gnli_reap(int pidfd, struct gnl_exit *exit);

/* A child, or a keeper, that no handle leads to: reaped by a later call once it has ended. */
void gnli_abandon(pid_t pid, struct gnli_keeper *keeper);
void gnli_reap_abandoned(void);

#endif
