/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nanomsg: push and pull over ipc. Its calls wait: a thread of its own, on the same core, does the work.
 */
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>

#include "bench/peers/peer.h"

static enum peer_result failed(const char *what)
{
    return peer_say(PEER_FAILED, "%s: %s", what, nn_strerror(nn_errno()));
}

static enum peer_result open_socket(struct peer_end *end)
{
    const char *address = peer_ipc_address(end->channel);
    int unlimited = -1, bytes = (int)(end->work->capacity * end->work->size);

    end->fd = nn_socket(AF_SP, end->sends ? NN_PUSH : NN_PULL);
    if (end->fd < 0)
        return failed("nn_socket");
    nn_setsockopt(end->fd, NN_SOL_SOCKET, NN_RCVMAXSIZE, &unlimited, sizeof unlimited);
    nn_setsockopt(end->fd, NN_SOL_SOCKET, NN_SNDBUF, &bytes, sizeof bytes);
    nn_setsockopt(end->fd, NN_SOL_SOCKET, NN_RCVBUF, &bytes, sizeof bytes);
    if ((end->sends ? nn_connect(end->fd, address) : nn_bind(end->fd, address)) < 0)
        return failed(address);
    return PEER_OK;
}

static enum peer_result send_message(struct peer_end *end, const void *data)
{
    if (nn_send(end->fd, data, end->work->size, end->work->waits ? 0 : NN_DONTWAIT) >= 0)
        return PEER_OK;
    return nn_errno() == EAGAIN ? PEER_NOT_NOW : failed("nn_send");
}

static enum peer_result receive_message(struct peer_end *end, void **data)
{
    int size = nn_recv(end->fd, *data, end->work->size, end->work->waits ? 0 : NN_DONTWAIT);

    if (size == (int)end->work->size)
        return PEER_OK;
    return size < 0 && nn_errno() == EAGAIN ? PEER_NOT_NOW : failed("nn_recv");
}

static void close_socket(struct peer_end *end)
{
    nn_close(end->fd);
}

static const struct peer nanomsg = {
    .name = "nanomsg",
    .open = open_socket,
    .send = send_message,
    .receive = receive_message,
    .close = close_socket,
};

const struct peer *const peer_list[] = { &nanomsg, NULL };
