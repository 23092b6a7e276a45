/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of large messages go back to the side that they belong to, once they have been received.
 *
 *   A: relaxed: marks, and words that a count carries.
 *   B: we count chunks as returned (release), the other side looks (acquire), and counts them as collected
 *      (release), where we look (acquire): link/send.c, B.
 */
#include <stdlib.h>

#include "link/link.h"

#define LATERS_MAX (1 << 20)

/* One more, if there is a place for its number. */
static bool tell_returned(struct gnli_in *in, uint32_t page)
{
    const struct gnli_side *theirs = in->memory.theirs;
    struct gnli_side *own = in->told;

    if (!own)
        return false;
    uint64_t collected = atomic_load_explicit(&theirs->collected, memory_order_acquire); /* B */
    if (in->returned - collected >= GNLI_SIDE_RETURNS)
        return false;
    atomic_store_explicit(&own->returns[in->returned % GNLI_SIDE_RETURNS], page,
                          memory_order_relaxed); /* A */
    in->returned++;
    atomic_store_explicit(&own->returned, in->returned, memory_order_release); /* B */
    return true;
}

void gnli_in_return(struct gnli_in *in, uint64_t offset)
{
    if (in->dropped || atomic_load_explicit(&in->hung, memory_order_relaxed)) /* A */
        return; /* it has nobody to go back to */
    while (in->laters > 0 && tell_returned(in, in->later[in->laters - 1]))
        in->laters--;
    uint32_t page = (uint32_t)(offset / GNLI_PIECE_PAGE);
    if (in->laters == 0 && tell_returned(in, page))
        return;
    if (in->laters == LATERS_MAX)
        return; /* it does not collect them */
    if (in->laters == in->later_room) {
        size_t room = 2 * in->later_room + 64;
        uint32_t *grown = realloc(in->later, room * sizeof *grown);
        if (!grown)
            return; /* lost to the link, and given back with it */
        in->later = grown;
        in->later_room = room;
    }
    in->later[in->laters++] = page;
}
