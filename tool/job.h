/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message, one process: a command that has the message as its standard input.
 */
#ifndef TOOL_JOB_H
#define TOOL_JOB_H

#include <ginnel/message.h>
#include <ginnel/process.h>

/*
 * Starts the command, found along PATH, as a tree of its own: a Ctrl-C meant for us is not also meant for it.
 * It goes on should we be killed. Its standard input is a copy of the message, at its beginning;
 * its environment has GINNEL_SENDER_PID and GINNEL_DELIVERIES besides ours. 0, or a code of the library's: it
 * could not be started.
 */
int job_start(gnl_process **process, char *const command[], const gnl_message *message);

/* Waits until it has ended: how. Once `hurry` is readable it is asked to, with all that it has started. */
struct gnl_exit job_finish(gnl_process *process, int hurry);

#endif
