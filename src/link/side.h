/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one side of a link: what its owner writes and the other side reads. docs/formats/direct.md.
 *
 * A memfd, sealed against any change of its size and against every new way of writing to it. So the owner's
 * mapping, made before, is the only one that ever writes; the other side maps it for reading, and cannot do
 * otherwise.
 */
#ifndef GNLI_LINK_SIDE_H
#define GNLI_LINK_SIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ring/frames.h"

#define GNLI_SIDE_MAGIC   UINT64_C(0x6b6e696c2d6c6e67) /* "gnl-link" */
#define GNLI_SIDE_VERSION 1
#define GNLI_SIDE_RETURNS 4096              /* places for the numbers of returned chunks */
#define GNLI_SIDE_FIRST   ((uint64_t)32768) /* where blocks and chunks begin */

struct gnli_side {
    uint64_t magic;
    uint32_t version;
    uint32_t fences; /* as a sender it orders its stores itself: nobody needs a barrier in its threads */
    uint64_t unused0[6];
    struct gnli_frames_left left;           /* of the other side's frames */
    _Alignas(64) _Atomic uint64_t returned; /* chunks of the other side's that it has finished with */
    _Atomic uint64_t collected;             /* chunks of its own that it has noted as returned */
    _Alignas(64) _Atomic uint32_t asleep;   /* odd: ring the bell, once for each such value */
    _Atomic uint32_t receiving;             /* threads that wait for a message */
    _Atomic uint32_t ended;                 /* in good order: not 0 */
    uint32_t unused1[13];
    _Alignas(64) _Atomic uint64_t written; /* frames, for people to read */
    uint64_t unused2[7];
    uint8_t unused3[4096 - 5 * 64];
    _Atomic uint32_t returns[GNLI_SIDE_RETURNS]; /* their offsets / 4096: a ring */
};
_Static_assert(offsetof(struct gnli_side, left) == 64, "layout");
_Static_assert(offsetof(struct gnli_side, returned) == 128, "layout");
_Static_assert(offsetof(struct gnli_side, asleep) == 192, "layout");
_Static_assert(offsetof(struct gnli_side, written) == 256, "layout");
_Static_assert(offsetof(struct gnli_side, returns) == 4096, "layout");
_Static_assert(sizeof(struct gnli_side) == 4096 + 4 * GNLI_SIDE_RETURNS, "layout");
_Static_assert(sizeof(struct gnli_side) <= GNLI_SIDE_FIRST, "layout");

/* A side's memory, ours or the other's. */
struct gnli_side_memory {
    int descriptor;
    uint64_t size;
    union {
        struct gnli_side *own;
        const struct gnli_side *theirs;
        char *base;
    };
    uint64_t *seen; /* theirs: a bit for each page that is known to have been written */
};

/*
 * Makes memory that is large enough for what `capacity` messages of `message_max` bytes can need, and holes
 * until they do. Negative codes have a sentence about `subject`.
 */
int gnli_side_make(struct gnli_side_memory *memory, int64_t capacity, uint64_t message_max,
                   const char *subject);

/* Takes over a descriptor that the other side sent, after a look at what it is: -EBADMSG. */
int gnli_side_accept(struct gnli_side_memory *memory, int descriptor, uint64_t size, const char *subject);

void gnli_side_free(struct gnli_side_memory *memory);

/* Of theirs: has all of that part been written? Reading a hole would cost memory. */
bool gnli_side_there(void *memory, uint64_t offset, uint64_t size);

#endif
