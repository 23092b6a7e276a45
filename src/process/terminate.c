/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ending a process, or all of a tree: asked first, then killed, for a bounded time.
 *
 * A tree is a moving target. Who is killed leaves orphans, and who forks without end may be faster than who
 * looks. So all are stopped first, until a look finds nobody new: a stopped process forks no more, and one
 * that has not ended leaves no room below the limit of processes. Then all are killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "process/cgroup.h"
#include "process/process.h"
#include "process/tree.h"
#include "wait/poll.h"

#define KILL_NS   10000000000 /* until all that was killed must have ended */
#define NAP_NS    10000000    /* where a member's end cannot be waited for */
#define STOP_NS   1000000     /* until a signal to stop may have been obeyed */
#define LOOKS_MAX 100         /* at a tree that grows */

struct ending {
    struct gnl_process *process;
    struct gnli_tree tree;
    bool whole; /* or the process alone */
    bool kept;  /* all of it descends from the keeper */
};

static int begin(struct ending *ending, struct gnl_process *process)
{
    pthread_mutex_lock(&process->lock);
    *ending = (struct ending){ .process = process, .whole = process->tree };
    pthread_mutex_unlock(&process->lock);
    ending->kept = process->keeper && gnli_await_end(process->keeper->pidfd, 0) != 0;
    ending->tree.cgroup = process->keeper ? process->keeper->cgroup : -1;
    ending->tree.root = ending->kept ? process->keeper->pid : process->pid;
    ending->tree.root_is_member = !ending->kept;
    if (!ending->kept && gnli_await_end(process->pidfd, 0) == 0) {
        /* The number is somebody else's, perhaps. */
        ending->tree.root = -1;
        ending->tree.root_is_member = false;
    }
    if (ending->whole)
        return 0;
    struct gnli_member *member = calloc(1, sizeof *member);
    if (!member)
        return -ENOMEM;
    member->fate.pid = process->pid;
    memcpy(member->fate.name, process->name, sizeof member->fate.name);
    ending->tree.members = member;
    ending->tree.count = 1;
    return 0;
}

static bool is_itself(const struct ending *ending, const struct gnli_member *member)
{
    return member->fate.pid == ending->process->pid;
}

static ssize_t look(struct ending *ending)
{
    if (ending->whole)
        return gnli_tree_look(&ending->tree);
    ending->tree.members[0].alive = gnli_await_end(ending->process->pidfd, 0) != 0;
    return 0;
}

static int signal_member(const struct ending *ending, const struct gnli_member *member, int signo)
{
    return is_itself(ending, member) ? gnli_pidfd_signal(ending->process->pidfd, signo, 0)
                                     : gnli_tree_signal(member, signo);
}

static size_t count_alive(const struct ending *ending)
{
    size_t alive = 0;

    for (size_t i = 0; i < ending->tree.count; i++)
        alive += ending->tree.members[i].alive;
    return alive;
}

/* Until all that are alive have ended, but for those that it is in vain to wait for; -ETIMEDOUT. */
static int await(const struct ending *ending, bool killed_only, int64_t deadline_ns)
{
    for (size_t i = 0; i < ending->tree.count; i++) {
        const struct gnli_member *member = &ending->tree.members[i];
        if (!member->alive || (killed_only && !member->killed))
            continue;
        int result = is_itself(ending, member) ? gnli_await_end(ending->process->pidfd, deadline_ns)
                                               : gnli_tree_await(member, deadline_ns);
        if (result == -ETIMEDOUT)
            return result;
        if (result < 0) /* no descriptor left */
            gnli_poll(NULL, 0, gnli_deadline_ns(NAP_NS));
    }
    return gnli_now_ns() < deadline_ns ? 0 : -ETIMEDOUT;
}

/*
 * Stops all of them, until a look finds nobody new, and those that it had stopped before do stand: who was
 * making a child when the signal came goes on with that first.
 */
static int halt(struct ending *ending)
{
    ssize_t found = 0;
    bool settled = false;

    for (int i = 0; i < LOOKS_MAX && !settled; i++) {
        found = look(ending);
        if (found < 0)
            return (int)found;
        settled = found == 0;
        for (size_t j = 0; ending->whole && j < ending->tree.count; j++) {
            struct gnli_member *member = &ending->tree.members[j];
            if (!member->alive)
                continue;
            settled = settled && (!member->halted || member->stopped);
            if (!member->halted && signal_member(ending, member, SIGSTOP) == 0) {
                member->halted = true;
                settled = false;
            }
        }
        if (!settled && i > 0)
            gnli_poll(NULL, 0, gnli_deadline_ns(STOP_NS));
    }
    return 0;
}

/* SIGTERM to each, to new ones too, until none is left or the deadline comes. */
static int ask(struct ending *ending, int64_t deadline_ns)
{
    int result;

    do {
        /* Without a keeper the children of who is gone are nobody's: all are asked at once. */
        ssize_t found = ending->kept ? look(ending) : halt(ending);
        if (found < 0)
            return (int)found;
        for (size_t i = 0; i < ending->tree.count; i++) {
            struct gnli_member *member = &ending->tree.members[i];
            if (!member->alive)
                continue;
            if (!member->asked)
                signal_member(ending, member, SIGTERM);
            if (!member->asked || member->halted)
                signal_member(ending, member, SIGCONT); /* a stopped one could not obey */
            member->asked = true;
            member->halted = false;
        }
        if (count_alive(ending) == 0)
            return 0;
        result = await(ending, false, deadline_ns);
    } while (result == 0);
    return 0;
}

/* SIGKILL to each, and to all of the cgroup at once; returns how many it was sent to. */
static size_t kill_each(struct ending *ending)
{
    bool all = ending->whole && ending->tree.cgroup >= 0 && gnli_cgroup_kill(ending->tree.cgroup);
    size_t killed = 0;

    for (size_t i = 0; i < ending->tree.count; i++) {
        struct gnli_member *member = &ending->tree.members[i];
        if (!member->alive)
            continue;
        bool sent = (all && member->grouped) || signal_member(ending, member, SIGKILL) == 0;
        member->killed |= sent;
        killed += sent;
    }
    return killed;
}

static bool is_empty(const struct ending *ending)
{
    return !ending->whole || ending->tree.cgroup < 0 || gnli_cgroup_is_empty(ending->tree.cgroup, NAP_NS);
}

static int kill_all(struct ending *ending)
{
    int64_t deadline_ns = gnli_deadline_ns(KILL_NS);

    for (int i = 0; i < LOOKS_MAX; i++) {
        int result = halt(ending);
        if (result < 0)
            return result;
        if (kill_each(ending) == 0 && is_empty(ending))
            break; /* nobody is left, or nobody who may be killed */
        if (await(ending, true, deadline_ns) < 0) {
            ssize_t found = look(ending);
            return found < 0 ? (int)found : 0;
        }
    }
    return 0;
}

static bool put_first(const struct ending *ending, struct gnl_fate *fates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fates[i].pid == ending->process->pid) {
            struct gnl_fate itself = fates[i];
            fates[i] = fates[0];
            fates[0] = itself;
            return true;
        }
    return false;
}

/* Keeps what became of each; returns how many escaped, or -ENOMEM. */
static ssize_t keep_fates(struct ending *ending)
{
    struct gnl_process *process = ending->process;
    struct gnl_fate *fates = calloc(ending->tree.count + 1, sizeof *fates);
    size_t count = ending->tree.count;
    ssize_t escaped = 0;

    if (!fates)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct gnli_member *member = &ending->tree.members[i];
        fates[i] = member->fate;
        fates[i].kind = member->alive ? GNL_FATE_ESCAPED : member->killed ? GNL_FATE_KILLED : GNL_FATE_EXITED;
        escaped += member->alive;
    }
    if (!put_first(ending, fates, count)) { /* it had ended before */
        memmove(fates + 1, fates, count++ * sizeof *fates);
        fates[0] = (struct gnl_fate){ .pid = process->pid, .kind = GNL_FATE_EXITED };
        memcpy(fates[0].name, process->name, sizeof fates[0].name);
    }
    pthread_mutex_lock(&process->lock);
    free(process->fates);
    process->fates = fates;
    process->fate_count = count;
    pthread_mutex_unlock(&process->lock);
    return escaped;
}

/*
 * The tree of a process that was opened, or whose keeper was killed and that has no cgroup, is known by that
 * process alone: once it has ended, by nothing.
 */
static bool is_lost(const struct ending *ending)
{
    return ending->whole && !ending->kept && ending->tree.cgroup < 0 &&
           gnli_await_end(ending->process->pidfd, 0) == 0;
}

/* What has become of one, and of all of its tree. */
static int conclude(struct ending *ending, struct gnl_exit *exit)
{
    struct gnl_process *process = ending->process;

    ssize_t escaped = keep_fates(ending);
    if (escaped < 0)
        return (int)escaped;
    int result = gnli_process_await(process, exit, escaped == 0 ? gnli_deadline_ns(KILL_NS) : 0);
    if (result < 0 && gnli_pidfd_signal(process->pidfd, 0, 0) == -EPERM)
        return gnli_fail(-EPERM, "%s may not be signalled by you", process->subject);
    if (escaped > 0 || result < 0)
        return gnli_fail(-ETIMEDOUT, "%s: %zd of %zu did not end, killed or not", process->subject, escaped,
                         process->fate_count);
    return 0;
}

/* All are asked before any is waited for. */
static int ask_all(struct ending *endings, size_t count, int64_t grace)
{
    int64_t deadline_ns = gnli_deadline_ns(grace);
    int result = 0;

    for (size_t i = 0; count > 1 && i < count && result == 0; i++)
        if (!is_lost(&endings[i]))
            result = ask(&endings[i], 0);
    for (size_t i = 0; i < count && result == 0; i++)
        if (!is_lost(&endings[i]))
            result = ask(&endings[i], deadline_ns);
    return result;
}

/* Those that were stopped and are not to be killed go on. */
static void resume(struct ending *ending)
{
    for (size_t i = 0; i < ending->tree.count; i++) {
        struct gnli_member *member = &ending->tree.members[i];
        if (member->alive && member->halted)
            signal_member(ending, member, SIGCONT);
    }
}

static int terminate(struct ending *endings, size_t count, int64_t grace, struct gnl_exit *exit)
{
    int result = grace != 0 ? ask_all(endings, count, grace) : 0;

    for (size_t i = 0; i < count && result == 0; i++)
        if (endings[i].tree.count > 0 || !is_lost(&endings[i]))
            result = kill_all(&endings[i]);
    for (size_t i = 0; i < count && result < 0; i++)
        resume(&endings[i]);
    if (result < 0)
        return gnli_fail_errno(-result, "%s: cannot look for its tree in /proc", endings[0].process->subject);
    for (size_t i = 0; i < count; i++) {
        int one = conclude(&endings[i], exit);
        result = result < 0 ? result : one;
    }
    return result;
}

int gnli_process_terminate(struct gnl_process *const *processes, size_t count, int64_t grace,
                           struct gnl_exit *exit)
{
    struct ending *endings;
    int result = 0;

    if (grace < GNL_FOREVER)
        return gnli_fail(-EINVAL, "a grace is nanoseconds or GNL_FOREVER, not %lld", (long long)grace);
    endings = calloc(count, sizeof *endings);
    if (!endings)
        return -ENOMEM;
    for (size_t i = 0; i < count && result == 0; i++)
        result = begin(&endings[i], processes[i]);
    if (result == 0)
        result = terminate(endings, count, grace, exit);
    for (size_t i = 0; i < count; i++)
        free(endings[i].tree.members);
    free(endings);
    return result;
}

int gnl_process_terminate(gnl_process *process, int64_t grace, struct gnl_exit *exit)
{
    int result = gnli_process_check(process);

    if (result == 0)
        result = gnli_process_terminate(&process, 1, grace, exit);
    return result < 0 ? gnli_fail_plain(result, process ? process->subject : "a process") : 0;
}
