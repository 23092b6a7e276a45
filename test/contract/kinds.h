/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of port that the contract suite runs over: what a port promises, every kind keeps. A new
 * kind of link is a row in kinds.c. Tests loop over the rows; _i is the row's number.
 *
 * A link has a sending end and a receiving end here; where both are the same, each test still opens
 * two ports.
 */
#ifndef TEST_CONTRACT_KINDS_H
#define TEST_CONTRACT_KINDS_H

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#define PATIENCE gnl_ms(PATIENCE_MS) /* a timeout that only a fault reaches */
#define SHORT_NS gnl_ms(20)          /* a timeout that is meant to pass */

/* As ck_assert, for long loops: that one tells the test runner of every success, too. */
#define must(condition)                                             \
    do {                                                            \
        if (!(condition))                                           \
            ck_abort_msg("%s: %s", #condition, gnl_error_detail()); \
    } while (0)

struct kind {
    const char *name;
    const char *address;
    struct gnl_options sending, receiving; /* how each end is opened */
    int64_t capacity;                      /* messages, or GNL_RENDEZVOUS, GNL_UNBOUNDED */
    size_t message_max;
    bool direct;   /* a link with exactly two ends, of two identities, which nobody removes */
    bool pipe;     /* the same, of one that connects and one that is accepted: */
    bool accepted; /* which sends */
    bool socket;   /* nobody counts what the other has received */
    bool tcp; /* nobody vouches for the sender; the kernel makes room, and tells of no end to who sends */
    bool tls; /* with certificates of the test's own */
    const char *says; /* how sentences name it; NULL: "contract" */
    size_t alone; /* bytes that can be sent while nobody receives, of hundred messages at most; 0: no limit */
};

bool kind_is_paired(const struct kind *kind); /* it has exactly two ends, and a known sender */

extern const struct kind kinds[];
extern const int kinds_count;

/* A link of that kind with a port at each end. */
struct pair {
    const struct kind *kind;
    gnl_port *sender;
    gnl_port *receiver;
    gnl_identity *sends, *receives; /* of a direct link */
    gnl_listener *listener;         /* of a named pipe, or a socket */
    char address[GNL_ADDRESS_MAX + 1];
};

struct pair pair_open(int kind);
gnl_port *pair_sender(const struct pair *pair); /* one more port at an end */
gnl_port *pair_receiver(const struct pair *pair);
void pair_close(struct pair *pair); /* closes the two ports that are not NULL, and removes the link */

/* How many sends succeed at once before anybody receives; at most `most`. */
int64_t pair_room(const struct pair *pair, int64_t most);

/* A test for every kind; for every kind that has as many ports as one likes. */
void add_for_each_kind(TCase *test_case, const TTest *test);
void add_for_each_shared_kind(TCase *test_case, const TTest *test);

/* ---- messages ---- */

/* Message number `seed`: bytes that nobody mixes up with another's. */
void message_fill(void *data, size_t size, uint64_t seed);
void message_expect(const void *data, size_t size, uint64_t seed);

/* Sends or receives (waiting if need be) that message. */
void send_message(gnl_port *port, size_t size, uint64_t seed);
void expect_message(gnl_port *port, size_t size, uint64_t seed);
void expect_empty(gnl_port *port);

/* The last failure's sentence names the link. */
void expect_sentence(const struct kind *kind);

/* A thread that sends messages `first`, first + 1, … of that size, waiting for room. */
struct feed {
    pthread_t thread;
    gnl_port *port;
    uint64_t first, count;
    size_t size;
};

void feed_start(struct feed *feed, gnl_port *port, uint64_t first, uint64_t count, size_t size);
void feed_end(struct feed *feed);

/* ---- calls in a thread of their own ---- */

enum verb { SEND, POST, SEND_MANY, RECV, TAKE, TAKE_MANY };
#define VERBS 6

struct call {
    pthread_t thread;
    gnl_port *port;
    enum verb verb;
    int64_t timeout;
    size_t size; /* of what is sent */
    atomic_int thread_id;
    ssize_t result;
    char data[512];      /* what recv got */
    gnl_message message; /* what take got */
};

void call_start(struct call *call, gnl_port *port, enum verb verb, int64_t timeout);
void call_blocks(struct call *call); /* waits until it sleeps inside */
ssize_t call_end(struct call *call); /* its result */

/* One call, here; as call_start without a thread. */
ssize_t call_now(gnl_port *port, enum verb verb, int64_t timeout);

#endif
