/* SPDX-License-Identifier: Apache-2.0 */
#include "certificates.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define DAY_S 86400L

struct gnl_tls_options tls_both_ways;

const char *in_directory(const char *file)
{
    static char paths[16][256];
    static unsigned turn;
    char *path = paths[turn++ % 16];

    snprintf(path, sizeof paths[0], "%s/%s", support_directory(), file);
    return path;
}

static FILE *open_file(const char *name, const char *extension, const char *mode)
{
    char file[128];

    snprintf(file, sizeof file, "%s%s", name, extension);
    FILE *opened = fopen(in_directory(file), mode);
    ck_assert_msg(opened != NULL, "%s: %m", file);
    return opened;
}

static void extend(X509 *certificate, int what, const char *text)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, text);

    ck_assert(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static EVP_PKEY *read_key(const char *name)
{
    FILE *file = open_file(name, ".key", "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);

    fclose(file);
    ck_assert(key != NULL);
    return key;
}

static X509 *read_certificate(const char *name)
{
    FILE *file = open_file(name, ".pem", "r");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);

    fclose(file);
    ck_assert(certificate != NULL);
    return certificate;
}

static void sign(X509 *certificate, EVP_PKEY *own_key, const char *signer)
{
    EVP_PKEY *key = own_key;
    X509 *authority = certificate;

    if (signer) {
        key = read_key(signer);
        authority = read_certificate(signer);
    }
    X509_set_issuer_name(certificate, X509_get_subject_name(authority));
    ck_assert(X509_sign(certificate, key, EVP_sha256()) > 0);
    if (signer) {
        EVP_PKEY_free(key);
        X509_free(authority);
    }
}

void certificate_make(const struct wanted *wanted)
{
    static long serial;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    bool limited = wanted->from_s || wanted->until_s;

    ck_assert(key && certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), limited ? wanted->from_s : -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), limited ? wanted->until_s : DAY_S);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)wanted->file, -1, -1, 0);
    extend(certificate, NID_basic_constraints, wanted->names ? "CA:FALSE" : "critical,CA:TRUE");
    if (wanted->names)
        extend(certificate, NID_subject_alt_name, wanted->names);
    sign(certificate, key, wanted->signer);
    FILE *file = open_file(wanted->file, ".pem", "w");
    ck_assert(PEM_write_X509(file, certificate) == 1);
    fclose(file);
    file = open_file(wanted->file, ".key", "w");
    ck_assert(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

void key_lock(const char *name)
{
    EVP_PKEY *key = read_key(name);
    FILE *file = open_file(name, ".locked", "w");

    ck_assert(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"word", 4, NULL,
                                   NULL) == 1);
    fclose(file);
    EVP_PKEY_free(key);
}

static void add_revoked(X509_CRL *list, const char *name)
{
    X509 *certificate = read_certificate(name);
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -DAY_S / 2);

    ck_assert(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate)) == 1 &&
              X509_REVOKED_set_revocationDate(entry, now) == 1 && X509_CRL_add0_revoked(list, entry) == 1);
    ASN1_TIME_free(now);
    X509_free(certificate);
}

void revocation_append(const char *list, const char *authority, const char *revoked, long until_s)
{
    X509_CRL *made = X509_CRL_new();
    X509 *signer = read_certificate(authority);
    EVP_PKEY *key = read_key(authority);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -DAY_S), *until = X509_gmtime_adj(NULL, until_s);

    ck_assert(X509_CRL_set_version(made, X509_CRL_VERSION_2) == 1 &&
              X509_CRL_set_issuer_name(made, X509_get_subject_name(signer)) == 1 &&
              X509_CRL_set1_lastUpdate(made, from) == 1 && X509_CRL_set1_nextUpdate(made, until) == 1);
    if (revoked)
        add_revoked(made, revoked);
    ck_assert(X509_CRL_sort(made) == 1 && X509_CRL_sign(made, key, EVP_sha256()) > 0);
    FILE *file = open_file(list, "", "a");
    ck_assert(PEM_write_X509_CRL(file, made) == 1);
    fclose(file);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    EVP_PKEY_free(key);
    X509_free(signer);
    X509_CRL_free(made);
}

void tls_make(void)
{
    static char ca[256], certificate[256], key[256];

    assert_ok(gnl_tls_init());
    certificate_make(&(struct wanted){ .file = "ca" });
    certificate_make(
        &(struct wanted){ .file = "host", .names = "DNS:localhost,IP:127.0.0.1,IP:::1", .signer = "ca" });
    strcpy(ca, in_directory("ca.pem"));
    strcpy(certificate, in_directory("host.pem"));
    strcpy(key, in_directory("host.key"));
    tls_both_ways =
        (struct gnl_tls_options){ .ca_file = ca, .certificate_file = certificate, .key_file = key };
}

void tls_unmake(void)
{
    unlink(in_directory("ca.pem"));
    unlink(in_directory("ca.key"));
    unlink(in_directory("host.pem"));
    unlink(in_directory("host.key"));
}

struct acceptance {
    gnl_listener *listener;
    gnl_port *port;
    int result;
};

static void *accept_one(void *context)
{
    struct acceptance *acceptance = context;

    acceptance->result = gnl_accept(acceptance->listener, &acceptance->port, gnl_ms(PATIENCE_MS));
    return NULL;
}

void tls_meet(gnl_listener *listener, gnl_port **accepted, gnl_port **connected,
              const struct gnl_options *options)
{
    struct acceptance acceptance = { .listener = listener };
    sigset_t all, before;
    pthread_t thread;

    /* A test's signals are for its own thread. */
    sigfillset(&all);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, accept_one, &acceptance), 0);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_ok(gnl_open(connected, gnl_listener_address(listener), options));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    assert_ok(acceptance.result);
    *accepted = acceptance.port;
}
