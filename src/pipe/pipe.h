/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named pipes: `pipe:NAME`, and UNIX FIFOs: `fifo:PATH`. What is the platform's own is in the files that
 * end in _unix.
 *
 * A pipe's name is a listening socket's file in a runtime directory, pipe:NAME, and lives as long as that
 * socket: the kernel refuses who connects to a dead one's. In message mode the socket is of type SEQPACKET,
 * in byte mode STREAM, so that the kernel keeps the modes apart.
 */
#ifndef GNLI_PIPE_PIPE_H
#define GNLI_PIPE_PIPE_H

#include "wire/wire.h"

/* "pipe 'chat'" and "pipe:chat". */
void gnli_pipe_subject(char *subject, const struct gnli_address *address);
void gnli_pipe_file(char *name, const struct gnli_address *address);
#define GNLI_PIPE_FILE (GNL_NAME_MAX + 6)

/* Options that have no meaning here are -EINVAL. */
int gnli_pipe_check(const struct gnl_options *options, const char *subject);

/* ---- the platform's ---- */

/* How a client introduces itself in message mode: with the other end of the credit. */
struct gnli_pipe_hello {
    char magic[8];
    struct gnli_terms terms;
};
#define GNLI_PIPE_MAGIC "GNNLPIPE"

extern const struct gnli_transport gnli_pipe_transport;

/* Connects a port to who listens. */
int gnli_pipe_connect(struct gnli_wire *wire, const struct gnli_address *address,
                      const struct gnl_options *options);

/* Who is at the other end of the socket becomes the port's peer; the port has the socket from now on. */
int gnli_pipe_attach(struct gnli_wire *wire, int socket);

/* Receives what a socket has, with credentials, and with a descriptor if that is not NULL (-1: none came). */
ssize_t gnli_pipe_receive(int socket, const struct iovec *parts, int count, int flags,
                          struct gnl_sender *sender, int *descriptor);

int gnli_pipe_listen(gnl_listener **listener, const struct gnli_address *address,
                     const struct gnl_options *options, const char *subject);

/* ---- names ---- */

enum gnli_pipe_life { GNLI_PIPE_ABSENT, GNLI_PIPE_DEAD, GNLI_PIPE_LIVES, GNLI_PIPE_FOREIGN };

struct gnli_pipe_name {
    enum gnli_pipe_life life;
    int file; /* of O_PATH, to connect by; the caller's; -1 if it is absent */
    uid_t owner;
    mode_t mode;
    uint64_t inode;
};

/* Who has the name, by the kernel's word; -EACCES it does not say to this user. */
int gnli_pipe_look(struct gnli_pipe_name *name, int directory, const char *file, const char *subject);

/* The listener's pid where the kernel tells, else -1. */
pid_t gnli_pipe_listener(const struct gnli_pipe_name *name);

/* Whoever takes a name or frees one keeps others off it meanwhile. -EBUSY it takes too long. */
int gnli_pipe_lock(int directory, const char *subject);
void gnli_pipe_unlock(int directory);

int gnli_pipe_remove(const struct gnli_address *address);
ssize_t gnli_pipe_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                          struct gnl_participant *participants, size_t count);

#endif
