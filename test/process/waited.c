/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gnl_process_wait and what goes with it: how processes end, many of them, and their handles.
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
#include <sys/wait.h>

#define MANY 1000

/* ---- the parts of the child ---- */

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

START_TEST(storm_of_interrupts_changes_nothing)
{
    start_storm();
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
    end_storm();
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
    static const struct part parts[] = { { "receive", receive_signal },
                                         { "use", use_memory },
                                         { NULL, NULL } };

    play_part(parts, argc, argv);
    Suite *suite = suite_create("waited");
    TCase *end = support_case(suite, "end");
    TCase *much = support_case(suite, "much");

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
