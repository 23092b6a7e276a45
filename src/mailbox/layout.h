/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a mailbox: docs/formats/mailbox.md has the table of its bytes.
 *
 *   header | slots of queue 0, of queue 1 | state | participants | cells | tables of the classes |
 *   chunks of class 0, 1, …
 *
 * Everything follows from four numbers in the header (capacity, message_max, two_way, arena), so a
 * reader computes the layout, compares the file's size, and trusts no offset found in the file. The
 * file is mostly holes: memory is reserved as it comes into use.
 *
 * Who has many mailboxes touches a few lines of each in turn, long after the last time. So those lie in one
 * page, the state's, and next to it in the page tables are the slots.
 */
#ifndef GNLI_MAILBOX_LAYOUT_H
#define GNLI_MAILBOX_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/port.h>

#include "life/participant.h"
#include "ring/slots.h"

#define GNLI_MAILBOX_MAGIC   UINT64_C(0x584f424c454e4e47) /* "GNNELBOX" */
#define GNLI_MAILBOX_VERSION 3

#define GNLI_CELLS_MAX   4095 /* numbers 1 to this; 0 is none */
#define GNLI_CLASSES_MAX 24   /* chunks of 256 bytes, 512, … 2 GiB */
#define GNLI_CLASS_FIRST ((uint64_t)256)
#define GNLI_BLOCK       ((uint64_t)64 << 10) /* of memory that small chunks share */
#define GNLI_SMALL_CHUNK ((uint64_t)8 << 10)  /* up to this, chunks share a block */

#define GNLI_RENDEZVOUS_SLOTS 64   /* senders of a mailbox of capacity zero that can offer at a time */
#define GNLI_SLOTS_A_BLOCK    2048 /* of an unbounded queue, that get and lose their memory together */

/* A message that a receiver has taken: docs/protocol.md. As many bytes as a slot. */
struct gnli_cell {
    _Atomic uint64_t word;
    struct gnli_body body;
};

/* Chunks of one size. */
struct gnli_class {
    _Alignas(64) _Atomic uint64_t blocks; /* entries of its table in use so far */
    _Atomic uint64_t next;                /* hint: block and chunk to try first */
    _Atomic uint64_t serial;              /* for chunks without one: never used, or their word vanished */
    _Atomic uint64_t backed;              /* bytes of memory in its blocks; a hint */
};

/* A block: one large chunk, or several small ones. */
struct gnli_block {
    _Alignas(
        64) _Atomic uint64_t word; /* of the large chunk; on a line of its own: two processes change it */
    _Atomic uint64_t backed; /* large: bytes with memory; small: enum gnli_backing and who is trimming it */
};

struct gnli_header {
    uint64_t magic;
    uint32_t version;
    uint32_t two_way;
    int64_t capacity;
    uint64_t message_max;
    uint64_t arena; /* most bytes of chunks a class may have */
    uint32_t max_deliveries;
    uint32_t unused;
    char dead_letters[GNL_ADDRESS_MAX + 1];

    _Alignas(512) struct gnli_class classes[GNLI_CLASSES_MAX]; /* these do change */
};

/* What messages need besides their slots. The first participants' records are in the same page. */
struct gnli_state {
    _Atomic uint32_t participants; /* records that have memory: numbers below this */
    _Atomic uint32_t cells;        /* cells that have memory: numbers below this */
    /* what participants who left had counted */
    _Atomic uint64_t sent;
    _Atomic uint64_t received;
    _Atomic uint64_t redelivered;
    _Atomic uint64_t discarded;

    _Alignas(128) struct gnli_queue queues[2]; /* the second of a two-way mailbox alone */
};
_Static_assert(sizeof(struct gnli_header) == 2048, "layout");
_Static_assert(offsetof(struct gnli_header, classes) == 512, "layout");
_Static_assert(offsetof(struct gnli_state, queues) == 128, "layout");
_Static_assert(sizeof(struct gnli_state) == 896, "layout");
_Static_assert(sizeof(struct gnli_cell) == 128, "layout");
_Static_assert(sizeof(struct gnli_block) == 64, "layout");
_Static_assert((GNLI_BODY_AT + GNL_MESSAGE_SHORT) % sizeof(struct gnli_slot) == 0, "none of a slot is lost");

struct gnli_class_layout {
    uint64_t chunk;     /* bytes */
    uint64_t block;     /* bytes */
    uint32_t per_block; /* chunks; 1: large, its word is in the table */
    uint32_t first;     /* offset of the first chunk in a block: the words are before it */
    uint64_t blocks;    /* at most */
    uint64_t table_at;
    uint64_t blocks_at;
};

struct gnli_layout {
    int64_t capacity;
    uint64_t message_max;
    uint64_t arena;
    unsigned queues;
    uint64_t slots;    /* of each queue */
    size_t stride;     /* bytes of a slot, and of a cell */
    size_t inline_max; /* bytes of a message that they hold */
    unsigned shift;
    uint64_t slots_at[2], state_at, participants_at, cells_at;
    unsigned classes;
    struct gnli_class_layout class[GNLI_CLASSES_MAX];
    uint64_t core; /* bytes up to the first chunk: mapped at once; chunks are mapped a class at a time */
    uint64_t size; /* of the file */
};

/* Computes the layout from the four numbers; -EINVAL if they are out of bounds. */
int gnli_layout_compute(struct gnli_layout *layout, int64_t capacity, uint64_t message_max, bool two_way,
                        uint64_t arena);

/* The arena to ask for on a file system of that many bytes: no more than it could hold. */
uint64_t gnli_layout_arena(uint64_t file_system_bytes);

/* Cells that get memory at a time. */
uint32_t gnli_layout_cells(const struct gnli_layout *layout);

/* The class whose chunks hold that many bytes. */
unsigned gnli_layout_class(uint64_t size);

#endif
