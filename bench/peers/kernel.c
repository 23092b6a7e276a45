/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/kernel.h"

const struct peer *const peer_list[] = { &peer_pipe, &peer_fifo,     &peer_unix_stream, &peer_unix_seqpacket,
                                         &peer_tcp,  &peer_posix_mq, &peer_sysv_msg,    NULL };
