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

/* Opens the mailbox of this run to look at it, without joining, if there is one; and closes it. */
void audit_open(void);
void audit_close(void);

/* Is a participant in use besides the two (0: none)? A dead one is until it was swept. */
bool audit_others(pid_t one, pid_t other);

/* After a sweep: reports words that name a participant whose number may be given out again. */
void audit_numbers(void);

/* Is a slot taken and not yet free: is somebody between T3 and F6? */
bool audit_taken(void);

/*
 * Of a mailbox that is empty and that nobody is inside of: reports every slot, cell and chunk that is
 * not free, every participant besides the two, and memory that the counts know nothing of.
 * *bytes: of memory that it occupies.
 */
void audit(pid_t one, pid_t other, uint64_t *bytes);

/*
 * Seeing changes: from audit_watch on, audit_changed says whether the part of the mailbox that governs
 * the rest has changed since the last time.
 */
void audit_watch(void);
bool audit_changed(bool after_system_call);

#endif
