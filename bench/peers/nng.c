/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NNG: push and pull over ipc, and over TCP. Its calls wait: threads of its own, on the same core, do the
 * work.
 */
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <stdlib.h>

#include "bench/peers/peer.h"

static bool over_tcp;

static enum peer_result setup_tcp(const struct peer_work *work)
{
    (void)work;
    over_tcp = true;
    return peer_choose_ports();
}

static enum peer_result failed(const char *what, int code)
{
    return peer_say(PEER_FAILED, "%s: %s", what, nng_strerror(code));
}

static enum peer_result open_socket(struct peer_end *end)
{
    const char *address = over_tcp ? peer_tcp_address(end->channel) : peer_ipc_address(end->channel);
    nng_socket *socket = malloc(sizeof *socket);

    end->own = socket;
    if (!socket)
        return failed("a socket", NNG_ENOMEM);
    int result = end->sends ? nng_push0_open(socket) : nng_pull0_open(socket);
    if (result == 0)
        nng_socket_set_size(*socket, NNG_OPT_RECVMAXSZ, 0); /* no limit */
    if (result == 0) /* the other side may not be there yet: it tries again */
        result = end->sends ? nng_dial(*socket, address, NULL, NNG_FLAG_NONBLOCK)
                            : nng_listen(*socket, address, NULL, 0);
    return result == 0 ? PEER_OK : failed(address, result);
}

static enum peer_result send_message(struct peer_end *end, const void *data)
{
    int result = nng_send(*(nng_socket *)end->own, (void *)(uintptr_t)data, end->work->size,
                          end->work->waits ? 0 : NNG_FLAG_NONBLOCK);

    return result == 0 ? PEER_OK : result == NNG_EAGAIN ? PEER_NOT_NOW : failed("nng_send", result);
}

static enum peer_result receive_message(struct peer_end *end, void **data)
{
    size_t size = end->work->size;
    int result = nng_recv(*(nng_socket *)end->own, *data, &size, end->work->waits ? 0 : NNG_FLAG_NONBLOCK);

    return result == 0 ? PEER_OK : result == NNG_EAGAIN ? PEER_NOT_NOW : failed("nng_recv", result);
}

static void close_socket(struct peer_end *end)
{
    nng_socket *socket = end->own;

    nng_close(*socket);
    free(socket);
}

static const struct peer nng = {
    .name = "nng",
    .open = open_socket,
    .send = send_message,
    .receive = receive_message,
    .close = close_socket,
};

static const struct peer nng_tcp = {
    .name = "nng-tcp",
    .setup = setup_tcp,
    .open = open_socket,
    .send = send_message,
    .receive = receive_message,
    .close = close_socket,
};

const struct peer *const peer_list[] = { &nng, &nng_tcp, NULL };
