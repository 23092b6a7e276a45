/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of processes: ended whole, and with the program that started them, whatever they do.
 */
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define PROCESSES 40 /* of the user for whom one forks without end */
#define ROUNDS    150

/* ---- terminate ---- */

START_TEST(whole_tree_ends_wherever_it_went)
{
    struct gnl_fate fates[16];
    struct gnl_exit end;
    int from;

    gnl_process *family =
        start_family(&from, FAMILY "echo x >&9; wait; sleep 1000", (struct gnl_spawn_options){ .tree = 1 });
    assert_ok(gnl_process_terminate(family, PATIENCE, &end));
    ck_assert(ends_soon(from));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
    ssize_t count = gnl_process_fates(family, fates, 16);
    ck_assert_int_ge(count, 5);
    ck_assert_int_le(count, 16);
    ck_assert_int_eq(fates[0].pid, gnl_process_pid(family));
    ck_assert_str_eq(fates[0].name, "sh");
    for (ssize_t i = 0; i < count; i++)
        ck_assert_int_eq(fates[i].kind, GNL_FATE_EXITED);
    ck_assert_int_eq(gnl_process_fates(family, NULL, 0), count);
    close(from);
    assert_ok(gnl_process_free(family));
    expect_no_children();
}
END_TEST

START_TEST(who_does_not_heed_is_killed_after_the_grace)
{
    struct gnl_fate fates[16];
    struct gnl_exit end;
    int from;

    gnl_process *family =
        start_family(&from, "sleep 1000 & trap '' TERM; " FAMILY "echo x >&9; while :; do sleep 1000; done",
                     (struct gnl_spawn_options){ .tree = 1 });
    assert_ok(gnl_process_terminate(family, gnl_ms(50), &end));
    ck_assert(ends_soon(from));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGKILL);
    ssize_t count = gnl_process_fates(family, fates, 16), exited = 0;
    for (ssize_t i = 0; i < count; i++) {
        ck_assert_int_ne(fates[i].kind, GNL_FATE_ESCAPED);
        exited += fates[i].kind == GNL_FATE_EXITED;
    }
    ck_assert_int_ge(exited, 1); /* the sleep from before the trap; a shell that was about to end */
    ck_assert_int_ge(count - exited, 5);
    close(from);
    assert_ok(gnl_process_free(family));
}
END_TEST

START_TEST(stopped_tree_ends_too)
{
    struct gnl_exit end;
    int from;

    gnl_process *family =
        start_family(&from, "sleep 1000 & kill -STOP $!; echo x >&9; kill -STOP $$; sleep 1000",
                     (struct gnl_spawn_options){ .tree = 1 });
    assert_ok(gnl_process_terminate(family, PATIENCE, &end));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
    ck_assert(ends_soon(from));
    close(from);
    assert_ok(gnl_process_free(family));
}
END_TEST

START_TEST(tree_goes_on_without_its_first_process_and_is_still_found)
{
    struct gnl_fate fates[16];
    struct gnl_exit end;
    int from;

    gnl_process *family =
        start_family(&from, FAMILY "echo x >&9; exit 3", (struct gnl_spawn_options){ .tree = 1 });
    assert_ok(gnl_process_wait(family, &end, PATIENCE));
    ck_assert(end.kind == GNL_EXITED && end.code == 3);
    assert_ok(gnl_process_terminate(family, 0, &end));
    ck_assert(end.kind == GNL_EXITED && end.code == 3);
    ck_assert(ends_soon(from));
    ck_assert_int_ge(gnl_process_fates(family, fates, 16), 5);
    ck_assert(fates[0].pid == gnl_process_pid(family) && fates[0].kind == GNL_FATE_EXITED);
    ck_assert(fates[1].kind == GNL_FATE_KILLED);
    close(from);
    assert_ok(gnl_process_free(family));
}
END_TEST

START_TEST(tree_of_an_opened_process_ends)
{
    struct gnl_exit end;
    gnl_process *opened;
    int from;

    gnl_process *family =
        start_family(&from, "sleep 1000 & setsid sh -c '(sleep 1000 &); echo x >&9; sleep 1000' & wait",
                     (struct gnl_spawn_options){ 0 });
    assert_ok(gnl_process_open(&opened, gnl_process_pid(family)));
    assert_ok(gnl_process_set_tree(opened));
    assert_ok(gnl_process_terminate(opened, PATIENCE, &end));
    ck_assert(ends_soon(from));
    assert_ok(gnl_process_terminate(opened, PATIENCE, &end)); /* once more: there is nobody */
    close(from);
    assert_ok(gnl_process_free(opened));
    finish(family);
}
END_TEST

START_TEST(one_process_ends_and_its_children_go_on)
{
    struct gnl_fate fates[2];
    struct gnl_exit end;
    int from;

    gnl_process *family =
        start_family(&from, "trap '' TERM; sh -c 'echo x >&9; exec sleep 2' & wait; sleep 1000",
                     (struct gnl_spawn_options){ 0 });
    assert_ok(gnl_process_terminate(family, gnl_ms(10), &end));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGKILL);
    ck_assert_int_eq(gnl_process_fates(family, fates, 2), 1);
    ck_assert(fates[0].kind == GNL_FATE_KILLED && strcmp(fates[0].name, "sh") == 0);
    assert_ok(gnl_process_free(family));
    ck_assert(ends_soon(from));
    close(from);
}
END_TEST

/* A user whose processes are this test's alone: what another run has going would count against its limit. */
static bool become_nobody(void)
{
    uid_t uid = 0x100000 + (uid_t)getpid();

    return setgid(uid) == 0 && setuid(uid) == 0;
}

/* ---- who may not be signalled ---- */

static int terminate_roots(void *context)
{
    struct gnl_fate fate;
    gnl_process *opened;

    require(setgroups(0, NULL) == 0 && become_nobody());
    require(gnl_process_open(&opened, *(pid_t *)context) == 0);
    require(gnl_process_signal(opened, SIGTERM, 0) == -EPERM);
    require(gnl_process_terminate(opened, gnl_ms(1), NULL) == -EPERM);
    require(gnl_process_fates(opened, &fate, 1) == 1 && fate.kind == GNL_FATE_ESCAPED);
    require(gnl_process_free(opened) == 0);
    return 0;
}

START_TEST(process_of_another_user_escapes)
{
    if (geteuid() != 0)
        skip("needs root, to be somebody else");
    gnl_process *sleeper = spawn((const char *[]){ "sleep", "1000", NULL }, NULL);
    pid_t pid = gnl_process_pid(sleeper);
    support_expect_exit(support_fork(terminate_roots, &pid), 0);
    assert_ok(gnl_process_terminate(sleeper, 0, NULL));
    assert_ok(gnl_process_free(sleeper));
}
END_TEST

/* ---- one that forks without end ---- */

static int end_bomb(void *context)
{
    struct rlimit limit = { PROCESSES, PROCESSES };
    struct gnl_exit end;
    const char *how = context;

    require(setgroups(0, NULL) == 0 && become_nobody());
    require(setrlimit(RLIMIT_NPROC, &limit) == 0);
    if (!is_limited(4 * PROCESSES))
        return 77;
    gnl_process *bomb = spawn(PART("bomb", how), &(struct gnl_spawn_options){ .tree = 1 });
    require(support_until(cannot_fork, NULL));
    require(gnl_process_terminate(bomb, gnl_ms(20), &end) == 0);
    require(end.kind == GNL_SIGNALLED && end.signo == SIGKILL);
    require(gnl_process_fates(bomb, NULL, 0) >= PROCESSES / 2);
    require(gnl_process_free(bomb) == 0);
    require(is_limited(4 * PROCESSES));
    require(!cannot_fork(NULL));
    return 0;
}

static void try_bomb(const char *how)
{
    int status;

    if (geteuid() != 0)
        skip("needs root, for a user whose processes are limited");
    pid_t child = support_fork(end_bomb, (void *)(uintptr_t)how);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip("no limit of processes here");
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(tree_that_forks_without_end_ends)
{
    try_bomb("group");
}
END_TEST

START_TEST(tree_that_forks_sessions_without_end_ends)
{
    try_bomb("sessions");
}
END_TEST

/* The program is killed, and the keeper has the bomb to end. */
static int light_bomb(void *context)
{
    struct rlimit limit = { PROCESSES, PROCESSES };
    int end = *(int *)context;

    require(setgroups(0, NULL) == 0 && become_nobody());
    require(setrlimit(RLIMIT_NPROC, &limit) == 0);
    if (!is_limited(4 * PROCESSES))
        return 77;
    struct gnl_spawn_options options = holding(end, (struct gnl_spawn_options){ .die_with_parent = 1 });
    spawn(PART("bomb", "sessions"), &options);
    require(support_until(cannot_fork, NULL));
    return 0;
}

START_TEST(bomb_ends_with_its_parent)
{
    int from, to, status;

    if (geteuid() != 0)
        skip("needs root, for a user whose processes are limited");
    assert_ok(gnl_pipe(&from, &to));
    pid_t child = support_fork(light_bomb, &to);
    close(to);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
    ck_assert(ends_soon(from));
    close(from);
}
END_TEST

/* ---- dying with the parent, and not ---- */

struct program {
    int held;
    bool dies, tree;
};

/* Spawns without end; each child tells its number, and stays. */
static int spawn_without_end(void *context)
{
    const struct program *program = context;
    struct gnl_spawn_options options = holding(
        program->held, (struct gnl_spawn_options){ .die_with_parent = program->dies, .tree = program->tree });
    struct gnl_exit end;

    for (int i = 0; i < 20; i++) {
        gnl_process *process;
        require(try_spawn(&process,
                          program->dies ? SHELL("echo $$ >&9; (setsid sleep 1000 &); exec sleep 1000")
                                        : SHELL("echo $$ >&9; exec sleep 1000"),
                          &options) == 0);
        if (i % 3 == 0)
            gnl_process_free(process);
        else if (i % 3 == 1)
            gnl_process_wait(process, &end, gnl_us(300));
    }
    pause();
    return 0;
}

/* The program is killed at a random instant. Returns how many children told their number; none is left. */
static unsigned kill_at_random(unsigned seed, bool dies, bool tree)
{
    struct program program = { .dies = dies, .tree = tree };
    unsigned told = 0;
    char line[32];
    int from;

    assert_ok(gnl_pipe(&from, &program.held));
    pid_t pid = support_fork(spawn_without_end, &program);
    close(program.held);
    if (seed % 3 == 0) /* from when the first is there */
        ck_assert(poll(&(struct pollfd){ from, POLLIN, 0 }, 1, PATIENCE_MS) == 1);
    nanosleep(&(struct timespec){ .tv_nsec = (long)(seed * 7919 % 97) * 150000 }, NULL);
    support_kill(pid);
    FILE *lines = fdopen(from, "r");
    while (fgets(line, sizeof line, lines)) {
        pid_t child = atoi(line);
        told++;
        if (dies)
            continue;
        gnl_process *process;
        ck_assert_msg(runs(child), "child %d is lost", (int)child);
        assert_ok(gnl_process_open(&process, child));
        assert_ok(gnl_process_terminate(process, 0, NULL));
        gnl_process_free(process);
    }
    fclose(lines); /* at the end: nobody is left */
    return told;
}

START_TEST(no_orphan_survives_when_asked_to_die_with_its_parent)
{
    unsigned told = 0;

    for (unsigned i = 0; i < ROUNDS; i++)
        told += kill_at_random(i, true, i % 2);
    ck_assert_int_gt(told, 0);
}
END_TEST

START_TEST(no_child_is_lost_when_not_asked_to_die)
{
    unsigned told = 0;

    for (unsigned i = 0; i < ROUNDS / 3; i++)
        told += kill_at_random(i, false, i % 2);
    ck_assert_int_gt(told, 0);
}
END_TEST

static void *spawn_in_thread(void *context)
{
    return spawn((const char *[]){ "sleep", "1000", NULL }, context);
}

START_TEST(process_outlives_the_thread_that_started_it)
{
    struct gnl_spawn_options options = { .die_with_parent = 1 };
    struct gnl_exit end;
    pthread_t thread;
    void *sleeper;

    ck_assert_int_eq(pthread_create(&thread, NULL, spawn_in_thread, &options), 0);
    pthread_join(thread, &sleeper);
    ck_assert_int_eq(gnl_process_wait(sleeper, &end, gnl_ms(100)), -ETIMEDOUT);
    assert_ok(gnl_process_terminate(sleeper, PATIENCE, &end));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
    assert_ok(gnl_process_free(sleeper));
}
END_TEST

static int execute_another(void *context)
{
    struct gnl_spawn_options options =
        holding(*(int *)context, (struct gnl_spawn_options){ .die_with_parent = 1 });

    spawn(SHELL("echo x >&9; exec sleep 1000"), &options);
    execlp("sleep", "sleep", "1000", NULL);
    return 1;
}

START_TEST(process_dies_with_what_its_parent_executed)
{
    int from, to;

    assert_ok(gnl_pipe(&from, &to));
    fcntl(to, F_SETFD, FD_CLOEXEC);
    pid_t pid = support_fork(execute_another, &to);
    close(to);
    ck_assert(read_byte(from));
    support_kill(pid);
    ck_assert(ends_soon(from));
    close(from);
}
END_TEST

START_TEST(killed_keeper_takes_the_child_with_it_where_that_was_asked)
{
    struct gnl_exit end;

    gnl_process *sleeper = spawn((const char *[]){ "sleep", "1000", NULL },
                                 &(struct gnl_spawn_options){ .die_with_parent = 1, .tree = 1 });
    ck_assert_int_eq(kill(find_keeper(), SIGKILL), 0);
    assert_ok(gnl_process_wait(sleeper, &end, PATIENCE));
    ck_assert_int_eq(end.kind, GNL_GONE);
    assert_ok(gnl_process_terminate(sleeper, 0, &end));
    assert_ok(gnl_process_free(sleeper));
    /* Without it, the child goes on, and can still be ended. */
    sleeper = spawn((const char *[]){ "sleep", "1000", NULL }, &(struct gnl_spawn_options){ .tree = 1 });
    ck_assert_int_eq(kill(find_keeper(), SIGKILL), 0);
    ck_assert_int_eq(gnl_process_wait(sleeper, &end, gnl_ms(20)), -ETIMEDOUT);
    assert_ok(gnl_process_terminate(sleeper, PATIENCE, &end));
    ck_assert_int_eq(end.kind, GNL_GONE);
    assert_ok(gnl_process_free(sleeper));
}
END_TEST

START_TEST(stopped_keeper_does_not_keep_the_tree_from_being_ended)
{
    struct gnl_exit end;
    int from;

    gnl_process *family = start_family(&from, FAMILY "echo x >&9; wait; sleep 1000",
                                       (struct gnl_spawn_options){ .tree = 1, .die_with_parent = 1 });
    pid_t keeper = find_keeper();
    ck_assert_int_eq(kill(keeper, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(keeper, NULL, WUNTRACED | __WALL), keeper);
    assert_ok(gnl_process_terminate(family, PATIENCE, &end));
    ck_assert(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
    ck_assert(ends_soon(from));
    close(from);
    assert_ok(gnl_process_free(family));
}
END_TEST

/* One descriptor to look with is one too few; two are enough. */
START_TEST(without_descriptors_a_tree_is_left_as_it_is)
{
    struct rlimit before, few;
    int last = -1, opened[64], count = 0, from;
    gnl_process *opener;

    gnl_process *family = start_family(&from, "sleep 1000 & setsid sleep 1000 & echo x >&9; wait",
                                       (struct gnl_spawn_options){ .tree = _i });
    assert_ok(gnl_process_open(&opener, gnl_process_pid(family)));
    assert_ok(gnl_process_set_tree(opener));
    getrlimit(RLIMIT_NOFILE, &before);
    few = (struct rlimit){ 40, before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &few);
    while (count < 64 && (last = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        opened[count++] = last;
    for (int free_ones = 0; free_ones < 2; free_ones++) {
        ck_assert_int_eq(gnl_process_terminate(_i ? family : opener, gnl_ms(1), NULL), -EMFILE);
        ck_assert(strstr(gnl_error_detail(), "Too many open files"));
        ck_assert_int_eq(gnl_process_wait(family, NULL, GNL_NOWAIT), -EAGAIN);
        close(opened[--count]);
    }
    assert_ok(gnl_process_terminate(_i ? family : opener, PATIENCE, NULL));
    while (count > 0)
        close(opened[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert(ends_soon(from));
    close(from);
    assert_ok(gnl_process_free(opener));
    finish(family);
}
END_TEST

START_TEST(keeper_keeps_nothing_of_the_programs_open)
{
    int from, to;

    assert_ok(gnl_pipe(&from, &to));
    gnl_process *sleeper = spawn((const char *[]){ "sleep", "1000", NULL },
                                 &(struct gnl_spawn_options){ .die_with_parent = 1, .tree = 1 });
    close(to);
    ck_assert(ends_soon(from)); /* the sleeper has no end, and its keeper neither */
    close(from);
    assert_ok(gnl_process_terminate(sleeper, 0, NULL));
    assert_ok(gnl_process_free(sleeper));
}
END_TEST

int main(int argc, char **argv)
{
    static const struct part parts[] = { { "bomb", play_bomb }, { NULL, NULL } };

    play_part(parts, argc, argv);
    Suite *suite = suite_create("trees");
    TCase *terminate = support_case(suite, "terminate");
    TCase *parent = support_case(suite, "parent");

    tcase_add_test(terminate, whole_tree_ends_wherever_it_went);
    tcase_add_test(terminate, who_does_not_heed_is_killed_after_the_grace);
    tcase_add_test(terminate, stopped_tree_ends_too);
    tcase_add_test(terminate, tree_goes_on_without_its_first_process_and_is_still_found);
    tcase_add_test(terminate, tree_of_an_opened_process_ends);
    tcase_add_test(terminate, one_process_ends_and_its_children_go_on);
    tcase_add_test(terminate, process_of_another_user_escapes);
    tcase_add_test(terminate, tree_that_forks_without_end_ends);
    tcase_add_test(terminate, tree_that_forks_sessions_without_end_ends);
    tcase_add_test(parent, bomb_ends_with_its_parent);
    tcase_add_test(parent, no_orphan_survives_when_asked_to_die_with_its_parent);
    tcase_add_test(parent, no_child_is_lost_when_not_asked_to_die);
    tcase_add_test(parent, process_outlives_the_thread_that_started_it);
    tcase_add_test(parent, process_dies_with_what_its_parent_executed);
    tcase_add_test(parent, killed_keeper_takes_the_child_with_it_where_that_was_asked);
    tcase_add_test(parent, stopped_keeper_does_not_keep_the_tree_from_being_ended);
    tcase_add_loop_test(terminate, without_descriptors_a_tree_is_left_as_it_is, 0, 2);
    tcase_add_test(parent, keeper_keeps_nothing_of_the_programs_open);
    return support_run(suite);
}
