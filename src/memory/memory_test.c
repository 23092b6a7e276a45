/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, their one descriptor, reserved memory, and pages that went missing.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "memory/file.h"
#include "private_tmpfs.h"

#define MIB ((uint64_t)1 << 20)

static int open_directory(void)
{
    int directory = open(support_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    require(directory >= 0);
    return directory;
}

static struct gnli_file *make_file(int directory, uint64_t size)
{
    struct gnli_file *file;

    assert_ok(gnli_file_new(&file, directory, size, 0640, "the file"));
    assert_ok(gnli_file_publish(file, directory, "file", "the file"));
    return file;
}

static void drop(int directory, struct gnli_file *file)
{
    gnli_file_close(file);
    ck_assert_int_eq(unlinkat(directory, "file", 0), 0);
    close(directory);
}

/* ---- files ---- */

START_TEST(new_file_has_its_size_and_mode_and_no_name_until_published)
{
    int directory = open_directory();
    struct gnli_file *file;
    struct stat status;

    umask(077);
    assert_ok(gnli_file_new(&file, directory, 3 * MIB, 0666, "the file"));
    ck_assert_int_eq(fstatat(directory, "file", &status, 0), -1);
    ck_assert(gnli_file_nameless(file));
    assert_ok(gnli_file_publish(file, directory, "file", "the file"));
    ck_assert(!gnli_file_nameless(file));
    ck_assert_int_eq(fstatat(directory, "file", &status, 0), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0666);
    ck_assert_int_eq(status.st_size, (off_t)(3 * MIB));
    ck_assert_uint_eq(gnli_file_bytes(file), 0);
    ck_assert_int_eq(gnli_file_publish(file, directory, "file", "the file"), -EEXIST);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "exists already"));
    drop(directory, file);
}
END_TEST

START_TEST(one_descriptor_a_file_however_often_it_is_opened)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB), *again[10];

    for (unsigned i = 0; i < 10; i++) {
        assert_ok(gnli_file_open(&again[i], directory, "file", "the file"));
        ck_assert_ptr_eq(again[i], file);
    }
    ck_assert_uint_eq(file->references, 11);
    for (unsigned i = 0; i < 10; i++)
        gnli_file_close(again[i]);
    assert_ok(gnli_file_check(file));
    drop(directory, file);
}
END_TEST

/* The same file under a second name is the same file. */
START_TEST(two_names_of_one_file_share_its_descriptor)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB), *other;

    ck_assert_int_eq(linkat(directory, "file", directory, "other", 0), 0);
    assert_ok(gnli_file_open(&other, directory, "other", "the file"));
    ck_assert_ptr_eq(other, file);
    gnli_file_close(other);
    ck_assert_int_eq(unlinkat(directory, "other", 0), 0);
    drop(directory, file);
}
END_TEST

static int expect_locked(void *context)
{
    struct gnli_file *file = context;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1 };

    require(fcntl(file->descriptor, F_GETLK, &lock) == 0);
    return lock.l_type == F_WRLCK && lock.l_pid == getppid() ? 0 : 2;
}

START_TEST(closing_a_probe_keeps_the_locks)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB), *probe;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1 };

    ck_assert_int_eq(fcntl(file->descriptor, F_SETLK, &lock), 0);
    support_expect_exit(support_fork(expect_locked, file), 0);
    assert_ok(gnli_file_open(&probe, directory, "file", "the file"));
    gnli_file_close(probe);
    support_expect_exit(support_fork(expect_locked, file), 0);
    /* What the probe avoids: a descriptor of its own would have dropped them. */
    close(openat(directory, "file", O_RDWR | O_CLOEXEC));
    support_expect_exit(support_fork(expect_locked, file), 2);
    drop(directory, file);
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused)
{
    int directory = open_directory();
    struct gnli_file *file;

    ck_assert_int_eq(mkfifoat(directory, "fifo", 0600), 0);
    ck_assert_int_eq(symlinkat("target", directory, "link"), 0);
    ck_assert_int_eq(mkdirat(directory, "directory", 0700), 0);
    ck_assert_int_eq(gnli_file_open(&file, directory, "fifo", "it"), -EBADMSG);
    ck_assert_int_eq(gnli_file_open(&file, directory, "link", "it"), -EBADMSG);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "symbolic link"));
    ck_assert_int_eq(gnli_file_open(&file, directory, "directory", "it"), -EBADMSG);
    ck_assert_int_eq(gnli_file_open(&file, directory, "absent", "it"), -ENOENT);
    unlinkat(directory, "fifo", 0);
    unlinkat(directory, "link", 0);
    unlinkat(directory, "directory", AT_REMOVEDIR);
    close(directory);
}
END_TEST

static int open_forbidden(void *context)
{
    int directory = open_directory();
    struct gnli_file *file;

    (void)context;
    require(chmod(support_directory(), 0711) == 0 && setuid(12345) == 0);
    require(gnli_file_open(&file, directory, "file", "mailbox 'jobs'") == -EACCES);
    require(strcmp(gnl_error_detail(), "mailbox 'jobs': owned by uid 0, mode 0640: you may not open it") ==
            0);
    return 0;
}

START_TEST(forbidden_file_is_eacces_with_owner_and_mode)
{
    int directory = open_directory();

    if (geteuid() == 0) {
        struct gnli_file *file = make_file(directory, MIB);
        gnli_file_close(file);
        support_expect_exit(support_fork(open_forbidden, NULL), 0);
        unlinkat(directory, "file", 0);
    }
    close(directory);
}
END_TEST

/* A program that closes descriptors it does not own must not make the library close another's. */
START_TEST(descriptor_closed_by_the_program_is_ebadf_and_not_closed_again)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB);
    int number = file->descriptor;

    close(number);
    ck_assert_int_eq(gnli_file_check(file), -EBADF);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(null, number);
    ck_assert_int_eq(gnli_file_check(file), -EBADF);
    gnli_file_close(file);
    ck_assert_int_ge(fcntl(null, F_GETFD), 0);
    close(null);
    unlinkat(directory, "file", 0);
    close(directory);
}
END_TEST

static int without_standard_descriptors(void *context)
{
    int directory = open_directory();
    struct gnli_file *file, *again;

    (void)context;
    close(0);
    close(1);
    require(gnli_file_new(&file, directory, MIB, 0600, "it") == 0 && file->descriptor > 2);
    require(gnli_file_publish(file, directory, "standard", "it") == 0);
    gnli_file_close(file);
    require(gnli_file_open(&again, directory, "standard", "it") == 0 && again->descriptor > 2);
    gnli_file_close(again);
    require(unlinkat(directory, "standard", 0) == 0);
    return 0;
}

/* Does a record lock of this process on the file hold? Asked by another. */
static int find_locked(void *context)
{
    struct gnli_file *file = context;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1 };

    require(fcntl(file->descriptor, F_GETLK, &lock) == 0);
    return lock.l_type == F_UNLCK ? 1 : 0;
}

START_TEST(closing_one_of_two_entries_keeps_the_locks_of_the_other)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB), *reader, *again, *other;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1 };

    ck_assert_int_eq(fcntl(file->descriptor, F_SETLK, &lock), 0);
    assert_ok(gnli_file_open_to_read(&reader, directory, "file", "the file"));
    ck_assert_ptr_ne(reader, file);
    ck_assert_int_eq(fcntl(reader->descriptor, F_GETFL) & O_ACCMODE, O_RDONLY);
    ck_assert(write(reader->descriptor, "x", 1) < 0);
    assert_ok(gnli_file_open_to_read(&again, directory, "file", "the file"));
    ck_assert_ptr_eq(again, reader);
    gnli_file_close(again);
    gnli_file_close(reader);
    support_expect_exit(support_fork(find_locked, file), 0);
    assert_ok(gnli_file_reader(&other, file, "the file"));
    ck_assert_ptr_eq(other, reader); /* it was kept, and is used again */
    support_expect_exit(support_fork(find_locked, file), 0);
    gnli_file_close(other);
    drop(directory, file);
}
END_TEST

START_TEST(file_is_made_longer_and_never_shorter)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB);
    struct stat status;

    assert_ok(gnli_file_extend(file, MIB, 3 * MIB, "the file"));
    ck_assert_uint_eq(gnli_file_bytes(file), 2 * MIB);
    assert_ok(gnli_file_extend(file, MIB, 2 * MIB, "the file"));
    ck_assert_int_eq(fstat(file->descriptor, &status), 0);
    ck_assert_int_eq(status.st_size, (off_t)(3 * MIB));
    ck_assert_int_eq(gnli_file_extend(file, 3 * MIB, (uint64_t)1 << 60, "the file"), -ENOSPC);
    ck_assert_int_eq(gnli_file_extend(file, 3 * MIB, UINT64_MAX, "the file"), -EFBIG);
    ck_assert_uint_eq(gnli_file_bytes(file), 2 * MIB);
    drop(directory, file);
}
END_TEST

START_TEST(memfd_cannot_shrink_and_a_guarded_mapping_grows_once_it_is_sealed)
{
    struct gnli_file *file;

    assert_ok(gnli_file_new_memory(&file, "test", MIB, 0600, "memory"));
    ck_assert(ftruncate(file->descriptor, 0) != 0);
    char *data = gnli_map_guarded(file, 0, 5000, true);
    ck_assert_ptr_nonnull(data);
    strcpy(data, "kept");
    ck_assert_int_eq(fcntl(file->descriptor, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    ck_assert_ptr_null(gnli_map_guarded(file, 0, 5000, true));
    data = gnli_remap_guarded(file, data, 5000, 100000);
    ck_assert_ptr_nonnull(data);
    ck_assert_str_eq(data, "kept");
    data[99999] = 1;
    gnli_unmap_guarded(data, 100000);
    gnli_file_close(file);
}
END_TEST

START_TEST(files_keep_off_the_standard_descriptors)
{
    support_expect_exit(support_fork(without_standard_descriptors, NULL), 0);
}
END_TEST

/* ---- reserved memory ---- */

START_TEST(reserved_memory_counts_and_goes_back_when_punched)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, 16 * MIB);

    assert_ok(gnli_file_reserve(file, 4 * MIB, 5 * MIB));
    ck_assert_uint_eq(gnli_file_bytes(file), 5 * MIB);
    unsigned char *memory = gnli_map(file, 0, 16 * MIB);
    ck_assert_ptr_nonnull(memory);
    memory[4 * MIB] = 7;
    assert_ok(gnli_file_reserve(file, 4 * MIB, 5 * MIB)); /* again: what is there stays */
    ck_assert_uint_eq(memory[4 * MIB], 7);
    gnli_populate(memory + 4 * MIB, 5 * MIB);
    gnli_file_punch(file, 4 * MIB, 4 * MIB);
    ck_assert_uint_eq(gnli_file_bytes(file), MIB);
    ck_assert_uint_eq(memory[4 * MIB], 0);
    gnli_unmap(memory, 16 * MIB);
    drop(directory, file);
}
END_TEST

static int on_a_small_file_system(void *context)
{
    struct gnli_file *file;

    (void)context;
    if (!private_tmpfs(support_directory(), "size=2m"))
        return 0;
    int directory = open_directory();
    require(gnli_file_new(&file, directory, 64 * MIB, 0600, "it") == 0);
    require(gnli_file_reserve(file, 0, MIB) == 0);
    require(gnli_file_reserve(file, 8 * MIB, 8 * MIB) == -ENOSPC);
    char *memory = gnli_map(file, 0, MIB);
    require(memory);
    memset(memory, 1, MIB); /* what was reserved can be touched */
    gnli_file_punch(file, 8 * MIB, 8 * MIB);
    require(gnli_file_reserve(file, 2 * MIB, MIB / 2) == 0);
    return 0;
}

START_TEST(full_file_system_is_enospc)
{
    support_expect_exit(support_fork(on_a_small_file_system, NULL), 0);
}
END_TEST

/* ---- pages that went missing ---- */

START_TEST(truncated_file_reads_as_zeros_then_ebadmsg)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB);
    volatile unsigned char *memory = gnli_map(file, 0, MIB);

    ck_assert_ptr_nonnull((const void *)memory);
    memory[0] = memory[5000] = 9;
    ck_assert_int_eq(ftruncate(file->descriptor, 0), 0);
    ck_assert_uint_eq(memory[5000], 0);
    memory[5000] = 8; /* goes nowhere, and does not kill */
    ck_assert_uint_eq(memory[MIB - 1], 0);
    ck_assert(atomic_load(&file->patched));
    ck_assert_int_eq(gnli_file_repair(file), -EBADMSG);
    ck_assert(atomic_load(&file->patched));
    gnli_unmap((void *)(uintptr_t)memory, MIB);
    drop(directory, file);
}
END_TEST

START_TEST(file_that_has_its_size_again_is_mapped_again)
{
    int directory = open_directory();
    struct gnli_file *file = make_file(directory, MIB);
    volatile unsigned char *memory = gnli_map(file, 0, MIB);

    ck_assert_int_eq(ftruncate(file->descriptor, 0), 0);
    memory[3] = 1;
    ck_assert_int_eq(ftruncate(file->descriptor, MIB), 0);
    ck_assert_int_eq(pwrite(file->descriptor, "x", 1, 3), 1);
    assert_ok(gnli_file_repair(file));
    ck_assert(!atomic_load(&file->patched));
    ck_assert_int_eq(memory[3], 'x');
    gnli_unmap((void *)(uintptr_t)memory, MIB);
    drop(directory, file);
}
END_TEST

static sigjmp_buf back;
static volatile sig_atomic_t plain_handler_ran;

static void jump_back(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    siglongjmp(back, info->si_code > 0 ? 1 : 2);
}

static void plain_handler(int signo)
{
    plain_handler_ran = signo;
}

/* A mapping of the test's own, past the end of its file. */
static volatile char *foreign_hole(int directory)
{
    int descriptor = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    require(descriptor >= 0);
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    require(memory != MAP_FAILED);
    close(descriptor);
    return memory;
}

static void map_once(int directory)
{
    struct gnli_file *file;

    require(gnli_file_new(&file, directory, MIB, 0600, "it") == 0);
    void *memory = gnli_map(file, 0, MIB);
    require(memory);
    gnli_unmap(memory, MIB);
    gnli_file_close(file);
}

START_TEST(other_faults_go_to_the_handler_before)
{
    int directory = open_directory();
    struct sigaction action = { .sa_sigaction = jump_back, .sa_flags = SA_SIGINFO };

    ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
    map_once(directory);
    volatile char *hole = foreign_hole(directory);
    int jumped = sigsetjmp(back, 1);
    if (jumped == 0) {
        *hole = 1;
        ck_abort_msg("the fault was swallowed");
    }
    ck_assert_int_eq(jumped, 1);
    munmap((void *)(uintptr_t)hole, 4096);
    close(directory);
}
END_TEST

START_TEST(signal_that_was_sent_goes_to_the_plain_handler_before)
{
    int directory = open_directory();

    ck_assert(signal(SIGBUS, plain_handler) != SIG_ERR);
    map_once(directory);
    ck_assert_int_eq(raise(SIGBUS), 0);
    ck_assert_int_eq(plain_handler_ran, SIGBUS);
    close(directory);
}
END_TEST

static char ignoring[] = "ignoring";

static int die_of_a_fault(void *context)
{
    int directory = open_directory();

    signal(SIGBUS, context ? SIG_IGN : SIG_DFL);
    map_once(directory);
    *foreign_hole(directory) = 1;
    return 0;
}

static int be_sent_a_signal(void *context)
{
    int directory = open_directory();

    signal(SIGBUS, context ? SIG_IGN : SIG_DFL);
    map_once(directory);
    raise(SIGBUS);
    return 42;
}

START_TEST(without_a_handler_before_the_default_holds)
{
    support_expect_signal(support_fork(die_of_a_fault, NULL), SIGBUS);
    support_expect_signal(support_fork(die_of_a_fault, ignoring), SIGBUS); /* a fault can't be ignored */
    support_expect_signal(support_fork(be_sent_a_signal, NULL), SIGBUS);
    support_expect_exit(support_fork(be_sent_a_signal, ignoring), 42);
}
END_TEST

static int opted_out(void *context)
{
    int directory = open_directory();
    struct sigaction now;
    struct gnli_file *file;

    (void)context;
    signal(SIGBUS, SIG_DFL);
    require(gnl_set_sigbus(GNL_SIGBUS_NONE) == 0);
    require(gnli_file_new(&file, directory, MIB, 0600, "it") == 0);
    volatile char *memory = gnli_map(file, 0, MIB);
    require(memory);
    require(sigaction(SIGBUS, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    require(ftruncate(file->descriptor, 0) == 0);
    return *memory;
}

START_TEST(without_our_handler_a_truncated_file_kills_as_ever)
{
    support_expect_signal(support_fork(opted_out, NULL), SIGBUS);
}
END_TEST

START_TEST(sigbus_policy_is_chosen_before_the_first_mapping)
{
    int directory = open_directory();

    ck_assert_int_eq(gnl_set_sigbus((enum gnl_sigbus)7), -EINVAL);
    assert_ok(gnl_set_sigbus(GNL_SIGBUS_NONE));
    assert_ok(gnl_set_sigbus(GNL_SIGBUS_HANDLE));
    map_once(directory);
    ck_assert_int_eq(gnl_set_sigbus(GNL_SIGBUS_NONE), -EBUSY);
    assert_ok(gnl_set_sigbus(GNL_SIGBUS_HANDLE));
    close(directory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *files = support_case(suite, "files");

    tcase_add_test(files, new_file_has_its_size_and_mode_and_no_name_until_published);
    tcase_add_test(files, one_descriptor_a_file_however_often_it_is_opened);
    tcase_add_test(files, two_names_of_one_file_share_its_descriptor);
    tcase_add_test(files, closing_a_probe_keeps_the_locks);
    tcase_add_test(files, what_is_no_regular_file_is_refused);
    tcase_add_test(files, forbidden_file_is_eacces_with_owner_and_mode);
    tcase_add_test(files, descriptor_closed_by_the_program_is_ebadf_and_not_closed_again);
    tcase_add_test(files, files_keep_off_the_standard_descriptors);
    tcase_add_test(files, closing_one_of_two_entries_keeps_the_locks_of_the_other);
    tcase_add_test(files, file_is_made_longer_and_never_shorter);
    tcase_add_test(files, memfd_cannot_shrink_and_a_guarded_mapping_grows_once_it_is_sealed);
    tcase_add_test(files, reserved_memory_counts_and_goes_back_when_punched);
    tcase_add_test(files, full_file_system_is_enospc);
    TCase *pages = support_case(suite, "missing pages");
    tcase_add_test(pages, truncated_file_reads_as_zeros_then_ebadmsg);
    tcase_add_test(pages, file_that_has_its_size_again_is_mapped_again);
    tcase_add_test(pages, other_faults_go_to_the_handler_before);
    tcase_add_test(pages, signal_that_was_sent_goes_to_the_plain_handler_before);
    tcase_add_test(pages, without_a_handler_before_the_default_holds);
    tcase_add_test(pages, without_our_handler_a_truncated_file_kills_as_ever);
    tcase_add_test(pages, sigbus_policy_is_chosen_before_the_first_mapping);
    return support_run(suite);
}
