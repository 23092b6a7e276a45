/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that are driven one instruction at a time, with ptrace.
 *
 * A driven process marks the beginning and the end of what is to be stepped through by stopping
 * itself (step_mark). The driver waits for the first mark, steps, and then kills the process at that
 * instruction, or leaves it there stopped (a real SIGSTOP, no longer traced) and lets it go on later.
 *
 * Portable to every architecture with PTRACE_SINGLESTEP: only the names of registers and the encoding of
 * the system call and of the breakpoint are an architecture's own. On arm64 the atomics must be single
 * instructions (LSE): an exclusive load and store pair never succeeds when it is stepped through.
 */
#ifndef TORTURE_STEP_H
#define TORTURE_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum stepped {
    STEPPED, /* one more instruction, or one round of a repeated one; a call into the kernel's page is one */
    STEPPED_TO_END, /* the process has reached its next mark */
    STEPPED_DEAD,   /* it ended, or a signal would kill it */
    STEPPED_LATE,   /* step_deadline has passed: it does not come back */
};

/* From here on every wait of this file ends after that long, with STEPPED_LATE. */
void step_deadline(unsigned seconds);

/* Forks a process that ends with the one that started it: 0 there, its pid here. */
pid_t step_fork(void);

/* The letter of /proc for what a process does, S asleep, T stopped; '?' it is gone. */
char step_state(pid_t pid);

/* In the driven process: asks to be traced; then: stops here until the driver goes on. */
void step_surrender(void);
void step_mark(void);

/* Waits until the process has stopped itself at a mark. */
enum stepped step_await_mark(pid_t pid);

enum stepped step_once(pid_t pid);

/* Up to `count` steps; *taken says how many it were. */
enum stepped step_many(pid_t pid, uint64_t count, uint64_t *taken);

/* Lets a traced process (up to a breakpoint: STEPPED), or one that was left stopped, run to its next mark. */
enum stepped step_run_traced(pid_t pid);
enum stepped step_run_stopped(pid_t pid);

/* Lets a traced process run until it comes to that address, without having executed what is there. */
enum stepped step_run_to(pid_t pid, uintptr_t address);

/* Ends the tracing; the process stays stopped by SIGSTOP. */
enum stepped step_leave_stopped(pid_t pid);

/* SIGKILL, and waits until the process is gone. */
void step_kill(pid_t pid);

/* Where a traced process stands. */
uintptr_t step_address(pid_t pid);

/* Is the instruction there a system call? Only for processes forked from this one, whose code is ours. */
bool step_is_system_call(uintptr_t address);

#endif
