/* SPDX-License-Identifier: Apache-2.0 */
#include "segment/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/process.h"

#define RECORDS_A_PAGE (GNLI_SEGMENT_PAGE / sizeof(struct gnli_participant))
#define READERS_SHOWN  4096

static struct gnli_member *members; /* of this process; under the handles' lock */

uint64_t gnli_member_size(struct gnli_member *member)
{
    return atomic_load_explicit(&member->header->size, memory_order_acquire); /* E */
}

uint64_t gnli_member_word(struct gnli_member *member)
{
    return atomic_load_explicit(&member->header->word, memory_order_acquire); /* B */
}

bool gnli_member_swap(struct gnli_member *member, uint64_t from, uint64_t to)
{
    _Atomic uint64_t *word = &member->header->word;

    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst, /* B D */
                                                   memory_order_seq_cst);                 /* B D */
}

/* Records that have memory; number 0 is nobody's. */
static unsigned records(struct gnli_member *member)
{
    unsigned count = atomic_load_explicit(&member->header->participants, memory_order_acquire); /* E */

    return count <= GNLI_PARTICIPANTS_MAX + 1 ? count : GNLI_PARTICIPANTS_MAX + 1;
}

static bool in_use(struct gnli_member *member, unsigned number)
{
    uint32_t state = atomic_load_explicit(&member->records[number].state, memory_order_acquire); /* F */

    return state == GNLI_PARTICIPANT_ALIVE;
}

bool gnli_member_dead(struct gnli_member *member, unsigned number)
{
    return gnli_participant_dead(member->file, member->records, number, member->pid_namespace);
}

void gnli_member_wake(struct gnli_member *member)
{
    struct gnli_segment_header *header = member->header;
    bool silent = atomic_load_explicit(&header->silent, memory_order_relaxed) != 0;   /* A */
    bool waiting = atomic_load_explicit(&header->waiting, memory_order_seq_cst) != 0; /* D */

    if (waiting)
        atomic_store_explicit(&header->waiting, 0, memory_order_seq_cst); /* D */
    atomic_fetch_add_explicit(&header->changes, 1, memory_order_seq_cst); /* D */
    if (waiting || silent)
        gnli_futex_wake(&header->changes);
}

void gnli_member_bury(struct gnli_member *member, unsigned number)
{
    uint64_t word = gnli_member_word(member);
    uint64_t buried = gnli_segment_word(gnli_segment_version(word) + 1, 0) | GNLI_SEGMENT_DIED;

    /* X4. If it is another by now somebody else has done it: the dead do not lock. */
    if (gnli_segment_owner(word) == number && gnli_member_swap(member, word, buried))
        gnli_member_wake(member);
}

/* ---- joining ---- */

/* Gives a dead one's number free. */
static void sweep(struct gnli_member *member, unsigned number)
{
    if (!in_use(member, number) || !gnli_member_dead(member, number) ||
        !gnli_participant_admit(member->file, number))
        return;
    if (in_use(member, number) && gnli_member_dead(member, number)) {
        gnli_member_bury(member, number); /* I3 */
        gnli_participant_leave(member->file, member->records, number);
    }
    gnli_participant_admit_end(member->file, number);
}

/*
 * Joins under the first number that is free; 0: none is. One whose byte somebody has locked is passed over:
 * whoever may only read the file can read-lock it.
 */
static unsigned take_number(struct gnli_member *member)
{
    for (unsigned number = 1; number < records(member); number++) {
        if (in_use(member, number) || !gnli_participant_admit(member->file, number))
            continue;
        bool joined = !in_use(member, number) && gnli_participant_join(member->file, member->records, number,
                                                                       member->pid_namespace) == 0;
        if (joined)
            gnli_member_bury(member, number); /* I3: one whose record somebody scribbled over */
        gnli_participant_admit_end(member->file, number);
        if (joined)
            return number;
    }
    return 0;
}

/* Memory for another page of records. */
static int more_records(struct gnli_member *member)
{
    uint32_t count = records(member);

    if (count + RECORDS_A_PAGE > GNLI_PARTICIPANTS_MAX + 1)
        return -EUSERS;
    int result = gnli_file_reserve(
        member->file, GNLI_SEGMENT_RECORDS + count * sizeof(struct gnli_participant), GNLI_SEGMENT_PAGE);
    if (result < 0)
        return result;
    /* If another process was quicker, there are more records all the same. */
    _Atomic uint32_t *number = &member->header->participants;
    uint32_t more = count + (uint32_t)RECORDS_A_PAGE;
    atomic_compare_exchange_strong_explicit(number, &count, more, memory_order_acq_rel, /* E */
                                            memory_order_acquire);                      /* E */
    return 0;
}

static int join_writing(struct gnli_member *member, const char *subject)
{
    for (unsigned number = 1; number < records(member); number++)
        sweep(member, number);
    for (;;) {
        unsigned number = take_number(member);
        atomic_store_explicit(&member->number, number, memory_order_relaxed); /* A */
        if (number != 0)
            return 0;
        int result = more_records(member);
        if (result == -EUSERS)
            return gnli_fail(result, "%s: %u processes have it attached for writing: no more can", subject,
                             GNLI_PARTICIPANTS_MAX);
        if (result < 0)
            return gnli_fail_errno(-result, "%s: no memory to attach it", subject);
    }
}

/* This process becomes one that has the file attached. */
static int join(struct gnli_member *member, const char *subject)
{
    int result;

    member->pid_namespace = gnli_process_pid_namespace();
    atomic_store_explicit(&member->number, 0, memory_order_relaxed); /* A */
    member->holder = NULL;
    member->through = NULL;
    if (member->file->writable)
        result = join_writing(member, subject);
    else if ((result = gnli_reader_join(member->file, member->pid_namespace)) < 0)
        gnli_fail_errno(-result, "%s: cannot note that it is attached", subject);
    if (result == 0)
        atomic_store_explicit(&member->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
    return result;
}

int gnli_member_rejoin(struct gnli_member *member, const char *subject)
{
    if (gnli_process_is(atomic_load_explicit(&member->stamp, memory_order_relaxed))) /* A */
        return 0;
    /* Other threads of the parent may have held these. */
    pthread_mutex_init(&member->lock, NULL);
    pthread_mutex_init(&member->growing, NULL);
    return join(member, subject);
}

/* What is sure of a segment's file. */
static int read_header(struct gnli_file *file, const char *subject)
{
    struct gnli_segment_header header;
    struct stat status;

    if (pread(file->descriptor, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        header.magic != GNLI_SEGMENT_MAGIC)
        return gnli_fail(-EBADMSG, "%s: its file is not a segment", subject);
    if (header.version != GNLI_SEGMENT_VERSION)
        return gnli_fail(-EPROTONOSUPPORT,
                         "%s: made by layout version %u of the library, this one reads version %u: "
                         "remove it, or use it with the library that made it",
                         subject, header.version, GNLI_SEGMENT_VERSION);
    uint64_t size = atomic_load_explicit(&header.size, memory_order_relaxed); /* A */
    if (fstat(file->descriptor, &status) != 0) /* after the size was read: somebody may be growing it */
        return gnli_fail_errno(errno, "%s", subject);
    if (size == 0 || (uint64_t)status.st_size < GNLI_SEGMENT_DATA ||
        (uint64_t)status.st_size - GNLI_SEGMENT_DATA < size)
        return gnli_fail(-EBADMSG, "%s: its file was truncated, or its header is damaged", subject);
    file->size = GNLI_SEGMENT_DATA + size; /* what it may not lose */
    return 0;
}

int gnli_member_look(struct gnli_member *member, struct gnli_file *file, const char *subject)
{
    *member = (struct gnli_member){ .file = file, .pid_namespace = gnli_process_pid_namespace() };
    int result = read_header(file, subject);
    if (result == 0) {
        char *control = file->writable ? gnli_map(file, 0, GNLI_SEGMENT_DATA)
                                       : gnli_map_to_read(file, 0, GNLI_SEGMENT_DATA);
        if (!control)
            result = gnli_fail_errno(errno, "%s: cannot map it", subject);
        member->header = (struct gnli_segment_header *)(void *)control;
        member->records = (struct gnli_participant *)(void *)(control + GNLI_SEGMENT_RECORDS);
    }
    if (result < 0)
        gnli_file_close(file);
    return result;
}

void gnli_member_look_end(struct gnli_member *member)
{
    gnli_unmap(member->header, GNLI_SEGMENT_DATA);
    gnli_file_close(member->file);
}

int gnli_member_join(struct gnli_member **member, struct gnli_file *file, bool named, const char *subject)
{
    for (struct gnli_member *known = members; known; known = known->next)
        if (known->file == file) {
            gnli_file_close(file);
            int result = gnli_member_rejoin(known, subject);
            if (result < 0)
                return result;
            known->references++;
            *member = known;
            return 0;
        }
    struct gnli_member *made = malloc(sizeof *made);
    if (!made) {
        gnli_file_close(file);
        return gnli_fail_plain(-ENOMEM, subject);
    }
    int result = gnli_member_look(made, file, subject);
    if (result == 0) {
        result = join(made, subject);
        if (result < 0)
            gnli_member_look_end(made);
    }
    if (result < 0) {
        free(made);
        return result;
    }
    pthread_mutex_init(&made->lock, NULL);
    pthread_mutex_init(&made->growing, NULL);
    made->named = named;
    made->references = 1;
    made->next = members;
    members = made;
    *member = made;
    return 0;
}

void gnli_member_leave(struct gnli_member *member)
{
    gnli_handles_lock();
    if (--member->references > 0) {
        gnli_handles_unlock();
        return;
    }
    struct gnli_member **link = &members;
    while (*link != member)
        link = &(*link)->next;
    *link = member->next;
    /* A child that never used it leaves nothing: the record is its parent's. */
    if (gnli_process_is(atomic_load_explicit(&member->stamp, memory_order_relaxed))) { /* A */
        if (gnli_member_number(member) != 0)
            gnli_participant_leave(member->file, member->records, gnli_member_number(member));
        else
            gnli_reader_leave(member->file, member->pid_namespace);
    }
    gnli_member_look_end(member);
    pthread_mutex_destroy(&member->lock);
    pthread_mutex_destroy(&member->growing);
    free(member);
    gnli_handles_unlock();
}

/* ---- the proof of life ---- */

/* The handles' lock and the member's are held. */
static int confirm(struct gnli_member *member, const char *subject)
{
    if (gnli_member_number(member) == 0) {
        int result = gnli_file_check(member->file);
        return result < 0 ? result : gnli_reader_join(member->file, member->pid_namespace);
    }
    int result = gnli_participant_confirm(member->file, member->records, gnli_member_number(member));
    return result == -ESTALE ? join_writing(member, subject) : result;
}

int gnli_member_confirm(struct gnli_member *member, const char *subject)
{
    gnli_handles_lock();
    pthread_mutex_lock(&member->lock);
    int result = confirm(member, subject);
    pthread_mutex_unlock(&member->lock);
    gnli_handles_unlock();
    return result;
}

void gnli_member_drop_spares(struct gnli_member *member)
{
    struct gnli_member *same[2]; /* at most: one to write and one to read */
    unsigned count = 0;
    bool locked = false;

    for (struct gnli_member *known = members; known && count < 2; known = known->next)
        if (known->file->inode == member->file->inode && known->file->device == member->file->device) {
            pthread_mutex_lock(&known->lock);
            locked |= known->holder != NULL;
            same[count++] = known;
        }
    /* While it is locked nobody may take this process for dead; later is early enough. */
    if (!locked)
        gnli_file_drop_spares(member->file);
    for (unsigned i = 0; i < count; i++) {
        if (!locked)
            confirm(same[i], "a segment that was received once more");
        pthread_mutex_unlock(&same[i]->lock);
    }
}

/* ---- sealing ---- */

void gnli_member_retire(struct gnli_member *member)
{
    pthread_mutex_lock(&member->lock);
    gnli_participant_leave(member->file, member->records, gnli_member_number(member));
    atomic_store_explicit(&member->number, 0, memory_order_relaxed); /* A */
    pthread_mutex_unlock(&member->lock);
}

int gnli_member_return(struct gnli_member *member, const char *subject)
{
    pthread_mutex_lock(&member->lock);
    int result = join_writing(member, subject);
    pthread_mutex_unlock(&member->lock);
    return result;
}

void gnli_member_read_only(struct gnli_member *member, struct gnli_file *reader)
{
    struct gnli_file *writer = member->file;

    pthread_mutex_lock(&member->lock);
    reader->size = writer->size;
    member->file = reader;
    gnli_reader_join(reader, member->pid_namespace);
    pthread_mutex_unlock(&member->lock);
    gnli_file_close(writer);
}

/* ---- who there is ---- */

bool gnli_member_is(struct gnli_member *member, const struct gnl_participant *participant)
{
    return participant->same_pid_namespace && participant->pid == getpid();
}

static void describe(struct gnli_member *member, unsigned number, struct gnl_participant *participant)
{
    struct gnli_participant *record = &member->records[number];
    uint64_t its = atomic_load_explicit(&record->pid_namespace, memory_order_relaxed); /* A */

    *participant = (struct gnl_participant){
        .pid = (pid_t)atomic_load_explicit(&record->pid, memory_order_relaxed), /* A */
        .uid = atomic_load_explicit(&record->uid, memory_order_relaxed),        /* A */
        .alive = !gnli_member_dead(member, number),
        .same_pid_namespace = its == member->pid_namespace,
        .senders = 1,
        .receivers = 1,
        .held = gnli_segment_owner(gnli_member_word(member)) == number,
    };
}

static void describe_reader(struct gnli_member *member, const struct gnli_reader *reader,
                            struct gnl_participant *participant)
{
    struct stat status;
    char path[32];

    *participant = (struct gnl_participant){
        .pid = reader->pid,
        .uid = (uid_t)-1,
        .alive = 1,
        .same_pid_namespace = reader->pid_namespace == (uint32_t)member->pid_namespace,
        .receivers = 1,
    };
    snprintf(path, sizeof path, "/proc/%d", (int)reader->pid);
    if (participant->same_pid_namespace && stat(path, &status) == 0)
        participant->uid = status.st_uid;
}

/* Is it among those that may write, too? */
static bool writes(struct gnli_member *member, const struct gnli_reader *reader)
{
    for (unsigned number = 1; number < records(member); number++) {
        struct gnli_participant *record = &member->records[number];
        if (in_use(member, number) &&
            atomic_load_explicit(&record->pid, memory_order_relaxed) == (uint32_t)reader->pid && /* A */
            (uint32_t)atomic_load_explicit(&record->pid_namespace, memory_order_relaxed) ==      /* A */
                reader->pid_namespace)
            return true;
    }
    return false;
}

ssize_t gnli_member_list(struct gnli_member *member, struct gnl_participant *participants, size_t count,
                         uint64_t *alive)
{
    struct gnli_reader *readers = malloc(READERS_SHOWN * sizeof *readers);
    ssize_t found = 0;

    if (!readers)
        return -ENOMEM;
    *alive = 0;
    for (unsigned number = 1; number < records(member); number++)
        if (in_use(member, number)) {
            struct gnl_participant one;
            describe(member, number, &one);
            *alive += one.alive != 0;
            if ((size_t)found < count)
                participants[found] = one;
            found++;
        }
    unsigned reading = gnli_readers(member->file, member->pid_namespace, readers, READERS_SHOWN);
    for (unsigned i = 0; i < reading && i < READERS_SHOWN; i++) {
        if (writes(member, &readers[i]))
            continue;
        if ((size_t)found < count)
            describe_reader(member, &readers[i], &participants[found]);
        found++;
        (*alive)++;
    }
    free(readers);
    return found;
}
