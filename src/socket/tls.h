/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `tls:HOST:PORT`: as `tcp:`, with the engine between the frames and the kernel: a session is the port's
 * layer.
 */
#ifndef GNLI_SOCKET_TLS_H
#define GNLI_SOCKET_TLS_H

#include "socket/engine.h"
#include "socket/socket.h"

bool gnli_socket_is_tls(const struct gnli_address *address);

/* NULL, after a sentence about the library that is missing: -EPROTONOSUPPORT. */
const struct gnl_tls_engine *gnli_tls_engine(const char *subject);

/* For who has a context or a session, which cannot be without it. */
const struct gnl_tls_engine *gnli_tls(void);

int gnli_tls_context(struct gnli_tls_context **context, const struct gnl_options *options, bool listens,
                     const char *subject);

/* ---- the platform's ---- */

extern const struct gnli_transport gnli_tls_transport;

/* The handshake of who connects, on a socket that stays the caller's. -ETIMEDOUT, or why it cannot be. */
int gnli_tls_connect(struct gnli_wire *wire, struct gnli_tls_context *context, int made,
                     const struct gnli_address *address, int64_t deadline);

#endif
