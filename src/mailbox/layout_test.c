/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of a mailbox's file: whatever four numbers a header gives, its parts are in order,
 * apart, aligned and inside the file.
 */
#include "support.h"

#include <errno.h>

#include "mailbox/arena.h"
#include "mailbox/layout.h"

static const int64_t capacities[] = {
    1, 2, 3, 1024, 2048, 2049, 100000, GNL_CAPACITY_MAX - 1, GNL_CAPACITY_MAX, GNL_RENDEZVOUS, GNL_UNBOUNDED
};
static const uint64_t message_maxes[] = { 1,
                                          95,
                                          96,
                                          97,
                                          GNL_MESSAGE_SHORT,
                                          GNL_MESSAGE_SHORT + 1,
                                          256,
                                          257,
                                          4096,
                                          8192,
                                          8193,
                                          1 << 20,
                                          (1 << 20) + 1,
                                          (uint64_t)1 << 30,
                                          GNL_MESSAGE_MAX_LIMIT };
static const uint64_t file_systems[] = {
    0, 1 << 20, (uint64_t)1 << 30, ((uint64_t)12 << 30) + 5, (uint64_t)1 << 40, UINT64_MAX / 2
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A part starts at or after the end of the one before. Returns its end. */
static uint64_t part(uint64_t end_before, uint64_t at, uint64_t size, uint64_t aligned)
{
    ck_assert_uint_ge(at, end_before);
    ck_assert_uint_eq(at % aligned, 0);
    ck_assert_uint_lt(size, (uint64_t)1 << 50);
    return at + size;
}

static void check_class(const struct gnli_class_layout *class)
{
    ck_assert_uint_ge(class->blocks, 1);
    ck_assert_uint_ge(class->per_block, 1);
    ck_assert_uint_le(class->first + class->per_block * class->chunk, class->block);
    if (class->per_block > 1) {
        ck_assert_uint_eq(class->block, GNLI_BLOCK);
        ck_assert_uint_ge(class->first,
                          class->per_block * sizeof(uint64_t)); /* the words are before the chunks */
        ck_assert_uint_eq(class->first % 64, 0);
    }
    ck_assert_uint_lt(class->per_block, 1 << 16); /* a chunk's name: 16 bits of index, 40 of block */
    ck_assert_uint_lt(class->blocks, (uint64_t)1 << 40);
}

static void check(const struct gnli_layout *layout)
{
    uint64_t end = 4096;

    ck_assert_uint_le(sizeof(struct gnli_header), end);
    for (unsigned i = 0; i < layout->queues; i++)
        end = part(end, layout->slots_at[i], layout->slots * layout->stride, 4096);
    end =
        part(end, layout->state_at, sizeof(struct gnli_state), 4096); /* in one page with the first records */
    ck_assert_uint_eq(layout->participants_at, end);
    end = part(end, layout->participants_at, (GNLI_PARTICIPANTS_MAX + 1) * sizeof(struct gnli_participant),
               128);
    end = part(end, layout->cells_at, (GNLI_CELLS_MAX + 1) * layout->stride, 4096);
    ck_assert_uint_le(layout->slots, (uint64_t)1 << layout->shift);
    ck_assert_uint_le(layout->slots, (uint64_t)1 << 28); /* a queued chunk's word names one of them */
    ck_assert_uint_le(layout->classes, GNLI_CLASSES_MAX);
    for (unsigned i = 0; i < layout->classes; i++) {
        check_class(&layout->class[i]);
        end = part(end, layout->class[i].table_at, layout->class[i].blocks * sizeof(struct gnli_block), 4096);
    }
    end = part(end, layout->core, 0, GNLI_BLOCK);
    for (unsigned i = 0; i < layout->classes; i++)
        end = part(end, layout->class[i].blocks_at, layout->class[i].blocks * layout->class[i].block, 4096);
    ck_assert_uint_eq(end, layout->size);
    ck_assert_uint_lt(layout->size, (uint64_t)1 << 60); /* the proof of life is locked beyond the end */
}

START_TEST(every_combination_is_in_order_apart_and_in_bounds)
{
    struct gnli_layout layout;

    for (size_t c = 0; c < COUNT(capacities); c++)
        for (size_t m = 0; m < COUNT(message_maxes); m++)
            for (size_t f = 0; f < COUNT(file_systems); f++)
                for (unsigned two_way = 0; two_way < 2; two_way++) {
                    uint64_t arena = gnli_layout_arena(file_systems[f]);
                    assert_ok(gnli_layout_compute(&layout, capacities[c], message_maxes[m], two_way, arena));
                    ck_assert_uint_eq(layout.queues, two_way + 1);
                    if (capacities[c] > 0)
                        ck_assert_uint_eq(layout.slots, (uint64_t)capacities[c]);
                    check(&layout);
                    ck_assert_uint_ge(layout.inline_max, 96);
                    bool short_ones = message_maxes[m] <= GNL_MESSAGE_SHORT && capacities[c] != GNL_UNBOUNDED;
                    if (short_ones || message_maxes[m] <= 96) {
                        ck_assert_uint_eq(layout.classes, 0);
                        ck_assert_uint_ge(layout.inline_max, message_maxes[m]);
                    } else {
                        unsigned last = gnli_layout_class(message_maxes[m]);
                        ck_assert_uint_eq(layout.classes, last + 1);
                        ck_assert_uint_ge(layout.class[last].chunk, message_maxes[m]);
                    }
                }
}
END_TEST

START_TEST(bounded_mailbox_has_chunks_for_all_it_queues_and_holds)
{
    struct gnli_layout layout;

    assert_ok(gnli_layout_compute(&layout, 1000, 4096, false, gnli_layout_arena(0)));
    for (unsigned i = 0; i < layout.classes; i++)
        ck_assert_uint_ge(layout.class[i].blocks * layout.class[i].per_block, 1000 + GNLI_CELLS_MAX);
}
END_TEST

START_TEST(numbers_out_of_bounds_are_refused)
{
    static const int64_t bad[] = { 0, -3, INT64_MIN, INT64_MAX, GNL_CAPACITY_MAX + 1 };
    struct gnli_layout layout;
    uint64_t arena = gnli_layout_arena(0);

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(gnli_layout_compute(&layout, bad[i], 1, false, arena), -EINVAL);
    ck_assert_int_eq(gnli_layout_compute(&layout, 1, 0, false, arena), -EINVAL);
    ck_assert_int_eq(gnli_layout_compute(&layout, 1, GNL_MESSAGE_MAX_LIMIT + 1, false, arena), -EINVAL);
    ck_assert_int_eq(gnli_layout_compute(&layout, 1, UINT64_MAX, false, arena), -EINVAL);
    static const uint64_t arenas[] = {
        0, 1, ((uint64_t)1 << 30) - 4096, ((uint64_t)1 << 30) + 1, ((uint64_t)1 << 40) + 4096, UINT64_MAX
    };
    for (size_t i = 0; i < COUNT(arenas); i++)
        ck_assert_int_eq(gnli_layout_compute(&layout, 1, 1, false, arenas[i]), -EINVAL);
}
END_TEST

START_TEST(class_is_the_smallest_that_holds_the_message)
{
    for (uint64_t size = 97; size <= GNL_MESSAGE_MAX_LIMIT; size += size / 37 + 1) {
        unsigned class = gnli_layout_class(size);
        ck_assert_uint_lt(class, GNLI_CLASSES_MAX);
        ck_assert_uint_ge(GNLI_CLASS_FIRST << class, size);
        if (class > 0)
            ck_assert_uint_lt(GNLI_CLASS_FIRST << (class - 1), size);
    }
    ck_assert_uint_eq(gnli_layout_class(256), 0);
    ck_assert_uint_eq(gnli_layout_class(257), 1);
    ck_assert_uint_eq(gnli_layout_class(GNL_MESSAGE_MAX_LIMIT), GNLI_CLASSES_MAX - 1);
}
END_TEST

START_TEST(chunk_word_keeps_its_three_parts)
{
    uint64_t word =
        gnli_chunk_word(GNLI_CHUNK_QUEUED, gnli_chunk_slot(1, 0xfffffff), ((uint64_t)1 << 33) - 1);

    ck_assert_int_eq(gnli_chunk_state(word), GNLI_CHUNK_QUEUED);
    ck_assert_uint_eq(gnli_chunk_who(word), 0x1fffffff);
    ck_assert_uint_eq(gnli_chunk_serial(word), ((uint64_t)1 << 33) - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *layout = support_case(suite, "layout");

    tcase_add_test(layout, every_combination_is_in_order_apart_and_in_bounds);
    tcase_add_test(layout, bounded_mailbox_has_chunks_for_all_it_queues_and_holds);
    tcase_add_test(layout, numbers_out_of_bounds_are_refused);
    tcase_add_test(layout, class_is_the_smallest_that_holds_the_message);
    tcase_add_test(layout, chunk_word_keeps_its_three_parts);
    return support_run(suite);
}
