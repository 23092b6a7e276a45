/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one run is played on: a mailbox of its own, the memory that its processes share, and those
 * processes: the survivor (this program), the victim, and where an operation needs them a mate and
 * remains. All are forked before the survivor opens the mailbox, so that none inherits a port.
 */
#ifndef TORTURE_SCENE_H
#define TORTURE_SCENE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/ginnel.h>

#include "ledger.h"

#define ADDRESS     "mailbox:scene"
#define PATIENCE_NS gnl_s(5) /* a survivor that needs longer hangs */
#define HELD_MOST   64

/* What the mate is asked to do next. */
enum errand { ERRAND_OPEN, ERRAND_TAKE, ERRAND_SEND, ERRAND_CLOSE };

struct mate {
    sem_t order;  /* there is an errand */
    sem_t answer; /* it is over */
    enum errand errand;
    size_t size; /* to send */
    int result;
    atomic_bool busy; /* inside of the call */
};

/* Shared by all processes of a run. */
struct scene {
    struct ledger ledger;
    struct mate mate;
    sem_t victim_go; /* the mailbox is there: get ready */
    sem_t remains_go;
    ssize_t result; /* of the victim's operation */
};

extern struct scene *scene;

/* What a process of the run has in hand; each has its own. */
struct actor {
    enum role role;
    gnl_port *port;
    unsigned last[ROLES]; /* order: 1 + the last message received from each */
    gnl_message held[HELD_MOST];
    uint32_t held_id[HELD_MOST];
    unsigned held_count;
    gnl_message loan;
    uint32_t sending[4]; /* messages of the operation itself */
    char data[4][MESSAGE_MAX];
    ssize_t result;
};

extern struct actor me;

struct operation;

/* Once in each worker: the shared memory. */
void scene_prepare(void);

/* Forks the processes that the operation needs. They wait until they are told to go. */
struct cast {
    pid_t victim, mate, remains;
};
void scene_fork(struct cast *cast, const struct operation *operation);

/* Kills whoever is still there, removes the mailbox; the next run finds nothing of this one. */
void scene_clear(struct cast *cast);

/* The mate's errands: begin, wait until it sleeps inside of the library, collect the result. */
void mate_begin(enum errand errand, size_t size);
void mate_await_asleep(pid_t pid, enum gnl_activity activity);
bool mate_busy(void);           /* inside of the call */
bool mate_pending(void);        /* not yet ended, or its result not yet collected */
int mate_end(const char *what); /* the result; a hang is reported, -ETIME returned */

/* Is a living participant with that pid there, doing what? Number of participants, or a negative code. */
ssize_t scene_participant(pid_t pid, struct gnl_participant *participant);

/* Takes a message and keeps it in hand; ends all that are in hand. */
void hold_one(void);
void end_held(void);

#endif
