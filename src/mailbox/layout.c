/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/layout.h"

#include <errno.h>

#define PAGE            ((uint64_t)4096)
#define ARENA_MIN       ((uint64_t)1 << 30)
#define ARENA_MAX       ((uint64_t)1 << 39) /* all classes together: less than the 16 TiB of a file on ext4 */
#define SLOTS_UNBOUNDED ((uint64_t)1 << 28) /* at most: a queued chunk's word names one of them */
#define CHUNKS_BESIDE   ((uint64_t)GNLI_CELLS_MAX + 1024) /* held and loaned ones, beside those queued */

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

static unsigned bits_for(uint64_t count)
{
    return count <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(count - 1);
}

uint64_t gnli_layout_arena(uint64_t file_system_bytes)
{
    uint64_t arena = round_up(file_system_bytes, PAGE);

    return arena < ARENA_MIN ? ARENA_MIN : arena > ARENA_MAX ? ARENA_MAX : arena;
}

unsigned gnli_layout_class(uint64_t size)
{
    return size <= GNLI_CLASS_FIRST ? 0 : bits_for(size) - 8;
}

static void lay_out_class(struct gnli_class_layout *class, const struct gnli_layout *layout, unsigned number)
{
    uint64_t most =
        layout->capacity == GNL_UNBOUNDED ? INT64_MAX : layout->slots * layout->queues + CHUNKS_BESIDE;

    class->chunk = GNLI_CLASS_FIRST << number;
    if (class->chunk <= GNLI_SMALL_CHUNK) {
        uint64_t all = GNLI_BLOCK / class->chunk;
        uint64_t words = round_up(all * sizeof(uint64_t), class->chunk) / class->chunk;
        class->block = GNLI_BLOCK;
        class->per_block = (uint32_t)(all - words);
        class->first = (uint32_t)(words * class->chunk);
    } else {
        class->block = class->chunk;
        class->per_block = 1;
        class->first = 0;
    }
    uint64_t by_arena = layout->arena / class->block + 1;
    uint64_t by_count = most / class->per_block + 1;
    class->blocks = by_arena < by_count ? by_arena : by_count;
}

int gnli_layout_compute(struct gnli_layout *layout, int64_t capacity, uint64_t message_max, bool two_way,
                        uint64_t arena)
{
    if (capacity != GNL_UNBOUNDED && capacity != GNL_RENDEZVOUS &&
        (capacity < 1 || capacity > GNL_CAPACITY_MAX))
        return -EINVAL;
    if (message_max < 1 || message_max > GNL_MESSAGE_MAX_LIMIT || arena != gnli_layout_arena(arena))
        return -EINVAL;

    *layout = (struct gnli_layout){ .capacity = capacity, .message_max = message_max, .arena = arena };
    layout->queues = two_way ? 2 : 1;
    /* All messages short: whole in their slots. Of unbounded ones slots come and go, and shall be small. */
    bool flat = message_max > GNLI_INLINE && message_max <= GNL_MESSAGE_SHORT && capacity != GNL_UNBOUNDED;
    layout->stride =
        flat ? round_up(GNLI_BODY_AT + message_max, sizeof(struct gnli_slot)) : sizeof(struct gnli_slot);
    layout->inline_max = layout->stride - GNLI_BODY_AT;
    if (capacity == GNL_UNBOUNDED) {
        layout->shift = bits_for(arena / sizeof(struct gnli_slot));
        layout->slots = (uint64_t)1 << layout->shift;
        if (layout->slots > SLOTS_UNBOUNDED) {
            layout->slots = SLOTS_UNBOUNDED;
            layout->shift = bits_for(SLOTS_UNBOUNDED);
        }
    } else {
        layout->slots = capacity == GNL_RENDEZVOUS ? GNLI_RENDEZVOUS_SLOTS : (uint64_t)capacity;
        layout->shift = bits_for(layout->slots);
    }

    uint64_t at = PAGE;
    for (unsigned i = 0; i < layout->queues; i++) {
        layout->slots_at[i] = at;
        at += round_up(layout->slots * layout->stride, PAGE);
    }
    layout->state_at = at;
    layout->participants_at = at + sizeof(struct gnli_state);
    at = round_up(layout->participants_at + (GNLI_PARTICIPANTS_MAX + 1) * sizeof(struct gnli_participant),
                  PAGE);
    layout->cells_at = at;
    at += round_up((GNLI_CELLS_MAX + 1) * layout->stride, PAGE);
    if (message_max > layout->inline_max)
        layout->classes = gnli_layout_class(message_max) + 1;
    for (unsigned i = 0; i < layout->classes; i++) {
        lay_out_class(&layout->class[i], layout, i);
        layout->class[i].table_at = at;
        at += round_up(layout->class[i].blocks * sizeof(struct gnli_block), PAGE);
    }
    layout->core = at = round_up(at, GNLI_BLOCK);
    for (unsigned i = 0; i < layout->classes; i++) {
        layout->class[i].blocks_at = at;
        at += round_up(layout->class[i].blocks * layout->class[i].block, PAGE);
    }
    layout->size = at;
    return 0;
}

uint32_t gnli_layout_cells(const struct gnli_layout *layout)
{
    return (uint32_t)(PAGE / layout->stride);
}
