/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors, addresses, clock and runtime directory.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/directory.h"
#include "base/errors.h"
#include "private_tmpfs.h"

/* ---- errors ---- */

/* All that <ginnel/errors.h> names with a meaning of its own. */
static const int named[] = { EAGAIN, ETIMEDOUT, ECANCELED, EIDRM,  EPIPE,           EMSGSIZE,
                             ENOSPC, ENOBUFS,   EINVAL,    ENOENT, EEXIST,          EACCES,
                             EPERM,  EBADMSG,   EUSERS,    EBUSY,  EPROTONOSUPPORT, EBADF };
#define NAMED (sizeof named / sizeof named[0])

START_TEST(every_named_code_has_a_text_of_its_own)
{
    for (size_t i = 0; i < NAMED; i++) {
        const char *text = gnl_strerror(-named[i]);
        ck_assert_str_ne(text, "");
        ck_assert_ptr_eq(text, gnl_strerror(named[i]));
        ck_assert_str_ne(text, strerrordesc_np(named[i]));
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(text, gnl_strerror(-named[j]));
    }
    ck_assert_str_eq(gnl_strerror(0), "success");
}
END_TEST

START_TEST(other_codes_have_the_system_s_text)
{
    ck_assert_str_eq(gnl_strerror(-EMFILE), strerrordesc_np(EMFILE));
    ck_assert_str_eq(gnl_strerror(ENAMETOOLONG), strerrordesc_np(ENAMETOOLONG));
}
END_TEST

START_TEST(codes_that_nobody_knows_have_a_text)
{
    static const int unknown[] = { 99999, -99999, INT_MAX, INT_MIN, INT_MIN + 1 };

    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        ck_assert_str_eq(gnl_strerror(unknown[i]), "unknown error");
}
END_TEST

START_TEST(detail_is_empty_before_the_first_failure)
{
    ck_assert_str_eq(gnl_error_detail(), "");
}
END_TEST

START_TEST(detail_is_the_last_sentence)
{
    ck_assert_int_eq(gnli_fail(-EINVAL, "first %d", 1), -EINVAL);
    ck_assert_int_eq(gnli_fail(-EPERM, "second %s", "two"), -EPERM);
    ck_assert_str_eq(gnl_error_detail(), "second two");
    ck_assert_int_eq(gnli_fail_errno(EMFILE, "opening %s", "it"), -EMFILE);
    ck_assert_str_eq(gnl_error_detail(), "opening it: Too many open files");
}
END_TEST

START_TEST(plain_failure_says_subject_and_code_unless_more_was_said)
{
    gnli_failure_begin();
    ck_assert_int_eq(gnli_fail_plain(-ETIMEDOUT, "mailbox 'jobs'"), -ETIMEDOUT);
    ck_assert_str_eq(gnl_error_detail(), "mailbox 'jobs': timed out");
    gnli_failure_begin();
    gnli_fail(-EINVAL, "a sentence");
    ck_assert_int_eq(gnli_fail_plain(-EINVAL, "mailbox 'jobs'"), -EINVAL);
    ck_assert_str_eq(gnl_error_detail(), "a sentence");
}
END_TEST

START_TEST(overlong_sentence_is_cut)
{
    char words[2000];

    memset(words, 'w', sizeof words);
    words[sizeof words - 1] = '\0';
    gnli_fail(-EINVAL, "%s", words);
    ck_assert_uint_eq(strlen(gnl_error_detail()), 511);
    gnli_fail_errno(EMFILE, "%s", words);
    ck_assert_uint_eq(strlen(gnl_error_detail()), 511);
    gnli_failure_begin();
    gnli_fail_plain(-EAGAIN, words);
    ck_assert_uint_lt(strlen(gnl_error_detail()), 512);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), ": would block"));
}
END_TEST

static void *fail_elsewhere(void *context)
{
    bool empty = gnl_error_detail()[0] == '\0';
    gnli_fail(-EPERM, "of the other thread");
    return empty && strcmp(gnl_error_detail(), "of the other thread") == 0 ? context : NULL;
}

START_TEST(each_thread_has_its_own_detail)
{
    pthread_t thread;
    int fine;
    void *result;

    gnli_fail(-EINVAL, "of this thread");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, &fine), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, &fine);
    ck_assert_str_eq(gnl_error_detail(), "of this thread");
}
END_TEST

/* ---- clock ---- */

START_TEST(deadlines_come_after_their_timeout_or_never)
{
    int64_t before = gnli_now_ns();
    int64_t deadline = gnli_deadline_ns(gnl_ms(5));

    ck_assert_int_ge(deadline, before + gnl_ms(5));
    ck_assert_int_le(deadline, gnli_now_ns() + gnl_ms(5));
    ck_assert(gnli_deadline_ns(GNL_FOREVER) == GNLI_NEVER);
    ck_assert(gnli_deadline_ns(INT64_MAX) == GNLI_NEVER);
    ck_assert(gnli_deadline_ns(INT64_MAX - 1) == GNLI_NEVER);
}
END_TEST

/* ---- addresses ---- */

START_TEST(names_of_1_to_63_allowed_characters_are_valid)
{
    char longest[GNL_NAME_MAX + 1];

    memset(longest, 'n', GNL_NAME_MAX);
    longest[GNL_NAME_MAX] = '\0';
    static const char *const valid[] = { "a", "Z", "0", "_", "-", "jobs", "a.b", "a..", "-rf", "A-Z_a.z-09" };
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        ck_assert_msg(gnli_name_valid(valid[i]), "'%s'", valid[i]);
    ck_assert(gnli_name_valid(longest));
}
END_TEST

START_TEST(other_names_are_not)
{
    char too_long[GNL_NAME_MAX + 2];

    memset(too_long, 'n', GNL_NAME_MAX + 1);
    too_long[GNL_NAME_MAX + 1] = '\0';
    static const char *const invalid[] = { "",    ".",    "..",       ".hidden", "a/b",  "/a",   "a b",
                                           "a:b", "a\nb", "\xc3\xa9", "a%s",     "a\\b", "a\x7f" };
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        ck_assert_msg(!gnli_name_valid(invalid[i]), "'%s'", invalid[i]);
    ck_assert(!gnli_name_valid(too_long));
}
END_TEST

START_TEST(address_is_parsed_and_formatted_back)
{
    static const char *const texts[] = { "mailbox:jobs", "mailbox:/jobs", "direct:bob", "segment:/x" };
    struct gnli_address address;
    char text[GNL_ADDRESS_MAX + 1];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_ok(gnli_address_parse(&address, texts[i]));
        gnli_address_format(&address, text);
        ck_assert_str_eq(text, texts[i]);
    }
    assert_ok(gnli_address_parse(&address, "mailbox:/jobs"));
    ck_assert_str_eq(address.kind, "mailbox");
    ck_assert_str_eq(address.name, "jobs");
    ck_assert(address.machine_wide);
}
END_TEST

START_TEST(bad_address_is_einval_and_leaves_the_result_alone)
{
    static const char *const bad[] = {
        "",          "jobs",        ":jobs",          "mailbox:",    "mailbox:/",
        "mailbox:.", "mailbox://a", "mailbox:../etc", "mailbox:a:b", "mailbox:a/b"
    };
    struct gnli_address address = { .kind = "untouched" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(gnli_address_parse(&address, bad[i]) == -EINVAL, "'%s'", bad[i]);
        ck_assert_str_eq(address.kind, "untouched");
    }
    ck_assert_int_eq(gnli_address_parse(&address, NULL), -EINVAL);
    ck_assert_int_eq(gnli_address_parse(&address, "averyveryverylongkind:a"), -EPROTONOSUPPORT);
    ck_assert_str_eq(address.kind, "untouched");
}
END_TEST

/* ---- the runtime directory ---- */

static char path[PATH_MAX];

/* GINNEL_DIR is this test's directory and `tail`. */
static const char *choose(const char *tail)
{
    snprintf(path, sizeof path, "%s/%s", support_directory(), tail);
    ck_assert_int_eq(setenv("GINNEL_DIR", path, 1), 0);
    return path;
}

static void expect_refused(int code, const char *says)
{
    ck_assert_int_eq(gnli_directory_open(false, true), code);
    ck_assert_msg(strstr(gnl_error_detail(), says) != NULL, "says: %s", gnl_error_detail());
}

static mode_t mode_of(const char *file)
{
    struct stat status;

    ck_assert_int_eq(stat(file, &status), 0);
    return status.st_mode & 07777;
}

START_TEST(own_directory_is_made_0700_whatever_the_umask)
{
    static const mode_t masks[] = { 0, 077, 0777 };

    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        choose("made");
        umask(masks[i]);
        int directory = gnli_directory_open(false, true);
        assert_ok(directory);
        ck_assert_int_eq(mode_of(path), 0700);
        close(directory);
        ck_assert_int_eq(rmdir(path), 0);
    }
}
END_TEST

START_TEST(absent_directory_is_enoent_unless_it_may_be_made)
{
    choose("absent");
    ck_assert_int_eq(gnli_directory_open(false, false), -ENOENT);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(directory_with_an_absent_parent_is_enoent)
{
    choose("absent/below");
    expect_refused(-ENOENT, path);
    expect_refused(-ENOENT, "GINNEL_DIR chooses another");
}
END_TEST

START_TEST(directory_behind_a_symbolic_link_is_refused)
{
    char link[PATH_MAX], slashes[PATH_MAX + 2];

    choose("real");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    strcpy(link, choose("link"));
    ck_assert_int_eq(symlink("real", link), 0);
    expect_refused(-EPERM, "symbolic link");
    /* A slash at the end would have the kernel follow the link. */
    snprintf(slashes, sizeof slashes, "%s//", link);
    setenv("GINNEL_DIR", slashes, 1);
    expect_refused(-EPERM, "symbolic link");
    ck_assert_int_eq(unlink(link), 0);
    ck_assert_int_eq(symlink("nowhere", link), 0);
    expect_refused(-EPERM, "symbolic link");
    ck_assert_int_eq(unlink(link), 0);
    ck_assert_int_eq(rmdir(choose("real")), 0);
}
END_TEST

START_TEST(trailing_slashes_do_not_matter)
{
    char slashes[PATH_MAX + 2];

    choose("made");
    snprintf(slashes, sizeof slashes, "%s//", path);
    setenv("GINNEL_DIR", slashes, 1);
    int directory = gnli_directory_open(false, true);
    assert_ok(directory);
    close(directory);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(file_in_the_directory_s_place_is_refused)
{
    choose("file");
    close(open(path, O_CREAT | O_WRONLY, 0600));
    expect_refused(-EPERM, "not a directory");
    expect_refused(-EPERM, "GINNEL_DIR chooses another");
    unlink(path);
}
END_TEST

START_TEST(directory_of_another_user_is_refused)
{
    if (geteuid() != 0)
        return; /* only root can give a directory away */
    choose("foreign");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    expect_refused(-EPERM, "belongs to uid 12345");
    expect_refused(-EPERM, "GINNEL_DIR chooses another");
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(directory_that_others_may_write_is_refused)
{
    choose("open");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(chmod(path, 0770), 0);
    expect_refused(-EPERM, "chmod 0700");
    ck_assert_int_eq(chmod(path, 0702), 0);
    expect_refused(-EPERM, "chmod 0700");
    ck_assert_int_eq(chmod(path, 0755), 0);
    int directory = gnli_directory_open(false, true);
    assert_ok(directory);
    close(directory);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(overlong_directory_is_enametoolong)
{
    static char long_path[6000];

    memset(long_path, 'd', sizeof long_path - 1);
    setenv("GINNEL_DIR", long_path, 1);
    expect_refused(-ENAMETOOLONG, "GINNEL_DIR");
    long_path[300] = '\0'; /* one name of 300: too long for the file system */
    setenv("GINNEL_DIR", long_path, 1);
    expect_refused(-ENAMETOOLONG, long_path);
}
END_TEST

START_TEST(relative_directory_is_below_the_working_directory)
{
    ck_assert_int_eq(chdir(support_directory()), 0);
    setenv("GINNEL_DIR", "relative", 1);
    int directory = gnli_directory_open(false, true);
    assert_ok(directory);
    close(directory);
    snprintf(path, sizeof path, "%s/relative", support_directory());
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* In a child with a /dev/shm of its own, empty. */
static int machine_wide_directory(void *context)
{
    (void)context;
    if (!private_tmpfs("/dev/shm", "size=1m"))
        return 0;
    require(gnli_directory_open(true, false) == -ENOENT && strstr(gnl_error_detail(), "installing Ginnel"));
    umask(077);
    int directory = gnli_directory_open(true, true);
    require(directory >= 0);
    close(directory);
    struct stat status;
    require(stat("/dev/shm/ginnel", &status) == 0 && (status.st_mode & 07777) == 01777 && status.st_uid == 0);
    require(chmod("/dev/shm/ginnel", 0777) == 0);
    require(gnli_directory_open(true, true) == -EPERM && strstr(gnl_error_detail(), "sticky"));
    require(chmod("/dev/shm/ginnel", 0755) == 0);
    require((directory = gnli_directory_open(true, true)) >= 0);
    close(directory);
    return 0;
}

START_TEST(machine_wide_directory_is_sticky_and_made_by_root)
{
    support_expect_exit(support_fork(machine_wide_directory, NULL), 0);
}
END_TEST

static void expect_whole_or_absent(const char *directory, mode_t mode)
{
    struct stat status;

    if (lstat(directory, &status) == 0) {
        require((status.st_mode & 07777) == mode);
        require(rmdir(directory) == 0);
    } else {
        require(errno == ENOENT);
    }
}

/* qemu-user has no ptrace. */
static bool can_trace(void)
{
    int status = 0;
    pid_t child = fork();

    require(child >= 0);
    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    require(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Makes the directory, and is killed at its nth way into or out of the kernel. False: it came to its end. */
static bool killed_while_making(bool machine_wide, unsigned nth)
{
    int status = 0;
    pid_t child = fork();

    require(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0)
            _exit(1);
        _exit(gnli_directory_open(machine_wide, true) >= 0 ? 0 : 1);
    }
    for (unsigned i = 0; i <= nth; i++) {
        require(waitpid(child, &status, 0) == child);
        if (!WIFSTOPPED(status))
            break;
        if (i < nth)
            require(ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0);
    }
    if (!WIFSTOPPED(status)) {
        require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return false;
    }
    require(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    return true;
}

/* In a child with a /dev/shm of its own, empty. */
static int killed_while_making_directories(void *context)
{
    unsigned machine_wide = 0, own = 0;

    (void)context;
    if (!private_tmpfs("/dev/shm", "size=1m,mode=1777") || !can_trace())
        return 0;
    require(setenv("GINNEL_DIR", "/dev/shm/own", 1) == 0);
    umask(0777);
    while (machine_wide < 500 && killed_while_making(true, machine_wide)) {
        machine_wide++;
        expect_whole_or_absent("/dev/shm/ginnel", 01777);
    }
    while (own < 500 && killed_while_making(false, own)) {
        own++;
        expect_whole_or_absent("/dev/shm/own", 0700);
    }
    require(machine_wide >= 10 && machine_wide < 500 && own >= 10 && own < 500);
    expect_whole_or_absent("/dev/shm/ginnel", 01777); /* what the last of each has made */
    expect_whole_or_absent("/dev/shm/own", 0700);
    return 0;
}

START_TEST(directory_is_whole_or_absent_wherever_its_maker_is_killed)
{
    support_expect_exit(support_fork(killed_while_making_directories, NULL), 0);
}
END_TEST

static int as_another_user(void *context)
{
    (void)context;
    if (geteuid() != 0 || !private_tmpfs("/dev/shm", "size=1m,mode=1777"))
        return 0;
    require(mkdir("/dev/shm/elsewhere", 01777) == 0 && chown("/dev/shm/elsewhere", 12345, 12345) == 0);
    require(rename("/dev/shm/elsewhere", "/dev/shm/ginnel") == 0);
    require(gnli_directory_open(true, true) == -EPERM && strstr(gnl_error_detail(), "belongs to uid 12345"));
    require(rmdir("/dev/shm/ginnel") == 0);
    require(setuid(12345) == 0 && unsetenv("GINNEL_DIR") == 0);
    require(gnli_directory_open(true, true) == -ENOENT);
    int directory = gnli_directory_open(false, true);
    require(directory >= 0);
    close(directory);
    require(access("/dev/shm/ginnel-12345", R_OK | W_OK | X_OK) == 0);
    return 0;
}

START_TEST(users_make_their_own_directory_but_not_the_machine_s)
{
    support_expect_exit(support_fork(as_another_user, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *errors = support_case(suite, "errors");

    tcase_add_test(errors, every_named_code_has_a_text_of_its_own);
    tcase_add_test(errors, other_codes_have_the_system_s_text);
    tcase_add_test(errors, codes_that_nobody_knows_have_a_text);
    tcase_add_test(errors, detail_is_empty_before_the_first_failure);
    tcase_add_test(errors, detail_is_the_last_sentence);
    tcase_add_test(errors, plain_failure_says_subject_and_code_unless_more_was_said);
    tcase_add_test(errors, overlong_sentence_is_cut);
    tcase_add_test(errors, each_thread_has_its_own_detail);
    TCase *addresses = support_case(suite, "addresses and clock");
    tcase_add_test(addresses, deadlines_come_after_their_timeout_or_never);
    tcase_add_test(addresses, names_of_1_to_63_allowed_characters_are_valid);
    tcase_add_test(addresses, other_names_are_not);
    tcase_add_test(addresses, address_is_parsed_and_formatted_back);
    tcase_add_test(addresses, bad_address_is_einval_and_leaves_the_result_alone);
    TCase *directory = support_case(suite, "directory");
    tcase_add_test(directory, own_directory_is_made_0700_whatever_the_umask);
    tcase_add_test(directory, absent_directory_is_enoent_unless_it_may_be_made);
    tcase_add_test(directory, directory_with_an_absent_parent_is_enoent);
    tcase_add_test(directory, directory_behind_a_symbolic_link_is_refused);
    tcase_add_test(directory, trailing_slashes_do_not_matter);
    tcase_add_test(directory, file_in_the_directory_s_place_is_refused);
    tcase_add_test(directory, directory_of_another_user_is_refused);
    tcase_add_test(directory, directory_that_others_may_write_is_refused);
    tcase_add_test(directory, overlong_directory_is_enametoolong);
    tcase_add_test(directory, relative_directory_is_below_the_working_directory);
    tcase_add_test(directory, machine_wide_directory_is_sticky_and_made_by_root);
    tcase_add_test(directory, directory_is_whole_or_absent_wherever_its_maker_is_killed);
    tcase_add_test(directory, users_make_their_own_directory_but_not_the_machine_s);
    return support_run(suite);
}
