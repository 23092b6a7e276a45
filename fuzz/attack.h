/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile member of a mailbox, in the process of the honest one: it writes into the file between the
 * honest one's calls, and in the middle of them (moments.h).
 */
#ifndef FUZZ_ATTACK_H
#define FUZZ_ATTACK_H

#include "fuzz/room.h"
#include "mailbox/layout.h"

/* The file of that name is attacked from now on. Its header is whole still. */
void attack_begin(const char *name);
void attack_end(void);

/* One write, of what and where the input says. */
void attack_write(struct input *input);

/* Truncates, grows, or punches a hole. */
void attack_resize(struct input *input);

/* What happens during the next call: taken from the input now. */
void attack_arm(struct input *input);
void attack_disarm(void);

#endif
