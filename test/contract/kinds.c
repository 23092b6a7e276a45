/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <errno.h>
#include <string.h>

#include "certificates.h"

#define MIB ((size_t)1 << 20)

#define MAILBOX(a_name, capacity_of_it, max, ...)                                                      \
    {                                                                                                  \
        .name = a_name, .address = "mailbox:contract", .capacity = capacity_of_it, .message_max = max, \
        .sending = { __VA_ARGS__ }, .receiving = {                                                     \
            __VA_ARGS__                                                                                \
        }                                                                                              \
    }

#define DIRECT(a_name, capacity_of_it, max)                                                             \
    {                                                                                                   \
        .name = a_name, .address = "direct:contract-b", .capacity = capacity_of_it, .message_max = max, \
        .sending = { .capacity = capacity_of_it, .message_max = max },                                  \
        .receiving = { .capacity = capacity_of_it, .message_max = max }, .direct = true                 \
    }

#define PIPE(a_name, asked, room_of_it, max, who_sends)                                              \
    {                                                                                                \
        .name = a_name, .address = "pipe:contract", .capacity = room_of_it, .message_max = max,      \
        .sending = { .capacity = asked, .message_max = max },                                        \
        .receiving = { .capacity = asked, .message_max = max }, .pipe = true, .accepted = who_sends, \
        .alone = 100000                                                                              \
    }

/* A socket of the test's directory, or of a TCP port that is free. */
#define SOCKET(a_name, the_address, is_tcp, max, who_sends)                                    \
    {                                                                                          \
        .name = a_name, .address = the_address, .capacity = GNL_UNBOUNDED, .message_max = max, \
        .sending = { .message_max = max }, .receiving = { .message_max = max }, .pipe = true,  \
        .accepted = who_sends, .alone = 100000, .socket = true, .tcp = is_tcp,                 \
        .says = is_tcp ? "tcp:" : "contract"                                                   \
    }
#define TLS(a_name, max, who_sends)                                                                      \
    {                                                                                                    \
        .name = a_name, .address = "tls:127.0.0.1:0", .capacity = GNL_UNBOUNDED, .message_max = max,     \
        .sending = { .message_max = max, .tls = &tls_both_ways },                                        \
        .receiving = { .message_max = max, .tls = &tls_both_ways }, .pipe = true, .accepted = who_sends, \
        .alone = 100000, .socket = true, .tcp = true, .tls = true, .says = "tls:"                        \
    }

const struct kind kinds[] = {
    MAILBOX("mailbox", GNL_CAPACITY_DEFAULT, MIB, .capacity = 0),
    MAILBOX("mailbox of capacity 1", 1, MIB, .capacity = 1),
    MAILBOX("mailbox of capacity 3", 3, MIB, .capacity = 3),
    MAILBOX("mailbox of capacity 100000", 100000, MIB, .capacity = 100000),
    MAILBOX("unbounded mailbox", GNL_UNBOUNDED, MIB, .capacity = GNL_UNBOUNDED),
    MAILBOX("rendezvous mailbox", GNL_RENDEZVOUS, MIB, .capacity = GNL_RENDEZVOUS),
    MAILBOX("mailbox of short messages", 64, 100, .capacity = 64, .message_max = 100),
    MAILBOX("mailbox of inline messages", 7, 96, .capacity = 7, .message_max = 96),
    MAILBOX("mailbox of messages in long slots", 5, 2000, .capacity = 5, .message_max = 2000),
    MAILBOX("rendezvous in long slots", GNL_RENDEZVOUS, 500, .capacity = GNL_RENDEZVOUS, .message_max = 500),
    MAILBOX("mailbox of long messages", 2, 4 * MIB, .capacity = 2, .message_max = 4 * MIB),
    { .name = "two-way mailbox, A to B",
      .address = "mailbox:contract",
      .capacity = 5,
      .message_max = MIB,
      .sending = { .capacity = 5, .side = GNL_SIDE_A },
      .receiving = { .capacity = 5, .side = GNL_SIDE_B } },
    { .name = "two-way rendezvous mailbox, B to A",
      .address = "mailbox:contract",
      .capacity = GNL_RENDEZVOUS,
      .message_max = MIB,
      .sending = { .capacity = GNL_RENDEZVOUS, .side = GNL_SIDE_B },
      .receiving = { .capacity = GNL_RENDEZVOUS, .side = GNL_SIDE_A } },
    { .name = "ends of one direction each",
      .address = "mailbox:contract",
      .capacity = 16,
      .message_max = MIB,
      .sending = { .capacity = 16, .direction = GNL_SEND_ONLY },
      .receiving = { .capacity = 16, .direction = GNL_RECV_ONLY } },
    DIRECT("direct link", GNL_CAPACITY_DEFAULT, MIB),
    DIRECT("direct link of capacity 1", 1, MIB),
    DIRECT("direct link of capacity 3", 3, MIB),
    DIRECT("direct link of capacity 100000", 100000, MIB),
    DIRECT("unbounded direct link", GNL_UNBOUNDED, MIB),
    DIRECT("rendezvous direct link", GNL_RENDEZVOUS, MIB),
    DIRECT("direct link of short messages", 7, 100),
    DIRECT("direct link of long messages", 2, 4 * MIB),
    PIPE("named pipe", 0, GNL_UNBOUNDED, MIB, false),
    PIPE("named pipe, from who listens", 0, GNL_UNBOUNDED, MIB, true),
    PIPE("named pipe of capacity 1", 1, 1, MIB, false),
    PIPE("named pipe of capacity 3, from who listens", 3, 3, MIB, true),
    PIPE("named pipe of capacity 200", 200, 200, MIB, false),
    PIPE("named pipe of short messages", 7, 7, 100, false),
    PIPE("named pipe of long messages", 2, 2, 4 * MIB, true),
    SOCKET("UNIX socket", "unix:%s/contract", false, MIB, false),
    SOCKET("UNIX socket, from who listens", "unix:%s/contract", false, MIB, true),
    SOCKET("UNIX socket of short messages", "unix:%s/contract", false, 100, false),
    SOCKET("TCP", "tcp:127.0.0.1:0", true, MIB, false),
    SOCKET("TCP, from who listens", "tcp:127.0.0.1:0", true, MIB, true),
    SOCKET("TCP of long messages", "tcp:localhost:0", true, 4 * MIB, true),
    TLS("TLS", MIB, false),
    TLS("TLS, from who listens", MIB, true),
    TLS("TLS of long messages", 4 * MIB, true),
};
static const int paired_kinds = 24; /* the last */
const int kinds_count = sizeof kinds / sizeof kinds[0];

void add_for_each_kind(TCase *test_case, const TTest *test)
{
    tcase_add_loop_test(test_case, test, 0, kinds_count);
}

void add_for_each_shared_kind(TCase *test_case, const TTest *test)
{
    tcase_add_loop_test(test_case, test, 0, kinds_count - paired_kinds);
}

static gnl_port *open_end(const struct kind *kind, const struct gnl_options *options)
{
    gnl_port *port;

    assert_ok(gnl_open(&port, kind->address, options));
    return port;
}

/* Who sends is the one that connects, or the one that is accepted. */
static void open_pipe(struct pair *pair)
{
    const struct kind *kind = pair->kind;
    gnl_port **connects = kind->accepted ? &pair->receiver : &pair->sender;
    gnl_port **is_accepted = kind->accepted ? &pair->sender : &pair->receiver;
    char *address = pair->address, *place = strstr(kind->address, "%s");

    if (place)
        snprintf(address, sizeof pair->address, "%.*s%s%s", (int)(place - kind->address), kind->address,
                 support_directory(), place + 2);
    if (kind->tls)
        tls_make();
    assert_ok(gnl_listen(&pair->listener, address, &kind->receiving));
    strcpy(address, gnl_listener_address(pair->listener));
    if (kind->tls) {
        tls_meet(pair->listener, is_accepted, connects, &kind->sending);
        tls_unmake();
        return;
    }
    assert_ok(gnl_open(connects, address, &kind->sending));
    assert_ok(gnl_accept(pair->listener, is_accepted, PATIENCE));
}

struct pair pair_open(int kind)
{
    struct pair pair = { .kind = &kinds[kind] };

    strcpy(pair.address, pair.kind->address);

    if (pair.kind->pipe) {
        open_pipe(&pair);
        return pair;
    }

    if (pair.kind->direct) {
        struct gnl_options options = pair.kind->sending;
        assert_ok(gnl_identity_claim(&pair.sends, "contract-a"));
        assert_ok(gnl_identity_claim(&pair.receives, "contract-b"));
        options.identity = pair.sends;
        assert_ok(gnl_open(&pair.sender, "direct:contract-b", &options));
        options.identity = pair.receives;
        assert_ok(gnl_open(&pair.receiver, "direct:contract-a", &options));
        return pair;
    }
    pair.sender = pair_sender(&pair);
    pair.receiver = pair_receiver(&pair);
    return pair;
}

bool kind_is_paired(const struct kind *kind)
{
    return kind->direct || kind->pipe;
}

gnl_port *pair_sender(const struct pair *pair)
{
    return open_end(pair->kind, &pair->kind->sending);
}

gnl_port *pair_receiver(const struct pair *pair)
{
    return open_end(pair->kind, &pair->kind->receiving);
}

void pair_close(struct pair *pair)
{
    assert_ok(gnl_close(pair->sender));
    assert_ok(gnl_close(pair->receiver));
    assert_ok(gnl_identity_release(pair->sends));
    assert_ok(gnl_identity_release(pair->receives));
    assert_ok(gnl_listener_close(pair->listener));
    if (!kind_is_paired(pair->kind))
        assert_ok(gnl_remove(pair->kind->address));
}

int64_t pair_room(const struct pair *pair, int64_t most)
{
    switch (pair->kind->capacity) {
    case GNL_RENDEZVOUS:
        return 0;
    case GNL_UNBOUNDED:
        return pair->kind->alone > 0 && most > 100 ? 100 : most;
    default:
        return pair->kind->capacity < most ? pair->kind->capacity : most;
    }
}

/* ---- messages ---- */

static unsigned char byte_of(uint64_t seed, size_t at)
{
    return (unsigned char)((seed * 0x9e3779b97f4a7c15u >> (at % 8 * 8)) + at / 8 * 31);
}

void message_fill(void *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = byte_of(seed, i);
}

void message_expect(const void *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)data)[i] != byte_of(seed, i))
            ck_abort_msg("message %llu of %zu bytes differs at byte %zu", (unsigned long long)seed, size, i);
}

void send_message(gnl_port *port, size_t size, uint64_t seed)
{
    unsigned char *data = malloc(size + 1);

    message_fill(data, size, seed);
    must(gnl_send(port, data, size, PATIENCE) == 0);
    free(data);
}

void expect_message(gnl_port *port, size_t size, uint64_t seed)
{
    unsigned char *data = malloc(size + 1);

    must(gnl_recv(port, data, size, PATIENCE) == (ssize_t)size);
    message_expect(data, size, seed);
    free(data);
}

void expect_empty(gnl_port *port)
{
    char byte;

    ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EAGAIN);
}

void expect_sentence(const struct kind *kind)
{
    ck_assert_msg(strstr(gnl_error_detail(), kind->says ? kind->says : "contract") != NULL,
                  "the sentence does not name it: '%s'", gnl_error_detail());
}

static void *feed(void *context)
{
    struct feed *feed = context;

    for (uint64_t i = 0; i < feed->count; i++)
        send_message(feed->port, feed->size, feed->first + i);
    return NULL;
}

void feed_start(struct feed *feed_thread, gnl_port *port, uint64_t first, uint64_t count, size_t size)
{
    *feed_thread = (struct feed){ .port = port, .first = first, .count = count, .size = size };
    ck_assert_int_eq(pthread_create(&feed_thread->thread, NULL, feed, feed_thread), 0);
}

void feed_end(struct feed *feed_thread)
{
    ck_assert_int_eq(pthread_join(feed_thread->thread, NULL), 0);
}

/* ---- calls ---- */

static ssize_t run(struct call *call)
{
    struct iovec vector = { .iov_base = call->data, .iov_len = call->size };
    gnl_message loan;
    ssize_t result = 0;

    switch (call->verb) {
    case SEND:
        return gnl_send(call->port, call->data, call->size, call->timeout);
    case SEND_MANY:
        return gnl_send_many(call->port, &vector, 1, call->timeout);
    case RECV:
        return gnl_recv(call->port, call->data, sizeof call->data, call->timeout);
    case TAKE:
        return gnl_take(call->port, &call->message, call->timeout);
    case TAKE_MANY:
        return gnl_take_many(call->port, &call->message, 1, call->timeout);
    case POST:
        result = gnl_loan(call->port, &loan, call->size, call->timeout);
        if (result < 0)
            return result;
        memcpy(loan.data, call->data, call->size);
        result = gnl_post(call->port, &loan, call->timeout);
        if (result < 0 && result != -ECANCELED && result != -EIDRM)
            assert_ok(gnl_done(&loan));
        break;
    }
    return result;
}

static void *run_in_thread(void *context)
{
    struct call *call = context;
    struct gnl_port_info info;

    /* The thread's first call makes it known to the library: from then on, asleep means inside. */
    assert_ok(gnl_port_info(call->port, &info));
    atomic_store(&call->thread_id, gettid());
    call->result = run(call);
    return NULL;
}

void call_start(struct call *call, gnl_port *port, enum verb verb, int64_t timeout)
{
    *call = (struct call){ .port = port, .verb = verb, .timeout = timeout, .size = 8 };
    message_fill(call->data, call->size, 0);
    ck_assert_int_eq(pthread_create(&call->thread, NULL, run_in_thread, call), 0);
}

static bool known(void *context)
{
    struct call *call = context;

    return atomic_load(&call->thread_id) != 0;
}

void call_blocks(struct call *call)
{
    ck_assert(support_until(known, call));
    ck_assert_msg(support_sleeps(atomic_load(&call->thread_id)), "the call does not block");
}

ssize_t call_end(struct call *call)
{
    ck_assert_int_eq(pthread_join(call->thread, NULL), 0);
    return call->result;
}

ssize_t call_now(gnl_port *port, enum verb verb, int64_t timeout)
{
    struct call call = { .port = port, .verb = verb, .timeout = timeout, .size = 8 };

    message_fill(call.data, call.size, 0);
    ssize_t result = run(&call);
    if (result >= 0 && (verb == TAKE || verb == TAKE_MANY))
        assert_ok(gnl_done(&call.message));
    return result;
}
