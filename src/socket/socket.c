/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   A: acquire-release: who leaves the crowd last frees it, after all that the others did.
 */
#include "socket/socket.h"

#include <errno.h>
#include <stdlib.h>

#include "base/errors.h"
#include "port/kinds.h"
#include "socket/tls.h"

void gnli_crowd_leave(struct gnli_crowd *crowd)
{
    if (crowd && atomic_fetch_sub_explicit(&crowd->users, 1, memory_order_acq_rel) == 1) /* A */
        free(crowd);
}

int gnli_socket_check(const struct gnl_options *options, const char *subject)
{
    if (options->side || options->max_deliveries || options->dead_letters || options->identity)
        return gnli_fail(-EINVAL, "%s: side, max_deliveries, dead_letters and identity are not for sockets",
                         subject);
    if (options->capacity != 0)
        return gnli_fail(
            -EOPNOTSUPP,
            "%s: no capacity over a socket: the kernel's buffers are what there is; on one machine "
            "a named pipe has one",
            subject);
    if ((unsigned)options->create > GNL_OPEN_ONLY || (unsigned)options->direction > GNL_RECV_ONLY)
        return gnli_fail(-EINVAL, "%s: create or direction has no meaning", subject);
    if (options->mode != 0 && ((options->mode & ~(mode_t)0777) || (options->mode & 0600) != 0600))
        return gnli_fail(-EINVAL, "%s: a mode is as 0600, with both of the owner's rights", subject);
    if (options->stream && options->message_max)
        return gnli_fail(-EINVAL, "%s: bytes have no message_max: that is message mode's", subject);
    if (options->message_max > GNL_MESSAGE_MAX_LIMIT)
        return gnli_fail(-EINVAL, "%s: message_max is %zu bytes at most", subject, GNL_MESSAGE_MAX_LIMIT);
    if (options->connect_timeout < 0 || options->dead_after < 0)
        return gnli_fail(-EINVAL, "%s: connect_timeout and dead_after are nanoseconds above 0", subject);
    return 0;
}

static int check(const struct gnli_address *address, const struct gnl_options *options, char *subject)
{
    gnli_address_format(address, subject);
    int result = gnli_socket_check(options, subject);
    bool local = gnli_socket_is_local(address);

    if (result == 0 && !local && (options->mode || options->owner_uid))
        return gnli_fail(
            -EINVAL, "%s: mode and owner_uid are for files: whoever reaches a TCP port may use it", subject);
    if (result == 0 && local && (options->connect_timeout || options->dead_after))
        return gnli_fail(-EINVAL,
                         "%s: connect_timeout and dead_after are for tcp: here the kernel knows at once",
                         subject);
    if (result == 0 && address->path[0] == '@' && options->mode)
        return gnli_fail(-EINVAL, "%s: a mode is a file's, and this name has none", subject);
    return result;
}

static int open_socket(gnl_port **port, const struct gnli_address *address, const struct gnl_options *options)
{
    char subject[GNL_ADDRESS_MAX + 1];
    struct gnli_wire *wire;

    int result = check(address, options, subject);
    if (result < 0)
        return result;
    if (options->create == GNL_CREATE_ONLY || options->connections_max)
        return gnli_fail(-EINVAL, "%s: GNL_CREATE_ONLY and connections_max are for who listens (gnl_listen)",
                         subject);
    bool tls = gnli_socket_is_tls(address);
    if (tls && !gnli_tls_engine(subject))
        return -EPROTONOSUPPORT;
    result =
        gnli_wire_new(&wire, tls ? &gnli_tls_transport : &gnli_socket_transport, address, options, subject);
    if (result < 0)
        return result;
    wire->kind = GNL_SOCKET;
    result = gnli_socket_connect(wire, address, options);
    if (result < 0) {
        gnli_wire_free(wire);
        return result;
    }
    *port = &wire->port;
    return 0;
}

static int listen_on_socket(gnl_listener **listener, const struct gnli_address *address,
                            const struct gnl_options *options)
{
    char subject[GNL_ADDRESS_MAX + 1];

    int result = check(address, options, subject);
    if (result < 0)
        return result;
    if (options->create == GNL_OPEN_ONLY || options->owner_uid || options->connect_timeout)
        return gnli_fail(-EINVAL, "%s: GNL_OPEN_ONLY, owner_uid and connect_timeout are for who connects",
                         subject);
    return gnli_socket_listen(listener, address, options);
}

static int remove_tcp(const struct gnli_address *address)
{
    return gnli_fail(-EOPNOTSUPP, "%s:%s: there is nothing to remove: it ends with who listens",
                     address->kind, address->path);
}

static ssize_t inspect(const struct gnli_address *address, struct gnl_port_info *info,
                       struct gnl_participant *participants, size_t count)
{
    (void)info;
    (void)participants;
    (void)count;
    return gnli_fail(-EOPNOTSUPP, "%s:%s: a socket does not tell from outside: ask with ss(8)", address->kind,
                     address->path);
}

const struct gnli_kind gnli_unix_kind = {
    .name = "unix",
    .kind = GNL_SOCKET,
    .open = open_socket,
    .listen = listen_on_socket,
    .remove = gnli_socket_remove,
    .inspect = inspect,
};

const struct gnli_kind gnli_tcp_kind = {
    .name = "tcp",
    .kind = GNL_SOCKET,
    .open = open_socket,
    .listen = listen_on_socket,
    .remove = remove_tcp,
    .inspect = inspect,
};

const struct gnli_kind gnli_tls_kind = {
    .name = "tls",
    .kind = GNL_SOCKET,
    .open = open_socket,
    .listen = listen_on_socket,
    .remove = remove_tcp,
    .inspect = inspect,
};
