/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every byte stream promises: named pipes in byte mode, FIFOs, UNIX and TCP sockets with `stream`, TLS
 * (streams.c). Each byte depends on its place, so that none is lost, doubled or moved unseen.
 */
#include "kinds.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "certificates.h"
#include "streams.h"

#define LARGE ((size_t)12 << 20) /* bytes: more than any kernel holds of a stream */

/* ---- bytes ---- */

static char byte_at(size_t at)
{
    return (char)(at ^ (at >> 8) * 7 ^ (at >> 16) * 31);
}

static void fill(char *data, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(from + i);
}

static int send_bytes(gnl_port *port, size_t from, size_t size, int64_t timeout)
{
    char *data = malloc(size + 1);

    fill(data, from, size);
    int result = gnl_send(port, data, size, timeout);
    free(data);
    return result;
}

static void check(const char *data, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != byte_at(from + i))
            ck_abort_msg("byte %zu is not the one that was sent", from + i);
}

/* The bytes from there until there, however they are cut; reads of up to `most`. */
static void expect_bytes(gnl_port *port, size_t from, size_t until, size_t most)
{
    char *data = malloc(most);

    while (from < until) {
        ssize_t got = gnl_recv(port, data, until - from < most ? until - from : most, PATIENCE);
        must(got > 0);
        check(data, from, (size_t)got);
        from += (size_t)got;
    }
    free(data);
}

static void expect_end(gnl_port *port)
{
    char byte;

    ck_assert_int_eq(gnl_recv(port, &byte, 1, PATIENCE), -EPIPE);
}

/* A thread that sends all of them, in writes of up to `most`, and says that no more come. */
struct writer {
    pthread_t thread;
    gnl_port *port;
    size_t from, until, most;
};

static void *write_all(void *context)
{
    struct writer *writer = context;

    for (size_t at = writer->from, i = 0; at < writer->until; i++) {
        size_t size = 1 + i * 7919 % writer->most;
        if (size > writer->until - at)
            size = writer->until - at;
        must(send_bytes(writer->port, at, size, PATIENCE) == 0);
        at += size;
    }
    assert_ok(gnl_finish(writer->port));
    return NULL;
}

static void start(struct writer *writer, gnl_port *port, size_t from, size_t until, size_t most)
{
    *writer = (struct writer){ .port = port, .from = from, .until = until, .most = most };
    ck_assert_int_eq(pthread_create(&writer->thread, NULL, write_all, writer), 0);
}

static void join(struct writer *writer)
{
    ck_assert_int_eq(pthread_join(writer->thread, NULL), 0);
}

START_TEST(bytes_arrive_in_order_and_complete)
{
    static const size_t writes[] = { 7, 5000, 300000 }, reads[] = { 100000, 1, 4096 };

    for (unsigned i = 0; i < 3; i++) {
        struct stream stream = stream_open(_i);
        struct writer writer;
        size_t until = i == 0 ? 200000 : i == 1 ? 100000 : LARGE; /* the first: a storm of small writes */
        start(&writer, stream.sender, 0, until, writes[i]);
        expect_bytes(stream.receiver, 0, until, reads[i]);
        expect_end(stream.receiver);
        join(&writer);
        stream_close(&stream);
    }
}
END_TEST

START_TEST(write_larger_than_any_buffer_is_one_send)
{
    struct stream stream = stream_open(_i);
    struct writer writer;

    start(&writer, stream.sender, 0, LARGE, LARGE * 2);
    expect_bytes(stream.receiver, 0, LARGE, 65536);
    expect_end(stream.receiver);
    join(&writer);
    stream_close(&stream);
}
END_TEST

/* What has begun counts as sent: the port goes on with it, in whatever call comes next. */
START_TEST(write_that_has_begun_is_finished)
{
    struct stream stream = stream_open(_i);
    struct writer writer;

    assert_ok(send_bytes(stream.sender, 0, LARGE, GNL_NOWAIT));
    ck_assert_int_eq(gnl_send(stream.sender, "x", 1, GNL_NOWAIT), -EAGAIN);
    start(&writer, stream.sender, LARGE, LARGE + 5, 5);
    expect_bytes(stream.receiver, 0, LARGE + 5, 65536);
    expect_end(stream.receiver);
    join(&writer);
    stream_close(&stream);
}
END_TEST

START_TEST(empty_write_is_nothing)
{
    struct stream stream = stream_open(_i);
    char byte;

    assert_ok(gnl_send(stream.sender, NULL, 0, PATIENCE));
    ck_assert_int_eq(gnl_recv(stream.receiver, &byte, 1, GNL_NOWAIT), -EAGAIN);
    assert_ok(send_bytes(stream.sender, 0, 3, PATIENCE));
    assert_ok(gnl_send(stream.sender, NULL, 0, PATIENCE));
    expect_bytes(stream.receiver, 0, 3, 10);
    ck_assert_int_eq(gnl_recv(stream.receiver, &byte, 1, GNL_NOWAIT), -EAGAIN);
    stream_close(&stream);
}
END_TEST

START_TEST(many_writes_at_once_are_one_after_the_other)
{
    struct stream stream = stream_open(_i);
    char data[1000];
    struct iovec parts[10];

    fill(data, 0, sizeof data);
    for (size_t i = 0; i < 10; i++)
        parts[i] = (struct iovec){ data + 100 * i, 100 };
    ck_assert_int_eq(gnl_send_many(stream.sender, parts, 10, PATIENCE), 10);
    expect_bytes(stream.receiver, 0, sizeof data, sizeof data);
    stream_close(&stream);
}
END_TEST

/* And what was given back comes first. */
START_TEST(bytes_that_are_taken_are_read_in_place)
{
    struct stream stream = stream_open(_i);
    gnl_message message;
    size_t at = 0;

    assert_ok(send_bytes(stream.sender, 0, 1000, PATIENCE));
    while (at < 1000) {
        assert_ok(gnl_take(stream.receiver, &message, PATIENCE));
        must(message.size > 0);
        check(message.data, at, message.size);
        assert_ok(gnl_giveback(&message));
        expect_bytes(stream.receiver, at, at + 1, 1);
        at++;
        if (at % 100 == 0 && at < 1000) { /* the rest of what was given back is there still */
            expect_bytes(stream.receiver, at, at + 99, 50);
            at += 99;
        }
    }
    stream_close(&stream);
}
END_TEST

struct block {
    gnl_port *port;
    char letter;
};

#define BLOCK 3000

static void *write_blocks(void *context)
{
    struct block *block = context;
    char data[BLOCK];

    memset(data, block->letter, sizeof data);
    for (unsigned i = 0; i < 200; i++)
        must(gnl_send(block->port, data, sizeof data, PATIENCE) == 0);
    return NULL;
}

START_TEST(writes_of_several_threads_do_not_mix)
{
    struct stream stream = stream_open(_i);
    pthread_t threads[3];
    struct block blocks[3];
    char data[BLOCK];

    for (unsigned i = 0; i < 3; i++) {
        blocks[i] = (struct block){ stream.sender, (char)('a' + i) };
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_blocks, &blocks[i]), 0);
    }
    for (unsigned i = 0; i < 600; i++) {
        for (size_t at = 0; at < BLOCK;) {
            ssize_t got = gnl_recv(stream.receiver, data + at, BLOCK - at, PATIENCE);
            must(got > 0);
            at += (size_t)got;
        }
        must(memcmp(data, data + 1, BLOCK - 1) == 0); /* all of one letter */
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    stream_close(&stream);
}
END_TEST

/* ---- waiting ---- */

START_TEST(reader_waits_for_as_long_as_it_says)
{
    struct stream stream = stream_open(_i);
    struct call call;
    char byte;

    ck_assert_int_eq(gnl_recv(stream.receiver, &byte, 1, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_recv(stream.receiver, &byte, 1, SHORT_NS), -ETIMEDOUT);
    call_start(&call, stream.receiver, RECV, GNL_FOREVER);
    call_blocks(&call);
    assert_ok(send_bytes(stream.sender, 0, 5, PATIENCE));
    ssize_t got = call_end(&call);
    ck_assert_int_gt(got, 0);
    check(call.data, 0, (size_t)got);
    expect_bytes(stream.receiver, (size_t)got, 5, 5);
    stream_close(&stream);
}
END_TEST

#define QUIET gnl_ms(600) /* TCP makes more room when it has asked the other side again, after 200 ms or so */

static bool is_over_tcp(const struct stream *stream)
{
    return stream->address[0] == 't'; /* tcp:, tls: */
}

/* As many bytes as there is room for; how many. */
static size_t fill_up(const struct stream *stream)
{
    int64_t quiet = is_over_tcp(stream) ? QUIET : GNL_NOWAIT;
    size_t sent = 0, size = 4096;

    while (send_bytes(stream->sender, sent, size, GNL_NOWAIT) == 0 ||
           send_bytes(stream->sender, sent, size = 1, quiet) == 0)
        sent += size;
    return sent;
}

START_TEST(writer_waits_for_as_long_as_it_says)
{
    struct stream stream = stream_open(_i);
    struct call call;
    size_t sent = fill_up(&stream);

    ck_assert_uint_gt(sent, 0);
    ck_assert_int_eq(gnl_send(stream.sender, "x", 1, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_send(stream.sender, "x", 1, SHORT_NS), -ETIMEDOUT);
    call_start(&call, stream.sender, SEND, GNL_FOREVER);
    call_blocks(&call);
    expect_bytes(stream.receiver, 0, sent, 65536); /* and nothing of what had no room */
    assert_ok(call_end(&call));
    char data[8];
    for (size_t at = 0; at < sizeof data;) {
        ssize_t got = gnl_recv(stream.receiver, data + at, sizeof data - at, PATIENCE);
        must(got > 0);
        at += (size_t)got;
    }
    message_expect(data, sizeof data, 0);
    stream_close(&stream);
}
END_TEST

START_TEST(close_ends_calls_of_other_threads)
{
    struct stream stream = stream_open(_i);
    struct call call;

    call_start(&call, stream.receiver, RECV, GNL_FOREVER);
    call_blocks(&call);
    assert_ok(gnl_close(stream.receiver));
    ck_assert_int_eq(call_end(&call), -ECANCELED);
    stream.receiver = NULL;
    stream_close(&stream);
    stream = stream_open(_i);
    fill_up(&stream);
    call_start(&call, stream.sender, SEND, GNL_FOREVER);
    call_blocks(&call);
    gnl_port *sender = stream.sender;
    stream.sender = NULL;
    int result = gnl_close(sender);
    ck_assert_int_eq(call_end(&call), -ECANCELED);
    must(result == 0 ||
         result == -ETIMEDOUT); /* it may have been in the midst of that, and nobody receives */
    stream_close(&stream);
}
END_TEST

static bool readable(int descriptor, int timeout_ms)
{
    return poll(&(struct pollfd){ .fd = descriptor, .events = POLLIN }, 1, timeout_ms) == 1;
}

START_TEST(descriptor_is_readable_while_bytes_are_there)
{
    struct stream stream = stream_open(_i);
    int descriptor = gnl_port_fd(stream.receiver);

    assert_ok(descriptor);
    ck_assert(!readable(descriptor, 0));
    for (size_t at = 0; at < 20; at += 2) {
        assert_ok(send_bytes(stream.sender, at, 2, PATIENCE));
        ck_assert(readable(descriptor, PATIENCE_MS));
        expect_bytes(stream.receiver, at, at + 1, 1);
        ck_assert(readable(descriptor, PATIENCE_MS));
        expect_bytes(stream.receiver, at + 1, at + 2, 1);
        ck_assert(!readable(descriptor, 0));
    }
    assert_ok(gnl_finish(stream.sender));
    ck_assert(readable(descriptor, PATIENCE_MS));
    expect_end(stream.receiver);
    stream_close(&stream);
}
END_TEST

static unsigned told(gnl_waitset *set, int64_t timeout)
{
    struct gnl_event event = { 0 };
    int result = gnl_waitset_wait(set, &event, 1, timeout);

    must(result == 1 || result == -EAGAIN || result == -ETIMEDOUT);
    return event.events;
}

START_TEST(waitset_tells_of_bytes_room_and_the_end)
{
    struct stream stream = stream_open(_i);
    gnl_waitset *reads, *writes;
    static char data[65536];

    assert_ok(gnl_waitset_new(&reads));
    assert_ok(gnl_waitset_new(&writes));
    assert_ok(gnl_waitset_add_port(reads, stream.receiver, GNL_READABLE, &reads));
    assert_ok(gnl_waitset_add_port(writes, stream.sender, GNL_WRITABLE, &writes));
    ck_assert_uint_eq(told(reads, GNL_NOWAIT), 0);
    ck_assert_uint_eq(told(writes, PATIENCE), GNL_WRITABLE);
    size_t sent = fill_up(&stream);
    ck_assert_uint_eq(told(writes, GNL_NOWAIT), 0);
    ck_assert_uint_eq(told(reads, PATIENCE), GNL_READABLE);
    expect_bytes(stream.receiver, 0, 1, 1);
    for (size_t at = 1; at < sent;) { /* a rest of the last is written by whoever looks at that port */
        ssize_t got = gnl_recv(stream.receiver, data, sizeof data, gnl_ms(1));
        told(writes, GNL_NOWAIT);
        if (got == -ETIMEDOUT)
            continue;
        must(got > 0);
        check(data, at, (size_t)got);
        at += (size_t)got;
    }
    ck_assert_uint_eq(told(reads, GNL_NOWAIT), 0);
    ck_assert_uint_eq(told(writes, PATIENCE), GNL_WRITABLE);
    assert_ok(gnl_close(stream.sender));
    stream.sender = NULL;
    ck_assert_uint_eq(told(reads, PATIENCE), GNL_READABLE | GNL_ENDED);
    gnl_waitset_free(reads);
    gnl_waitset_free(writes);
    stream_close(&stream);
}
END_TEST

/* ---- ends ---- */

START_TEST(finish_ends_one_way_alone)
{
    struct stream stream = stream_open(_i);
    char data[8];

    assert_ok(send_bytes(stream.sender, 0, 8, PATIENCE));
    assert_ok(gnl_finish(stream.sender));
    ck_assert_int_eq(gnl_send(stream.sender, "x", 1, PATIENCE), -EPIPE);
    expect_bytes(stream.receiver, 0, 8, 8);
    expect_end(stream.receiver);
    if (!stream.way->fifo) {
        assert_ok(send_bytes(stream.receiver, 0, 8, PATIENCE));
        expect_bytes(stream.sender, 0, 8, 8);
        assert_ok(gnl_finish(stream.receiver));
        ck_assert_int_eq(gnl_recv(stream.sender, data, sizeof data, PATIENCE), -EPIPE);
    }
    stream_close(&stream);
}
END_TEST

static void *close_port(void *port)
{
    return gnl_close(port) == 0 ? NULL : port;
}

/*
 * Over TCP and TLS the last of it may be half with the kernel: closing sees to the rest while the other
 * receives.
 */
START_TEST(all_that_was_sent_comes_before_the_end)
{
    struct stream stream = stream_open(_i);
    size_t sent = fill_up(&stream);

    void *failed = NULL;
    pthread_t thread = pthread_self();
    bool apart = is_over_tcp(&stream);
    if (apart)
        ck_assert_int_eq(pthread_create(&thread, NULL, close_port, stream.sender), 0);
    else
        assert_ok(gnl_close(stream.sender));
    stream.sender = NULL;
    expect_bytes(stream.receiver, 0, sent, 10000);
    expect_end(stream.receiver);
    if (apart)
        ck_assert(pthread_join(thread, &failed) == 0 && !failed);
    stream_close(&stream);
}
END_TEST

/* In a child: connects, and sends or receives until it is killed. */
struct life {
    struct stream *stream;
    struct gate ready;
};

#define LAST_WORDS 50000

static int live(void *context)
{
    struct life *life = context;
    struct stream *stream = life->stream;
    gnl_port *port;
    char byte;

    const struct gnl_options *options = stream->way->fifo            ? &stream_out
                                        : stream_is_tls(stream->way) ? &stream_over_tls
                                                                     : &stream_bytes;
    require(gnl_open(&port, stream->address, options) == 0);
    if (stream->way->accepted)
        require(gnl_recv(port, &byte, 1, PATIENCE) == 1);
    else
        require(send_bytes(port, 0, LAST_WORDS, PATIENCE) == 0);
    support_gate_open(&life->ready);
    pause();
    return 1;
}

START_TEST(killed_peer_is_an_end_after_all_that_it_sent)
{
    struct stream stream = stream_begin(_i);
    struct life life = { .stream = &stream, .ready = support_gate() };
    int result = 0;
    gnl_port *port = NULL;

    if (stream.way->fifo)
        assert_ok(gnl_open(&port, stream.address, &stream_in));
    pid_t child = support_fork(live, &life);
    if (!stream.way->fifo)
        assert_ok(gnl_accept(stream.listener, &port, PATIENCE));
    if (stream.way->accepted)
        assert_ok(gnl_send(port, "x", 1, PATIENCE));
    support_gate_wait(&life.ready);
    support_kill(child);
    if (stream.way->accepted) {
        while (result == 0)
            result = send_bytes(port, 0, 10000, PATIENCE);
        ck_assert_int_eq(result, -EPIPE);
    } else {
        expect_bytes(port, 0, LAST_WORDS, 4000);
        if (stream_is_tls(stream.way)) /* its end was not said: that may be a cut */
            ck_assert_int_eq(gnl_recv(port, (char[1]){ 0 }, 1, PATIENCE), -EBADMSG);
        else
            expect_end(port);
    }
    support_gate_close(&life.ready);
    if (stream_is_tls(stream.way))
        tls_unmake();
    stream.receiver = port;
    stream_close(&stream);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *flow = support_case(suite, "bytes");
    TCase *waits = support_case(suite, "waits");
    TCase *ends = support_case(suite, "ends");

    tcase_add_loop_test(flow, bytes_arrive_in_order_and_complete, 0, stream_ways);
    tcase_add_loop_test(flow, write_larger_than_any_buffer_is_one_send, 0, stream_ways);
    tcase_add_loop_test(flow, write_that_has_begun_is_finished, 0, stream_ways);
    tcase_add_loop_test(flow, empty_write_is_nothing, 0, stream_ways);
    tcase_add_loop_test(flow, many_writes_at_once_are_one_after_the_other, 0, stream_ways);
    tcase_add_loop_test(flow, bytes_that_are_taken_are_read_in_place, 0, stream_ways);
    tcase_add_loop_test(flow, writes_of_several_threads_do_not_mix, 0, stream_ways);
    tcase_add_loop_test(waits, reader_waits_for_as_long_as_it_says, 0, stream_ways);
    tcase_add_loop_test(waits, writer_waits_for_as_long_as_it_says, 0, stream_ways);
    tcase_add_loop_test(waits, close_ends_calls_of_other_threads, 0, stream_ways);
    tcase_add_loop_test(waits, descriptor_is_readable_while_bytes_are_there, 0, stream_ways);
    tcase_add_loop_test(waits, waitset_tells_of_bytes_room_and_the_end, 0, stream_ways);
    tcase_add_loop_test(ends, finish_ends_one_way_alone, 0, stream_ways);
    tcase_add_loop_test(ends, all_that_was_sent_comes_before_the_end, 0, stream_ways);
    tcase_add_loop_test(ends, killed_peer_is_an_end_after_all_that_it_sent, 0, stream_ways);
    return support_run(suite);
}
