/* SPDX-License-Identifier: Apache-2.0 */
#include "link/claim.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "base/socket_file.h"
#include "life/process.h"
#include "link/access.h"

#define CLAIMS ".claims"

/* Of this process, which record locks do not keep off itself; under the lock of handles. */
static struct gnli_claim *claims;

/* ---- the lock ---- */

static off_t byte_of(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return (off_t)(hash >> 2);
}

static int lock_name(const struct gnli_claim *claim, short type)
{
    struct flock byte = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte_of(claim->address.name), .l_len = 1
    };

    return fcntl(claim->file->descriptor, F_SETLK, &byte) == 0 ? 0 : -errno;
}

pid_t gnli_claim_holder(const struct gnli_claim *claim, const char *name)
{
    struct flock byte = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte_of(name), .l_len = 1 };

    if (gnli_file_check(claim->file) < 0 || fcntl(claim->file->descriptor, F_OFD_GETLK, &byte) != 0)
        return -1;
    if (byte.l_type == F_UNLCK)
        return 0;
    return byte.l_pid > 0 ? byte.l_pid : -1;
}

static int make_claims(struct gnli_claim *claim, const char *subject)
{
    bool wide = claim->address.machine_wide;

    if (wide && geteuid() != 0)
        return gnli_fail(-ENOENT,
                         "%s: the directory for machine-wide names has no " CLAIMS
                         ": installing Ginnel makes it, or root's first use",
                         subject);
    int result = gnli_file_new(&claim->file, claim->directory, 0, wide ? 0666 : 0600, subject);
    if (result < 0)
        return result;
    result = gnli_file_publish(claim->file, claim->directory, CLAIMS, subject);
    if (result < 0) {
        gnli_file_close(claim->file);
        claim->file = NULL;
    }
    return result == -EEXIST ? 0 : result;
}

static int open_claims(struct gnli_claim *claim, const char *subject)
{
    struct stat status;

    for (unsigned race = 0; race < 2 && !claim->file; race++) {
        if (faccessat(claim->directory, CLAIMS, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
            int result = make_claims(claim, subject);
            if (result < 0)
                return result;
            continue;
        }
        int result = gnli_file_open(&claim->file, claim->directory, CLAIMS, subject);
        if (result < 0)
            return result;
    }
    if (!claim->file)
        return gnli_fail(-EAGAIN, "%s: the file " CLAIMS " comes and goes", subject);
    if (claim->address.machine_wide && (fstat(claim->file->descriptor, &status) != 0 || status.st_uid != 0))
        return gnli_fail(-EPERM, "%s: the machine-wide " CLAIMS " is not root's: not used", subject);
    return 0;
}

/* ---- the socket ---- */

static void file_name(char *name, size_t size, const struct gnli_address *address, uid_t uid)
{
    if (address->machine_wide)
        snprintf(name, size, "direct:%s~%u", address->name, (unsigned)uid);
    else
        snprintf(name, size, "direct:%s", address->name);
}

static int make_listener(struct gnli_claim *claim, const char *subject)
{
    char name[96];

    int listener = gnli_above_standard(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    file_name(name, sizeof name, &claim->address, geteuid());
    int result = listener < 0 ? -errno : gnli_socket_publish(listener, claim->directory, name, 0600);
    if (result < 0) {
        if (listener >= 0)
            close(listener);
        return gnli_fail_errno(-result, "%s: cannot listen under that name", subject);
    }
    claim->listener = listener;
    return 0;
}

int gnli_claim_admit(struct gnli_claim *claim, uid_t uid, gid_t gid)
{
    char name[96], path[160];

    file_name(name, sizeof name, &claim->address, geteuid());
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", claim->directory, name);
    return gnli_access_add(path, uid, gid);
}

/* ---- claiming ---- */

static bool claimed_here(const struct gnli_claim *wanted)
{
    for (struct gnli_claim *claim = claims; claim; claim = claim->next)
        if (gnli_process_is(claim->stamp) && claim->file == wanted->file &&
            strcmp(claim->address.name, wanted->address.name) == 0)
            return true;
    return false;
}

static int taken(struct gnli_claim *claim, const char *subject)
{
    pid_t pid = gnli_claim_holder(claim, claim->address.name);
    char path[32];
    struct stat status;

    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return pid > 0 && stat(path, &status) == 0
               ? gnli_fail(-EADDRINUSE, "%s: process %d has that name, of uid %u", subject, (int)pid,
                           (unsigned)status.st_uid)
               : gnli_fail(-EADDRINUSE, "%s: a living process has that name", subject);
}

/* The lock is held. */
static int take(struct gnli_claim *claim, const char *subject)
{
    assert(claim->file);
    int result = claimed_here(claim) ? -EAGAIN : lock_name(claim, F_WRLCK);
    if (result == -EAGAIN || result == -EACCES) {
        return taken(claim, subject);
    }
    if (result < 0)
        return gnli_fail_errno(-result, "%s: cannot claim the name", subject);
    result = make_listener(claim, subject);
    if (result < 0) {
        lock_name(claim, F_UNLCK);
        return result;
    }
    claim->stamp = gnli_process_stamp();
    claim->next = claims;
    claims = claim;
    return 0;
}

int gnli_claim_take(struct gnli_claim *claim, const struct gnli_address *address, const char *subject)
{
    *claim = (struct gnli_claim){ .address = *address, .listener = -1 };
    claim->directory = gnli_above_standard(gnli_directory_open(address->machine_wide, true));
    if (claim->directory < 0)
        return claim->directory;
    int result = open_claims(claim, subject);
    if (result == 0) {
        gnli_handles_lock();
        result = take(claim, subject);
        gnli_handles_unlock();
    }
    if (result < 0) {
        if (claim->file)
            gnli_file_close(claim->file);
        close(claim->directory);
    }
    return result;
}

void gnli_claim_release(struct gnli_claim *claim, bool ours)
{
    char name[96];

    gnli_handles_lock();
    for (struct gnli_claim **link = &claims; *link; link = &(*link)->next)
        if (*link == claim) {
            *link = claim->next;
            break;
        }
    if (ours) {
        file_name(name, sizeof name, &claim->address, geteuid());
        unlinkat(claim->directory, name, 0); /* while the name is ours still */
        close(claim->listener);
        lock_name(claim, F_UNLCK);
    }
    close(claim->directory);
    gnli_file_close(claim->file);
    gnli_handles_unlock();
}

/* ---- others ---- */

/* Connects to the socket of that file. */
static int connect_to(const struct gnli_claim *claim, const char *name, struct ucred *listens)
{
    struct sockaddr_un path;
    socklen_t size = sizeof *listens;

    gnli_socket_path(&path, claim->directory, name);
    if (!gnli_access_admits(path.sun_path))
        return -EACCES;
    int made = gnli_above_standard(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (made < 0)
        return -errno;
    if (connect(made, (struct sockaddr *)&path, sizeof path) == 0 &&
        getsockopt(made, SOL_SOCKET, SO_PEERCRED, listens, &size) == 0)
        return made;
    int error = errno;
    close(made);
    return error == ECONNREFUSED ? -ENOENT : -error;
}

/* Is it the one who has the name, as far as this pid namespace shows? */
static bool is_holder(pid_t holder, const struct ucred *listens)
{
    return holder <= 0 || listens->pid <= 0 || listens->pid == holder;
}

/*
 * In the machine-wide directory: of the files of that name, which anybody may leave there, the one whose
 * owner listens and has the name.
 */
static int connect_wide(const struct gnli_claim *claim, const char *wanted, pid_t holder,
                        struct ucred *listens)
{
    int result = -ENOENT, copy = openat(claim->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    size_t length = strlen(wanted);

    if (!entries) {
        if (copy >= 0)
            close(copy);
        return -errno;
    }
    for (struct dirent *entry; result < 0 && (entry = readdir(entries));) {
        struct stat status;
        char name[96];
        if (strncmp(entry->d_name, "direct:", 7) != 0 || strncmp(entry->d_name + 7, wanted, length) != 0 ||
            entry->d_name[7 + length] != '~' || strlen(entry->d_name) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "direct:%s~", wanted);
        if (fstatat(claim->directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        snprintf(name + strlen(name), sizeof name - strlen(name), "%u", (unsigned)status.st_uid);
        if (strcmp(name, entry->d_name) != 0)
            continue;
        int made = connect_to(claim, name, listens);
        if (made >= 0 && (listens->uid != status.st_uid || !is_holder(holder, listens))) {
            close(made);
            made = -EBADMSG;
        }
        if (made != -ENOENT)
            result = made;
    }
    closedir(entries);
    return result;
}

int gnli_claim_connect(const struct gnli_claim *claim, const char *name, struct ucred *listens,
                       const char *subject)
{
    char file[96];
    struct gnli_address address = { .machine_wide = false };

    snprintf(address.name, sizeof address.name, "%s", name);
    pid_t holder = gnli_claim_holder(claim, name);
    if (holder == 0)
        return -ENOENT;
    file_name(file, sizeof file, &address, 0);
    int made = claim->address.machine_wide ? connect_wide(claim, name, holder, listens)
                                           : connect_to(claim, file, listens);
    if (made == -EACCES)
        return gnli_fail(-EACCES, "%s: its owner does not let you in (gnl_identity_allow)", subject);
    if (made == -ENOENT || made == -EAGAIN)
        return made;
    if (made < 0)
        return gnli_fail_errno(-made, "%s: cannot connect", subject);
    /* Is it the same one still, and the one who listens? */
    if (!is_holder(holder, listens)) {
        close(made);
        return gnli_claim_holder(claim, name) == holder
                   ? gnli_fail(-EBADMSG, "%s: process %d listens there, but process %d has the name", subject,
                               (int)listens->pid, (int)holder)
                   : -ENOENT;
    }
    return made;
}

int gnli_claim_look(const struct gnli_address *address, struct gnl_port_info *info,
                    struct gnl_participant *has)
{
    struct gnli_claim look = { .address = *address, .listener = -1 };
    char subject[GNL_ADDRESS_MAX + 1], name[96];
    struct stat status;

    gnli_address_format(address, subject);
    look.directory = gnli_above_standard(gnli_directory_open(address->machine_wide, false));
    if (look.directory < 0)
        return look.directory;
    int result = gnli_file_open(&look.file, look.directory, CLAIMS, subject);
    if (result == 0) {
        assert(look.file);
        has->pid = gnli_claim_holder(&look, address->name);
        has->alive = has->pid != 0;
        gnli_file_close(look.file);
        file_name(name, sizeof name, address, geteuid());
        if (fstatat(look.directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
            info->owner_uid = has->uid = status.st_uid;
            info->mode = status.st_mode & 0777;
        } else if (has->pid == 0) {
            result = gnli_fail(-ENOENT, "%s: no process has that name", subject);
        }
    }
    close(look.directory);
    return result;
}

int gnli_claim_sweep(const struct gnli_address *address)
{
    struct gnl_port_info info;
    struct gnl_participant has = { 0 };
    char subject[GNL_ADDRESS_MAX + 1], name[96];

    gnli_address_format(address, subject);
    int result = gnli_claim_look(address, &info, &has);
    if (result < 0)
        return result;
    if (has.pid != 0)
        return gnli_fail(-EBUSY, "%s: process %d has that name, until it ends", subject, (int)has.pid);
    int directory = gnli_directory_open(address->machine_wide, false);
    if (directory < 0)
        return directory;
    file_name(name, sizeof name, address, geteuid());
    result = unlinkat(directory, name, 0) == 0 ? 0 : -errno;
    close(directory);
    return result < 0 ? gnli_fail_errno(-result, "%s: cannot remove what is left of it", subject) : 0;
}
