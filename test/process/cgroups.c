/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees in cgroups of their own: what that ends which nothing else would, and that nothing of it stays. Each
 * test is a child, in a mount namespace of its own with a cgroup v2.
 */
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <mntent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 64998
#define SPARE  "/mnt" /* where one is mounted, if there is none */

static char top[PATH_MAX]; /* where this world's cgroups are mounted */

static const struct gnl_spawn_options tree = { .tree = 1 };
static const struct gnl_spawn_options dying_tree = { .tree = 1, .die_with_parent = 1 };

/* ---- cgroups, as the kernel shows them ---- */

/* The path of the process's cgroup below `top`, in a static text of two that take turns. */
static const char *cgroup_of(pid_t pid)
{
    static char lines[2][PATH_MAX], *line = lines[0];
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    FILE *file = fopen(path, "re");
    line = line == lines[0] ? lines[1] : lines[0];
    require(file);
    while (fgets(line, PATH_MAX, file) && strncmp(line, "0::", 3) != 0)
        ;
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line + 3;
}

/* "" for `file`: the directory. In a static text. */
static const char *path_in(const char *cgroup, const char *file)
{
    static char path[3 * PATH_MAX];

    snprintf(path, sizeof path, "%s%s%s", top, cgroup, file);
    return path;
}

static bool is_gone(void *path)
{
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static bool removes(void *path)
{
    return rmdir(path) == 0;
}

static bool can_read(void *descriptor)
{
    struct pollfd entry = { .fd = *(int *)descriptor, .events = POLLIN };

    return poll(&entry, 1, 0) == 1;
}

/* The process has a cgroup of a tree's own: its directory, which the caller frees. */
static char *require_own(const gnl_process *process)
{
    const char *cgroup = cgroup_of(gnl_process_pid(process));

    require(strstr(cgroup, "/ginnel-"));
    require(strcmp(cgroup, cgroup_of(getpid())) != 0);
    char *directory = strdup(path_in(cgroup, ""));
    require(directory && access(directory, F_OK) == 0);
    return directory;
}

static void require_gone(char *directory)
{
    require(support_until(is_gone, directory));
    free(directory);
}

/* ---- worlds ---- */

static bool find_top(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *mount;
    bool found = false;

    while (mounts && !found && (mount = getmntent(mounts)))
        if (strcmp(mount->mnt_type, "cgroup2") == 0) {
            snprintf(top, sizeof top, "%s", mount->mnt_dir);
            found = true;
        }
    if (mounts)
        endmntent(mounts);
    return found;
}

static bool enter_world(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    if (!find_top() && (mount("cgroup2", SPARE, "cgroup2", 0, NULL) != 0 || !find_top()))
        return false;
    return access(path_in(cgroup_of(getpid()), "/cgroup.procs"), W_OK) == 0;
}

static void in_world(int (*run)(void *context))
{
    if (!scene_ran(run))
        skip("needs root, and a cgroup v2 that may be written to");
}

/* Makes a cgroup, gives it to NOBODY, and goes into it. */
static void delegate(const char *cgroup)
{
    static const char *const files[] = { "", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads" };

    require(mkdir(path_in(cgroup, ""), 0755) == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        require(chown(path_in(cgroup, files[i]), NOBODY, NOBODY) == 0);
    FILE *file = fopen(path_in(cgroup, "/cgroup.procs"), "we");
    require(file && fprintf(file, "%d", (int)getpid()) > 0 && fclose(file) == 0);
}

static int has_its_own(void *context)
{
    struct gnl_exit end;
    int from;

    (void)context;
    if (!enter_world())
        return NOT_HERE;
    gnl_process *family = start_family(&from, FAMILY "echo x >&9; wait; sleep 1000", tree);
    char *directory = require_own(family);
    require(gnl_process_terminate(family, PATIENCE, &end) == 0);
    require(end.kind == GNL_SIGNALLED && end.signo == SIGTERM);
    require(ends_soon(from));
    require(gnl_process_free(family) == 0);
    require_gone(directory);
    /* It ends by itself. */
    gnl_process *child = spawn(SHELL("sleep 0.1"), &tree);
    directory = require_own(child);
    finish(child);
    require_gone(directory);
    expect_no_children();
    return 0;
}

START_TEST(tree_has_a_cgroup_of_its_own_that_goes_with_it)
{
    in_world(has_its_own);
}
END_TEST

/* One of them has become root, whom NOBODY may not signal. */
static const char abroad[] =
    "./setpriv --reuid=0 --regid=0 --clear-groups sh -c 'echo x >&9; exec sleep 1000' & wait";

/* A program by which everybody becomes root, in this world alone; this process is where it is. */
static bool make_setuid(void)
{
    return mount("tmpfs", support_directory(), "tmpfs", MS_NODEV, NULL) == 0 &&
           chdir(support_directory()) == 0 &&
           system("cp \"$(command -v setpriv)\" . && chmod 4755 setpriv") == 0;
}

struct nobody {
    char cgroup[PATH_MAX]; /* of NOBODY's, "" none */
    int from, to;          /* the program's end of the pipe, when it is killed */
};

static void become(const struct nobody *nobody)
{
    if (nobody->cgroup[0] != '\0')
        delegate(nobody->cgroup);
    require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static int end_root(void *context)
{
    const struct nobody *nobody = context;
    bool all = nobody->cgroup[0] != '\0';
    char *directory = NULL;
    struct gnl_fate fates[8];
    struct gnl_exit end;
    int from;

    become(nobody);
    gnl_process *family = start_family(&from, abroad, tree);
    if (all)
        directory = require_own(family);
    int result = gnl_process_terminate(family, gnl_ms(20), &end);
    require(result == (all ? 0 : -ETIMEDOUT));
    ssize_t count = gnl_process_fates(family, fates, 8);
    require(count == 2 && fates[0].kind == GNL_FATE_EXITED);
    require(fates[1].kind == (all ? GNL_FATE_KILLED : GNL_FATE_ESCAPED));
    require(!all || ends_soon(from));
    require(gnl_process_free(family) == 0);
    if (all)
        require_gone(directory);
    return 0;
}

static bool enter_world_of_nobody(struct nobody *nobody, bool cgroup)
{
    nobody->cgroup[0] = '\0';
    if (!enter_world() || !make_setuid())
        return false;
    if (cgroup)
        snprintf(nobody->cgroup, sizeof nobody->cgroup, "%s/delegated-%d",
                 strcmp(cgroup_of(getpid()), "/") == 0 ? "" : cgroup_of(getpid()), (int)getpid());
    return true;
}

static int ends_setuid(void *context)
{
    static struct nobody nobody;
    int status;

    (void)context;
    if (!enter_world_of_nobody(&nobody, true))
        return NOT_HERE;
    require(waitpid(support_fork(end_root, &nobody), &status, 0) > 0);
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    require(rmdir(path_in(nobody.cgroup, "")) == 0);
    return 0;
}

START_TEST(process_that_became_root_is_ended)
{
    in_world(ends_setuid);
}
END_TEST

static int lets_setuid_escape(void *context)
{
    static struct nobody nobody;
    int status;

    (void)context;
    if (!enter_world_of_nobody(&nobody, false))
        return NOT_HERE;
    require(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    require(waitpid(support_fork(end_root, &nobody), &status, 0) > 0);
    require(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    support_kill(find_keeper()); /* no keeper: the only child that this process has, who escaped */
    return 0;
}

START_TEST(without_a_cgroup_it_escapes_and_is_told_of)
{
    in_world(lets_setuid_escape);
}
END_TEST

static int start_root_and_stay(void *context)
{
    struct nobody *nobody = context;

    become(nobody);
    struct gnl_spawn_options options = holding(nobody->to, dying_tree);
    free(require_own(spawn(SHELL(abroad), &options)));
    pause();
    return 0;
}

static int ends_setuid_with_its_parent(void *context)
{
    static struct nobody nobody;

    (void)context;
    if (!enter_world_of_nobody(&nobody, true))
        return NOT_HERE;
    require(gnl_pipe(&nobody.from, &nobody.to) == 0);
    pid_t program = support_fork(start_root_and_stay, &nobody);
    close(nobody.to);
    require(read_byte(nobody.from));
    support_kill(program);
    require(ends_soon(nobody.from));
    require(support_until(removes, (void *)(uintptr_t)path_in(nobody.cgroup, ""))); /* the tree's is gone */
    return 0;
}

START_TEST(process_that_became_root_is_ended_with_its_parent)
{
    in_world(ends_setuid_with_its_parent);
}
END_TEST

static int outlives_keeper(void *context)
{
    struct gnl_fate fates[16];
    struct gnl_exit end;
    int from;

    (void)context;
    if (!enter_world())
        return NOT_HERE;
    /* The first one ends, its keeper is killed: nothing but the cgroup leads to the others. */
    gnl_process *family = start_family(&from, FAMILY "echo x >&9; sleep 1000", tree);
    char *directory = require_own(family);
    require(kill(gnl_process_pid(family), SIGKILL) == 0);
    require(gnl_process_wait(family, &end, PATIENCE) == 0);
    require(kill(find_keeper(), SIGKILL) == 0);
    require(gnl_process_terminate(family, PATIENCE, &end) == 0);
    require(ends_soon(from));
    ssize_t count = gnl_process_fates(family, fates, 16);
    require(count >= 5 && count <= 16);
    for (ssize_t i = 1; i < count; i++)
        require(fates[i].kind == GNL_FATE_EXITED);
    require(gnl_process_free(family) == 0);
    require_gone(directory);
    return 0;
}

START_TEST(who_left_everything_is_found_without_a_keeper)
{
    in_world(outlives_keeper);
}
END_TEST

static bool is_back(void *context)
{
    const pid_t *pid = context;

    return strcmp(cgroup_of(*pid), cgroup_of(getpid())) == 0;
}

/* Who goes on goes back to the cgroup above, and the tree's is removed. */
static void require_back(pid_t pid, char *directory, int from)
{
    require(support_until(is_back, &pid));
    require_gone(directory);
    require(runs(pid) && kill(pid, SIGKILL) == 0);
    require(ends_soon(from));
    close(from);
}

static int goes_back(void *context)
{
    int from;

    (void)context;
    if (!enter_world())
        return NOT_HERE;
    gnl_process *family = start_family(&from, "echo x >&9; exec sleep 1000", tree);
    char *directory = require_own(family);
    pid_t pid = gnl_process_pid(family);
    require(gnl_process_free(family) == 0);
    require_back(pid, directory, from);
    /* The same with a killed keeper. */
    family = start_family(&from, "echo x >&9; exec sleep 1000", tree);
    directory = require_own(family);
    pid = gnl_process_pid(family);
    kill(find_keeper(), SIGKILL);
    require(gnl_process_free(family) == 0);
    require_back(pid, directory, from);
    return 0;
}

START_TEST(who_goes_on_without_a_handle_goes_back)
{
    in_world(goes_back);
}
END_TEST

static int spawn_and_stay(void *context)
{
    struct nobody *program = context;
    struct gnl_spawn_options options = holding(program->to, tree);

    free(require_own(spawn(SHELL("echo $$ >&9; exec sleep 1000"), &options)));
    pause();
    return 0;
}

static int goes_back_when_killed(void *context)
{
    static struct nobody program;
    char line[16] = "", *directory;

    (void)context;
    if (!enter_world())
        return NOT_HERE;
    require(gnl_pipe(&program.from, &program.to) == 0);
    pid_t pid = support_fork(spawn_and_stay, &program);
    close(program.to);
    require(support_until(can_read, &program.from) && read(program.from, line, sizeof line - 1) > 1);
    require((directory = strdup(path_in(cgroup_of(atoi(line)), ""))));
    support_kill(pid);
    require_back(atoi(line), directory, program.from);
    return 0;
}

START_TEST(who_goes_on_without_its_parent_goes_back)
{
    in_world(goes_back_when_killed);
}
END_TEST

/* A tree in a tree, both of whose keepers end with the outer one. */
static int start_inner(char **arguments)
{
    (void)arguments;
    struct gnl_spawn_options options = holding(HELD, tree);

    spawn(SHELL("setsid sh -c 'echo x >&9; sleep 1000' & wait"), &options);
    pause();
    return 0;
}

static int ends_inner(void *context)
{
    int from, to;

    (void)context;
    if (!enter_world())
        return NOT_HERE;
    require(gnl_pipe(&from, &to) == 0);
    struct gnl_spawn_options options = holding(to, tree);
    gnl_process *outer = spawn(PART("inner"), &options);
    close(to);
    char *directory = require_own(outer);
    require(read_byte(from));
    require(gnl_process_terminate(outer, 0, NULL) == 0);
    require(ends_soon(from));
    require(gnl_process_free(outer) == 0);
    require_gone(directory);
    return 0;
}

START_TEST(tree_in_a_tree_ends_with_it)
{
    in_world(ends_inner);
}
END_TEST

static int falls_back(void *context)
{
    struct gnl_exit end;
    int from;

    (void)context;
    if (!enter_world() || mount("tmpfs", top, "tmpfs", 0, NULL) != 0)
        return NOT_HERE;
    gnl_process *family = start_family(&from, FAMILY "echo x >&9; wait; sleep 1000", dying_tree);
    require(strcmp(cgroup_of(gnl_process_pid(family)), cgroup_of(getpid())) == 0);
    require(gnl_process_terminate(family, PATIENCE, &end) == 0);
    require(ends_soon(from));
    require(gnl_process_fates(family, NULL, 0) >= 5);
    require(gnl_process_free(family) == 0);
    return 0;
}

START_TEST(without_a_cgroup_the_tree_ends_too)
{
    in_world(falls_back);
}
END_TEST

int main(int argc, char **argv)
{
    static const struct part parts[] = { { "inner", start_inner }, { NULL, NULL } };

    play_part(parts, argc, argv);
    Suite *suite = suite_create("cgroups");
    TCase *cgroups = support_case(suite, "cgroups");

    tcase_add_test(cgroups, tree_has_a_cgroup_of_its_own_that_goes_with_it);
    tcase_add_test(cgroups, process_that_became_root_is_ended);
    tcase_add_test(cgroups, process_that_became_root_is_ended_with_its_parent);
    tcase_add_test(cgroups, who_left_everything_is_found_without_a_keeper);
    tcase_add_test(cgroups, who_goes_on_without_a_handle_goes_back);
    tcase_add_test(cgroups, who_goes_on_without_its_parent_goes_back);
    tcase_add_test(cgroups, tree_in_a_tree_ends_with_it);
    tcase_add_test(cgroups, without_a_cgroup_it_escapes_and_is_told_of);
    tcase_add_test(cgroups, without_a_cgroup_the_tree_ends_too);
    return support_run(suite);
}
