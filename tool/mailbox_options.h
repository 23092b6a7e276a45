/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of send, recv and work that say what the mailbox is like: they make it if it is not there,
 * and what is there must agree. Rows for a table of options (arguments.h). And opening with them: over a
 * direct link under a name of one's own.
 */
#ifndef TOOL_MAILBOX_OPTIONS_H
#define TOOL_MAILBOX_OPTIONS_H

#include <stdbool.h>

#include <ginnel/identity.h>
#include <ginnel/tls.h>

#include "arguments.h"
#include "quantities.h"

bool parse_capacity(const char *text, void *value);     /* int64_t */
bool parse_message_max(const char *text, void *value);  /* size_t */
bool parse_dead_letters(const char *text, void *value); /* const char * */
bool parse_mode(const char *text, void *value);         /* mode_t */
bool parse_limit(const char *text, void *value);        /* uint32_t, 1 or more */
bool parse_patience(const char *text, void *value);     /* int64_t, nanoseconds, 1 or more */
bool parse_side(const char *text, void *value);         /* enum gnl_side */
bool parse_as(const char *text, void *value);           /* const char * */

/* Who this process is on a direct link; NULL: ginnel-PID. */
extern const char *port_as;

/* --listen: be the side that listens; --stream: byte mode. */
extern bool port_listen, port_stream;

/* --tls-ca and so on: for tls: addresses. */
extern struct gnl_tls_options port_tls;
extern bool port_tls_1_2;

/*
 * The options of sockets go with what was asked for, and the files of TLS can be read: EXIT_OK, or what to
 * end with after a complaint. Asked before anything is done.
 */
enum exit_status socket_options_check(const char *command, const struct gnl_options *options);

/* With those of TLS, if any was given. */
struct gnl_options with_tls(const struct gnl_options *options);

/* Is it a socket's? */
bool address_is_socket(const char *address);

/* Are bytes all that goes there, and no messages? */
bool port_is_bytes(const char *address);

/* On standard error, where it is another than was asked for: a TCP port that was found for port 0. */
void tell_address(gnl_listener *listener, const char *address);

/*
 * May opening it, or listening, take long? Then a signal ends the command as it ends any, until that is done
 * (interrupt.h): nothing is there yet to be given back, and no file to be removed.
 */
bool opening_waits(const char *address);

/*
 * Opens the port, which is closed by port_close; with --listen it is the first who connects. -EINTR: a signal
 * was caught, and nobody had come.
 */
int port_open(gnl_port **port, const char *address, const struct gnl_options *options);
int port_close(gnl_port *port); /* as gnl_close */

/* clang-format off */
/* `options` is a struct gnl_options. */
#define PIPE_OPTIONS(options)                                                                                \
    { "capacity", "N", &(options).capacity, parse_capacity,                                                  \
      "a number of messages up to 16777216, 'rendezvous' or 'unbounded'",                                    \
      "messages that queue: a number (1024), rendezvous, unbounded" },                                       \
    { "message-max", "BYTES", &(options).message_max, parse_message_max, "a number of bytes up to 2G",       \
      "bytes of the largest message (1M)" },                                                                 \
    { "mode", "MODE", &(options).mode, parse_mode, "an octal mode such as 0600",                             \
      "who may open it, as of a file (0600)" },                                                              \
    { "stream", NULL, &port_stream, NULL, NULL, "pipes and sockets: bytes, not messages" },                  \
    { "dead-after", "T", &(options).dead_after, parse_patience, A_PATIENCE,                                  \
      "tcp: and tls: who does not answer for so long is dead (60s)" },                                       \
    { "tls-ca", "FILE", &port_tls.ca_file, parse_text, NULL,                                                 \
      "tls: the authorities that are trusted (the system's); who listens asks for certificates then" },      \
    { "tls-cert", "FILE", &port_tls.certificate_file, parse_text, NULL, "tls: the certificate to show" },    \
    { "tls-key", "FILE", &port_tls.key_file, parse_text, NULL, "tls: its key (in the certificate's file)" }, \
    { "tls-psk", "FILE", &port_tls.psk_file, parse_text, NULL,                                               \
      "tls: pre-shared keys, lines NAME:HEX, instead of certificates" },                                     \
    { "tls-name", "NAME", &port_tls.server_name, parse_text, NULL,                                           \
      "tls: whom the certificate has to name (the address's host)" },                                        \
    { "tls-1.2", NULL, &port_tls_1_2, NULL, NULL, "tls: version 1.2, too (1.3 alone)" }
#define MAILBOX_OPTIONS(options)                                                                             \
    PIPE_OPTIONS(options),                                                                                   \
    { "listen", NULL, &port_listen, NULL, NULL, "pipes and sockets: be the side that listens" },             \
    { "connect-timeout", "T", &(options).connect_timeout, parse_patience, A_PATIENCE,                        \
      "tcp: and tls: give up (exit 3) when connecting takes longer than this (10s)" },                       \
    { "max-deliveries", "N", &(options).max_deliveries, parse_limit, A_COUNT,                       \
      "a message that was given back so often is given up" },                                                \
    { "dead-letters", "MAILBOX", &(options).dead_letters, parse_dead_letters, "a mailbox's name or address",\
      "where messages go that were given up" },                                                              \
    { "side", "a|b", &(options).side, parse_side, "a or b",                                                  \
      "a two-way mailbox: what one side sends, the other receives" },                                        \
    { "as", "NAME", &port_as, parse_as, "a name of 1 to 63 of A-Z a-z 0-9 . _ -",                            \
      "a direct link: who I am (ginnel-PID)" }
/* Of who listens, and lets in more than one. */
#define CONNECTIONS_OPTION(options)                                                                          \
    { "connections", "N", &(options).connections_max, parse_limit, A_COUNT,                                  \
      "sockets: of those who connect so many at a time; others are turned away (no limit)" }
/* clang-format on */

#endif
