/* SPDX-License-Identifier: Apache-2.0 */
#include "base/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void gnli_socket_path(struct sockaddr_un *path, int directory, const char *name)
{
    memset(path, 0, sizeof *path);
    path->sun_family = AF_UNIX;
    snprintf(path->sun_path, sizeof path->sun_path, "/proc/self/fd/%d/%s", directory, name);
}

void gnli_socket_path_of(struct sockaddr_un *path, int file)
{
    memset(path, 0, sizeof *path);
    path->sun_family = AF_UNIX;
    snprintf(path->sun_path, sizeof path->sun_path, "/proc/self/fd/%d", file);
}

#define HIDDEN_MAX sizeof ".ginnel-0123456789abcdef"

/* The name under which it is made ready: it belongs to the name, however long that is, and to no other. */
static void hide(char *hidden, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3;
    snprintf(hidden, HIDDEN_MAX, ".ginnel-%016llx", (unsigned long long)hash);
}

int gnli_socket_publish(int listener, int directory, const char *name, mode_t mode)
{
    struct sockaddr_un path;
    struct stat status;
    char hidden[HIDDEN_MAX];

    hide(hidden, name);
    /* What somebody killed here leaves goes with the next who publishes that name. */
    if (fstatat(directory, hidden, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(status.st_mode))
        unlinkat(directory, hidden, 0);
    gnli_socket_path(&path, directory, hidden);
    /* bind takes the mode from the socket, but for the umask: nobody finds it open wider than it will be. */
    if (fchmod(listener, 0600) != 0 || bind(listener, (struct sockaddr *)&path, sizeof path) != 0)
        return -errno;
    int result = fchmodat(directory, hidden, mode, 0) == 0 && listen(listener, GNLI_BACKLOG) == 0 &&
                         renameat(directory, hidden, directory, name) == 0
                     ? 0
                     : -errno;
    if (result < 0)
        unlinkat(directory, hidden, 0);
    return result;
}
