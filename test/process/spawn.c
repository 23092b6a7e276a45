/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gnl_spawn and gnl_process_wait: what reaches the child and what does not, what fails, how it ended.
 */
#include "spawning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#define MANY 1000

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

static volatile sig_atomic_t value_received;

static void note_value(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    value_received = info->si_value.sival_int;
}

static int receive_signal(char **arguments)
{
    struct sigaction action = { .sa_sigaction = note_value, .sa_flags = SA_SIGINFO };
    sigset_t blocked, open;

    (void)arguments;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &open);
    sigaction(SIGUSR1, &action, NULL);
    require(write(1, "", 1) == 1);
    while (value_received == 0)
        sigsuspend(&open);
    return value_received;
}

/* Touches so many MiB, and uses the processor for a while. */
static int use_memory(char **arguments)
{
    size_t size = (size_t)atoi(arguments[0]) << 20;
    char *memory = malloc(size);

    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)memory)[i] = 1;
    while (clock() < CLOCKS_PER_SEC / 20)
        ;
    free(memory);
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

/* ---- how it ended ---- */

START_TEST(wait_tells_how_it_ended)
{
    for (int tree = 0; tree < 2; tree++) {
        struct gnl_spawn_options options = { .tree = tree };
        struct gnl_exit end = finish(spawn(SHELL("exit 42"), &options));
        ck_assert(end.kind == GNL_EXITED && end.code == 42 && end.signo == 0 && !end.dumped_core);
        end = finish(spawn(SHELL("kill -9 $$"), &options));
        ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGKILL && end.code == 0);
        end = finish(spawn(PART("use", "64"), &options));
        ck_assert_int_eq(end.kind, GNL_EXITED);
        ck_assert(end.user_ns + end.system_ns >= 40000000 && end.user_ns + end.system_ns < 20000000000);
        ck_assert(end.peak_bytes >= (uint64_t)64 << 20);
    }
    expect_no_children();
}
END_TEST

START_TEST(wait_has_a_timeout_and_may_be_called_again)
{
    struct gnl_exit end;
    int input[2];

    ck_assert_int_eq(pipe2(input, O_CLOEXEC), 0);
    for (int tree = 0; tree < 2; tree++) {
        gnl_process *cat =
            spawn((const char *[]){ "cat", NULL },
                  &(struct gnl_spawn_options){ .standard = { { GNL_FD, input[0] } }, .tree = tree });
        ck_assert_int_eq(gnl_process_wait(cat, &end, GNL_NOWAIT), -EAGAIN);
        ck_assert_int_eq(gnl_process_wait(cat, &end, gnl_ms(20)), -ETIMEDOUT);
        ck_assert_int_eq(gnl_process_wait(cat, &end, -2), -EINVAL);
        assert_ok(gnl_process_signal(cat, SIGTERM, 0));
        for (int i = 0; i < 3; i++) {
            assert_ok(gnl_process_wait(cat, &end, i == 2 ? GNL_NOWAIT : PATIENCE));
            ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
        }
        ck_assert_int_eq(gnl_process_signal(cat, SIGTERM, 0), -ESRCH);
        assert_ok(gnl_process_free(cat));
    }
    close(input[0]);
    close(input[1]);
}
END_TEST

START_TEST(process_that_is_not_ours_to_reap_is_gone)
{
    struct gnl_exit end = { 0 };
    gnl_process *opened;
    int from, to;

    /* A grandchild: the shell's child. */
    assert_ok(gnl_pipe(&from, &to));
    gnl_process *shell = spawn(SHELL("sleep 1000 & echo $!; wait"),
                               &(struct gnl_spawn_options){ .standard = { [1] = { GNL_FD, to } } });
    char text[32] = "";
    ck_assert_int_gt(read(from, text, sizeof text - 1), 0);
    assert_ok(gnl_process_open(&opened, atoi(text)));
    ck_assert_int_eq(gnl_process_wait(opened, &end, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_process_terminate(opened, GNL_FOREVER, &end));
    ck_assert_int_eq(end.kind, GNL_GONE);
    assert_ok(gnl_process_free(opened));
    finish(shell);
    /* One that the program reaped itself. */
    shell = spawn(SHELL(":"), NULL);
    ck_assert_int_eq(waitpid(gnl_process_pid(shell), NULL, 0), gnl_process_pid(shell));
    ck_assert_int_eq(finish(shell).kind, GNL_GONE);
    close(from);
    close(to);
    ck_assert_int_eq(gnl_process_open(&opened, 0), -EINVAL);
    ck_assert_int_eq(gnl_process_open(&opened, -1), -EINVAL);
    ck_assert_int_eq(gnl_process_open(&opened, INT_MAX), -ESRCH);
}
END_TEST

START_TEST(opened_process_is_never_one_that_has_its_number_since)
{
    gnl_process *first = spawn(SHELL(":"), NULL), *opened;

    assert_ok(gnl_process_open(&opened, gnl_process_pid(first)));
    pid_t pid = gnl_process_pid(first);
    finish(first);
    ck_assert_int_eq(gnl_process_pid(opened), pid);
    ck_assert_int_eq(gnl_process_signal(opened, SIGKILL, 0), -ESRCH);
    struct gnl_exit end;
    assert_ok(gnl_process_terminate(opened, 0, &end));
    ck_assert_int_eq(end.kind, GNL_GONE);
    assert_ok(gnl_process_free(opened));
}
END_TEST

START_TEST(signal_carries_a_value)
{
    int from, to;

    assert_ok(gnl_pipe(&from, &to));
    gnl_process *process =
        spawn(PART("receive"), &(struct gnl_spawn_options){ .standard = { [1] = { GNL_FD, to } } });
    ck_assert(read_byte(from));
    ck_assert_int_eq(gnl_process_signal(process, 9999, 0), -EINVAL);
    assert_ok(gnl_process_signal(process, 0, 0));
    assert_ok(gnl_process_signal(process, SIGUSR1, 77));
    ck_assert_int_eq(finish(process).code, 77);
    close(from);
    close(to);
}
END_TEST

/* ---- much ---- */

START_TEST(thousand_children_at_once)
{
    static gnl_process *children[MANY];
    struct rlimit limit;
    int from, to;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < MANY + 50)
        skip("no more than %llu descriptors", (unsigned long long)limit.rlim_cur);
    assert_ok(gnl_pipe(&from, &to));
    for (int i = 0; i < MANY; i++)
        children[i] = spawn((const char *[]){ "cat", NULL },
                            &(struct gnl_spawn_options){ .standard = { { GNL_FD, from }, { GNL_NULL, 0 } } });
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(gnl_process_wait(children[i], NULL, GNL_NOWAIT), -EAGAIN);
    close(to); /* and all read the end */
    for (int i = 0; i < MANY; i++) {
        struct gnl_exit end = finish(children[i]);
        ck_assert(end.kind == GNL_EXITED && end.code == 0);
    }
    close(from);
    expect_no_children();
}
END_TEST

static void ignore(int signo)
{
    (void)signo;
}

START_TEST(storm_of_interrupts_changes_nothing)
{
    struct sigaction action = { .sa_handler = ignore };
    struct itimerval storm = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &storm, NULL);
    for (int i = 0; i < 60; i++) {
        struct gnl_spawn_options options = { .tree = i % 2, .die_with_parent = i % 3 == 0 };
        struct gnl_exit end = finish(spawn(SHELL("exit 7"), &options));
        ck_assert(end.kind == GNL_EXITED && end.code == 7);
        gnl_process *sleeper = spawn((const char *[]){ "sleep", "1000", NULL }, &options);
        ck_assert_int_eq(gnl_process_wait(sleeper, &end, gnl_ms(5)), -ETIMEDOUT);
        assert_ok(gnl_process_terminate(sleeper, PATIENCE, &end));
        ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
        assert_ok(gnl_process_free(sleeper));
    }
    setitimer(ITIMER_REAL, &none, NULL);
    expect_no_children();
}
END_TEST

static void *spawn_and_finish(void *context)
{
    intptr_t bad = 0;

    for (int i = 0; i < 30; i++) {
        struct gnl_spawn_options options = { .tree = i % 3 == 0 };
        gnl_process *process;
        struct gnl_exit end;
        errno = 12345;
        if (try_spawn(&process, SHELL("exit 7"), &options) != 0)
            return (void *)1;
        bad |= errno != 12345;
        bad |= gnl_process_wait(process, &end, PATIENCE) != 0 || end.kind != GNL_EXITED || end.code != 7;
        gnl_process_free(process);
    }
    (void)context;
    return (void *)bad;
}

START_TEST(threads_spawn_side_by_side)
{
    pthread_t threads[8];
    void *bad;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, spawn_and_finish, NULL), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &bad);
        ck_assert_ptr_null(bad);
    }
    expect_no_children();
}
END_TEST

/* ---- handles ---- */

static int use_parents(void *context)
{
    gnl_process **handles = context;
    struct gnl_exit end;

    for (int i = 0; i < 2; i++) {
        require(gnl_process_wait(handles[i], &end, GNL_NOWAIT) == -EPERM);
        require(gnl_process_signal(handles[i], SIGKILL, 0) == -EPERM);
        require(gnl_process_terminate(handles[i], 0, &end) == -EPERM);
        require(gnl_process_fd(handles[i]) == -EPERM);
        require(gnl_process_free(handles[i]) == 0);
    }
    return 0;
}

START_TEST(handles_stay_the_parents)
{
    gnl_process *handles[2];
    struct gnl_exit end;

    for (int i = 0; i < 2; i++)
        handles[i] =
            spawn((const char *[]){ "sleep", "1000", NULL }, &(struct gnl_spawn_options){ .tree = i });
    support_expect_exit(support_fork(use_parents, handles), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(gnl_process_wait(handles[i], &end, GNL_NOWAIT), -EAGAIN);
        assert_ok(gnl_process_terminate(handles[i], PATIENCE, &end));
        ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
        assert_ok(gnl_process_free(handles[i]));
    }
}
END_TEST

static bool no_child_left(void *context)
{
    gnl_process *process;
    siginfo_t info;

    (void)context;
    process = spawn(SHELL(":"), NULL); /* sees to those that were freed */
    finish(process);
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == -1 && errno == ECHILD;
}

START_TEST(freed_process_goes_on_and_leaves_no_zombie)
{
    int from, to, alive_from, alive_to;

    assert_ok(gnl_pipe(&from, &to));
    assert_ok(gnl_pipe(&alive_from, &alive_to));
    for (int i = 0; i < 4; i++) {
        gnl_process *cat =
            spawn((const char *[]){ "cat", NULL },
                  &(struct gnl_spawn_options){ .standard = { { GNL_FD, from }, { GNL_FD, alive_to } },
                                               .tree = i & 1,
                                               .die_with_parent = i >> 1 });
        assert_ok(gnl_process_free(cat));
    }
    close(alive_to);
    ck_assert_int_eq(write(to, "1", 1), 1);
    ck_assert(read_byte(alive_from)); /* somebody copied it */
    close(to);
    ck_assert(ends_soon(alive_from));
    ck_assert(support_until(no_child_left, NULL));
    close(from);
    close(alive_from);
}
END_TEST

int main(int argc, char **argv)
{
    static const struct part parts[] = {
        { "descriptors", list_descriptors }, { "signals", list_signals }, { "read", read_from },
        { "receive", receive_signal },       { "use", use_memory },       { NULL, NULL },
    };

    play_part(parts, argc, argv);
    Suite *suite = suite_create("spawn");
    TCase *child = support_case(suite, "child");
    TCase *end = support_case(suite, "end");
    TCase *much = support_case(suite, "much");

    tcase_add_test(child, child_has_the_standard_descriptors_and_those_named_and_no_others);
    tcase_add_test(child, descriptors_change_places_in_a_cycle);
    tcase_add_test(child, streams_that_are_closed_here_are_dev_null_there);
    tcase_add_test(child, exhausted_descriptors_are_an_error_and_leave_nothing);
    tcase_add_test(child, child_has_no_signal_blocked_or_ignored);
    tcase_add_test(child, child_has_the_environment_and_directory_that_are_given);
    tcase_add_test(child, program_that_cannot_be_executed_is_an_error);
    tcase_add_test(child, options_that_make_no_sense_are_refused);
    tcase_add_test(child, unreadable_directory_on_the_path_is_passed_over);
    tcase_add_test(end, wait_tells_how_it_ended);
    tcase_add_test(end, wait_has_a_timeout_and_may_be_called_again);
    tcase_add_test(end, process_that_is_not_ours_to_reap_is_gone);
    tcase_add_test(end, opened_process_is_never_one_that_has_its_number_since);
    tcase_add_test(end, signal_carries_a_value);
    tcase_add_test(much, thousand_children_at_once);
    tcase_add_test(much, storm_of_interrupts_changes_nothing);
    tcase_add_test(much, threads_spawn_side_by_side);
    tcase_add_test(much, handles_stay_the_parents);
    tcase_add_test(much, freed_process_goes_on_and_leaves_no_zombie);
    return support_run(suite);
}
