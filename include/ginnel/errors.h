/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A function that can fail returns 0 (or a count) on success and a negative errno value
 * otherwise. The meaning of a code is the same on every kind of link:
 *
 *   -EAGAIN      would block, and the timeout was GNL_NOWAIT
 *   -ETIMEDOUT   the timeout passed
 *   -ECANCELED   the port was closed by another thread during the call
 *   -EIDRM       what the port is connected to was removed; so for every later call on the port
 *   -EPIPE       the other side is gone, or this side has said that it sends no more
 *   -EMSGSIZE    the message is larger than the buffer or the link allows; it stays where it is
 *   -ENOSPC      no memory left for the message, or nothing of the kind left; nothing was sent
 *   -ENOBUFS     too many messages are held: finish some (gnl_done) first
 *   -EINVAL      an argument makes no sense, or contradicts what exists
 *   -ENOENT      nothing has that name          -EEXIST      something has that name already
 *   -EACCES      the owner and mode forbid it   -EPERM       not yours to do (or the parent's, after fork)
 *   -EOPNOTSUPP  this kind of thing cannot do that     -EBUSY   others are using it
 *   -ENOMSG      what comes next is a message, not something handed over     -EDEADLK   locked by this thread
 *   -EBADMSG     the shared memory is damaged, foreign, or was scribbled over by another process
 *   -EPROTONOSUPPORT   made by another layout version of the library, or no such kind of address
 *   -ENAMETOOLONG, -EMFILE, -ENFILE, -ENOMEM, -EFBIG, …   as the kernel means them
 */
#ifndef GINNEL_ERRORS_H
#define GINNEL_ERRORS_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * A short text for a code that a gnl_ function returned (negative) or for an errno value
 * (positive). The text is static: never NULL, never freed. Safe everywhere, signal handlers too.
 */
const char *gnl_strerror(int code);

/*
 * This thread's last failure as a sentence that a person can act on, such as
 * "mailbox 'jobs': owned by uid 1001, mode 0600: you may not open it". Empty if this thread had no
 * failure yet. The text belongs to the thread and is valid until its next gnl_ call.
 */
const char *gnl_error_detail(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
