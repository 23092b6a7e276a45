/* SPDX-License-Identifier: Apache-2.0 */
#include "clients.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <ginnel/ginnel.h>

#include "accepting.h"
#include "clock.h"
#include "failure.h"
#include "mailbox_options.h"
#include "outcome.h"

#define LOOK_NS ((int64_t)100000000) /* those whom the set does not watch are looked at so often */

struct client {
    gnl_port *port;
    bool told;    /* why it is dropped */
    bool watched; /* by the set; else it has gone while messages of it were held, or the set has no room */
};

struct source {
    gnl_port *port; /* one, or all who connect: */
    struct accepting accepting;
    gnl_waitset *set;
    pthread_mutex_t lock; /* what follows */
    bool listens;         /* the listener is in the set */
    struct client **clients;
    size_t count, room, unwatched, turn;
};

/* The clients' half of it. */
static int listen_there(struct source *source, const char *address, const struct gnl_options *options,
                        unsigned spare)
{
    int result = gnl_waitset_new(&source->set);

    if (result < 0)
        return result;
    result = accepting_begin(&source->accepting, address, options, spare);
    if (result < 0)
        gnl_waitset_free(source->set);
    return result;
}

int source_open(struct source **opened, const char *address, const struct gnl_options *options,
                unsigned spare)
{
    struct source *source = calloc(1, sizeof *source);

    if (!source)
        return -ENOMEM;
    pthread_mutex_init(&source->lock, NULL);
    int result = port_listen ? listen_there(source, address, options, spare)
                             : port_open(&source->port, address, options);
    if (result < 0) {
        free(source);
        return result;
    }
    *opened = source;
    return 0;
}

void source_close(struct source *source)
{
    if (source->set) {
        for (size_t i = 0; i < source->count; i++) {
            gnl_close(source->clients[i]->port);
            free(source->clients[i]);
        }
        free(source->clients);
        accepting_end(&source->accepting);
        gnl_waitset_free(source->set);
    } else {
        port_close(source->port);
    }
    free(source);
}

gnl_port *source_port(struct source *source)
{
    return source->port;
}

void source_lend(struct source *source)
{
    if (source->set)
        accepting_lend(&source->accepting);
}

void source_regain(struct source *source)
{
    if (source->set)
        accepting_regain(&source->accepting);
}

/* ---- clients ---- */

static int make_room(struct source *source)
{
    size_t room = source->room > 0 ? 2 * source->room : 64;

    if (source->count < source->room)
        return 0;
    struct client **grown = reallocarray(source->clients, room, sizeof(void *));
    if (!grown)
        return -ENOMEM;
    source->clients = grown;
    source->room = room;
    return 0;
}

/* The next who connects. 0, -EAGAIN nobody, or what ends it all. */
static int let_in(struct source *source, struct client **made)
{
    struct client *client = make_room(source) == 0 ? calloc(1, sizeof *client) : NULL;

    if (!client)
        return -ENOMEM;
    int result = accepting_next(&source->accepting, &client->port);
    if (result < 0) {
        free(client);
        return result;
    }
    client->watched = gnl_waitset_add_port(source->set, client->port, GNL_READABLE, client) == 0;
    source->unwatched += !client->watched;
    source->clients[source->count++] = client;
    *made = client;
    return 0;
}

static void unwatch(struct source *source, struct client *client)
{
    if (!client->watched)
        return;
    gnl_waitset_remove(source->set, client);
    client->watched = false;
    source->unwatched++;
}

/* It has gone, or broke the protocol. Closing would end messages that are held: it stays while there are. */
static void drop_if_unused(struct source *source, struct client *client)
{
    struct gnl_port_info info;
    size_t number = 0;

    unwatch(source, client);
    if (gnl_port_info(client->port, &info) == 0 && info.held > 0)
        return;
    while (source->clients[number] != client)
        number++;
    source->clients[number] = source->clients[--source->count];
    source->unwatched--;
    gnl_close(client->port);
    free(client);
    accepting_again(&source->accepting);
}

/* Why it is dropped, once, unless it ended in good order. */
static void tell_end(struct client *client, int code)
{
    char why[512], who[64] = "";
    struct gnl_port_info info;

    if (client->told || (code == -EPIPE && outcome_ended_well(client->port)))
        return;
    client->told = true;
    snprintf(why, sizeof why, "%s", failure_detail());
    if (gnl_port_info(client->port, &info) == 0 && info.peer.pid > 0)
        snprintf(who, sizeof who, " (process %d of uid %u)", (int)info.peer.pid, (unsigned)info.peer.uid);
    complain("%s%s", why, who);
}

/* One by one: of many in a call an error behind the first is told by the next call, without its sentence. */
static ssize_t take_from(struct source *source, struct client *client, gnl_message *messages, size_t most)
{
    size_t taken = 0;
    int result = 0;

    while (taken < most && (result = gnl_take(client->port, &messages[taken], GNL_NOWAIT)) == 0)
        taken++;
    if (result < 0 && result != -EAGAIN && result != -ENOBUFS) {
        tell_end(client, result);
        if (taken == 0)
            drop_if_unused(source, client);
    }
    return taken > 0 ? (ssize_t)taken : -EAGAIN;
}

/* From those whom no set watches, the next in turn first. */
static ssize_t take_from_unwatched(struct source *source, gnl_message *messages, size_t most)
{
    for (size_t looked = 0; looked < source->count && source->unwatched > 0; looked++) {
        struct client *client = source->clients[source->turn++ % source->count];
        ssize_t taken = client->watched ? -EAGAIN : take_from(source, client, messages, most);
        if (taken > 0)
            return taken;
    }
    return -EAGAIN;
}

/* The listener is in the set but for pauses, in which it would be readable all the time. */
static void watch_listener(struct source *source)
{
    bool wanted = !accepting_pauses(&source->accepting);

    if (wanted && !source->listens)
        source->listens =
            gnl_waitset_add_listener(source->set, source->accepting.listener, &source->accepting) == 0;
    else if (!wanted && source->listens)
        source->listens = gnl_waitset_remove(source->set, &source->accepting) < 0;
}

/* A step: what is ready, of clients and who connects. -EAGAIN: go on; -ETIMEDOUT nothing within the time. */
static ssize_t take_next(struct source *source, gnl_message *messages, size_t most, int64_t ns)
{
    struct gnl_event event;
    struct client *client;

    ssize_t taken = take_from_unwatched(source, messages, most);
    if (taken > 0)
        return taken;
    watch_listener(source);
    int ready = gnl_waitset_wait(source->set, &event, 1, ns < LOOK_NS ? ns : LOOK_NS);
    if (ready < 0)
        return ready == -EAGAIN ? -ETIMEDOUT : ready;
    if (event.tag != &source->accepting)
        return take_from(source, event.tag, messages, most);
    int result = let_in(source, &client);
    /* It often has said something, which may be enough: then nobody else was let in for nothing. */
    return result < 0 ? result : take_from(source, client, messages, most);
}

ssize_t source_take(struct source *source, gnl_message *messages, size_t most, int64_t timeout)
{
    int64_t end = now_ns() + timeout;

    if (source->port)
        return gnl_take_many(source->port, messages, most, timeout);
    for (;;) {
        int64_t left = end - now_ns();
        pthread_mutex_lock(&source->lock);
        ssize_t taken = take_next(source, messages, most, left > 0 ? left : GNL_NOWAIT);
        pthread_mutex_unlock(&source->lock);
        if (taken != -EAGAIN && (taken != -ETIMEDOUT || left <= 0))
            return taken;
    }
}
