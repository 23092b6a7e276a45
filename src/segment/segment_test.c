/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments from within one process: what each call promises, and what becomes of a damaged file.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "segments.h"

/* ---- making and attaching ---- */

START_TEST(a_named_segment_is_shared_by_name_and_gone_when_removed)
{
    gnl_segment *one = make("s", SIZE), *other, *reader;
    struct gnl_segment_options only = { .create = GNL_CREATE_ONLY }, open_only = { .create = GNL_OPEN_ONLY };

    ck_assert_uint_eq(gnl_segment_size(one), SIZE);
    ck_assert_uint_eq((uintptr_t)gnl_segment_data(one) % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    for (size_t i = 0; i < SIZE; i++)
        ck_assert_int_eq(((char *)gnl_segment_data(one))[i], 0);
    assert_ok(gnl_segment_create(&other, "s", 0, NULL));
    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    strcpy(gnl_segment_data(one), "hello");
    ck_assert_str_eq(gnl_segment_data(other), "hello");
    ck_assert_str_eq(gnl_segment_data(reader), "hello");
    ck_assert_int_eq(gnl_segment_create(&other, "s", SIZE, &only), -EEXIST);
    ck_assert_int_eq(gnl_segment_create(&other, "s", SIZE + 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&other, "none", SIZE, &open_only), -ENOENT);
    ck_assert_int_eq(gnl_segment_create(&other, "none", 0, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_attach(&other, "none", GNL_READ), -ENOENT);
    ck_assert_int_eq(gnl_segment_attach(&other, "s", 0), -EINVAL);
    ck_assert_int_eq(gnl_segment_attach(&other, "s/x", GNL_READ), -EINVAL);
    struct gnl_segment_info info = info_of(reader);
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_uint_eq(info.mode, 0600);
    ck_assert_int_eq(info.creator, getpid());
    ck_assert_uint_eq(info.rights, GNL_READ);
    ck_assert_int_eq(info.removed, 0);
    ck_assert_uint_eq(info.attached, 1); /* processes, not attachments */
    assert_ok(gnl_remove("segment:s"));
    ck_assert_int_eq(info_of(one).removed, 1);
    ck_assert_str_eq(gnl_segment_data(reader), "hello");
    ck_assert_int_eq(gnl_segment_attach(&other, "s", GNL_READ), -ENOENT);
    ck_assert_int_eq(gnl_remove("segment:s"), -ENOENT);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(other));
    assert_ok(gnl_segment_detach(reader));
}
END_TEST

START_TEST(guard_pages_stand_on_both_sides_and_a_reader_cannot_write)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 2 * page;
    gnl_segment *one = make("s", size), *reader;

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    gnl_segment *all[] = { one, reader };
    for (unsigned i = 0; i < 2; i++) {
        char *data = gnl_segment_data(all[i]);
        assert_touch(data - 1, false, SIGSEGV);
        assert_touch(data, false, 0);
        assert_touch(data + size - 1, false, 0);
        assert_touch(data + size, false, SIGSEGV);
        assert_touch(data + size + page - 1, false, SIGSEGV);
        assert_touch(data, true, i == 0 ? 0 : SIGSEGV);
    }
    ck_assert_int_ne(mprotect(gnl_segment_data(reader), size, PROT_READ | PROT_WRITE), 0);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(nonsense_is_einval_and_says_why)
{
    gnl_segment *segment = NULL;
    gnl_port *port;

    ck_assert_int_eq(gnl_segment_create(&segment, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, "a b", 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(NULL, NULL, 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, 1, &(struct gnl_segment_options){ .mode = 0400 }),
                     -EINVAL);
    ck_assert_int_eq(
        gnl_segment_create(&segment, NULL, 1, &(struct gnl_segment_options){ .reserved = { 1 } }), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, SIZE_MAX, NULL), -EFBIG);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, (size_t)1 << 60, NULL), -ENOSPC);
    ck_assert_int_eq(gnl_segment_create(&segment, "s", (size_t)1 << 60, NULL), -ENOSPC);
    ck_assert_int_eq(gnl_segment_lock(NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_segment_detach(NULL), 0);
    ck_assert_ptr_null(gnl_segment_data(NULL));
    ck_assert_ptr_null(segment);
    ck_assert_int_eq(gnl_open(&port, "segment:s", NULL), -EOPNOTSUPP);
    ck_assert(strstr(gnl_error_detail(), "gnl_segment_attach"));
}
END_TEST

START_TEST(inspect_shows_size_users_and_who_has_it_locked)
{
    gnl_segment *one = make("s", SIZE);
    struct gnl_participant users[4];
    struct gnl_port_info info;

    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(gnl_inspect("segment:s", &info, users, 4), 1);
    ck_assert_int_eq(info.kind, GNL_SEGMENT);
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_int_eq(info.locked, 1);
    ck_assert_int_eq(users[0].pid, getpid());
    ck_assert_int_eq(users[0].alive, 1);
    ck_assert_uint_eq(users[0].held, 1);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_int_eq(gnl_segment_participants(one, users, 4), 1);
    ck_assert_uint_eq(users[0].held, 0);
    assert_ok(gnl_segment_detach(one));
    ck_assert_int_eq(gnl_inspect("segment:s", &info, users, 4), 0);
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(mode_and_owner_are_those_of_the_file)
{
    gnl_segment *one = make("s", SIZE);

    assert_ok(gnl_segment_set_mode(one, 0640));
    ck_assert_uint_eq(info_of(one).mode, 0640);
    ck_assert_int_eq(gnl_segment_set_mode(one, 0400), -EINVAL);
    assert_ok(gnl_segment_set_owner(one, (uid_t)-1, getegid()));
    if (geteuid() == 0) {
        assert_ok(gnl_segment_set_owner(one, 65534, 65534));
        ck_assert_uint_eq(info_of(one).uid, 65534);
    } else
        ck_assert_int_eq(gnl_segment_set_owner(one, 0, 0), -EPERM);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

/* ---- growing ---- */

START_TEST(what_is_grown_is_seen_by_others_when_they_refresh)
{
    gnl_segment *one = make("s", SIZE), *reader;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), larger = 100 * page;

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    strcpy(gnl_segment_data(one), "kept");
    assert_ok(gnl_segment_grow(one, larger));
    ck_assert_uint_eq(gnl_segment_size(one), larger);
    ck_assert_str_eq(gnl_segment_data(one), "kept");
    strcpy((char *)gnl_segment_data(one) + larger - 4, "end");
    ck_assert_uint_eq(gnl_segment_size(reader), SIZE);
    ck_assert_uint_eq(info_of(reader).size, larger);
    assert_ok(gnl_segment_refresh(reader));
    ck_assert_uint_eq(gnl_segment_size(reader), larger);
    ck_assert_str_eq((char *)gnl_segment_data(reader) + larger - 4, "end");
    assert_touch((char *)gnl_segment_data(reader) + larger, false, SIGSEGV);
    assert_touch((char *)gnl_segment_data(reader) - 1, false, SIGSEGV);
    assert_touch(gnl_segment_data(reader), true, SIGSEGV);
    assert_ok(gnl_segment_grow(one, 5)); /* never shorter */
    ck_assert_uint_eq(gnl_segment_size(one), larger);
    ck_assert_int_eq(gnl_segment_grow(reader, larger + 1), -EACCES);
    ck_assert_int_eq(gnl_segment_grow(one, (size_t)1 << 60), -ENOSPC);
    ck_assert_uint_eq(info_of(one).size, larger);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

/* ---- locking ---- */

START_TEST(a_lock_is_a_threads_and_each_unlock_makes_a_version)
{
    gnl_segment *one = make(NULL, SIZE);
    uint64_t version = gnl_segment_version(one);

    ck_assert_int_eq(gnl_segment_unlock(one), -EPERM);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_FOREVER), 0);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_FOREVER), -EDEADLK);
    ck_assert_uint_eq(gnl_segment_version(one), version);
    ck_assert_int_eq(gnl_segment_wait(one, version, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_uint_ne(gnl_segment_version(one), version);
    ck_assert_int_eq(gnl_segment_wait(one, version, GNL_NOWAIT), 0);
    ck_assert_int_eq(gnl_segment_wait(one, gnl_segment_version(one), gnl_ms(5)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_segment_lock(one, -2), -EINVAL);
    assert_ok(gnl_segment_detach(one));
}
END_TEST

static void *lock_in_a_thread(void *context)
{
    return (void *)(intptr_t)gnl_segment_lock(context, gnl_ms(30));
}

static void *unlock_in_a_thread(void *context)
{
    return (void *)(intptr_t)gnl_segment_unlock(context);
}

static intptr_t in_a_thread(void *(*run)(void *context), void *context)
{
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, context), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return (intptr_t)result;
}

START_TEST(other_threads_wait_for_the_lock_and_cannot_unlock_it)
{
    gnl_segment *one = make(NULL, SIZE);

    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(in_a_thread(lock_in_a_thread, one), -ETIMEDOUT);
    ck_assert_int_eq(in_a_thread(unlock_in_a_thread, one), -EPERM);
    assert_ok(gnl_segment_unlock(one));
    assert_ok(gnl_segment_detach(one));
}
END_TEST

#define THREADS 4
#define ROUNDS  3000

struct counters {
    uint64_t one, other;
};

/* Returns NULL, or its context if something was wrong. */
static void *count(void *context)
{
    gnl_segment *segment = context;
    struct counters *counters = gnl_segment_data(segment);

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (gnl_segment_lock(segment, SOON) != 0)
            return context;
        if (counters->one != counters->other)
            return context;
        counters->one++;
        counters->other++;
        if (gnl_segment_unlock(segment) != 0)
            return context;
    }
    return NULL;
}

START_TEST(threads_that_count_under_the_lock_lose_nothing)
{
    gnl_segment *one = make(NULL, SIZE);
    pthread_t threads[THREADS];
    void *complaint;

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, one), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &complaint), 0);
        ck_assert_ptr_null(complaint);
    }
    ck_assert_uint_eq(((struct counters *)gnl_segment_data(one))->one, THREADS * ROUNDS);
    ck_assert_uint_eq(gnl_segment_version(one), THREADS * ROUNDS);
    assert_ok(gnl_segment_detach(one));
}
END_TEST

START_TEST(snapshot_is_of_what_is_there_and_of_ones_own_lock_too)
{
    gnl_segment *one = make(NULL, SIZE);
    char copy[16];

    strcpy((char *)gnl_segment_data(one) + 100, "some words");
    ck_assert_int_eq(gnl_segment_snapshot(one, 100, copy, sizeof copy, GNL_NOWAIT), 0);
    ck_assert_str_eq(copy, "some words");
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(gnl_segment_snapshot(one, 100, copy, sizeof copy, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE - 4, copy, 5, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE_MAX, copy, 2, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE, copy, 0, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_detach(one));
}
END_TEST

/* ---- truncated ---- */

START_TEST(truncated_named_segment_reads_as_zeros_and_is_ebadmsg)
{
    gnl_segment *one = make("s", 5 * SIZE), *reader;
    char path[256];

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    memset(gnl_segment_data(one), 7, 5 * SIZE);
    snprintf(path, sizeof path, "%s/segment:s", support_directory());
    ck_assert_int_eq(truncate(path, (off_t)GNLI_SEGMENT_DATA), 0);
    ck_assert_int_eq(((char *)gnl_segment_data(reader))[0], 0);
    ck_assert_int_eq(((char *)gnl_segment_data(one))[4 * SIZE], 0);
    char copy[10];
    ck_assert_int_eq(gnl_segment_snapshot(reader, 0, copy, 10, GNL_NOWAIT), -EBADMSG);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_NOWAIT), -EBADMSG);
    assert_touch(gnl_segment_data(reader), true, SIGSEGV); /* to be read alone, still */
    gnl_segment *late;
    ck_assert_int_eq(gnl_segment_attach(&late, "s", GNL_READ), -EBADMSG);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(files_that_are_no_segments_are_ebadmsg)
{
    char path[256], junk[8192];
    gnl_segment *segment;

    memset(junk, 'x', sizeof junk);
    snprintf(path, sizeof path, "%s/segment:s", support_directory());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_READ), -EBADMSG);
    ck_assert_int_eq(write(file, junk, sizeof junk), sizeof junk);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_WRITE), -EBADMSG);
    struct gnli_segment_header header = { .magic = GNLI_SEGMENT_MAGIC, .version = 99 };
    ck_assert_int_eq(pwrite(file, &header, sizeof header, 0), sizeof header);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_READ), -EPROTONOSUPPORT);
    close(file);
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *making = support_case(suite, "making");
    TCase *locking = support_case(suite, "locking");
    TCase *damaged = support_case(suite, "damaged");

    tcase_add_test(making, a_named_segment_is_shared_by_name_and_gone_when_removed);
    tcase_add_test(making, guard_pages_stand_on_both_sides_and_a_reader_cannot_write);
    tcase_add_test(making, nonsense_is_einval_and_says_why);
    tcase_add_test(making, inspect_shows_size_users_and_who_has_it_locked);
    tcase_add_test(making, mode_and_owner_are_those_of_the_file);
    tcase_add_test(making, what_is_grown_is_seen_by_others_when_they_refresh);
    tcase_add_test(locking, a_lock_is_a_threads_and_each_unlock_makes_a_version);
    tcase_add_test(locking, other_threads_wait_for_the_lock_and_cannot_unlock_it);
    tcase_add_test(locking, threads_that_count_under_the_lock_lose_nothing);
    tcase_add_test(locking, snapshot_is_of_what_is_there_and_of_ones_own_lock_too);
    tcase_add_test(damaged, truncated_named_segment_reads_as_zeros_and_is_ebadmsg);
    tcase_add_test(damaged, files_that_are_no_segments_are_ebadmsg);
    return support_run(suite);
}
