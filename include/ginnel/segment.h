/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: memory that processes share, with an owner, rights, and what it takes to keep off each other's
 * toes.
 *
 *     named        a file of a runtime directory: who may attach it is decided by its owner and mode, as of
 *                  any file. NAME is this user's own, /NAME is machine-wide. Its address, segment:NAME, is
 *                  for gnl_remove, gnl_inspect and the command.
 *     anonymous    without a name: others get it over a direct link, with the rights that are given.
 *
 * The data is page-aligned, begins as zeros, and has a page on either side that nothing may touch. All of
 * its memory is reserved when it is made or grown.
 *
 * Every function:
 *   - is safe from several threads on the same segment, gnl_segment_detach excepted for what comes after it;
 *     while gnl_segment_grow, gnl_segment_refresh (the data may move) or gnl_segment_seal is at work no other
 *     thread may be using it;
 *   - is not safe in a signal handler unless it says so;
 *   - writes its out-parameters only on success;
 *   - returns the codes of errors.h, and besides those it names: -ECANCELED when gnl_segment_detach came in
 *     between, -EBADMSG when the segment was truncated or its first pages were scribbled over.
 *
 * Timeouts are relative nanoseconds (timeouts.h): GNL_NOWAIT, GNL_FOREVER, gnl_ms(250).
 *
 * What is lost with a file. An anonymous segment cannot be shortened: nothing that another process does makes
 * its reader fault. A named one can, by whoever may write to it: what was cut off reads as zeros from then
 * on, and calls say -EBADMSG (gnl_set_sigbus).
 *
 * Fork: the child may go on using a segment that it inherited, as an attached process of its own. A lock that
 * was held stays the parent's: -EPERM in the child.
 */
#ifndef GINNEL_SEGMENT_H
#define GINNEL_SEGMENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/names.h>
#include <ginnel/options.h>
#include <ginnel/port.h>
#include <ginnel/timeouts.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct gnl_segment gnl_segment;

/* Rights. Who may write may also read. */
#define GNL_READ  1u
#define GNL_WRITE 2u

/* A result above 0: as asked, but whoever had the segment locked last died inside (see each function). */
#define GNL_OWNER_DIED 1

struct gnl_segment_options {
    mode_t mode;            /* 0: 0600. As of a file, 0600 at least; the umask does not apply. Of an anonymous
                               one it binds only those who hold it already: 0 there is 0644 */
    enum gnl_create create; /* of an anonymous one: 0 */
    uint64_t reserved[4];   /* zero, else -EINVAL */
};

/*
 * Makes a segment of `size` bytes, all zeros, and attaches it to read and write; or attaches the one of that
 * name (options->create). name NULL: an anonymous one. Of one that exists: size 0 takes what is there, and a
 * larger size than it has, or another mode than it has, is -EINVAL. The caller owns *segment and ends it with
 * gnl_segment_detach. Does not block.
 * -EINVAL no size, no such name, contradicting options; -EEXIST, -ENOENT by options->create; -ENOSPC there is
 * no memory for it (nothing was made); -EACCES, -EPERM, -EBADMSG, -EPROTONOSUPPORT, -EUSERS as
 * gnl_segment_attach.
 */
int gnl_segment_create(gnl_segment **segment, const char *name, size_t size,
                       const struct gnl_segment_options *options);

/*
 * Attaches the segment of that name. With GNL_READ alone it is mapped so that this process cannot write to
 * it, by mistake or otherwise, through this segment. Does not block.
 * -ENOENT there is none of that name; -EACCES owner and mode forbid it; -EINVAL no such name or rights;
 * -EBADMSG the file there is no segment, or damaged; -EPROTONOSUPPORT made by another layout version;
 * -EUSERS too many processes (4095) have it attached for writing.
 */
int gnl_segment_attach(gnl_segment **segment, const char *name, unsigned rights);

/* Where the data is. NULL for no segment. Blocks never, cannot fail; safe in a signal handler. */
void *gnl_segment_data(gnl_segment *segment);

/* Bytes of data here: as asked for, or as of the last gnl_segment_refresh. 0 for no segment. Cannot fail. */
size_t gnl_segment_size(const gnl_segment *segment);

/*
 * Ends the attachment: the data is not mapped here any more. Calls blocked on it in other threads return
 * -ECANCELED, and it waits for them to leave. A lock that was taken through it is unlocked. NULL is fine.
 */
int gnl_segment_detach(gnl_segment *segment);

/* ---- control ---- */

struct gnl_segment_info {
    uint64_t size;       /* bytes of data; larger than gnl_segment_size() if somebody has grown it */
    mode_t mode;         /* of its file */
    uid_t uid, gid;      /* its owner */
    pid_t creator;       /* the process that made it, as it said, in its own pid namespace */
    uint64_t attached;   /* living processes that have it attached: the kernel's word */
    unsigned rights;     /* of this attachment: GNL_READ, or GNL_READ | GNL_WRITE */
    int sealed;          /* nobody may write any more */
    int read_only_given; /* it was given to be read alone: nobody else can be given the right to write */
    int removed;         /* its name is gone; it lasts as long as it is attached. 0 for anonymous ones */
    int locked;          /* somebody has it locked, dead or alive */
    uint64_t version;
    uint64_t bytes; /* of memory that it occupies, its first pages included */
    uint64_t reserved[4];
};

int gnl_segment_info(gnl_segment *segment, struct gnl_segment_info *info);

/*
 * Who has it attached: returns how many there are, of which the first `count` are written, as gnl_inspect
 * does for a name. `senders` is 1 of those that may write, `held` 1 of the one that has it locked. The dead
 * whose remains nobody has met yet are among them.
 */
ssize_t gnl_segment_participants(gnl_segment *segment, struct gnl_participant *participants, size_t count);

/* The mode and owner of its file, as chmod and chown do: those who are attached stay. -EPERM not yours. */
int gnl_segment_set_mode(gnl_segment *segment, mode_t mode);
int gnl_segment_set_owner(gnl_segment *segment, uid_t uid, gid_t gid);

/*
 * Makes it `size` bytes long; what is new is zeros. The data may move for the caller; others see the new size
 * in gnl_segment_info and go on with the old until they call gnl_segment_refresh. It never becomes shorter: a
 * size that is not larger only refreshes.
 * -EACCES attached to read; -ENOSPC no memory, nothing has changed; -EPERM sealed; -EBUSY other processes are
 * growing it and do not come to an end.
 */
int gnl_segment_grow(gnl_segment *segment, size_t size);

/* Maps what others have grown: the data may move. 0. */
int gnl_segment_refresh(gnl_segment *segment);

/*
 * Nobody writes from now on, not even this process, whose attachments become such for reading; the kernel
 * sees to that. -EBUSY another process, or a child that inherited it, has it attached for writing, or it is
 * locked; -EOPNOTSUPP it has a name; -EACCES attached to read.
 */
int gnl_segment_seal(gnl_segment *segment);

/* ---- handing over ---- */

/*
 * Gives an anonymous segment to the other side of a direct link, in one order with the messages: the receiver
 * gets these rights, which the kernel enforces, and cannot raise them. Giving with GNL_READ alone seals the
 * segment against anybody's mapping it for writing anew, for ever: existing writers go on, and giving it with
 * GNL_WRITE is -EPERM from then on. Waits for room as gnl_send.
 * -EPERM more than this process has, or has been given to be read; -EOPNOTSUPP a link that hands nothing
 * over, or a segment with a name (its mode says who may attach it); -EPIPE, -EAGAIN, -ETIMEDOUT as gnl_send.
 */
int gnl_segment_give(gnl_port *port, gnl_segment *segment, unsigned rights, int64_t timeout);

/*
 * Receives a segment that was given, and attaches it. What comes is checked: memory that cannot shrink, of
 * the size that it says, a segment; else -EBADMSG, and it is gone. -ENOMSG what comes next is a message:
 * receive that first. -EAGAIN, -ETIMEDOUT nothing came; -EPIPE the other side is gone.
 */
int gnl_segment_receive(gnl_port *port, gnl_segment **segment, int64_t timeout);

/* ---- keeping off each other's toes ---- */

/*
 * Locks the segment for writing: one thread of one process at a time, if all of them lock. Returns 0, or
 * GNL_OWNER_DIED: it is locked, but whoever had it locked before died inside, and the data may be
 * half-changed. A process that is stopped is not dead: it keeps its lock. A thread that ends keeps it too,
 * until its process ends. -EACCES attached to read; -EDEADLK this thread has it locked; -EAGAIN, -ETIMEDOUT
 * somebody else has.
 */
int gnl_segment_lock(gnl_segment *segment, int64_t timeout);

/*
 * Unlocks it: its version is another from now on, and those who wait for that wake up. -EPERM it was not this
 * thread that locked it (in a child: the parent did).
 */
int gnl_segment_unlock(gnl_segment *segment);

/*
 * Changes at every unlock, and once when a holder's death is noticed. 0 for no segment. Blocks never; safe in
 * a signal handler.
 */
uint64_t gnl_segment_version(gnl_segment *segment);

/*
 * Waits, asleep, until the version is another than `seen`: 0. GNL_OWNER_DIED: it is the same still, but
 * whoever has it locked is dead, and nobody who may write has noticed yet (only where this attachment may
 * only read).
 * -EAGAIN, -ETIMEDOUT it is the same.
 */
int gnl_segment_wait(gnl_segment *segment, uint64_t seen, int64_t timeout);

/*
 * Copies `size` bytes from `offset` on, as they are between two locks; never keeps a writer waiting. Returns
 * 0, or GNL_OWNER_DIED: copied, but whoever had it locked last died inside and nobody has locked since, so
 * what was copied may be half-changed. A thread that has it locked copies what it sees.
 * -EINVAL beyond the end of the data here (gnl_segment_refresh); -EAGAIN, -ETIMEDOUT a writer left no gap
 * that was long enough.
 */
int gnl_segment_snapshot(gnl_segment *segment, size_t offset, void *copy, size_t size, int64_t timeout);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
