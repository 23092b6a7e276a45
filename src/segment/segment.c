/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments: made, attached, detached, removed and looked at.
 */
#include "segment/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "life/process.h"
#include "port/kinds.h"

#define RACES_MAX       16                 /* with others who make and remove the same name */
#define POPULATED_MAX   ((size_t)16 << 20) /* mapped page by page at once */
#define RECORDS_AT_ONCE (GNLI_SEGMENT_PAGE / sizeof(struct gnli_participant))

/* ---- attachments ---- */

int gnli_segment_new(gnl_segment **segment, struct gnli_member *member, unsigned rights, const char *subject)
{
    gnl_segment *made = calloc(1, sizeof *made);
    uint64_t size = gnli_member_size(member);
    struct stat status;
    int result = 0;

    if (!made) {
        gnli_member_leave(member);
        return gnli_fail_plain(-ENOMEM, subject);
    }
    /* The size may have been written over since it was checked. */
    if (fstat(member->file->descriptor, &status) != 0 || size == 0 ||
        (uint64_t)status.st_size < GNLI_SEGMENT_DATA || (uint64_t)status.st_size - GNLI_SEGMENT_DATA < size)
        result = gnli_fail(-EBADMSG, "%s: it says that it has %llu bytes, and has not", subject,
                           (unsigned long long)size);
    if (result == 0) {
        char *data = gnli_map_guarded(member->file, GNLI_SEGMENT_DATA, size, (rights & GNL_WRITE) != 0);
        if (!data)
            result = gnli_fail_errno(errno, "%s: cannot map %llu bytes", subject, (unsigned long long)size);
        atomic_init(&made->data, data);
    }
    if (result < 0) {
        free(made);
        gnli_member_leave(member);
        return result;
    }
    /* A fault a page costs a writer twice as much; a reader, for whom the kernel maps many at a time,
     * nothing. */
    if (size <= POPULATED_MAX && (rights & GNL_WRITE))
        gnli_populate(gnl_segment_data(made), size);
    made->member = member;
    snprintf(made->subject, sizeof made->subject, "%s", subject);
    atomic_init(&made->rights, rights);
    atomic_init(&made->size, size);
    pthread_rwlock_init(&made->mapping, NULL);
    gnli_spin_init(&made->spin);
    atomic_store_explicit(&made->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
    *segment = made;
    return 0;
}

int gnli_segment_usable(gnl_segment *segment)
{
    struct gnli_file *file = segment->member->file;

    if (atomic_load_explicit(&segment->closing, memory_order_relaxed)) /* A */
        return -ECANCELED;
    if (gnli_file_patched(file) && gnli_file_repair(file) < 0)
        return -EBADMSG;
    return 0;
}

/* The first call in a forked child: it is attached by itself from now on. */
static int after_fork(gnl_segment *segment)
{
    int result = 0;

    gnli_handles_lock();
    if (!gnli_process_is(atomic_load_explicit(&segment->stamp, memory_order_relaxed))) { /* A */
        result = gnli_member_rejoin(segment->member, segment->subject);
        if (result == 0) {
            pthread_rwlock_init(&segment->mapping, NULL);
            atomic_store_explicit(&segment->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
        }
    }
    gnli_handles_unlock();
    return result;
}

int gnli_segment_enter(gnl_segment *segment)
{
    int result = 0;

    gnli_failure_begin();
    if (!segment)
        return gnli_fail(-EINVAL, "no segment given");
    gnli_enter(segment);
    if (!gnli_process_is(atomic_load_explicit(&segment->stamp, memory_order_relaxed))) /* A */
        result = after_fork(segment);
    if (result == 0)
        result = gnli_segment_usable(segment);
    return result < 0 ? gnli_segment_leave(segment, result) : 0;
}

int gnli_segment_leave(gnl_segment *segment, int result)
{
    if (result < 0)
        gnli_fail_plain(result, segment->subject);
    gnli_leave();
    return result;
}

void *gnl_segment_data(gnl_segment *segment)
{
    return segment ? atomic_load_explicit(&segment->data, memory_order_relaxed) : NULL; /* A */
}

size_t gnl_segment_size(const gnl_segment *segment)
{
    return segment ? atomic_load_explicit(&segment->size, memory_order_relaxed) : 0; /* A */
}

int gnl_segment_detach(gnl_segment *segment)
{
    gnli_failure_begin();
    if (!segment)
        return 0;
    if (atomic_exchange_explicit(&segment->closing, true, memory_order_relaxed)) /* A */
        return gnli_fail(-EINVAL, "%s: detached twice", segment->subject);
    while (gnli_anyone_inside(segment)) {
        gnli_futex_wake(&segment->member->header->changes);
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    gnli_segment_unlock_all(segment);
    gnli_unmap_guarded(gnl_segment_data(segment), gnl_segment_size(segment));
    gnli_member_leave(segment->member);
    pthread_rwlock_destroy(&segment->mapping);
    free(segment);
    return 0;
}

/* ---- names ---- */

static void describe(char *subject, const struct gnli_address *address)
{
    snprintf(subject, GNL_ADDRESS_MAX + 1, "segment '%s%s'", address->machine_wide ? "/" : "", address->name);
}

static void file_name(char *name, const struct gnli_address *address)
{
    snprintf(name, GNL_ADDRESS_MAX + 1, "segment:%s", address->name);
}

/* "frames", "/frames" */
static int parse_name(struct gnli_address *address, const char *name)
{
    *address = (struct gnli_address){ .kind = "segment" };
    if (name && name[0] == '/')
        address->machine_wide = true;
    if (!name || !gnli_name_valid(name + address->machine_wide))
        return gnli_fail(-EINVAL,
                         "segment '%.100s': a name is 1 to %d of A-Z a-z 0-9 . _ - with no leading dot",
                         name ? name : "", GNL_NAME_MAX);
    strcpy(address->name, name + address->machine_wide);
    return 0;
}

static int attach_in(gnl_segment **segment, int directory, const struct gnli_address *address,
                     unsigned rights)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];
    struct gnli_member *member = NULL;
    struct gnli_file *file;

    describe(subject, address);
    file_name(name, address);
    gnli_handles_lock();
    int result = rights & GNL_WRITE ? gnli_file_open(&file, directory, name, subject)
                                    : gnli_file_open_to_read(&file, directory, name, subject);
    if (result == 0)
        result = gnli_member_join(&member, file, true, subject);
    gnli_handles_unlock();
    if (result < 0)
        return result;
    assert(member);
    return gnli_segment_new(segment, member, rights, subject);
}

int gnl_segment_attach(gnl_segment **segment, const char *name, unsigned rights)
{
    struct gnli_address address;

    gnli_failure_begin();
    if (!segment)
        return gnli_fail(-EINVAL, "gnl_segment_attach: nowhere to put the segment");
    int result = parse_name(&address, name);
    if (result == 0 && (rights == 0 || (rights & ~(GNL_READ | GNL_WRITE))))
        result = gnli_fail(-EINVAL, "segment '%s': rights are GNL_READ, or GNL_READ | GNL_WRITE", name);
    if (result == 0)
        result = gnli_process_prepare();
    if (result < 0)
        return result;
    int directory = gnli_directory_open(address.machine_wide, false);
    if (directory < 0)
        return directory;
    result = attach_in(segment, directory, &address, rights & GNL_WRITE ? GNL_READ | GNL_WRITE : GNL_READ);
    close(directory);
    return result;
}

/* ---- making one ---- */

/* A file with all that a segment has. */
static int fill(struct gnli_file *file, size_t size, bool named, const char *subject)
{
    int result = gnli_file_extend(file, GNLI_SEGMENT_DATA, GNLI_SEGMENT_DATA + size, subject);

    if (result == 0 && ((result = gnli_file_reserve(file, 0, GNLI_SEGMENT_PAGE)) < 0 ||
                        (result = gnli_file_reserve(file, GNLI_SEGMENT_RECORDS, GNLI_SEGMENT_PAGE)) < 0))
        gnli_fail_errno(-result, "%s: cannot reserve memory for it", subject);
    if (result < 0)
        return result;
    struct gnli_segment_header *header = gnli_map(file, 0, GNLI_SEGMENT_PAGE);
    if (!header)
        return gnli_fail_errno(errno, "%s: cannot map it", subject);
    *header = (struct gnli_segment_header){
        .magic = GNLI_SEGMENT_MAGIC,
        .version = GNLI_SEGMENT_VERSION,
        .creator = (uint32_t)getpid(),
        .creator_namespace = gnli_process_pid_namespace(),
        .size = size,
        .participants = RECORDS_AT_ONCE,
        .silent = named,
    };
    gnli_unmap(header, GNLI_SEGMENT_PAGE);
    return 0;
}

static int make_named(int directory, const struct gnli_address *address, size_t size, mode_t mode)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];
    struct gnli_file *file;

    describe(subject, address);
    file_name(name, address);
    if (size == 0)
        return gnli_fail(-EINVAL, "%s: is not there, and no size was given to make it with", subject);
    int result = gnli_file_new(&file, directory, GNLI_SEGMENT_DATA, mode, subject);
    if (result < 0)
        return result;
    result = fill(file, size, true, subject);
    if (result == 0)
        result = gnli_file_publish(file, directory, name, subject);
    gnli_file_close(file);
    return result;
}

static int check_agreement(gnl_segment *segment, size_t size, mode_t mode)
{
    struct stat status;

    if (size > gnl_segment_size(segment))
        return gnli_fail(-EINVAL, "%s: exists with %zu bytes, asked for %zu", segment->subject,
                         gnl_segment_size(segment), size);
    if (fstat(segment->member->file->descriptor, &status) != 0)
        return gnli_fail_errno(errno, "%s", segment->subject);
    if (mode != 0 && mode != (status.st_mode & 07777))
        return gnli_fail(-EINVAL, "%s: exists with mode %04o, asked for %04o", segment->subject,
                         (unsigned)status.st_mode & 07777, mode);
    return 0;
}

/* The segment of that name, made if it has to be. */
static int find_or_make(gnl_segment **segment, int directory, const struct gnli_address *address, size_t size,
                        const struct gnl_segment_options *options)
{
    int result = -EEXIST;

    for (unsigned race = 0; race < RACES_MAX; race++) {
        if (options->create != GNL_CREATE_ONLY) {
            result = attach_in(segment, directory, address, GNL_READ | GNL_WRITE);
            if (result != -ENOENT || options->create == GNL_OPEN_ONLY)
                break;
        }
        result = make_named(directory, address, size, options->mode ? options->mode : 0600);
        if (result == -EEXIST && options->create == GNL_CREATE_OR_OPEN)
            continue;
        if (result < 0)
            return result;
        result = attach_in(segment, directory, address, GNL_READ | GNL_WRITE);
        if (result != -ENOENT) /* somebody removed it already: once more */
            return result;
    }
    assert(result < 0 || *segment);
    if (result == 0 && (result = check_agreement(*segment, size, options->mode)) < 0)
        gnl_segment_detach(*segment);
    return result;
}

static int make_anonymous(gnl_segment **segment, size_t size, const struct gnl_segment_options *options)
{
    static const char subject[] = "anonymous segment";
    struct gnli_member *member;
    struct gnli_file *file;

    if (size == 0)
        return gnli_fail(-EINVAL, "%s: no size given", subject);
    if (options->create == GNL_OPEN_ONLY)
        return gnli_fail(-EINVAL, "%s: without a name there is none to open", subject);
    int result = gnli_file_new_memory(&file, "ginnel-segment", GNLI_SEGMENT_DATA,
                                      options->mode ? options->mode : 0644, subject);
    if (result < 0)
        return result;
    result = fill(file, size, false, subject);
    if (result < 0) {
        gnli_file_close(file);
        return result;
    }
    gnli_handles_lock();
    result = gnli_member_join(&member, file, false, subject);
    gnli_handles_unlock();
    return result < 0 ? result : gnli_segment_new(segment, member, GNL_READ | GNL_WRITE, subject);
}

static int check_options(const struct gnl_segment_options *options, size_t size)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i] != 0)
            return gnli_fail(-EINVAL, "gnl_segment_create: options.reserved must be zero: start from { 0 }");
    if (options->create < GNL_CREATE_OR_OPEN || options->create > GNL_OPEN_ONLY)
        return gnli_fail(-EINVAL, "gnl_segment_create: options.create is none of its values");
    if ((options->mode & ~(mode_t)0777) || (options->mode != 0 && (options->mode & 0600) != 0600))
        return gnli_fail(-EINVAL, "gnl_segment_create: mode %04o: it is made of 0777, and of 0600 at least",
                         options->mode);
    if (size > (size_t)INT64_MAX / 2)
        return gnli_fail(-EFBIG, "gnl_segment_create: no machine has %zu bytes of memory", size);
    return 0;
}

int gnl_segment_create(gnl_segment **segment, const char *name, size_t size,
                       const struct gnl_segment_options *options)
{
    static const struct gnl_segment_options defaults;
    struct gnli_address address = { 0 };
    gnl_segment *made = NULL;

    gnli_failure_begin();
    if (!segment)
        return gnli_fail(-EINVAL, "gnl_segment_create: nowhere to put the segment");
    if (!options)
        options = &defaults;
    int result = check_options(options, size);
    if (result == 0 && name)
        result = parse_name(&address, name);
    if (result == 0)
        result = gnli_process_prepare();
    if (result < 0)
        return result;
    if (!name)
        return make_anonymous(segment, size, options);
    int directory = gnli_directory_open(address.machine_wide, options->create != GNL_OPEN_ONLY);
    if (directory < 0)
        return directory;
    result = find_or_make(&made, directory, &address, size, options);
    close(directory);
    if (result == 0)
        *segment = made;
    return result;
}

/* ---- as a kind of address ---- */

static int open_segment(gnl_port **port, const struct gnli_address *address,
                        const struct gnl_options *options)
{
    return gnli_fail(-EOPNOTSUPP, "segment '%s%s': is memory, not a link: attach it with gnl_segment_attach",
                     address->machine_wide ? "/" : "", address->name);
}

/* Whoever has it attached goes on: so its file is not opened. */
static int remove_segment(const struct gnli_address *address)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];

    describe(subject, address);
    file_name(name, address);
    int directory = gnli_directory_open(address->machine_wide, false);
    if (directory < 0)
        return directory;
    int result = unlinkat(directory, name, 0) == 0 ? 0 : -errno;
    if (result == -EISDIR) /* what is foreign goes too, if it is empty */
        result = unlinkat(directory, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
    close(directory);
    if (result == -ENOENT)
        return gnli_fail(-ENOENT, "%s: there is none of that name", subject);
    return result < 0 ? gnli_fail_errno(-result, "%s: cannot remove it", subject) : 0;
}

static ssize_t look(struct gnli_member *member, struct gnl_port_info *info,
                    struct gnl_participant *participants, size_t count)
{
    struct stat status;
    uint64_t alive;

    if (fstat(member->file->descriptor, &status) != 0)
        return -errno;
    info->kind = GNL_SEGMENT;
    info->owner_uid = status.st_uid;
    info->mode = status.st_mode & 07777;
    info->bytes = gnli_file_bytes(member->file);
    info->size = gnli_member_size(member);
    info->version = gnli_segment_version(gnli_member_word(member));
    info->locked = gnli_segment_owner(gnli_member_word(member)) != 0;
    ssize_t found = gnli_member_list(member, participants, count, &alive);
    /* Was the file truncated while we looked? Then some of that was zeros. */
    if (found >= 0 && gnli_file_patched(member->file) && gnli_file_repair(member->file) < 0)
        found = -EBADMSG;
    return found;
}

static ssize_t inspect(const struct gnli_address *address, struct gnl_port_info *info,
                       struct gnl_participant *participants, size_t count)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];
    struct gnl_port_info seen = { 0 };
    struct gnli_member member;
    struct gnli_file *file;

    describe(subject, address);
    file_name(name, address);
    int directory = gnli_directory_open(address->machine_wide, false);
    if (directory < 0)
        return directory;
    gnli_handles_lock();
    int result = gnli_file_open_to_read(&file, directory, name, subject);
    close(directory);
    if (result == 0)
        result = gnli_member_look(&member, file, subject);
    ssize_t found = result;
    if (result == 0) {
        gnli_address_format(address, seen.address);
        found = look(&member, &seen, participants, count);
        gnli_member_look_end(&member);
    }
    gnli_handles_unlock();
    if (found < 0)
        return gnli_fail_plain((int)found, subject);
    *info = seen;
    return found;
}

const struct gnli_kind gnli_segment_kind = {
    .name = "segment",
    .kind = GNL_SEGMENT,
    .open = open_segment,
    .remove = remove_segment,
    .inspect = inspect,
};
