/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: an honest member of a mailbox and a hostile one. The input is what the mailbox is like, and
 * then a program: calls of the honest member, and what the hostile one does between them and during
 * them (attack.h). Whatever it does, each call returns within its timeout, with success or an error of
 * the manual, and touches nothing outside the mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/ginnel.h>

#include "fuzz/attack.h"
#include "fuzz/room.h"

#define ADDRESS   "mailbox:m"
#define DEAD      "mailbox:d"
#define PORTS     3
#define HELD      8
#define STEPS_MAX 96
#define BUFFER    ((size_t)3 << 20)

static gnl_port *ports[PORTS];
static gnl_message held[HELD], loans[HELD];
static struct gnl_options like;
static uint64_t message_max;
static char *buffer;

static const size_t sizes[] = { 0, 1, 8, 96, 97, 256, 257, 5000, 8193, 70000, 1 << 20 };

static size_t some_size(struct input *input)
{
    size_t size = sizes[input_number(input, 1) % (sizeof sizes / sizeof sizes[0])];

    return size > message_max && input_number(input, 1) % 8 ? message_max : size;
}

/* Mostly none: an input is to be over soon. */
static int64_t some_timeout(struct input *input)
{
    uint64_t kind = input_number(input, 1);

    return kind < 224 ? GNL_NOWAIT : gnl_us((int64_t)(1 + kind % 8 * 300));
}

static bool is_open(const gnl_message *message)
{
    return message->port_ != NULL;
}

/* Every byte of it can be read, and there are no more than the mailbox allows. */
static void read_all(const gnl_message *message)
{
    must(message->size <= message_max);
    if (message->size > 0)
        memcpy(buffer, message->data, message->size);
}

static void open_one(unsigned which, struct input *input)
{
    struct gnl_options options = like;

    if (input_number(input, 1) % 4 == 0)
        options.create = GNL_OPEN_ONLY;
    if (options.side != GNL_ONE_WAY)
        options.side = which % 2 ? GNL_SIDE_A : GNL_SIDE_B;
    call_begins("gnl_open", 0);
    int result = gnl_open(&ports[which], ADDRESS, &options);
    call_ended(result);
    if (result < 0)
        ports[which] = NULL;
}

static void close_one(unsigned which)
{
    for (unsigned i = 0; i < HELD; i++) {
        if (held[i].port_ == ports[which])
            held[i].port_ = NULL;
        if (loans[i].port_ == ports[which])
            loans[i].port_ = NULL;
    }
    call_begins("gnl_close", 0);
    call_ended(gnl_close(ports[which]));
    ports[which] = NULL;
}

static void send_one(gnl_port *port, struct input *input)
{
    size_t size = some_size(input);
    int64_t timeout = some_timeout(input);

    call_begins("gnl_send", timeout);
    call_ended(gnl_send(port, buffer, size, timeout));
}

static void send_some(gnl_port *port, struct input *input)
{
    struct iovec messages[5];
    int64_t timeout = some_timeout(input);

    for (unsigned i = 0; i < 5; i++)
        messages[i] = (struct iovec){ .iov_base = buffer, .iov_len = some_size(input) };
    call_begins("gnl_send_many", timeout);
    ssize_t result = gnl_send_many(port, messages, 5, timeout);
    call_ended(result);
    must(result <= 5 && result != 0);
}

static void receive_one(gnl_port *port, struct input *input)
{
    size_t size = input_number(input, 1) % 2 ? message_max + 1 : some_size(input);
    int64_t timeout = some_timeout(input);
    char *exactly = malloc(size > 0 ? size : 1);

    call_begins("gnl_recv", timeout);
    ssize_t result = gnl_recv(port, exactly, size, timeout);
    call_ended(result);
    must(result <= (ssize_t)size && result <= (ssize_t)message_max);
    free(exactly);
}

static void take_one(gnl_port *port, struct input *input)
{
    unsigned which = input_number(input, 1) % HELD;
    int64_t timeout = some_timeout(input);

    if (is_open(&held[which]))
        return;
    call_begins("gnl_take", timeout);
    int result = gnl_take(port, &held[which], timeout);
    call_ended(result);
    if (result == 0)
        read_all(&held[which]);
    else
        held[which].port_ = NULL;
}

static void take_some(gnl_port *port, struct input *input)
{
    gnl_message messages[5];
    int64_t timeout = some_timeout(input);

    call_begins("gnl_take_many", timeout);
    ssize_t count = gnl_take_many(port, messages, 5, timeout);
    call_ended(count);
    must(count <= 5 && count != 0);
    for (ssize_t i = 0; i < count; i++) {
        read_all(&messages[i]);
        call_begins("gnl_giveback, gnl_done", 0);
        call_ended(input_number(input, 1) % 4 == 0 ? gnl_giveback(&messages[i]) : gnl_done(&messages[i]));
    }
}

static void end_one(struct input *input)
{
    gnl_message *message = &held[input_number(input, 1) % HELD];

    if (!is_open(message))
        return;
    call_begins("gnl_giveback, gnl_done", 0);
    call_ended(input_number(input, 1) % 2 ? gnl_giveback(message) : gnl_done(message));
    message->port_ = NULL;
}

static void loan_one(gnl_port *port, struct input *input)
{
    gnl_message *loan = &loans[input_number(input, 1) % HELD];

    if (is_open(loan))
        return;
    call_begins("gnl_loan", 0);
    int result = gnl_loan(port, loan, some_size(input), GNL_NOWAIT);
    call_ended(result);
    if (result < 0)
        loan->port_ = NULL;
    else
        memset(loan->data, 'x', loan->size);
}

static void post_one(struct input *input)
{
    gnl_message *loan = &loans[input_number(input, 1) % HELD];
    int64_t timeout = some_timeout(input);

    if (!is_open(loan))
        return;
    if (input_number(input, 1) % 4 == 0) {
        call_begins("gnl_done of a loan", 0);
        call_ended(gnl_done(loan));
        loan->port_ = NULL;
        return;
    }
    call_begins("gnl_post", timeout);
    int result = gnl_post(loan->port_, loan, timeout);
    call_ended(result);
}

static void ask(gnl_port *port)
{
    struct gnl_port_info info;

    call_begins("gnl_port_info", 0);
    call_ended(gnl_port_info(port, &info));
}

static void poll_it(gnl_port *port)
{
    call_begins("gnl_port_fd", 0);
    call_ended(gnl_port_fd(port));
}

static void look(void)
{
    struct gnl_port_info info;
    static struct gnl_participant participants[16];

    call_begins("gnl_inspect", 0);
    call_ended(gnl_inspect(ADDRESS, &info, participants, 16));
}

static void step(struct input *input)
{
    uint64_t what = input_number(input, 1) % 32;
    unsigned which = input_number(input, 1) % PORTS;
    gnl_port *port = ports[which];

    if (what >= 24) {
        if (what < 31)
            attack_write(input);
        else
            attack_resize(input);
        return;
    }
    if (!port && what < 18) {
        attack_arm(input);
        open_one(which, input);
        attack_disarm();
        return;
    }
    attack_arm(input);
    if (what < 5)
        send_one(port, input);
    else if (what < 6)
        send_some(port, input);
    else if (what < 9)
        receive_one(port, input);
    else if (what < 12)
        take_one(port, input);
    else if (what < 13)
        take_some(port, input);
    else if (what < 16)
        loan_one(port, input);
    else if (what < 17)
        ask(port);
    else if (what < 18 && input_number(input, 1) % 8 == 0)
        poll_it(port);
    else if (what < 20)
        end_one(input);
    else if (what < 22)
        post_one(input);
    else if (what < 23)
        look();
    else if (port)
        close_one(which);
    attack_disarm();
}

static void choose(struct input *input)
{
    static const int64_t capacities[] = { 1, 2, 5, 64, 70, 1024, GNL_RENDEZVOUS, GNL_UNBOUNDED };
    static const size_t maxima[] = { 50, 96, 300, 9000, 100000, 1 << 20 };
    uint64_t choice = input_number(input, 2);

    like = (struct gnl_options){ .capacity = capacities[choice % 8],
                                 .message_max = maxima[choice / 8 % 6],
                                 .side = choice / 64 % 4 == 0 ? GNL_SIDE_A : GNL_ONE_WAY,
                                 .max_deliveries = choice / 256 % 4 == 0 ? 2 : 0 };
    if (like.max_deliveries > 0 && choice / 1024 % 2)
        like.dead_letters = DEAD;
    message_max = like.message_max;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .data = data, .size = size };
    gnl_port *maker;

    if (!buffer)
        buffer = calloc(1, BUFFER);
    room();
    choose(&input);
    must(gnl_open(&maker, ADDRESS, &like) == 0);
    attack_begin("mailbox:m");
    ports[0] = maker;
    for (unsigned i = 0; i < STEPS_MAX && !input_ended(&input); i++)
        step(&input);
    for (unsigned i = 0; i < PORTS; i++)
        if (ports[i])
            close_one(i);
    call_begins("gnl_remove", 0);
    call_ended(gnl_remove(ADDRESS));
    attack_end();
    room_remove("mailbox:m");
    room_remove("mailbox:d");
    return 0;
}
