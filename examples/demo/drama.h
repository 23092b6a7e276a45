/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to the workers, and what comes of it: at a quarter of the lines one is stopped for a
 * second; at half of them one is killed. Each holds lines at that moment, which is proved by
 * looking at it while it is stopped.
 */
#ifndef DEMO_DRAMA_H
#define DEMO_DRAMA_H

#include "crew.h"
#include "show.h"
#include "tally.h"

struct drama {
    uint64_t stop_at, kill_at; /* lines counted */
    struct member *stopped, *killed;
    int64_t stopped_ns;
    uint64_t stopped_held; /* lines, when it was stopped */
    bool continued;
    bool robbed;    /* the stopped one held fewer when it was continued */
    bool delivered; /* all that the killed one held was delivered again */
};

/* Of a text without lines nothing will be done: nobody would ever hold one. */
void drama_init(struct drama *drama, uint64_t lines);

/*
 * Does what is due. False: it could not, since no worker was found holding a line. Then no count must be
 * received before it can: soon all workers wait to send theirs, with lines in their hands.
 */
bool drama_play(struct drama *drama, struct crew *crew, const struct tally *tally, struct show *show);

/* How many lines may be counted before something else is due. */
uint64_t drama_next(const struct drama *drama);

/* All was done, and its consequences were seen. */
bool drama_over(const struct drama *drama);

#endif
