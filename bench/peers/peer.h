/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers: what a user might take instead of Ginnel, measured doing the same work. Each peer is a table of
 * functions; a program has those that need the same library, so that the tool needs none of them, and no more
 * than them: its main() is the harness's.
 *
 *     peer-PROGRAM NAME busy|asleep|stream SIZE SENDERS WARM_NS MEASURE_NS
 *
 * measures the peer of that name once and prints one line: "measured NS P99_NS SENT RECEIVED", or "cannot"
 * and why. Ginnel itself is measured in the same way.
 *
 * The work is the harness's (hands.c): which process is on which core, what a message has in it, that the
 * receiver reads a word of each of its cache lines, and that every message arrives, whole and in its
 * sender's order.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum peer_pattern {
    PEER_BUSY,   /* one message to and fro, neither side ever idle */
    PEER_ASLEEP, /* to a receiver that sleeps in the kernel */
    PEER_STREAM, /* as many as go through */
};

#define PEER_SENDERS_MAX 2

struct peer_work {
    enum peer_pattern pattern;
    size_t size;
    unsigned senders;
    unsigned capacity; /* messages that a channel should have room for, where that can be chosen */
    bool waits;        /* calls block; else they return at once, and are made again */
};

/* THERE leads from the senders to the receiver; BACK, for PEER_BUSY, the other way. */
enum peer_channel { PEER_THERE, PEER_BACK, PEER_CHANNELS };

/* One process's end of a channel. */
struct peer_end {
    const struct peer_work *work;
    enum peer_channel channel;
    bool sends;      /* or receives */
    unsigned sender; /* the sender's number */
    int fd;          /* these are the peer's own */
    void *own;
};

/* What calls return. */
enum peer_result {
    PEER_CANNOT = -2, /* of setup: not this work, see peer_say */
    PEER_FAILED = -1, /* see peer_say */
    PEER_NOT_NOW = 0, /* of send and receive, where they do not wait */
    PEER_OK = 1,
};

struct peer {
    const char *name;
    bool polls_busy;   /* both sides busy: its calls return at once; else they wait */
    bool polls_stream; /* the same for streams */
    bool never_sleeps; /* it has no call that waits in the kernel */
    /* In the parent, before the processes: makes the channels. NULL: nothing to do. */
    enum peer_result (*setup)(const struct peer_work *work);
    /* In the parent, afterwards, whatever failed: nothing stays behind. NULL: nothing to do. */
    void (*teardown)(const struct peer_work *work);
    /* In the process. */
    enum peer_result (*open)(struct peer_end *end);
    /* A message of work->size bytes. */
    enum peer_result (*send)(struct peer_end *end, const void *data);
    /* Into *data; or sets *data to where it is. */
    enum peer_result (*receive)(struct peer_end *end, void **data);
    /* Done with what was received in place; NULL: nothing to do. */
    enum peer_result (*release)(struct peer_end *end);
    /* When all has arrived: of each end, then of the process. NULL: nothing to do. */
    void (*close)(struct peer_end *end);
    void (*leave)(void);
};

/* Notes what failed or why it can't be done, as printf; returns `result`. */
__attribute__((format(printf, 2, 3))) enum peer_result peer_say(enum peer_result result, const char *format,
                                                                ...);

/* A call failed with this errno: "what: why". */
enum peer_result peer_failed(const char *what, int error);

/* A name of this run's own: "ginnel-peer-PID-there"; and a directory of its own, made before setup. */
const char *peer_channel_name(enum peer_channel channel);
const char *peer_directory(void);

/* "ipc://PATH" of a channel, in that directory. */
const char *peer_ipc_address(enum peer_channel channel);

/*
 * TCP ports of the loopback that nobody has: chosen in setup, one a channel. "tcp://127.0.0.1:PORT" of a
 * channel.
 */
enum peer_result peer_choose_ports(void);
unsigned peer_port(enum peer_channel channel);
const char *peer_tcp_address(enum peer_channel channel);

/* The program's peers, then NULL. */
extern const struct peer *const peer_list[];

#ifdef __cplusplus
}
#endif
#endif
