/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: `unix:PATH`, `unix:@NAME`, `tcp:HOST:PORT` and `tls:HOST:PORT` (tls.h), byte streams all of them;
 * messages are framed by wire/stream.h. What the system's sockets need is in the files that end in _unix.
 *
 * The seam for what shall lie between the frames and the kernel, such as encryption, is struct
 * gnli_transport: put, get, finish and leave.
 */
#ifndef GNLI_SOCKET_SOCKET_H
#define GNLI_SOCKET_SOCKET_H

#include <netdb.h>
#include <stdatomic.h>
#include <sys/un.h>

#include "wire/wire.h"

/* Those who were accepted by one listener, and the listener itself: its last one frees it. */
struct gnli_crowd {
    _Atomic uint32_t users;
};

void gnli_crowd_leave(struct gnli_crowd *crowd); /* NULL is fine */

/* "tcp:localhost:80": an address is its own subject. -EINVAL options that have no meaning here. */
int gnli_socket_check(const struct gnl_options *options, const char *subject);

/* ---- the platform's ---- */

extern const struct gnli_transport gnli_socket_transport;

/*
 * The port has the socket from now on, which is connected and the library's (gnli_wire_own); in message mode
 * the hello goes. -EPIPE it cannot: the other side has gone.
 */
int gnli_socket_attach(struct gnli_wire *wire, int made, const struct gnl_options *options);

/* Of a port that is being closed: has the kernel heard that the connection is lost? */
void gnli_socket_hear(struct gnli_wire *wire);

int gnli_socket_connect(struct gnli_wire *wire, const struct gnli_address *address,
                        const struct gnl_options *options);

int gnli_socket_listen(gnl_listener **listener, const struct gnli_address *address,
                       const struct gnl_options *options);

/* ---- places ---- */

bool gnli_socket_is_local(const struct gnli_address *address); /* unix: */

/* The socket's address of unix:. -ENAMETOOLONG. */
int gnli_socket_local(struct sockaddr_un *name, socklen_t *size, const struct gnli_address *address);

/*
 * What the host's name means, to be freed with freeaddrinfo. -ENOENT no such host, -EAGAIN the resolver
 * cannot tell now, -ETIMEDOUT it does not answer.
 */
int gnli_socket_resolve(struct addrinfo **found, const struct gnli_address *address, bool listens,
                        int64_t deadline);

/* Who has a file: 0 somebody listens, -ENOENT nobody, -ECONNREFUSED a dead one, -EEXIST no socket. */
int gnli_socket_look(const struct sockaddr_un *name, socklen_t size);

int gnli_socket_remove(const struct gnli_address *address);

#endif
