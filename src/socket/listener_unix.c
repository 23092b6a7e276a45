/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening. In message mode who connects is *new* until its hello has come, however slowly, and only then
 * accepted: who goes without a word, says something else or says nothing for too long nobody hears of. Of the
 * new there are so many at a time; then the one that has been mute longest has to go.
 *
 *   A: relaxed: a port's descriptors, set before it is anybody's; the closing mark, after which the listener
 *      is woken until nobody is inside.
 *   B: acquire-release: the crowd, counted up here and down by who leaves (socket.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
#include "socket/socket.h"
#include "wait/poll.h"
#include "wire/stream.h"

#define NEW_MAX     256
#define MUTE_NS     INT64_C(10000000000)
#define LOOK_NS     INT64_C(1000000000) /* while there are new ones, for those that are mute too long */
#define EVENTS      32
#define THE_BACKLOG NEW_MAX /* in an event, where the new have their number */

struct newcomer {
    struct gnli_wire *wire; /* NULL: none */
    uint64_t number;
    int64_t deadline;
    uint8_t hello[GNLI_STREAM_HELLO];
    size_t heard; /* bytes of it */
};

struct listener {
    struct gnl_listener base;
    struct gnli_address address;
    struct gnl_options options;
    struct gnli_crowd *crowd;
    int socket, set; /* set: an epoll descriptor: the socket and the new */
    ino_t inode;     /* of its file, 0 none */
    pthread_mutex_t lock;
    struct newcomer new[NEW_MAX];
    unsigned count;
    uint64_t numbers;
};

static struct listener *listener_of(gnl_listener *base)
{
    return (struct listener *)base;
}

/* ---- the new ---- */

static int input_of(const struct gnli_wire *wire)
{
    return atomic_load_explicit(&wire->input, memory_order_relaxed); /* A */
}

static struct gnli_wire *release(struct listener *listener, struct newcomer *newcomer)
{
    struct gnli_wire *wire = newcomer->wire;

    epoll_ctl(listener->set, EPOLL_CTL_DEL, input_of(wire), NULL);
    newcomer->wire = NULL;
    listener->count--;
    return wire;
}

static void turn_away(struct listener *listener, struct newcomer *newcomer)
{
    gnli_wire_free(release(listener, newcomer));
}

/* Those who have been mute too long. */
static void turn_the_mute_away(struct listener *listener)
{
    int64_t now = listener->count > 0 ? gnli_now_ns() : 0;

    for (unsigned i = 0; i < NEW_MAX && listener->count > 0; i++)
        if (listener->new[i].wire && listener->new[i].deadline < now)
            turn_away(listener, &listener->new[i]);
}

/* A free entry, or that of the one who has been mute longest. */
static struct newcomer *entry_for_one_more(struct listener *listener)
{
    struct newcomer *oldest = &listener->new[0];

    for (unsigned i = 0; i < NEW_MAX; i++) {
        struct newcomer *each = &listener->new[i];
        if (!each->wire)
            return each;
        if (each->number < oldest->number)
            oldest = each;
    }
    turn_away(listener, oldest);
    return oldest;
}

/* 0: its hello has come. -EAGAIN not yet; anything else: it never will. */
static int hear(struct newcomer *newcomer)
{
    while (newcomer->heard < sizeof newcomer->hello) {
        ssize_t size = recv(input_of(newcomer->wire), newcomer->hello + newcomer->heard,
                            sizeof newcomer->hello - newcomer->heard, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 && errno == EAGAIN ? -EAGAIN : -EPIPE;
        newcomer->heard += (size_t)size;
    }
    return gnli_stream_understand(newcomer->wire, newcomer->hello) ? 0 : -EBADMSG;
}

/* ---- the backlog ---- */

static bool crowded(const struct listener *listener)
{
    uint32_t most = listener->options.connections_max;

    return most > 0 && atomic_load_explicit(&listener->crowd->users, memory_order_acquire) > most; /* B */
}

/* A port for who will come: its descriptor is made before somebody is taken from the backlog. */
static int prepare(struct listener *listener, struct gnli_wire **wire)
{
    int result = gnli_wire_new(wire, &gnli_socket_transport, &listener->address, &listener->options,
                               listener->base.subject);

    if (result < 0)
        return result;
    (*wire)->kind = GNL_SOCKET;
    (*wire)->owner = geteuid();
    (*wire)->mode = listener->inode ? listener->options.mode : 0;
    return 0;
}

/* Takes the next from the backlog: 0, *wire NULL if that one was turned away; -EAGAIN nobody is there. */
static int take_next(struct listener *listener, struct gnli_wire **wire)
{
    struct pollfd entry = { .fd = listener->socket, .events = POLLIN };

    *wire = NULL;
    if (poll(&entry, 1, 0) != 1)
        return -EAGAIN;
    if (!(entry.revents & POLLIN))
        return -ECANCELED;
    int result = prepare(listener, wire);
    if (result < 0)
        return result;
    int made = gnli_above_standard(accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    result = made < 0 ? -errno : 0;
    bool away = made >= 0 && crowded(listener);
    if (away)
        close(made);
    else if (made >= 0)
        away = gnli_socket_attach(*wire, made, &listener->options) == -EPIPE;
    if (result < 0 || away) {
        gnli_wire_free(*wire);
        *wire = NULL;
        bool theirs = result == -ECONNABORTED || result == -EINTR || result == -EPROTO;
        return theirs ? 0 : result;
    }
    atomic_fetch_add_explicit(&listener->crowd->users, 1, memory_order_acq_rel); /* B */
    (*wire)->own = listener->crowd;
    return 0;
}

/* The next of the backlog: becomes new, or *accepted if it is ready at once. */
static int let_in(struct listener *listener, struct gnli_wire **accepted)
{
    struct gnli_wire *wire;

    int result = take_next(listener, &wire);
    if (result < 0 || !wire)
        return result;
    if (listener->options.stream) {
        *accepted = wire;
        return 0;
    }
    struct newcomer *entry = entry_for_one_more(listener);
    *entry =
        (struct newcomer){ .wire = wire, .number = ++listener->numbers, .deadline = gnli_now_ns() + MUTE_NS };
    listener->count++;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)(entry - listener->new) };
    int heard = hear(entry);
    if (heard == 0)
        *accepted = release(listener, entry);
    else if (heard != -EAGAIN || epoll_ctl(listener->set, EPOLL_CTL_ADD, input_of(wire), &event) != 0)
        turn_away(listener, entry);
    return 0;
}

/* ---- the table ---- */

/* One who may be accepted, or NULL: look again. -EAGAIN nobody has come or said a word. */
static int look(struct listener *listener, struct gnli_wire **accepted)
{
    struct epoll_event events[EVENTS];
    bool backlog = false;

    int count = epoll_wait(listener->set, events, EVENTS, 0);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count && !*accepted; i++) {
        if (events[i].data.u64 == THE_BACKLOG) {
            backlog = true;
            continue;
        }
        struct newcomer *each = &listener->new[events[i].data.u64];
        int heard = each->wire ? hear(each) : -EAGAIN;
        if (heard == 0)
            *accepted = release(listener, each);
        else if (heard != -EAGAIN)
            turn_away(listener, each);
    }
    return *accepted ? 0 : backlog ? let_in(listener, accepted) : count > 0 ? 0 : -EAGAIN;
}

static int try_accept(struct listener *listener, gnl_port **port)
{
    struct gnli_wire *accepted = NULL;
    int result = 0;

    turn_the_mute_away(listener);
    /* Who is turned away makes room for the next; a flood of those ends this call all the same. */
    for (unsigned i = 0; i <= GNLI_BACKLOG && result == 0 && !accepted; i++)
        result = look(listener, &accepted);
    if (accepted)
        *port = &accepted->port;
    return accepted ? 0 : result < 0 ? result : -EAGAIN;
}

static int64_t sooner(const struct listener *listener, int64_t deadline)
{
    int64_t soon = listener->count > 0 ? gnli_now_ns() + LOOK_NS : deadline;

    return soon < deadline ? soon : deadline;
}

static int accept_port(gnl_listener *base, gnl_port **port, int64_t timeout)
{
    struct listener *listener = listener_of(base);
    int64_t deadline = gnli_wire_deadline(timeout);

    for (;;) {
        pthread_mutex_lock(&listener->lock);
        int result = try_accept(listener, port);
        int64_t until = sooner(listener, deadline);
        pthread_mutex_unlock(&listener->lock);
        bool closing = atomic_load_explicit(&base->closing, memory_order_relaxed); /* A */
        if (closing && result < 0)
            return -ECANCELED;
        if (result != -EAGAIN || deadline == 0)
            return result;
        if (gnli_now_ns() >= deadline)
            return -ETIMEDOUT;
        gnli_poll(&(struct pollfd){ .fd = listener->set, .events = POLLIN }, 1, until);
    }
}

static int descriptor(gnl_listener *base)
{
    return listener_of(base)->set;
}

static void interrupt(gnl_listener *base)
{
    shutdown(listener_of(base)->socket, SHUT_RDWR);
}

static void free_listener(struct listener *listener)
{
    gnli_wire_disown(listener->set);
    gnli_wire_disown(listener->socket);
    gnli_crowd_leave(listener->crowd);
    free(listener);
}

/* The file, if it is this listener's still. */
static void free_name(struct listener *listener)
{
    struct stat status;

    if (listener->inode && lstat(listener->address.path, &status) == 0 && status.st_ino == listener->inode)
        unlink(listener->address.path);
}

static void close_listener(gnl_listener *base)
{
    struct listener *listener = listener_of(base);

    if (gnli_process_is(base->stamp)) {
        free_name(listener);
        for (unsigned i = 0; i < NEW_MAX; i++)
            if (listener->new[i].wire)
                turn_away(listener, &listener->new[i]);
        free_listener(listener);
        return;
    }
    /* The parent's: its descriptors were closed when this process began. */
    for (unsigned i = 0; i < NEW_MAX; i++) {
        if (listener->new[i].wire)
            gnli_crowd_leave(listener->crowd);
        free(listener->new[i].wire);
    }
    gnli_crowd_leave(listener->crowd);
    free(listener);
}

static const struct gnli_listener_operations operations = {
    .accept = accept_port,
    .fd = descriptor,
    .interrupt = interrupt,
    .close = close_listener,
};

/* ---- taking a place ---- */

static int new_socket(struct listener *listener, int family)
{
    listener->socket = gnli_above_standard(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (listener->socket < 0)
        return -errno;
    int result = gnli_wire_own(listener->socket);
    if (result < 0) {
        close(listener->socket);
        listener->socket = -1;
    }
    return result;
}

static int in_use(const struct listener *listener, int error)
{
    if (error == EADDRINUSE)
        return gnli_fail(-EADDRINUSE, "%s: somebody listens there", listener->base.subject);
    return gnli_fail_errno(error, "%s: cannot listen", listener->base.subject);
}

/* In the directory, whose holder keeps others off the name meanwhile. */
static int publish(struct listener *listener, int directory, const char *file)
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
        return gnli_fail(-EEXIST, "%s: something else has that name", subject);
    if (found != -ENOENT && found != -ECONNREFUSED)
        return in_use(listener, -found);
    if (found == -ECONNREFUSED && listener->options.create == GNL_CREATE_ONLY)
        return gnli_fail(-EEXIST, "%s: a listener that died has left the name", subject);
    result = gnli_socket_publish(listener->socket, directory, file, listener->options.mode);
    if (result < 0)
        return in_use(listener, -result);
    if (fstatat(directory, file, &status, AT_SYMLINK_NOFOLLOW) == 0)
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
    int directory = gnli_above_standard(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory < 0)
        return in_use(listener, errno);
    /* Where somebody has it locked for good, listening is more than the race that is left. */
    for (unsigned i = 0; i < 1000 && flock(directory, LOCK_EX | LOCK_NB) != 0; i++)
        usleep(1000);
    int result = new_socket(listener, AF_UNIX);
    result = result < 0 ? in_use(listener, -result) : publish(listener, directory, slash ? slash + 1 : path);
    close(directory);
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

    int result = gnli_socket_resolve(&found, &listener->address, true);
    if (result < 0)
        return result;
    for (const struct addrinfo *each = found; each; each = each->ai_next) {
        gnli_wire_disown(listener->socket);
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

    listener->set = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    if (listener->set < 0)
        return in_use(listener, errno);
    int result = gnli_wire_own(listener->set);
    if (result < 0) {
        close(listener->set);
        listener->set = -1;
        return result;
    }
    return epoll_ctl(listener->set, EPOLL_CTL_ADD, listener->socket, &event) == 0 ? 0
                                                                                  : in_use(listener, errno);
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
    listener->socket = listener->set = -1;
    pthread_mutex_init(&listener->lock, NULL);
    int result = !gnli_socket_is_local(address) ? take_port(listener)
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
    *made = &listener->base;
    return 0;
}
