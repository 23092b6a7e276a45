/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ginnel itself, in the same work as its peers: copied, and in place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/ginnel.h>

#include "bench/peers/peer.h"
#include "bench/peers/sockets.h"

static const char *address(enum peer_channel channel)
{
    return channel == PEER_THERE ? "mailbox:there" : "mailbox:back";
}

static enum peer_result failed(const char *what)
{
    return peer_say(PEER_FAILED, "%s: %s", what, gnl_error_detail());
}

static enum peer_result setup(const struct peer_work *work)
{
    /* The others have a largest message, too; of short ones that is worth something. */
    struct gnl_options options = { .capacity = work->capacity, .message_max = work->size };
    gnl_port *port;

    setenv("GINNEL_DIR", peer_directory(), 1);
    for (unsigned channel = PEER_THERE; channel < PEER_CHANNELS; channel++) {
        if (gnl_open(&port, address((enum peer_channel)channel), &options) < 0)
            return failed("gnl_open");
        gnl_close(port);
    }
    return PEER_OK;
}

static void teardown(const struct peer_work *work)
{
    gnl_remove(address(PEER_THERE));
    gnl_remove(address(PEER_BACK));
}

struct own {
    gnl_port *port;
    gnl_message message;
};

static enum peer_result open_port(struct peer_end *end)
{
    struct gnl_options options = { .create = GNL_OPEN_ONLY,
                                   .direction = end->sends ? GNL_SEND_ONLY : GNL_RECV_ONLY };
    struct own *own = calloc(1, sizeof *own);

    end->own = own;
    if (!own || gnl_open(&own->port, address(end->channel), &options) < 0)
        return failed("gnl_open");
    return PEER_OK;
}

static int64_t timeout(const struct peer_end *end)
{
    return end->work->waits ? GNL_FOREVER : GNL_NOWAIT;
}

static enum peer_result send_copy(struct peer_end *end, const void *data)
{
    struct own *own = end->own;

    int result = gnl_send(own->port, data, end->work->size, timeout(end));
    return result == 0 ? PEER_OK : result == -EAGAIN ? PEER_NOT_NOW : failed("gnl_send");
}

static enum peer_result receive_copy(struct peer_end *end, void **data)
{
    struct own *own = end->own;

    ssize_t size = gnl_recv(own->port, *data, end->work->size, timeout(end));
    return size == (ssize_t)end->work->size ? PEER_OK : size == -EAGAIN ? PEER_NOT_NOW : failed("gnl_recv");
}

static enum peer_result send_loan(struct peer_end *end, const void *data)
{
    struct own *own = end->own;

    if (own->message.data == NULL && gnl_loan(own->port, &own->message, end->work->size, timeout(end)) < 0)
        return failed("gnl_loan");
    memcpy(own->message.data, data, end->work->size);
    int result = gnl_post(own->port, &own->message, timeout(end));
    if (result == -EAGAIN)
        return PEER_NOT_NOW;
    own->message.data = NULL;
    return result == 0 ? PEER_OK : failed("gnl_post");
}

static enum peer_result take(struct peer_end *end, void **data)
{
    struct own *own = end->own;

    int result = gnl_take(own->port, &own->message, timeout(end));
    *data = own->message.data;
    return result == 0 ? PEER_OK : result == -EAGAIN ? PEER_NOT_NOW : failed("gnl_take");
}

static enum peer_result done(struct peer_end *end)
{
    struct own *own = end->own;

    return gnl_done(&own->message) == 0 ? PEER_OK : failed("gnl_done");
}

static void close_port(struct peer_end *end)
{
    struct own *own = end->own;

    gnl_close(own->port);
    free(own);
}

static const struct peer copies = {
    .name = "ginnel",
    .setup = setup,
    .teardown = teardown,
    .open = open_port,
    .send = send_copy,
    .receive = receive_copy,
    .close = close_port,
};

static const struct peer in_place = {
    .name = "ginnel-in-place",
    .setup = setup,
    .teardown = teardown,
    .open = open_port,
    .send = send_loan,
    .receive = take,
    .release = done,
    .close = close_port,
};

const struct peer *const peer_list[] = {
    &copies, &in_place, &peer_ginnel_unix, &peer_ginnel_unix_many, &peer_ginnel_tcp, &peer_ginnel_tcp_many,
    NULL
};
