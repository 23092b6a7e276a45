/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that crews are made of (crew.h): limits.c, socket.c, latency.c and throughput.c have them, rows.c
 * puts them together.
 */
#ifndef BENCH_PARTS_H
#define BENCH_PARTS_H

#include "bench/crew.h"

/* ---- limits.c: what the machine can do ---- */

/* One cache line to and fro between two processes that do nothing else; samples are one way. */
extern const struct crew_part limit_line[2];

/* A process asleep in FUTEX_WAIT is woken; samples are from before the store to being awake. */
extern const struct crew_part limit_wake[2];

/* The same in poll on an eventfd, which limit_event_open makes before. */
extern const struct crew_part limit_event[2];
void limit_event_open(void);

/* The cheapest system call. */
extern const struct crew_part limit_call[1];

/* memcpy from one buffer to task->capacity others, in turn: what a sender's copy does to the caches. */
extern const struct crew_part limit_copy[1];

/* The same, and a second process copies each buffer out as soon as a flag says that it is full. */
extern const struct crew_part limit_bare[2];
extern const struct crew_part limit_relay[2];
extern const struct crew_part limit_relay_walled[2];

/* ---- socket.c: a raw socket of the type that task->wire uses, blocking calls and nothing else ---- */

/* A stream of messages of task->size bytes from one process to another. */
extern const struct crew_part limit_socket_stream[2];

/*
 * For latency.c. Becomes an end of it; returns as crew_connect. Passes a message on: 1, 0 told to stop, or
 * what crew_fail returns.
 */
int socket_begin(struct crew_member *member);
int socket_pass(struct crew_member *member, bool out);

/* ---- latency.c: mailboxes, a direct link, a named pipe, or a raw socket ---- */

/* A message to and fro over two mailboxes, both sides in blocking calls and never idle; one way. */
extern const struct crew_part latency_spinning[2];

/* To a receiver that sleeps; from before gnl_send to after gnl_recv. */
extern const struct crew_part latency_sleeping[2];

/* ---- throughput.c: mailboxes, or a direct link; senders first ---- */

enum throughput_way { COPYING, IN_PLACE, BATCHES, THROUGHPUT_WAYS };

/* 1:1, 2:1, 1:2 */
enum throughput_ratio { ONE_TO_ONE, TWO_TO_ONE, ONE_TO_TWO, THROUGHPUT_RATIOS };

/* Writes the parts and returns how many there are. */
unsigned throughput_parts(enum throughput_way way, enum throughput_ratio ratio,
                          struct crew_part parts[CREW_MAX]);

/* ---- waited.c ---- */

#define WAITED_SIZE 64

/*
 * Nanoseconds for a message that a set of `count` members tells of, measured for `ns`; 0: this process may
 * not have so many descriptors; negative: failed.
 */
double waited_measure(unsigned count, int64_t ns);

/* ---- connections.c ---- */

/* The same of a server that has `count` connections. */
double connections_measure(unsigned count, int64_t ns);

/* The mailboxes that parts use; a row's are made before its crew and removed after it. */
#define MAILBOX_THERE "mailbox:there"
#define MAILBOX_BACK  "mailbox:back"

/* How long a call waits before its caller asks whether to stop. */
#define CALL_TIMEOUT (gnl_ms(5))
#define WIRE_TIMEOUT (gnl_ms(200)) /* that the kernel's own timeouts are for, as the raw socket has */

#endif
