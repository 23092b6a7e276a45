/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: one side of a direct link is honest, the other hostile. The input is a program: calls of
 * the honest one, and what the hostile one does between them and during them (moments.h): words in its
 * memory, hellos, packets, bells, ends. Whatever it does, each call returns within its timeout, with
 * success or an error of the manual, touches nothing outside the memory, and leaves no descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "fuzz/guard.h"
#include "fuzz/moments.h"
#include "fuzz/room.h"
#include "link/meet.h"
#include "link/side.h"
#include "ring/frames.h"

#define MEMORY      ((uint64_t)512 << 10)
#define FIRST       GNLI_SIDE_FIRST
#define WRITTEN     (FIRST + 3 * GNLI_BLOCK_BYTES) /* behind it are holes */
#define SEALS       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define MESSAGE_MAX ((size_t)20000)
#define BUFFER      ((size_t)1 << 20)
#define HELD        4
#define SOCKETS     8
#define STEPS_MAX   96

static gnl_identity *honest, *hostile; /* the hostile one only has its name */
static gnl_port *port;
static gnl_message held[HELD], loans[HELD];
static char *buffer;

static char *memory; /* the hostile one's, which it writes */
static int memory_file, bell[2], token[2];
static int sockets[SOCKETS];
static unsigned sockets_count;
static int64_t capacity;

/* ---- the hostile one's memory ---- */

static uint64_t some_number(struct input *input)
{
    static const struct input_end ends[INPUT_ENDS] = { { GNLI_FRAME_BYTES - 2, 1 },
                                                       { GNLI_SIDE_RETURNS - 2, 1 },
                                                       { MEMORY - 192, 64 } };

    return input_some_number(input, ends);
}

static uint64_t block_offset(struct input *input)
{
    return FIRST + input_number(input, 1) % 4 * GNLI_BLOCK_BYTES;
}

static uint64_t some_value(struct input *input)
{
    switch (input_number(input, 1) % 6) {
    case 0:
    case 1: /* a frame */
        return gnli_frame_word(input_number(input, 1) % 8, 0) | some_number(input);
    case 2: /* that leads to a block, or to somewhere near one */
        return gnli_frame_word(GNLI_FRAME_NEXT, block_offset(input) / 64 + input_number(input, 1) % 64 / 62);
    case 3: /* the place of a chunk */
        return FIRST + some_number(input) * 4096;
    default:
        return some_number(input);
    }
}

static uint64_t some_offset(struct input *input)
{
    switch (input_number(input, 1) % 8) {
    case 0: { /* what it tells */
        static const uint16_t words[] = { 0, 8, 64, 72, 128, 136, 192, 200, 256 };
        return words[input_number(input, 1) % 9];
    }
    case 1:
        return 4096 + some_number(input) % GNLI_SIDE_RETURNS * 4 / 8 * 8;
    case 2: /* the end of a block */
        return block_offset(input) + GNLI_BLOCK_BYTES - 8 * (1 + input_number(input, 1) % 4);
    default: /* its beginning, where small frames are */
        return block_offset(input) + input_number(input, 1) % 32 * 8;
    }
}

static void put(uint64_t offset, uint64_t value)
{
    if (offset + 8 <= WRITTEN)
        *(volatile uint64_t *)(void *)(memory + offset) = value;
}

static void *attackable(const void *address)
{
    size_t offset;

    return guard_read_only(address, &offset) && offset + 8 <= WRITTEN ? memory + offset : NULL;
}

static const struct moments_target target = {
    .some_number = some_number,
    .some_offset = some_offset,
    .some_value = some_value,
    .put = put,
    .attackable = attackable,
};

static void make_hostile(void)
{
    struct gnli_side *side;

    memory_file = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(memory_file >= 0 && ftruncate(memory_file, (off_t)MEMORY) == 0);
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
    must(memory != MAP_FAILED);
    memset(memory, 0, WRITTEN);
    side = (struct gnli_side *)(void *)memory;
    side->magic = GNLI_SIDE_MAGIC;
    side->version = GNLI_SIDE_VERSION;
    must(fcntl(memory_file, F_ADD_SEALS, SEALS) == 0);
    must(pipe2(bell, O_NONBLOCK | O_CLOEXEC) == 0 && pipe2(token, O_NONBLOCK | O_CLOEXEC) == 0);
    sockets_count = 0;
}

static void end_hostile(void)
{
    for (unsigned i = 0; i < sockets_count; i++)
        close(sockets[i]);
    for (unsigned i = 0; i < 2; i++) {
        close(bell[i]);
        close(token[i]);
    }
    munmap(memory, MEMORY);
    close(memory_file);
}

/* ---- what it says ---- */

static void say(int socket, const void *data, size_t size, unsigned count)
{
    int descriptors[5] = { memory_file, bell[0], token[0], memory_file, bell[0] };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptors)] = { 0 };
    struct iovec vector = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    struct msghdr packet = { .msg_iov = &vector, .msg_iovlen = 1 };

    if (count > 0) {
        struct cmsghdr *header = (struct cmsghdr *)(void *)control;
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
        packet.msg_control = control;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void call_it(struct input *input)
{
    struct gnli_hello hello = { .magic = GNLI_HELLO_MAGIC,
                                .version = GNLI_HELLO_VERSION,
                                .name = "hostile",
                                .size = MEMORY,
                                .block = FIRST,
                                .capacity = capacity,
                                .message_max = MESSAGE_MAX };
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    uint64_t lie = input_number(input, 1);

    if (sockets_count == SOCKETS)
        return;
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(path.sun_path, sizeof path.sun_path, "%.80s/direct:honest", room());
    must(made >= 0 && connect(made, (struct sockaddr *)&path, sizeof path) == 0);
    sockets[sockets_count++] = made;
    if (lie >= 240) { /* somewhere in it, after all that comes before the numbers */
        uint64_t at = input_number(input, 1) % (sizeof hello / 8) * 8, value = some_number(input);
        memcpy((char *)&hello + at, &value, sizeof value);
    }
    unsigned count = capacity == GNL_RENDEZVOUS ? 3 : 2;
    if (lie % 32 == 1)
        count = input_number(input, 1) % 6;
    say(made, &hello, lie % 32 == 2 ? input_number(input, 1) % sizeof hello : sizeof hello, count);
}

static void act(struct input *input)
{
    char bytes[64] = { 0 };
    ssize_t ignored = 0;

    switch (input_number(input, 1) % 16) {
    case 0:
        call_it(input);
        break;
    case 1:
        if (sockets_count > 0) {
            uint64_t number = some_number(input);
            say(sockets[sockets_count - 1], &number, sizeof number, input_number(input, 1) % 6);
        }
        break;
    case 2:
        if (sockets_count > 0 && input_number(input, 1) % 2)
            close(sockets[--sockets_count]);
        else if (sockets_count > 0)
            shutdown(sockets[sockets_count - 1], (int)(input_number(input, 1) % 3));
        break;
    case 3:
        ignored = write(bell[1], bytes, 1 + input_number(input, 1) % sizeof bytes);
        break;
    case 4:
    case 5:
        ignored = write(token[1], bytes, 1 + input_number(input, 1) % 3);
        break;
    default:
        put(some_offset(input), some_value(input));
    }
    (void)ignored;
}

/* ---- the honest one ---- */

static const size_t sizes[] = { 0, 1, 8, 100, 4096, 4097, 9000, MESSAGE_MAX };

static size_t some_size(struct input *input)
{
    return sizes[input_number(input, 1) % (sizeof sizes / sizeof sizes[0])];
}

static int64_t some_timeout(struct input *input)
{
    uint64_t kind = input_number(input, 1);

    return kind < 240 ? GNL_NOWAIT : gnl_us((int64_t)(1 + kind % 8 * 100));
}

static void receive_one(struct input *input)
{
    size_t size = input_number(input, 1) % 4 ? MESSAGE_MAX : some_size(input);
    int64_t timeout = some_timeout(input);
    char *exactly = malloc(size > 0 ? size : 1);
    struct gnl_sender sender;

    call_begins("gnl_recv_from", timeout);
    bool by_name = input_number(input, 1) % 2;
    ssize_t result = gnl_recv_from(honest, by_name ? "hostile" : NULL, exactly, size, &sender, timeout);
    if (result == -ENOMSG && by_name)
        result = -EAGAIN;
    call_ended(result);
    must(result <= (ssize_t)size);
    must(by_name || (result != -EPIPE && result != -EBADMSG));
    free(exactly);
}

static void take_one(struct input *input)
{
    gnl_message *message = &held[input_number(input, 1) % HELD];
    int64_t timeout = some_timeout(input);

    if (message->port_)
        return;
    call_begins("gnl_take", timeout);
    int result = gnl_take(port, message, timeout);
    call_ended(result == -ENOMSG ? -EAGAIN : result);
    if (result < 0) {
        message->port_ = NULL;
        return;
    }
    must(message->size <= BUFFER);
    memcpy(buffer, message->data, message->size); /* all of it can be read */
}

static void end_one(struct input *input)
{
    gnl_message *message = &held[input_number(input, 1) % HELD];

    if (!message->port_)
        return;
    call_begins("gnl_giveback, gnl_done", 0);
    call_ended(input_number(input, 1) % 2 ? gnl_giveback(message) : gnl_done(message));
    message->port_ = NULL;
}

static void send_one(struct input *input)
{
    size_t size = some_size(input);
    int64_t timeout = some_timeout(input);

    call_begins("gnl_send_to", timeout + gnl_ms(100)); /* an offer that nobody waits for takes that long */
    call_ended(gnl_send_to(honest, "hostile", buffer, size, timeout));
}

static void lend_one(struct input *input)
{
    gnl_message *loan = &loans[input_number(input, 1) % HELD];
    uint64_t what = input_number(input, 1);
    size_t size = some_size(input);

    call_begins("gnl_loan, gnl_post, gnl_done", gnl_ms(100));
    if (loan->port_ && what % 4 == 0) {
        call_ended(gnl_done(loan));
        loan->port_ = NULL;
    } else if (loan->port_) {
        call_ended(gnl_post(port, loan, GNL_NOWAIT));
    } else {
        int result = gnl_loan(port, loan, size, GNL_NOWAIT);
        call_ended(result);
        if (result == 0)
            memset(loan->data, 'x', loan->size);
        else
            loan->port_ = NULL;
    }
}

static void open_it(void)
{
    struct gnl_options options = { .identity = honest, .capacity = capacity, .message_max = MESSAGE_MAX };

    must(gnl_open(&port, "direct:hostile", &options) == 0);
    memset(held, 0, sizeof held);
    memset(loans, 0, sizeof loans);
}

static void use(struct input *input)
{
    struct gnl_port_info info;
    uint64_t what = input_number(input, 1) % 32;

    moments_arm(&target, input);
    if (what < 9)
        receive_one(input);
    else if (what < 14)
        take_one(input);
    else if (what < 18)
        end_one(input);
    else if (what < 24)
        send_one(input);
    else if (what < 28)
        lend_one(input);
    else if (what < 30) {
        call_begins("gnl_port_info", 0);
        call_ended(gnl_port_info(port, &info));
    } else if (what < 31) {
        call_begins("gnl_finish", gnl_ms(100));
        call_ended(gnl_finish(port));
    } else {
        call_begins("gnl_close", 0);
        call_ended(gnl_close(port));
        open_it();
    }
    moments_disarm();
}

/* ---- an input ---- */

static unsigned count_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    unsigned count = 0;

    must(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t capacities[] = { 1, 4, 64, GNL_RENDEZVOUS };
    static unsigned runs;
    struct input input = { .data = data, .size = size };

    if (!buffer)
        buffer = calloc(1, BUFFER);
    room();
    unsigned before = runs++ % 64 == 0 ? count_descriptors() : 0;
    capacity = capacities[input_number(&input, 1) % 4];
    must(gnl_identity_claim(&honest, "honest") == 0 && gnl_identity_claim(&hostile, "hostile") == 0);
    make_hostile();
    open_it();
    call_it(&input);
    for (unsigned i = 0; i < STEPS_MAX && !input_ended(&input); i++) {
        if (input_number(&input, 1) % 2)
            act(&input);
        else
            use(&input);
    }
    call_begins("gnl_identity_release", 0);
    call_ended(gnl_identity_release(honest));
    must(gnl_identity_release(hostile) == 0);
    end_hostile();
    must(before == 0 || count_descriptors() == before);
    return 0;
}
