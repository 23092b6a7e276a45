/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of sockets share: one end is made by hand (docs/formats/socket.md). */
#ifndef TEST_PROCESS_SOCKETING_H
#define TEST_PROCESS_SOCKETING_H

#include "piping.h"

#define ANY_PORT "tcp:127.0.0.1:0"
#define HELLO    "GNNLSOCK\0\0\0\0\0\0\0" /* and the zero that ends the string */
#define AT(text) (text), sizeof(text) - 1

gnl_listener *listen_at(const char *address, const struct gnl_options *options);

/* A TCP connection to who listens on 127.0.0.1, and no word said. */
int raw_connect(gnl_listener *listener);
void put(int to, const char *data, size_t size);

#endif
