/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being told to stop: SIGINT, SIGTERM, and SIGHUP unless whoever started us had it ignored. A
 * command ends what it is at, gives back what it holds, and then dies of the signal after all, so
 * that a shell sees 130 or 143 and a script stops where people expect it.
 */
#ifndef TOOL_INTERRUPT_H
#define TOOL_INTERRUPT_H

#include <signal.h>

#include "failure.h"

/* Those signals. */
void interrupt_signals(sigset_t *signals);

/*
 * From here on the first of each only leaves a note, and interrupts the system call that it finds;
 * a second one ends the process at once (the library then redelivers what it held). SIGPIPE is
 * ignored: a write says EPIPE.
 */
void interrupt_catch(void);

/* The note: the signal's number; 0: none came. */
int interrupt_caught(void);

/* Dies of the signal. Returns a status only if even that fails. */
enum exit_status interrupt_die(int signo);

#endif
