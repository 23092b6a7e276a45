/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <stdio.h>
#include <string.h>

#include "certificates.h"
#include "kinds.h"

static const struct way ways[] = {
    { .name = "named pipe", .address = "pipe:stream" },
    { .name = "named pipe, from who listens", .address = "pipe:stream", .accepted = true },
    { .name = "FIFO", .address = "fifo:%s/stream", .fifo = true },
    { .name = "UNIX socket", .address = "unix:%s/stream" },
    { .name = "UNIX socket, from who listens", .address = "unix:%s/stream", .accepted = true },
    { .name = "TCP", .address = "tcp:127.0.0.1:0" },
    { .name = "TCP, from who listens", .address = "tcp:[::1]:0", .accepted = true },
    { .name = "TLS", .address = "tls:127.0.0.1:0" },
    { .name = "TLS, from who listens", .address = "tls:[::1]:0", .accepted = true },
};
const int stream_ways = sizeof ways / sizeof ways[0];

const struct gnl_options stream_bytes = { .stream = 1 };
const struct gnl_options stream_over_tls = { .stream = 1, .tls = &tls_both_ways };
const struct gnl_options stream_in = { .direction = GNL_RECV_ONLY };
const struct gnl_options stream_out = { .direction = GNL_SEND_ONLY };

bool stream_is_tls(const struct way *way)
{
    return strncmp(way->address, "tls:", 4) == 0;
}

struct stream stream_begin(int number)
{
    struct stream stream = { .way = &ways[number] };
    const char *place = strstr(stream.way->address, "%s");

    strcpy(stream.address, stream.way->address);
    if (place)
        snprintf(stream.address, sizeof stream.address, "%.*s%s%s", (int)(place - stream.way->address),
                 stream.way->address, support_directory(), place + 2);
    if (!stream.way->fifo) {
        bool tls = stream_is_tls(stream.way);
        if (tls)
            tls_make();
        assert_ok(gnl_listen(&stream.listener, stream.address, tls ? &stream_over_tls : &stream_bytes));
        strcpy(stream.address, gnl_listener_address(stream.listener));
    }
    return stream;
}

struct stream stream_open(int number)
{
    struct stream stream = stream_begin(number);
    bool accepted = stream.way->accepted;

    if (stream.way->fifo) {
        assert_ok(gnl_open(&stream.receiver, stream.address, &stream_in));
        assert_ok(gnl_open(&stream.sender, stream.address, &stream_out));
        return stream;
    }
    if (stream_is_tls(stream.way)) {
        tls_meet(stream.listener, accepted ? &stream.sender : &stream.receiver,
                 accepted ? &stream.receiver : &stream.sender, &stream_over_tls);
        tls_unmake();
        return stream;
    }
    assert_ok(gnl_open(accepted ? &stream.receiver : &stream.sender, stream.address, &stream_bytes));
    assert_ok(gnl_accept(stream.listener, accepted ? &stream.sender : &stream.receiver, PATIENCE));
    return stream;
}

void stream_close(struct stream *stream)
{
    assert_ok(gnl_close(stream->sender));
    assert_ok(gnl_close(stream->receiver));
    assert_ok(gnl_listener_close(stream->listener));
    if (stream->way->fifo)
        assert_ok(gnl_remove(stream->address));
}
