/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places that a port has for messages held and loans out.
 *
 *   A: taking a place acquires, giving it up releases: carries what its last user wrote there.
 *   B: who makes a table releases it, who uses it acquires.
 *   C: relaxed: nobody else is in the port any more, or yet: in a forked child its first user.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdlib.h>

#define WORDS (GNL_HELD_MAX / 64)

struct gnli_tickets *gnli_tickets_of(struct gnli_tickets *_Atomic *place)
{
    return atomic_load_explicit(place, memory_order_acquire); /* B */
}

struct gnli_tickets *gnli_tickets_make(struct gnli_tickets *_Atomic *place)
{
    struct gnli_tickets *there = gnli_tickets_of(place);
    struct gnli_tickets *made = there ? NULL : calloc(1, sizeof *made);

    if (made && atomic_compare_exchange_strong_explicit(place, &there, made, memory_order_acq_rel, /* B */
                                                        memory_order_acquire))                     /* B */
        return made;
    free(made);
    return there;
}

void gnli_tickets_forget(struct gnli_tickets *_Atomic *place)
{
    struct gnli_tickets *there = gnli_tickets_of(place);

    for (unsigned i = 0; there && i < WORDS; i++)
        atomic_store_explicit(&there->used[i], 0, memory_order_relaxed); /* C */
}

void gnli_tickets_free(struct gnli_tickets *_Atomic *place)
{
    free(atomic_exchange_explicit(place, NULL, memory_order_relaxed)); /* C */
}

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
    return tickets &&
           atomic_load_explicit(&tickets->used[ticket / 64], memory_order_acquire) >> ticket % 64 & 1; /* A */
}
