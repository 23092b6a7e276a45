/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "link/pieces.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

static struct gnli_pieces pieces;
static char *memory;
static int descriptor;

static void set_up(uint64_t size)
{
    descriptor = memfd_create("pieces", MFD_CLOEXEC);
    require(descriptor >= 0 && ftruncate(descriptor, (off_t)size) == 0);
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    require(memory != MAP_FAILED);
    assert_ok(gnli_pieces_init(&pieces, descriptor, memory, 4096, size));
}

static void tear_down(uint64_t size)
{
    gnli_pieces_free(&pieces);
    munmap(memory, size);
    close(descriptor);
}

START_TEST(large_piece_that_comes_back_rests_while_a_mebibyte_goes_around)
{
    set_up(64 * MIB);
    uint64_t first = gnli_piece_take(&pieces, 64 * KIB);
    ck_assert(gnli_piece_return(&pieces, first));
    for (unsigned i = 0; i < 16; i++) {
        uint64_t other = gnli_piece_take(&pieces, 64 * KIB);
        ck_assert_uint_ne(other, first);
        ck_assert(gnli_piece_return(&pieces, other));
    }
    ck_assert_uint_eq(gnli_piece_take(&pieces, 64 * KIB), first);
    ck_assert(gnli_piece_return(&pieces, first));
    uint64_t used = pieces.next;
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(gnli_piece_return(&pieces, gnli_piece_take(&pieces, 64 * KIB)));
    ck_assert_uint_eq(pieces.next, used); /* a stream that is received at once needs no more */
    tear_down(64 * MIB);
}
END_TEST

START_TEST(small_piece_goes_out_again_at_once)
{
    set_up(MIB);
    uint64_t first = gnli_piece_take(&pieces, 4 * KIB);
    ck_assert(gnli_piece_return(&pieces, first));
    ck_assert_uint_eq(gnli_piece_take(&pieces, 4 * KIB), first);
    tear_down(MIB);
}
END_TEST

START_TEST(without_memory_none_rests)
{
    uint64_t taken[16];

    set_up(4096 + 1024 * KIB);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_uint_ne(taken[i] = gnli_piece_take(&pieces, 64 * KIB), 0);
    ck_assert_uint_eq(gnli_piece_take(&pieces, 64 * KIB), 0);
    for (unsigned i = 0; i < 16; i++)
        ck_assert(gnli_piece_return(&pieces, taken[i]));
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(gnli_piece_take(&pieces, 64 * KIB), taken[i]);
    for (unsigned i = 8; i < 16; i++)
        ck_assert_uint_eq(gnli_piece_take(&pieces, 20 * KIB), taken[i]); /* rather a larger one than none */
    ck_assert_uint_eq(gnli_piece_take(&pieces, 1), 0);
    for (unsigned i = 0; i < 16; i++)
        ck_assert(gnli_piece_return(&pieces, taken[i]));
    ck_assert(!gnli_piece_return(&pieces, taken[3])); /* twice */
    tear_down(4096 + 1024 * KIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pieces");
    TCase *resting = support_case(suite, "resting");

    tcase_add_test(resting, large_piece_that_comes_back_rests_while_a_mebibyte_goes_around);
    tcase_add_test(resting, small_piece_goes_out_again_at_once);
    tcase_add_test(resting, without_memory_none_rests);
    return support_run(suite);
}
