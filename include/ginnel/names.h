/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is: the names in this user's runtime directory and in the machine-wide one, and a look
 * at one of them from outside, without joining it. For tools and monitoring.
 */
#ifndef GINNEL_NAMES_H
#define GINNEL_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/port.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * Does the text make sense as an address, whatever there is? Touches nothing. -EINVAL it does not;
 * -EPROTONOSUPPORT an unknown kind of address.
 */
int gnl_address_check(const char *address);

/* Called for each name, with its address. A value other than 0 ends the walk and becomes its result. */
typedef int gnl_name_visitor(const char *address, void *context);

/*
 * Visits every name, those of this user first, each directory in alphabetical order. 0, or what the
 * visitor returned.
 */
int gnl_names(gnl_name_visitor *visit, void *context);

enum gnl_activity {
    GNL_IDLE = 0,
    GNL_WAITS_TO_SEND,
    GNL_WAITS_TO_RECEIVE,
};

/* A process that has the link open, or that died with it open and whose remains nobody has met yet. */
struct gnl_participant {
    pid_t pid;              /* in its own pid namespace */
    uid_t uid;              /* as it says */
    int alive;              /* the kernel's word */
    int same_pid_namespace; /* as the caller's: only then does pid mean the same to both */
    uint64_t senders;       /* ports it has that may send, receive; not those that have finished sending */
    uint64_t receivers;
    uint64_t held;    /* messages it has taken and is not done with */
    uint64_t claimed; /* places in the queue that it is filling right now */
    uint64_t sent;
    uint64_t received;
    enum gnl_activity activity;
    uint64_t reserved[4];
};

/*
 * Looks at a link without joining it. Returns the number of participants, of which the first
 * `count` are written; participants may be NULL with count 0. -ENOENT, -EACCES, -EBADMSG,
 * -EPROTONOSUPPORT as gnl_open.
 */
ssize_t gnl_inspect(const char *address, struct gnl_port_info *info, struct gnl_participant *participants,
                    size_t count);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
