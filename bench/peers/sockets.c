/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ginnel over sockets, in the same work as its peers: message by message, and many in a call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/ginnel.h>

#include "bench/peers/hands.h"
#include "bench/peers/sockets.h"

#define BATCH      64
#define BATCH_SIZE 1024 /* bytes of a message, at most */

struct own {
    gnl_port *ports[PEER_SENDERS_MAX];
    unsigned count, at; /* at: the port that had something last */
    gnl_waitset *set;   /* of several */
    struct iovec batch[BATCH];
    size_t queued;
    char data[BATCH][BATCH_SIZE];
};

static enum peer_result failed(const char *what)
{
    return peer_say(PEER_FAILED, "%s: %s", what, gnl_error_detail());
}

static int listen_for(struct own *own, const char *address, unsigned senders)
{
    gnl_listener *listener;

    int result = gnl_listen(&listener, address, NULL);
    if (result < 0)
        return result;
    while (result == 0 && own->count < senders) {
        result = gnl_accept(listener, &own->ports[own->count], gnl_s(10));
        own->count += result == 0;
    }
    gnl_listener_close(listener);
    if (result == 0 && own->count > 1)
        result = gnl_waitset_new(&own->set);
    for (unsigned i = 0; i < own->count && result == 0 && own->set; i++)
        result = gnl_waitset_add_port(own->set, own->ports[i], GNL_READABLE, &own->ports[i]);
    return result;
}

/* Until the other listens. */
static int connect_to(struct own *own, const char *address)
{
    int result = -EAGAIN;

    for (unsigned i = 0; i < 10000 && result < 0; i++) {
        result = gnl_open(&own->ports[0], address, NULL);
        if (result < 0)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    own->count = 1;
    return result;
}

static enum peer_result open_at(struct peer_end *end, const char *address)
{
    struct own *own = calloc(1, sizeof *own);

    end->own = own;
    int result = !own         ? -ENOMEM
                 : end->sends ? connect_to(own, address)
                              : listen_for(own, address, end->channel == PEER_THERE ? end->work->senders : 1);
    return result == 0 ? PEER_OK : failed(address);
}

static enum peer_result open_unix(struct peer_end *end)
{
    char address[GNL_ADDRESS_MAX + 1];

    snprintf(address, sizeof address, "unix:%s/%s", peer_directory(), peer_channel_name(end->channel));
    return open_at(end, address);
}

static enum peer_result setup_tcp(const struct peer_work *work)
{
    (void)work;
    return peer_choose_ports();
}

static enum peer_result open_tcp(struct peer_end *end)
{
    char address[GNL_ADDRESS_MAX + 1];

    snprintf(address, sizeof address, "tcp:127.0.0.1:%u", peer_port(end->channel));
    return open_at(end, address);
}

static enum peer_result send_one(struct peer_end *end, const void *data)
{
    struct own *own = end->own;

    return gnl_send(own->ports[0], data, end->work->size, GNL_FOREVER) == 0 ? PEER_OK : failed("gnl_send");
}

static enum peer_result flush(struct own *own)
{
    for (size_t done = 0; done < own->queued;) {
        ssize_t sent = gnl_send_many(own->ports[0], own->batch + done, own->queued - done, GNL_FOREVER);
        if (sent < 0)
            return failed("gnl_send_many");
        done += (size_t)sent;
    }
    own->queued = 0;
    return PEER_OK;
}

/* A program that has many at hand sends them together. */
static enum peer_result send_batches(struct peer_end *end, const void *data)
{
    struct own *own = end->own;
    const uint64_t *words = data;

    own->batch[own->queued] = (struct iovec){ own->data[own->queued], end->work->size };
    memcpy(own->data[own->queued++], data, end->work->size);
    return own->queued == BATCH || (words[0] & HANDS_LAST) ? flush(own) : PEER_OK;
}

/* Stays with one while it has something. */
static enum peer_result receive(struct peer_end *end, void **data)
{
    struct own *own = end->own;
    gnl_port *one = own->ports[own->at];

    ssize_t size = gnl_recv(one, *data, end->work->size, own->set ? GNL_NOWAIT : GNL_FOREVER);
    while (size == -EAGAIN) {
        struct gnl_event event;
        if (gnl_waitset_wait(own->set, &event, 1, GNL_FOREVER) != 1)
            return failed("gnl_waitset_wait");
        own->at = (unsigned)((gnl_port **)event.tag - own->ports);
        size = gnl_recv(own->ports[own->at], *data, end->work->size, GNL_NOWAIT);
    }
    return size == (ssize_t)end->work->size ? PEER_OK : failed("gnl_recv");
}

static void close_ports(struct peer_end *end)
{
    struct own *own = end->own;

    gnl_waitset_free(own->set);
    for (unsigned i = 0; i < own->count; i++)
        gnl_close(own->ports[i]);
    free(own);
}

static enum peer_result setup_many(const struct peer_work *work)
{
    if (work->pattern != PEER_STREAM)
        return peer_say(PEER_CANNOT, "one message at a time: there is nothing to send together");
    if (work->size > BATCH_SIZE)
        return peer_say(PEER_CANNOT, "large messages gain nothing by being sent together");
    return peer_choose_ports();
}

#define OVER_SOCKET(a_name, the_setup, the_open, the_send)                                          \
    {                                                                                               \
        .name = a_name, .setup = the_setup, .open = the_open, .send = the_send, .receive = receive, \
        .close = close_ports                                                                        \
    }

const struct peer peer_ginnel_unix = OVER_SOCKET("ginnel-unix", NULL, open_unix, send_one);
const struct peer peer_ginnel_tcp = OVER_SOCKET("ginnel-tcp", setup_tcp, open_tcp, send_one);
const struct peer peer_ginnel_unix_many =
    OVER_SOCKET("ginnel-unix-many", setup_many, open_unix, send_batches);
const struct peer peer_ginnel_tcp_many = OVER_SOCKET("ginnel-tcp-many", setup_many, open_tcp, send_batches);
