/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/errors.h"
#include "port/kinds.h"

void gnli_pipe_subject(char *subject, const struct gnli_address *address)
{
    snprintf(subject, GNL_ADDRESS_MAX + 1, "pipe '%s%s'", address->machine_wide ? "/" : "", address->name);
}

void gnli_pipe_file(char *name, const struct gnli_address *address)
{
    snprintf(name, GNLI_PIPE_FILE, "pipe:%s", address->name);
}

/* What can and what cannot be kept over sockets: docs/pipes.md. */
static int check_capacity(const struct gnl_options *options, const char *subject)
{
    if (options->capacity == GNL_RENDEZVOUS)
        return gnli_fail(-EOPNOTSUPP,
                         "%s: no capacity zero over a pipe: what the kernel has been given cannot be "
                         "withdrawn; use a direct link or a mailbox",
                         subject);
    if (options->capacity == GNL_UNBOUNDED)
        return gnli_fail(-EOPNOTSUPP,
                         "%s: no unbounded capacity over a pipe: the kernel's buffer has an end; use a "
                         "direct link or a mailbox",
                         subject);
    if (options->capacity < 0 || options->capacity > GNL_CAPACITY_MAX)
        return gnli_fail(-EINVAL, "%s: a capacity is 1 to %lld messages", subject,
                         (long long)GNL_CAPACITY_MAX);
    return 0;
}

int gnli_pipe_check(const struct gnl_options *options, const char *subject)
{
    if (options->side || options->max_deliveries || options->dead_letters || options->identity)
        return gnli_fail(-EINVAL, "%s: side, max_deliveries, dead_letters and identity are not for pipes",
                         subject);
    if ((unsigned)options->create > GNL_OPEN_ONLY || (unsigned)options->direction > GNL_RECV_ONLY)
        return gnli_fail(-EINVAL, "%s: create or direction has no meaning", subject);
    if (options->mode != 0 && ((options->mode & ~(mode_t)0777) || (options->mode & 0600) != 0600))
        return gnli_fail(-EINVAL, "%s: a mode is as 0600, with both of the owner's rights", subject);
    if (options->stream && (options->capacity || options->message_max))
        return gnli_fail(-EINVAL, "%s: bytes have no capacity or message_max: that is message mode's",
                         subject);
    if (options->message_max > GNL_MESSAGE_MAX_LIMIT)
        return gnli_fail(-EINVAL, "%s: message_max is %zu bytes at most", subject, GNL_MESSAGE_MAX_LIMIT);
    return check_capacity(options, subject);
}

static int open_pipe(gnl_port **port, const struct gnli_address *address, const struct gnl_options *options)
{
    char subject[GNL_ADDRESS_MAX + 1];
    struct gnli_wire *wire;

    gnli_pipe_subject(subject, address);
    int result = gnli_pipe_check(options, subject);
    if (result < 0)
        return result;
    if (options->create == GNL_CREATE_ONLY)
        return gnli_fail(-EINVAL, "%s: who listens makes a pipe (gnl_listen)", subject);
    result = gnli_wire_new(&wire, &gnli_pipe_transport, address, options, subject);
    if (result < 0)
        return result;
    wire->kind = GNL_PIPE;
    result = gnli_pipe_connect(wire, address, options);
    if (result < 0) {
        gnli_wire_free(wire);
        return result;
    }
    *port = &wire->port;
    return 0;
}

static int listen_on_pipe(gnl_listener **listener, const struct gnli_address *address,
                          const struct gnl_options *options)
{
    char subject[GNL_ADDRESS_MAX + 1];

    gnli_pipe_subject(subject, address);
    int result = gnli_pipe_check(options, subject);
    if (result < 0)
        return result;
    if (options->create == GNL_OPEN_ONLY || options->owner_uid)
        return gnli_fail(-EINVAL, "%s: who listens makes the pipe, whatever was there", subject);
    return gnli_pipe_listen(listener, address, options, subject);
}

const struct gnli_kind gnli_pipe_kind = {
    .name = "pipe",
    .kind = GNL_PIPE,
    .open = open_pipe,
    .listen = listen_on_pipe,
    .remove = gnli_pipe_remove,
    .inspect = gnli_pipe_inspect,
};
