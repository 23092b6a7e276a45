/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks: lent, freed, given back to the system, and taken from the dead.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mailbox/arena.h"
#include "memory/file.h"
#include "wait/distance.h"

#define ME    1
#define OTHER 2
#define MIB   ((uint64_t)1 << 20)

static struct gnli_file *file;
static struct gnli_layout layout;
static struct gnli_arena arena;
static char *core;

static void open_arena(int64_t capacity, uint64_t message_max)
{
    int directory = open(support_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_ok(gnli_layout_compute(&layout, capacity, message_max, false, gnli_layout_arena(0)));
    assert_ok(gnli_file_new(&file, directory, layout.size, 0600, "the arena"));
    close(directory);
    core = gnli_map(file, 0, layout.core);
    ck_assert_ptr_nonnull(core);
    gnli_arena_init(&arena, file, &layout, core);
}

static void close_arena(void)
{
    gnli_arena_fini(&arena);
    gnli_unmap(core, layout.core);
    gnli_file_close(file);
}

struct loan {
    gnli_chunk chunk;
    uint64_t word;
};

static struct gnli_recent recent;

static struct loan borrow(unsigned me, uint64_t size)
{
    struct loan loan;

    assert_ok(gnli_arena_loan(&arena, &recent, me, size, &loan.chunk, &loan.word));
    ck_assert_int_eq(gnli_arena_reach(&arena, loan.chunk, size), 0);
    ck_assert_int_eq(gnli_chunk_state(loan.word), GNLI_CHUNK_LOAN);
    ck_assert_uint_eq(gnli_chunk_who(loan.word), me);
    ck_assert_uint_eq(atomic_load(gnli_arena_word(&arena, loan.chunk)), loan.word);
    return loan;
}

static uint64_t word_of(struct loan loan)
{
    return atomic_load(gnli_arena_word(&arena, loan.chunk));
}

static const uint64_t sizes[] = { 97, 256, 257, 1000, 4096, 8192, 8193, 65536, MIB };
#define SIZES (int)(sizeof sizes / sizeof sizes[0])

START_TEST(chunks_on_loan_do_not_overlap)
{
    enum { LOANS = 100 };
    uint64_t size = sizes[_i];
    struct loan loans[LOANS];

    open_arena(1000, MIB);
    for (unsigned i = 0; i < LOANS; i++) {
        loans[i] = borrow(ME, size);
        memset(gnli_arena_data(&arena, loans[i].chunk), (int)i + 1, size);
    }
    for (unsigned i = 0; i < LOANS; i++) {
        const unsigned char *data = (unsigned char *)gnli_arena_data(&arena, loans[i].chunk);
        for (uint64_t at = 0; at < size; at += size / 16)
            ck_assert_uint_eq(data[at], i + 1);
        ck_assert_uint_eq(data[size - 1], i + 1);
        ck_assert_uint_eq(word_of(loans[i]), loans[i].word);
    }
    for (unsigned i = 0; i < LOANS; i++)
        gnli_arena_free(&arena, ME, loans[i].chunk, loans[i].word, 0);
    close_arena();
}
END_TEST

START_TEST(serial_grows_at_each_release_so_that_words_never_repeat)
{
    open_arena(10, MIB);
    struct loan first = borrow(ME, sizes[_i]);
    gnli_arena_free(&arena, ME, first.chunk, first.word, 0);
    ck_assert_int_eq(gnli_chunk_state(word_of(first)), GNLI_CHUNK_FREE);
    ck_assert_uint_gt(gnli_chunk_serial(word_of(first)), gnli_chunk_serial(first.word));
    uint64_t freed = word_of(first);
    gnli_arena_free(&arena, ME, first.chunk, first.word, 0); /* twice: the word is another one by now */
    ck_assert_uint_eq(word_of(first), freed);
    close_arena();
}
END_TEST

START_TEST(freed_memory_is_used_again)
{
    open_arena(10, MIB);
    for (unsigned i = 0; i < 1000; i++) {
        struct loan loan = borrow(ME, sizes[_i]);
        gnli_arena_free(&arena, ME, loan.chunk, loan.word, 0);
    }
    ck_assert_uint_lt(gnli_file_bytes(file), 80 * MIB); /* what is kept, and the tables */
    close_arena();
}
END_TEST

START_TEST(names_of_no_chunk_are_invalid)
{
    open_arena(10, 4096);
    struct loan loan = borrow(ME, 4000);
    ck_assert_int_eq(gnli_arena_reach(&arena, loan.chunk, 4096), 0);
    ck_assert_int_eq(gnli_arena_reach(&arena, loan.chunk, 4097), -EBADMSG);
    ck_assert_int_eq(gnli_arena_reach(&arena, loan.chunk, UINT64_MAX), -EBADMSG);
    ck_assert_int_eq(gnli_arena_reach(&arena, UINT64_MAX, 1), -EBADMSG);
    unsigned class = gnli_layout_class(4000);
    gnli_chunk beyond_class = (uint64_t)layout.classes << 56;
    gnli_chunk beyond_block = (uint64_t) class << 56 | layout.class[class].blocks << 16;
    gnli_chunk beyond_index = (uint64_t) class << 56 | layout.class[class].per_block;
    ck_assert_int_eq(gnli_arena_reach(&arena, beyond_class, 1), -EBADMSG);
    ck_assert_int_eq(gnli_arena_reach(&arena, beyond_block, 1), -EBADMSG);
    ck_assert_int_eq(gnli_arena_reach(&arena, beyond_index, 1), -EBADMSG);
    ck_assert_int_eq(gnli_arena_reach(&arena, beyond_block - (1 << 16), 1), 0);
    ck_assert_int_eq(gnli_arena_reach(&arena, beyond_index - 1, 1), 0);
    close_arena();
}
END_TEST

START_TEST(too_large_a_loan_is_refused)
{
    struct loan loan = { 1, 2 };

    open_arena(10, 4096);
    ck_assert_int_lt(gnli_arena_loan(&arena, &recent, ME, 4097, &loan.chunk, &loan.word), 0);
    ck_assert_uint_eq(loan.chunk, 1);
    ck_assert_uint_eq(loan.word, 2);
    close_arena();
}
END_TEST

/* A class has a chunk for each message that can be queued or held; with all of them lent there is no more. */
START_TEST(exhausted_class_is_enospc_until_one_is_freed)
{
    struct loan loan, last = { 0, 0 };
    uint64_t lent = 0;
    int result;

    open_arena(1, 4096);
    while ((result = gnli_arena_loan(&arena, &recent, ME, 200, &loan.chunk, &loan.word)) == 0) {
        last = loan;
        lent++;
    }
    ck_assert_int_eq(result, -ENOSPC);
    ck_assert_uint_eq(lent, layout.class[0].blocks * layout.class[0].per_block);
    gnli_arena_free(&arena, ME, last.chunk, last.word, 0);
    borrow(ME, 200);
    ck_assert_int_eq(gnli_arena_loan(&arena, &recent, ME, 200, &loan.chunk, &loan.word), -ENOSPC);
    close_arena();
}
END_TEST

/* A sender that is to stay close waits only once all that it goes around are out. */
START_TEST(recent_ones_are_free_until_all_are_out_and_when_one_is_back)
{
    enum { SIZE = 65536, AROUND_CLOSE = 12, LOANS = GNLI_RECENT };
    unsigned around = gnli_distance_close() ? AROUND_CLOSE : GNLI_RECENT;
    struct loan loans[LOANS];

    open_arena(1000, MIB);
    memset(&recent, 0, sizeof recent);
    for (unsigned i = 0; i < around; i++) {
        ck_assert(gnli_arena_recent_free(&arena, &recent, SIZE));
        loans[i] = borrow(ME, SIZE);
    }
    ck_assert(!gnli_arena_recent_free(&arena, &recent, SIZE));
    ck_assert(gnli_arena_recent_free(&arena, &recent, 1000)); /* another class: it knows of none */
    gnli_arena_free(&arena, ME, loans[0].chunk, loans[0].word, 0);
    ck_assert(gnli_arena_recent_free(&arena, &recent, SIZE));
    struct loan again = borrow(ME, SIZE);
    ck_assert_uint_eq(again.chunk, loans[0].chunk);
    ck_assert(!gnli_arena_recent_free(&arena, &recent, SIZE));
    close_arena();
}
END_TEST

START_TEST(trim_returns_the_memory_of_every_idle_chunk)
{
    enum { LOANS = 60 };
    struct loan loans[LOANS];

    open_arena(1000, MIB);
    uint64_t before = gnli_file_bytes(file);
    for (unsigned i = 0; i < LOANS; i++) {
        loans[i] = borrow(ME, sizes[_i]);
        memset(gnli_arena_data(&arena, loans[i].chunk), 1, sizes[_i]);
    }
    ck_assert_uint_ge(gnli_file_bytes(file), before + LOANS * sizes[_i]);
    gnli_arena_trim(&arena, ME, true); /* they are in use: nothing goes */
    ck_assert_uint_ge(gnli_file_bytes(file), before + LOANS * sizes[_i]);
    ck_assert_int_eq(gnli_arena_data(&arena, loans[7].chunk)[0], 1);
    for (unsigned i = 0; i < LOANS; i++)
        gnli_arena_free(&arena, ME, loans[i].chunk, loans[i].word, 0);
    gnli_arena_trim(&arena, ME, true);
    ck_assert_uint_le(gnli_file_bytes(file), before + 8 * 4096); /* tables stay */
    struct loan again = borrow(ME, sizes[_i]);                   /* and it can be used again */
    memset(gnli_arena_data(&arena, again.chunk), 2, sizes[_i]);
    close_arena();
}
END_TEST

START_TEST(memory_goes_back_as_chunks_are_freed_beyond_what_is_kept)
{
    enum { LOANS = 100 };
    struct loan loans[LOANS];

    open_arena(GNL_UNBOUNDED, MIB);
    for (unsigned i = 0; i < LOANS; i++)
        loans[i] = borrow(ME, MIB);
    ck_assert_uint_ge(gnli_file_bytes(file), LOANS * MIB);
    for (unsigned i = 0; i < LOANS; i++)
        gnli_arena_free(&arena, ME, loans[i].chunk, loans[i].word, 0);
    ck_assert_uint_lt(gnli_file_bytes(file), 4 * MIB);
    ck_assert(!gnli_arena_bloated(&arena));
    close_arena();
}
END_TEST

static bool no_orphan(void *context, gnli_chunk chunk, uint64_t word)
{
    (void)context;
    (void)chunk;
    (void)word;
    return false;
}

/* The dead one's number: nobody else is. */
static bool is_dead(void *context, unsigned number)
{
    (void)context;
    return number == OTHER;
}

static struct gnli_budget budget = { .allowed_ns = 1000000000 };

static bool is_orphan(void *context, gnli_chunk chunk, uint64_t word)
{
    (void)word;
    return *(gnli_chunk *)context == chunk;
}

START_TEST(sweep_frees_the_dead_one_s_loans_and_nobody_else_s)
{
    open_arena(100, MIB);
    struct loan mine = borrow(ME, sizes[_i]), theirs = borrow(OTHER, sizes[_i]);
    gnli_arena_sweep(&arena, ME, OTHER, is_dead, no_orphan, NULL, &budget);
    ck_assert_uint_eq(word_of(mine), mine.word);
    ck_assert_int_eq(gnli_chunk_state(word_of(theirs)), GNLI_CHUNK_FREE);
    ck_assert_uint_ne(gnli_chunk_serial(word_of(theirs)), gnli_chunk_serial(theirs.word));
    close_arena();
}
END_TEST

START_TEST(sweep_frees_orphans_and_leaves_what_is_queued)
{
    open_arena(100, MIB);
    struct loan queued = borrow(ME, sizes[_i]), orphan = borrow(ME, sizes[_i]);
    uint64_t queued_word =
        gnli_chunk_word(GNLI_CHUNK_QUEUED, gnli_chunk_slot(0, 3), gnli_chunk_serial(queued.word));
    uint64_t held_word = gnli_chunk_word(GNLI_CHUNK_HELD, 3, gnli_chunk_serial(orphan.word));
    atomic_store(gnli_arena_word(&arena, queued.chunk), queued_word);
    atomic_store(gnli_arena_word(&arena, orphan.chunk), held_word);
    gnli_arena_sweep(&arena, ME, OTHER, is_dead, is_orphan, &orphan.chunk, &budget);
    ck_assert_uint_eq(word_of(queued), queued_word);
    ck_assert_int_eq(gnli_chunk_state(word_of(orphan)), GNLI_CHUNK_FREE);
    close_arena();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *chunks = support_case(suite, "chunks");

    tcase_add_loop_test(chunks, chunks_on_loan_do_not_overlap, 0, SIZES);
    tcase_add_loop_test(chunks, serial_grows_at_each_release_so_that_words_never_repeat, 0, SIZES);
    tcase_add_loop_test(chunks, freed_memory_is_used_again, 0, SIZES);
    tcase_add_test(chunks, names_of_no_chunk_are_invalid);
    tcase_add_test(chunks, too_large_a_loan_is_refused);
    tcase_add_test(chunks, exhausted_class_is_enospc_until_one_is_freed);
    tcase_add_test(chunks, recent_ones_are_free_until_all_are_out_and_when_one_is_back);
    tcase_add_loop_test(chunks, trim_returns_the_memory_of_every_idle_chunk, 0, SIZES);
    tcase_add_test(chunks, memory_goes_back_as_chunks_are_freed_beyond_what_is_kept);
    tcase_add_loop_test(chunks, sweep_frees_the_dead_one_s_loans_and_nobody_else_s, 0, SIZES);
    tcase_add_loop_test(chunks, sweep_frees_orphans_and_leaves_what_is_queued, 0, SIZES);
    return support_run(suite);
}
