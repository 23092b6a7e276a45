/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has connected and not said its hello yet. Each costs a descriptor and some bytes here, no port, and
 * does not count as a connection. There may be so many at a time, and each has so long, whether anybody calls
 * gnl_accept meanwhile or polls the listener's descriptor: a timer makes that readable.
 *
 * Over TLS its handshake comes first, and in byte mode there is nothing after that.
 *
 * The listener's lock is held in all of these.
 */
#ifndef GNLI_SOCKET_NEWCOMERS_H
#define GNLI_SOCKET_NEWCOMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "socket/tls.h"
#include "wire/stream.h"

#define GNLI_NEW_MAX 128

struct gnli_newcomer {
    int socket;                       /* -1: none */
    struct gnli_tls_session *session; /* NULL: it is not TLS */
    bool shaken;                      /* hands */
    uint64_t number;                  /* the lower came first */
    int64_t deadline_ns;
    uint8_t hello[GNLI_STREAM_HELLO];
    size_t heard; /* bytes of it */
    bool waits;   /* for the rest: it is in the set, */
    bool writes;  /* and for room, too */
};

struct gnli_newcomers {
    int set, timer; /* the listener's epoll descriptor, where an event has the place of who said something; */
    unsigned count; /* GNLI_NEW_MAX is the timer's place, and above it are the listener's own */
    int64_t patience_ns;
    size_t wanted;                    /* bytes of a hello */
    struct gnli_tls_context *context; /* NULL: it is not TLS */
    const char *subject;
    uint64_t numbers;
    struct gnli_newcomer places[GNLI_NEW_MAX];
};

/* Each may be mute for so long. With `hellos` each says one. */
void gnli_newcomers_init(struct gnli_newcomers *newcomers, int64_t patience_ns, bool hellos,
                         const char *subject);
int gnli_newcomers_begin(struct gnli_newcomers *newcomers, int set); /* 0, or a negative errno value */

/* Takes the socket, which is the library's (gnli_wire_own): its place, or -ENOMEM: it is closed. */
int gnli_newcomers_add(struct gnli_newcomers *newcomers, int socket);

/* 0: its hello has come. -EAGAIN not yet, or nobody is there; -EPIPE it never will: turned away. */
int gnli_newcomers_hear(struct gnli_newcomers *newcomers, unsigned place);

/* Whose hello has come: the socket is the caller's, and so is the session. */
int gnli_newcomers_release(struct gnli_newcomers *newcomers, unsigned place, uint8_t *hello,
                           struct gnli_tls_session **session);

/* Those who have been mute too long are turned away. */
void gnli_newcomers_tidy(struct gnli_newcomers *newcomers);

/* The one that has been mute longest is turned away; false: there is none. */
bool gnli_newcomers_make_room(struct gnli_newcomers *newcomers);

void gnli_newcomers_end(struct gnli_newcomers *newcomers);

/* In a forked child: only memory goes. */
void gnli_newcomers_forget(struct gnli_newcomers *newcomers);

#endif
