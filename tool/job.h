/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message, one process: a command that has the message as its standard input.
 */
#ifndef TOOL_JOB_H
#define TOOL_JOB_H

#include <signal.h>
#include <sys/types.h>

#include <ginnel/message.h>

/*
 * Starts the command, found along PATH, in a process group of its own, so that a Ctrl-C meant for
 * us is not also meant for it. Its standard input is a copy of the message, at its beginning; its
 * environment has GINNEL_SENDER_PID and GINNEL_DELIVERIES besides ours; its signal mask is `mask`.
 * 0, or a negative errno value: it could not be started.
 */
int job_start(pid_t *pid, char *const command[], const gnl_message *message, const sigset_t *mask);

/* Waits until it has ended; its number stays its own until job_reap. */
void job_wait(pid_t pid);

/* How it ended, as waitpid has it. */
int job_reap(pid_t pid);

#endif
