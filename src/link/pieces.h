/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of this side of a link, dealt out: blocks for frames, chunks for large messages. Only this
 * process writes the memory and only it keeps the books, which are private to it; the peer just says which
 * chunk it has finished with.
 *
 * A piece belongs to a class, four classes for each doubling of the size. It is cut from the end of what
 * has been used when none of its class lies idle, reserved and touched then, and kept for the next of its
 * class: a sealed memfd gives no memory back before the link ends.
 *
 * A large piece that comes back rests before it goes out again, until the receiver's core has it in its
 * own cache no more (wait/distance.h): so a stream goes around a mebibyte more than it has queued.
 *
 * Used by one thread at a time: under the link's sending lock.
 */
#ifndef GNLI_LINK_PIECES_H
#define GNLI_LINK_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GNLI_PIECE_CLASSES 120
#define GNLI_PIECE_PAGE    ((uint64_t)4096) /* their sizes and offsets are multiples of it */

struct gnli_pieces {
    int descriptor;
    char *base;
    uint64_t next; /* offset of the first byte that was never used */
    uint64_t end;
    uint8_t *state; /* of each page that begins a piece: its class + 1, and whether it is out */
    uint32_t idle[GNLI_PIECE_CLASSES]; /* the first idle one's page, 0 none; its next stands in `link` */
    struct gnli_resting {
        uint32_t first, last, count; /* a queue of pages, in the same way */
    } resting[GNLI_PIECE_CLASSES];
    uint32_t *link;
};

/* Of memory from `first` to `end` of the file. -ENOMEM. */
int gnli_pieces_init(struct gnli_pieces *pieces, int descriptor, char *base, uint64_t first, uint64_t end);
void gnli_pieces_free(struct gnli_pieces *pieces);

/* A piece of at least `size` bytes: its offset, 0 when there is no memory. */
uint64_t gnli_piece_take(struct gnli_pieces *pieces, uint64_t size);

/* It comes back. False: no piece that is out begins there. */
bool gnli_piece_return(struct gnli_pieces *pieces, uint64_t offset);

#endif
