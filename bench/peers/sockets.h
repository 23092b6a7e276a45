/* SPDX-License-Identifier: Apache-2.0 */
/* Ginnel over sockets: sockets.c. */
#ifndef BENCH_PEERS_SOCKETS_H
#define BENCH_PEERS_SOCKETS_H

#include "bench/peers/peer.h"

extern const struct peer peer_ginnel_unix, peer_ginnel_tcp, peer_ginnel_unix_many, peer_ginnel_tcp_many;

#endif
