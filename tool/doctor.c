/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel doctor: what is stale, damaged, dead or dangerous in the runtime directories, and what to do about
 * it. With --clean it does what needs no judgement: it lets the library sweep participants that the kernel
 * says are dead, and removes files of the library's own making that the kernel says nobody has open:
 * damaged mailboxes, what a killed maker left, and empty cgroups of killed keepers. It never removes what
 * somebody uses, another user's file, or a file that no library made; of the kernel's own objects it only
 * notes which are left behind.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "cgroups.h"
#include "commands.h"
#include "lease.h"
#include "look.h"
#include "report.h"
#include "system_print.h"

#define MACHINE_WIDE "/dev/shm/ginnel"
/* How every mailbox's and every segment's file begins, whatever its layout version. */
#define MAILBOX_MAGIC "GNNELBOX"
#define SEGMENT_MAGIC "GNNELSEG"
#define MAGIC_BYTES   8
#define CLAIMS        ".claims" /* who has which name on direct links: locks, no contents */
#define UNFINISHED    ".new-" /* a mailbox in the making, where the file system has no files without a name */
#define MIB           ((double)(1 << 20))
#define SMALL_BYTES   ((uint64_t)128 << 20)

static bool clean;
static bool json;

static const struct option options[] = {
    { "clean", NULL, &clean, NULL, NULL, "mend what is proved dead, remove what is proved to be nobody's" },
    { "json", NULL, &json, NULL, NULL, "print a list of objects" },
    { 0 },
};

static const struct usage usage = {
    .command = "doctor",
    .operands = "",
    .text = "Tells what is stale, damaged, dead or dangerous, and what to do about it.\n",
    .options = options,
};

/* A runtime directory. */
struct place {
    struct report *report;
    const char *path;
    bool machine_wide;
    int descriptor;
};

/* ---- mailboxes and segments ---- */

/* "pid 12 (holds 3 messages), pid 15"; of many, the first few. */
static void name_the_dead(char *text, size_t size, const struct look *look)
{
    size_t length = 0, named = 0;

    text[0] = '\0';
    for (size_t i = 0; i < look->count && length + 80 < size; i++) {
        const struct gnl_participant *one = &look->participants[i];
        if (one->alive)
            continue;
        length += (size_t)snprintf(text + length, size - length, "%spid %d", named++ > 0 ? ", " : "",
                                   (int)one->pid);
        if (one->held > 0 && look->info.kind == GNL_SEGMENT)
            length += (size_t)snprintf(text + length, size - length, " (has it locked)");
        else if (one->held > 0)
            length +=
                (size_t)snprintf(text + length, size - length, " (holds %" PRIu64 " messages)", one->held);
    }
    if (named < look->count - look->alive)
        snprintf(text + length, size - length, ", …");
}

/* Opening a mailbox, or attaching a segment, sweeps the dead. 0, or why it could not be done. */
static int sweep(const struct look *look)
{
    gnl_segment *segment;
    gnl_port *port;
    int kind_length;
    struct gnl_options opening = { .create = GNL_OPEN_ONLY,
                                   .side = look->info.two_way ? GNL_SIDE_A : GNL_ONE_WAY };

    if (look->info.kind == GNL_SEGMENT) {
        int result = gnl_segment_attach(&segment, look_name(look->info.address, &kind_length), GNL_WRITE);
        return result < 0 ? result : gnl_segment_detach(segment);
    }
    int result = gnl_open(&port, look->info.address, &opening);
    return result < 0 ? result : gnl_close(port);
}

static size_t count_dead(const char *address)
{
    struct look look;

    if (look_at(&look, address) < 0)
        return 0;
    size_t dead = look.count - look.alive;
    look_end(&look);
    return dead;
}

static void check_dead(struct report *report, const char *address, const struct look *look)
{
    char who[400];
    size_t dead = look->count - look->alive;

    if (dead == 0)
        return;
    name_the_dead(who, sizeof who, look);
    if (clean && sweep(look) < 0)
        report_add(report, PROBLEM, address, gnl_error_detail(), "%zu dead: %s; it cannot be opened", dead,
                   who);
    else if (clean && count_dead(address) > 0)
        report_add(report, PROBLEM, address, "see who is stopped (ginnel stat), and try again",
                   "%zu dead: %s; they could not be swept now: another process is at it", dead, who);
    else if (clean)
        report_add(report, CLEANED, address, NULL, "%zu dead: %s: swept, %s", dead, who,
                   look->info.kind == GNL_SEGMENT ? "whoever locks it next is told if one died inside"
                                                  : "what they held is delivered again");
    else
        report_add(report, PROBLEM, address, "ginnel doctor --clean, or let any process open it",
                   "%zu dead and not yet swept: %s", dead, who);
}

static void check_segment(struct place *place, const char *address, const struct look *look)
{
    const struct gnl_port_info *info = &look->info;

    if (place->machine_wide && info->mode & 022)
        report_add(place->report, NOTE, address,
                   "make it with a narrower mode if they are not trusted with that",
                   "mode %04o: others may write to it, and cut it off", (unsigned)info->mode);
    if (look->count == 0)
        report_add(place->report, NOTE, address, "ginnel rm if it is not needed any more",
                   "nobody has it attached; %" PRIu64 " bytes", info->bytes);
}

/* A name, of an identity or a pipe, whose process has ended: whoever takes it next replaces what is left. */
static void check_identity(struct place *place, const char *address, const struct look *look)
{
    if (look->alive > 0 || (place->machine_wide && look->info.owner_uid != geteuid()))
        return;
    if (clean && gnl_remove(address) == 0)
        report_add(place->report, CLEANED, address, NULL, "no process has that name any more: removed");
    else
        report_add(place->report, NOTE, address, "ginnel doctor --clean",
                   "no process has that name any more");
}

static void check_link(struct place *place, const char *address, const struct look *look)
{
    const struct gnl_port_info *info = &look->info;

    if (info->kind == GNL_DIRECT || info->kind == GNL_PIPE) {
        check_identity(place, address, look);
        return;
    }
    check_dead(place->report, address, look);
    if (info->kind == GNL_SEGMENT) {
        check_segment(place, address, look);
        return;
    }
    if (info->nonsense > 0)
        report_add(place->report, PROBLEM, address, "ginnel rm, once nobody needs what can still be received",
                   "written over: %" PRIu64 " places in it make no sense", info->nonsense);
    if (place->machine_wide && info->mode & 022)
        report_add(place->report, NOTE, address,
                   "make it with a narrower mode if they are not trusted with that",
                   "mode %04o: others may take its messages, and destroy them", (unsigned)info->mode);
    if (look->count == 0)
        report_add(place->report, NOTE, address, "ginnel rm if it is not needed any more",
                   "nobody has it open; %" PRIu64 " messages, %" PRIu64 " bytes", info->queued, info->bytes);
}

/* ---- files ---- */

struct file {
    bool ours; /* a regular file of this user's */
    bool made; /* it begins like one of the library's */
    bool unused;
    struct stat status;
};

static void examine(struct file *file, const struct place *place, const char *name)
{
    char beginning[MAGIC_BYTES];

    *file = (struct file){ .ours = false };
    if (fstatat(place->descriptor, name, &file->status, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    file->ours = S_ISREG(file->status.st_mode) && file->status.st_uid == geteuid();
    if (!file->ours)
        return;
    int descriptor = openat(place->descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return;
    file->made = pread(descriptor, beginning, sizeof beginning, 0) == (ssize_t)sizeof beginning &&
                 (memcmp(beginning, MAILBOX_MAGIC, sizeof beginning) == 0 ||
                  memcmp(beginning, SEGMENT_MAGIC, sizeof beginning) == 0);
    file->unused = lease_granted(descriptor, F_RDLCK); /* who uses it can write */
    close(descriptor);
}

/* If the name still leads to that file. */
static bool remove_file(const struct place *place, const char *name, const struct file *file)
{
    struct stat now;

    return fstatat(place->descriptor, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           now.st_ino == file->status.st_ino && now.st_dev == file->status.st_dev &&
           unlinkat(place->descriptor, name, 0) == 0;
}

/* What a killed maker left. One that is being made has its maker. */
static void check_unfinished(struct place *place, const char *name)
{
    struct file file;

    examine(&file, place, name);
    if (!file.ours || !file.unused)
        return;
    if (clean && remove_file(place, name, &file))
        report_add(place->report, CLEANED, name, NULL,
                   "in %s: removed: its maker died before it was finished", place->path);
    else
        report_add(place->report, PROBLEM, name, "ginnel doctor --clean",
                   "in %s: a mailbox or segment whose maker died before it was finished", place->path);
}

/* Something is there that the library cannot read. */
static void check_unreadable(struct place *place, const char *name, const char *address, int code)
{
    char why[512], advice[NAME_MAX + 64];
    struct file file;

    snprintf(why, sizeof why, "%s", gnl_error_detail());
    if (code == -EACCES || code == -EPERM) { /* another user's: that is what modes are for */
        if (!place->machine_wide)
            report_add(place->report, PROBLEM, address, "ask its owner", "%s", why);
        return;
    }
    examine(&file, place, name);
    bool dead = code == -EBADMSG && file.made && file.unused;
    snprintf(advice, sizeof advice, "ginnel rm %s%s", address, dead ? ", or ginnel doctor --clean" : "");
    if (code == -EPROTONOSUPPORT)
        report_add(place->report, file.made ? PROBLEM : NOTE, address,
                   file.made ? advice : "leave it to the program that made it", "%s", why);
    else if (dead && clean && remove_file(place, name, &file))
        report_add(place->report, CLEANED, address, NULL, "%s; nobody had it open: removed", why);
    else if (code == -EBADMSG && file.made)
        report_add(place->report, PROBLEM, address, advice, "%s; %s", why,
                   file.unused ? "nobody has it open" : "a process has it open");
    else if (code == -EBADMSG)
        report_add(place->report, PROBLEM, address, advice, "%s", why);
    else
        report_add(place->report, PROBLEM, address, NULL, "%s", why);
}

static void check_name(struct place *place, const char *name)
{
    char address[NAME_MAX + 2];
    const char *colon = strchr(name, ':');
    struct look look;

    if (strncmp(name, UNFINISHED, strlen(UNFINISHED)) == 0) {
        check_unfinished(place, name);
        return;
    }
    if (strcmp(name, CLAIMS) == 0)
        return;
    if (!colon) {
        report_add(place->report, NOTE, name, "move it elsewhere", "in %s: no name of a mailbox or segment",
                   place->path);
        return;
    }
    /* A machine-wide identity's file is direct:NAME~UID. */
    snprintf(address, sizeof address, "%.*s:%s%.*s", (int)(colon - name), name,
             place->machine_wide ? "/" : "", (int)strcspn(colon + 1, "~"), colon + 1);
    int result = look_at(&look, address);
    if (result == -EINVAL)
        report_add(place->report, NOTE, name, "move it elsewhere", "in %s: no name of a mailbox or segment",
                   place->path);
    else if (result < 0 && result != -ENOENT)
        check_unreadable(place, name, address, result);
    if (result < 0)
        return;
    check_link(place, address, &look);
    look_end(&look);
}

/* ---- directories ---- */

static int is_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void check_entries(struct place *place)
{
    struct dirent **entries;
    int count = scandirat(place->descriptor, ".", &entries, is_entry, alphasort);

    if (count < 0) {
        report_add(place->report, PROBLEM, place->path, NULL, "cannot be listed: %s", strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        check_name(place, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void check_room(struct place *place)
{
    struct statfs system;

    if (fstatfs(place->descriptor, &system) != 0)
        return;
    uint64_t all = (uint64_t)system.f_blocks * (uint64_t)system.f_bsize;
    uint64_t left = (uint64_t)system.f_bavail * (uint64_t)system.f_bsize;
    if (system.f_type != TMPFS_MAGIC)
        report_add(place->report, NOTE, place->path, "choose a directory below /dev/shm",
                   "is not on a tmpfs: messages would be written to a disk");
    if (all > 0 && left < all / 20)
        report_add(
            place->report, PROBLEM, place->path, "receive or remove what lies there: ginnel ls",
            "its file system is full: %.1f of %.1f MiB are left; sends that need memory fail with ENOSPC",
            (double)left / MIB, (double)all / MIB);
    else if (all > 0 && all < SMALL_BYTES)
        report_add(place->report, NOTE, place->path,
                   "mount it larger (a container: --shm-size), if messages are large or many",
                   "its file system has %.1f MiB in all", (double)all / MIB);
    if (system.f_files > 0 && system.f_ffree == 0)
        report_add(place->report, PROBLEM, place->path, "remove files there",
                   "its file system has no inodes left: no mailbox can be made");
}

/* The first use makes it; else errno says why not. */
static bool can_be_made(const char *path)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(above, sizeof above, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    return access(above, W_OK | X_OK) == 0;
}

/* Is it what the library would use? */
static bool check_rights(struct place *place)
{
    struct stat status;
    uid_t owner = place->machine_wide ? 0 : geteuid();
    char advice[128] = "remove it; the library makes it anew";

    if (lstat(place->path, &status) != 0) {
        if (errno != ENOENT)
            report_add(place->report, PROBLEM, place->path, NULL, "%s", strerror(errno));
        else if (place->machine_wide)
            report_add(place->report, NOTE, place->path, "installing Ginnel makes it, or root's first use",
                       "is absent: there are no machine-wide mailboxes");
        else if (!can_be_made(place->path))
            report_add(place->report, PROBLEM, place->path, "choose another with GINNEL_DIR",
                       "is absent and cannot be made (%s): no mailbox can be", strerror(errno));
        return false;
    }
    if (!S_ISDIR(status.st_mode)) {
        report_add(place->report, PROBLEM, place->path, advice,
                   "is not a directory, or a symbolic link: not used");
        return false;
    }
    if (status.st_uid != owner) {
        report_add(place->report, PROBLEM, place->path,
                   place->machine_wide ? "root: chown it"
                                       : "choose another with GINNEL_DIR, or have root remove it",
                   "belongs to uid %u, not to uid %u: not used", (unsigned)status.st_uid, (unsigned)owner);
        return false;
    }
    if (place->machine_wide ? (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX)
                            : (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        report_add(
            place->report, PROBLEM, place->path, place->machine_wide ? "root: chmod 1777" : "chmod 0700",
            "mode %04o: others could replace what is in it: not used", (unsigned)status.st_mode & 07777);
        return false;
    }
    return true;
}

static void check_place(struct report *report, const char *path, bool machine_wide)
{
    struct place place = { .report = report, .path = path, .machine_wide = machine_wide };

    if (!check_rights(&place))
        return;
    place.descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place.descriptor < 0) {
        report_add(report, PROBLEM, path, NULL, "cannot be opened: %s", strerror(errno));
        return;
    }
    check_room(&place);
    check_entries(&place);
    close(place.descriptor);
}

/* ---- this process's limits ---- */

static void check_limit(struct report *report, int which, const char *name, const char *flag,
                        const char *error)
{
    struct rlimit limit;
    char advice[64];

    if (getrlimit(which, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    snprintf(advice, sizeof advice, "ulimit %s unlimited", flag);
    report_add(report, NOTE, name, advice,
               "this shell's limit is %" PRIu64
               " bytes; a mailbox's file is large, though mostly holes: what is "
               "larger cannot be %s",
               (uint64_t)limit.rlim_cur, error);
}

static void check_limits(struct report *report)
{
    check_limit(report, RLIMIT_FSIZE, "ulimit -f", "-f", "made");
    check_limit(report, RLIMIT_AS, "ulimit -v", "-v", "opened");
}

/* Where this user's names are: as the library finds it (ginnel(1), ENVIRONMENT). */
static void own_path(char *path, size_t size)
{
    const char *chosen = getenv("GINNEL_DIR");

    if (chosen && chosen[0] != '\0')
        snprintf(path, size, "%s", chosen);
    else
        snprintf(path, size, "/dev/shm/ginnel-%u", (unsigned)geteuid());
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
}

int run_doctor(int argc, char **argv)
{
    struct arguments arguments;
    struct report report;
    enum exit_status status;
    char path[4096];

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count > 0)
        return usage_error("doctor", "it takes no '%s'", arguments.operands[0]);
    signal(SIGIO,
           SIG_IGN); /* somebody opens a file that we have a lease of, for the instant that we have it */
    report_begin(&report, json);
    own_path(path, sizeof path);
    check_place(&report, path, false);
    check_place(&report, MACHINE_WIDE, true);
    check_limits(&report);
    system_report(&report);
    cgroups_report(&report, clean);
    return finish_output(report_end(&report));
}
