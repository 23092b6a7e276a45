/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What addresses of unix: mean: files and abstract names.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/errors.h"
#include "socket/socket.h"

bool gnli_socket_is_local(const struct gnli_address *address)
{
    return strcmp(address->kind, "unix") == 0;
}

int gnli_socket_local(struct sockaddr_un *name, socklen_t *size, const struct gnli_address *address)
{
    size_t length = strlen(address->path);
    bool abstract = address->path[0] == '@';

    if (length >= sizeof name->sun_path)
        return gnli_fail(-ENAMETOOLONG, "unix:%s: a socket's path has up to %zu bytes", address->path,
                         sizeof name->sun_path - 1);
    if (abstract && length == 1)
        return gnli_fail(-EINVAL, "unix:@: give a name after the @");
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(name->sun_path, address->path, length);
    if (abstract)
        name->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
    return 0;
}

int gnli_socket_look(const struct sockaddr_un *name, socklen_t size)
{
    struct stat status;

    if (lstat(name->sun_path, &status) != 0)
        return -errno;
    if (!S_ISSOCK(status.st_mode))
        return -EEXIST;
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    /* Of another type than who listens: told so by a living one, without a connection. */
    int result = connect(probe, (const struct sockaddr *)name, size) == 0 ? 0 : -errno;
    close(probe);
    return result == -EPROTOTYPE ? 0 : result;
}

int gnli_socket_remove(const struct gnli_address *address)
{
    struct sockaddr_un name;
    socklen_t size = 0;

    int result = gnli_socket_local(&name, &size, address);
    if (result < 0)
        return result;
    if (address->path[0] == '@')
        return gnli_fail(-EOPNOTSUPP, "unix:%s: there is nothing to remove: it ends with who listens",
                         address->path);
    result = gnli_socket_look(&name, size);
    if (result == -EEXIST)
        return gnli_fail(-EBADMSG, "unix:%s: is no socket: not removed", address->path);
    if (result == 0)
        return gnli_fail(-EBUSY, "unix:%s: somebody listens there: end that", address->path);
    if (result != -ECONNREFUSED || unlink(name.sun_path) != 0)
        return gnli_fail_errno(result == -ECONNREFUSED ? errno : -result, "unix:%s: cannot remove it",
                               address->path);
    return 0;
}
