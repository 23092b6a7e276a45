/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel run: a pipeline, without a shell. The stages stay in this process's group, so that a terminal's
 * keys reach them as they would below sh.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "clock.h"
#include "commands.h"
#include "interrupt.h"
#include "quantities.h"
#include "run_report.h"
#include "run_watch.h"

#define GRACE_NS    gnl_s(5)
#define SIGNALLED   128 /* and the signal's number, as sh has it */
#define LEFT_BEHIND 100 /* looks at what a pipeline that was ended has left */

/* As env, nice and timeout have them. */
enum { TIMED_OUT = 124, OWN_FAILURE = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

static int64_t timeout = GNL_FOREVER;
static bool pipefail, watch, report, json;

static const struct option options[] = {
    { "json", NULL, &json, NULL, NULL, "the report as one line of JSON" },
    { "pipefail", NULL, &pipefail, NULL, NULL, "exit with the status of the last stage that failed" },
    { "report", NULL, &report, NULL, NULL, "tell on standard error, at the end, what each stage did" },
    { "timeout", "TIME", &timeout, parse_duration, A_DURATION, "end all stages after that; exit with 124" },
    { "watch", NULL, &watch, NULL, NULL, "show stages and pipes while they run" },
    { 0 },
};

static const struct usage usage = {
    .command = "run",
    .operands = "PIPELINE",
    .text =
        "Runs programs joined by pipes, as 'ls | grep foo > out 2>&1', without a shell. Exits with the last\n"
        "stage's status, 128 and the number if it was a signal; 124 timed out, 125 ginnel itself failed,\n"
        "126 a command is not executable, 127 it was not found.\n",
    .options = options,
};

/* ---- signals ---- */

static volatile sig_atomic_t from_terminal; /* the stages have got it, too */

static void note_interrupt(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    from_terminal = info->si_code == SI_KERNEL ? 1 : -1;
}

static void note_child(int signo)
{
    (void)signo; /* what waits, looks */
}

/* What was ignored when this began: that stays so, as below sh, for the stages as well. */
static size_t find_ignored(int ignored[NSIG])
{
    struct sigaction action;
    size_t count = 0;

    for (int signo = 1; signo < NSIG; signo++)
        if (sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            ignored[count++] = signo;
    return count;
}

static void catch_signals(sigset_t *blocked, const int *ignored, size_t count)
{
    struct sigaction action = { .sa_sigaction = note_interrupt, .sa_flags = SA_SIGINFO };

    interrupt_signals(blocked);
    sigaddset(blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, blocked, NULL);
    interrupt_catch();
    sigaction(SIGINT, &action, NULL);
    for (size_t i = 0; i < count; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, note_child);
}

/* Which one came: SIGINT is the stages' to heed, as below sh. 0: none, or that. */
static int told_to_end(gnl_pipeline *pipeline)
{
    if (from_terminal < 0)
        for (size_t i = 0; i < gnl_pipeline_length(pipeline); i++)
            gnl_process_signal(gnl_pipeline_stage(pipeline, i), SIGINT, 0);
    from_terminal = from_terminal ? 1 : 0;
    return interrupt_caught();
}

/* ---- orphans of stages: this process has got them, as their subreaper ---- */

static char
    *before; /* the children that it had when it began, from whoever executed it: they are not touched */

/* "PID PID … "; NULL: there is none, or no memory, or it cannot be known. For free(). */
static char *list_children(void)
{
    char path[64], *text = NULL;
    size_t room = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    if (getdelim(&text, &room, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    fclose(file);
    return text;
}

static long next_of(char **at)
{
    char *end;
    long pid = *at ? strtol(*at, &end, 10) : 0;

    if (pid <= 0 || *end != ' ')
        return 0;
    *at = end;
    return pid;
}

static bool was_before(long child)
{
    char *at = before;

    for (long pid; (pid = next_of(&at)) > 0;)
        if (pid == child)
            return true;
    return false;
}

static bool is_stage(gnl_pipeline *pipeline, long child)
{
    for (size_t i = 0; i < gnl_pipeline_length(pipeline); i++)
        if (gnl_process_pid(gnl_pipeline_stage(pipeline, i)) == child)
            return true;
    return false;
}

static void kill_orphan(pid_t pid)
{
    gnl_process *orphan;

    if (gnl_process_open(&orphan, pid) != 0)
        return;
    gnl_process_set_tree(orphan);
    gnl_process_terminate(orphan, 0, NULL);
    gnl_process_free(orphan);
}

/* Those that have ended are reaped. False: none is left. */
static bool look_after_orphans(gnl_pipeline *pipeline, bool ends)
{
    char *children = list_children(), *at = children;
    bool any = false;

    for (long pid; (pid = next_of(&at)) > 0;) {
        if (was_before(pid) || is_stage(pipeline, pid))
            continue;
        any = true;
        if (ends)
            kill_orphan((pid_t)pid);
        waitpid((pid_t)pid, NULL, WNOHANG);
    }
    free(children);
    return any;
}

/* ---- waiting ---- */

/* Until all stages have ended: 0; -ETIMEDOUT, -EINTR. None is reaped. */
static int await(gnl_pipeline *pipeline, int64_t deadline_ns)
{
    sigset_t none;

    sigemptyset(&none);
    for (size_t i = 0; i < gnl_pipeline_length(pipeline); i++) {
        struct pollfd entry = { .fd = gnl_process_fd(gnl_pipeline_stage(pipeline, i)), .events = POLLIN };
        int64_t left = deadline_ns == INT64_MAX ? 0 : deadline_ns - now_ns();
        left = left < 0 ? 0 : left;
        struct timespec time = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
        int ready = ppoll(&entry, 1, deadline_ns == INT64_MAX ? NULL : &time, &none);
        if (ready < 0)
            return -errno;
        if (ready == 0)
            return -ETIMEDOUT;
    }
    return 0;
}

static int await_watching(struct run_watch *watched, const sigset_t *blocked, int64_t deadline_ns)
{
    int64_t left = deadline_ns == INT64_MAX ? GNL_FOREVER : deadline_ns - now_ns();

    sigprocmask(SIG_UNBLOCK, blocked, NULL);
    int result = interrupt_caught() || from_terminal < 0
                     ? -EINTR
                     : run_watch_wait(watched, deadline_ns != INT64_MAX && left < 0 ? 0 : left);
    sigprocmask(SIG_BLOCK, blocked, NULL);
    return result;
}

/* ---- ending ---- */

static void end_all(gnl_pipeline *pipeline)
{
    if (gnl_pipeline_terminate(pipeline, GRACE_NS) < 0)
        failed(-ETIMEDOUT);
    for (int i = 0; i < LEFT_BEHIND && look_after_orphans(pipeline, true); i++)
        ;
}

static int status_of_stage(const struct gnl_exit *exit)
{
    if (exit->kind == GNL_GONE)
        return OWN_FAILURE;
    return exit->kind == GNL_SIGNALLED ? SIGNALLED + exit->signo : exit->code;
}

static int status_of_all(const struct gnl_exit *exits, size_t length)
{
    for (size_t i = length; pipefail && i > 0; i--)
        if (status_of_stage(&exits[i - 1]) != 0)
            return status_of_stage(&exits[i - 1]);
    return status_of_stage(&exits[length - 1]);
}

static int own_status(int code)
{
    failed(code);
    switch (code) {
    case -ENOENT:
    case -ENOTDIR:
    case -ELOOP:
    case -ENAMETOOLONG:
        return NOT_FOUND;
    case -EACCES:
    case -ENOEXEC:
    case -ETXTBSY:
    case -E2BIG:
        return NOT_EXECUTABLE;
    default:
        return OWN_FAILURE;
    }
}

/* ---- all of it ---- */

static int follow(gnl_pipeline *pipeline, struct run_watch *watched, const sigset_t *blocked)
{
    int64_t began = now_ns(), deadline_ns = timeout == GNL_FOREVER ? INT64_MAX : began + timeout;
    size_t length = gnl_pipeline_length(pipeline);
    struct gnl_exit *exits = calloc(length, sizeof *exits);
    int signo = 0, result;

    if (!exits)
        return own_status(-ENOMEM);
    for (;;) {
        result = watched ? await_watching(watched, blocked, deadline_ns) : await(pipeline, deadline_ns);
        signo = result == -EINTR ? told_to_end(pipeline) : 0;
        if (result != -EINTR || signo)
            break;
        look_after_orphans(pipeline, false);
    }
    if (watched)
        run_watch_clear(watched);
    if (result < 0)
        end_all(pipeline);
    int ended = gnl_pipeline_wait(pipeline, exits, length, GRACE_NS);
    if (result == -ETIMEDOUT)
        complain("the pipeline ran longer than it may: its stages were ended");
    if (watched && (report || json))
        run_report(&watched->looks, exits, (double)(now_ns() - began) / 1e9, json);
    int status = result == -ETIMEDOUT             ? TIMED_OUT
                 : result < 0 && result != -EINTR ? OWN_FAILURE
                 : ended < 0                      ? own_status(ended)
                                                  : status_of_all(exits, length);
    if (from_terminal && exits[length - 1].signo == SIGINT)
        signo = SIGINT;
    free(exits);
    return signo ? (int)interrupt_die(signo) : status;
}

static int run(const char *text)
{
    struct run_watch watched;
    gnl_pipeline *pipeline;
    struct gnl_spawn_options spawning = { 0 };
    sigset_t blocked;
    int ignored[NSIG];
    bool looks = watch || report || json;

    int result = gnl_pipeline_parse(&pipeline, text);
    if (result < 0) {
        failed(result);
        return OWN_FAILURE;
    }
    before = list_children();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    spawning.ignored = ignored;
    spawning.ignored_count = find_ignored(ignored);
    catch_signals(&blocked, ignored, spawning.ignored_count);
    result = gnl_pipeline_start(pipeline, &spawning);
    if (result < 0) {
        gnl_pipeline_free(pipeline);
        return own_status(result);
    }
    if (looks && run_watch_begin(&watched, pipeline, watch) < 0)
        looks = false;
    int status = follow(pipeline, looks ? &watched : NULL, &blocked);
    if (looks)
        run_watch_end(&watched);
    gnl_pipeline_free(pipeline);
    return status;
}

int run_run(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status == EXIT_OK ? EXIT_OK : OWN_FAILURE;
    if (arguments.count != 1) {
        usage_error("run", "one PIPELINE, in quotes, is what it runs");
        return OWN_FAILURE;
    }
    return run(arguments.operands[0]);
}
