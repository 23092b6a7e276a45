/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers that the kernel itself has: they need libc alone and are always there.
 */
#ifndef BENCH_PEERS_KERNEL_H
#define BENCH_PEERS_KERNEL_H

#include "bench/peers/peer.h"

/* streams.c */
extern const struct peer peer_pipe, peer_fifo, peer_unix_stream, peer_unix_seqpacket, peer_tcp;

/* queues.c */
extern const struct peer peer_posix_mq, peer_sysv_msg;

#endif
