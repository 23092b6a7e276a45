/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define POLLED_MAX 16 /* entries of a poll that are looked at */

static bool read_text(const char *path, char *text, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return false;
    ssize_t length = read(file, text, room - 1);
    close(file);
    if (length <= 0)
        return false;
    text[length] = '\0';
    return true;
}

/* "/proc/PID/WHAT" or "/proc/PID/task/THREAD/WHAT" */
static bool read_of(pid_t pid, pid_t thread, const char *what, char *text, size_t room)
{
    char path[80];

    if (thread > 0)
        snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)pid, (int)thread, what);
    else
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    return read_text(path, text, room);
}

bool gnli_proc_stat(struct gnli_proc_stat *stat, pid_t pid, pid_t thread)
{
    unsigned long user, system;
    long waited_user, waited_system;
    unsigned long long start;
    char text[1024];

    if (!read_of(pid, thread, "stat", text, sizeof text))
        return false;
    char *end = strrchr(text, ')'); /* the name before it may have anything in it */
    if (!end ||
        sscanf(end + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %ld %*d %llu",
               &stat->state, &user, &system, &waited_user, &waited_system, &stat->threads, &start) != 7)
        return false;
    uint64_t ticks = user + system + (uint64_t)waited_user + (uint64_t)waited_system;
    stat->cpu_ns = ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    stat->start = start;
    return true;
}

static bool find_number(const char *text, const char *label, int64_t *number)
{
    const char *at = strstr(text, label);

    if (!at)
        return false;
    *number = strtoll(at + strlen(label), NULL, 10);
    return true;
}

int gnli_proc_io_open(pid_t pid)
{
    char path[48];

    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool gnli_proc_io(struct gnli_proc_io *io, int file)
{
    char text[512];
    ssize_t length = file >= 0 ? pread(file, text, sizeof text - 1, 0) : -1;

    if (length <= 0)
        return false;
    text[length] = '\0';
    return find_number(text, "rchar: ", &io->read) && find_number(text, "wchar: ", &io->written) &&
           find_number(text, "\nwrite_bytes: ", &io->to_disk);
}

/* ---- what it waits in ---- */

/* The only descriptor of a poll that is a pipe's end, as far as can be seen. */
static struct gnli_call polled(pid_t pid, unsigned long entries, unsigned long count)
{
    struct gnli_call call = { GNLI_CALL_OTHER, -1, -1 };
    struct pollfd list[POLLED_MAX];

    if (count == 0 || count > POLLED_MAX)
        return call;
    struct iovec here = { list, count * sizeof list[0] };
    struct iovec there = { (void *)(uintptr_t)entries, here.iov_len };
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len)
        return call;
    for (unsigned long i = 0; i < count; i++) {
        if (list[i].fd < 0 || gnli_proc_pipe(pid, list[i].fd) == 0)
            continue;
        call.descriptor = list[i].fd;
        if (list[i].events & POLLIN)
            call.kind = GNLI_CALL_READ;
        else if (list[i].events & POLLOUT)
            call.kind = GNLI_CALL_WRITE;
        if (call.kind != GNLI_CALL_OTHER)
            break;
    }
    return call;
}

struct gnli_call gnli_proc_call(pid_t pid, pid_t thread)
{
    struct gnli_call call = { GNLI_CALL_OTHER, -1, -1 };
    unsigned long a, b, c;
    char text[256];
    long number;

    if (!read_of(pid, thread, "syscall", text, sizeof text)) {
        call.kind = GNLI_CALL_UNKNOWN;
        return call;
    }
    if (sscanf(text, "%ld %lx %lx %lx", &number, &a, &b, &c) != 4)
        return call; /* it runs again */
    switch (number) {
    case SYS_read:
    case SYS_readv:
        call = (struct gnli_call){ GNLI_CALL_READ, (int)a, -1 };
        break;
    case SYS_write:
    case SYS_writev:
        call = (struct gnli_call){ GNLI_CALL_WRITE, (int)a, -1 };
        break;
    case SYS_splice: /* (in, offset, out, …) */
        call = (struct gnli_call){ GNLI_CALL_SPLICE, (int)a, (int)c };
        break;
    case SYS_tee: /* (in, out, …) */
        call = (struct gnli_call){ GNLI_CALL_SPLICE, (int)a, (int)b };
        break;
    case SYS_vmsplice:
        call = (struct gnli_call){ GNLI_CALL_SPLICE, -1, (int)a };
        break;
    case SYS_sendfile: /* (out, in, …): of these the kernel keeps account */
        call = (struct gnli_call){ GNLI_CALL_WRITE, (int)a, -1 };
        break;
#if defined SYS_poll
    case SYS_poll:
#endif
    case SYS_ppoll:
        call = polled(pid, a, b);
        break;
    }
    return call;
}

/* ---- its descriptors ---- */

uint64_t gnli_proc_pipe(pid_t pid, int descriptor)
{
    char path[64], target[64];

    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, descriptor);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0)
        return 0;
    target[length] = '\0';
    return strncmp(target, "pipe:[", 6) == 0 ? strtoull(target + 6, NULL, 10) : 0;
}

static int64_t position_of(pid_t pid, int descriptor)
{
    char what[32], text[512];
    int64_t position = -1;

    snprintf(what, sizeof what, "fdinfo/%d", descriptor);
    return read_of(pid, 0, what, text, sizeof text) && find_number(text, "pos:\t", &position) ? position : -1;
}

/*
 * Nobody has written to it since: it is an empty file, or its time says so. A terminal's or device's says
 * nothing.
 */
static bool unwritten(const struct stat *file, int64_t since_ns)
{
    int64_t time_ns = (int64_t)file->st_mtim.tv_sec * 1000000000 + file->st_mtim.tv_nsec;

    if (S_ISREG(file->st_mode) && file->st_size == 0)
        return true;
    return (S_ISREG(file->st_mode) || S_ISFIFO(file->st_mode)) && time_ns < since_ns;
}

/* One of its descriptors, `directory` being /proc/PID/fd. False: it may not be looked at. */
static bool look_at_descriptor(struct gnli_proc_files *files, int directory, const char *name, pid_t pid,
                               uint64_t pipe, int64_t since_ns, bool input)
{
    struct stat link, file;

    /* The link's own mode says what it was opened for; what it leads to is not opened. */
    if (fstatat(directory, name, &link, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(directory, name, &file, 0) < 0)
        return errno == ENOENT; /* closed since */
    bool ours = S_ISFIFO(file.st_mode) && file.st_ino == pipe;
    bool standard_input = strcmp(name, "0") == 0; /* terminals and /dev/null are open both ways */
    if ((link.st_mode & S_IWUSR) && !ours && !standard_input) {
        if (strcmp(name, "2") != 0)
            files->writes_elsewhere = true;
        else if (!unwritten(&file, since_ns))
            files->errors_unseen = true;
    }
    bool readable = (link.st_mode & S_IRUSR) && !(link.st_mode & S_IWUSR) && S_ISREG(file.st_mode);
    if (input && readable && file.st_size > files->input_size && !files->standard_input) {
        files->input_at = position_of(pid, atoi(name));
        files->input_size = file.st_size;
        files->standard_input = standard_input;
    }
    return true;
}

void gnli_proc_files(struct gnli_proc_files *files, pid_t pid, uint64_t pipe, int64_t since_ns, bool input)
{
    struct dirent *entry;
    char path[48];

    *files = (struct gnli_proc_files){ .input_at = -1, .input_size = -1 };
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return;
    files->known = true;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.' &&
            !look_at_descriptor(files, dirfd(directory), entry->d_name, pid, pipe, since_ns, input))
            files->known = false;
    closedir(directory);
}
