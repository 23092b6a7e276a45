/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libginnel-tls is made of: contexts and sessions over OpenSSL, and words for what fails.
 */
#ifndef GNLI_TLS_TLS_H
#define GNLI_TLS_TLS_H

#include <openssl/ssl.h>

#include "socket/engine.h"

#define GNLI_PSK_MAX  64 /* bytes of a key */
#define GNLI_PSK_NAME 127

struct gnli_psk {
    char name[GNLI_PSK_NAME + 1];
    unsigned char key[GNLI_PSK_MAX];
    unsigned size;
};

struct gnli_tls_context {
    SSL_CTX *ssl;
    gnli_tls_fail *fail;
    bool listens, checks; /* checks: the other side needs a certificate */
    bool encrypted;       /* a file wants a password */
    const char *server_name;
    struct gnli_psk *keys;
    unsigned keys_count;
};

int gnli_tls_context_new(struct gnli_tls_context **context, const struct gnl_tls_options *options,
                         bool listens, const char *subject, gnli_tls_fail *fail);
void gnli_tls_context_free(struct gnli_tls_context *context);

/* Reads the file's keys into the context, and has them used. */
int gnli_psk_use(struct gnli_tls_context *context, const char *file, const char *subject);

/* Why OpenSSL failed just now, in the handshake or after it, as a sentence; the code. */
int gnli_tls_why(gnli_tls_fail *fail, const SSL *ssl, bool shaken, const char *subject);

#endif
