/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a segment, named or not: docs/formats/segment.md has the table of its bytes.
 *
 *   header | participants | data
 *
 * Where the parts are is fixed. The data is apart from what coordinates its users, so that a user's mistake
 * in the data damages nothing but the data; and on a page of its own whatever the machine's pages are.
 */
#ifndef GNLI_SEGMENT_LAYOUT_H
#define GNLI_SEGMENT_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "life/participant.h"

#define GNLI_SEGMENT_MAGIC   UINT64_C(0x4745534c454e4e47) /* "GNNELSEG" */
#define GNLI_SEGMENT_VERSION 1

#define GNLI_SEGMENT_PAGE ((uint64_t)4096)
/* Where the records and the data begin. */
#define GNLI_SEGMENT_RECORDS ((uint64_t)65536)
#define GNLI_SEGMENT_DATA    (GNLI_SEGMENT_RECORDS + (uint64_t)(GNLI_PARTICIPANTS_MAX + 1) * 128)

struct gnli_segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t creator; /* its pid, and its pid namespace: as it said */
    uint64_t creator_namespace;
    _Atomic uint64_t size;         /* bytes of data: never becomes smaller */
    _Atomic uint32_t participants; /* records below this number have memory */
    _Atomic uint32_t silent;       /* not 0: there may be sleepers who cannot write `waiting` */
    uint8_t unused[24];
    _Atomic uint64_t word;    /* who has it locked, and the version: below */
    _Atomic uint32_t changes; /* what is slept on: moves after the word has */
    _Atomic uint32_t waiting; /* somebody sleeps */
};
_Static_assert(offsetof(struct gnli_segment_header, size) == 24, "layout");
_Static_assert(offsetof(struct gnli_segment_header, word) == 64, "layout");
_Static_assert(sizeof(struct gnli_segment_header) == 80, "layout");
_Static_assert(GNLI_SEGMENT_DATA % 65536 == 0, "layout");

/*
 * The word: bits 0 to 11 the participant that has it locked, 0 nobody; bit 12 the last one died inside, and
 * nobody has locked since; bits 16 to 63 the version.
 */
#define GNLI_SEGMENT_DIED ((uint64_t)1 << 12)

static inline unsigned gnli_segment_owner(uint64_t word)
{
    return (unsigned)(word & GNLI_PARTICIPANTS_MAX);
}

static inline uint64_t gnli_segment_version(uint64_t word)
{
    return word >> 16;
}

static inline uint64_t gnli_segment_word(uint64_t version, unsigned owner)
{
    return version << 16 | owner;
}

#endif
