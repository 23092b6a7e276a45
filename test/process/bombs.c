/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grandchildren that fork without end, inside a cgroup whose controller limits how many processes there
 * are. As root, where such a cgroup can be made (version 1 or 2); skipped elsewhere. test/process/trees.c has
 * the same with the limit of a user's processes.
 */
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PROCESSES  60
#define SKIPPED    77
#define CONTROLLER "pids"

static char top[PATH_MAX];     /* where cgroups with the controller are made */
static char unified[PATH_MAX]; /* where version 2 is mounted; "" nowhere */

/* ---- the cgroup ---- */

static bool put(const char *directory, const char *file, const char *text)
{
    char path[2 * PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    bool good = descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text);
    if (descriptor >= 0)
        close(descriptor);
    return good;
}

/* The controller's own hierarchy, of version 1, or where version 2 is mounted. */
static void find_hierarchies(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *mount;

    while (mounts && (mount = getmntent(mounts))) {
        if (strcmp(mount->mnt_type, "cgroup2") == 0)
            snprintf(unified, sizeof unified, "%s", mount->mnt_dir);
        if (strcmp(mount->mnt_type, "cgroup") == 0 && hasmntopt(mount, CONTROLLER))
            snprintf(top, sizeof top, "%s", mount->mnt_dir);
    }
    if (mounts)
        endmntent(mounts);
    if (top[0] == '\0')
        memcpy(top, unified, sizeof top);
}

/* The name of a test's own, in a static text. */
static const char *limited(void)
{
    static char path[2 * PATH_MAX];

    snprintf(path, sizeof path, "%s/ginnel-test-%d", top, (int)getpid());
    return path;
}

static bool make_limited(const char *cgroup)
{
    char most[16];

    snprintf(most, sizeof most, "%d", PROCESSES);
    if (top[0] == '\0' || mkdir(cgroup, 0755) != 0)
        return false;
    if (put(cgroup, CONTROLLER ".max", most))
        return true;
    rmdir(cgroup);
    return false;
}

static bool is_possible(void)
{
    find_hierarchies();
    if (geteuid() != 0 || !make_limited(limited()))
        return false;
    return rmdir(limited()) == 0;
}

static bool removes(void *path)
{
    return rmdir(path) == 0;
}

/* ---- scenes ---- */

struct scene {
    const char *cgroup, *how; /* of play_bomb */
    bool no_cgroup_of_its_own;
    int held;
};

/* From here on this process and all that it starts are limited, which is confirmed. */
static void enter(const struct scene *scene)
{
    require(put(scene->cgroup, "cgroup.procs", "0"));
    if (scene->no_cgroup_of_its_own && unified[0] != '\0') {
        require(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        require(mount("tmpfs", unified, "tmpfs", 0, NULL) == 0);
    }
    require(is_limited(4 * PROCESSES));
}

/* It is a grandchild that forks; the child stays what it is. */
static int start_bomb(char **arguments)
{
    if (fork() == 0)
        return play_bomb(arguments);
    for (;;)
        pause();
}

static void require_all_gone(gnl_process *bomb)
{
    struct gnl_exit end;

    require(support_until(cannot_fork, NULL));
    require(gnl_process_terminate(bomb, gnl_ms(20), &end) == 0);
    require(end.kind == GNL_SIGNALLED || end.kind == GNL_GONE);
    require(gnl_process_fates(bomb, NULL, 0) >= PROCESSES / 2);
    require(gnl_process_free(bomb) == 0);
    require(!cannot_fork(NULL) && is_limited(4 * PROCESSES));
}

static int end_started(void *context)
{
    const struct scene *scene = context;

    enter(scene);
    struct gnl_spawn_options options = holding(scene->held, (struct gnl_spawn_options){ .tree = 1 });
    require_all_gone(spawn(PART("start", scene->how), &options));
    return 0;
}

static int end_opened(void *context)
{
    const struct scene *scene = context;
    gnl_process *opened;

    enter(scene);
    struct gnl_spawn_options options = holding(scene->held, (struct gnl_spawn_options){ 0 });
    gnl_process *started = spawn(PART("start", scene->how), &options);
    require(gnl_process_open(&opened, gnl_process_pid(started)) == 0);
    require(gnl_process_set_tree(opened) == 0);
    require_all_gone(opened);
    require(gnl_process_free(started) == 0);
    return 0;
}

static int die(void *context)
{
    const struct scene *scene = context;

    enter(scene);
    struct gnl_spawn_options options =
        holding(scene->held, (struct gnl_spawn_options){ .tree = 1, .die_with_parent = 1 });
    spawn(PART("start", scene->how), &options);
    require(support_until(cannot_fork, NULL));
    raise(SIGKILL);
    return 1;
}

/* Plays it in a cgroup that is limited, and in which nobody is left then. */
static void play(int (*run)(void *context), const char *how, bool no_cgroup, bool killed)
{
    struct scene scene = { .cgroup = limited(), .how = how, .no_cgroup_of_its_own = no_cgroup };
    int from;

    ck_assert(make_limited(scene.cgroup));
    assert_ok(gnl_pipe(&from, &scene.held));
    pid_t child = support_fork(run, &scene);
    close(scene.held);
    if (killed)
        support_expect_signal(child, SIGKILL);
    else
        support_expect_exit(child, 0);
    ck_assert(ends_soon(from));
    close(from);
    ck_assert(support_until(removes, (void *)(uintptr_t)scene.cgroup));
}

START_TEST(tree_is_ended)
{
    play(end_started, "group", false, false);
    play(end_started, "sessions", false, false);
}
END_TEST

START_TEST(tree_without_a_cgroup_of_its_own_is_ended)
{
    play(end_started, "group", true, false);
    play(end_started, "sessions", true, false);
}
END_TEST

START_TEST(tree_of_an_opened_process_is_ended)
{
    play(end_opened, "group", true, false);
}
END_TEST

START_TEST(tree_dies_with_its_parent)
{
    play(die, "sessions", false, true);
    play(die, "sessions", true, true);
}
END_TEST

int main(int argc, char **argv)
{
    static const struct part parts[] = { { "start", start_bomb }, { NULL, NULL } };

    play_part(parts, argc, argv);
    if (!is_possible()) {
        printf("skipped: needs root, and a cgroup with the controller of the number of processes\n");
        return SKIPPED;
    }
    Suite *suite = suite_create("bombs");
    TCase *bombs = support_case(suite, "bombs");

    tcase_add_test(bombs, tree_is_ended);
    tcase_add_test(bombs, tree_without_a_cgroup_of_its_own_is_ended);
    tcase_add_test(bombs, tree_of_an_opened_process_is_ended);
    tcase_add_test(bombs, tree_dies_with_its_parent);
    return support_run(suite);
}
