/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what somebody else sends over a stream socket in message mode, as who connects or as who
 * listens. The input makes a stream of bytes, a hello and frames that make sense or not, and says where it is
 * cut; calls of the port come in between. What the port receives is compared with what a parser that has all
 * the bytes before it says: every message, and every error.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "fuzz/room.h"

#define STREAM_MAX ((size_t)1 << 20)
#define LARGE_MAX  150000 /* bytes of a frame that is not small */
#define STEPS_MAX  200
#define HELLO      16
#define HEAD       4

static char stream[STREAM_MAX];
static size_t made, gone, parsed; /* bytes of it: made, sent, received as messages */
static bool ended;                /* no more will come */
static size_t limit;              /* of a message */
static size_t theirs;             /* message_max of the hello */
static bool good;                 /* the hello is one */

static void name_of(struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    must(strlen(room()) + sizeof "/s" <= sizeof name->sun_path);
    stpcpy(stpcpy(name->sun_path, room()), "/s");
}

/* ---- the stream ---- */

static void append(const void *data, size_t size)
{
    if (size > STREAM_MAX - made)
        size = STREAM_MAX - made;
    if (data)
        memcpy(stream + made, data, size);
    else
        for (size_t i = 0; i < size; i++)
            stream[made + i] = (char)(made + i + ((made + i) >> 8));
    made += size;
}

static void make_hello(struct input *input)
{
    char hello[HELLO] = "GNNLSOCK";
    uint32_t number = (uint32_t)input_number(input, 1) % 4 == 0 ? (uint32_t)input_number(input, 4)
                                                                : (uint32_t)input_number(input, 2) * 8;
    uint64_t flaw = input_number(input, 1);

    theirs = number;
    number = htobe32(number);
    memcpy(hello + 8, &number, sizeof number);
    if (flaw >= 240)
        hello[flaw % HELLO] = (char)(hello[flaw % HELLO] ^ 1);
    memcpy(&number, hello + 8, sizeof number);
    theirs = be32toh(number);
    good = memcmp(hello, "GNNLSOCK", 8) == 0 && memcmp(hello + 12, "\0\0\0", 4) == 0 &&
           theirs <= GNL_MESSAGE_MAX_LIMIT;
    append(hello, sizeof hello);
}

static void make_frame(struct input *input)
{
    uint64_t kind = input_number(input, 1);
    size_t size = input_number(input, 1);
    uint32_t number;

    if (kind % 16 == 0)
        size = input_number(input, 3) % LARGE_MAX;
    else if (kind % 16 == 1)
        size = limit + size % 3 - 1; /* about the largest */
    number = htobe32((uint32_t)size);
    if (kind % 16 == 2)
        number = (uint32_t)input_number(input, 4);
    append(&number, sizeof number);
    append(NULL, size < LARGE_MAX ? size : LARGE_MAX);
}

/* So many of the bytes go, as far as there is room. */
static void let_go(int to, size_t most)
{
    size_t size = made - gone < most ? made - gone : most;
    ssize_t sent = size > 0 && !ended ? send(to, stream + gone, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (sent < 0)
        must(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    gone += sent > 0 ? (size_t)sent : 0;
}

/* ---- what should come of it ---- */

/* The next message, or what a receive fails with. */
static ssize_t expected(void)
{
    uint32_t number;
    ssize_t nothing = ended ? -EPIPE : -EAGAIN;

    if (parsed < HELLO) {
        if (gone < HELLO)
            return nothing;
        if (!good)
            return -EBADMSG;
        parsed = HELLO;
    }
    if (gone - parsed < HEAD)
        return nothing;
    memcpy(&number, stream + parsed, sizeof number);
    size_t size = be32toh(number);
    if (size > limit)
        return -EMSGSIZE;
    return gone - parsed - HEAD < size ? nothing : (ssize_t)size;
}

static void came(const void *data, ssize_t size)
{
    ssize_t right = expected();

    if (size != right && !(size == -EPIPE && ended))
        wrong("a receive is %zd, not %zd", size, right);
    if (size < 0)
        return;
    must(data != NULL);
    must(memcmp(data, stream + parsed + HEAD, (size_t)size) == 0);
    parsed += HEAD + (size_t)size;
}

/* ---- calls ---- */

static void receive(gnl_port *port)
{
    static char data[LARGE_MAX + 1];

    call_begins("gnl_recv", 0);
    ssize_t got = gnl_recv(port, data, sizeof data, GNL_NOWAIT);
    call_ended(got);
    if (got == -EMSGSIZE && expected() > (ssize_t)sizeof data)
        return; /* larger than this buffer: it stays */
    came(data, got);
}

static void take(gnl_port *port, bool again)
{
    gnl_message message;

    call_begins("gnl_take", 0);
    int result = gnl_take(port, &message, GNL_NOWAIT);
    call_ended(result);
    if (result == 0 && again) {
        must(gnl_giveback(&message) == 0);
        must(gnl_take(port, &message, GNL_NOWAIT) == 0);
    }
    came(result == 0 ? message.data : NULL, result == 0 ? (ssize_t)message.size : result);
    if (result == 0)
        must(gnl_done(&message) == 0);
}

static void send_some(gnl_port *port, struct input *input)
{
    struct iovec messages[3];

    for (unsigned i = 0; i < 3; i++)
        messages[i] = (struct iovec){ stream, input_number(input, i == 2 ? 2 : 1) };
    call_begins("gnl_send_many", 0);
    ssize_t sent = gnl_send_many(port, messages, 1 + input_number(input, 1) % 3, GNL_NOWAIT);
    call_ended(sent);
}

static void step(gnl_port *port, int to, struct input *input)
{
    static char away[65536];

    switch (input_number(input, 1) % 8) {
    case 0:
        make_frame(input);
        break;
    case 1:
        make_frame(input);
        let_go(to, made);
        break;
    case 2:
        let_go(to, 1 + input_number(input, 1) % 20);
        break;
    case 3:
        let_go(to, input_number(input, 3));
        break;
    case 4:
        receive(port);
        break;
    case 5:
        take(port, input_number(input, 1) % 2);
        break;
    case 6:
        send_some(port, input);
        break;
    default:
        if (input_number(input, 1) % 8 == 0)
            ended = shutdown(to, SHUT_WR) == 0 || ended;
        else if (recv(to, away, sizeof away, MSG_DONTWAIT) < 0)
            must(errno == EAGAIN || errno == ECONNRESET);
    }
}

/* ---- both ways of meeting ---- */

static gnl_port *be_accepted(const char *address, const struct gnl_options *options, struct input *input,
                             int *to)
{
    struct sockaddr_un name;
    gnl_listener *listener;
    gnl_port *port = NULL;
    int result = -EAGAIN;

    must(gnl_listen(&listener, address, options) == 0);
    name_of(&name);
    *to = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(*to >= 0 && connect(*to, (struct sockaddr *)&name, sizeof name) == 0);
    while (gone < HELLO && result == -EAGAIN) {
        let_go(*to, 1 + input_number(input, 1) % 32);
        call_begins("gnl_accept", 0);
        result = gnl_accept(listener, &port, GNL_NOWAIT);
        call_ended(result);
        must(result == -EAGAIN || (result == 0 && gone >= HELLO && good));
    }
    must((result == 0) == good);
    must(gnl_listener_close(listener) == 0);
    return port;
}

static gnl_port *be_connected(const char *address, const struct gnl_options *options, int *to)
{
    struct sockaddr_un name;
    gnl_port *port;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name_of(&name);
    must(listener >= 0 && bind(listener, (struct sockaddr *)&name, sizeof name) == 0 &&
         listen(listener, 1) == 0);
    must(gnl_open(&port, address, options) == 0);
    *to = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    must(*to >= 0);
    close(listener);
    must(unlink(name.sun_path) == 0);
    return port;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .data = data, .size = size };
    struct gnl_options options = { .message_max = input_number(&input, 2) * 4 };
    bool accepted = input_number(&input, 1) % 2;
    char address[GNL_ADDRESS_MAX + 1] = "unix:";
    int to;

    made = gone = parsed = 0;
    ended = false;
    stpcpy(stpcpy(address + 5, room()), "/s");
    make_hello(&input);
    limit = options.message_max == 0 && theirs == 0 ? GNL_MESSAGE_MAX_DEFAULT
            : theirs == 0 || (options.message_max > 0 && options.message_max < theirs) ? options.message_max
                                                                                       : theirs;
    gnl_port *port =
        accepted ? be_accepted(address, &options, &input, &to) : be_connected(address, &options, &to);
    for (unsigned i = 0; port && i < STEPS_MAX && !input_ended(&input); i++)
        step(port, to, &input);
    close(to);
    int result = gnl_close(port);
    must(result == 0 || result == -EPIPE); /* it closed with something of ours unread, which is a reset */
    return 0;
}
