/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gnl_spawn: what reaches the child and what does not, and what fails.
 */
#include "spawning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

/* ---- the parts of the child ---- */

/* The numbers of its descriptors. */
static int list_descriptors(char **arguments)
{
    DIR *list = opendir("/proc/self/fd");
    bool open[1024] = { false };
    struct dirent *entry;

    (void)arguments;
    require(list);
    while ((entry = readdir(list)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(list))
            open[atoi(entry->d_name)] = true;
    for (int i = 0; i < 1024; i++)
        if (open[i])
            printf("%d ", i);
    closedir(list);
    return 0;
}

/* Every signal that is blocked or ignored. */
static int list_signals(char **arguments)
{
    struct sigaction action;
    sigset_t blocked;

    (void)arguments;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(&blocked, signo) == 1)
            printf("blocked %d ", signo);
        if (sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored %d ", signo);
    }
    printf("group %d", getpgrp() == getpid());
    return 0;
}

/* Copies what it reads from each of the descriptors named. */
static int read_from(char **arguments)
{
    for (; *arguments; arguments++) {
        char text[64];
        ssize_t size = read(atoi(*arguments), text, sizeof text);
        printf("%s:%.*s ", *arguments, size > 0 ? (int)size : 0, text);
    }
    return 0;
}

/* ---- descriptors ---- */

START_TEST(child_has_the_standard_descriptors_and_those_named_and_no_others)
{
    int kept[8];

    for (int i = 0; i < 8; i++) /* without close-on-exec */
        kept[i] = open("/dev/null", O_RDONLY);
    ck_assert_str_eq(output_of(PART("descriptors"), (struct gnl_spawn_options){ 0 }), "0 1 2 ");
    struct gnl_descriptor named[] = { { 900, kept[3] }, { 5, kept[0] }, { 7, kept[0] } };
    ck_assert_str_eq(output_of(PART("descriptors"),
                               (struct gnl_spawn_options){ .descriptors = named, .descriptor_count = 3 }),
                     "0 1 2 5 7 900 ");
    ck_assert_str_eq(output_of(PART("descriptors"), (struct gnl_spawn_options){ .descriptors = named,
                                                                                .descriptor_count = 3,
                                                                                .tree = 1,
                                                                                .die_with_parent = 1 }),
                     "0 1 2 5 7 900 ");
    for (int i = 0; i < 8; i++)
        close(kept[i]);
}
END_TEST

/* A file that has this text in it. */
static int file_with(const char *text)
{
    int file = open(support_directory(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

    require(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    lseek(file, 0, SEEK_SET);
    return file;
}

START_TEST(descriptors_change_places_in_a_cycle)
{
    int a = file_with("a"), b = file_with("b"), c = file_with("c"), d = file_with("d");
    char text[4][12];

    snprintf(text[0], 12, "%d", a);
    snprintf(text[1], 12, "%d", b);
    snprintf(text[2], 12, "%d", c);
    snprintf(text[3], 12, "%d", d);
    struct gnl_descriptor moves[] = { { a, b }, { b, c }, { c, a }, { d, d } }; /* d is close-on-exec here */
    const char *read =
        output_of(PART("read", text[0], text[1], text[2], text[3], "0"),
                  (struct gnl_spawn_options){
                      .standard = { { GNL_NULL, 0 } }, .descriptors = moves, .descriptor_count = 4 });
    char expected[128];
    snprintf(expected, sizeof expected, "%d:b %d:c %d:a %d:d 0: ", a, b, c, d);
    ck_assert_str_eq(read, expected);
    close(a);
    close(b);
    close(c);
    close(d);
}
END_TEST

/* In a child: its streams are closed before it spawns, and are the numbers of other things. */
static int spawn_without_streams(void *context)
{
    int report = *(int *)context;

    close(0);
    close(1);
    close(2);
    int from = file_with("x"); /* 0 */
    require(from == 0 && fcntl(from, F_SETFD, FD_CLOEXEC) == 0);
    struct gnl_descriptor moved = { 3, from };
    /* Its input is what this process has as 0; output and errors are closed, and /dev/null there. */
    gnl_process *process = spawn(PART("descriptors"),
                                 &(struct gnl_spawn_options){ .descriptors = &moved, .descriptor_count = 1 });
    require(finish(process).code == 0);
    close(from);
    process = spawn(PART("descriptors"),
                    &(struct gnl_spawn_options){ .standard = { [1] = { GNL_FD, report } }, .tree = 1 });
    require(finish(process).code == 0);
    return 0;
}

START_TEST(streams_that_are_closed_here_are_dev_null_there)
{
    char text[64] = "";
    int from, to;

    assert_ok(gnl_pipe(&from, &to));
    support_expect_exit(support_fork(spawn_without_streams, &to), 0);
    close(to);
    ck_assert_int_gt(read(from, text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "0 1 2 ");
    close(from);
}
END_TEST

START_TEST(exhausted_descriptors_are_an_error_and_leave_nothing)
{
    struct rlimit before, few = { 0 };
    gnl_process *process;
    int last = -1, opened[64], count = 0;

    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){ 40, before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &few);
    while (count < 64 && (last = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        opened[count++] = last;
    for (int free_ones = 0; free_ones <= 5; free_ones++) {
        int result = try_spawn(&process, SHELL(":"), NULL);
        ck_assert(free_ones == 0 ? result == -EMFILE : result == 0);
        if (result == 0)
            ck_assert_int_eq(finish(process).code, 0);
        result = try_spawn(&process, SHELL(":"), &(struct gnl_spawn_options){ .tree = 1 });
        ck_assert_msg(result == 0 || result == -EMFILE, "%d: %s", result, gnl_error_detail());
        ck_assert(free_ones < 5 || result == 0);
        if (result == 0)
            ck_assert_int_eq(finish(process).code, 0);
        close(opened[--count]);
    }
    while (count > 0)
        close(opened[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_ok(try_spawn(&process, SHELL(":"), NULL));
    finish(process);
    expect_no_children();
}
END_TEST

START_TEST(number_that_no_descriptor_can_have_is_told_of)
{
    struct gnl_descriptor high = { 1 << 30, 0 };
    gnl_process *process;

    for (int tree = 0; tree < 2; tree++) {
        ck_assert_int_eq(try_spawn(&process, SHELL(":"),
                                   &(struct gnl_spawn_options){
                                       .descriptors = &high, .descriptor_count = 1, .tree = tree }),
                         -EINVAL);
        ck_assert(strstr(gnl_error_detail(), "1073741824") && strstr(gnl_error_detail(), "ulimit -n"));
    }
    expect_no_children();
}
END_TEST

/* ---- who starts it ---- */

#if ADDRESS_SANITIZER
#define LITTLE ((size_t)1 << 20)
#else
#define LITTLE ((size_t)20 << 10)
#endif
#define GUARD 65536

static void *spawn_as_told(void *context)
{
    return spawn(SHELL("read -r _; exit 5"), context);
}

/* A thread of the program's whose memory is as little as may be, and gone when the thread has ended. */
START_TEST(thread_with_a_small_stack_spawns_and_may_end)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *process;
    int from, to;

    for (int tree = 0; tree < 2; tree++) {
        assert_ok(gnl_pipe(&from, &to));
        struct gnl_spawn_options options = { .standard = { { GNL_FD, from } },
                                             .tree = tree,
                                             .die_with_parent = tree };
        char *guard = mmap(NULL, GUARD + LITTLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(guard != MAP_FAILED);
        char *stack = guard + GUARD;
        ck_assert_int_eq(mprotect(stack, LITTLE, PROT_READ | PROT_WRITE), 0);
        ck_assert_int_eq(pthread_attr_init(&attributes), 0);
        ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, LITTLE), 0);
        ck_assert_int_eq(pthread_create(&thread, &attributes, spawn_as_told, &options), 0);
        ck_assert_int_eq(pthread_join(thread, &process), 0);
        pthread_attr_destroy(&attributes);
        munmap(guard, GUARD + LITTLE); /* and what the thread had for its own is in it */
        close(from);
        close(to);
        struct gnl_exit end = finish(process);
        ck_assert(end.kind == GNL_EXITED && end.code == 5);
    }
    expect_no_children();
}
END_TEST

/* ---- what else the child has ---- */

START_TEST(child_has_no_signal_blocked_or_ignored)
{
    sigset_t blocked;

    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    ck_assert_str_eq(output_of(PART("signals"), (struct gnl_spawn_options){ 0 }), "group 0");
    ck_assert_str_eq(output_of(PART("signals"), (struct gnl_spawn_options){ .tree = 1 }), "group 1");
    ck_assert_str_eq(output_of(PART("signals"), (struct gnl_spawn_options){ .die_with_parent = 1 }),
                     "group 0");
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    ck_assert(sigismember(&now, SIGTERM) == 1);
}
END_TEST

#define IGNORED SHELL("sed -n 's/^SigIgn.*\t//p' /proc/self/status")

START_TEST(child_ignores_the_signals_that_are_named)
{
    static char name[] = "true";
    char *const words[] = { name, NULL };
    int some[] = { SIGHUP, SIGUSR2 }, wrong[] = { 0, -1, SIGKILL, SIGSTOP, NSIG };
    struct gnl_spawn_options options = { .ignored = some, .ignored_count = 2 };
    gnl_process *process;

    signal(SIGUSR1, SIG_IGN);
    ck_assert_str_eq(output_of(IGNORED, options), "0000000000000801\n");
    options.tree = 1;
    ck_assert_str_eq(output_of(IGNORED, options), "0000000000000801\n");
    options.ignored_count = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options.ignored = &wrong[i];
        ck_assert_int_eq(gnl_spawn(&process, words, &options), -EINVAL);
    }
    options.ignored = NULL;
    ck_assert_int_eq(gnl_spawn(&process, words, &options), -EINVAL);
}
END_TEST

START_TEST(child_has_the_environment_and_directory_that_are_given)
{
    static char variable[] = "A=1";
    char *environment[] = { variable, NULL };

    ck_assert_str_eq(output_of(SHELL("echo $A $HOME; pwd"),
                               (struct gnl_spawn_options){ .environment = environment, .directory = "/" }),
                     "1\n/\n");
    setenv("GINNEL_TEST", "inherited", 1);
    ck_assert_str_eq(output_of(SHELL("echo $GINNEL_TEST"), (struct gnl_spawn_options){ 0 }), "inherited\n");
}
END_TEST

/* ---- what fails ---- */

static void expect_failure(int expected, const char *program, struct gnl_spawn_options options)
{
    gnl_process *process = (gnl_process *)-1;
    const char *argv[] = { program, NULL };

    for (int tree = 0; tree < 2; tree++) {
        options.tree = tree;
        int result = try_spawn(&process, argv, &options);
        ck_assert_msg(result == expected, "%s: %d, not %d: %s", program, result, expected,
                      gnl_error_detail());
        ck_assert(process == (gnl_process *)-1);
        ck_assert(strlen(gnl_error_detail()) > 10);
        expect_no_children();
    }
}

START_TEST(program_that_cannot_be_executed_is_an_error)
{
    char script[PATH_MAX];
    char *long_one = malloc(4 << 20);
    gnl_process *process;

    expect_failure(-ENOENT, "there-is-no-such-program", (struct gnl_spawn_options){ 0 });
    expect_failure(-ENOENT, "/there/is/none", (struct gnl_spawn_options){ 0 });
    expect_failure(-EACCES, "/etc/passwd", (struct gnl_spawn_options){ 0 });
    expect_failure(-EACCES, "/", (struct gnl_spawn_options){ 0 });
    expect_failure(-ENOENT, "sh", (struct gnl_spawn_options){ .directory = "/there/is/none" });
    ck_assert(strstr(gnl_error_detail(), "/there/is/none"));
    snprintf(script, sizeof script, "%s/script", support_directory());
    int file = open(script, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    ck_assert_int_eq(write(file, "neither", 7), 7);
    close(file);
    expect_failure(-ENOEXEC, script, (struct gnl_spawn_options){ 0 });
    unlink(script);
    memset(long_one, 'a', (4 << 20) - 1);
    long_one[(4 << 20) - 1] = '\0';
    ck_assert_int_eq(try_spawn(&process, (const char *[]){ "sh", long_one, NULL }, NULL), -E2BIG);
    free(long_one);
}
END_TEST

START_TEST(options_that_make_no_sense_are_refused)
{
    struct gnl_descriptor low = { 2, 0 }, twice[] = { { 5, 0 }, { 5, 1 } }, closed = { 5, 700 },
                          negative = { 5, -1 };

    expect_failure(-EINVAL, "", (struct gnl_spawn_options){ 0 });
    expect_failure(-EINVAL, "sh", (struct gnl_spawn_options){ .reserved = { 0, 0, 0, 1 } });
    expect_failure(-EINVAL, "sh", (struct gnl_spawn_options){ .standard = { { 3, 0 } } });
    expect_failure(-EINVAL, "sh", (struct gnl_spawn_options){ .descriptors = &low, .descriptor_count = 1 });
    expect_failure(-EINVAL, "sh", (struct gnl_spawn_options){ .descriptors = twice, .descriptor_count = 2 });
    expect_failure(-EINVAL, "sh", (struct gnl_spawn_options){ .descriptor_count = 2 });
    expect_failure(-EBADF, "sh", (struct gnl_spawn_options){ .descriptors = &closed, .descriptor_count = 1 });
    ck_assert(strstr(gnl_error_detail(), "700"));
    expect_failure(-EBADF, "sh",
                   (struct gnl_spawn_options){ .descriptors = &negative, .descriptor_count = 1 });
    expect_failure(-EBADF, "sh", (struct gnl_spawn_options){ .standard = { [2] = { GNL_FD, 700 } } });
    ck_assert_int_eq(try_spawn(NULL, SHELL(":"), NULL), -EINVAL);
    ck_assert_int_eq(gnl_process_wait(NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_process_free(NULL), 0);
    ck_assert_int_eq(gnl_pipe(NULL, NULL), -EINVAL);
}
END_TEST

/* A directory that may not be searched is passed over, and told of if the program is nowhere else. */
static int search_as_stranger(void *context)
{
    gnl_process *process;

    require(setgid(65534) == 0 && setuid(65534) == 0);
    setenv("PATH", context, 1);
    process = spawn(SHELL(":"), NULL);
    require(finish(process).code == 0);
    require(try_spawn(&process, (const char *[]){ "there-is-no-such-program", NULL }, NULL) == -EACCES);
    require(try_spawn(&process, SHELL(":"),
                      &(struct gnl_spawn_options){ .directory = support_directory() }) == -EACCES);
    return 0;
}

START_TEST(unreadable_directory_on_the_path_is_passed_over)
{
    char path[PATH_MAX];

    if (geteuid() != 0)
        skip("needs root, to be somebody else");
    chmod(support_directory(), 0700);
    snprintf(path, sizeof path, "%s:/there/is/none::/etc/passwd:/usr/bin:/bin", support_directory());
    support_expect_exit(support_fork(search_as_stranger, path), 0);
}
END_TEST

int main(int argc, char **argv)
{
    static const struct part parts[] = {
        { "descriptors", list_descriptors },
        { "signals", list_signals },
        { "read", read_from },
        { NULL, NULL },
    };

    play_part(parts, argc, argv);
    Suite *suite = suite_create("spawn");
    TCase *child = support_case(suite, "child");

    tcase_add_test(child, child_has_the_standard_descriptors_and_those_named_and_no_others);
    tcase_add_test(child, descriptors_change_places_in_a_cycle);
    tcase_add_test(child, streams_that_are_closed_here_are_dev_null_there);
    tcase_add_test(child, exhausted_descriptors_are_an_error_and_leave_nothing);
    tcase_add_test(child, number_that_no_descriptor_can_have_is_told_of);
    tcase_add_test(child, thread_with_a_small_stack_spawns_and_may_end);
    tcase_add_test(child, child_has_no_signal_blocked_or_ignored);
    tcase_add_test(child, child_ignores_the_signals_that_are_named);
    tcase_add_test(child, child_has_the_environment_and_directory_that_are_given);
    tcase_add_test(child, program_that_cannot_be_executed_is_an_error);
    tcase_add_test(child, options_that_make_no_sense_are_refused);
    tcase_add_test(child, unreadable_directory_on_the_path_is_passed_over);
    return support_run(suite);
}
