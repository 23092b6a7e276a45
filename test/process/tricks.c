/* SPDX-License-Identifier: Apache-2.0 */
#include "tricks.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "links.h"

/* ---- refused ---- */

static void send_hello_with(struct raw *raw, const int *descriptors, unsigned count)
{
    int made = raw_connect("bob");

    raw_send(made, &raw->hello, sizeof raw->hello, descriptors, count);
}

static void nothing_said(struct raw *raw)
{
    (void)raw;
    for (unsigned i = 0; i < 300; i++)
        raw_connect("bob");
}

static void garbage(struct raw *raw)
{
    char bytes[4096];

    memset(bytes, 'x', sizeof bytes);
    raw_send(raw_connect("bob"), bytes, sizeof bytes, NULL, 0);
    raw_send(raw_connect("bob"), bytes, sizeof bytes, raw->descriptors, 2);
    raw_send(raw_connect("bob"), bytes, sizeof raw->hello, raw->descriptors, 2);
    raw_send(raw_connect("bob"), &raw->hello, sizeof raw->hello - 1, raw->descriptors, 2);
    raw_send(raw_connect("bob"), &raw->hello, 0, raw->descriptors, 2);
    raw_send(raw_connect("bob"), &raw->hello, 0, NULL, 0);
    raw_send(raw_connect("bob"), &raw->hello, 1, NULL, 0);
}

static void descriptors_missing_or_too_many(struct raw *raw)
{
    int many[253];

    for (unsigned i = 0; i < 253; i++)
        many[i] = raw->descriptors[i % 3];
    for (unsigned count = 0; count < 12; count++)
        if (count != 2)
            send_hello_with(raw, many, count);
    send_hello_with(raw, many, 253);
    raw->hello.capacity = GNL_RENDEZVOUS;
    send_hello_with(raw, raw->descriptors, 2);
    send_hello_with(raw, many, 4);
}

static void wrong_numbers(struct raw *raw)
{
    struct raw good = *raw;
    const struct {
        size_t at;
        uint64_t value;
    } lies[] = {
        { offsetof(struct gnli_hello, magic), 0 },
        { offsetof(struct gnli_hello, version), 2 },
        { offsetof(struct gnli_hello, size), 0 },
        { offsetof(struct gnli_hello, size), 4096 },
        { offsetof(struct gnli_hello, size), RAW_BYTES - 1 },
        { offsetof(struct gnli_hello, size), RAW_BYTES / 2 },
        { offsetof(struct gnli_hello, size), 2 * RAW_BYTES },
        { offsetof(struct gnli_hello, size), UINT64_MAX },
        { offsetof(struct gnli_hello, size), UINT64_C(1) << 62 },
        { offsetof(struct gnli_hello, block), 0 },
        { offsetof(struct gnli_hello, block), 64 },
        { offsetof(struct gnli_hello, block), RAW_BLOCK + 8 },
        { offsetof(struct gnli_hello, block), RAW_BYTES },
        { offsetof(struct gnli_hello, block), RAW_BYTES - 64 },
        { offsetof(struct gnli_hello, block), UINT64_MAX - 63 },
        { offsetof(struct gnli_hello, block), RAW_BYTES / 2 }, /* a hole */
        { offsetof(struct gnli_hello, capacity), 0 },
        { offsetof(struct gnli_hello, capacity), (uint64_t)-3 },
        { offsetof(struct gnli_hello, capacity), UINT64_C(1) << 62 },
        { offsetof(struct gnli_hello, message_max), UINT64_MAX },
    };

    for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        *raw = good;
        memcpy((char *)&raw->hello + lies[i].at, &lies[i].value,
               lies[i].at == offsetof(struct gnli_hello, version) ? 4 : 8);
        send_hello_with(raw, raw->descriptors, 2);
    }
}

static void wrong_names(struct raw *raw)
{
    const char *const names[] = { "alice", "bob", "", "../alice", ".x", "a b", "nobody" };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        memset(raw->hello.name, 0, sizeof raw->hello.name);
        snprintf(raw->hello.name, sizeof raw->hello.name, "%s", names[i]);
        send_hello_with(raw, raw->descriptors, 2);
    }
    memset(raw->hello.name, 'a', sizeof raw->hello.name);
    send_hello_with(raw, raw->descriptors, 2);
}

static void memory_that_is_none(struct raw *raw)
{
    struct gnli_side *side;
    int memories[12], count = 0;

    memories[count++] = raw_memory(RAW_BYTES, 0, &side);
    memories[count++] = raw_memory(RAW_BYTES, F_SEAL_SHRINK | F_SEAL_GROW, &side);
    memories[count++] = raw_memory(RAW_BYTES, F_SEAL_GROW | F_SEAL_FUTURE_WRITE, &side);
    memories[count++] = raw_memory(RAW_BYTES, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE, &side);
    memories[count++] = raw_memory(RAW_BYTES / 4, RAW_SEALS, &side);
    memories[count++] = raw_memory(RAW_BYTES, RAW_SEALS, &side);
    side->magic = 1;
    memories[count] = memfd_create("holes", MFD_ALLOW_SEALING);
    require(ftruncate(memories[count], RAW_BYTES) == 0);
    require(fcntl(memories[count++], F_ADD_SEALS, RAW_SEALS) == 0);
    memories[count] = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    require(ftruncate(memories[count++], RAW_BYTES) == 0);
    memories[count++] = open("/dev/zero", O_RDWR);
    memories[count++] = open("/", O_RDONLY);
    memories[count] = memfd_create("huge", MFD_ALLOW_SEALING | MFD_HUGETLB);
    if (memories[count] >= 0) {
        require(ftruncate(memories[count], 2 << 20) == 0);
        require(fcntl(memories[count++], F_ADD_SEALS, RAW_SEALS) == 0);
    }
    for (int i = 0; i < count; i++) {
        raw->descriptors[0] = memories[i];
        raw->hello.size = i == 10 ? 2 << 20 : RAW_BYTES;
        send_hello_with(raw, raw->descriptors, 2);
    }
}

static void bells_that_are_none(struct raw *raw)
{
    const char *fifo = path_in_directory("fifo");
    int bells[8], count = 0, pair[2];

    require(mkfifo(fifo, 0600) == 0);
    bells[count++] = open(fifo, O_RDWR);
    unlink(fifo);
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    bells[count++] = pair[0];
    bells[count++] = eventfd(0, 0);
    bells[count++] = open("/dev/null", O_RDWR);
    bells[count++] = open("/", O_RDONLY);
    bells[count++] = raw->descriptors[0];
    for (int i = 0; i < count; i++) {
        raw->descriptors[1] = bells[i];
        send_hello_with(raw, raw->descriptors, 2);
    }
}

/* ---- accepted, then nonsense ---- */

static uint64_t frame(enum gnli_frame kind, uint64_t size)
{
    return gnli_frame_word(kind, size);
}

static void say_word(struct raw *raw, uint64_t word)
{
    raw_word(raw, RAW_BLOCK, word);
    raw_call(raw, "bob");
}

static void unknown_kind(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_KINDS, 8));
}

static void frame_too_large(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_MESSAGE, GNLI_FRAME_BYTES + 1));
}

static void frame_of_all_ones(struct raw *raw)
{
    say_word(raw, UINT64_MAX);
}

static void frame_of_size_beyond(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_MESSAGE, (UINT64_C(1) << 56) - 1));
}

static void next_is_itself(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_NEXT, RAW_BLOCK / 64));
}

static void next_is_outside(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_NEXT, (RAW_BYTES - 64) / 64));
}

static void next_is_far_outside(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_NEXT, (UINT64_C(1) << 56) - 1));
}

static void next_is_a_hole(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_NEXT, (RAW_BYTES / 2) / 64));
}

static void next_is_the_header(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_NEXT, 0));
}

static void say_far(struct raw *raw, uint64_t offset, uint64_t size, uint64_t frame_size)
{
    struct gnli_far far = { .offset = offset, .size = size };

    memcpy((char *)raw->side + RAW_BLOCK + 8, &far, sizeof far);
    say_word(raw, frame(GNLI_FRAME_CHUNK, frame_size));
}

static void chunk_outside(struct raw *raw)
{
    say_far(raw, RAW_BYTES - 4096, 8192, 16);
}

static void chunk_wraps(struct raw *raw)
{
    say_far(raw, UINT64_MAX - 4095, 8192, 16);
}

static void chunk_in_a_hole(struct raw *raw)
{
    say_far(raw, RAW_BYTES / 2, 8192, 16);
}

static void chunk_is_the_header(struct raw *raw)
{
    say_far(raw, 0, 8192, 16);
}

static void chunk_unaligned(struct raw *raw)
{
    say_far(raw, RAW_BLOCK + 8, 8192, 16);
}

static void chunk_too_large(struct raw *raw)
{
    say_far(raw, RAW_BLOCK, (1 << 20) + 1, 16);
}

static void chunk_of_a_short_frame(struct raw *raw)
{
    say_far(raw, RAW_BLOCK, 8192, 8);
}

/* ---- accepted, and worse: any end of her link will do ---- */

static void cycle_of_blocks(struct raw *raw)
{
    uint64_t second = RAW_BLOCK + GNLI_BLOCK_BYTES;

    raw_word(raw, RAW_BLOCK, frame(GNLI_FRAME_MESSAGE, 8));
    raw_word(raw, RAW_BLOCK + 16, frame(GNLI_FRAME_NEXT, second / 64));
    raw_word(raw, second, frame(GNLI_FRAME_VOID, 8));
    raw_word(raw, second + 16, frame(GNLI_FRAME_NEXT, RAW_BLOCK / 64));
    raw_call(raw, "bob");
}

static void voids_without_end(struct raw *raw)
{
    raw_word(raw, RAW_BLOCK, frame(GNLI_FRAME_VOID, 8));
    raw_word(raw, RAW_BLOCK + 16, frame(GNLI_FRAME_NEXT, RAW_BLOCK / 64));
    raw_call(raw, "bob");
}

static void given_without_a_descriptor(struct raw *raw)
{
    say_word(raw, frame(GNLI_FRAME_GIVEN, 8));
}

static void counts_that_cannot_be(struct raw *raw)
{
    atomic_store(&raw->side->left.frames, 1000000);
    atomic_store(&raw->side->left.blocks, UINT64_MAX);
    raw_call(raw, "bob");
}

static void counts_that_go_backwards(struct raw *raw)
{
    raw_call(raw, "bob");
    for (uint64_t i = 0;; i++) {
        atomic_store(&raw->side->left.frames, i % 7);
        atomic_store(&raw->side->left.blocks, i % 3);
        if (i == 10000)
            return;
        sched_yield();
    }
}

static void returns_of_what_was_never_sent(struct raw *raw)
{
    for (unsigned i = 0; i < GNLI_SIDE_RETURNS; i++)
        atomic_store(&raw->side->returns[i], i * 7);
    atomic_store(&raw->side->returned, 100);
    raw_call(raw, "bob");
}

static void returns_beyond_the_ring(struct raw *raw)
{
    atomic_store(&raw->side->returned, UINT64_MAX);
    atomic_store(&raw->side->collected, UINT64_MAX);
    raw_call(raw, "bob");
}

static void flags_of_every_kind(struct raw *raw)
{
    atomic_store(&raw->side->asleep, UINT32_MAX);
    atomic_store(&raw->side->receiving, UINT32_MAX);
    raw->side->fences = 77;
    atomic_store(&raw->side->written, UINT64_MAX);
    raw_call(raw, "bob");
}

static void ended_from_the_start(struct raw *raw)
{
    atomic_store(&raw->side->ended, 1);
    raw_call(raw, "bob");
}

static void flood_of_descriptors(struct raw *raw)
{
    int many[253];

    for (unsigned i = 0; i < 253; i++)
        many[i] = raw->descriptors[i % 3];
    raw_call(raw, "bob");
    for (unsigned i = 0; i < 10000 && raw_send(raw->socket, "x", 1, many, 253) > 0; i++)
        ;
    raw_word(raw, RAW_BLOCK, frame(GNLI_FRAME_GIVEN, 8));
}

static void closes_at_once(struct raw *raw)
{
    for (unsigned i = 0; i < 50; i++) {
        raw_call(raw, "bob");
        close(raw->socket);
    }
}

static void shuts_down(struct raw *raw)
{
    raw_call(raw, "bob");
    shutdown(raw->socket, SHUT_RDWR);
}

static void shuts_down_one_way(struct raw *raw)
{
    raw_call(raw, "bob");
    shutdown(raw->socket, SHUT_WR);
}

static void closes_its_bell(struct raw *raw)
{
    raw_call(raw, "bob");
    close(raw->bell);
}

static void many_links_at_once(struct raw *raw)
{
    for (unsigned i = 0; i < 300; i++)
        raw_call(raw, "bob");
}

static void many_links_one_after_the_other(struct raw *raw)
{
    raw_word(raw, RAW_BLOCK, frame(GNLI_FRAME_MESSAGE, 8));
    for (unsigned i = 0; i < 300; i++) {
        raw_call(raw, "bob");
        close(raw->socket);
    }
}

static void tokens_of_no_offer(struct raw *raw)
{
    *raw = raw_new("mallory", GNL_RENDEZVOUS);
    for (unsigned i = 0; i < 1000; i++)
        require(write(raw->token, "xxxxxxxx", 8) == 8);
    raw_call(raw, "bob");
}

static void offer_without_a_token(struct raw *raw)
{
    *raw = raw_new("mallory", GNL_RENDEZVOUS);
    say_word(raw, frame(GNLI_FRAME_MESSAGE, 8));
}

static void bell_that_never_stops(struct raw *raw)
{
    char bytes[4096];

    memset(bytes, 0, sizeof bytes);
    raw_call(raw, "bob");
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            if (write(raw->bell, bytes, sizeof bytes) < 0)
                sched_yield();
    }
}

static void scribbling(struct raw *raw)
{
    raw_word(raw, RAW_BLOCK, frame(GNLI_FRAME_MESSAGE, 8));
    raw_call(raw, "bob");
    if (fork() == 0) {
        uint64_t state = 3;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            uint64_t offset = dice(&state, 600) * 8;
            uint64_t word =
                frame(dice(&state, 8), dice(&state, 3) ? dice(&state, 64) : dice(&state, 1 << 20));
            raw_word(raw, (dice(&state, 2) ? RAW_BLOCK : 64) + offset, word);
        }
    }
}

const struct trick tricks[] = {
#define TRICK(ends, name) \
    {                     \
#name, name, ends \
    }
    TRICK(REFUSED, nothing_said),
    TRICK(REFUSED, garbage),
    TRICK(REFUSED, descriptors_missing_or_too_many),
    TRICK(REFUSED, wrong_numbers),
    TRICK(REFUSED, wrong_names),
    TRICK(REFUSED, memory_that_is_none),
    TRICK(REFUSED, bells_that_are_none),
    TRICK(BROKEN, unknown_kind),
    TRICK(BROKEN, frame_too_large),
    TRICK(BROKEN, frame_of_all_ones),
    TRICK(BROKEN, frame_of_size_beyond),
    TRICK(BROKEN, next_is_itself),
    TRICK(BROKEN, next_is_outside),
    TRICK(BROKEN, next_is_far_outside),
    TRICK(BROKEN, next_is_a_hole),
    TRICK(BROKEN, next_is_the_header),
    TRICK(BROKEN, chunk_outside),
    TRICK(BROKEN, chunk_wraps),
    TRICK(BROKEN, chunk_in_a_hole),
    TRICK(BROKEN, chunk_is_the_header),
    TRICK(BROKEN, chunk_unaligned),
    TRICK(BROKEN, chunk_too_large),
    TRICK(BROKEN, chunk_of_a_short_frame),
    TRICK(ANYHOW, cycle_of_blocks),
    TRICK(ANYHOW, voids_without_end),
    TRICK(ANYHOW, given_without_a_descriptor),
    TRICK(ANYHOW, counts_that_cannot_be),
    TRICK(ANYHOW, counts_that_go_backwards),
    TRICK(ANYHOW, returns_of_what_was_never_sent),
    TRICK(ANYHOW, returns_beyond_the_ring),
    TRICK(ANYHOW, flags_of_every_kind),
    TRICK(ANYHOW, ended_from_the_start),
    TRICK(ANYHOW, flood_of_descriptors),
    TRICK(ANYHOW, closes_at_once),
    TRICK(ANYHOW, shuts_down),
    TRICK(ANYHOW, shuts_down_one_way),
    TRICK(ANYHOW, closes_its_bell),
    TRICK(ANYHOW, many_links_at_once),
    TRICK(ANYHOW, many_links_one_after_the_other),
    TRICK(ANYHOW, tokens_of_no_offer),
    TRICK(ANYHOW, offer_without_a_token),
    TRICK(ANYHOW, bell_that_never_stops),
    TRICK(ANYHOW, scribbling),
#undef TRICK
};
const int tricks_count = sizeof tricks / sizeof tricks[0];
