/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recv and work take messages from: a port, or with --listen all who connect.
 */
#ifndef TOOL_CLIENTS_H
#define TOOL_CLIENTS_H

#include <ginnel/port.h>

struct source;

/*
 * Listens on the address with port_listen (mailbox_options.h), keeping so many descriptors for commands
 * (accepting.h), else opens it. 0, or what the library said.
 */
int source_open(struct source **source, const char *address, const struct gnl_options *options,
                unsigned spare);

/* Gives back what is held, closes, and frees. */
void source_close(struct source *source);

/* The port; NULL if it listens. */
gnl_port *source_port(struct source *source);

/*
 * As gnl_take_many, by any number of threads. Of those who connect a client that has gone is nobody's end:
 * others may come.
 */
ssize_t source_take(struct source *source, gnl_message *messages, size_t most, int64_t timeout);

/* Of one that listens: between these the descriptors that it keeps are the caller's. */
void source_lend(struct source *source);
void source_regain(struct source *source);

#endif
