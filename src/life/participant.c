/* SPDX-License-Identifier: Apache-2.0 */
#include "life/participant.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LIFE_BYTES      ((off_t)1 << 60)
#define ADMISSION_BYTES (LIFE_BYTES + GNLI_PARTICIPANTS_MAX + 1)
#define READER_BYTES    ((off_t)1 << 61)
#define PID_BITS        22 /* the kernel's PID_MAX_LIMIT */
#define READERS_MAX     4096

static int lock_byte(struct gnli_file *file, off_t byte, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    return fcntl(file->descriptor, F_SETLK, &lock) == 0 ? 0 : -errno;
}

bool gnli_participant_dead(struct gnli_file *file, struct gnli_participant *records, unsigned number,
                           uint64_t pid_namespace)
{
    struct gnli_participant *record = &records[number];
    /* Asking for a read lock: only write locks stand in the way of one. */
    struct flock lock = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = LIFE_BYTES + number, .l_len = 1
    };

    atomic_load_explicit(&record->state, memory_order_acquire);                        /* A */
    pid_t pid = (pid_t)atomic_load_explicit(&record->pid, memory_order_relaxed);       /* B */
    uint64_t its = atomic_load_explicit(&record->pid_namespace, memory_order_relaxed); /* B */
    /* If the program closed our descriptor and its number is another file's now, nobody seems to live. */
    if (gnli_file_check(file) < 0 || fcntl(file->descriptor, F_OFD_GETLK, &lock) != 0)
        return false;
    if (lock.l_type == F_UNLCK)
        return true;
    return lock.l_pid > 0 && lock.l_pid != pid && its != 0 && its == pid_namespace;
}

bool gnli_participant_admit(struct gnli_file *file, unsigned number)
{
    return lock_byte(file, ADMISSION_BYTES + number, F_WRLCK) == 0;
}

void gnli_participant_admit_end(struct gnli_file *file, unsigned number)
{
    lock_byte(file, ADMISSION_BYTES + number, F_UNLCK);
}

int gnli_participant_join(struct gnli_file *file, struct gnli_participant *records, unsigned number,
                          uint64_t pid_namespace)
{
    struct gnli_participant *record = &records[number];

    int result = lock_byte(file, LIFE_BYTES + number, F_WRLCK);
    if (result < 0)
        return result;
    atomic_store_explicit(&record->pid, (uint32_t)getpid(), memory_order_relaxed);       /* B */
    atomic_store_explicit(&record->pid_namespace, pid_namespace, memory_order_relaxed);  /* B */
    atomic_store_explicit(&record->uid, geteuid(), memory_order_relaxed);                /* B */
    atomic_store_explicit(&record->gid, getegid(), memory_order_relaxed);                /* B */
    atomic_store_explicit(&record->senders, 0, memory_order_relaxed);                    /* B */
    atomic_store_explicit(&record->receivers, 0, memory_order_relaxed);                  /* B */
    atomic_store_explicit(&record->receiving[0], 0, memory_order_relaxed);               /* B */
    atomic_store_explicit(&record->receiving[1], 0, memory_order_relaxed);               /* B */
    atomic_store_explicit(&record->sending, 0, memory_order_relaxed);                    /* B */
    atomic_store_explicit(&record->state, GNLI_PARTICIPANT_ALIVE, memory_order_release); /* A */
    return 0;
}

void gnli_participant_leave(struct gnli_file *file, struct gnli_participant *records, unsigned number)
{
    atomic_store_explicit(&records[number].state, GNLI_PARTICIPANT_FREE, memory_order_release); /* A */
    lock_byte(file, LIFE_BYTES + number, F_UNLCK);
}

void gnli_participant_add_up(struct gnli_participant *record, _Atomic uint64_t *totals)
{
    _Atomic uint64_t *counters[] = { &record->sent, &record->received, &record->redelivered,
                                     &record->discarded };

    for (unsigned i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        uint64_t counted = atomic_exchange_explicit(counters[i], 0, memory_order_relaxed); /* B */
        atomic_fetch_add_explicit(&totals[i], counted, memory_order_relaxed);              /* B */
    }
}

int gnli_participant_confirm(struct gnli_file *file, struct gnli_participant *records, unsigned number)
{
    struct gnli_participant *record = &records[number];

    int result = gnli_file_check(file);
    if (result < 0)
        return result;
    /* If somebody else has the lock now, the number is theirs. */
    if (lock_byte(file, LIFE_BYTES + number, F_WRLCK) < 0)
        return -ESTALE;
    if (atomic_load_explicit(&record->state, memory_order_acquire) == GNLI_PARTICIPANT_ALIVE && /* A */
        atomic_load_explicit(&record->pid, memory_order_relaxed) == (uint32_t)getpid())         /* B */
        return 0;
    lock_byte(file, LIFE_BYTES + number, F_UNLCK);
    return -ESTALE;
}

/* ---- readers ---- */

static off_t reader_byte(uint64_t pid_namespace)
{
    return READER_BYTES + (off_t)((pid_namespace & UINT32_MAX) << PID_BITS) + getpid();
}

int gnli_reader_join(struct gnli_file *file, uint64_t pid_namespace)
{
    return lock_byte(file, reader_byte(pid_namespace), F_RDLCK);
}

void gnli_reader_leave(struct gnli_file *file, uint64_t pid_namespace)
{
    lock_byte(file, reader_byte(pid_namespace), F_UNLCK);
}

/* Some lock between the two bytes; false: there is none. */
static bool find_lock(struct gnli_file *file, off_t from, off_t to, struct flock *found)
{
    *found =
        (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = to - from + 1 };
    return from <= to && fcntl(file->descriptor, F_OFD_GETLK, found) == 0 && found->l_type != F_UNLCK;
}

/* Is it a lock that a reader takes? Others may lock what they like. */
static bool read_lock(const struct flock *lock, uint64_t pid_namespace, struct gnli_reader *reader)
{
    uint64_t place = (uint64_t)(lock->l_start - READER_BYTES);

    reader->pid = (pid_t)(place & ((1 << PID_BITS) - 1));
    reader->pid_namespace = (uint32_t)(place >> PID_BITS);
    return lock->l_type == F_RDLCK && lock->l_len == 1 &&
           (lock->l_pid == reader->pid || reader->pid_namespace != (uint32_t)pid_namespace);
}

unsigned gnli_readers(struct gnli_file *file, uint64_t pid_namespace, struct gnli_reader *readers,
                      unsigned count)
{
    /* The kernel tells of any lock of a range, not of the first: what is left and right of it comes next. */
    struct range {
        off_t from, to;
    } ranges[64] = { { READER_BYTES, READER_BYTES + ((off_t)1 << (32 + PID_BITS)) - 1 } };
    unsigned waiting = 1, found = 0;

    if (gnli_file_check(file) < 0)
        return 0;
    for (unsigned asked = 0; waiting > 0 && asked < 2 * READERS_MAX; asked++) {
        struct range range = ranges[--waiting];
        struct gnli_reader reader;
        struct flock lock;
        if (!find_lock(file, range.from, range.to, &lock))
            continue;
        if (read_lock(&lock, pid_namespace, &reader)) {
            if (found < count)
                readers[found] = reader;
            found++;
        }
        off_t end = lock.l_len == 0 ? range.to : lock.l_start + lock.l_len - 1;
        struct range left = { range.from, lock.l_start - 1 }, right = { end + 1, range.to };
        bool left_is_longer = left.to - left.from > right.to - right.from;
        /* The shorter one is looked at first: so few are waiting at a time. */
        if (waiting + 2 > sizeof ranges / sizeof ranges[0])
            break;
        ranges[waiting++] = left_is_longer ? left : right;
        ranges[waiting++] = left_is_longer ? right : left;
    }
    return found;
}
