/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of byte streams whose promises streams_test.c tests: a new kind is a row in streams.c.
 */
#ifndef TEST_CONTRACT_STREAMS_H
#define TEST_CONTRACT_STREAMS_H

#include <stdbool.h>

#include <ginnel/ginnel.h>

struct way {
    const char *name;
    const char *address; /* %s: the test's directory */
    bool fifo;           /* one-way, and nobody listens */
    bool accepted;       /* who sends is the one that is accepted */
};

extern const int stream_ways;

struct stream {
    const struct way *way;
    char address[GNL_ADDRESS_MAX + 1];
    gnl_listener *listener;
    gnl_port *sender, *receiver;
};

/* How a stream is opened: both ways, over TLS, and one way. */
extern const struct gnl_options stream_bytes, stream_over_tls, stream_in, stream_out;

bool stream_is_tls(const struct way *way);

/* The name, and who listens. */
struct stream stream_begin(int way);

/* Both its ends, too. */
struct stream stream_open(int way);

void stream_close(struct stream *stream);

#endif
