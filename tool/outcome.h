/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of what was sent over a socket. Sending hands it to the kernel, the last of it perhaps to the
 * port only, and no word of the other side's says that it was received; what it does not want it answers by
 * how it ends the connection.
 */
#ifndef TOOL_OUTCOME_H
#define TOOL_OUTCOME_H

#include <stdbool.h>

#include <ginnel/port.h>

#define OUTCOME_NS ((int64_t)1000000000) /* one who receives for long is waited for no longer */

/* A call has given -EPIPE: in good order? That is no reset, nor the end of one who never accepted. */
bool outcome_ended_well(gnl_port *port);

/*
 * All was sent. `rests`: the last send lasted until its time was up, and may have left the port something to
 * finish; that is waited for up to the timeout (-ETIMEDOUT; -EINTR told to stop). Then it says that no more
 * comes, and waits up to the timeout for the other side to accept (-EAGAIN: it has not), which cannot be told
 * of a conversation of bytes; then OUTCOME_NS at most, and no longer than the timeout, for it to end the
 * connection. What that sends meanwhile is dropped. 0: it ended without complaint, or goes on; else why not,
 * as gnl_error_detail says.
 */
int outcome_await(gnl_port *port, bool bytes, bool rests, int64_t timeout);

/*
 * The other side is gone, as a send says: has it said why? Then that, in gnl_error_detail too; 0: it has not.
 */
int outcome_reason(gnl_port *port);

#endif
