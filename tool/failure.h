/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failures: one line on standard error, "ginnel send: …", and an exit status.
 */
#ifndef TOOL_FAILURE_H
#define TOOL_FAILURE_H

#include <ginnel/port.h>

enum exit_status {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_WOULD_BLOCK = 3, /* or timed out */
    EXIT_GONE = 4,        /* the other side, or the mailbox under us */
};

/* Who complains: "ginnel", or "ginnel send" once the subcommand is known. */
void failure_speaker(const char *subcommand);

/* One line, however many threads complain. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/* The exit status for a code of the library; and of a call on a port, which may be NULL. */
enum exit_status status_of(int code);
enum exit_status status_on(gnl_port *port, int code);

/*
 * The words of the library's last failure, where options of the library are those of this command. Of this
 * thread, and valid until it asks again.
 */
const char *failure_detail(void);

/* Complains in these words; returns the exit status for it. */
enum exit_status failed(int code);
enum exit_status failed_on(gnl_port *port, int code);

/* The end of a command that printed: what could not be written is a failure. */
enum exit_status finish_output(enum exit_status status);

#endif
