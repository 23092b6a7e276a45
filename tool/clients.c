/* SPDX-License-Identifier: Apache-2.0 */
#include "clients.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include <ginnel/ginnel.h>

#include "clock.h"
#include "mailbox_options.h"

#define CLIENTS_MAX 512
#define LOOK_NS \
    ((int64_t)100000000) /* a client that went while its messages were held is looked at so often */

struct source {
    gnl_port *port;         /* one, or */
    gnl_listener *listener; /* all who connect: */
    pthread_mutex_t lock;
    gnl_port *clients[CLIENTS_MAX];
    size_t count, turn;
    struct pollfd entries[CLIENTS_MAX + 1];
};

int source_open(struct source **opened, const char *address, const struct gnl_options *options)
{
    struct source *source = calloc(1, sizeof *source);

    if (!source)
        return -ENOMEM;
    pthread_mutex_init(&source->lock, NULL);
    const struct gnl_options all = with_tls(options);
    int result = port_listen ? gnl_listen(&source->listener, address, &all)
                             : port_open(&source->port, address, options);
    if (result < 0) {
        free(source);
        return result;
    }
    if (source->listener)
        tell_address(source->listener, address);
    *opened = source;
    return 0;
}

void source_close(struct source *source)
{
    if (source->listener) {
        for (size_t i = 0; i < source->count; i++)
            gnl_close(source->clients[i]);
        gnl_listener_close(source->listener);
    } else {
        port_close(source->port);
    }
    free(source);
}

gnl_port *source_port(struct source *source)
{
    return source->port;
}

/* Closing would end messages that are held: one that has gone stays until they are done. */
static void drop_if_unused(struct source *source, size_t number)
{
    struct gnl_port_info info;
    gnl_port *port = source->clients[number];

    if (gnl_port_info(port, &info) == 0 && info.held > 0)
        return;
    gnl_close(port);
    source->clients[number] = source->clients[--source->count];
}

/* One look at everybody, from the next in turn on. */
static ssize_t take_now(struct source *source, gnl_message *messages, size_t most)
{
    int result = 0;

    while (source->count < CLIENTS_MAX &&
           (result = gnl_accept(source->listener, &source->clients[source->count], GNL_NOWAIT)) == 0)
        source->count++;
    if (result < 0 && result != -EAGAIN && source->count == 0)
        return result;
    for (size_t looked = 0; looked < source->count; looked++) {
        size_t number = source->turn++ % source->count;
        ssize_t taken = gnl_take_many(source->clients[number], messages, most, GNL_NOWAIT);
        if (taken > 0)
            return taken;
        if (taken != -EAGAIN && taken != -ENOBUFS)
            drop_if_unused(source, number); /* it has gone, or broke the protocol */
    }
    return -EAGAIN;
}

static void wait_for_clients(struct source *source, int64_t ns)
{
    bool room = source->count < CLIENTS_MAX;

    for (size_t i = 0; i < source->count; i++)
        source->entries[i] = (struct pollfd){ .fd = gnl_port_fd(source->clients[i]), .events = POLLIN };
    source->entries[source->count] =
        (struct pollfd){ .fd = room ? gnl_listener_fd(source->listener) : -1, .events = POLLIN };
    poll(source->entries, source->count + 1, (int)(ns / 1000000) + 1);
}

ssize_t source_take(struct source *source, gnl_message *messages, size_t most, int64_t timeout)
{
    int64_t end = now_ns() + timeout;

    if (source->port)
        return gnl_take_many(source->port, messages, most, timeout);
    for (;;) {
        pthread_mutex_lock(&source->lock);
        ssize_t taken = take_now(source, messages, most);
        int64_t left = end - now_ns();
        if (taken == -EAGAIN && left > 0)
            wait_for_clients(source, left < LOOK_NS ? left : LOOK_NS);
        pthread_mutex_unlock(&source->lock);
        if (taken != -EAGAIN)
            return taken;
        if (left <= 0)
            return -ETIMEDOUT;
    }
}
