/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credit: a socket on which each end tells the other its terms, once, and then how many messages more it
 * has received. Records are of 8 and of 4 bytes.
 */
#include "wire/wire.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/errors.h"

#define READS_MAX 4096 /* of one call */
#define BATCH     1024 /* messages, where nobody counts, of which the other hears together */

struct gnli_terms gnli_wire_terms(const struct gnli_wire *wire)
{
    return (struct gnli_terms){ .message_max = (uint32_t)wire->message_max, .capacity = wire->capacity };
}

void gnli_wire_meet(struct gnli_wire *wire, const struct gnli_terms *terms)
{
    atomic_store_explicit(&wire->peer_max, terms->message_max, memory_order_relaxed);   /* A */
    atomic_store_explicit(&wire->peer_capacity, terms->capacity, memory_order_relaxed); /* A */
    atomic_store_explicit(&wire->met, true, memory_order_relaxed);                      /* A */
}

size_t gnli_wire_limit(struct gnli_wire *wire)
{
    size_t mine = wire->message_max;
    size_t theirs = atomic_load_explicit(&wire->peer_max, memory_order_relaxed); /* A */

    if (mine == 0 && theirs == 0)
        return GNL_MESSAGE_MAX_DEFAULT;
    return theirs == 0 || (mine > 0 && mine < theirs) ? mine : theirs;
}

/* One record. */
static int understand(struct gnli_wire *wire, const void *record, ssize_t size)
{
    const struct gnli_terms *terms = record;
    const uint32_t *count = record;

    if (size == sizeof *terms && !atomic_load_explicit(&wire->met, memory_order_relaxed) && /* A */
        terms->message_max <= GNL_MESSAGE_MAX_LIMIT) {
        gnli_wire_meet(wire, terms);
        return 0;
    }
    uint64_t granted = atomic_load_explicit(&wire->granted, memory_order_relaxed); /* A */
    /* It cannot have received what was not sent. */
    if (size != sizeof *count ||
        *count > atomic_load_explicit(&wire->sent, memory_order_relaxed) - granted) /* A */
        return -EBADMSG;
    atomic_store_explicit(&wire->granted, granted + *count, memory_order_relaxed); /* A */
    return 0;
}

int gnli_credit_read(struct gnli_wire *wire)
{
    if (wire->credit < 0)
        return 0;
    pthread_mutex_lock(&wire->crediting);
    int result = atomic_load_explicit(&wire->credit_error, memory_order_relaxed); /* A */
    for (unsigned reads = 0; result == 0 && reads < READS_MAX; reads++) {
        _Alignas(8) char record[sizeof(struct gnli_terms) + 1];
        ssize_t size = recv(wire->credit, record, sizeof record, MSG_DONTWAIT);
        if (size < 0 && (errno == EINTR || errno == ECONNRESET))
            continue;
        if (size < 0 && errno == EAGAIN)
            break;
        result = size < 0 ? -errno : size == 0 ? -EPIPE : understand(wire, record, size);
    }
    atomic_store_explicit(&wire->credit_error, result, memory_order_relaxed); /* A */
    if (result < 0)
        shutdown(wire->credit, SHUT_RDWR); /* whoever polls for it learns that, now and later */
    pthread_mutex_unlock(&wire->crediting);
    gnli_wire_unsettle(wire);
    return result;
}

void gnli_credit_tell(struct gnli_wire *wire, bool now)
{
    uint64_t received = atomic_load_explicit(&wire->received, memory_order_relaxed); /* A */
    uint64_t untold = received - wire->told;

    if (wire->credit < 0 || untold == 0)
        return;
    if (!atomic_load_explicit(&wire->met, memory_order_relaxed)) /* A */
        gnli_credit_read(wire);
    bool counts = atomic_load_explicit(&wire->peer_capacity, memory_order_relaxed) > 0; /* A */
    uint32_t count = untold > UINT32_MAX ? UINT32_MAX : (uint32_t)untold;
    if (!now && !counts && untold < BATCH)
        return;
    if (send(wire->credit, &count, sizeof count, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof count)
        wire->told += count;
}
