/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "driver.h"
#include "findings.h"
#include "operations.h"
#include "step.h"

struct scene *scene;
struct actor me;

static bool pending; /* an errand whose result was not collected */

void scene_prepare(void)
{
    scene = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (scene == MAP_FAILED) {
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
    pid_t pid = step_fork();

    if (pid != 0)
        return pid;
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
    check_directory(NULL);
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
            step_state(pid) == 'S')
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
