/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a program: everything that the child will need is made here, where memory may be had.
 */
#include "process/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errors.h"
#include "process/raw.h"

#define STANDARD 3

/* ---- what makes no sense ---- */

static int check_standard(const struct gnl_spawn_options *options)
{
    for (int i = 0; i < STANDARD; i++) {
        const struct gnl_stdio *stream = &options->standard[i];
        if (stream->kind < GNL_INHERIT || stream->kind > GNL_FD)
            return gnli_fail(-EINVAL, "standard[%d].kind is %d: it is GNL_INHERIT, GNL_NULL or GNL_FD", i,
                             stream->kind);
        if (stream->kind == GNL_FD && stream->fd < 0)
            return gnli_fail(-EBADF, "standard[%d].fd is %d: not a descriptor", i, stream->fd);
    }
    return 0;
}

static int check_ignored(const struct gnl_spawn_options *options)
{
    if (!options->ignored && options->ignored_count > 0)
        return gnli_fail(-EINVAL, "ignored_count is %zu, and there are no signals", options->ignored_count);
    for (size_t i = 0; i < options->ignored_count; i++) {
        int signo = options->ignored[i];
        if (signo < 1 || signo >= NSIG || signo == SIGKILL || signo == SIGSTOP)
            return gnli_fail(-EINVAL, "ignored[%zu] is %d: no signal that can be ignored", i, signo);
    }
    return 0;
}

static int check(gnl_process **process, char *const argv[], const struct gnl_spawn_options *options)
{
    if (!process || !argv || !argv[0] || argv[0][0] == '\0')
        return gnli_fail(-EINVAL, "no program given: argv[0] is its name");
    if (!options)
        return 0;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != 0)
            return gnli_fail(-EINVAL, "reserved options must be zero");
    if (!options->descriptors && options->descriptor_count > 0)
        return gnli_fail(-EINVAL, "descriptor_count is %zu, and there are no descriptors",
                         options->descriptor_count);
    for (size_t i = 0; i < options->descriptor_count; i++) {
        const struct gnl_descriptor *given = &options->descriptors[i];
        if (given->there < STANDARD || given->there == INT_MAX)
            return gnli_fail(-EINVAL, "descriptors[%zu].there is %d: it is 3 or more", i, given->there);
        if (given->here < 0)
            return gnli_fail(-EBADF, "descriptors[%zu].here is %d: not a descriptor", i, given->here);
    }
    int result = check_ignored(options);
    return result < 0 ? result : check_standard(options);
}

/* ---- descriptors ---- */

static int compare(const void *a, const void *b)
{
    int one = ((const struct gnli_move *)a)->to, other = ((const struct gnli_move *)b)->to;

    return (one > other) - (one < other);
}

static struct gnli_move standard_move(const struct gnl_stdio *stream, int to)
{
    if (stream->kind == GNL_FD)
        return (struct gnli_move){ stream->fd, to };
    int flags = stream->kind == GNL_NULL ? -1 : fcntl(to, F_GETFD);
    /* A program that finds one closed takes the next file that it opens for it. */
    if (flags < 0)
        return (struct gnli_move){ GNLI_FROM_NULL, to };
    return (struct gnli_move){ flags & FD_CLOEXEC ? to : GNLI_IN_PLACE, to };
}

static int plan_moves(struct gnli_plan *plan, const struct gnl_spawn_options *options)
{
    plan->move_count = STANDARD + options->descriptor_count;
    plan->moves = reallocarray(NULL, plan->move_count, sizeof *plan->moves);
    if (!plan->moves)
        return -ENOMEM;
    for (int i = 0; i < STANDARD; i++)
        plan->moves[i] = standard_move(&options->standard[i], i);
    for (size_t i = 0; i < options->descriptor_count; i++)
        plan->moves[STANDARD + i] =
            (struct gnli_move){ options->descriptors[i].here, options->descriptors[i].there };
    qsort(plan->moves, plan->move_count, sizeof *plan->moves, compare);
    for (size_t i = 1; i < plan->move_count; i++)
        if (plan->moves[i].to == plan->moves[i - 1].to)
            return gnli_fail(-EINVAL, "descriptor %d is given to the child twice", plan->moves[i].to);
    return 0;
}

/* ---- the program ---- */

/* One allocation: the list, then the texts. `path`: where to look; NULL: along PATH. */
static int plan_candidates(struct gnli_plan *plan, const char *name, const char *path)
{
    size_t count = 1, length = strlen(name);

    if (!path)
        path = getenv("PATH");
    if (strchr(name, '/'))
        path = "";
    else if (!path)
        path = GNLI_PATH_DEFAULT;
    for (const char *at = path; *at; at++)
        count += *at == ':';
    char **list = malloc((count + 1) * sizeof *list + strlen(path) + count * (length + 2));
    if (!list)
        return -ENOMEM;
    char *text = (char *)(list + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t folder = strcspn(path, ":");
        list[i] = text;
        /* An empty part is the current directory. */
        text += sprintf(text, "%.*s%s%s", (int)folder, path, folder ? "/" : "", name) + 1;
        path += folder + (path[folder] == ':');
    }
    list[count] = NULL;
    plan->candidates = list;
    return 0;
}

/* ---- what failed ---- */

static int tell(const struct gnli_plan *plan)
{
    const char *name = plan->argv[0];

    switch (plan->step) {
    case GNLI_STEP_DIRECTORY:
        return gnli_fail_errno(plan->error, "cannot start '%s' in the directory '%s'", name, plan->directory);
    case GNLI_STEP_DESCRIPTOR:
        if (plan->descriptor == GNLI_FROM_NULL)
            return gnli_fail_errno(plan->error, "cannot start '%s': /dev/null", name);
        if (plan->error == EINVAL) /* of F_DUPFD: RLIMIT_NOFILE */
            return gnli_fail(-EINVAL,
                             "cannot start '%s': descriptor %d there is too large a number: see ulimit -n",
                             name, plan->moves[plan->move_count - 1].to);
        return gnli_fail_errno(plan->error, "cannot start '%s': descriptor %d", name, plan->descriptor);
    case GNLI_STEP_CLOSE:
        return gnli_fail_errno(plan->error, "cannot start '%s': close_range, which Linux 5.9 has", name);
    case GNLI_STEP_EXEC:
        if (plan->error == ENOENT && !strchr(name, '/'))
            return gnli_fail(-ENOENT, "there is no program '%s' along PATH", name);
        return gnli_fail_errno(plan->error, "cannot execute '%s'", name);
    case GNLI_STEP_PARENT:
        return gnli_fail_errno(plan->error, "cannot start '%s': its keeper was killed", name);
    default:
        if (plan->error == EMFILE)
            return gnli_fail(-EMFILE,
                             "cannot make a process for '%s': no descriptor is left to hold it by: see "
                             "ulimit -n",
                             name);
        return gnli_fail_errno(plan->error, "cannot make a process for '%s'", name);
    }
}

/* ---- starting ---- */

/* No handler of this process's may run in the child: all signals wait, those of libc's own too. */
static pid_t start(struct gnli_spawning *spawning, const struct gnl_spawn_options *options)
{
    char stack[GNLI_CHILD_STACK] __attribute__((aligned(16)));
    struct gnl_process *process = spawning->process;
    struct gnli_plan *plan = &spawning->plan;
    uint64_t all = ~(uint64_t)0, before = 0;
    int error = errno; /* the caller's: looking for a cgroup is no failure of this call */

    plan->error = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, GNLI_SIGNALS_BYTES);
    pid_t pid =
        options->tree || options->die_with_parent
            ? gnli_keeper_start(&process->keeper, plan, options->die_with_parent != 0, &process->pidfd)
            : gnli_child_start(plan, spawning->stack ? spawning->stack : stack, &process->pidfd,
                               spawning->stack ? &spawning->alive : NULL);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, GNLI_SIGNALS_BYTES);
    errno = error;
    return pid;
}

static uint64_t bits_of(const int *signals, size_t count)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < count; i++)
        bits |= UINT64_C(1) << (signals[i] - 1);
    return bits;
}

static int plan_and_start(struct gnli_spawning *spawning, char *const argv[], const char *path,
                          const struct gnl_spawn_options *options, const uint64_t *unusual)
{
    spawning->plan = (struct gnli_plan){ .argv = argv,
                                         .environment = options->environment ? options->environment : environ,
                                         .directory = options->directory,
                                         .own_group = options->tree != 0,
                                         .ignored = bits_of(options->ignored, options->ignored_count),
                                         .unusual = unusual,
                                         .cgroup = -1 };

    int result = plan_moves(&spawning->plan, options);
    if (result == 0)
        result = plan_candidates(&spawning->plan, argv[0], path);
    if (result == 0)
        result = start(spawning, options);
    spawning->process->tree = options->tree != 0;
    spawning->process->pid = result;
    return result < 0 && spawning->plan.error == 0 ? result
                                                   : 0; /* what the plan tells, gnli_spawn_end does */
}

static void clean_up(struct gnli_spawning *spawning)
{
    free(spawning->plan.moves);
    free(spawning->plan.candidates);
    free(spawning->stack);
    *spawning = (struct gnli_spawning){ 0 };
}

static int begin(struct gnli_spawning *spawning, char *const argv[], const char *path,
                 const struct gnl_spawn_options *options, const uint64_t *unusual)
{
    static const struct gnl_spawn_options none;

    gnli_reap_abandoned();
    spawning->process = gnli_process_new();
    int result = spawning->process ? plan_and_start(spawning, argv, path, options ? options : &none, unusual)
                                   : -ENOMEM;
    if (result == 0)
        return 0;
    if (spawning->process)
        gnli_process_drop(spawning->process);
    clean_up(spawning);
    return gnli_fail_plain(result, "a new process");
}

int gnli_spawn_begin(struct gnli_spawning *spawning, char *const argv[], const char *path,
                     const struct gnl_spawn_options *options, const uint64_t *unusual)
{
    bool kept = options && (options->tree || options->die_with_parent);
    int result = check(&spawning->process, argv, options);

    if (result < 0)
        return result;
    *spawning = (struct gnli_spawning){ .stack = kept ? NULL : malloc(GNLI_CHILD_STACK) };
    if (!kept && !spawning->stack)
        return -ENOMEM;
    return begin(spawning, argv, path, options, unusual);
}

int gnli_spawn_end(struct gnli_spawning *spawning, gnl_process **process)
{
    struct gnl_process *spawned = spawning->process;

    assert(spawning->plan.argv);
    const char *name = spawning->plan.argv[0], *slash = strrchr(name, '/');

    if (spawned->pid > 0 && spawning->stack)
        spawned->pid = gnli_child_join(&spawning->plan, spawned->pid, spawned->pidfd, &spawning->alive);
    int result = spawned->pid;
    if (result < 0) {
        result = tell(&spawning->plan);
        gnli_process_drop(spawned);
    } else {
        spawned->spawned = true;
        snprintf(spawned->name, sizeof spawned->name, "%s", slash ? slash + 1 : name);
        snprintf(spawned->subject, sizeof spawned->subject, "process %d (%s)", spawned->pid, spawned->name);
        *process = spawned;
        result = 0;
    }
    clean_up(spawning);
    return result;
}

int gnl_spawn(gnl_process **process, char *const argv[], const struct gnl_spawn_options *options)
{
    struct gnli_spawning spawning = { 0 };

    gnli_failure_begin();
    int result = check(process, argv, options);
    if (result == 0)
        result = begin(&spawning, argv, NULL, options, NULL);
    return result < 0 ? result : gnli_spawn_end(&spawning, process);
}
