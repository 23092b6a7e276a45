/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A full file system, a truncated file, and one that scribbles over the words that coordinate the others.
 */
#include "segments.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#define NOT_PERMITTED 77 /* exit status of a child */

/* ---- full ---- */

static int fill_the_file_system(void *context)
{
    gnl_segment *one, *other;
    struct gnl_segment_info info;
    struct stat status;

    (void)context;
    if (!mount_tmpfs(support_directory(), "size=2m,mode=0700"))
        return NOT_PERMITTED;
    require(gnl_segment_create(&one, "s", (size_t)4 << 20, NULL) == -ENOSPC);
    require(strstr(gnl_error_detail(), "'s'"));
    require(stat(path_in_directory("segment:s"), &status) != 0);
    require(gnl_segment_create(&one, "s", (size_t)1 << 20, NULL) == 0);
    memset(gnl_segment_data(one), 3, (size_t)1 << 20);
    require(gnl_segment_create(&other, "t", (size_t)1 << 20, NULL) == -ENOSPC);
    require(gnl_segment_grow(one, (size_t)3 << 20) == -ENOSPC);
    require(gnl_segment_size(one) == (size_t)1 << 20);
    require(gnl_segment_info(one, &info) == 0 && info.size == (uint64_t)1 << 20);
    require(info.bytes <= ((uint64_t)1 << 20) + 8192); /* what was reserved in vain is given back */
    require(gnl_segment_grow(one, (size_t)3 << 19) == 0);
    memset(gnl_segment_data(one), 4, (size_t)3 << 19); /* no fault */
    require(gnl_segment_lock(one, GNL_NOWAIT) == 0 && gnl_segment_unlock(one) == 0);
    require(gnl_segment_detach(one) == 0);
    return gnl_remove("segment:s");
}

START_TEST(full_file_system_is_enospc_when_made_and_when_grown_and_never_a_fault)
{
    int status = 0;
    pid_t child = support_fork(fill_the_file_system, NULL);

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == NOT_PERMITTED)
        skip("needs the right to mount");
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* ---- truncated ---- */

START_TEST(whoever_copies_from_a_file_that_was_truncated_is_told)
{
    static char copy[SIZE];
    gnl_segment *segment = make_segment("s");

    ck_assert_int_eq(truncate(path_in_directory("segment:s"), 0), 0);
    ck_assert_int_eq(gnl_segment_snapshot(segment, 0, copy, SIZE, GNL_NOWAIT), -EBADMSG);
    ck_assert_int_eq(gnl_segment_lock(segment, PATIENCE), -EBADMSG);
    ck_assert_int_eq(gnl_segment_wait(segment, 0, PATIENCE), -EBADMSG);
    ck_assert_int_eq(gnl_segment_grow(segment, 2 * SIZE), -EBADMSG);
    end_segment(segment);
}
END_TEST

/* ---- scribbled ---- */

#define WORDS_AT 64 /* docs/formats/segment.md: the word, changes, waiting */
#define SIZE_AT  24 /* size, participants, silent */
#define DATA_AT  589824

/* Writes over what coordinates the others, as fast as it can; and truncates the file now and then, or not. */
static int scribble(void *context)
{
    const bool *truncates = context;
    uint64_t seed = 88172645463325252;
    gnl_segment *segment = attach_segment(GNL_READ | GNL_WRITE);
    uint64_t *control = (uint64_t *)(void *)mmap(NULL, 131072, PROT_READ | PROT_WRITE, MAP_SHARED,
                                                 open(path_in_directory("segment:s"), O_RDWR | O_CLOEXEC), 0);

    require(control != MAP_FAILED && gnl_segment_size(segment) == SIZE);
    for (;;) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        uint64_t value = seed % 3 == 0 ? seed : seed % 3 == 1 ? seed >> 50 : seed >> 8 << 16 | (seed & 7);
        switch (seed >> 32 & 7) {
        case 0:
            control[SIZE_AT / 8 + (seed >> 40 & 1)] = value;
            break;
        case 1:
            control[65536 / 8 + (seed >> 40 & 63)] = value;
            break;
        default:
            control[WORDS_AT / 8 + (seed >> 40 & 1)] = value;
        }
        if (*truncates && (seed & 0xfff) == 0) {
            require(truncate(path_in_directory("segment:s"), DATA_AT / 2) == 0);
            require(truncate(path_in_directory("segment:s"), DATA_AT + SIZE) == 0);
        }
    }
    return 0;
}

static bool in_time(int64_t start_ms, int result)
{
    return now_ms() - start_ms < 5000 && result <= GNL_OWNER_DIED && result > -200;
}

/* Calls everything, again and again; each comes back soon, with whatever. */
static int bear_it(void *context)
{
    static char copy[SIZE];
    struct gnl_participant users[8];
    struct gnl_segment_info info;
    struct gnl_port_info port_info;
    gnl_segment *segment;

    (void)context;
    for (int64_t end = now_ms() + 1500; now_ms() < end;) {
        int64_t start = now_ms();
        if (gnl_segment_attach(&segment, "s", now_ms() & 1 ? GNL_READ : GNL_READ | GNL_WRITE) != 0)
            continue;
        for (unsigned i = 0; i < 20; i++) {
            int result = gnl_segment_lock(segment, gnl_ms(1));
            require(in_time(start, result));
            if (result >= 0) {
                memset(gnl_segment_data(segment), (int)i, gnl_segment_size(segment));
                require(in_time(start, gnl_segment_unlock(segment)));
            }
            require(in_time(start, gnl_segment_snapshot(segment, 0, copy, SIZE, gnl_ms(1))));
            require(in_time(start, gnl_segment_wait(segment, gnl_segment_version(segment), gnl_ms(1))));
            start = now_ms();
        }
        gnl_segment_info(segment, &info);
        gnl_segment_participants(segment, users, 8);
        gnl_inspect("segment:s", &port_info, users, 8);
        gnl_segment_refresh(segment);
        require(in_time(start, 0));
        require(gnl_segment_detach(segment) == 0);
    }
    return 0;
}

static void scribble_on_it(bool truncates)
{
    assert_ok(gnl_segment_detach(make_segment("s")));
    pid_t scribbler = support_fork(scribble, &truncates);
    pid_t honest[2] = { support_fork(bear_it, NULL), support_fork(bear_it, NULL) };
    support_expect_exit(honest[0], 0);
    support_expect_exit(honest[1], 0);
    support_kill(scribbler);
    assert_ok(gnl_remove("segment:s"));
}

START_TEST(scribbling_over_the_words_hurts_nobody_beyond_errors)
{
    scribble_on_it(false);
}
END_TEST

START_TEST(scribbling_and_truncating_hurts_nobody_beyond_errors)
{
    scribble_on_it(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segments_memory");
    TCase *tests = support_case(suite, "segments_memory");

    tcase_add_test(tests, full_file_system_is_enospc_when_made_and_when_grown_and_never_a_fault);
    tcase_add_test(tests, whoever_copies_from_a_file_that_was_truncated_is_told);
    tcase_add_test(tests, scribbling_over_the_words_hurts_nobody_beyond_errors);
    tcase_add_test(tests, scribbling_and_truncating_hurts_nobody_beyond_errors);
    return support_run(suite);
}
