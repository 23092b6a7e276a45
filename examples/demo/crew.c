/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crew's processes (crew.h). The proof that a worker holds lines when it is killed: it is
 * stopped first, and then looked at.
 */
#include "crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_WITHIN_MS 10000

/* A child, in which 0 is returned; an interrupt from the keyboard is its parent's to handle. */
static pid_t start(void)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork", strerror(errno));
    if (pid > 0)
        return pid;
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    return 0;
}

void crew_start(struct crew *crew, const struct text *text, bool unprintable_words)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        crew->workers[i].pid = start();
        if (crew->workers[i].pid == 0) {
            work(text, i, unprintable_words);
            exit(0);
        }
    }
    crew->feeder.pid = start();
    if (crew->feeder.pid == 0) {
        feed(text);
        exit(0);
    }
}

static struct member *find(struct crew *crew, pid_t pid)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (crew->workers[i].pid == pid)
            return &crew->workers[i];
    return crew->feeder.pid == pid ? &crew->feeder : NULL;
}

static bool lives(const struct member *member)
{
    return member->pid > 0 && (member->state == RUNNING || member->state == STOPPED);
}

void crew_look(struct crew *crew)
{
    struct gnl_participant participants[WORKERS + 8];
    ssize_t count = gnl_inspect(LINES, &crew->lines, participants, WORKERS + 8);

    if (count == -ENOENT) /* nobody has opened it yet */
        return;
    if (count < 0)
        give_up("looking at the lines", gnl_error_detail());
    for (unsigned i = 0; i < WORKERS; i++)
        if (lives(&crew->workers[i]))
            crew->workers[i].held = 0;
    for (ssize_t i = 0; i < count && i < WORKERS + 8; i++) {
        struct member *member = find(crew, participants[i].pid);
        if (member && lives(member)) {
            member->held = participants[i].held;
            member->received = participants[i].received;
        }
    }
}

static void note_end(struct member *member, int status)
{
    member->state = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? ENDED : FAILED;
}

struct member *crew_stop_holder(struct crew *crew)
{
    crew_look(crew);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct member *worker = &crew->workers[i];
        int status;
        if (worker->state != RUNNING || worker->held == 0)
            continue;
        kill(worker->pid, SIGSTOP);
        if (waitpid(worker->pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status)) {
            note_end(worker, status);
            continue;
        }
        worker->state = STOPPED;
        crew_look(crew);
        if (worker->held > 0)
            return worker;
        crew_continue(worker);
    }
    return NULL;
}

void crew_continue(struct member *member)
{
    kill(member->pid, SIGCONT);
    member->state = RUNNING;
}

void crew_kill(struct member *member)
{
    kill(member->pid, SIGKILL);
    waitpid(member->pid, NULL, 0);
    member->state = KILLED;
}

bool crew_healthy(struct crew *crew)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct member *member = find(crew, pid);
        if (member)
            note_end(member, status);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        if (crew->workers[i].state == ENDED || crew->workers[i].state == FAILED)
            return false;
    return crew->feeder.state != FAILED;
}

bool crew_end(struct crew *crew)
{
    bool well = true;

    for (unsigned i = 0; i < WORKERS; i++)
        if (lives(&crew->workers[i]))
            kill(crew->workers[i].pid, SIGTERM);
    for (unsigned waited = 0; waited < END_WITHIN_MS; waited++) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0)
            break; /* no child is left */
        if (pid == 0) {
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
            continue;
        }
        struct member *member = find(crew, pid);
        if (member)
            note_end(member, status);
    }
    well = crew->feeder.state == ENDED;
    for (unsigned i = 0; i < WORKERS; i++)
        well = well && (crew->workers[i].state == ENDED || crew->workers[i].state == KILLED);
    return well;
}

static void kill_one(struct member *member)
{
    if (lives(member))
        crew_kill(member);
}

void crew_kill_all(struct crew *crew)
{
    kill_one(&crew->feeder);
    for (unsigned i = 0; i < WORKERS; i++)
        kill_one(&crew->workers[i]);
}
