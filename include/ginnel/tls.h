/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS: ports over `tls:HOST:PORT`, which are those of `tcp:` with what they carry encrypted, and with the
 * other side's identity checked. It is in a library of its own, libginnel-tls (`pkg-config ginnel-tls`),
 * which uses OpenSSL 3. A program that is linked with it has the addresses; without it they are
 * -EPROTONOSUPPORT.
 *
 *     gnl_open(&port, "tls:server.example:7000", NULL);
 *     gnl_listen(&listener, "tls:0.0.0.0:7000", &(struct gnl_options){
 *         .tls = &(struct gnl_tls_options){ .certificate_file = "server.pem", .key_file = "server.key" } });
 *
 * It is TLS 1.3, without session tickets and without early data. Failing says why (gnl_error_detail):
 *   -EACCES  the other side's certificate is not to be trusted (unknown authority, self-signed, expired, not
 *            yet valid, revoked), is another host's, or is missing; or it says so of ours. From gnl_open; but
 *            that a server wants a certificate a client may learn from its first receive only
 *   -EPROTONOSUPPORT  no version or cipher in common, or no key
 *   -EBADMSG  what comes is no TLS; or the stream was cut: its end was not said, as TLS demands, so what has
 *            come may be a part (gnl_recv). An end that was said is -EPIPE
 *   -ETIMEDOUT  the handshake is not done within connect_timeout
 */
#ifndef GINNEL_TLS_H
#define GINNEL_TLS_H

#include <stdint.h>

#include <ginnel/options.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* gnl_options.tls: read within gnl_open and gnl_listen, and the caller's again after that. Files are PEM. */
struct gnl_tls_options {
    /* Who signs those that are to be trusted. NULL: who connects trusts the system's authorities; who listens
       lets in anybody. Given to who listens: only who shows a certificate of these is let in. Revocation
       lists (CRLs) may be among them: then each certificate is looked up in that of the authority that
       signed it, which has to be there and in date. Without any, nothing is known of what was revoked. */
    const char *ca_file;
    const char *certificate_file; /* mine, then those up to its authority; who listens has one, or psk_file */
    const char *key_file; /* of the certificate, not encrypted; NULL: it is in certificate_file, too */
    /* Instead of certificates, pre-shared keys: a line each, NAME:HEX, 16 bytes at least. Who listens lets in
       whoever has one of them; who connects uses the first. */
    const char *psk_file;
    const char *server_name; /* gnl_open: whom the certificate has to name; NULL: the address's host */
    int allow_tls_1_2;       /* else 1.3 alone */
    uint64_t reserved[4];    /* zero, else -EINVAL */
};

/*
 * Makes sure that the library is linked with: a linker that drops what no function is called of (--as-needed)
 * would drop it otherwise. Loading it does the same. Always 0. May be called again, by any thread; not in
 * signal handlers. After fork both processes go on with their own ports as gnl_open(3) says.
 */
int gnl_tls_init(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
