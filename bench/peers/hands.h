/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a peer's program: the same work, whoever carries the messages. A crew (bench/crew.h) of a
 * sender, a receiver, and perhaps a second sender.
 */
#ifndef BENCH_PEERS_HANDS_H
#define BENCH_PEERS_HANDS_H

#include "bench/crew.h"
#include "bench/peers/peer.h"

#define HANDS_MAX  (1 + PEER_SENDERS_MAX)
#define HANDS_LINE 64                  /* bytes of a cache line: sizes are multiples of it */
#define HANDS_LAST ((uint64_t)1 << 63) /* in the first word of a sender's last message */

/* Writes the parts of work->senders + 1 processes. Both are to stay until the crew has ended. */
void hands_take(const struct peer *for_peer, const struct peer_work *to_do,
                struct crew_part parts[HANDS_MAX]);

/* Bytes of a member's buffer: its own message, and one that it received. */
size_t hands_buffer(size_t size);

/* The words of the last peer_say. */
const char *peer_said(void);

#endif
