/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening. In message mode, and over TLS, who connects is *new* (newcomers.h) until its hello has come,
 * however slowly, and only then accepted: who goes without a word, says something else or says nothing for
 * too long nobody hears of.
 *
 *   A: acquire-release: the crowd, counted up here and down by who leaves (socket.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/socket_file.h"
#include "life/process.h"
#include "memory/file.h"
#include "socket/newcomers.h"
#include "socket/socket.h"
#include "socket/tls.h"
#include "wire/stream.h"

#define MUTE_NS     INT64_C(10000000000) /* or dead_after, if that is less */
#define LISTEN_NS   INT64_C(10000000000) /* for the resolver */
#define EVENTS      32
#define THE_BACKLOG (GNLI_NEW_MAX + 1) /* in an event, where the new have their places */

struct listener {
    struct gnl_listener base;
    struct gnli_address address;
    struct gnl_options options;
    struct gnli_crowd *crowd;
    int socket, set;  /* set: an epoll descriptor: the socket and the new */
    int directory;    /* of its file, whatever the working directory will be; else -1 */
    const char *file; /* in the directory */
    ino_t inode;      /* of the file, 0 none */
    struct gnli_wire
        *spare; /* the port for who comes next: its descriptor is made before somebody is let in */
    struct gnli_newcomers new;
};

static struct listener *listener_of(gnl_listener *base)
{
    return (struct listener *)base;
}

/* ---- letting in ---- */

static bool crowded(const struct listener *listener)
{
    uint32_t most = listener->options.connections_max;

    return most > 0 && atomic_load_explicit(&listener->crowd->users, memory_order_acquire) > most; /* A */
}

/* Without descriptors for who may come, who is mute has to give up its own. */
static bool yields(struct listener *listener, int result)
{
    return (result == -EMFILE || result == -ENFILE) && gnli_newcomers_make_room(&listener->new);
}

static int prepare(struct listener *listener)
{
    int result = 0;

    while (!listener->spare) {
        result = gnli_wire_new(&listener->spare,
                               listener->new.context ? &gnli_tls_transport : &gnli_socket_transport,
                               &listener->address, &listener->options, listener->base.subject);
        if (result < 0 && !yields(listener, result))
            return result;
    }
    listener->spare->kind = GNL_SOCKET;
    listener->spare->owner = geteuid();
    listener->spare->mode = listener->inode ? listener->options.mode : 0;
    return 0;
}

/* Sentences about a port name who is at its other end: over unix: that has no address. */
static void name_peer(struct gnli_wire *wire, int made)
{
    struct sockaddr_storage name = { 0 };
    socklen_t size = sizeof name;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getpeername(made, (struct sockaddr *)&name, &size) != 0 || name.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&name, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    bool six = name.ss_family == AF_INET6;
    snprintf(wire->port.subject, sizeof wire->port.subject, "%s:%s%.64s%s:%.8s", wire->layer ? "tls" : "tcp",
             six ? "[" : "", host, six ? "]" : "", port);
}

/*
 * The spare port gets the socket, and with it the session and the hello if there are any. NULL: that one is
 * turned away.
 */
static struct gnli_wire *admit(struct listener *listener, int made, const uint8_t *hello,
                               struct gnli_tls_session *session)
{
    struct gnli_wire *wire = listener->spare;

    if (crowded(listener) || (hello && !gnli_stream_understand(wire, hello))) {
        if (session)
            gnli_tls()->session_free(session);
        gnli_wire_disown(made);
        return NULL;
    }
    listener->spare = NULL;
    wire->layer = session;
    wire->ahead = session && gnli_tls()->ahead(session);
    gnli_wire_ring(wire);
    name_peer(wire, made);
    if (session)
        gnli_tls()->name(session, wire->port.subject);
    if (gnli_socket_attach(wire, made, &listener->options) < 0) {
        gnli_wire_free(wire);
        return NULL;
    }
    atomic_fetch_add_explicit(&listener->crowd->users, 1, memory_order_acq_rel); /* A */
    wire->own = listener->crowd;
    return wire;
}

static struct gnli_wire *hear(struct listener *listener, unsigned place)
{
    uint8_t hello[GNLI_STREAM_HELLO];
    struct gnli_tls_session *session;

    if (gnli_newcomers_hear(&listener->new, place) < 0)
        return NULL;
    int made = gnli_newcomers_release(&listener->new, place, hello, &session);
    return admit(listener, made, listener->options.stream ? NULL : hello, session);
}

/* Takes the next from the backlog: its socket; -EAGAIN nobody is there; -ECONNABORTED it has gone. */
static int take_next(struct listener *listener)
{
    int made, result;

    do {
        made = gnli_above_standard(accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        result = made < 0 ? -errno : gnli_wire_own(made);
    } while (result == -EINTR || (made < 0 && yields(listener, result)));
    if (result < 0 && made >= 0)
        close(made);
    return result < 0 ? result : made;
}

/* The next of the backlog: becomes new, or *accepted if it is ready at once. */
static int let_in(struct listener *listener, struct gnli_wire **accepted)
{
    int made = take_next(listener);

    if (made < 0)
        return made == -ECONNABORTED || made == -EPROTO ? 0 : made == -EINVAL ? -ECANCELED : made;
    if (listener->options.stream && !listener->new.context) {
        *accepted = admit(listener, made, NULL, NULL);
        return 0;
    }
    int place = gnli_newcomers_add(&listener->new, made);
    if (place >= 0)
        *accepted = hear(listener, (unsigned)place);
    return 0;
}

/* ---- the table ---- */

/* The names of a directory. Where somebody has it locked for good, listening is more than the race is. */
static void lock(int directory)
{
    for (unsigned i = 0; i < 1000 && flock(directory, LOCK_EX | LOCK_NB) != 0; i++)
        usleep(1000);
}

/* One who may be accepted, or NULL: look again. -EAGAIN nobody has come or said a word. */
static int look(struct listener *listener, struct gnli_wire **accepted)
{
    struct epoll_event events[EVENTS];
    bool backlog = false;

    int count = epoll_wait(listener->set, events, EVENTS, 0);
    if (count <= 0)
        return count == 0 ? -EAGAIN : errno == EINTR ? 0 : -errno;
    int result = prepare(listener);
    for (int i = 0; result == 0 && i < count && !*accepted; i++) {
        if (events[i].data.u64 == THE_BACKLOG)
            backlog = true;
        else if (events[i].data.u64 < GNLI_NEW_MAX)
            *accepted = hear(listener, (unsigned)events[i].data.u64);
        if (!listener->spare && !*accepted)
            result = prepare(listener);
    }
    return result == 0 && backlog && !*accepted ? let_in(listener, accepted) : result;
}

static int accept_now(gnl_listener *base, gnl_port **port)
{
    struct listener *listener = listener_of(base);
    struct gnli_wire *accepted = NULL;
    int result = 0;

    gnli_newcomers_tidy(&listener->new);
    /* Who is turned away makes room for the next; a flood of those ends this call all the same. */
    for (unsigned i = 0; i <= GNLI_BACKLOG && result == 0 && !accepted; i++)
        result = look(listener, &accepted);
    if (accepted)
        *port = &accepted->port;
    return accepted ? 0 : result < 0 ? result : -EAGAIN;
}

static int descriptor(gnl_listener *base)
{
    return listener_of(base)->set;
}

static void interrupt(gnl_listener *base)
{
    shutdown(listener_of(base)->socket, SHUT_RDWR);
}

static void free_memory(struct listener *listener)
{
    if (listener->new.context)
        gnli_tls()->context_free(listener->new.context);
    gnli_crowd_leave(listener->crowd);
    free(listener);
}

static void free_listener(struct listener *listener)
{
    gnli_newcomers_end(&listener->new);
    if (listener->spare)
        gnli_wire_free(listener->spare);
    gnli_wire_disown(listener->set);
    gnli_wire_disown(listener->socket);
    gnli_wire_disown(listener->directory);
    free_memory(listener);
}

/* The file, if it is this listener's still. */
static void free_name(struct listener *listener)
{
    struct stat status;

    if (!listener->inode)
        return;
    lock(listener->directory);
    if (fstatat(listener->directory, listener->file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_ino == listener->inode)
        unlinkat(listener->directory, listener->file, 0);
    flock(listener->directory, LOCK_UN);
}

static void close_listener(gnl_listener *base)
{
    struct listener *listener = listener_of(base);

    if (gnli_process_is(base->stamp)) {
        free_name(listener);
        free_listener(listener);
    } else { /* the parent's: its descriptors were closed when this process began */
        gnli_newcomers_forget(&listener->new);
        free(listener->spare);
        free_memory(listener);
    }
}

static const struct gnli_listener_operations operations = {
    .accept = accept_now,
    .fd = descriptor,
    .interrupt = interrupt,
    .close = close_listener,
};

/* ---- taking a place ---- */

/* A new descriptor becomes the listener's; -1: errno says why there is none. */
static int own(int *mine, int made)
{
    made = gnli_above_standard(made);
    int result = made < 0 ? -errno : gnli_wire_own(made);

    if (result == 0)
        *mine = made;
    else if (made >= 0)
        close(made);
    return result;
}

static int new_socket(struct listener *listener, int family)
{
    return own(&listener->socket, socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static int in_use(const struct listener *listener, int error)
{
    if (error == EADDRINUSE)
        return gnli_fail(-EADDRINUSE, "%s: somebody listens there", listener->base.subject);
    return gnli_fail_errno(error, "%s: cannot listen", listener->base.subject);
}

/* In the directory, whose holder keeps others off the name meanwhile. */
static int publish(struct listener *listener)
{
    const char *subject = listener->base.subject;
    struct sockaddr_un name;
    struct stat status;
    socklen_t size = 0;

    int result = gnli_socket_local(&name, &size, &listener->address);
    if (result < 0)
        return result;
    int found = gnli_socket_look(&name, size);
    if (found == 0)
        return in_use(listener, EADDRINUSE);
    if (found == -EEXIST)
        return gnli_fail(-EEXIST, "%s: something that is no socket has that name", subject);
    if (found != -ENOENT && found != -ECONNREFUSED)
        return in_use(listener, -found);
    if (found == -ECONNREFUSED && listener->options.create == GNL_CREATE_ONLY)
        return gnli_fail(-EEXIST, "%s: a listener that died has left the name", subject);
    result =
        gnli_socket_publish(listener->socket, listener->directory, listener->file, listener->options.mode);
    if (result < 0)
        return in_use(listener, -result);
    if (fstatat(listener->directory, listener->file, &status, AT_SYMLINK_NOFOLLOW) == 0)
        listener->inode = status.st_ino;
    return 0;
}

static int take_file(struct listener *listener)
{
    char folder[GNL_ADDRESS_MAX + 1] = ".";
    const char *path = listener->address.path, *slash = strrchr(path, '/');

    if (slash) {
        memcpy(folder, path, (size_t)(slash - path) + 1);
        folder[slash - path + 1] = '\0';
    }
    listener->file = slash ? slash + 1 : path;
    int result = own(&listener->directory, open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (result == 0)
        result = new_socket(listener, AF_UNIX);
    if (result < 0)
        return in_use(listener, -result);
    lock(listener->directory);
    result = publish(listener);
    flock(listener->directory, LOCK_UN);
    return result;
}

static int take_abstract(struct listener *listener)
{
    struct sockaddr_un name;
    socklen_t size;

    int result = gnli_socket_local(&name, &size, &listener->address);
    if (result < 0)
        return result;
    result = new_socket(listener, AF_UNIX);
    if (result < 0)
        return in_use(listener, -result);
    if (bind(listener->socket, (struct sockaddr *)&name, size) != 0 ||
        listen(listener->socket, GNLI_BACKLOG) != 0)
        return in_use(listener, errno);
    return 0;
}

/* With the number that the kernel chose for port 0. */
static void learn_port(struct listener *listener)
{
    struct sockaddr_storage name = { 0 };
    socklen_t size = sizeof name;
    char host[GNL_ADDRESS_MAX + 1], port[GNL_ADDRESS_MAX + 1], number[NI_MAXSERV];

    gnli_address_split(&listener->address, host, port);
    if (strtol(port, NULL, 10) != 0 || getsockname(listener->socket, (struct sockaddr *)&name, &size) != 0 ||
        getnameinfo((struct sockaddr *)&name, size, NULL, 0, number, sizeof number, NI_NUMERICSERV) != 0)
        return;
    size_t kept = strlen(listener->address.path) - strlen(port);
    if (kept + strlen(number) + sizeof "tcp:" <= sizeof listener->address.path)
        strcpy(listener->address.path + kept, number);
}

static int take_port(struct listener *listener)
{
    const int yes = 1;
    struct addrinfo *found;
    int error = EADDRNOTAVAIL;

    int result = gnli_socket_resolve(&found, &listener->address, true, gnli_deadline_ns(LISTEN_NS));
    if (result < 0)
        return result;
    for (const struct addrinfo *each = found; each; each = each->ai_next) {
        gnli_wire_disown(listener->socket);
        listener->socket = -1;
        result = new_socket(listener, each->ai_family);
        error = -result;
        if (result < 0)
            continue;
        setsockopt(listener->socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        error = bind(listener->socket, each->ai_addr, each->ai_addrlen) == 0 &&
                        listen(listener->socket, GNLI_BACKLOG) == 0
                    ? 0
                    : errno;
        if (error == 0)
            break;
    }
    freeaddrinfo(found);
    if (error == 0)
        learn_port(listener);
    return error == 0 ? 0 : in_use(listener, error);
}

static int make_set(struct listener *listener)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = THE_BACKLOG };

    int result = own(&listener->set, epoll_create1(EPOLL_CLOEXEC));
    if (result == 0 && epoll_ctl(listener->set, EPOLL_CTL_ADD, listener->socket, &event) != 0)
        result = -errno;
    if (result == 0)
        result = gnli_newcomers_begin(&listener->new, listener->set);
    return result < 0 ? in_use(listener, -result) : 0;
}

int gnli_socket_listen(gnl_listener **made, const struct gnli_address *address,
                       const struct gnl_options *options)
{
    struct listener *listener = calloc(1, sizeof *listener);
    char subject[GNL_ADDRESS_MAX + 1];

    if (listener)
        listener->crowd = calloc(1, sizeof *listener->crowd);
    gnli_address_format(address, subject);
    if (!listener || !listener->crowd) {
        free(listener);
        return gnli_fail_plain(-ENOMEM, subject);
    }
    atomic_init(&listener->crowd->users, 1);
    listener->base.operations = &operations;
    listener->base.stamp = gnli_process_stamp();
    strcpy(listener->base.subject, subject);
    listener->address = *address;
    listener->options = *options;
    listener->options.mode = options->mode ? options->mode : 0600;
    listener->options.tls = NULL; /* the caller's, which the context is made from */
    listener->socket = listener->set = listener->directory = -1;
    bool short_of_patience = options->dead_after > 0 && options->dead_after < MUTE_NS;
    gnli_newcomers_init(&listener->new, short_of_patience ? options->dead_after : MUTE_NS, !options->stream,
                        listener->base.subject);
    pthread_mutex_init(&listener->base.lock, NULL);
    int result = gnli_socket_is_tls(address)
                     ? gnli_tls_context(&listener->new.context, options, true, listener->base.subject)
                     : 0;
    if (result == 0)
        result = !gnli_socket_is_local(address) ? take_port(listener)
                 : address->path[0] == '@'      ? take_abstract(listener)
                                                : take_file(listener);
    if (result == 0)
        result = make_set(listener);
    if (result < 0) {
        free_name(listener);
        free_listener(listener);
        return result;
    }
    gnli_address_format(&listener->address, listener->base.address);
    strcpy(listener->base.subject, listener->base.address);
    *made = &listener->base;
    return 0;
}
