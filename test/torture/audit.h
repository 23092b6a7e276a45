/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into a mailbox's memory for what was left behind. This, and seeing whether memory has changed,
 * is all that the torture knows of the library's insides; what it tortures are the public calls.
 */
#ifndef TORTURE_AUDIT_H
#define TORTURE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Of a mailbox that is empty and that nobody is inside of: reports every slot, cell and chunk that is
 * not free, every participant besides the two (0: none), and memory that the counts know nothing of.
 * *bytes: of memory that it occupies.
 */
void audit(pid_t one, pid_t other, uint64_t *bytes);

/*
 * Seeing changes: watch_begin opens the mailbox that is tortured (or waits for it to appear),
 * watch_changed says whether the part of it that governs the rest has changed since the last time.
 */
void watch_begin(void);
bool watch_changed(bool after_system_call);
void watch_end(void);

#endif
