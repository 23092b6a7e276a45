/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "link/side.h"

#define PAGE  ((uint64_t)4096)
#define PAGES ((uint64_t)256)
#define HOLE  ((uint64_t)100) /* the page that was not written */

static struct gnli_side_memory memory;

static bool noted(uint64_t page)
{
    return memory.seen[page / 64] >> page % 64 & 1;
}

START_TEST(each_page_is_asked_after_once_and_a_hole_each_time)
{
    static const char one = 1;

    memory.size = PAGES * PAGE;
    memory.descriptor = memfd_create("side", MFD_CLOEXEC);
    require(memory.descriptor >= 0 && ftruncate(memory.descriptor, (off_t)memory.size) == 0);
    memory.seen = calloc(PAGES / 64, sizeof *memory.seen);
    require(memory.seen);
    for (uint64_t page = 0; page < PAGES; page++)
        require(page == HOLE || pwrite(memory.descriptor, &one, 1, (off_t)(page * PAGE)) == 1);
    ck_assert(gnli_side_there(&memory, 2 * PAGE, 1));
    for (uint64_t page = 0; page < PAGES; page++)
        ck_assert_int_eq(noted(page), page >= 2 && page < HOLE);
    ck_assert(!gnli_side_there(&memory, (HOLE - 1) * PAGE, PAGE + 1));
    ck_assert(!gnli_side_there(&memory, HOLE * PAGE, 1));
    ck_assert(gnli_side_there(&memory, (HOLE + 1) * PAGE, (PAGES - HOLE - 1) * PAGE));
    ck_assert(!gnli_side_there(&memory, (PAGES - 1) * PAGE, PAGE + 1)); /* past the end */
    ck_assert(!gnli_side_there(&memory, UINT64_MAX, 2));
    require(pwrite(memory.descriptor, &one, 1, (off_t)(HOLE * PAGE)) == 1);
    ck_assert(gnli_side_there(&memory, 0, memory.size));
    free(memory.seen);
    close(memory.descriptor);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("side");
    TCase *holes = support_case(suite, "holes");

    tcase_add_test(holes, each_page_is_asked_after_once_and_a_hole_each_time);
    return support_run(suite);
}
