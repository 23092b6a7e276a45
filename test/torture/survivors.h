/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What those who live on must be able to do: while the victim is stopped, and after it was killed.
 */
#ifndef TORTURE_SURVIVORS_H
#define TORTURE_SURVIVORS_H

#include <stdint.h>

#include "operations.h"
#include "scene.h"

/* The mate falls asleep in the call that the operation's row names. */
void survivors_begin(const struct operation *operation, const struct cast *cast);

/* While the victim is stopped in the operation, after that step. */
void survivors_go_on(const struct operation *operation, uint64_t step);

/*
 * After it was killed; at the end nothing may be left. After every other step the dead are met by opening,
 * after the others by receiving. *bytes: memory that the mailbox occupies at the end.
 */
void survivors_settle(const struct operation *operation, const struct cast *cast, uint64_t step,
                      uint64_t *bytes);

#endif
