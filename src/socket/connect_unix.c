/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting. A host may have several addresses, of which some lead nowhere: as RFC 8305 says they are tried
 * by families in turn, the next a quarter of a second after the one before or once that has failed; the first
 * that connects is the one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "memory/file.h"
#include "socket/socket.h"
#include "socket/tls.h"
#include "wait/poll.h"

#define TRIES_MAX        16
#define TRIED_TEXT       128 /* bytes of the addresses in a failure's sentence */
#define STAGGER_NS       INT64_C(250000000)
#define CONNECT_PATIENCE INT64_C(10000000000)

static int new_socket(int family)
{
    int made = gnli_above_standard(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

    return made < 0 ? -errno : made;
}

/* ---- hosts ---- */

struct tries {
    const struct addrinfo *order[TRIES_MAX];
    unsigned count, next;             /* of order: the next to be tried */
    struct pollfd entries[TRIES_MAX]; /* those under way */
    unsigned under_way;
    int error; /* of the last that failed */
};

/* As found, but the families in turn. */
static void put_in_order(struct tries *tries, const struct addrinfo *found)
{
    const struct addrinfo *same = found, *other = found;
    int first = found->ai_family;

    while (tries->count < TRIES_MAX && (same || other)) {
        while (same && same->ai_family != first)
            same = same->ai_next;
        if (same) {
            tries->order[tries->count++] = same;
            same = same->ai_next;
        }
        while (other && other->ai_family == first)
            other = other->ai_next;
        if (other && tries->count < TRIES_MAX) {
            tries->order[tries->count++] = other;
            other = other->ai_next;
        }
    }
}

/* Begins with the next address: a socket that is connected, or -EINPROGRESS. */
static int begin_next(struct tries *tries)
{
    const struct addrinfo *to = tries->order[tries->next++];

    int made = new_socket(to->ai_family);
    if (made < 0) {
        tries->error = -made;
        return -EINPROGRESS;
    }
    if (connect(made, to->ai_addr, to->ai_addrlen) == 0)
        return made;
    if (errno == EINPROGRESS) {
        tries->entries[tries->under_way++] = (struct pollfd){ .fd = made, .events = POLLOUT };
    } else {
        tries->error = errno;
        close(made);
    }
    return -EINPROGRESS;
}

/* One of those under way that has connected; those that have failed go. Or -EINPROGRESS. */
static int look(struct tries *tries)
{
    for (unsigned i = 0; i < tries->under_way;) {
        int error = 0, made = tries->entries[i].fd;
        socklen_t size = sizeof error;
        if (tries->entries[i].revents == 0) {
            i++;
            continue;
        }
        tries->entries[i] = tries->entries[--tries->under_way];
        getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == 0)
            return made;
        tries->error = error;
        close(made);
    }
    return -EINPROGRESS;
}

/* Until one connects, all have failed, or the time is up. */
static int race(struct tries *tries, int64_t deadline)
{
    int64_t stagger = 0; /* when the next begins */
    int result = -EINPROGRESS;

    while (result == -EINPROGRESS) {
        int64_t now = gnli_now_ns();
        if (now >= deadline)
            return -ETIMEDOUT;
        if (tries->next < tries->count && (tries->under_way == 0 || now >= stagger)) {
            stagger = now + STAGGER_NS;
            result = begin_next(tries);
            continue;
        }
        if (tries->under_way == 0)
            return -tries->error;
        bool more = tries->next < tries->count && stagger < deadline;
        gnli_poll(tries->entries, tries->under_way, more ? stagger : deadline);
        result = look(tries);
    }
    return result;
}

/* Those that were tried, as many as there is room for: "IP, IP". */
static int cannot_connect(const struct gnli_address *address, const struct tries *tries, int error)
{
    char tried[TRIED_TEXT] = "it", number[64]; /* "it": there was no time for any */
    size_t length = 0;

    for (unsigned i = 0; i < tries->next; i++) {
        const struct addrinfo *to = tries->order[i];
        bool known =
            getnameinfo(to->ai_addr, to->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST) == 0;
        if (known && length + strlen(number) + sizeof ", " <= sizeof tried)
            length += (size_t)snprintf(tried + length, sizeof tried - length, "%s%s", length > 0 ? ", " : "",
                                       number);
    }
    return gnli_fail_errno(error, "%s:%s: cannot connect to %s", address->kind, address->path, tried);
}

static int connect_to_host(const struct gnli_address *address, int64_t deadline)
{
    struct tries tries = { .error = ENOENT };
    struct addrinfo *found;
    char host[GNL_ADDRESS_MAX + 1], port[GNL_ADDRESS_MAX + 1];

    gnli_address_split(address, host, port);
    if (strtol(port, NULL, 10) == 0)
        return gnli_fail(-EINVAL, "%s:%s: port 0 is for who listens: give a port", address->kind,
                         address->path);
    int result = gnli_socket_resolve(&found, address, false, deadline);
    if (result < 0)
        return result;
    put_in_order(&tries, found);
    result = race(&tries, deadline);
    for (unsigned i = 0; i < tries.under_way; i++)
        close(tries.entries[i].fd);
    if (result < 0)
        result = cannot_connect(address, &tries, -result);
    freeaddrinfo(found);
    return result;
}

/* ---- files and names ---- */

static int cannot_reach(const struct gnli_address *address, int error)
{
    struct stat status;

    if (error == ECONNREFUSED && stat(address->path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return gnli_fail(-EBADMSG, "unix:%s: is no socket: not used", address->path);
    if (error == ECONNREFUSED || error == ENOENT)
        return gnli_fail(-ENOENT, "unix:%s: nobody listens there%s", address->path,
                         error == ENOENT ? "" : " any more");
    if (error == EPROTOTYPE)
        return gnli_fail(-EBADMSG, "unix:%s: is a socket of another type, not a stream", address->path);
    if (error == EAGAIN)
        return gnli_fail(-EAGAIN, "unix:%s: too many are waiting to be accepted already: try again",
                         address->path);
    return gnli_fail_errno(error, "unix:%s: cannot connect", address->path);
}

static int connect_to_file(struct gnli_wire *wire, const struct gnli_address *address)
{
    struct sockaddr_un name;
    socklen_t size;

    int result = gnli_socket_local(&name, &size, address);
    if (result < 0)
        return result;
    int made = new_socket(AF_UNIX);
    if (made < 0)
        return gnli_fail_errno(-made, "%s: cannot make a socket", wire->port.subject);
    do
        result = connect(made, (struct sockaddr *)&name, size) == 0 ? 0 : errno;
    while (result == EINTR);
    if (result == 0)
        return made;
    close(made);
    return cannot_reach(address, result);
}

/* Connected, and where TLS lies between, with its handshake done: all within the time that connecting has. */
static int make_connection(struct gnli_wire *wire, const struct gnli_address *address,
                           struct gnli_tls_context *context, int64_t timeout)
{
    int64_t deadline = gnli_deadline_ns(timeout ? timeout : CONNECT_PATIENCE);

    int made =
        gnli_socket_is_local(address) ? connect_to_file(wire, address) : connect_to_host(address, deadline);
    if (made < 0)
        return made;
    int result = gnli_wire_own(made);
    if (result < 0) {
        close(made);
        return gnli_fail_errno(-result, "%s: cannot connect", wire->port.subject);
    }
    result = context ? gnli_tls_connect(wire, context, made, address, deadline) : 0;
    if (result == 0)
        return made;
    gnli_wire_disown(made);
    return result;
}

int gnli_socket_connect(struct gnli_wire *wire, const struct gnli_address *address,
                        const struct gnl_options *options)
{
    uid_t wanted = options->owner_uid == GNL_OWNER_ROOT ? 0 : options->owner_uid;
    struct gnli_tls_context *context = NULL;

    /* First, so that a wrong file is told of whether or not somebody answers. */
    int result =
        gnli_socket_is_tls(address) ? gnli_tls_context(&context, options, false, wire->port.subject) : 0;
    if (result < 0)
        return result;
    int made = make_connection(wire, address, context, options->connect_timeout);
    if (context)
        gnli_tls()->context_free(context);
    if (made < 0)
        return made;
    result = gnli_socket_attach(wire, made, options);
    if (result < 0)
        return gnli_fail_errno(-result, "%s: cannot connect", wire->port.subject);
    if (!gnli_socket_is_local(address))
        return 0;
    wire->owner = wire->peer.uid;
    if (options->owner_uid && wire->peer.uid != wanted)
        return gnli_fail(-EPERM, "%s: uid %u listens there, not uid %u", wire->port.subject,
                         (unsigned)wire->peer.uid, (unsigned)wanted);
    return 0;
}
