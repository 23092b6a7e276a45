/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fails in a handshake or after, in words that say what to do. OpenSSL tells it as a reason, and for the
 * other side's certificate as the verdict on that.
 */
#include "tls/tls.h"

#include <errno.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

struct words {
    long reason;
    int code;
    const char *text;
};

static const struct words verdicts[] = {
    { X509_V_ERR_CERT_HAS_EXPIRED, -EACCES, "has expired" },
    { X509_V_ERR_CERT_NOT_YET_VALID, -EACCES, "is not valid yet (or is this machine's clock wrong?)" },
    { X509_V_ERR_HOSTNAME_MISMATCH, -EACCES, "is another host's: it does not name the one asked for" },
    { X509_V_ERR_IP_ADDRESS_MISMATCH, -EACCES,
      "is another host's: it does not have the IP address asked for" },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, -EACCES,
      "is self-signed, and not among those that are trusted: give it as the authority to trust it" },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, -EACCES,
      "comes from an unknown authority: give that one's certificate to trust it" },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, -EACCES,
      "comes from an unknown authority: give that one's certificate to trust it" },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, -EACCES,
      "comes from an unknown authority: give that one's certificate to trust it" },
    { X509_V_ERR_CERT_SIGNATURE_FAILURE, -EACCES, "has not been signed by the authority that it names" },
    { X509_V_ERR_CERT_REVOKED, -EACCES, "was revoked" },
    { X509_V_ERR_UNABLE_TO_GET_CRL, -EACCES,
      "may have been revoked: there are revocation lists, and none is its authority's" },
    { X509_V_ERR_CRL_HAS_EXPIRED, -EACCES,
      "may have been revoked: its authority's revocation list is out of date: give a newer one" },
    { X509_V_ERR_INVALID_PURPOSE, -EACCES, "is not for this use (extendedKeyUsage)" },
};

#define NOTHING_IN_COMMON \
    "no TLS version, cipher or key in common: 1.3 is what is spoken, and 1.2 only if that is allowed"

static const struct words reasons[] = {
    { SSL_R_WRONG_VERSION_NUMBER, -EBADMSG, "the other side does not speak TLS" },
    { SSL_R_HTTP_REQUEST, -EBADMSG, "the other side does not speak TLS, but HTTP" },
    { SSL_R_BAD_RECORD_TYPE, -EBADMSG, "the other side does not speak TLS" },
    { SSL_R_UNSUPPORTED_PROTOCOL, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_VERSION_TOO_LOW, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_NO_SHARED_CIPHER, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, -EPROTONOSUPPORT, NOTHING_IN_COMMON },
    { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, -EPROTONOSUPPORT,
      NOTHING_IN_COMMON "; with pre-shared keys, the other side has none of this name" },
    { SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER, -EACCES,
      "the other side refuses the handshake: with pre-shared keys, those of this name differ" },
    { SSL_R_TLSV1_ALERT_DECRYPT_ERROR, -EACCES,
      "the other side refuses the handshake: with pre-shared keys, those of this name differ" },
    { SSL_R_BINDER_DOES_NOT_VERIFY, -EACCES, "the pre-shared keys of this name differ" },
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, -EACCES, "the client shows no certificate" },
    { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, -EACCES,
      "the server lets in only who shows a certificate: give one and its key" },
    { SSL_R_TLSV1_ALERT_UNKNOWN_CA, -EACCES,
      "the other side does not know the authority that signed this side's certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, -EACCES,
      "the other side says that this side's certificate has expired" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, -EACCES,
      "the other side says that this side's certificate was revoked" },
    { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, -EACCES, "the other side refuses this side's certificate" },
    { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, -EACCES, "the other side refuses this side's certificate" },
    { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, -EACCES, "the other side refuses this side's certificate" },
    { SSL_R_TLSV1_ALERT_ACCESS_DENIED, -EACCES, "the other side denies access" },
    { SSL_R_TLSV1_UNRECOGNIZED_NAME, -EACCES, "the other side does not know the host's name" },
    { SSL_R_UNEXPECTED_EOF_WHILE_READING, -EBADMSG,
      "the other side's stream was cut: it ended without TLS's word for that, so what came may be a part" },
};

static const struct words *find(const struct words *table, size_t count, long reason)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].reason == reason)
            return &table[i];
    return NULL;
}

static int about_certificate(gnli_tls_fail *fail, const SSL *ssl, const char *subject)
{
    const char *whose = SSL_is_server(ssl) ? "client" : "server";
    long verdict = SSL_get_verify_result(ssl);
    const struct words *words = find(verdicts, sizeof verdicts / sizeof verdicts[0], verdict);

    if (words)
        return fail(words->code, "%s: the %s's certificate %s", subject, whose, words->text);
    return fail(-EACCES, "%s: the %s's certificate is not to be trusted: %s", subject, whose,
                X509_verify_cert_error_string(verdict));
}

int gnli_tls_why(gnli_tls_fail *fail, const SSL *ssl, bool shaken, const char *subject)
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    const struct words *words = NULL;

    ERR_clear_error();
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return about_certificate(fail, ssl, subject);
    if (ERR_GET_LIB(error) == ERR_LIB_SSL)
        words = find(reasons, sizeof reasons / sizeof reasons[0], reason);
    if (words && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING && !shaken)
        return fail(-EBADMSG, "%s: the other side ended in the midst of TLS's handshake: is it TLS there?",
                    subject);
    if (words)
        return fail(words->code, "%s: %s", subject, words->text);
    const char *text = ERR_reason_error_string(error);
    return fail(-EBADMSG, "%s: TLS fails: %s", subject, text ? text : "for no reason that OpenSSL tells");
}
