/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of identities: who has one, for as long as it lives.
 *
 * A name is claimed by a write lock, a classic record lock, on one byte of the file `.claims` in the
 * runtime directory: the byte that the name hashes to. The kernel gives it to one process at a time, drops
 * it when that process ends, does not let a forked child inherit it, and tells everybody the holder's pid.
 * Beside it stands a listening socket, on which others meet the identity; what a dead one leaves of that is
 * replaced by the next who claims the name.
 *
 * The socket's file is `direct:NAME`. In the machine-wide directory, where nobody can replace a stranger's
 * file, it is `direct:NAME~UID`, and counts only if it belongs to that user.
 */
#ifndef GNLI_LINK_CLAIM_H
#define GNLI_LINK_CLAIM_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <ginnel/names.h>

#include "base/address.h"
#include "memory/file.h"

struct gnli_claim {
    struct gnli_address address;
    int directory;
    struct gnli_file *file; /* .claims */
    uint64_t stamp;         /* of the process that claimed it */
    int listener;           /* -1: the name is not claimed, others' are looked up from here */
    struct gnli_claim *next;
};

/* Claims the name. -EADDRINUSE a living process has it. */
int gnli_claim_take(struct gnli_claim *claim, const struct gnli_address *address, const char *subject);
/* In a forked child, where the name is the parent's, only what is this process's goes. */
void gnli_claim_release(struct gnli_claim *claim, bool ours);

/* Who may connect: the socket's file lets in the owner, everybody, or those whom its access list names. */
int gnli_claim_admit(struct gnli_claim *claim, uid_t uid, gid_t gid);

/*
 * The pid of the process that has the name; 0 nobody has, -1 somebody whom this pid namespace does not
 * show.
 */
pid_t gnli_claim_holder(const struct gnli_claim *claim, const char *name);

/*
 * Connects to who has the name, without waiting: the socket, and who listens there. -ENOENT nobody has the
 * name, -EAGAIN too many are connecting, -EACCES. -EBADMSG who listens is not who has the name.
 */
int gnli_claim_connect(const struct gnli_claim *claim, const char *name, struct ucred *listens,
                       const char *subject);

/* Removes what a dead holder has left. -EBUSY a living process has the name, -ENOENT nothing is left. */
int gnli_claim_sweep(const struct gnli_address *address);

/* Who has the name, and whose it is: -ENOENT no such name. */
int gnli_claim_look(const struct gnli_address *address, struct gnl_port_info *info,
                    struct gnl_participant *has);

#endif
