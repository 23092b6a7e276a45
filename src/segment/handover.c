/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that travel: the descriptor of an anonymous one over a link, and a note that says that it is one.
 *
 * What the receiver may do is in the descriptor. One that was opened for reading cannot be mapped writable;
 * but whoever has it can open its file again through /proc, as far as owner and mode let them. So before the
 * first of those goes, the file is sealed: from then on the kernel gives nobody a new writable mapping of it,
 * whatever they open.
 */
#include "segment/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/errors.h"
#include "life/process.h"
#include "port/port.h"

struct note {
    uint64_t magic;
    uint32_t version;
    uint32_t unused;
};

/* Seals it, if need be. */
static int seal_for_readers(struct gnli_member *member, const char *subject)
{
    int seals = fcntl(member->file->descriptor, F_GET_SEALS);

    if (seals < 0)
        return gnli_fail_errno(errno, "%s", subject);
    if (seals & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE))
        return 0;
    /* Its readers will sleep without being able to say so. */
    atomic_store_explicit(&member->header->silent, 1, memory_order_relaxed); /* A */
    if (fcntl(member->file->descriptor, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0)
        return gnli_fail_errno(errno, "%s: cannot seal it, and so cannot give it to be read alone", subject);
    return 0;
}

/* What is to be sent, held until gnli_file_close. */
static int choose(struct gnli_file **file, gnl_segment *segment, unsigned asked)
{
    struct gnli_member *member = segment->member;
    const char *subject = segment->subject;
    unsigned have = atomic_load_explicit(&segment->rights, memory_order_relaxed); /* A */

    if (asked == 0 || (asked & ~(GNL_READ | GNL_WRITE)))
        return gnli_fail(-EINVAL, "%s: rights are GNL_READ, or GNL_READ | GNL_WRITE", subject);
    if (member->named)
        return gnli_fail(-EOPNOTSUPP, "%s: has a name: its owner and mode say who may attach it", subject);
    if (asked & GNL_WRITE) {
        if (!(have & GNL_WRITE))
            return gnli_fail(-EPERM, "%s: this process may only read it", subject);
        if (fcntl(member->file->descriptor, F_GET_SEALS) & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE))
            return gnli_fail(-EPERM, "%s: was given to be read alone: nobody else may write to it any more",
                             subject);
        gnli_file_hold(member->file);
        *file = member->file;
        return 0;
    }
    int result = member->file->writable ? seal_for_readers(member, subject) : 0;
    return result < 0 ? result : gnli_file_reader(file, member->file, subject);
}

int gnl_segment_give(gnl_port *port, gnl_segment *segment, unsigned asked, int64_t timeout)
{
    struct note note = { .magic = GNLI_SEGMENT_MAGIC, .version = GNLI_SEGMENT_VERSION };
    struct gnli_file *file = NULL;
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    result = gnli_segment_leave(segment, choose(&file, segment, asked));
    if (result < 0)
        return result;
    assert(file);
    /* A thread is inside one object at a time: the segment may be detached from here on, the file stays. */
    result = gnli_port_give(port, file->descriptor, &note, sizeof note, timeout);
    gnli_file_close(file);
    return result;
}

/* Consumes the descriptor. */
static int attach(gnl_segment **segment, int descriptor)
{
    static const char subject[] = "anonymous segment";
    struct gnli_member *member = NULL;
    struct gnli_file *file;
    bool spare = false;

    gnli_handles_lock();
    int result = gnli_file_adopt(&file, descriptor, &spare, subject);
    if (result == 0)
        result = gnli_member_join(&member, file, false, subject);
    if (result == 0 && spare)
        gnli_member_drop_spares(member);
    gnli_handles_unlock();
    if (result < 0)
        return result;
    assert(member);
    /* Reading a hole would take memory from the reader. The size comes first: somebody may be growing it. */
    uint64_t size = gnli_member_size(member);
    if (gnli_file_bytes(member->file) < size + 2 * GNLI_SEGMENT_PAGE) {
        gnli_member_leave(member);
        return gnli_fail(-EBADMSG, "%s: what was handed over has no memory for all of its data", subject);
    }
    return gnli_segment_new(segment, member, member->file->writable ? GNL_READ | GNL_WRITE : GNL_READ,
                            subject);
}

int gnl_segment_receive(gnl_port *port, gnl_segment **segment, int64_t timeout)
{
    union {
        struct note segment;
        char room[GNLI_NOTE_MAX];
    } note;
    size_t size = sizeof note;
    int descriptor = -1;

    if (!segment) {
        gnli_failure_begin();
        return gnli_fail(-EINVAL, "gnl_segment_receive: nowhere to put the segment");
    }
    int result = gnli_port_receive_given(port, &descriptor, &note, &size, timeout);
    if (result < 0)
        return result;
    if (size == sizeof note.segment && note.segment.magic == GNLI_SEGMENT_MAGIC)
        return attach(segment, descriptor);
    gnli_file_discard(descriptor);
    return gnli_fail(-EBADMSG, "%s: what was handed over is no segment", port->subject);
}
