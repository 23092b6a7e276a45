/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting, for commands that go on when no descriptor is left for who connects: that is said once,
 * those who come wait in the kernel's queue, and those who are there are served meanwhile.
 */
#ifndef TOOL_ACCEPTING_H
#define TOOL_ACCEPTING_H

#include <pthread.h>
#include <stdbool.h>

#include <ginnel/port.h>

#define ACCEPTING_SPARE 16 /* as many as starting a command takes, and some */

struct accepting {
    gnl_listener *listener;
    pthread_mutex_t lock;       /* what follows: one accepts, or has the spare descriptors, at a time */
    int spare[ACCEPTING_SPARE]; /* descriptors that who connects cannot have */
    unsigned held, wanted;
    int64_t pause_ends_ns;
    bool told;
};

/*
 * Listens, tells the address (mailbox_options.h), and keeps so many descriptors for commands, up to
 * ACCEPTING_SPARE, where there may be enough. 0, or what the library said.
 */
int accepting_begin(struct accepting *accepting, const char *address, const struct gnl_options *options,
                    unsigned spare);

/* Ends listening. */
void accepting_end(struct accepting *accepting);

/* As gnl_accept with GNL_NOWAIT; but where no descriptor is left that is -EAGAIN, and a pause begins. */
int accepting_next(struct accepting *accepting, gnl_port **port);

/* Is there a pause? Then who connects is not to be waited for: the listener stays readable. */
bool accepting_pauses(struct accepting *accepting);

/* A connection has ended: the pause, too. */
void accepting_again(struct accepting *accepting);

/* Between these the spare descriptors are the caller's, and nobody is accepted. */
void accepting_lend(struct accepting *accepting);
void accepting_regain(struct accepting *accepting);

#endif
