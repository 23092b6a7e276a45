/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens, for people: on a terminal a table that is drawn again and again, with the events
 * above it; elsewhere plain lines.
 */
#ifndef DEMO_SHOW_H
#define DEMO_SHOW_H

#include "crew.h"
#include "tally.h"

struct show {
    bool terminal;
    unsigned rows; /* of the table, as it stands on the screen */
    int64_t start_ns;
    int64_t next_ns; /* when to look at the crew and draw again */
};

int64_t now_ns(void);

/* A number with its thousands apart; from a small store of the function's own: a few a line. */
const char *grouped(uint64_t number);

void show_start(struct show *show);
void show_event(struct show *show, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Looks and draws if it is time. */
void show_progress(struct show *show, struct crew *crew, const struct tally *tally);

/* Takes the table away. */
void show_end(struct show *show);

#endif
