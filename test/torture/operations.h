/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations that are tortured. One row of the table says what is prepared, by whom, what the
 * victim does between the two marks, and what a survivor may expect afterwards.
 *
 *   survivor: set         victim: ready, <mark> run <mark>, after
 *             again       remains: leave_ready, <mark> leave_run <mark>
 */
#ifndef TORTURE_OPERATIONS_H
#define TORTURE_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct operation {
    const char *name;
    const char *what;
    int64_t capacity;

    void (*set)(void);   /* survivor: fills the mailbox; nobody else is there yet */
    void (*ready)(void); /* victim: up to the mark; NULL: only opens the mailbox */
    void (*run)(void);   /* victim: the operation; its result goes to me.result */
    void (*after)(void); /* victim: enters the outcome in the ledger */

    /* Remains: another process, that is stepped into leave_run before the operation begins. */
    void (*leave_ready)(void);
    void (*leave_run)(void);
    void (*leave_after)(void); /* those that go on: enters the outcome in the ledger */
    enum {
        LEFT_ANYWHERE,         /* and killed at a step that is another one in each run */
        LEFT_CLAIMING,         /* and killed with a place of the queue claimed */
        LEFT_STOPPED_CLAIMING, /* and left stopped there, alive; it goes on afterwards */
        LEFT_STOPPED_TAKING,   /* the same with a slot that is taken and not yet free */
        LEFT_AT_END,           /* and killed when it is over */
    } leave;
    void (*again)(void); /* survivor: after the remains */

    enum { ALONE, MATE_RECEIVES, MATE_SENDS } mate; /* asleep in that call when the operation begins */
    bool costs_a_place; /* stopped inside, it may cost one place of the capacity */
    bool gives_back;    /* the victim gives back itself: redelivery is no theft */
    bool receives;      /* and has to find something when it goes on */
    bool heir;          /* the mate is to wake up by what the victim leaves alone */
    bool mends;         /* the remains' messages; stopped in that, others must get them all the same */
    bool huge;          /* chunks with a block of their own are used */
    bool absent;        /* the mailbox is not there before: it is the victim who makes it */
    bool removes;       /* the mailbox is not there afterwards */
    int64_t result;     /* that the operation has when nobody disturbs it */
    int64_t or_result;  /* after having been stopped: anything between the two */
    unsigned coarser;   /* in the short form, so many times fewer points: each takes long */
};

extern const struct operation operations[];
extern const size_t operations_count;

#define SMALL_BYTES ((size_t)64)
#define LARGE_BYTES ((size_t)1500) /* in a chunk that shares its block */
#define HUGE_BYTES  ((size_t)9000) /* in a block of its own */

#endif
