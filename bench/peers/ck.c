/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency Kit's ring, in memory that the processes share: the bare lock-free limit. Messages are in the
 * ring by value. It does not wait, cannot sleep, and is lost when a process dies in the middle of a call:
 * no peer of a mailbox in what it promises.
 */
#include <ck_ring.h>
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "bench/peers/peer.h"

struct message_64 {
    char data[64];
};
struct message_1k {
    char data[1024];
};
struct message_64k {
    char data[65536];
};
struct message_1m {
    char data[1048576];
};

CK_RING_PROTOTYPE(b64, message_64)
CK_RING_PROTOTYPE(k1, message_1k)
CK_RING_PROTOTYPE(k64, message_64k)
CK_RING_PROTOTYPE(m1, message_1m)

struct channel {
    ck_ring_t ring;
    _Alignas(4096) char messages[];
};

static struct channel *channels[PEER_CHANNELS];

/* One of its places always stays empty. */
static enum peer_result setup(const struct peer_work *work)
{
    size_t size = sizeof(struct channel) + work->capacity * work->size;

    if (work->size != 64 && work->size != 1024 && work->size != 65536 && work->size != 1048576)
        return peer_say(PEER_CANNOT, "not built for messages of this size");
    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        channels[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (channels[i] == MAP_FAILED)
            return peer_failed("mmap", errno);
        ck_ring_init(&channels[i]->ring, work->capacity);
    }
    return PEER_OK;
}

static enum peer_result setup_spsc(const struct peer_work *work)
{
    if (work->senders > 1)
        return peer_say(PEER_CANNOT, "one sender only");
    return setup(work);
}

static enum peer_result use(struct peer_end *end)
{
    return PEER_OK;
}

/* The size is known when it is compiled, as it would be in a program that uses the ring. */
#define BY_SIZE(operation, data)                                                                   \
    do {                                                                                           \
        struct channel *channel = channels[end->channel];                                          \
        switch (end->work->size) {                                                                 \
        case 64:                                                                                   \
            return operation(b64, &channel->ring, (struct message_64 *)(void *)channel->messages,  \
                             (struct message_64 *)(data));                                         \
        case 1024:                                                                                 \
            return operation(k1, &channel->ring, (struct message_1k *)(void *)channel->messages,   \
                             (struct message_1k *)(data));                                         \
        case 65536:                                                                                \
            return operation(k64, &channel->ring, (struct message_64k *)(void *)channel->messages, \
                             (struct message_64k *)(data));                                        \
        default:                                                                                   \
            return operation(m1, &channel->ring, (struct message_1m *)(void *)channel->messages,   \
                             (struct message_1m *)(data));                                         \
        }                                                                                          \
    } while (0)

static enum peer_result send_spsc(struct peer_end *end, const void *data)
{
    BY_SIZE(CK_RING_ENQUEUE_SPSC, (uintptr_t)data);
}

static enum peer_result receive_spsc(struct peer_end *end, void **data)
{
    BY_SIZE(CK_RING_DEQUEUE_SPSC, *data);
}

static enum peer_result send_mpsc(struct peer_end *end, const void *data)
{
    BY_SIZE(CK_RING_ENQUEUE_MPSC, (uintptr_t)data);
}

static enum peer_result receive_mpsc(struct peer_end *end, void **data)
{
    BY_SIZE(CK_RING_DEQUEUE_MPSC, *data);
}

static const struct peer spsc = {
    .name = "ck-ring-spsc",
    .polls_busy = true,
    .polls_stream = true,
    .never_sleeps = true,
    .setup = setup_spsc,
    .open = use,
    .send = send_spsc,
    .receive = receive_spsc,
};

static const struct peer mpsc = {
    .name = "ck-ring-mpsc",
    .polls_busy = true,
    .polls_stream = true,
    .never_sleeps = true,
    .setup = setup,
    .open = use,
    .send = send_mpsc,
    .receive = receive_mpsc,
};

const struct peer *const peer_list[] = { &spsc, &mpsc, NULL };
