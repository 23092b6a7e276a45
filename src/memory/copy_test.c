/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "memory/copy.h"

#define ROOM      ((size_t)70000)
#define MANY      4000 /* copies: several comparisons */
#define A_ROUND   4000 /* at the longest so soon */
#define SLACK     100
#define STRETCH   64            /* what is measured of one */
#define COLD      (4 * STRETCH) /* before the first comparison */
#define GLANCES   8
#define SLOWLY_NS ((int64_t)100000)

static char from[ROOM], to[ROOM];

/* ---- each way copies ---- */

static gnli_copy_other *const ways[] = { gnli_copy_by_vectors, gnli_copy_past_caches };

START_TEST(all_bytes_and_no_others_whatever_the_places_and_the_size)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 63, 64, 65, 127, 4096, 16384, 65537 };

    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)(i * 7 % 251 + 1);
    for (size_t which = 0; which < sizeof sizes / sizeof *sizes; which++)
        for (size_t offset = 0; offset < 20; offset++) {
            size_t size = sizes[which], start = 1 + offset;
            memset(to, 0, sizeof to);
            ways[_i](to + start, from + 19 - offset, size);
            ck_assert_mem_eq(to + start, from + 19 - offset, size);
            ck_assert_int_eq(to[start - 1], 0);
            ck_assert_int_eq(to[start + size], 0);
        }
}
END_TEST

/* ---- the better one is found ---- */

static unsigned others;

static void at_once(void *out, const void *in, size_t size)
{
    (void)out, (void)in, (void)size;
    others++;
}

static void at_once_anywhere(void *out, const void *in, size_t size)
{
    (void)out, (void)in, (void)size;
}

static void take_a_while(int64_t ns)
{
    int64_t end = gnli_now_ns() + ns;

    while (gnli_now_ns() < end)
        ;
}

static void slowly(void *out, const void *in, size_t size)
{
    take_a_while(SLOWLY_NS);
    memcpy(out, in, size);
    others++;
}

static void very_slowly(void *out, const void *in, size_t size)
{
    take_a_while(10 * SLOWLY_NS);
    slowly(out, in, size);
}

static unsigned copied_otherwise(struct gnli_copying *copying, gnli_copy_other *other, unsigned copies,
                                 int64_t slack)
{
    others = 0;
    for (unsigned i = 0; i < copies; i++)
        gnli_copy(copying, other, to, from, GNLI_LARGE, slack);
    return others;
}

/* As where the receiver has to get through what was sent before, or a queue fills. */
static unsigned copied_with_slow_beginnings(struct gnli_copying *copying, unsigned copies, int64_t slack)
{
    others = 0;
    for (unsigned i = 0; i < copies; i++) {
        unsigned before = others;
        gnli_copy(copying, at_once, to, from, GNLI_LARGE, slack);
        if (others > before && before % (4 * SLACK + STRETCH) < 4 * SLACK)
            take_a_while(SLOWLY_NS);
    }
    return others;
}

START_TEST(faster_way_is_taken_mostly_and_a_slower_one_seldom)
{
    struct gnli_copying fast = { .way = 0 }, slow = { .way = 0 };

    ck_assert_uint_gt(copied_otherwise(&fast, at_once, MANY, 0), MANY / 2);
    ck_assert_uint_lt(copied_otherwise(&slow, slowly, MANY, 0), MANY / 4);
    ck_assert_uint_gt(others, 0); /* it was tried */
}
END_TEST

START_TEST(way_whose_copies_alone_take_longer_is_left_after_a_few)
{
    struct gnli_copying copying = { .way = 0 };

    /* What comes before the first comparison, libc's stretch, and what is looked at. */
    ck_assert_uint_eq(copied_otherwise(&copying, very_slowly, 5 * (4 * SLACK + STRETCH) + GLANCES, SLACK),
                      GLANCES);
    /* The next comparison is a round later, and no longer. */
    ck_assert_uint_eq(copied_otherwise(&copying, very_slowly, 5 * (4 * SLACK + STRETCH), SLACK), 0);
    ck_assert_uint_eq(copied_otherwise(&copying, very_slowly, 16 * (4 * SLACK + STRETCH), SLACK), GLANCES);
}
END_TEST

START_TEST(other_way_is_left_when_it_is_not_faster_any_more)
{
    struct gnli_copying copying = { .way = 0 };

    ck_assert_uint_gt(copied_otherwise(&copying, at_once, MANY, 0), MANY / 2);
    copied_otherwise(&copying, slowly, A_ROUND, 0);
    ck_assert_uint_lt(copied_otherwise(&copying, slowly, MANY, 0), MANY / 4);
}
END_TEST

START_TEST(nothing_counts_before_the_queue_is_as_it_stays)
{
    struct gnli_copying skipping = { .way = 0 }, counting = { .way = 0 };

    ck_assert_uint_eq(copied_with_slow_beginnings(&skipping, 4 * (4 * SLACK + STRETCH), SLACK), 0);
    copied_with_slow_beginnings(&skipping, 4 * (4 * SLACK + STRETCH) + 1, SLACK);
    ck_assert_uint_eq(skipping.settled, GNLI_COPY_OTHER);
    copied_with_slow_beginnings(&counting, COLD + 4 * STRETCH + 1, 0);
    ck_assert_uint_eq(counting.settled, GNLI_COPY_LIBC);
}
END_TEST

static void *copy_along(void *context)
{
    static _Thread_local char own[GNLI_LARGE];

    for (unsigned i = 0; i < 200000; i++)
        gnli_copy(context, i % 2 == 0 ? at_once_anywhere : gnli_copy_by_vectors, own, from, GNLI_LARGE, 0);
    return NULL;
}

START_TEST(threads_that_share_one_do_not_stop_it)
{
    struct gnli_copying copying = { .way = 0 };
    pthread_t threads[3];

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, copy_along, &copying), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_le(copying.left, COLD + 4 * 1024);
    ck_assert_uint_le(copying.glances, GLANCES);
}
END_TEST

START_TEST(small_and_huge_messages_take_libc_s_way_unmeasured)
{
    static const size_t sizes[] = { 1, GNLI_LARGE - 1, GNLI_HUGE + 1 };
    struct gnli_copying copying = { .way = 0 };
    char *source = malloc(GNLI_HUGE + 1), *copy = malloc(GNLI_HUGE + 1);

    require(source && copy);
    others = 0;
    memset(source, 7, GNLI_HUGE + 1);
    for (unsigned i = 0; i < 1000; i++)
        gnli_copy(&copying, at_once, copy, source, sizes[_i], 0);
    ck_assert_uint_eq(others, 0);
    ck_assert_uint_eq(copying.stretch, 0);
    ck_assert_mem_eq(copy, source, sizes[_i]);
    free(source);
    free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("copy");
    TCase *bytes = support_case(suite, "bytes");

    tcase_add_loop_test(bytes, all_bytes_and_no_others_whatever_the_places_and_the_size, 0,
                        sizeof ways / sizeof *ways);
    TCase *learning = support_case(suite, "learning");
    tcase_add_test(learning, faster_way_is_taken_mostly_and_a_slower_one_seldom);
    tcase_add_test(learning, way_whose_copies_alone_take_longer_is_left_after_a_few);
    tcase_add_test(learning, other_way_is_left_when_it_is_not_faster_any_more);
    tcase_add_test(learning, nothing_counts_before_the_queue_is_as_it_stays);
    tcase_add_test(learning, threads_that_share_one_do_not_stop_it);
    tcase_add_loop_test(learning, small_and_huge_messages_take_libc_s_way_unmeasured, 0, 3);
    return support_run(suite);
}
