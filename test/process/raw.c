/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <ginnel/options.h>

#include "helpers.h"

int raw_memory(uint64_t size, int seals, struct gnli_side **side)
{
    int memory = memfd_create("raw", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    require(memory >= 0 && ftruncate(memory, (off_t)size) == 0);
    struct gnli_side *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    require(made != MAP_FAILED);
    memset(made, 0, size < RAW_BLOCK + 2 * GNLI_BLOCK_BYTES ? size : RAW_BLOCK + 2 * GNLI_BLOCK_BYTES);
    made->magic = GNLI_SIDE_MAGIC;
    made->version = GNLI_SIDE_VERSION;
    require(fcntl(memory, F_ADD_SEALS, seals) == 0);
    *side = made;
    return memory;
}

struct raw raw_new(const char *name, int64_t capacity)
{
    struct raw raw = {
        .count = capacity == GNL_RENDEZVOUS ? 3 : 2,
        .hello = { .magic = GNLI_HELLO_MAGIC,
                   .version = GNLI_HELLO_VERSION,
                   .size = RAW_BYTES,
                   .block = RAW_BLOCK,
                   .capacity = capacity,
                   .message_max = 1 << 20 },
    };
    int ends[2];

    snprintf(raw.hello.name, sizeof raw.hello.name, "%s", name);
    raw.descriptors[0] = raw_memory(RAW_BYTES, RAW_SEALS, &raw.side);
    require(pipe2(ends, O_NONBLOCK) == 0);
    raw.descriptors[1] = ends[0];
    raw.bell = ends[1];
    require(pipe2(ends, O_NONBLOCK) == 0);
    raw.descriptors[2] = ends[0];
    raw.token = ends[1];
    return raw;
}

int raw_connect(const char *name)
{
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(path.sun_path, sizeof path.sun_path, "%s/direct:%s", getenv("GINNEL_DIR"), name);
    require(made >= 0 && connect(made, (struct sockaddr *)&path, sizeof path) == 0);
    return made;
}

long raw_send(int socket, const void *data, size_t size, const int *descriptors, unsigned count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))] = { 0 };
    struct iovec vector = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    struct msghdr packet = { .msg_iov = &vector, .msg_iovlen = 1 };

    if (count > 0) {
        struct cmsghdr *header = (struct cmsghdr *)control;
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
        packet.msg_control = control;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    ssize_t sent = sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

void raw_call(struct raw *raw, const char *name)
{
    raw->socket = raw_connect(name);
    raw_send(raw->socket, &raw->hello, sizeof raw->hello, raw->descriptors, raw->count);
}

void raw_word(struct raw *raw, uint64_t offset, uint64_t word)
{
    atomic_store_explicit((_Atomic uint64_t *)((char *)raw->side + offset), word, memory_order_release);
}
