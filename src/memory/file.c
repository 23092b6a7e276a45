/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"

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

static int reopen(int path_descriptor)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", path_descriptor);
    return gnli_above_standard(open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/* Takes over the descriptor; the table's lock is held. */
static int enter(struct gnli_file **file, int descriptor, const struct stat *status)
{
    struct gnli_file *made = malloc(sizeof *made);

    if (!made)
        return -ENOMEM;
    *made = (struct gnli_file){
        .descriptor = descriptor,
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

static int open_by_path(struct gnli_file **file, int path_descriptor, const char *what)
{
    struct stat status;

    if (fstat(path_descriptor, &status) != 0)
        return gnli_fail_errno(errno, "%s", what);
    if (S_ISLNK(status.st_mode))
        return gnli_fail(-EBADMSG, "%s: its file is a symbolic link: not followed", what);
    if (!S_ISREG(status.st_mode))
        return gnli_fail(-EBADMSG, "%s: its file is not a regular file", what);
    for (struct gnli_file *known = table; known; known = known->next)
        if (known->device == status.st_dev && known->inode == status.st_ino) {
            known->references++;
            *file = known;
            return 0;
        }
    int descriptor = reopen(path_descriptor);
    if (descriptor < 0 && errno == EACCES)
        return gnli_fail(-EACCES, "%s: owned by uid %u, mode %04o: you may not open it", what,
                         (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    if (descriptor < 0)
        return gnli_fail_errno(errno, "%s", what);
    int result = enter(file, descriptor, &status);
    if (result < 0) {
        close(descriptor);
        return gnli_fail_plain(result, what);
    }
    return 0;
}

int gnli_file_open(struct gnli_file **file, int directory, const char *name, const char *what)
{
    int path_descriptor = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (path_descriptor < 0) {
        if (errno == ENOENT)
            return gnli_fail(-ENOENT, "%s: there is none of that name", what);
        return gnli_fail_errno(errno, "%s", what);
    }
    gnli_files_lock();
    int result = open_by_path(file, path_descriptor, what);
    gnli_files_unlock();
    close(path_descriptor);
    return result;
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

static int set_size(int descriptor, uint64_t size, mode_t mode, const char *what)
{
    struct rlimit limit;

    /* Past this limit ftruncate does not fail: it kills. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && size > limit.rlim_cur)
        return gnli_fail(
            -EFBIG, "%s: needs a file of %llu bytes (mostly holes); this process's limit (ulimit -f) is %llu",
            what, (unsigned long long)size, (unsigned long long)limit.rlim_cur);
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

int gnli_file_new(struct gnli_file **file, int directory, uint64_t size, mode_t mode, const char *what)
{
    struct stat status;

    int descriptor = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool hidden = descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
    if (hidden)
        descriptor = make_hidden(directory, 0600);
    descriptor = gnli_above_standard(descriptor);
    if (descriptor < 0)
        return cannot_make(directory, errno, what);
    int result = set_size(descriptor, size, mode, what);
    if (result == 0 && fstat(descriptor, &status) != 0)
        result = gnli_fail_errno(errno, "%s", what);
    if (result == 0) {
        gnli_files_lock();
        result = enter(file, descriptor, &status);
        gnli_files_unlock();
    }
    if (result < 0)
        close(descriptor);
    return result;
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

void gnli_file_close(struct gnli_file *file)
{
    gnli_files_lock();
    if (--file->references == 0) {
        struct gnli_file **link = &table;
        while (*link != file)
            link = &(*link)->next;
        *link = file->next;
        /* If the program closed it under us, the number may be another file's by now. */
        if (gnli_file_check(file) == 0)
            close(file->descriptor);
        free(file);
    }
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
