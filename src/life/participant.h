/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Participants of a shared file, and the kernel's proof that one is dead.
 *
 * A participant is a process that has the file open: a record in the file, and a byte of it (far
 * past its end) that the process keeps write-locked with a classic record lock, which the kernel
 * drops when the process ends, and which a forked child does not inherit. Dead is whose byte is not
 * write-locked by the process that the record names: never a timeout, never a bare pid.
 *
 *   - A read lock proves nothing: anybody who may read the file can have one.
 *   - In another pid namespace pids can't be compared: any write lock counts there.
 *   - The kernel tells the own process's locks too when asked through F_OFD_GETLK.
 *
 * Records are given out under a second byte each, the admission lock, so that one is given out once,
 * and a dead one's only after everything that names it was mended (the caller's sweep). A process
 * that is stopped with an admission lock in hand holds up that record, nothing else.
 *
 * Whoever may only read the file has no record in it. A reader read-locks one byte of its own instead,
 * which says who it is by its place: the number of its pid namespace, then its pid. Who looks for readers
 * asks the kernel for the locks there are; each holder's pid must be the one of the place.
 *
 *   A: release when a record becomes alive, acquire in gnli_participant_dead and whoever lists:
 *      carries its pid and namespace.
 *   B: relaxed: counts and notes for people to read.
 */
#ifndef GNLI_LIFE_PARTICIPANT_H
#define GNLI_LIFE_PARTICIPANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/file.h"

#define GNLI_PARTICIPANTS_MAX 4095 /* numbers 1 to this; 0 is nobody */

enum gnli_participant_state {
    GNLI_PARTICIPANT_FREE = 0,
    GNLI_PARTICIPANT_ALIVE = 1, /* or dead, and not yet swept */
};

struct gnli_participant {
    _Atomic uint32_t state;
    _Atomic uint32_t pid;
    _Atomic uint64_t pid_namespace;
    _Atomic uint32_t uid;
    _Atomic uint32_t gid;
    _Atomic uint32_t senders; /* ports that may send and have not finished, receive */
    _Atomic uint32_t receivers;
    _Atomic uint32_t receiving[2]; /* threads that wait to receive from queue 0, 1; to send */
    _Atomic uint32_t sending;
    uint8_t unused[20];
    _Atomic uint64_t sent; /* on a line of their own: written with every message */
    _Atomic uint64_t received;
    _Atomic uint64_t redelivered;
    _Atomic uint64_t discarded;
    uint8_t unused2[32];
};
_Static_assert(sizeof(struct gnli_participant) == 128, "layout");

/*
 * Is the participant that the record describes dead? Asks the kernel; when in doubt, no.
 * `pid_namespace` is the caller's (gnli_process_pid_namespace).
 */
bool gnli_participant_dead(struct gnli_file *file, struct gnli_participant *records, unsigned number,
                           uint64_t pid_namespace);

/* Takes the admission lock of a number without waiting; false: somebody else has it. */
bool gnli_participant_admit(struct gnli_file *file, unsigned number);
void gnli_participant_admit_end(struct gnli_file *file, unsigned number);

/* Under the admission lock of a free number: makes this process the participant. 0 or a negative code. */
int gnli_participant_join(struct gnli_file *file, struct gnli_participant *records, unsigned number,
                          uint64_t pid_namespace);

/* Ends this process's participation; nothing in the file may name it any more. */
void gnli_participant_leave(struct gnli_file *file, struct gnli_participant *records, unsigned number);

/* Adds the record's four counters to the totals, in the same order, and clears them. */
void gnli_participant_add_up(struct gnli_participant *record, _Atomic uint64_t *totals);

/*
 * Does this process still hold its proof of life? If not (the program itself opened and closed the
 * file) it is taken again; -ESTALE if others have noticed meanwhile and freed the number, -EBADF.
 */
int gnli_participant_confirm(struct gnli_file *file, struct gnli_participant *records, unsigned number);

/* This process reads the file, from now on until it ends or closes it. 0 or a negative code. */
int gnli_reader_join(struct gnli_file *file, uint64_t pid_namespace);
void gnli_reader_leave(struct gnli_file *file, uint64_t pid_namespace);

struct gnli_reader {
    pid_t pid;              /* in its own pid namespace */
    uint32_t pid_namespace; /* the lower half of its number */
};

/* The readers there are, the kernel's word: how many, of which at most `count` are written. */
unsigned gnli_readers(struct gnli_file *file, uint64_t pid_namespace, struct gnli_reader *readers,
                      unsigned count);

#endif
