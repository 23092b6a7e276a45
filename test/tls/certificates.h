/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys for tests, made as they run: none of them lies in the tree and expires there.
 */
#ifndef TEST_TLS_CERTIFICATES_H
#define TEST_TLS_CERTIFICATES_H

#include <ginnel/tls.h>

#include "support.h"

struct wanted {
    const char *file;     /* in the test's directory: FILE.pem and FILE.key are made */
    const char *names;    /* whom it names, as "DNS:localhost,IP:127.0.0.1"; NULL: nobody, an authority's */
    const char *signer;   /* the file of the authority that signs; NULL: itself */
    long from_s, until_s; /* seconds from now on that it is valid; both 0: a day around now */
};

void certificate_make(const struct wanted *wanted);

/* A certificate's key again, encrypted: FILE.locked. */
void key_lock(const char *file);

/* Appends to a file that authority's revocation list, with the certificate `revoked` in it; NULL: empty. */
void revocation_append(const char *list, const char *authority, const char *revoked, long until_s);

/* The path of a file in the test's directory: valid as long as the process. */
const char *in_directory(const char *file);

/* An authority "ca", and "host", which it has signed: for 127.0.0.1, ::1 and localhost. Removed again: */
void tls_make(void);
void tls_unmake(void);

/* The handshake takes both sides at the same time: connects to the listener and has it accept. */
void tls_meet(gnl_listener *listener, gnl_port **accepted, gnl_port **connected,
              const struct gnl_options *options);

/* With those two files: for either side, and each shows the other its certificate. */
extern struct gnl_tls_options tls_both_ways;

#endif
