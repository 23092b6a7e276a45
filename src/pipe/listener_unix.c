/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening on a pipe. In message mode somebody who connects is *new* until its hello has come, and only then
 * accepted: who goes without a word, or says something else, nobody hears of.
 *
 * Descriptors that a port will need are there before its connection is taken from the backlog: who finds none
 * leaves it waiting.
 *
 *   A: relaxed: a port's descriptors, set before it is anybody's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "base/socket_file.h"
#include "life/process.h"
#include "memory/file.h"
#include "pipe/pipe.h"

#define NEW_MAX 64 /* who is mute longest has to go when there are more */

struct newcomer {
    struct gnli_wire *wire; /* NULL: none */
    int spare;              /* keeps a number free for the credit that its hello brings */
    uint64_t number;
};

struct listener {
    struct gnl_listener base;
    struct gnli_address address;
    struct gnl_options options;
    int directory, socket, set; /* set: an epoll descriptor: the socket and the new */
    uint64_t inode;
    struct newcomer new[NEW_MAX];
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

static void forget(struct listener *listener, struct newcomer *newcomer)
{
    int socket = input_of(newcomer->wire);

    epoll_ctl(listener->set, EPOLL_CTL_DEL, socket, NULL);
    if (newcomer->spare >= 0)
        gnli_wire_disown(newcomer->spare);
    newcomer->spare = -1;
    newcomer->wire = NULL;
}

static void turn_away(struct listener *listener, struct newcomer *newcomer)
{
    struct gnli_wire *wire = newcomer->wire;

    forget(listener, newcomer);
    gnli_wire_free(wire);
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

/* A port for who will come, and the descriptors that it needs. */
static int prepare(struct listener *listener, struct newcomer *newcomer)
{
    struct gnl_listener *base = &listener->base;

    newcomer->spare = -1;
    int result = gnli_wire_new(&newcomer->wire, &gnli_pipe_transport, &listener->address, &listener->options,
                               base->subject);
    if (result < 0)
        return result;
    newcomer->wire->kind = GNL_PIPE;
    if (listener->options.stream)
        return 0;
    newcomer->spare = fcntl(listener->socket, F_DUPFD_CLOEXEC, 3);
    result = newcomer->spare < 0 ? -errno : gnli_wire_own(newcomer->spare);
    if (result < 0) {
        if (newcomer->spare >= 0)
            close(newcomer->spare);
        gnli_wire_free(newcomer->wire);
    }
    return result;
}

static void undo(struct newcomer *newcomer)
{
    if (newcomer->spare >= 0)
        gnli_wire_disown(newcomer->spare);
    gnli_wire_free(newcomer->wire);
}

/* Takes the next from the backlog: 0, or -EAGAIN nobody is there. */
static int take_next(struct listener *listener, struct newcomer *newcomer)
{
    struct pollfd entry = { .fd = listener->socket, .events = POLLIN };

    if (poll(&entry, 1, 0) != 1)
        return -EAGAIN;
    if (!(entry.revents & POLLIN))
        return -ECANCELED;
    int result = prepare(listener, newcomer);
    if (result < 0)
        return result;
    int made;
    do
        made = gnli_above_standard(accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    while (made < 0 && (errno == EINTR || errno == ECONNABORTED));
    result = made < 0 ? -errno : gnli_pipe_attach(newcomer->wire, made);
    if (result < 0) {
        undo(newcomer);
        return result;
    }
    newcomer->wire->owner = geteuid();
    newcomer->wire->mode = listener->options.mode;
    return 0;
}

/* One more of the backlog becomes new. */
static int let_in(struct listener *listener)
{
    struct newcomer newcomer;

    int result = take_next(listener, &newcomer);
    if (result < 0)
        return result;
    struct epoll_event event = { .events = EPOLLIN };
    if (!listener->options.stream &&
        epoll_ctl(listener->set, EPOLL_CTL_ADD, input_of(newcomer.wire), &event) != 0) {
        result = -errno;
        undo(&newcomer);
        return result;
    }
    newcomer.number = ++listener->numbers;
    *entry_for_one_more(listener) = newcomer;
    return 0;
}

/* ---- the hello ---- */

static bool sensible(const struct gnli_pipe_hello *hello, ssize_t size, int credit)
{
    int type = 0;
    socklen_t type_size = sizeof type;

    return size == sizeof *hello && memcmp(hello->magic, GNLI_PIPE_MAGIC, sizeof hello->magic) == 0 &&
           hello->terms.message_max <= GNL_MESSAGE_MAX_LIMIT && credit >= 0 &&
           getsockopt(credit, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_SEQPACKET;
}

/* 0: it has introduced itself. -EAGAIN not yet; anything else: it never will. */
static int hear(struct newcomer *newcomer)
{
    struct gnli_wire *wire = newcomer->wire;
    struct gnli_pipe_hello hello;
    struct gnl_sender sender;
    struct iovec part = { &hello, sizeof hello };
    struct pollfd entry = { .fd = input_of(wire), .events = POLLIN };
    int credit;

    if (poll(&entry, 1, 0) != 1)
        return -EAGAIN;
    gnli_wire_disown(newcomer->spare);
    newcomer->spare = -1;
    ssize_t size = gnli_pipe_receive(entry.fd, &part, 1, MSG_DONTWAIT, &sender, &credit);
    if (size == -EAGAIN)
        return -EBADMSG; /* never: there was something to read */
    if (!sensible(&hello, size, credit) || gnli_wire_own(credit) < 0) {
        if (credit >= 0)
            close(credit);
        return -EBADMSG;
    }
    wire->credit = credit;
    gnli_wire_meet(wire, &hello.terms);
    struct gnli_terms terms = gnli_wire_terms(wire);
    send(credit, &terms, sizeof terms, MSG_DONTWAIT | MSG_NOSIGNAL); /* if it is there still */
    return 0;
}

/* One who may be accepted, the first to come first. NULL: nobody. */
static struct gnli_wire *next_who_is_ready(struct listener *listener)
{
    struct newcomer *first = NULL;

    for (unsigned i = 0; i < NEW_MAX; i++) {
        struct newcomer *each = &listener->new[i];
        if (!each->wire || (first && each->number > first->number))
            continue;
        int result = listener->options.stream || each->wire->credit >= 0 ? 0 : hear(each);
        if (result == 0)
            first = each;
        else if (result != -EAGAIN)
            turn_away(listener, each);
    }
    if (!first)
        return NULL;
    struct gnli_wire *wire = first->wire;
    forget(listener, first);
    return wire;
}

/* ---- the table ---- */

static int accept_now(gnl_listener *base, gnl_port **port)
{
    struct listener *listener = listener_of(base);

    for (unsigned i = 0; i <= GNLI_BACKLOG; i++) { /* who is turned away makes room for the next */
        struct gnli_wire *wire = next_who_is_ready(listener);
        if (wire) {
            *port = &wire->port;
            return 0;
        }
        int result = let_in(listener);
        if (result < 0)
            return result;
    }
    return -EAGAIN;
}

static int descriptor(gnl_listener *base)
{
    return listener_of(base)->set;
}

static void interrupt(gnl_listener *base)
{
    shutdown(listener_of(base)->socket, SHUT_RDWR);
}

/* The name, if it is this listener's still. */
static void free_name(struct listener *listener)
{
    char file[GNLI_PIPE_FILE];
    struct stat status;

    gnli_pipe_file(file, &listener->address);
    bool locked = gnli_pipe_lock(listener->directory, listener->base.subject) == 0;
    if (fstatat(listener->directory, file, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_ino == listener->inode)
        unlinkat(listener->directory, file, 0);
    if (locked)
        gnli_pipe_unlock(listener->directory);
}

static void free_listener(struct listener *listener)
{
    gnli_wire_disown(listener->set);
    gnli_wire_disown(listener->socket);
    gnli_wire_disown(listener->directory);
    free(listener);
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
    for (unsigned i = 0; i < NEW_MAX; i++)
        free(listener->new[i].wire);
    free(listener);
}

static const struct gnli_listener_operations operations = {
    .accept = accept_now,
    .fd = descriptor,
    .interrupt = interrupt,
    .close = close_listener,
};

/* ---- listening ---- */

/* The name is free, or what a dead listener left. The directory is locked. */
static int check_name(struct listener *listener, const char *file)
{
    const char *subject = listener->base.subject;
    struct gnli_pipe_name name;

    int result = gnli_pipe_look(&name, listener->directory, file, subject);
    if (result < 0)
        return result;
    if (name.life == GNLI_PIPE_FOREIGN) {
        result = gnli_fail(-EEXIST, "%s: something else has that name", subject);
    } else if (name.life == GNLI_PIPE_LIVES) {
        pid_t pid = gnli_pipe_listener(&name);
        result = pid > 0 ? gnli_fail(-EADDRINUSE, "%s: process %d listens there", subject, (int)pid)
                         : gnli_fail(-EADDRINUSE, "%s: a living process listens there", subject);
    } else if (name.life == GNLI_PIPE_DEAD && listener->options.create == GNL_CREATE_ONLY) {
        result = gnli_fail(-EEXIST, "%s: a listener that died has left the name", subject);
    }
    if (name.file >= 0)
        close(name.file);
    return result;
}

static int publish(struct listener *listener)
{
    struct stat status;
    char file[GNLI_PIPE_FILE];
    const char *subject = listener->base.subject;

    gnli_pipe_file(file, &listener->address);
    int result = gnli_pipe_lock(listener->directory, subject);
    if (result < 0)
        return result;
    result = check_name(listener, file);
    if (result == 0) {
        result = gnli_socket_publish(listener->socket, listener->directory, file, listener->options.mode);
        if (result < 0)
            gnli_fail_errno(-result, "%s: cannot listen under that name", subject);
        else if (fstatat(listener->directory, file, &status, AT_SYMLINK_NOFOLLOW) == 0)
            listener->inode = status.st_ino;
    }
    gnli_pipe_unlock(listener->directory);
    return result;
}

static int make_descriptors(struct listener *listener)
{
    const int yes = 1;
    int type = listener->options.stream ? SOCK_STREAM : SOCK_SEQPACKET;

    int made = gnli_above_standard(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (made < 0)
        return -errno;
    listener->socket = made;
    /* Whoever is accepted has it from the beginning: so what came before has a sender, too. */
    setsockopt(made, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
    made = gnli_above_standard(epoll_create1(EPOLL_CLOEXEC));
    if (made < 0)
        return -errno;
    listener->set = made;
    struct epoll_event event = { .events = EPOLLIN };
    int result = epoll_ctl(listener->set, EPOLL_CTL_ADD, listener->socket, &event) == 0 ? 0 : -errno;
    if (result == 0)
        result = gnli_wire_own(listener->socket);
    if (result == 0)
        result = gnli_wire_own(listener->set);
    return result == 0 ? gnli_wire_own(listener->directory) : result;
}

int gnli_pipe_listen(gnl_listener **made, const struct gnli_address *address,
                     const struct gnl_options *options, const char *subject)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (!listener)
        return gnli_fail_plain(-ENOMEM, subject);
    listener->base.operations = &operations;
    listener->base.stamp = gnli_process_stamp();
    memccpy(listener->base.subject, subject, '\0', sizeof listener->base.subject - 1);
    listener->address = *address;
    gnli_address_format(address, listener->base.address);
    listener->options = *options;
    listener->options.mode = options->mode ? options->mode : 0600;
    listener->socket = listener->set = -1;
    pthread_mutex_init(&listener->base.lock, NULL);
    listener->directory = gnli_above_standard(gnli_directory_open(address->machine_wide, true));
    int result = listener->directory < 0 ? listener->directory : 0;
    if (result == 0) {
        result = make_descriptors(listener);
        if (result < 0)
            gnli_fail_errno(-result, "%s: cannot listen", subject);
    }
    if (result == 0)
        result = publish(listener);
    if (result < 0) {
        free_listener(listener);
        return result;
    }
    *made = &listener->base;
    return 0;
}
