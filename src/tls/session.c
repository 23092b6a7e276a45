/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session on a socket that does not block. OpenSSL reads from it and writes to it through a BIO of this
 * file, which takes all that is written: what the socket has no room for waits in memory, `out`, and goes
 * before anything else is taken. So OpenSSL never wants to write before it can read, nor the other way round,
 * and what it took it need not be given again. `out` has a record and what answers the other side at most.
 */
#include "tls/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <ginnel/names.h>
#include <ginnel/port.h>
#include <ginnel/tls.h>

#define RECORD_BYTES 16384
#define OUT_MAX      ((size_t)1 << 17) /* of answers nobody reads: who asks for more is hostile */

struct gnli_tls_session {
    pthread_mutex_t lock;
    SSL *ssl;
    gnli_tls_fail *fail;
    int socket;
    char subject[GNL_ADDRESS_MAX + 1];
    char *out;
    size_t out_size, out_room;
    int read_error;        /* errno value of the socket, 0 none */
    int write_error;       /* the same */
    int ended;             /* 1: the other has said its end; or why nothing more can be read */
    bool finished, shaken; /* hands */
};

/* ---- the socket ---- */

static bool keep(struct gnli_tls_session *session, const char *data, size_t size)
{
    size_t wanted = session->out_size + size;

    if (wanted > OUT_MAX)
        return false;
    if (wanted > session->out_room) {
        char *more = realloc(session->out, wanted);
        if (!more)
            return false;
        session->out = more;
        session->out_room = wanted;
    }
    memcpy(session->out + session->out_size, data, size);
    session->out_size = wanted;
    return true;
}

static void drop_out(struct gnli_tls_session *session)
{
    free(session->out);
    session->out = NULL;
    session->out_size = session->out_room = 0;
}

/* How many bytes went; -1: nothing ever will. */
static ssize_t send_now(struct gnli_tls_session *session, const char *data, size_t size)
{
    ssize_t sent;

    do
        sent = send(session->socket, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0 || errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
        return sent < 0 ? 0 : sent;
    session->write_error = errno;
    drop_out(session);
    return -1;
}

/* True: all is with the kernel, or never will be. */
static bool flush(struct gnli_tls_session *session)
{
    ssize_t sent = session->out_size > 0 ? send_now(session, session->out, session->out_size) : 0;

    if (sent > 0) {
        session->out_size -= (size_t)sent;
        memmove(session->out, session->out + sent, session->out_size);
    }
    if (session->out_size > 0)
        return false;
    drop_out(session);
    if (session->finished)
        shutdown(session->socket, SHUT_WR);
    return true;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct gnli_tls_session *session = BIO_get_data(bio);
    size_t sent = 0;

    BIO_clear_retry_flags(bio);
    if (session->write_error != 0)
        return -1;
    if (session->out_size == 0) {
        ssize_t result = send_now(session, data, (size_t)size);
        if (result < 0)
            return -1;
        sent = (size_t)result;
    }
    if (sent < (size_t)size && !keep(session, data + sent, (size_t)size - sent)) {
        session->write_error = ENOMEM;
        drop_out(session);
        return -1;
    }
    return size;
}

static bool is_silence(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH;
}

static int bio_read(BIO *bio, char *data, int size)
{
    struct gnli_tls_session *session = BIO_get_data(bio);
    ssize_t got;

    BIO_clear_retry_flags(bio);
    do
        got = recv(session->socket, data, (size_t)size, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    else if (got < 0)
        session->read_error = errno;
    else if (got == 0 &&
             is_silence(session->write_error)) /* the kernel tells of it once: a write has heard */
        session->read_error = session->write_error;
    else if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return got <= 0 && session->read_error != 0 ? -1 : (int)got;
}

static long bio_control(BIO *bio, int command, long number, void *argument)
{
    (void)number;
    (void)argument;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ginnel");

    if (made && BIO_meth_set_write(made, bio_write) && BIO_meth_set_read(made, bio_read) &&
        BIO_meth_set_ctrl(made, bio_control))
        method = made;
    else
        BIO_meth_free(made);
}

/* ---- beginning and end ---- */

/* Whom the other side's certificate has to name. An IP address is no name, and has no scope there. */
static bool expect(SSL *ssl, const char *host)
{
    struct in6_addr number;
    char name[GNL_ADDRESS_MAX + 1];

    memccpy(name, host, '\0', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    char *scope = strchr(name, ':') ? strchr(name, '%') : NULL;
    if (scope)
        *scope = '\0';
    if (inet_pton(AF_INET, name, &number) == 1 || inet_pton(AF_INET6, name, &number) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static void session_free(struct gnli_tls_session *session)
{
    SSL_free(session->ssl); /* and its BIO, which does not close */
    drop_out(session);
    ERR_clear_error();
    free(session);
}

static bool set_up(struct gnli_tls_session *session, struct gnli_tls_context *context, const char *host)
{
    BIO *bio = method ? BIO_new(method) : NULL;

    session->ssl = SSL_new(context->ssl);
    if (!bio || !session->ssl) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    if (!host) {
        SSL_set_accept_state(session->ssl);
        return true;
    }
    SSL_set_connect_state(session->ssl);
    return expect(session->ssl, context->server_name ? context->server_name : host);
}

static int session_new(struct gnli_tls_session **made, struct gnli_tls_context *context, int socket,
                       const char *host, const char *subject)
{
    struct gnli_tls_session *session = calloc(1, sizeof *session);

    if (!session)
        return context->fail(-ENOMEM, "%s: no memory", subject);
    pthread_mutex_init(&session->lock, NULL);
    session->fail = context->fail;
    session->socket = socket;
    memccpy(session->subject, subject, '\0', sizeof session->subject - 1);
    bool done = set_up(session, context, host);
    ERR_clear_error();
    if (!done) {
        session_free(session);
        return context->fail(-ENOMEM, "%s: cannot begin TLS: no memory, or the host's name is none", subject);
    }
    *made = session;
    return 0;
}

/* ---- what fails ---- */

static int silent(struct gnli_tls_session *session)
{
    return session->fail(-EPIPE, "%s: the other side does not answer any more: taken for dead",
                         session->subject);
}

/* The socket's own error, or OpenSSL's. */
static int why(struct gnli_tls_session *session)
{
    int error = session->read_error;

    if (error == 0)
        return gnli_tls_why(session->fail, session->ssl, session->shaken, session->subject);
    ERR_clear_error();
    if (is_silence(error))
        return silent(session);
    return session->fail(-EBADMSG, "%s: the connection was cut, what came may be a part: %s",
                         session->subject, strerrordesc_np(error));
}

static int handshake(struct gnli_tls_session *session)
{
    int result = 0;

    pthread_mutex_lock(&session->lock);
    ERR_clear_error();
    flush(session);
    int done = SSL_do_handshake(session->ssl);
    if (done != 1)
        result = SSL_get_error(session->ssl, done) == SSL_ERROR_WANT_READ ? -EAGAIN : why(session);
    session->shaken = done == 1;
    pthread_mutex_unlock(&session->lock);
    return result;
}

/* ---- to and fro ---- */

/* What went wrong stays so. */
static ssize_t read_failed(struct gnli_tls_session *session, int result)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        session->ended = 1;
        return 0;
    default:
        session->ended = why(session);
        return session->ended;
    }
}

static ssize_t session_read(struct gnli_tls_session *session, void *data, size_t size)
{
    ssize_t result;

    pthread_mutex_lock(&session->lock);
    ERR_clear_error();
    if (session->ended != 0) {
        result = session->ended > 0 ? 0 : session->ended;
    } else {
        int got = SSL_read(session->ssl, data, size > INT32_MAX ? INT32_MAX : (int)size);
        result = got > 0 ? got : read_failed(session, got);
    }
    pthread_mutex_unlock(&session->lock);
    return result;
}

/* The next of these bytes, a record at most: in place, or put together. */
static const char *gather(const struct iovec *parts, int count, size_t skip, char *together, size_t *size)
{
    size_t filled = 0;
    const char *place = NULL;

    for (int i = 0; i < count && filled < RECORD_BYTES; i++) {
        size_t length = parts[i].iov_len;
        const char *data = parts[i].iov_base;
        if (skip >= length) {
            skip -= length;
            continue;
        }
        size_t now = length - skip < RECORD_BYTES - filled ? length - skip : RECORD_BYTES - filled;
        if (filled == 0 && (now == RECORD_BYTES || i == count - 1)) {
            *size = now;
            return data + skip;
        }
        memcpy(together + filled, data + skip, now);
        place = together;
        filled += now;
        skip = 0;
    }
    *size = filled;
    return place;
}

static ssize_t write_some(struct gnli_tls_session *session, const struct iovec *parts, int count)
{
    char together[RECORD_BYTES];
    size_t taken = 0, size;
    const char *data;

    while (session->out_size == 0 && (data = gather(parts, count, taken, together, &size))) {
        int result = SSL_write(session->ssl, data, (int)size);
        if (result <= 0) {
            ERR_clear_error();
            return taken > 0 ? (ssize_t)taken : -EPIPE;
        }
        taken += (size_t)result;
    }
    return (ssize_t)taken;
}

static ssize_t session_write(struct gnli_tls_session *session, const struct iovec *parts, int count)
{
    ssize_t result;

    pthread_mutex_lock(&session->lock);
    ERR_clear_error();
    if (!flush(session))
        result = -EAGAIN;
    else
        result = session->write_error != 0 ? -EPIPE : write_some(session, parts, count);
    if (result == -EPIPE && is_silence(session->write_error))
        result = silent(session);
    pthread_mutex_unlock(&session->lock);
    return result;
}

static void session_finish(struct gnli_tls_session *session)
{
    pthread_mutex_lock(&session->lock);
    ERR_clear_error();
    if (!session->finished) {
        session->finished = true;
        SSL_shutdown(session->ssl); /* of this side; what comes can be read still */
        ERR_clear_error();
    }
    flush(session);
    pthread_mutex_unlock(&session->lock);
}

static size_t session_unsent(struct gnli_tls_session *session)
{
    pthread_mutex_lock(&session->lock);
    size_t unsent = session->out_size;
    pthread_mutex_unlock(&session->lock);
    return unsent;
}

static int session_lost(struct gnli_tls_session *session)
{
    pthread_mutex_lock(&session->lock);
    bool cut = session->ended < 0 && BIO_test_flags(SSL_get_rbio(session->ssl), BIO_FLAGS_IN_EOF);
    int error = session->read_error != 0 ? session->read_error : session->write_error;
    pthread_mutex_unlock(&session->lock);
    return error != 0 ? error : cut ? EPROTO : 0;
}

static void session_name(struct gnli_tls_session *session, const char *subject)
{
    memccpy(session->subject, subject, '\0', sizeof session->subject - 1);
}

static bool session_ahead(struct gnli_tls_session *session)
{
    pthread_mutex_lock(&session->lock);
    bool ahead = SSL_pending(session->ssl) > 0;
    pthread_mutex_unlock(&session->lock);
    return ahead;
}

/* ---- the library ---- */

static const struct gnl_tls_engine engine = {
    .context_new = gnli_tls_context_new,
    .context_free = gnli_tls_context_free,
    .session_new = session_new,
    .session_free = session_free,
    .handshake = handshake,
    .read = session_read,
    .write = session_write,
    .finish = session_finish,
    .unsent = session_unsent,
    .ahead = session_ahead,
    .lost = session_lost,
    .name = session_name,
};

/* Other threads may be inside when the process ends: OpenSSL is not taken down under them. */
static void provide(void)
{
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    make_method();
    gnl_tls_provide(&engine);
}

int gnl_tls_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, provide);
    return 0;
}

__attribute__((constructor)) static void loaded(void)
{
    gnl_tls_init();
}
