/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a file that somebody has put where a mailbox's name leads. The input is its size, its
 * header, and words at any place of it.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "fuzz/room.h"
#include "mailbox/layout.h"

#define ADDRESS   "mailbox:f"
#define SIZE_MAX_ ((uint64_t)1 << 45)

/* The first byte says how far the header is to be put right, else hardly any file would be a mailbox. */
enum { RIGHT_MAGIC = 1, RIGHT_NUMBERS = 2, RIGHT_SIZE = 4, RIGHT_STATE = 16 };

static void put_right(struct gnli_header *header, uint64_t how, struct input *input)
{
    static const int64_t capacities[] = { 1, 7, 1024, 1 << 24, GNL_RENDEZVOUS, GNL_UNBOUNDED };

    if (how & RIGHT_MAGIC) {
        header->magic = GNLI_MAILBOX_MAGIC;
        header->version = GNLI_MAILBOX_VERSION;
    }
    if (how & RIGHT_NUMBERS) {
        header->two_way &= 1;
        header->capacity = capacities[input_number(input, 1) % 6];
        header->message_max = (uint64_t)1 << (input_number(input, 1) % 32);
        header->arena = (uint64_t)1 << (30 + input_number(input, 1) % 10);
    }
}

/* What is counted, and the first queue: as at the beginning, or as the input has it. */
static void make_state(int file, const struct gnli_layout *layout, uint64_t how, struct input *input)
{
    struct gnli_state state = { 0 };

    if (how & RIGHT_STATE) {
        atomic_init(&state.participants, 25);
        atomic_init(&state.cells, gnli_layout_cells(layout));
        for (unsigned i = 0; i < 2; i++)
            atomic_init(&state.queues[i].reserved, layout->slots <= 2048 ? GNLI_ALL_RESERVED : 2048);
    } else {
        for (size_t i = 0; i < (offsetof(struct gnli_state, queues) + sizeof state.queues[0]) / 8; i++) {
            uint64_t word = input_number(input, 8);
            memcpy((char *)&state + i * 8, &word, 8);
        }
    }
    must(pwrite(file, &state, sizeof state, (off_t)layout->state_at) == (ssize_t)sizeof state);
}

static void make_file(struct input *input)
{
    struct gnli_header header = { 0 };
    struct gnli_layout layout = { 0 };
    uint64_t how = input_number(input, 1);
    uint64_t size = input_number(input, 6) % SIZE_MAX_;
    int file = room_open("mailbox:f", O_RDWR | O_CREAT | O_EXCL);

    must(file >= 0);
    for (size_t i = 0; i < offsetof(struct gnli_header, dead_letters) / 8 + 4; i++) {
        uint64_t word = how & 8 && i > 5 ? 0 : input_number(input, 8);
        memcpy((char *)&header + i * 8, &word, 8);
    }
    put_right(&header, how, input);
    bool valid = gnli_layout_compute(&layout, header.capacity, header.message_max, header.two_way == 1,
                                     header.arena) == 0;
    if (valid && how & RIGHT_SIZE)
        size = layout.size;
    must(ftruncate(file, (off_t)size) == 0);
    must(pwrite(file, &header, size < sizeof header ? size : sizeof header, 0) >= 0);
    if (valid && how & RIGHT_SIZE)
        make_state(file, &layout, how, input);
    while (!input_ended(input) && size >= 8) {
        uint64_t offset = input_number(input, 5) * 8 % (size - 7);
        uint64_t word = input_number(input, 8);
        must(pwrite(file, &word, sizeof word, (off_t)offset) == sizeof word);
    }
    close(file);
}

static void use(gnl_port *port)
{
    struct gnl_port_info info;
    gnl_message message;
    static char data[100000];

    call_begins("gnl_send", 0);
    call_ended(gnl_send(port, data, 8, GNL_NOWAIT));
    call_begins("gnl_send", 0);
    call_ended(gnl_send(port, data, 5000, GNL_NOWAIT));
    call_begins("gnl_port_info", 0);
    call_ended(gnl_port_info(port, &info));
    must(memchr(info.dead_letters, '\0', sizeof info.dead_letters));
    for (unsigned i = 0; i < 3; i++) {
        call_begins("gnl_take", gnl_us(200));
        int result = gnl_take(port, &message, gnl_us(200));
        call_ended(result);
        if (result == 0 && message.size > 0)
            must(((volatile char *)message.data)[0] == ((volatile char *)message.data)[0]);
        if (result == 0 && message.size > 0)
            (void)((volatile char *)message.data)[message.size - 1];
        call_begins("gnl_done", 0);
        if (result == 0)
            call_ended(gnl_done(&message));
    }
    call_begins("gnl_recv", 0);
    call_ended(gnl_recv(port, data, sizeof data, GNL_NOWAIT));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { .data = bytes, .size = size };
    struct gnl_participant participants[4];
    struct gnl_port_info info;
    gnl_port *port;

    room();
    make_file(&input);
    call_begins("gnl_inspect", 0);
    call_ended(gnl_inspect(ADDRESS, &info, participants, 4));
    for (enum gnl_side side = GNL_ONE_WAY; side <= GNL_SIDE_A; side++) {
        call_begins("gnl_open", 0);
        int result = gnl_open(&port, ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY, .side = side });
        call_ended(result);
        if (result < 0)
            continue;
        use(port);
        call_begins("gnl_close", 0);
        call_ended(gnl_close(port));
    }
    call_begins("gnl_remove", 0);
    call_ended(gnl_remove(ADDRESS));
    room_remove("mailbox:f");
    return 0;
}
