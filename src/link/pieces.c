/* SPDX-License-Identifier: Apache-2.0 */
#include "link/pieces.h"

#include <errno.h>
#include <sys/mman.h>

#include "memory/file.h"
#include "wait/distance.h"

#define OUT 0x80

/* The books have a byte and a number a page, and memory only where something is written. */
static void *map_books(uint64_t bytes)
{
    void *books =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return books == MAP_FAILED ? NULL : books;
}

int gnli_pieces_init(struct gnli_pieces *pieces, int descriptor, char *base, uint64_t first, uint64_t end)
{
    uint64_t pages = end / GNLI_PIECE_PAGE;

    *pieces = (struct gnli_pieces){ .descriptor = descriptor, .base = base, .next = first, .end = end };
    pieces->state = map_books(pages);
    pieces->link = map_books(pages * sizeof *pieces->link);
    if (pieces->state && pieces->link)
        return 0;
    gnli_pieces_free(pieces);
    return -ENOMEM;
}

void gnli_pieces_free(struct gnli_pieces *pieces)
{
    uint64_t pages = pieces->end / GNLI_PIECE_PAGE;

    if (pieces->state)
        munmap(pieces->state, pages);
    if (pieces->link)
        munmap(pieces->link, pages * sizeof *pieces->link);
    pieces->state = NULL;
    pieces->link = NULL;
}

/* Pages of the class: 1, 2, 3, 4, then 5, 6, 7, 8, 10, 12, 14, 16, 20, … */
static uint64_t pages_of(unsigned number)
{
    return number < 4 ? number + 1 : (uint64_t)(number % 4 + 5) << (number / 4 - 1);
}

static unsigned class_of(uint64_t pages)
{
    if (pages <= 4)
        return pages == 0 ? 0 : (unsigned)pages - 1;
    unsigned shift = 61 - (unsigned)__builtin_clzll(pages - 1); /* so that 4 < pages >> shift <= 8 */
    uint64_t quarters = ((pages - 1) >> shift) + 1;
    return 4 * (shift + 1) + (unsigned)quarters - 5;
}

/* What is reserved here can be touched without a fault that fails. */
static bool reserve(struct gnli_pieces *pieces, uint64_t bytes)
{
    struct gnli_file file = { .descriptor = pieces->descriptor };

    if (bytes > pieces->end - pieces->next || gnli_file_reserve(&file, pieces->next, bytes) < 0)
        return false;
    gnli_write_pages(pieces->base + pieces->next, bytes);
    return true;
}

static uint64_t take_idle(struct gnli_pieces *pieces, unsigned number)
{
    uint32_t page = pieces->idle[number];

    if (page == 0)
        return 0;
    pieces->idle[number] = pieces->link[page];
    pieces->state[page] = (uint8_t)(number + 1) | OUT;
    return page * GNLI_PIECE_PAGE;
}

/* The one that has rested longest is idle. */
static void wake(struct gnli_pieces *pieces, unsigned number)
{
    struct gnli_resting *resting = &pieces->resting[number];
    uint32_t page = resting->first;

    resting->first = pieces->link[page];
    resting->count--;
    pieces->link[page] = pieces->idle[number];
    pieces->idle[number] = page;
}

static uint64_t take_any(struct gnli_pieces *pieces, unsigned number)
{
    if (pieces->idle[number] == 0 && pieces->resting[number].count > 0)
        wake(pieces, number);
    return take_idle(pieces, number);
}

uint64_t gnli_piece_take(struct gnli_pieces *pieces, uint64_t size)
{
    unsigned number = class_of((size + GNLI_PIECE_PAGE - 1) / GNLI_PIECE_PAGE);

    if (number >= GNLI_PIECE_CLASSES)
        return 0;
    uint64_t offset = take_idle(pieces, number);
    if (offset != 0)
        return offset;
    uint64_t bytes = pages_of(number) * GNLI_PIECE_PAGE;
    if (reserve(pieces, bytes)) {
        offset = pieces->next;
        pieces->next += bytes;
        pieces->state[offset / GNLI_PIECE_PAGE] = (uint8_t)(number + 1) | OUT;
        return offset;
    }
    for (; offset == 0 && number < GNLI_PIECE_CLASSES; number++) /* rather a tired or larger one than none */
        offset = take_any(pieces, number);
    return offset;
}

bool gnli_piece_return(struct gnli_pieces *pieces, uint64_t offset)
{
    uint64_t page = offset / GNLI_PIECE_PAGE;

    if (offset % GNLI_PIECE_PAGE != 0 || offset >= pieces->next || !(pieces->state[page] & OUT))
        return false;
    unsigned number = (pieces->state[page] & ~OUT) - 1;
    pieces->state[page] = (uint8_t)(number + 1);
    struct gnli_resting *resting = &pieces->resting[number];
    if (resting->count == 0)
        resting->first = (uint32_t)page;
    else
        pieces->link[resting->last] = (uint32_t)page;
    resting->last = (uint32_t)page;
    uint64_t bytes = pages_of(number) * GNLI_PIECE_PAGE;
    if (++resting->count > (bytes < GNLI_LARGE ? 0 : gnli_distance_of(bytes)))
        wake(pieces, number);
    return true;
}
