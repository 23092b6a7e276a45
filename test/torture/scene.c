/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "operations.h"
#include "step.h"

struct scene *scene;
struct actor me;
int64_t longest_ns;

static bool pending; /* an errand whose result was not collected */
static char directory[64] = "/dev/shm/ginnel-torture-XXXXXX";

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t took_since(int64_t start)
{
    int64_t took = now_ns() - start;

    if (took > longest_ns)
        longest_ns = took;
    return took;
}

void scene_directory_make(void)
{
    if (!mkdtemp(directory)) {
        perror("torture: cannot make a directory");
        exit(2);
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    return remove(path);
}

void scene_directory_remove(void)
{
    nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void scene_prepare(unsigned worker)
{
    signal(SIGINT, SIG_DFL);
    size_t length = strlen(directory);
    snprintf(directory + length, sizeof directory - length, "/%u", worker);
    scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (scene == MAP_FAILED || setenv("GINNEL_DIR", directory, 1) != 0) {
        perror("torture: cannot prepare");
        _exit(2);
    }
}

/* ---- the other processes ---- */

static void open_port(void)
{
    if (gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY }) != 0)
        found(WRONG, "a process could not open the mailbox: %s", gnl_error_detail());
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void play_victim(const struct operation *operation)
{
    wait_for(&scene->victim_go);
    if (operation->ready)
        operation->ready();
    else
        open_port();
    step_surrender();
    step_mark();
    operation->run();
    step_mark();
    if (operation->after)
        operation->after();
    scene->result = me.result;
    step_mark();
}

static void play_remains(const struct operation *operation)
{
    wait_for(&scene->remains_go);
    operation->leave_ready();
    step_surrender();
    step_mark();
    operation->leave_run();
    step_mark();
    if (operation->leave_after)
        operation->leave_after();
    step_mark();
}

static void play_mate(void)
{
    struct mate *mate = &scene->mate;

    for (;;) {
        wait_for(&mate->order);
        atomic_store(&mate->busy, true);
        switch (mate->errand) {
        case ERRAND_OPEN:
            mate->result = gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY });
            break;
        case ERRAND_TAKE:
            mate->result = ledger_consume(me.port, 4 * PATIENCE_NS);
            break;
        case ERRAND_SEND:
            mate->result = ledger_send(me.port, mate->size, 4 * PATIENCE_NS);
            break;
        case ERRAND_CLOSE:
            mate->result = gnl_close(me.port);
            break;
        }
        atomic_store(&mate->busy, false);
        sem_post(&mate->answer);
    }
}

static pid_t fork_role(enum role role, const struct operation *operation)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(me.last, 0, sizeof me.last);
    me.role = role;
    if (role == VICTIM)
        play_victim(operation);
    else if (role == REMAINS)
        play_remains(operation);
    else
        play_mate();
    _exit(0);
}

void scene_fork(struct cast *cast, const struct operation *operation)
{
    memset(&scene->findings, 0, sizeof scene->findings);
    ledger_reset(&scene->ledger);
    sem_init(&scene->victim_go, 1, 0);
    sem_init(&scene->remains_go, 1, 0);
    sem_init(&scene->mate.order, 1, 0);
    sem_init(&scene->mate.answer, 1, 0);
    atomic_store(&scene->mate.busy, false);
    scene->result = 0;
    memset(me.last, 0, sizeof me.last);
    me.role = SURVIVOR;
    me.port = NULL;
    me.held_count = 0;
    pending = false;
    *cast = (struct cast){ .victim = fork_role(VICTIM, operation) };
    if (operation->leave_run)
        cast->remains = fork_role(REMAINS, operation);
    if (operation->mate != ALONE || operation->capacity == GNL_RENDEZVOUS)
        cast->mate = fork_role(MATE, operation);
}

void scene_clear(struct cast *cast)
{
    if (cast->victim > 0)
        step_kill(cast->victim);
    if (cast->mate > 0)
        step_kill(cast->mate);
    if (cast->remains > 0)
        step_kill(cast->remains);
    audit_close();
    gnl_close(me.port);
    me.port = NULL;
    gnl_remove(ADDRESS);
    DIR *listing = opendir(directory);
    for (struct dirent *entry; listing && (entry = readdir(listing));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            found(LEAK, "the file %s was left in the runtime directory", entry->d_name);
            unlinkat(dirfd(listing), entry->d_name, 0);
        }
    closedir(listing);
}

/* ---- the mate ---- */

void mate_begin(enum errand errand, size_t size)
{
    pending = true;
    scene->mate.errand = errand;
    scene->mate.size = size;
    atomic_store(&scene->mate.busy, true);
    sem_post(&scene->mate.order);
}

bool mate_pending(void)
{
    return pending;
}

bool mate_busy(void)
{
    return atomic_load(&scene->mate.busy);
}

int mate_end(const char *what)
{
    int64_t start = now_ns();
    struct timespec until;

    pending = false;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 6;
    while (sem_timedwait(&scene->mate.answer, &until) != 0)
        if (errno == ETIMEDOUT) {
            found(HANG, "the mate did not end: %s", what);
            return -ETIME;
        }
    took_since(start);
    return scene->mate.result;
}

static char process_state(pid_t pid)
{
    char path[64], line[512];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor < 0 ? -1 : read(descriptor, line, sizeof line - 1);
    close(descriptor);
    if (length <= 0)
        return '?';
    line[length] = '\0';
    const char *end = strrchr(line, ')');
    return end && end[1] ? end[2] : '?';
}

ssize_t scene_participant(pid_t pid, struct gnl_participant *participant)
{
    struct gnl_participant all[16];
    struct gnl_port_info info;

    *participant = (struct gnl_participant){ 0 };
    ssize_t count = gnl_inspect(ADDRESS, &info, all, 16);
    for (ssize_t i = 0; i < count && i < 16; i++)
        if (all[i].pid == pid)
            *participant = all[i];
    return count;
}

void mate_await_asleep(pid_t pid, enum gnl_activity activity)
{
    struct gnl_participant participant;
    int64_t start = now_ns();

    while (now_ns() - start < PATIENCE_NS) {
        if (scene_participant(pid, &participant) >= 0 && participant.activity == activity &&
            process_state(pid) == 'S')
            return;
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    found(WRONG, "the mate did not fall asleep");
}

/* ---- messages in hand ---- */

void hold_one(void)
{
    int result = ledger_take(me.port, &me.held[me.held_count], &me.held_id[me.held_count], PATIENCE_NS);

    if (result == 0)
        me.held_count++;
    else
        found(WRONG, "a message could not be taken beforehand: %s", gnl_strerror(result));
}

void end_held(void)
{
    for (unsigned i = 0; i < me.held_count; i++) {
        int result = ledger_done(&me.held[i], me.held_id[i]);
        if (result != 0)
            found(WRONG, "a message held all the time could not be ended: %s", gnl_strerror(result));
    }
    me.held_count = 0;
}
