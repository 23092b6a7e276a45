/* SPDX-License-Identifier: Apache-2.0 */
#include "life/participant.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LIFE_BYTES      ((off_t)1 << 60)
#define ADMISSION_BYTES (LIFE_BYTES + GNLI_PARTICIPANTS_MAX + 1)

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
