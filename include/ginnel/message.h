/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that are written and read in place (gnl_loan, gnl_post, gnl_take, gnl_done,
 * gnl_giveback: see port.h).
 */
#ifndef GINNEL_MESSAGE_H
#define GINNEL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GNL_NAME_MAX 63  /* characters of a name: A-Z a-z 0-9 . _ - with no leading dot */
#define GNL_HELD_MAX 256 /* taken messages that one port may hold at a time */

typedef struct gnl_port gnl_port;

/* Who sent a message. Over a mailbox this is what the sender says, not what the kernel vouches for. */
struct gnl_sender {
    char name[GNL_NAME_MAX + 1]; /* its identity, "" if it has none */
    pid_t pid;                   /* in the sender's own pid namespace */
    uid_t uid;
    gid_t gid;
};

enum gnl_message_flags {
    GNL_REDELIVERED = 1u << 0,    /* somebody had it before: they died, or gave it back */
    GNL_SENDER_VOUCHED = 1u << 1, /* the kernel vouches for `sender` */
};

/*
 * A message in place: filled in by gnl_loan or gnl_take, ended by gnl_post, gnl_done or
 * gnl_giveback. Copying the struct copies the handle, not the message: use one copy only.
 * `data` points into memory that is shared with other processes.
 */
typedef struct gnl_message {
    void *data;
    size_t size; /* of a loan: may be lowered before gnl_post */
    struct gnl_sender sender;
    unsigned flags;      /* enum gnl_message_flags */
    unsigned deliveries; /* how often it has been delivered, this time included: 1 at first */
    /* private to the library from here on */
    gnl_port *port_;
    uint64_t private_[4];
} gnl_message;

#endif
