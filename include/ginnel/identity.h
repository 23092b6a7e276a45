/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links: processes that name each other. A process claims a name, its identity, and has one two-way
 * link with each process that it talks to, made when first needed.
 *
 *     gnl_identity *me;
 *     gnl_identity_claim(&me, "alice");
 *     gnl_send_to(me, "bob", "hello", 5, gnl_s(2));
 *     gnl_recv_from(me, "bob", answer, sizeof answer, NULL, gnl_s(2));
 *
 * A name is one of this user's, NAME, or machine-wide, /NAME; an identity's links lead to names of its own
 * kind. Who is at the other end is the kernel's word: its pid, uid, gid, and that it has the name.
 *
 * A send needs of the receiver only that it has claimed its name. Up to the capacity it succeeds while the
 * other makes no library call, and the message arrives even if the sender has ended since. When the other
 * ends: first all that it had sent, then -EPIPE once; the next call waits for a new one of that name. What
 * the other had not received when it ended is lost: a success means that the message is in the queue, even
 * just after an end that was not noticed yet.
 *
 * Of processes of other users that ended unread, the messages of 64 of one name are kept.
 *
 * Every function is safe from several threads, gnl_identity_release excepted for what comes after it; none
 * is safe in a signal handler. Fork: identities and direct links stay the parent's: in the child every call
 * but gnl_identity_release and gnl_close is -EPERM, and its copies of their descriptors are closed. Errors
 * are negative codes (errors.h).
 */
#ifndef GINNEL_IDENTITY_H
#define GINNEL_IDENTITY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/message.h>
#include <ginnel/options.h>
#include <ginnel/port.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * Claims a name for this process, which has it until gnl_identity_release or its end; then it is free at
 * once. The caller owns *identity. Does not block. -EADDRINUSE a living process has it; -EINVAL not a name;
 * -ENOENT the directory for machine-wide names is absent; -EMFILE, -ENFILE, -ENOSPC as the kernel means
 * them.
 */
int gnl_identity_claim(gnl_identity **identity, const char *name);

/*
 * Lets another user's processes (uid), or those of a group (gid), connect; (uid_t)-1, (gid_t)-1: any. Both
 * given: who is both. Without it only the same user's may, not even root's. Who is not let in gets -EACCES at
 * its first call, and of the two that it has to be the kernel enforces the user, this process the group. Of
 * use for machine-wide names. -ENOSPC too many are allowed.
 */
int gnl_identity_allow(gnl_identity *identity, uid_t uid, gid_t gid);

/*
 * The capacity of what I send, on links made from now on: messages, or GNL_RENDEZVOUS, GNL_UNBOUNDED; 0:
 * GNL_CAPACITY_DEFAULT. -EINVAL.
 */
int gnl_identity_capacity(gnl_identity *identity, int64_t capacity);

/*
 * Ends all its links, whose ports are gone then, and frees the name. Blocked calls return -ECANCELED. NULL
 * is fine.
 */
int gnl_identity_release(gnl_identity *identity);

/*
 * Sends to who has that name: as gnl_send. If nobody has it, waits up to the timeout, then -ENOENT (with
 * GNL_NOWAIT at once). -EACCES its owner does not let this user in; -EPIPE, once, the one that the link was
 * with has ended; -EINVAL one's own name.
 */
int gnl_send_to(gnl_identity *me, const char *name, const void *data, size_t size, int64_t timeout);

/*
 * Receives from who has that name, or with NULL from anybody: as gnl_recv. *sender, if not NULL, is who
 * sent it, by the kernel's word. -ETIMEDOUT also if nobody of that name ever appears; -EPIPE, once, it has
 * ended and all that it had sent was received; never with NULL.
 */
ssize_t gnl_recv_from(gnl_identity *me, const char *name, void *data, size_t size, struct gnl_sender *sender,
                      int64_t timeout);

/*
 * The one link with that name as a port: the same each time, however often and from whichever side it is
 * asked for; borrowed from the identity. gnl_close ends the link. Waits for the name as gnl_send_to:
 * -ENOENT.
 */
int gnl_link(gnl_identity *me, const char *name, gnl_port **port, int64_t timeout);

/*
 * A descriptor that is readable when gnl_recv_from(me, NULL, …) would not block. It belongs to the
 * identity. The first one starts a helper thread, with all signals blocked but SIGBUS.
 */
int gnl_identity_fd(gnl_identity *identity);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
