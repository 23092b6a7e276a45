/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define LINE_BYTES 64
#define PAGE_BYTES 4096
#define LINE_NS    50 /* to look at it, and to change it or give it back now and then */
#define RESERVE_STEP \
    ((uint64_t)1 << 20) /* at a time: a signal undoes a step, and steps must end between signals */

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gnli_file *table; /* under table_lock */

void gnli_files_lock(void)
{
    pthread_mutex_lock(&table_lock);
}

void gnli_files_unlock(void)
{
    pthread_mutex_unlock(&table_lock);
}

int gnli_above_standard(int descriptor)
{
    if (descriptor < 0 || descriptor > 2)
        return descriptor;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(descriptor);
    errno = error;
    return moved;
}

static int reopen(int descriptor, bool writable)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    int access = writable ? O_RDWR : O_RDONLY;
    return gnli_above_standard(open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

static bool same_file(const struct gnli_file *one, const struct stat *status)
{
    return one->device == status->st_dev && one->inode == status->st_ino;
}

/* Takes one more reference to an entry of that file, if there is one; the table's lock is held. */
static struct gnli_file *find_known(const struct stat *status, bool writable)
{
    for (struct gnli_file *known = table; known; known = known->next)
        if (same_file(known, status) && known->writable == writable && !known->spare &&
            (known->references > 0 || gnli_file_check(known) == 0)) {
            if (known->references++ == 0) {
                known->size = (uint64_t)status->st_size;
                atomic_init(&known->patched, false);
            }
            return known;
        }
    return NULL;
}

/* Takes over the descriptor; the table's lock is held. */
static int enter(struct gnli_file **file, int descriptor, bool writable, const struct stat *status)
{
    struct gnli_file *made = malloc(sizeof *made);

    if (!made)
        return -ENOMEM;
    *made = (struct gnli_file){
        .descriptor = descriptor,
        .writable = writable,
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .references = 1,
        .next = table,
    };
    table = made;
    *file = made;
    return 0;
}

/* Who has dropped privileges since has the descriptor still: that is no reason to lend it once more. */
static bool may_open(int path_descriptor, bool writable)
{
    int mode = writable ? R_OK | W_OK : R_OK;

    return faccessat(path_descriptor, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

static int open_by_path(struct gnli_file **file, int path_descriptor, bool writable, const char *what)
{
    struct stat status;

    if (fstat(path_descriptor, &status) != 0)
        return gnli_fail_errno(errno, "%s", what);
    if (S_ISLNK(status.st_mode))
        return gnli_fail(-EBADMSG, "%s: its file is a symbolic link: not followed", what);
    if (!S_ISREG(status.st_mode))
        return gnli_fail(-EBADMSG, "%s: its file is not a regular file", what);
    bool may = may_open(path_descriptor, writable);
    struct gnli_file *known = may ? find_known(&status, writable) : NULL;
    if (known) {
        *file = known;
        return 0;
    }
    int descriptor = may ? reopen(path_descriptor, writable) : -1;
    if (descriptor < 0 && errno == EACCES)
        return gnli_fail(-EACCES, "%s: owned by uid %u, mode %04o: you may not open it", what,
                         (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    if (descriptor < 0)
        return gnli_fail_errno(errno, "%s", what);
    int result = enter(file, descriptor, writable, &status);
    if (result < 0) {
        close(descriptor);
        return gnli_fail_plain(result, what);
    }
    return 0;
}

static int open_name(struct gnli_file **file, int directory, const char *name, bool writable,
                     const char *what)
{
    int path_descriptor = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (path_descriptor < 0) {
        if (errno == ENOENT)
            return gnli_fail(-ENOENT, "%s: there is none of that name", what);
        return gnli_fail_errno(errno, "%s", what);
    }
    gnli_files_lock();
    int result = open_by_path(file, path_descriptor, writable, what);
    gnli_files_unlock();
    close(path_descriptor);
    return result;
}

int gnli_file_open(struct gnli_file **file, int directory, const char *name, const char *what)
{
    return open_name(file, directory, name, true, what);
}

int gnli_file_open_to_read(struct gnli_file **file, int directory, const char *name, const char *what)
{
    return open_name(file, directory, name, false, what);
}

/* Where the file system has no unnamed files: a hidden name that is removed when the file gets its own. */
static void hidden_name(char *name, size_t size, const struct gnli_file *file)
{
    snprintf(name, size, ".new-%llx", (unsigned long long)file->inode);
}

static int make_hidden(int directory, mode_t mode)
{
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        char first[64], second[64];
        struct stat status;
        snprintf(first, sizeof first, ".new-%d-%u", getpid(), attempt);
        int descriptor = openat(directory, first, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (descriptor < 0 && errno == EEXIST)
            continue;
        if (descriptor < 0 || fstat(descriptor, &status) != 0)
            return -1;
        hidden_name(second, sizeof second, &(struct gnli_file){ .inode = status.st_ino });
        if (renameat(directory, first, directory, second) != 0) {
            unlinkat(directory, first, 0);
            close(descriptor);
            return -1;
        }
        return descriptor;
    }
    return -1;
}

/* Past this limit the kernel does not refuse a longer file: it kills. */
static int check_limit(uint64_t size, const char *what)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
        return gnli_fail(
            -EFBIG, "%s: needs a file of %llu bytes (mostly holes); this process's limit (ulimit -f) is %llu",
            what, (unsigned long long)size, (unsigned long long)limit.rlim_cur);
    return size <= INT64_MAX ? 0 : gnli_fail_plain(-EFBIG, what);
}

static int set_size(int descriptor, uint64_t size, mode_t mode, const char *what)
{
    int result = check_limit(size, what);

    if (result < 0)
        return result;
    if (ftruncate(descriptor, (off_t)size) != 0 || fchmod(descriptor, mode) != 0)
        return gnli_fail_errno(errno, "%s", what);
    return 0;
}

/* Is it the directory's fault? Some are no places for files, /proc for instance. */
static int cannot_make(int directory, int error, const char *what)
{
    char link[64], path[256] = "";

    if (error != ENOENT && error != EACCES && error != EPERM && error != EROFS && error != EOPNOTSUPP)
        return gnli_fail_errno(error, "%s: cannot make it", what);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    if (readlink(link, path, sizeof path - 1) < 0)
        strcpy(path, "its directory");
    return gnli_fail(-error, "%s: no file can be made in %s (%s); for names of your own, %s", what, path,
                     strerrordesc_np(error), GNLI_DIRECTORY_ELSEWHERE);
}

/* A new file gets its size and mode, and an entry. Takes over the descriptor. */
static int finish_new(struct gnli_file **file, int descriptor, uint64_t size, mode_t mode, const char *what)
{
    struct stat status;

    int result = set_size(descriptor, size, mode, what);
    if (result == 0 && fstat(descriptor, &status) != 0)
        result = gnli_fail_errno(errno, "%s", what);
    if (result == 0) {
        gnli_files_lock();
        result = enter(file, descriptor, true, &status);
        gnli_files_unlock();
        if (result < 0)
            gnli_fail_plain(result, what);
    }
    if (result < 0)
        close(descriptor);
    return result;
}

int gnli_file_new(struct gnli_file **file, int directory, uint64_t size, mode_t mode, const char *what)
{
    int descriptor = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool hidden = descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
    if (hidden)
        descriptor = make_hidden(directory, 0600);
    descriptor = gnli_above_standard(descriptor);
    if (descriptor < 0)
        return cannot_make(directory, errno, what);
    return finish_new(file, descriptor, size, mode, what);
}

int gnli_file_new_memory(struct gnli_file **file, const char *name, uint64_t size, mode_t mode,
                         const char *what)
{
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (descriptor < 0 && errno == EINVAL) /* older than 6.3 */
        descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    descriptor = gnli_above_standard(descriptor);
    if (descriptor < 0)
        return gnli_fail_errno(errno, "%s: cannot make it", what);
    int result = finish_new(file, descriptor, size, mode, what);
    if (result == 0 && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        result = gnli_fail_errno(errno, "%s: cannot seal it", what);
        gnli_file_close(*file);
    }
    return result;
}

/* ---- handed over ---- */

/* -EBADMSG, or the kind of access that it allows. */
static int check_given(int descriptor, struct stat *status, const char *what)
{
    struct statfs file_system;

    int seals = fcntl(descriptor, F_GET_SEALS), access = fcntl(descriptor, F_GETFL);
    if (fstat(descriptor, status) != 0 || !S_ISREG(status->st_mode) || seals < 0 || access < 0 ||
        fstatfs(descriptor, &file_system) != 0 || file_system.f_type != TMPFS_MAGIC)
        return gnli_fail(-EBADMSG, "%s: what was handed over is no memory", what);
    if (!(seals & F_SEAL_SHRINK))
        return gnli_fail(-EBADMSG, "%s: what was handed over is not sealed: it could shrink", what);
    access &= O_ACCMODE;
    return access != O_WRONLY ? access : gnli_fail(-EBADMSG, "%s: handed over, but not to be read", what);
}

static void keep_spare(struct gnli_file *file)
{
    file->references = 0;
    file->spare = true;
}

void gnli_file_discard(int descriptor)
{
    struct gnli_file *kept;
    struct stat status;
    bool used = false;

    gnli_files_lock();
    if (fstat(descriptor, &status) == 0)
        for (struct gnli_file *known = table; known && !used; known = known->next)
            used = same_file(known, &status);
    /* Of a file in use: kept until its last user goes. */
    if (used && enter(&kept, descriptor, false, &status) == 0)
        keep_spare(kept);
    else
        close(descriptor);
    gnli_files_unlock();
}

int gnli_file_adopt(struct gnli_file **file, int descriptor, bool *spare, const char *what)
{
    struct gnli_file *made;
    struct stat status;

    descriptor = gnli_above_standard(descriptor);
    if (descriptor < 0)
        return gnli_fail_errno(errno, "%s", what);
    int access = check_given(descriptor, &status, what);
    if (access < 0) {
        gnli_file_discard(descriptor);
        return access;
    }
    gnli_files_lock();
    struct gnli_file *known = find_known(&status, access == O_RDWR);
    int result = enter(&made, descriptor, access == O_RDWR, &status);
    if (result == 0) {
        *spare = known != NULL;
        if (known)
            keep_spare(made);
        *file = known ? known : made;
    }
    gnli_files_unlock();
    if (result < 0) {
        close(descriptor); /* if it was known its locks are gone: they are looked at now and then */
        if (known)
            gnli_file_close(known);
        return gnli_fail_plain(result, what);
    }
    return 0;
}

int gnli_file_reader(struct gnli_file **reader, struct gnli_file *file, const char *what)
{
    struct stat status;

    if (fstat(file->descriptor, &status) != 0)
        return gnli_fail_errno(errno, "%s", what);
    gnli_files_lock();
    struct gnli_file *known = find_known(&status, false);
    int result = 0, descriptor = -1;
    if (known)
        *reader = known;
    else if ((descriptor = reopen(file->descriptor, false)) < 0)
        result = -errno;
    else
        result = enter(reader, descriptor, false, &status);
    gnli_files_unlock();
    if (result < 0 && descriptor >= 0)
        close(descriptor);
    return result < 0 ? gnli_fail_errno(-result, "%s: cannot open it for reading alone", what) : 0;
}

int gnli_file_publish(struct gnli_file *file, int directory, const char *name, const char *what)
{
    char path[64], hidden[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file->descriptor);
    int result = linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW);
    int error = errno;
    hidden_name(hidden, sizeof hidden, file);
    unlinkat(directory, hidden, 0);
    if (result != 0 && error == EEXIST)
        return gnli_fail(-EEXIST, "%s: the name exists already", what);
    if (result != 0)
        return gnli_fail_errno(error, "%s: cannot give it its name", what);
    return 0;
}

/* Ends what is not in use of that file; the table's lock is held. */
static void close_unused(const struct stat *status)
{
    for (struct gnli_file **link = &table; *link;) {
        struct gnli_file *file = *link;
        if (!same_file(file, status) || file->references > 0) {
            link = &file->next;
            continue;
        }
        *link = file->next;
        /* If the program closed it under us, the number may be another file's by now. */
        if (gnli_file_check(file) == 0)
            close(file->descriptor);
        free(file);
    }
}

void gnli_file_hold(struct gnli_file *file)
{
    gnli_files_lock();
    file->references++;
    gnli_files_unlock();
}

void gnli_file_close(struct gnli_file *file)
{
    struct stat status = { .st_dev = file->device, .st_ino = file->inode };
    bool used = false;

    gnli_files_lock();
    file->references--;
    for (struct gnli_file *known = table; known; known = known->next)
        used |= same_file(known, &status) && known->references > 0;
    if (!used)
        close_unused(&status);
    gnli_files_unlock();
}

void gnli_file_drop_spares(struct gnli_file *file)
{
    struct stat status = { .st_dev = file->device, .st_ino = file->inode };

    gnli_files_lock();
    close_unused(&status);
    gnli_files_unlock();
}

int gnli_file_reserve(struct gnli_file *file, uint64_t offset, uint64_t size)
{
    while (size > 0) {
        uint64_t step = size < RESERVE_STEP ? size : RESERVE_STEP;
        if (fallocate(file->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)step) != 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        offset += step;
        size -= step;
    }
    return 0;
}

/*
 * Bytes that the file system, or for memfds the machine, can still give: a memfd's has no limit of its
 * own.
 */
static uint64_t room(const struct gnli_file *file)
{
    struct statfs system;
    uint64_t kilobytes = 0, part;
    char line[128];

    if (fstatfs(file->descriptor, &system) != 0)
        return UINT64_MAX;
    if (system.f_blocks > 0)
        return (uint64_t)system.f_bavail * (uint64_t)system.f_bsize;
    FILE *memory = fopen("/proc/meminfo", "re");
    while (memory && fgets(line, sizeof line, memory))
        if (sscanf(line, "MemAvailable: %" SCNu64, &part) == 1 ||
            sscanf(line, "SwapFree: %" SCNu64, &part) == 1)
            kilobytes += part;
    if (memory)
        fclose(memory);
    return kilobytes > 0 ? kilobytes * 1024 : UINT64_MAX;
}

int gnli_file_extend(struct gnli_file *file, uint64_t from, uint64_t size, const char *what)
{
    struct stat status;

    int result = check_limit(size, what);
    if (result < 0)
        return result;
    if (size > from)
        result = size - from <= room(file) ? gnli_file_reserve(file, from, size - from) : -ENOSPC;
    /* Not ftruncate, which would shorten what somebody else has made longer meanwhile. */
    while (result == 0 && fallocate(file->descriptor, 0, (off_t)(size - 1), 1) != 0)
        if (errno != EINTR)
            result = -errno;
    if (result == 0) {
        gnli_mappings_lock(); /* gnli_file_repair looks at it */
        file->size = file->size > size ? file->size : size;
        gnli_mappings_unlock();
        return 0;
    }
    if (fstat(file->descriptor, &status) == 0 && (uint64_t)status.st_size <= from && size > from)
        gnli_file_punch(file, from, size - from);
    return gnli_fail_errno(-result, "%s: cannot reserve %llu bytes of memory", what,
                           (unsigned long long)(size - from));
}

void gnli_file_punch(struct gnli_file *file, uint64_t offset, uint64_t size)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    while (fallocate(file->descriptor, mode, (off_t)offset, (off_t)size) != 0 && errno == EINTR)
        ;
}

int gnli_file_check(const struct gnli_file *file)
{
    struct stat status;

    if (fstat(file->descriptor, &status) != 0 || status.st_dev != file->device ||
        status.st_ino != file->inode)
        return gnli_fail(-EBADF, "descriptor %d, which is the library's, was closed by the program",
                         file->descriptor);
    return 0;
}

bool gnli_file_nameless(const struct gnli_file *file)
{
    struct stat status;

    return fstat(file->descriptor, &status) == 0 && status.st_ino == file->inode && status.st_nlink == 0;
}

uint64_t gnli_file_bytes(const struct gnli_file *file)
{
    struct stat status;

    return fstat(file->descriptor, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

bool gnli_file_data(const struct gnli_file *file, uint64_t offset)
{
    off_t data = lseek(file->descriptor, (off_t)offset, SEEK_DATA);

    return data < 0 ? errno != ENXIO : data < (off_t)offset + PAGE_BYTES;
}

int64_t gnli_file_walk_ns(const struct gnli_file *file)
{
    return (int64_t)(gnli_file_bytes(file) / LINE_BYTES) * LINE_NS;
}
