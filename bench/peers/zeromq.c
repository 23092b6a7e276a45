/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZeroMQ: PUSH and PULL over ipc, and over TCP. Its calls wait: an I/O thread, on the same core, does the
 * work of both.
 */
#include <errno.h>
#include <zmq.h>

#include "bench/peers/peer.h"

static void *context;

static bool over_tcp;

static enum peer_result setup_tcp(const struct peer_work *work)
{
    (void)work;
    over_tcp = true;
    return peer_choose_ports();
}

static enum peer_result failed(const char *what)
{
    return peer_say(PEER_FAILED, "%s: %s", what, zmq_strerror(zmq_errno()));
}

static enum peer_result open_socket(struct peer_end *end)
{
    const char *address = over_tcp ? peer_tcp_address(end->channel) : peer_ipc_address(end->channel);
    int capacity = (int)end->work->capacity;

    if (!context)
        context = zmq_ctx_new();
    end->own = context ? zmq_socket(context, end->sends ? ZMQ_PUSH : ZMQ_PULL) : NULL;
    if (!end->own)
        return failed("zmq_socket");
    zmq_setsockopt(end->own, ZMQ_SNDHWM, &capacity, sizeof capacity);
    zmq_setsockopt(end->own, ZMQ_RCVHWM, &capacity, sizeof capacity);
    if ((end->sends ? zmq_connect(end->own, address) : zmq_bind(end->own, address)) < 0)
        return failed(address);
    return PEER_OK;
}

static enum peer_result send_message(struct peer_end *end, const void *data)
{
    if (zmq_send(end->own, data, end->work->size, end->work->waits ? 0 : ZMQ_DONTWAIT) >= 0)
        return PEER_OK;
    return zmq_errno() == EAGAIN ? PEER_NOT_NOW : failed("zmq_send");
}

static enum peer_result receive_message(struct peer_end *end, void **data)
{
    int size = zmq_recv(end->own, *data, end->work->size, end->work->waits ? 0 : ZMQ_DONTWAIT);

    if (size == (int)end->work->size)
        return PEER_OK;
    return size < 0 && zmq_errno() == EAGAIN ? PEER_NOT_NOW : failed("zmq_recv");
}

static void close_socket(struct peer_end *end)
{
    zmq_close(end->own);
}

static void leave(void)
{
    zmq_ctx_term(context);
}

static const struct peer zeromq = {
    .name = "zeromq",
    .open = open_socket,
    .send = send_message,
    .receive = receive_message,
    .close = close_socket,
    .leave = leave,
};

static const struct peer zeromq_tcp = {
    .name = "zeromq-tcp",
    .setup = setup_tcp,
    .open = open_socket,
    .send = send_message,
    .receive = receive_message,
    .close = close_socket,
    .leave = leave,
};

const struct peer *const peer_list[] = { &zeromq, &zeromq_tcp, NULL };
