/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shmctl would do, and more: information, mode and owner, growing, sealing.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/process.h"

#define GROWER_BYTE    (((off_t)1 << 60) - 1) /* locked by who grows it; below those of the participants */
#define GROWER_LOOK_NS 1000000
#define GROWER_LOOKS   2000 /* two seconds */

static unsigned rights(gnl_segment *segment)
{
    return atomic_load_explicit(&segment->rights, memory_order_relaxed); /* A */
}

static int read_only(gnl_segment *segment)
{
    return gnli_fail(-EACCES, "%s: attached to be read alone", segment->subject);
}

int gnl_segment_info(gnl_segment *segment, struct gnl_segment_info *info)
{
    struct gnl_segment_info seen;
    struct stat status;
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    struct gnli_member *member = segment->member;
    if (!info)
        return gnli_segment_leave(segment,
                                  gnli_fail(-EINVAL, "%s: nowhere to put the information", segment->subject));
    if (fstat(member->file->descriptor, &status) != 0)
        return gnli_segment_leave(segment, gnli_fail_errno(errno, "%s", segment->subject));
    int seals = member->named ? 0 : fcntl(member->file->descriptor, F_GET_SEALS);
    uint64_t word = gnli_member_word(member);
    seen = (struct gnl_segment_info){
        .size = gnli_member_size(member),
        .mode = status.st_mode & 07777,
        .uid = status.st_uid,
        .gid = status.st_gid,
        .creator = (pid_t)member->header->creator,
        .rights = rights(segment),
        .sealed = seals > 0 && (seals & F_SEAL_WRITE),
        .read_only_given = seals > 0 && (seals & F_SEAL_FUTURE_WRITE),
        .removed = member->named && status.st_nlink == 0,
        .locked = gnli_segment_owner(word) != 0,
        .version = gnli_segment_version(word),
        .bytes = (uint64_t)status.st_blocks * 512,
    };
    result = (int)gnli_member_list(member, NULL, 0, &seen.attached);
    if (result >= 0)
        result = gnli_segment_usable(segment);
    if (result == 0)
        *info = seen;
    return gnli_segment_leave(segment, result);
}

ssize_t gnl_segment_participants(gnl_segment *segment, struct gnl_participant *participants, size_t count)
{
    uint64_t alive;
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    if (!participants && count > 0)
        result = gnli_fail(-EINVAL, "%s: nowhere to put the participants", segment->subject);
    else
        result = (int)gnli_member_list(segment->member, participants, count, &alive);
    return gnli_segment_leave(segment, result);
}

int gnl_segment_set_mode(gnl_segment *segment, mode_t mode)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    if ((mode & ~(mode_t)0777) || (mode & 0600) != 0600)
        result = gnli_fail(-EINVAL, "%s: mode %04o: it is made of 0777, and of 0600 at least",
                           segment->subject, mode);
    else if (fchmod(segment->member->file->descriptor, mode) != 0)
        result = gnli_fail_errno(errno, "%s: its mode is its owner's to set", segment->subject);
    return gnli_segment_leave(segment, result);
}

int gnl_segment_set_owner(gnl_segment *segment, uid_t uid, gid_t gid)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    if (fchown(segment->member->file->descriptor, uid, gid) != 0)
        result =
            gnli_fail_errno(errno, "%s: only root gives it another owner, its owner another group of theirs",
                            segment->subject);
    return gnli_segment_leave(segment, result);
}

/* ---- growing ---- */

/* Maps as much as there is; who only sees that nothing has changed does nothing. */
static int refresh(gnl_segment *segment)
{
    struct gnli_member *member = segment->member;
    uint64_t size = gnli_member_size(member);
    struct stat status;
    int result = 0;

    pthread_rwlock_wrlock(&segment->mapping);
    size_t here = gnl_segment_size(segment);
    if (size < here || fstat(member->file->descriptor, &status) != 0 ||
        (uint64_t)status.st_size - GNLI_SEGMENT_DATA < size)
        result = gnli_fail(-EBADMSG, "%s: says that it has %llu bytes, and has not", segment->subject,
                           (unsigned long long)size);
    else if (size > here) {
        void *data = gnli_remap_guarded(member->file, gnl_segment_data(segment), here, size);
        if (data) {
            atomic_store_explicit(&segment->data, data, memory_order_relaxed); /* A */
            atomic_store_explicit(&segment->size, size, memory_order_relaxed); /* A */
        } else
            result = gnli_fail_errno(errno, "%s: cannot map %llu bytes", segment->subject,
                                     (unsigned long long)size);
    }
    pthread_rwlock_unlock(&segment->mapping);
    return result;
}

/* One process grows a segment at a time: else one that finds no memory would take back another's. */
static int lock_grower(struct gnli_member *member, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = GROWER_BYTE, .l_len = 1 };

    for (unsigned i = 0; fcntl(member->file->descriptor, F_SETLK, &lock) != 0; i++) {
        if ((errno != EAGAIN && errno != EACCES) || i == GROWER_LOOKS)
            return -EBUSY;
        nanosleep(&(struct timespec){ .tv_nsec = GROWER_LOOK_NS }, NULL);
    }
    return 0;
}

static int grow(gnl_segment *segment, size_t size)
{
    struct gnli_member *member = segment->member;
    struct stat status;

    pthread_mutex_lock(&member->growing);
    int result = lock_grower(member, F_WRLCK);
    if (result < 0)
        gnli_fail(result, "%s: another process is growing it", segment->subject);
    uint64_t now = gnli_member_size(member);
    if (result == 0 && size > now) {
        if (fstat(member->file->descriptor, &status) != 0 ||
            (uint64_t)status.st_size < GNLI_SEGMENT_DATA + now)
            result = -EBADMSG;
        else
            result = gnli_file_extend(member->file, GNLI_SEGMENT_DATA + now, GNLI_SEGMENT_DATA + size,
                                      segment->subject);
        if (result == 0)
            atomic_store_explicit(&member->header->size, size, memory_order_release); /* E */
    }
    lock_grower(member, F_UNLCK);
    pthread_mutex_unlock(&member->growing);
    return result;
}

int gnl_segment_grow(gnl_segment *segment, size_t size)
{
    int result = gnli_segment_enter(segment);

    if (result < 0)
        return result;
    if (size > (size_t)INT64_MAX / 2)
        result = gnli_fail(-EFBIG, "%s: no machine has %zu bytes of memory", segment->subject, size);
    else if (!(rights(segment) & GNL_WRITE))
        result = read_only(segment);
    else
        result = grow(segment, size);
    if (result == 0)
        result = refresh(segment);
    return gnli_segment_leave(segment, result);
}

int gnl_segment_refresh(gnl_segment *segment)
{
    int result = gnli_segment_enter(segment);

    return result < 0 ? result : gnli_segment_leave(segment, refresh(segment));
}
