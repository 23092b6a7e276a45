/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for many things at once: ports of any kind, listeners, processes, identities and plain descriptors.
 *
 *     gnl_waitset *set;
 *     gnl_waitset_new(&set);
 *     gnl_waitset_add_port(set, jobs, GNL_READABLE, &jobs);
 *     gnl_waitset_add_fd(set, timer, GNL_READABLE, &timer);
 *     int ready = gnl_waitset_wait(set, events, 8, GNL_FOREVER);   // events[i].tag says which
 *
 * A set tells what is so, not what has changed: as long as a member is ready each wait reports it; what
 * others did in shared memory a moment ago perhaps a moment later, when a helper thread has noticed. What a
 * wait costs depends on how many are ready, not on how many there are. If more are ready than the caller asks
 * for, the next wait begins with those that it has not been told of.
 *
 * A member that is closed (gnl_close, gnl_listener_close, gnl_process_free, gnl_identity_release) leaves all
 * sets by itself. Only a plain descriptor has to be removed before it is closed.
 *
 * Every function is safe from several threads: some may add and remove while others wait. All who wait may
 * be told of the same event, and who receives first has the message: use GNL_NOWAIT. None is safe in a
 * signal handler. Fork: a set stays the parent's; in the child every call but gnl_waitset_free is -EPERM, and
 * its descriptor is closed there. Errors are negative codes (errors.h); out-parameters are written only on
 * success.
 */
#ifndef GINNEL_WAITSET_H
#define GINNEL_WAITSET_H

#include <stddef.h>
#include <stdint.h>

#include <ginnel/message.h>
#include <ginnel/options.h>
#include <ginnel/port.h>
#include <ginnel/process.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct gnl_waitset gnl_waitset;

enum gnl_waitset_events {
    GNL_READABLE = 1u << 0, /* a receive, or read, would not block: it gives a message, or an error */
    GNL_WRITABLE = 1u << 1, /* a send, or write, would not block */
    GNL_ENDED = 1u << 2,    /* the process, or the other side, has ended, or sends no more; removed */
};

struct gnl_event {
    void *tag;
    unsigned events; /* of enum gnl_waitset_events */
};

/* Makes a set with nothing in it. The caller owns *set. -EMFILE, -ENFILE, -ENOMEM. */
int gnl_waitset_new(gnl_waitset **set);

/*
 * Ends a set; its members stay as they are. Waits in other threads return -ECANCELED; this waits until they
 * have. NULL is fine.
 */
void gnl_waitset_free(gnl_waitset *set);

/*
 * Adds a port of any kind. events: GNL_READABLE, GNL_WRITABLE or both; GNL_ENDED is told in any case,
 * together with the event whose call would tell it, and with GNL_READABLE as soon as the end is known, so
 * that there may be messages to receive before the -EPIPE. The port stays the caller's.
 *
 * Capacity zero: writable while somebody waits inside a receive, readable while somebody waits inside a
 * send. Who only polls waits for neither: two ends that both poll wait for ever.
 * A direct link is writable once the name has an owner; for that it is connected.
 *
 * -EEXIST it is in the set already: to change its events remove it first; -EPERM it may not receive, or send;
 * -EINVAL no such events; -EIDRM; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN no descriptor, memory or thread left for
 * it; -ENOSPC more descriptors are watched than the system allows (/proc/sys/fs/epoll/max_user_watches).
 */
int gnl_waitset_add_port(gnl_waitset *set, gnl_port *port, unsigned events, void *tag);

/* Adds a listener: GNL_READABLE when somebody connects: then gnl_accept with GNL_NOWAIT. Errors as above. */
int gnl_waitset_add_listener(gnl_waitset *set, gnl_listener *listener, void *tag);

/* Adds a process: GNL_ENDED once it has: gnl_process_wait then returns at once. Errors as above. */
int gnl_waitset_add_process(gnl_waitset *set, gnl_process *process, void *tag);

/* Adds an identity: GNL_READABLE when gnl_recv_from(identity, NULL, …) would not block. Errors as above. */
int gnl_waitset_add_identity(gnl_waitset *set, gnl_identity *identity, void *tag);

/*
 * Adds a descriptor of the caller's, of anything that epoll takes. GNL_ENDED: hung up (EPOLLHUP, EPOLLRDHUP)
 * or failed (EPOLLERR). Errors as above, and -EBADF not a descriptor; -EOPNOTSUPP a regular file, which is
 * always ready.
 */
int gnl_waitset_add_fd(gnl_waitset *set, int descriptor, unsigned events, void *tag);

/*
 * Removes all that was added with this tag. Another thread may have been told of it just before. -ENOENT
 * nothing has that tag.
 */
int gnl_waitset_remove(gnl_waitset *set, void *tag);

/*
 * Waits until something is ready: how many events it wrote, each of another member, at least 1. An empty set
 * waits for what another thread adds. -EAGAIN, -ETIMEDOUT nothing is ready; -ECANCELED gnl_waitset_free came
 * in between; -EINVAL no place for an event, or no such timeout.
 */
int gnl_waitset_wait(gnl_waitset *set, struct gnl_event *events, size_t count, int64_t timeout);

/*
 * A descriptor that is readable when gnl_waitset_wait would not block: for poll, epoll, libuv, GLib, or
 * another set. Rarely it is readable a moment too long: wait with GNL_NOWAIT. It belongs to the set: do not
 * read or close it.
 */
int gnl_waitset_fd(gnl_waitset *set);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
