/* SPDX-License-Identifier: Apache-2.0 */
#include "socket/newcomers.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "memory/file.h"

#define DRAIN_READS 64

void gnli_newcomers_init(struct gnli_newcomers *newcomers, int64_t patience_ns, bool hellos,
                         const char *subject)
{
    newcomers->subject = subject;
    newcomers->wanted = hellos ? GNLI_STREAM_HELLO : 0;
    newcomers->patience_ns = patience_ns;
    newcomers->timer = -1;
    for (unsigned i = 0; i < GNLI_NEW_MAX; i++)
        newcomers->places[i].socket = -1;
}

int gnli_newcomers_begin(struct gnli_newcomers *newcomers, int set)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = GNLI_NEW_MAX };

    newcomers->set = set;
    int timer = gnli_above_standard(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    int result = timer < 0 ? -errno : gnli_wire_own(timer);
    if (result == 0)
        newcomers->timer = timer;
    else if (timer >= 0)
        close(timer);
    return result < 0 || epoll_ctl(set, EPOLL_CTL_ADD, timer, &event) == 0 ? result : -errno;
}

static struct gnli_newcomer *oldest(struct gnli_newcomers *newcomers)
{
    struct gnli_newcomer *found = NULL;

    for (unsigned i = 0; i < GNLI_NEW_MAX && newcomers->count > 0; i++) {
        struct gnli_newcomer *each = &newcomers->places[i];
        if (each->socket >= 0 && (!found || each->number < found->number))
            found = each;
    }
    return found;
}

/* The timer goes off when the time of the oldest is up. */
static void set_timer(struct gnli_newcomers *newcomers)
{
    const struct gnli_newcomer *first = oldest(newcomers);
    struct itimerspec when = { 0 };

    if (first)
        when.it_value = (struct timespec){ .tv_sec = first->deadline_ns / 1000000000,
                                           .tv_nsec = first->deadline_ns % 1000000000 };
    timerfd_settime(newcomers->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static int take_out(struct gnli_newcomers *newcomers, struct gnli_newcomer *newcomer)
{
    int socket = newcomer->socket;

    if (newcomer->waits)
        epoll_ctl(newcomers->set, EPOLL_CTL_DEL, socket, NULL);
    newcomer->socket = -1;
    newcomers->count--;
    return socket;
}

/* What it has said and nobody read would have the kernel drop what it is told: why it is turned away. */
static void let_go(int socket)
{
    char away[4096];

    shutdown(socket, SHUT_WR);
    for (unsigned i = 0; i < DRAIN_READS && recv(socket, away, sizeof away, MSG_DONTWAIT) > 0; i++)
        ;
}

static void turn_away(struct gnli_newcomers *newcomers, struct gnli_newcomer *newcomer)
{
    int socket = take_out(newcomers, newcomer);

    if (newcomer->session) {
        gnli_tls()->session_free(newcomer->session);
        let_go(socket);
    }
    newcomer->session = NULL;
    gnli_wire_disown(socket);
}

bool gnli_newcomers_make_room(struct gnli_newcomers *newcomers)
{
    struct gnli_newcomer *first = oldest(newcomers);

    if (first)
        turn_away(newcomers, first);
    return first != NULL;
}

void gnli_newcomers_tidy(struct gnli_newcomers *newcomers)
{
    uint64_t times;
    struct gnli_newcomer *first;
    int64_t now = newcomers->count > 0 ? gnli_now_ns() : 0;

    if (read(newcomers->timer, &times, sizeof times) != sizeof times)
        return; /* nobody's time is up */
    while ((first = oldest(newcomers)) && first->deadline_ns <= now)
        turn_away(newcomers, first);
    set_timer(newcomers);
}

int gnli_newcomers_add(struct gnli_newcomers *newcomers, int socket)
{
    struct gnli_tls_session *session = NULL;
    unsigned place = 0;

    if (newcomers->context &&
        gnli_tls()->session_new(&session, newcomers->context, socket, NULL, newcomers->subject) < 0) {
        gnli_wire_disown(socket);
        return -ENOMEM;
    }
    if (newcomers->count == GNLI_NEW_MAX)
        gnli_newcomers_make_room(newcomers);
    while (newcomers->places[place].socket >= 0)
        place++;
    newcomers->places[place] =
        (struct gnli_newcomer){ .socket = socket,
                                .session = session,
                                .number = ++newcomers->numbers,
                                .deadline_ns = gnli_now_ns() + newcomers->patience_ns };
    newcomers->count++;
    return (int)place;
}

static int wait_for(struct gnli_newcomers *newcomers, unsigned place)
{
    struct gnli_newcomer *newcomer = &newcomers->places[place];
    bool writes = newcomer->session && gnli_tls()->unsent(newcomer->session) > 0;
    struct epoll_event event = { .events = writes ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u64 = place };

    if (newcomer->waits && writes == newcomer->writes)
        return -EAGAIN;
    newcomer->writes = writes;
    if (newcomer->waits)
        return epoll_ctl(newcomers->set, EPOLL_CTL_MOD, newcomer->socket, &event) == 0 ? -EAGAIN : -errno;
    newcomer->waits = epoll_ctl(newcomers->set, EPOLL_CTL_ADD, newcomer->socket, &event) == 0;
    if (!newcomer->waits) {
        turn_away(newcomers, newcomer);
        return -EPIPE;
    }
    if (newcomers->count == 1)
        set_timer(newcomers); /* else it is set, for an older one */
    return -EAGAIN;
}

/* More of its hello: bytes, or -EAGAIN; 0 or another error: none comes. */
static ssize_t read_hello(struct gnli_newcomers *newcomers, struct gnli_newcomer *newcomer)
{
    uint8_t *to = newcomer->hello + newcomer->heard;
    size_t room = newcomers->wanted - newcomer->heard;
    ssize_t size;

    if (newcomer->session)
        return gnli_tls()->read(newcomer->session, to, room);
    do
        size = recv(newcomer->socket, to, room, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

static int shake_hands(struct gnli_newcomer *newcomer)
{
    int result = newcomer->session && !newcomer->shaken ? gnli_tls()->handshake(newcomer->session) : 0;

    newcomer->shaken = result == 0;
    return result;
}

int gnli_newcomers_hear(struct gnli_newcomers *newcomers, unsigned place)
{
    struct gnli_newcomer *newcomer = &newcomers->places[place];

    if (newcomer->socket < 0)
        return -EAGAIN;
    ssize_t result = shake_hands(newcomer);
    while (result >= 0 && newcomer->heard < newcomers->wanted) {
        result = read_hello(newcomers, newcomer);
        if (result > 0)
            newcomer->heard += (size_t)result;
        else if (result == 0)
            result = -EPIPE;
    }
    if (result >= 0)
        return 0;
    if (result == -EAGAIN)
        return wait_for(newcomers, place);
    turn_away(newcomers, newcomer);
    return -EPIPE;
}

int gnli_newcomers_release(struct gnli_newcomers *newcomers, unsigned place, uint8_t *hello,
                           struct gnli_tls_session **session)
{
    struct gnli_newcomer *newcomer = &newcomers->places[place];

    *session = newcomer->session;
    newcomer->session = NULL;

    memcpy(hello, newcomer->hello, sizeof newcomer->hello);
    return take_out(newcomers, newcomer);
}

void gnli_newcomers_end(struct gnli_newcomers *newcomers)
{
    while (gnli_newcomers_make_room(newcomers))
        ;
    gnli_wire_disown(newcomers->timer);
    newcomers->timer = -1;
}

void gnli_newcomers_forget(struct gnli_newcomers *newcomers)
{
    for (unsigned i = 0; i < GNLI_NEW_MAX; i++)
        if (newcomers->places[i].session)
            gnli_tls()->session_free(newcomers->places[i].session);
}
