/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tally: what the collector has been told. Each line counts once, whatever arrives twice.
 */
#ifndef DEMO_TALLY_H
#define DEMO_TALLY_H

#include "job.h"

struct tally {
    uint64_t expected; /* lines */
    uint64_t *seen;    /* a bit a line */
    uint64_t lines;    /* that were counted */
    uint64_t newlines, words, bytes;
    uint64_t received;    /* counts */
    uint64_t twice;       /* of lines that were counted already */
    uint64_t redelivered; /* of lines that were delivered again */
    uint64_t redelivered_to[WORKERS];
};

void tally_init(struct tally *tally, uint64_t lines);
void tally_fini(struct tally *tally);

/* Receives counts: waits for the first while the timeout lasts, then takes what is there, until `lines` are
 * counted. */
void tally_receive(struct tally *tally, gnl_port *counts, uint64_t lines, int64_t timeout);

#endif
