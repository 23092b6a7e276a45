/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of link provides: the tables behind the verbs of <ginnel/port.h>. A new kind is a
 * folder of its own and one row in kinds.h.
 *
 * The verbs in port.c check arguments, direction, closing and fork before they call a table, note
 * that the thread is inside the port, and turn a bare code into a sentence; so an operation
 *   - gets valid arguments, on a port that stays until it returns;
 *   - may be called from several threads at once (close excepted);
 *   - blocks only up to its timeout, and comes back with -ECANCELED soon after `interrupt`;
 *   - returns a bare code for what is expected, and calls gnli_fail where there is more to say.
 */
#ifndef GNLI_PORT_PORT_H
#define GNLI_PORT_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <ginnel/names.h>
#include <ginnel/port.h>
#include <ginnel/waitset.h>

#include "base/address.h"
#include "life/membership.h"

struct gnli_port_operations {
    int (*send)(gnl_port *port, const void *data, size_t size, int64_t timeout);
    /* For gnl_send_many, without waiting: how many went; 0: send the first alone. Or NULL. */
    ssize_t (*send_many)(gnl_port *port, const struct iovec *messages, size_t count);
    ssize_t (*recv)(gnl_port *port, void *data, size_t size, int64_t timeout);
    int (*loan)(gnl_port *port, gnl_message *message, size_t size, int64_t timeout);
    int (*post)(gnl_port *port, gnl_message *message, int64_t timeout);
    int (*take)(gnl_port *port, gnl_message *message, int64_t timeout);
    int (*done)(gnl_port *port, gnl_message *message);     /* ends a taken message, drops a loan */
    int (*giveback)(gnl_port *port, gnl_message *message); /* of a taken message */
    /*
     * A descriptor that is readable when a receive, or `sending`: a send, would not block. It may say so for
     * a moment longer: `ready` says which of GNL_READABLE and GNL_WRITABLE hold, of those asked for, whose
     * descriptors there are, and GNL_ENDED. Neither blocks.
     */
    int (*fd)(gnl_port *port, bool sending);
    unsigned (*ready)(gnl_port *port, unsigned events);
    /*
     * For waitsets, instead of `fd` for receiving: a descriptor that the port has anyway; what that does not
     * tell of it tells its memberships (gnli_memberships_tell). -1: none. `joined`: one more is to be told
     * what is so now. Or both NULL.
     */
    int (*own_fd)(gnl_port *port);
    void (*joined)(gnl_port *port);
    int (*finish)(gnl_port *port); /* sets `finished`: it is no sender any more */
    int (*info)(gnl_port *port, struct gnl_port_info *info);
    int (*after_fork)(
        gnl_port *port); /* first call in a forked child: go on as a process of one's own, or -EPERM */
    /*
     * A descriptor and up to GNLI_NOTE_MAX bytes that say what it is, in one order with the messages; give
     * leaves the descriptor the caller's, receive_given makes it the caller's. -ENOMSG: what comes next is a
     * message, which stays. NULL where nothing can be handed over.
     */
    int (*give)(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout);
    int (*receive_given)(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout);
    void (*interrupt)(gnl_port *port); /* `closing` is set: wake whoever is blocked on the port */
    int (*close)(gnl_port *port);      /* nobody is inside: give back, leave, free the port; what got lost */
};

#define GNLI_NOTE_MAX 256

/*
 * For waitsets: joins with the port's descriptors for these events (GNL_READABLE, GNL_WRITABLE). The port
 * stays until it returns, and tells its memberships when it is closed.
 */
int gnli_port_join(gnl_port *port, unsigned events, gnli_join *join, void *context);

struct gnli_kind;

/* What every call with an address begins with; *options: the defaults, if it was NULL. */
int gnli_address_find(struct gnli_address *address, const struct gnli_kind **kind, const char *text);
int gnli_options_check(const struct gnl_options **options);
int gnli_options_fit(const struct gnl_options *options, const struct gnli_kind *kind);

/* 0, or -EINVAL with a sentence. */
int gnli_timeout_check(int64_t timeout);

/* As the verbs: for rooms that hand something over. *size: the note's room, then what was written of it. */
int gnli_port_give(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout);
int gnli_port_receive_given(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout);

struct gnl_port {
    struct gnli_memberships memberships; /* of waitsets */
    char subject[GNL_ADDRESS_MAX + 1];   /* "mailbox 'jobs'", for sentences */
    /* Read by every call: last, so that it lies beside what the kind's own calls read first. */
    const struct gnli_port_operations *operations;
    _Atomic uint64_t stamp; /* of the process that it serves (life/process.h) */
    enum gnl_direction direction;
    atomic_bool closing;
    atomic_bool finished;
    atomic_uchar owed; /* -EPIPE, to the next who sends (1), receives (2): told once, in the midst of many */
};

/* What one who listens provides, under the same rules. */
struct gnli_listener_operations {
    int (*accept)(gnl_listener *listener, gnl_port **port); /* without waiting; its lock is held */
    int (*fd)(gnl_listener *listener);                      /* readable while one may be accepted */
    void (*interrupt)(gnl_listener *listener); /* `closing` is set: wake whoever is blocked in accept */
    void (*close)(gnl_listener *listener);     /* nobody is inside; in a forked child only memory goes */
};

struct gnl_listener {
    const struct gnli_listener_operations *operations;
    char subject[GNL_ADDRESS_MAX + 1];
    uint64_t stamp; /* of the process that listens */
    atomic_bool closing;
    pthread_mutex_t lock; /* of who accepts */
    struct gnli_memberships memberships;
    char address[GNL_ADDRESS_MAX + 1]; /* where it listens: with the number that port 0 became */
};

/* As gnli_port_join, for who connects. */
int gnli_listener_join(gnl_listener *listener, gnli_join *join, void *context);

struct gnli_kind {
    const char *name; /* before the colon */
    enum gnl_kind kind;
    int (*open)(gnl_port **port, const struct gnli_address *address, const struct gnl_options *options);
    /* NULL: nobody listens on such an address */
    int (*listen)(gnl_listener **listener, const struct gnli_address *address,
                  const struct gnl_options *options);
    int (*remove)(const struct gnli_address *address);
    ssize_t (*inspect)(const struct gnli_address *address, struct gnl_port_info *info,
                       struct gnl_participant *participants, size_t count);
};

#endif
