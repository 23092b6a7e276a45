/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   A: relaxed: each word stands for a file by itself, whatever else was or was not seen.
 */
#include "pipeline/command.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"

struct search {
    int directory;
    char interpreter[256]; /* of a script, if that is what cannot be executed; else "" */
};

/* ---- programs that were seen to begin as programs do ---- */

/*
 * A process starts the same few again and again, and to open and read one costs more than all else that is
 * looked for. A word stands for a file that has not been changed since; one that is overwritten is only
 * looked at anew.
 */
#define PROGRAMS 64

static atomic_uint_fast64_t seen[PROGRAMS];

static uint64_t word_of(const struct stat *status)
{
    const uint64_t parts[] = { status->st_dev, status->st_ino, (uint64_t)status->st_ctim.tv_sec,
                               (uint64_t)status->st_ctim.tv_nsec };
    uint64_t word = 1;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        word = (word ^ parts[i]) * 0x9e3779b97f4a7c15; /* odd, half of its bits set */
        word ^= word >> 32;
    }
    return word;
}

static bool was_seen(uint64_t word)
{
    return atomic_load_explicit(&seen[word % PROGRAMS], memory_order_relaxed) == word; /* A */
}

static void remember(uint64_t word)
{
    atomic_store_explicit(&seen[word % PROGRAMS], word, memory_order_relaxed); /* A */
}

/* ---- files ---- */

static int try_file(int directory, const char *path, struct stat *status)
{
    if (fstatat(directory, path, status, 0) != 0)
        return -errno;
    if (!S_ISREG(status->st_mode) || faccessat(directory, path, X_OK, AT_EACCESS) != 0)
        return -EACCES;
    return 0;
}

/* Does it begin as what is executed does? What may not be read is left to exec, and a program's insides. */
static int try_beginning(struct search *search, const char *path, uint64_t word)
{
    char head[sizeof search->interpreter];
    struct stat status;

    int file = openat(search->directory, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t size = read(file, head, sizeof head - 1);
    close(file);
    if (size < 0)
        return 0;
    if (size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
        remember(word);
        return 0;
    }
    head[size] = '\0';
    if (strncmp(head, "#!", 2) != 0) /* a kind of its own, where the system has been taught any */
        return access("/proc/sys/fs/binfmt_misc/status", F_OK) == 0 ? 0 : -ENOEXEC;
    char *interpreter = head + 2 + strspn(head + 2, " \t");
    interpreter[strcspn(interpreter, " \t\n")] = '\0';
    int result = try_file(search->directory, interpreter, &status);
    if (result < 0)
        strcpy(search->interpreter, interpreter);
    return result;
}

/* 0, or why that is no program: -ENOENT, -EACCES, -ENOEXEC, … */
static int try_program(struct search *search, const char *path)
{
    struct stat status;

    int result = try_file(search->directory, path, &status);
    if (result < 0)
        return result;
    uint64_t word = word_of(&status);
    return was_seen(word) ? 0 : try_beginning(search, path, word);
}

static int try_along(struct search *search, const char *name, const char *path)
{
    int result = -ENOENT;

    for (;;) {
        size_t folder = strcspn(path, ":");
        char *candidate;
        if (asprintf(&candidate, "%.*s%s%s", (int)folder, path, folder ? "/" : "", name) < 0)
            return -ENOMEM;
        int found = try_program(search, candidate);
        free(candidate);
        if (found == 0 || found == -ENOEXEC)
            return found;
        result = found == -EACCES ? -EACCES : result;
        if (path[folder] == '\0')
            return result;
        path += folder + 1;
    }
}

static bool is_shells_own(const char *name)
{
    static const char *const names[] = { ".",       ":",     "alias", "bg",       "cd",     "command",
                                         "eval",    "exec",  "exit",  "export",   "fg",     "getopts",
                                         "hash",    "jobs",  "read",  "readonly", "return", "set",
                                         "shift",   "times", "trap",  "type",     "ulimit", "umask",
                                         "unalias", "unset", "wait" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

int gnli_command_find(const char *name, const char *path, int directory, const char *where)
{
    struct search search = { .directory = directory };

    int result = name[0] == '\0'     ? -ENOENT
                 : strchr(name, '/') ? try_program(&search, name)
                                     : try_along(&search, name, path);
    if (result == 0 || result == -ENOMEM)
        return result;
    if (search.interpreter[0])
        return gnli_fail_errno(-result, "%scannot execute '%s': its first line names '%s'", where, name,
                               search.interpreter);
    if (is_shells_own(name)) /* `.` is a directory, besides */
        return gnli_fail(-ENOENT, "%s'%s' is a command of the shell's own: sh -c '…' has that", where, name);
    if (result == -ENOENT && !strchr(name, '/'))
        return gnli_fail(-ENOENT, "%sthere is no program '%s' along PATH", where, name);
    return gnli_fail_errno(-result, "%scannot execute '%s'", where, name);
}
