/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/kernel.h"

int main(int argc, char **argv)
{
    static const struct peer *const peers[] = { &peer_pipe,           &peer_fifo, &peer_unix_stream,
                                                &peer_unix_seqpacket, &peer_tcp,  &peer_posix_mq,
                                                &peer_sysv_msg };

    return peer_main(argc, argv, peers, sizeof peers / sizeof peers[0]);
}
