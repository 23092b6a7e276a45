/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boost.interprocess message_queue: a lock and two condition variables in shared memory.
 */
#include <boost/interprocess/ipc/message_queue.hpp>

#include "bench/peers/peer.h"

using boost::interprocess::interprocess_exception;
using boost::interprocess::message_queue;

namespace
{

peer_result failed(const char *what, const interprocess_exception &exception)
{
    return peer_say(PEER_FAILED, "%s: %s", what, exception.what());
}

const char *name(unsigned channel)
{
    return peer_channel_name(static_cast<peer_channel>(channel));
}

peer_result setup(const peer_work *work)
{
    try {
        for (unsigned i = 0; i < PEER_CHANNELS; i++)
            message_queue(boost::interprocess::create_only, name(i), work->capacity, work->size);
    } catch (const interprocess_exception &exception) {
        return failed("making a message_queue", exception);
    }
    return PEER_OK;
}

void teardown(const peer_work *)
{
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        message_queue::remove(name(i));
}

peer_result open_queue(peer_end *end)
{
    try {
        end->own = new message_queue(boost::interprocess::open_only, name(end->channel));
    } catch (const interprocess_exception &exception) {
        return failed("opening a message_queue", exception);
    }
    return PEER_OK;
}

peer_result send(peer_end *end, const void *data)
{
    auto *queue = static_cast<message_queue *>(end->own);

    try {
        if (!end->work->waits)
            return queue->try_send(data, end->work->size, 0) ? PEER_OK : PEER_NOT_NOW;
        queue->send(data, end->work->size, 0);
    } catch (const interprocess_exception &exception) {
        return failed("send", exception);
    }
    return PEER_OK;
}

peer_result receive(peer_end *end, void **data)
{
    auto *queue = static_cast<message_queue *>(end->own);
    message_queue::size_type size;
    unsigned priority;

    try {
        if (!end->work->waits)
            return queue->try_receive(*data, end->work->size, size, priority) ? PEER_OK : PEER_NOT_NOW;
        queue->receive(*data, end->work->size, size, priority);
    } catch (const interprocess_exception &exception) {
        return failed("receive", exception);
    }
    return PEER_OK;
}

void close_queue(peer_end *end)
{
    delete static_cast<message_queue *>(end->own);
}

const peer queue = {
    .name = "boost",
    .polls_busy = true,
    .setup = setup,
    .teardown = teardown,
    .open = open_queue,
    .send = send,
    .receive = receive,
    .close = close_queue,
};

} // namespace

const peer *const peer_list[] = { &queue, nullptr };
