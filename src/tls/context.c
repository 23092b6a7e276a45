/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/tls.h>
#include <openssl/err.h>

#define CIPHERS_OF_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK" /* forward secret, authenticated */

/* An encrypted key is an error: nobody is asked for a password. OpenSSL's own error for that varies. */
static int no_password(char *buffer, int size, int writes, void *encrypted)
{
    (void)buffer;
    (void)size;
    (void)writes;
    *(bool *)encrypted = true;
    return -1;
}

/* A file that cannot be read is said to be that; else it is not what it should be. */
static int bad_file(struct gnli_tls_context *context, const char *subject, const char *file, const char *what)
{
    ERR_clear_error();
    if (access(file, R_OK) != 0) {
        int number = errno;
        return context->fail(-number, "%s: cannot read %s: %s", subject, file, strerrordesc_np(number));
    }
    if (context->encrypted)
        return context->fail(-EINVAL, "%s: the key in %s is encrypted: give one without a password", subject,
                             file);
    return context->fail(-EINVAL, "%s: no %s in PEM form in %s", subject, what, file);
}

static int use_certificate(struct gnli_tls_context *context, const struct gnl_tls_options *options,
                           const char *subject)
{
    const char *file = options->certificate_file;
    const char *key_file = options->key_file ? options->key_file : file;

    if (!file)
        return options->key_file ? context->fail(-EINVAL, "%s: a key without its certificate", subject) : 0;
    if (SSL_CTX_use_certificate_chain_file(context->ssl, file) != 1)
        return bad_file(context, subject, file, "certificate");
    if (SSL_CTX_use_PrivateKey_file(context->ssl, key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long error = ERR_peek_last_error();
        if (ERR_GET_LIB(error) != ERR_LIB_X509 || (ERR_GET_REASON(error) != X509_R_KEY_VALUES_MISMATCH &&
                                                   ERR_GET_REASON(error) != X509_R_KEY_TYPE_MISMATCH))
            return bad_file(context, subject, key_file, "private key");
    } else if (SSL_CTX_check_private_key(context->ssl) == 1) {
        return 0;
    }
    ERR_clear_error();
    return context->fail(-EINVAL, "%s: the key in %s is not that of the certificate in %s", subject, key_file,
                         file);
}

/* A file of authorities may hold their revocation lists, too: if there is one, certificates are looked up. */
static void heed_revocation(SSL_CTX *ssl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    const STACK_OF(X509_OBJECT) *loaded = X509_STORE_get0_objects(store);

    for (int i = 0; i < sk_X509_OBJECT_num(loaded); i++)
        if (X509_OBJECT_get_type(sk_X509_OBJECT_value(loaded, i)) == X509_LU_CRL)
            X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

static int trust(struct gnli_tls_context *context, const struct gnl_tls_options *options, const char *subject)
{
    const char *file = options->ca_file;
    int how = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

    context->checks = !context->listens || file;
    SSL_CTX_set_verify(context->ssl, context->checks ? how : SSL_VERIFY_NONE, NULL);
    if (!file)
        return context->listens || SSL_CTX_set_default_verify_paths(context->ssl) == 1
                   ? 0
                   : context->fail(-ENOMEM, "%s: cannot load the system's authorities", subject);
    if (SSL_CTX_load_verify_file(context->ssl, file) != 1)
        return bad_file(context, subject, file, "certificate");
    heed_revocation(context->ssl);
    if (context->listens)
        SSL_CTX_set_client_CA_list(context->ssl, SSL_load_client_CA_file(file));
    return 0;
}

static int check(struct gnli_tls_context *context, const struct gnl_tls_options *options, const char *subject)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != 0)
            return context->fail(-EINVAL, "%s: tls.reserved must be zero: start from { 0 }", subject);
    if (context->listens && !options->certificate_file && !options->psk_file)
        return context->fail(-EINVAL,
                             "%s: who listens has to show a certificate: give one and its key, or keys that "
                             "both sides have",
                             subject);
    if (options->psk_file && (options->certificate_file || options->ca_file || options->allow_tls_1_2))
        return context->fail(-EINVAL,
                             "%s: pre-shared keys are instead of certificates, in TLS 1.3: give one or the "
                             "other",
                             subject);
    if (context->listens && options->server_name)
        return context->fail(-EINVAL, "%s: server_name is for who connects", subject);
    return 0;
}

static int set_up(struct gnli_tls_context *context, const struct gnl_tls_options *options,
                  const char *subject)
{
    SSL_CTX *ssl = context->ssl;

    SSL_CTX_set_min_proto_version(ssl, options->allow_tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_cipher_list(ssl, CIPHERS_OF_1_2);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ssl, 0);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &context->encrypted);
    int result = trust(context, options, subject);
    if (result == 0)
        result = use_certificate(context, options, subject);
    if (result == 0 && options->psk_file)
        result = gnli_psk_use(context, options->psk_file, subject);
    return result;
}

int gnli_tls_context_new(struct gnli_tls_context **made, const struct gnl_tls_options *options, bool listens,
                         const char *subject, gnli_tls_fail *fail)
{
    static const struct gnl_tls_options defaults;
    struct gnli_tls_context *context = calloc(1, sizeof *context);

    if (!options)
        options = &defaults;
    if (!context)
        return fail(-ENOMEM, "%s: no memory", subject);
    context->fail = fail;
    context->listens = listens;
    context->server_name = options->server_name;
    int result = check(context, options, subject);
    ERR_clear_error();
    if (result == 0) {
        context->ssl = SSL_CTX_new(TLS_method());
        result = context->ssl ? set_up(context, options, subject) : fail(-ENOMEM, "%s: no memory", subject);
    }
    ERR_clear_error();
    if (result < 0)
        gnli_tls_context_free(context);
    else
        *made = context;
    return result;
}

void gnli_tls_context_free(struct gnli_tls_context *context)
{
    SSL_CTX_free(context->ssl); /* once the last session is gone */
    if (context->keys)
        OPENSSL_clear_free(context->keys, context->keys_count * sizeof *context->keys);
    free(context);
}
