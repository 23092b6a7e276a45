/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does `tls:`: a library of its own, libginnel-tls, since the core needs libc alone. It says by
 * gnl_tls_provide which functions these are. They encrypt on a socket that is the caller's, and never wait.
 *
 * A session may be used by several threads. What it has said it read or took is so, whatever comes after.
 */
#ifndef GNLI_SOCKET_ENGINE_H
#define GNLI_SOCKET_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ginnel/options.h>

struct gnli_tls_context; /* the certificates and keys of a listener, or of who connects */
struct gnli_tls_session; /* of a connection */

/* Failing is saying why: the core's gnli_fail, which is not exported. */
typedef int gnli_tls_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct gnl_tls_engine {
    /* `options` may be NULL. -EINVAL, -ENOENT and the like for files, with a sentence. */
    int (*context_new)(struct gnli_tls_context **context, const struct gnl_tls_options *options, bool listens,
                       const char *subject, gnli_tls_fail *fail);
    void (*context_free)(struct gnli_tls_context *context);

    /* `host`: who the other side has to be; NULL: it is the one that connects. The socket does not block. */
    int (*session_new)(struct gnli_tls_session **session, struct gnli_tls_context *context, int socket,
                       const char *host, const char *subject);
    /* Says nothing to the other side, and leaves the socket open: a forked child may call it. */
    void (*session_free)(struct gnli_tls_session *session);

    int (*handshake)(struct gnli_tls_session *session); /* 0 done, -EAGAIN, or an error with a sentence */
    /* 0 the other sends no more; -EAGAIN; -EBADMSG its end was not said, or nonsense; other errors. */
    ssize_t (*read)(struct gnli_tls_session *session, void *data, size_t size);
    /* How many bytes it took; -EAGAIN what it took before has not all gone, -EPIPE it never will. */
    ssize_t (*write)(struct gnli_tls_session *session, const struct iovec *parts, int count);
    /* Nothing more is written: the other learns that, once all before it has gone. */
    void (*finish)(struct gnli_tls_session *session);

    size_t (*unsent)(struct gnli_tls_session *session); /* bytes that it took and the socket did not yet */
    bool (*ahead)(struct gnli_tls_session *session);    /* it has more to read than the socket tells of */
    /* How the connection beneath was lost, an errno value: EPROTO it ended and that was not said; else 0. */
    int (*lost)(struct gnli_tls_session *session);
    /* From now on sentences are about this. */
    void (*name)(struct gnli_tls_session *session, const char *subject);
};

#endif
