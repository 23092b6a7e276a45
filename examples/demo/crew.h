/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crew: the feeder and the workers as processes, seen from the collector, which starts, stops,
 * continues, kills and ends them, and looks at what they hold.
 */
#ifndef DEMO_CREW_H
#define DEMO_CREW_H

#include <sys/types.h>

#include "job.h"

enum state {
    RUNNING,
    STOPPED,
    KILLED, /* by us */
    ENDED,
    FAILED, /* by itself */
};

struct member {
    pid_t pid;
    enum state state;
    uint64_t held; /* lines, at the last look; of a killed one: at its death */
    uint64_t received;
};

struct crew {
    struct member feeder;
    struct member workers[WORKERS];
    struct gnl_port_info lines; /* the mailbox, at the last look */
};

/* Starts all of them. They are killed by the kernel if this process dies. */
void crew_start(struct crew *crew, const struct text *text, bool unprintable_words);

/* Looks at the mailbox `lines`, without joining it: how much waits, who holds what. */
void crew_look(struct crew *crew);

/*
 * Stops a running worker that holds lines, and looks again: now it can't be done with them any more.
 * NULL: none was found holding, this time.
 */
struct member *crew_stop_holder(struct crew *crew);
void crew_continue(struct member *member);
void crew_kill(struct member *member);

/* Notes who has ended. False: somebody who should not have. */
bool crew_healthy(struct crew *crew);

/* Asks the workers to end when there is nothing left to do, and waits for them. False: one did not, or
 * failed. */
bool crew_end(struct crew *crew);

/* Kills all who still live. Safe at any time. */
void crew_kill_all(struct crew *crew);

#endif
