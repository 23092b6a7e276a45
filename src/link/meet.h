/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller sends first, in one packet of its connection: docs/formats/direct.md. With it go
 * descriptors: its memory, the read end of its bell, and for rendezvous the read end of its token.
 */
#ifndef GNLI_LINK_MEET_H
#define GNLI_LINK_MEET_H

#include <stddef.h>
#include <stdint.h>

#include <ginnel/message.h>

#define GNLI_HELLO_MAGIC   UINT64_C(0x6f6c6c65686c6e67) /* "gnlhello" */
#define GNLI_HELLO_VERSION 1

struct gnli_hello {
    uint64_t magic;
    uint32_t version;
    uint32_t unused;
    char name[GNL_NAME_MAX + 1]; /* who calls */
    uint64_t size;               /* of its memory */
    uint64_t block;              /* offset of the first one */
    int64_t capacity;            /* messages, or GNL_RENDEZVOUS, GNL_UNBOUNDED */
    uint64_t message_max;
};

/*
 * A packet with up to `most` descriptors, which are the caller's then: how many. It stays where it is until
 * gnli_packet_skip. -EAGAIN; -EMFILE this process has no descriptor left for it; -EBADMSG.
 */
int gnli_packet_peek(int socket, void *data, size_t *size, int *descriptors, int most);
void gnli_packet_skip(int socket);
int gnli_descriptor_send(int socket, const void *data, size_t size, int descriptor);

#endif
