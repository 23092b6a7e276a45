/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders and receivers at full speed, any of which the test may kill or stop at any instant, and the
 * ledger that all of them keep in shared memory, from which it can be said afterwards whether every
 * message that was sent has been received exactly once.
 *
 * A sender notes a message as started before it sends it and as sent when gnl_send has returned. A
 * receiver notes which one it is about to be done with, is done, and notes that. So a killed one
 * leaves at most one message in doubt.
 */
#ifndef TEST_PROCESS_LEDGER_H
#define TEST_PROCESS_LEDGER_H

#include "helpers.h"

#define SENDERS    2
#define RECEIVERS  2
#define PLAYERS    (SENDERS + RECEIVERS)
#define PER_SENDER ((uint64_t)1 << 20)

struct scenario {
    int64_t capacity;
    bool two_way;      /* sender and receiver 0 go one way, sender and receiver 1 the other */
    bool copying;      /* receiver 1 uses gnl_recv: it must not be killed */
    size_t sizes[4];   /* of messages, in turn, each varied downwards; 0: as the first */
    size_t size_fixed; /* or: all of this size */
};

struct ledger;

/* Makes the mailbox and starts all players. */
struct ledger *ledger_start(const struct scenario *scenario);

/* Players: senders first. */
pid_t ledger_player(struct ledger *ledger, unsigned player);
void ledger_kill(struct ledger *ledger, unsigned player); /* SIGKILL at once, and another in its place */

/* What a player has done so far, whoever played it: messages sent, or received. */
uint64_t ledger_progress(struct ledger *ledger, unsigned player);

/*
 * No more is sent, the rest is received; then the ledger must balance, the mailbox be empty, whole and
 * without remains of the dead. Removes it. Returns what gnl_inspect had said at the end.
 */
struct gnl_port_info ledger_finish(struct ledger *ledger);

/* Numbers to be unpredictable with; the seed is printed when a test fails. */
unsigned ledger_random(struct ledger *ledger, unsigned below);

#endif
