/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what somebody else sends through a named pipe. The input is a hello and then packets on the
 * socket and on the credit, with calls of the port in between.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "fuzz/room.h"

#define PIPE       "pipe:p"
#define FRAME      65536
#define STEPS_MAX  200
#define BYTES_MAX  (FRAME + 64)
#define LARGE_ONCE 16 /* one in so many packets is of a frame's full size */

static char bytes[BYTES_MAX];

static int connect_raw(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    must(made >= 0);
    must(strlen(room()) + sizeof "/" PIPE <= sizeof name.sun_path);
    stpcpy(stpcpy(name.sun_path, room()), "/" PIPE);
    must(connect(made, (struct sockaddr *)&name, sizeof name) == 0);
    return made;
}

/* A good hello but for what the input changes; returns the other end of the credit. */
static int introduce(int to, struct input *input)
{
    struct {
        char magic[8];
        uint32_t message_max, capacity;
    } hello = { "GNNLPIPE", (uint32_t)input_number(input, 4), (uint32_t)input_number(input, 1) };
    union {
        char data[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .data = { 0 } };
    struct iovec part = { &hello, sizeof hello };
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control.data
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    int ends[2];

    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    if (input_number(input, 1) == 255)
        hello.magic[0] ^= 1;
    part.iov_len = sizeof hello - (input_number(input, 1) == 255);
    *rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(sizeof(int)) };
    memcpy(CMSG_DATA(rights), &ends[1], sizeof(int));
    must(sendmsg(to, &header, MSG_NOSIGNAL) == (ssize_t)part.iov_len);
    close(ends[1]);
    return ends[0];
}

/* A packet: of numbers that agree, or not, and some bytes. */
static void send_packet(int to, struct input *input)
{
    size_t size = input_number(input, 1) % LARGE_ONCE == 0 ? FRAME + input_number(input, 1) % 2
                                                           : input_number(input, 1);
    uint32_t numbers[2] = { (uint32_t)size, 0 };

    if (input_number(input, 1) % 4 == 0)
        numbers[0] = (uint32_t)input_number(input, 4);
    if (input_number(input, 1) % 4 == 0)
        numbers[1] = (uint32_t)input_number(input, 4);
    memcpy(bytes, numbers, sizeof numbers);
    if (input_number(input, 1) == 0)
        size = input_number(input, 1) % sizeof numbers;
    else
        size = size + sizeof numbers < sizeof bytes ? size + sizeof numbers : sizeof bytes;
    if (send(to, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        must(errno == EAGAIN || errno == EPIPE);
}

static void step(gnl_port *port, int to, int credit, struct input *input)
{
    static char data[1 << 21];
    gnl_message message;
    uint64_t word = 0;

    switch (input_number(input, 1) % 6) {
    case 0:
    case 1:
        send_packet(to, input);
        break;
    case 2:
        word = input_number(input, 4);
        send(credit, &word, input_number(input, 1) % 9, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 3:
        call_begins("gnl_recv", 0);
        call_ended(gnl_recv(port, data, sizeof data, GNL_NOWAIT));
        break;
    case 4:
        call_begins("gnl_take", 0);
        int result = gnl_take(port, &message, GNL_NOWAIT);
        call_ended(result);
        if (result == 0)
            must(message.size <= sizeof data &&
                 (input_number(input, 1) % 2 ? gnl_done(&message) : gnl_giveback(&message)) == 0);
        break;
    default:
        call_begins("gnl_send", 0);
        call_ended(gnl_send(port, data, input_number(input, 2), GNL_NOWAIT));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .data = data, .size = size };
    struct gnl_options options = { .message_max = input_number(&input, 2) * 32,
                                   .capacity = (int64_t)(input_number(&input, 1) % 4) };
    gnl_listener *listener;
    gnl_port *port;

    room();
    must(gnl_listen(&listener, PIPE, &options) == 0);
    int to = connect_raw(), credit = introduce(to, &input);
    call_begins("gnl_accept", 0);
    int result = gnl_accept(listener, &port, GNL_NOWAIT);
    call_ended(result);
    if (result == 0) {
        for (unsigned i = 0; i < STEPS_MAX && !input_ended(&input); i++)
            step(port, to, credit, &input);
        must(gnl_close(port) == 0);
    }
    close(to);
    close(credit);
    must(gnl_listener_close(listener) == 0);
    return 0;
}
