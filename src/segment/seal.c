/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing an anonymous segment: nobody writes any more. The kernel seals only what nobody has mapped
 * writable, so this process's own mappings are replaced first by such as cannot be made writable, and it
 * becomes one of those who read.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/errors.h"
#include "life/process.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Is somebody else there who may write? */
static bool others_write(struct gnli_member *member)
{
    struct gnl_participant first[2];
    uint64_t alive;

    ssize_t found = gnli_member_list(member, first, 2, &alive);
    for (ssize_t i = 0; i < found && i < 2; i++)
        if (first[i].alive && first[i].senders > 0 && !gnli_member_is(member, &first[i]))
            return true;
    return false;
}

static bool map_all(gnl_segment *segment, struct gnli_file *file, bool writable)
{
    return gnli_map_instead(file, gnl_segment_data(segment), writable) &&
           gnli_map_instead(file, segment->member->header, writable);
}

/* Under the handles' lock and the mapping's. */
static int seal(gnl_segment *segment, struct gnli_file *reader)
{
    struct gnli_member *member = segment->member;
    struct gnli_file *writer = member->file;
    int result = 0;

    gnli_member_retire(member);
    if (!map_all(segment, reader, false))
        result = gnli_fail_errno(errno, "%s: cannot map it to be read alone", segment->subject);
    else if (fcntl(writer->descriptor, F_ADD_SEALS, SEALS) != 0)
        result = errno == EBUSY ? gnli_fail(-EBUSY,
                                            "%s: another process has it mapped writable, or a child "
                                            "that inherited it",
                                            segment->subject)
                                : gnli_fail_errno(errno, "%s: cannot seal it", segment->subject);
    /* Where it has been given to be read alone there is no way back: the kernel maps it writable no more. */
    if (result < 0 && map_all(segment, writer, true))
        return gnli_member_return(member, segment->subject) < 0 ? -EBADMSG : result;
    atomic_store_explicit(&segment->rights, GNL_READ, memory_order_relaxed); /* A */
    gnli_member_read_only(member, reader);
    return result;
}

/* Nobody has it locked, dead ones included. */
static int lock_and_unlock(gnl_segment *segment)
{
    int result = gnl_segment_lock(segment, GNL_NOWAIT);

    if (result == -EAGAIN || result == -EDEADLK)
        return gnli_fail(-EBUSY, "%s: it is locked: unlock it first", segment->subject);
    return result < 0 ? result : gnl_segment_unlock(segment);
}

int gnl_segment_seal(gnl_segment *segment)
{
    struct gnli_file *reader = NULL;
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    if (segment->member->named)
        result = gnli_fail(-EOPNOTSUPP, "%s: has a name: set its mode instead", segment->subject);
    gnli_segment_leave(segment, result);
    if (result == 0)
        result = lock_and_unlock(segment);
    if (result < 0 || (result = gnli_segment_enter(segment)) < 0)
        return result;
    gnli_handles_lock();
    pthread_rwlock_wrlock(&segment->mapping);
    if (segment->member->references > 1)
        result = gnli_fail(-EBUSY, "%s: this process has it attached more than once", segment->subject);
    else if (others_write(segment->member))
        result = gnli_fail(-EBUSY, "%s: another process has it attached for writing", segment->subject);
    else
        result = gnli_file_reader(&reader, segment->member->file, segment->subject);
    if (result == 0) {
        result = seal(segment, reader);
        if (segment->member->file != reader)
            gnli_file_close(reader);
    }
    pthread_rwlock_unlock(&segment->mapping);
    gnli_handles_unlock();
    return gnli_segment_leave(segment, result);
}
