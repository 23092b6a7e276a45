/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between clone and exec (Linux). The child runs in its parent's memory, on a stack of its own; so all that
 * it needs is made before, and what fails is written where the parent reads it afterwards. It allocates
 * nothing, calls nothing of libc and writes nothing but its plan.
 */
#ifndef GNLI_PROCESS_CHILD_H
#define GNLI_PROCESS_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GNLI_CHILD_STACK 4096 /* on that of the caller, which may be a thread with little */
#define GNLI_FROM_NULL   (-1) /* /dev/null */
#define GNLI_IN_PLACE    (-2) /* it is there, and open across exec */

/* One descriptor of the child. */
struct gnli_move {
    int from, to;
};

enum gnli_step {
    GNLI_STEP_CLONE = 0, /* not in the child: there is none */
    GNLI_STEP_SIGNALS,
    GNLI_STEP_GROUP,
    GNLI_STEP_PARENT,
    GNLI_STEP_DIRECTORY,
    GNLI_STEP_DESCRIPTOR,
    GNLI_STEP_CLOSE,
    GNLI_STEP_EXEC,
};

struct gnli_plan {
    char *const *argv;
    char *const *environment;
    char **candidates; /* paths of the program, ended by NULL */
    const char *directory;
    struct gnli_move *moves; /* by `to`, which are 0, 1, 2, …: written over */
    size_t move_count;
    bool own_group;
    pid_t dies_with;         /* 0, or the parent, which has one thread */
    uint64_t ignored;        /* signals that it ignores (bit signo - 1); all others are at their default */
    const uint64_t *unusual; /* gnli_signals_unusual, when it is begun; NULL: the child asks itself */
    int cgroup; /* that it begins in, by its directory; -1: the parent's. Set to that if it may not be */
    /* The answer: 0, or the errno value of what failed, and of which descriptor. */
    enum gnli_step step;
    int error;
    int descriptor;
};

/*
 * Starts it: returns its number with *pidfd once it executes the program, or has failed and was reaped: then
 * a negative value, and the plan says why. All signals are blocked around it. `stack` has GNLI_CHILD_STACK
 * bytes and is free again afterwards. May be called from bare code (raw.h).
 *
 * With a word at `alive` it returns as soon as there is a process, and only gnli_child_join then waits, and
 * returns that: until then plan, stack and word are the child's, too.
 */
pid_t gnli_child_start(struct gnli_plan *plan, void *stack, int *pidfd, atomic_int *alive);
pid_t gnli_child_join(struct gnli_plan *plan, pid_t pid, int pidfd, atomic_int *alive);

/*
 * A bit (signo - 1) for each signal for which this process does not do the kernel's default: 64 system calls.
 * It is true of a process begun later only if nobody can have changed it, neither a thread nor a handler.
 */
uint64_t gnli_signals_unusual(void);

#define GNLI_SIGNAL_DEFAULT 0 /* as the kernel has them */
#define GNLI_SIGNAL_IGNORE  1

/* One of these for that signal, nothing of the program's any more. Bare code. */
void gnli_signal_set(int signo, unsigned long handler);

struct gnli_birth {
    unsigned long flags;
    void *top; /* of its stack */
    int *pidfd;
    atomic_int *alive; /* cleared, and woken who waits for that, when it leaves this memory; or NULL */
};

/* What clone is for processes in the same memory: it does run(context); in a cgroup if that is not -1. */
pid_t gnli_clone(const struct gnli_birth *birth, int cgroup, void (*run)(void *context), void *context);

#endif
