/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of gnl_open. All zeros are the defaults; use designated initialisers:
 *
 *     gnl_open(&port, "mailbox:jobs", &(struct gnl_options){ .capacity = 100 });
 *
 * Opening what exists: a zero takes what is there; another value that differs from it is -EINVAL.
 */
#ifndef GINNEL_OPTIONS_H
#define GINNEL_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define GNL_RENDEZVOUS ((int64_t)-1) /* capacity zero: a send returns once a receiver has the message */
#define GNL_UNBOUNDED  ((int64_t)-2) /* the sender never waits; -ENOSPC when memory is exhausted */

#define GNL_CAPACITY_DEFAULT    1024
#define GNL_CAPACITY_MAX        ((int64_t)1 << 24)
#define GNL_MESSAGE_MAX_DEFAULT ((size_t)1 << 20)
#define GNL_MESSAGE_SHORT       ((size_t)2016)    /* of such messages all lie in the queue itself */
#define GNL_MESSAGE_MAX_LIMIT   ((size_t)1 << 31) /* the largest message_max that can be asked for */

#define GNL_OWNER_ROOT ((uid_t)-2) /* for owner_uid, where 0 means anybody */

enum gnl_create {
    GNL_CREATE_OR_OPEN = 0,
    GNL_CREATE_ONLY, /* -EEXIST if the name is taken */
    GNL_OPEN_ONLY,   /* -ENOENT if the name is free */
};

enum gnl_direction {
    GNL_BOTH = 0,
    GNL_SEND_ONLY, /* receiving calls are -EPERM */
    GNL_RECV_ONLY, /* sending calls are -EPERM */
};

enum gnl_side {
    GNL_ONE_WAY = 0,
    GNL_SIDE_A, /* a two-way mailbox: what side A sends, side B receives, */
    GNL_SIDE_B, /* and the other way round */
};

typedef struct gnl_identity gnl_identity;
struct gnl_tls_options; /* tls.h */

struct gnl_options {
    int64_t capacity;   /* messages that queue; 0: GNL_CAPACITY_DEFAULT; or GNL_RENDEZVOUS, GNL_UNBOUNDED */
    size_t message_max; /* bytes; 0: GNL_MESSAGE_MAX_DEFAULT; up to GNL_MESSAGE_MAX_LIMIT. Up to
                           GNL_MESSAGE_SHORT, not unbounded: fastest, see gnl_open(3) */
    mode_t mode;        /* who may open it, as of a file, 0600 at least; 0: 0600. The umask does not apply. */
    enum gnl_create create;
    enum gnl_direction direction;
    enum gnl_side side;
    /*
     * 0: no limit; else a message that was delivered so often without gnl_done goes to the mailbox
     * dead_letters (address or name; NULL: it is discarded): when it is given back, or, if its last
     * receiver died, at the next receive. That mailbox has the same owner, and a machine-wide one has
     * machine-wide dead letters: the owner's processes make them when first needed; for other users'
     * the owner makes them before.
     */
    uint32_t max_deliveries;
    const char *dead_letters;
    uid_t owner_uid;        /* -EPERM if another user made it; 0: anybody; GNL_OWNER_ROOT: root */
    gnl_identity *identity; /* direct links only: who I am; NULL elsewhere */
    int stream;             /* byte mode, for named pipes and sockets; 0 elsewhere */
    /* Sockets only, 0 elsewhere; 0 is the default. */
    int64_t connect_timeout; /* nanoseconds that gnl_open connects for: 10 s; tcp:, tls: */
    int64_t
        dead_after; /* nanoseconds after which a peer that does not answer is dead; tcp: see gnl_open(3) */
    uint32_t connections_max; /* that a listener has at a time; who comes then is turned away: no limit */
    const struct gnl_tls_options
        *tls;             /* tls: only, NULL elsewhere; NULL: the defaults. Used within the call. */
    uint64_t reserved[4]; /* zero, else -EINVAL */
};

/*
 * For libginnel-tls alone, which says by this what tls: is done by; programs link with that library.
 */
struct gnl_tls_engine;

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

void gnl_tls_provide(const struct gnl_tls_engine *engine);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
