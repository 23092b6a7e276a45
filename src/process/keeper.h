/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keepers (Linux): a process of the library's between a program and a tree that it started.
 *
 * Who descends from a process is lost when somebody in between ends: the orphan becomes a child of init. Only
 * a subreaper gets its orphans, and that is a property of a whole process, so it is the keeper's and not
 * the program's. And only somebody else can kill a tree when the program is killed: the kernel's own signal
 * for that (PDEATHSIG) comes when the thread ends that made the child, and not to its children.
 *
 * A keeper runs in the program's memory, as a thread would, but has signals, descriptors and children of its
 * own: to start it copies no memory. It writes nothing there but its own stack, and makes its system calls
 * bare (raw.h). It says over a socket what became of the child, and ends when
 *
 *   nothing descends from it any more;
 *   the program ends, or closes its end of the socket: with `die_with_parent` it waits for the former, and
 *   kills all that descends from it first.
 *
 * A tree has a cgroup, too, where that may be made (cgroup.h); die_with_parent alone has none.
 *
 * If the keeper itself is killed, the kernel kills the child (die_with_parent), and its orphans go to init.
 */
#ifndef GNLI_PROCESS_KEEPER_H
#define GNLI_PROCESS_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/process.h>

#include "process/cgroup.h"
#include "process/child.h"
#include "process/cull.h"

#define GNLI_KEEPER_STACK 16384

/* One mapping. */
struct gnli_keeper {
    pid_t pid;
    int pidfd;
    int socket;  /* this program's end */
    int cgroup;  /* this program's descriptor of the tree's; -1: it has none */
    bool ending; /* it has said that nobody is left */
    /* For the keeper, which reads them before it answers. */
    struct gnli_plan *plan;
    int its_socket, parent, own_cgroup;
    bool die_with_parent;
    char cgroup_name[GNLI_CGROUP_NAME]; /* written by the keeper before it answers */
    pid_t found[GNLI_CULL_MAX];         /* touched only when it kills */
    char stack[GNLI_KEEPER_STACK] __attribute__((aligned(16)));
    char child_stack[GNLI_CHILD_STACK] __attribute__((aligned(16)));
};

/* What it sends first, with the child's pidfd if there is a child. */
struct gnli_started {
    pid_t pid; /* negative: there is none, and the plan says why */
};

/* What it sends when the child has ended. */
struct gnli_ended {
    struct gnl_exit exit;
    bool last; /* nobody else was left */
};

/*
 * Starts a keeper and, by it, the plan's child: its number, with *pidfd and *keeper, or a negative value,
 * where either the plan says why or a sentence (plan->error is 0 then). All signals are blocked around it.
 */
pid_t gnli_keeper_start(struct gnli_keeper **keeper, struct gnli_plan *plan, bool die_with_parent,
                        int *pidfd);

/* How the child ended, once its pidfd says that it did. -ETIMEDOUT; -ECHILD: the keeper was killed. */
int gnli_keeper_ask(struct gnli_keeper *keeper, struct gnl_exit *exit, int64_t deadline_ns);

/* The program needs it no more: it ends, or goes on as it must; reaped and its memory freed some time. */
void gnli_keeper_release(struct gnli_keeper *keeper);

/* A forked child closes its copies, and the keeper does not notice. */
void gnli_keeper_close(struct gnli_keeper *keeper);

/* Its memory, once it has ended, or of a forked child's copy. */
void gnli_keeper_free(struct gnli_keeper *keeper);

/* waitid's words, as the API has them. In bare code too. */
void gnli_exit_set(struct gnl_exit *exit, int code, int status, const void *usage);

#endif
