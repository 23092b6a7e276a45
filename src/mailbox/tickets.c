/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places that a port has for messages held and loans out.
 *
 *   A: taking a place acquires, giving it up releases: carries what its last user wrote there.
 */
#include "mailbox/mailbox.h"

#include <errno.h>

#define WORDS (GNL_HELD_MAX / 64)

int gnli_ticket_acquire(struct gnli_tickets *tickets)
{
    for (unsigned i = 0; i < WORDS; i++) {
        uint64_t used = atomic_load_explicit(&tickets->used[i], memory_order_acquire); /* A */
        while (used != UINT64_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(~used);
            if (atomic_compare_exchange_weak_explicit(&tickets->used[i], &used, used | (uint64_t)1 << bit,
                                                      memory_order_acquire,  /* A */
                                                      memory_order_acquire)) /* A */
                return (int)(i * 64 + bit);
        }
    }
    return -ENOBUFS;
}

void gnli_ticket_release(struct gnli_tickets *tickets, unsigned ticket)
{
    atomic_fetch_and_explicit(&tickets->used[ticket / 64], ~((uint64_t)1 << ticket % 64),
                              memory_order_release); /* A */
}

bool gnli_ticket_used(struct gnli_tickets *tickets, unsigned ticket)
{
    return atomic_load_explicit(&tickets->used[ticket / 64], memory_order_acquire) >> ticket % 64 & 1; /* A */
}
