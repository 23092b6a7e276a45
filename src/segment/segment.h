/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments inside: a process's membership in a segment's file, and the attachments that users have.
 *
 * A *member* is this process in one file, with one kind of access: the control pages mapped, and the kernel's
 * proof that it lives (a participant's record if it may write, a reader's byte if not). A *segment* is what a
 * user has: a member and a mapping of the data. All of a process's segments on a file share its members.
 *
 * One word of the file decides who has it locked (layout.h):
 *
 *   I1  Who swaps it from nobody, or from one who is dead, to itself has it locked; nobody else changes the
 *       word while that one lives, and it changes it once: to nobody, a version later.
 *   I2  A word that names a dead one is swapped by whoever meets it: to itself (and is told so), or to
 *       nobody, with the mark *died*. Either way the version is one more: the data may have changed.
 *   I3  A participant's number is given out again only when the word does not name it.
 *
 * Killed before a swap, nothing has happened; after it, the word says all. Killed before it could wake the
 * sleepers, they look around within 100 ms.
 *
 * Orderings
 *   A: relaxed: set under a lock or before the file has a name; marks that are looked at again; closing and
 *      fork are ordered by life/process.h.
 *   B: who swaps the word releases it, who reads it acquires it (D asks for seq_cst, which is both): carries
 *      the data.
 *   C: who locks puts a release fence after the swap, before it writes the data; who copies puts an acquire
 *      fence after the copy, before it looks at the word again: whoever has seen a changed byte sees a
 *      changed word.
 *   D: a sleeper reads `changes`, raises `waiting`, then looks (seq_cst each); who swaps the word then looks
 *      at `waiting` and lowers it, and then moves `changes` (seq_cst each): one of them sees the other.
 *   E: the size is released after the memory is there, and acquired before the memory is mapped; so is the
 *      number of records.
 *   F: acquire of a record's state, which joining and leaving release (life/participant.h, A).
 */
#ifndef GNLI_SEGMENT_SEGMENT_H
#define GNLI_SEGMENT_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/segment.h>

#include "base/address.h"
#include "memory/file.h"
#include "segment/layout.h"
#include "wait/futex.h"

struct gnli_member {
    struct gnli_file *file;
    bool named;
    struct gnli_segment_header *header; /* the control pages: GNLI_SEGMENT_DATA bytes */
    struct gnli_participant *records;
    uint64_t pid_namespace;
    pthread_mutex_t growing; /* outside of lock */
    pthread_mutex_t lock;    /* for number, holder, through */
    atomic_uint number;      /* of the participant; 0: this one only reads. Others may look at it */
    const void *holder;      /* the thread that has the segment locked; */
    gnl_segment *through;    /* and the segment through which it did that */
    _Atomic uint64_t stamp;  /* of the process (life/process.h); changes under the handles' lock */
    unsigned references;     /* under the handles' lock, like next */
    struct gnli_member *next;
};

struct gnl_segment {
    struct gnli_member *member;
    char subject[GNL_ADDRESS_MAX + 1]; /* "segment 'frames'" */
    atomic_uint rights;
    pthread_rwlock_t mapping; /* held for reading by who copies from the data, for writing by who moves it */
    char *_Atomic data;
    _Atomic size_t size;
    struct gnli_spin spin;
    _Atomic uint64_t stamp;
    atomic_bool closing;
};

/* ---- members (member.c) ---- */

static inline unsigned gnli_member_number(struct gnli_member *member)
{
    return atomic_load_explicit(&member->number, memory_order_relaxed); /* A */
}

/* Under the handles' lock. Takes over the reference to the file, on failure too. */
int gnli_member_join(struct gnli_member **member, struct gnli_file *file, bool named, const char *subject);
void gnli_member_leave(struct gnli_member *member);

/* The process is another now: it becomes a member of its own. Under the handles' lock. */
int gnli_member_rejoin(struct gnli_member *member, const char *subject);

/* Is the proof of life still there? Taken again if not. */
int gnli_member_confirm(struct gnli_member *member, const char *subject);

/*
 * Closes descriptors of this file that nobody uses, if this process has it not locked. Under the handles'
 * lock.
 */
void gnli_member_drop_spares(struct gnli_member *member);

/*
 * For who seals: the participant leaves; then either it returns, or the member is one that reads, through
 * `reader`, whose reference it takes over. Under the handles' lock.
 */
void gnli_member_retire(struct gnli_member *member);
int gnli_member_return(struct gnli_member *member, const char *subject);
void gnli_member_read_only(struct gnli_member *member, struct gnli_file *reader);

/* Is that number dead? */
bool gnli_member_dead(struct gnli_member *member, unsigned number);

/* Swaps the word, if it is `from` still. */
bool gnli_member_swap(struct gnli_member *member, uint64_t from, uint64_t to);

/* A word that names a dead one names nobody afterwards (I2). For those who may write. */
void gnli_member_bury(struct gnli_member *member, unsigned number);

/* Of a word that has changed: wakes whoever sleeps. For those who may write. */
void gnli_member_wake(struct gnli_member *member);

/* How many, dead ones included; *alive: without those. At most `count` are written. */
ssize_t gnli_member_list(struct gnli_member *member, struct gnl_participant *participants, size_t count,
                         uint64_t *alive);

/* Is that one this process? */
bool gnli_member_is(struct gnli_member *member, const struct gnl_participant *participant);

/* Counts that a look from outside shows, too. */
uint64_t gnli_member_size(struct gnli_member *member);
uint64_t gnli_member_word(struct gnli_member *member);

/* A look without joining: a member that is nobody's. */
int gnli_member_look(struct gnli_member *member, struct gnli_file *file, const char *subject);
void gnli_member_look_end(struct gnli_member *member);

/* ---- segments (segment.c) ---- */

/* A segment with these rights on the member; takes over its reference, on failure too. */
int gnli_segment_new(gnl_segment **segment, struct gnli_member *member, unsigned rights, const char *subject);

/* A public call begins: 0, and the segment stays until gnli_segment_leave; or why not. */
int gnli_segment_enter(gnl_segment *segment);
int gnli_segment_leave(gnl_segment *segment, int result);

/* Still open, whole? */
int gnli_segment_usable(gnl_segment *segment);

/* Unlocks what this segment has locked, if anything; for whoever ends it. */
void gnli_segment_unlock_all(gnl_segment *segment);

#endif
