/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/attack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/guard.h"
#include "fuzz/moments.h"
#include "mailbox/mailbox.h"

static int file = -1;
static struct gnli_layout layout;

void attack_begin(const char *name)
{
    struct gnli_header header;

    file = room_open(name, O_RDWR);
    must(file >= 0);
    must(pread(file, &header, sizeof header, 0) == sizeof header);
    must(gnli_layout_compute(&layout, header.capacity, header.message_max, header.two_way, header.arena) ==
         0);
}

void attack_end(void)
{
    if (file >= 0)
        close(file);
    file = -1;
}

static void put(uint64_t offset, uint64_t value)
{
    /* Into the file as it is: writing does not mend what was truncated. */
    struct stat status;

    if (fstat(file, &status) == 0 && offset + sizeof value <= (uint64_t)status.st_size)
        must(pwrite(file, &value, sizeof value, (off_t)offset) == sizeof value);
}

/* ---- what a hostile member would write ---- */

static uint64_t some_number(struct input *input)
{
    const struct input_end ends[INPUT_ENDS] = { { layout.slots - 2, 1 },
                                                { 4094, 1 },
                                                { layout.size - 4096, 2048 } };

    return input_some_number(input, ends);
}

static uint64_t some_value(struct input *input)
{
    switch (input_number(input, 1) % 8) {
    case 0: { /* of a slot */
        uint64_t parts = input_number(input, 4);
        return gnli_word(parts & 3, parts >> 2 & 0xfff, parts >> 14 & 0xff, some_number(input));
    }
    case 1: { /* of a cell */
        uint64_t parts = input_number(input, 3);
        return gnli_cell_word(parts & 3, parts >> 2 & 0xff, parts >> 10, some_number(input));
    }
    case 2: { /* of a chunk */
        uint64_t parts = input_number(input, 1);
        return gnli_chunk_word(parts & 3, (uint32_t)some_number(input), some_number(input));
    }
    case 3: { /* a chunk's name */
        uint64_t class = input_number(input, 1) % (layout.classes + 1);
        uint64_t block = some_number(input);
        return class << 56 | (block & 0xffffffffff) << 16 | (some_number(input) & 0xffff);
    }
    case 4: /* a position */
        return gnli_slots_position(&(struct gnli_slots){ .shift = layout.shift }, some_number(input),
                                   some_number(input));
    case 5: { /* two numbers of 32 bits */
        uint64_t low = some_number(input) & 0xffffffff;
        return some_number(input) << 32 | low;
    }
    default:
        return some_number(input);
    }
}

static uint64_t some_of(struct input *input, uint64_t count)
{
    uint64_t number = some_number(input);

    return count == 0 ? 0 : number % count;
}

static uint64_t some_offset(struct input *input)
{
    uint64_t kind = input_number(input, 1) % 12;

    switch (kind) {
    case 0: /* the header; what is counted */
        return input_number(input, 1) % 4 == 0
                   ? some_of(input, offsetof(struct gnli_header, classes) / 8) * 8
                   : layout.state_at + some_of(input, offsetof(struct gnli_state, queues) / 8) * 8;
    case 1: /* a class */
        return offsetof(struct gnli_header, classes) +
               some_of(input, layout.classes) * sizeof(struct gnli_class) + input_number(input, 1) % 4 * 8;
    case 2:
        return layout.participants_at + some_of(input, 128) * sizeof(struct gnli_participant) +
               input_number(input, 1) % 16 * 8;
    case 3:
    case 4:
        return layout.cells_at + some_of(input, 64) * layout.stride + input_number(input, 1) % 7 * 8;
    case 5:
    case 6: { /* a queue's hints */
        static const uint8_t words[] = { 0, 16, 32, 33, 34, 35, 36, 37, 38, 39 };
        return layout.state_at + offsetof(struct gnli_state, queues) +
               some_of(input, layout.queues) * sizeof(struct gnli_queue) +
               (uint64_t)words[input_number(input, 1) % sizeof words] * 8;
    }
    case 7:
    case 8:
    case 9: /* a slot */
        return layout.slots_at[some_of(input, layout.queues)] + some_of(input, layout.slots) * layout.stride +
               input_number(input, 1) % 7 * 8;
    case 10: { /* a block's entry, or its words */
        if (layout.classes == 0)
            return 0;
        const struct gnli_class_layout *class = &layout.class[some_of(input, layout.classes)];
        uint64_t block = some_of(input, class->blocks);
        return input_number(input, 1) % 2
                   ? class->table_at + block * sizeof(struct gnli_block) + input_number(input, 1) % 2 * 8
                   : class->blocks_at + block * class->block + some_of(input, 8192) * 8;
    }
    default:
        return some_number(input) * 8 % layout.size;
    }
}

void attack_write(struct input *input)
{
    uint64_t offset = some_offset(input);

    put(offset, some_value(input));
}

void attack_resize(struct input *input)
{
    uint64_t kind = input_number(input, 1) % 6;
    uint64_t offset = some_offset(input);

    switch (kind) {
    case 0:
        must(ftruncate(file, 0) == 0);
        break;
    case 1:
        must(ftruncate(file, (off_t)offset) == 0);
        break;
    case 2:
        must(ftruncate(file, (off_t)layout.size + 65536) == 0);
        break;
    case 3: /* away, and back: zeros */
        must(ftruncate(file, (off_t)offset) == 0);
        must(ftruncate(file, (off_t)layout.size) == 0);
        break;
    default:
        must(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(offset & ~UINT64_C(4095)),
                       (off_t)(4096 * (1 + some_of(input, 64)))) == 0);
    }
}

/* ---- during a call ---- */

static void *attackable(const void *address)
{
    return guard_shared(address) ? (void *)(uintptr_t)address : NULL;
}

static const struct moments_target target = {
    .some_number = some_number,
    .some_offset = some_offset,
    .some_value = some_value,
    .put = put,
    .attackable = attackable,
};

void attack_arm(struct input *input)
{
    moments_arm(&target, input);
}

void attack_disarm(void)
{
    moments_disarm();
}
