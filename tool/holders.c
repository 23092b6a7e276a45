/* SPDX-License-Identifier: Apache-2.0 */
#include "holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "quantities.h"

struct visitor {
    void (*visit)(void *context, pid_t pid, dev_t device, ino_t inode);
    void *context;
    pid_t pid;
};

bool process_lives(pid_t pid)
{
    return kill(pid, 0) == 0 || errno == EPERM;
}

/* What it has open. A process that ends meanwhile, or is another user's, has nothing to show. */
static void visit_descriptors(const struct visitor *visitor, int process)
{
    int descriptors = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = descriptors >= 0 ? fdopendir(descriptors) : NULL;
    const struct dirent *entry;
    struct statx status;

    if (!listing) {
        if (descriptors >= 0)
            close(descriptors);
        return;
    }
    /* Not asking a server, of which a file may be and which may never answer. */
    while ((entry = readdir(listing)))
        if (entry->d_name[0] != '.' &&
            statx(descriptors, entry->d_name, AT_STATX_DONT_SYNC, STATX_INO, &status) == 0)
            visitor->visit(visitor->context, visitor->pid,
                           makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino);
    closedir(listing);
}

/* What it has mapped. */
static void visit_mappings(const struct visitor *visitor, int process)
{
    int mappings = openat(process, "maps", O_RDONLY | O_CLOEXEC);
    FILE *lines = mappings >= 0 ? fdopen(mappings, "r") : NULL;
    char *line = NULL;
    size_t room = 0;
    unsigned major, minor;
    unsigned long inode;

    if (!lines) {
        if (mappings >= 0)
            close(mappings);
        return;
    }
    while (getline(&line, &room, lines) > 0)
        if (sscanf(line, "%*x-%*x %*4s %*x %x:%x %lu", &major, &minor, &inode) == 3 && inode != 0)
            visitor->visit(visitor->context, visitor->pid, makedev(major, minor), inode);
    free(line);
    fclose(lines);
}

void holders_each(void (*visit)(void *context, pid_t pid, dev_t device, ino_t inode), void *context)
{
    struct visitor visitor = { .visit = visit, .context = context };
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    uint64_t number;

    while (processes && (entry = readdir(processes))) {
        if (!read_number(entry->d_name, INT_MAX, &number))
            continue;
        int process = openat(dirfd(processes), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (process < 0)
            continue;
        visitor.pid = (pid_t)number;
        visit_descriptors(&visitor, process);
        visit_mappings(&visitor, process);
        close(process);
    }
    if (processes)
        closedir(processes);
}
