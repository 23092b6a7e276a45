/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/parts.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIPS  64   /* a sample */
#define LOOKS  1024 /* at a line, before asking whether to stop */
#define CALLS  256
#define COPIES 8

/* memcpy, which the compiler can't leave out. */
static void copy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    __asm__ volatile("" ::"r"(to) : "memory");
}

/* ---- a cache line ---- */

/* Waits until the line has that value. False: told to stop. No pause instruction: this is the limit. */
static bool await_line(struct crew_member *member, uint64_t value)
{
    while (!crew_stopped(member))
        for (unsigned i = 0; i < LOOKS; i++)
            if (atomic_load_explicit(&member->area->line, memory_order_acquire) == value)
                return true;
    return false;
}

static int64_t line_there(struct crew_member *member)
{
    int64_t start = crew_now_ns();

    for (unsigned i = 0; i < TRIPS; i++) {
        atomic_store_explicit(&member->area->line, ++member->turn, memory_order_release);
        if (!await_line(member, ++member->turn))
            return 0;
    }
    crew_sample(member, (double)(crew_now_ns() - start) / TRIPS / 2);
    return TRIPS;
}

static int64_t line_back(struct crew_member *member)
{
    for (unsigned i = 0; i < TRIPS; i++) {
        if (!await_line(member, ++member->turn))
            return 0;
        atomic_store_explicit(&member->area->line, ++member->turn, memory_order_release);
    }
    return TRIPS;
}

const struct crew_part limit_line[2] = {
    { .step = line_there, .place = 0, .sampling = SAMPLE_OWN, .counts = true },
    { .step = line_back, .place = 1 },
};

/* ---- a queue that does nothing else ---- */

/* A message of 64 bytes and a word that says that it is there: two lines, as in any queue. */
struct bare_slot {
    _Alignas(128) _Atomic uint64_t turn;
    char message[64];
};

#define BARE_SLOTS 1024 /* of each of two rings */
_Static_assert(2 * BARE_SLOTS * sizeof(struct bare_slot) <= CREW_RING_BYTES, "they fit");

static struct bare_slot *bare_slot(struct crew_member *member, unsigned ring, uint64_t turn)
{
    struct bare_slot *slots = (struct bare_slot *)(void *)member->area->ring;

    return &slots[ring * BARE_SLOTS + turn % BARE_SLOTS];
}

static void bare_send(struct crew_member *member, unsigned ring, uint64_t turn)
{
    struct bare_slot *slot = bare_slot(member, ring, turn);

    memcpy(slot->message, member->buffer, sizeof slot->message);
    atomic_store_explicit(&slot->turn, turn, memory_order_release);
}

/* False: told to stop. */
static bool bare_receive(struct crew_member *member, unsigned ring, uint64_t turn)
{
    struct bare_slot *slot = bare_slot(member, ring, turn);

    while (!crew_stopped(member))
        for (unsigned i = 0; i < LOOKS; i++)
            if (atomic_load_explicit(&slot->turn, memory_order_acquire) == turn) {
                copy(member->buffer, slot->message, sizeof slot->message);
                return true;
            }
    return false;
}

/* What an earlier round left would look like a message. Nobody steps before both have begun. */
static int bare_begin(struct crew_member *member)
{
    memset(member->area->ring, 0, 2 * BARE_SLOTS * sizeof(struct bare_slot));
    return 0;
}

static int64_t bare_there(struct crew_member *member)
{
    int64_t start = crew_now_ns();

    for (unsigned i = 0; i < TRIPS; i++) {
        bare_send(member, 0, ++member->turn);
        if (!bare_receive(member, 1, member->turn))
            return 0;
    }
    crew_sample(member, (double)(crew_now_ns() - start) / TRIPS / 2);
    return TRIPS;
}

static int64_t bare_back(struct crew_member *member)
{
    for (unsigned i = 0; i < TRIPS; i++) {
        if (!bare_receive(member, 0, ++member->turn))
            return 0;
        bare_send(member, 1, member->turn);
    }
    return TRIPS;
}

const struct crew_part limit_bare[2] = {
    { .begin = bare_begin, .step = bare_there, .place = 0, .sampling = SAMPLE_OWN, .counts = true },
    { .begin = bare_begin, .step = bare_back, .place = 1 },
};

/* ---- waking a sleeper ---- */

static int64_t wake(struct crew_member *member)
{
    struct crew_area *area = member->area;

    if (!crew_await_sleep(member))
        return member->seat->failure[0] != '\0' ? -EIO : 0;
    atomic_store_explicit(&area->stamp_ns, crew_now_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&area->futex, 1, memory_order_seq_cst);
    syscall(SYS_futex, &area->futex, FUTEX_WAKE, 1);
    return 1;
}

static int64_t be_woken(struct crew_member *member)
{
    struct crew_area *area = member->area;
    uint32_t seen = atomic_load_explicit(&area->futex, memory_order_seq_cst);

    while (atomic_load_explicit(&area->futex, memory_order_seq_cst) == seen && !crew_stopped(member))
        syscall(SYS_futex, &area->futex, FUTEX_WAIT, seen, NULL);
    int64_t now = crew_now_ns();
    if (crew_stopped(member))
        return 0;
    crew_sample(member, (double)(now - atomic_load_explicit(&area->stamp_ns, memory_order_relaxed)));
    return 1;
}

const struct crew_part limit_wake[2] = {
    { .step = wake, .place = 0 },
    { .step = be_woken, .place = 1, .sampling = SAMPLE_OWN, .counts = true },
};

/* The same through an eventfd, which the members inherit. */
static int event = -1;

void limit_event_open(void)
{
    if (event < 0)
        event = eventfd(0, EFD_CLOEXEC);
}

static int64_t ring(struct crew_member *member)
{
    uint64_t one = 1;

    if (!crew_await_sleep(member))
        return member->seat->failure[0] != '\0' ? -EIO : 0;
    atomic_store_explicit(&member->area->stamp_ns, crew_now_ns(), memory_order_relaxed);
    return write(event, &one, sizeof one) == sizeof one ? 1 : crew_fail(member, "an eventfd", -errno);
}

static int64_t be_rung(struct crew_member *member)
{
    struct pollfd entry = { .fd = event, .events = POLLIN };
    uint64_t count;

    /* Told to stop, nobody rings any more: a limit that waits for nothing else would read at once. */
    if (poll(&entry, 1, CALL_TIMEOUT / 1000000) == 0)
        return 0;
    if (read(event, &count, sizeof count) != sizeof count)
        return crew_fail(member, "an eventfd", -errno);
    crew_sample(member, (double)(crew_now_ns() -
                                 atomic_load_explicit(&member->area->stamp_ns, memory_order_relaxed)));
    return 1;
}

const struct crew_part limit_event[2] = {
    { .step = ring, .place = 0 },
    { .step = be_rung, .place = 1, .sampling = SAMPLE_OWN, .counts = true },
};

/* ---- a system call ---- */

static int64_t call(struct crew_member *member)
{
    for (unsigned i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    return CALLS;
}

const struct crew_part limit_call[1] = {
    { .step = call, .place = 0, .sampling = SAMPLE_SLICES, .counts = true }
};

/* ---- copies ---- */

static char *next_place(struct crew_member *member, uint64_t *index)
{
    *index = member->turn++ % (uint64_t)member->task->capacity;
    return member->area->ring + *index * member->task->size;
}

static int64_t copy_out(struct crew_member *member)
{
    uint64_t index;

    for (unsigned i = 0; i < COPIES; i++)
        copy(next_place(member, &index), member->buffer, member->task->size);
    return COPIES;
}

const struct crew_part limit_copy[1] = {
    { .step = copy_out, .place = 0, .sampling = SAMPLE_SLICES, .counts = true }
};

static bool await_flag(struct crew_member *member, uint64_t index, uint32_t value)
{
    while (!crew_stopped(member))
        for (unsigned i = 0; i < LOOKS; i++)
            if (atomic_load_explicit(&member->area->flags[index].full, memory_order_acquire) == value)
                return true;
    return false;
}

static int64_t relay_there(struct crew_member *member)
{
    uint64_t index;
    char *place = next_place(member, &index);

    if (!await_flag(member, index, 0))
        return 0;
    copy(place, member->buffer, member->task->size);
    atomic_store_explicit(&member->area->flags[index].full, 1, memory_order_release);
    return 1;
}

static int64_t relay_out(struct crew_member *member)
{
    uint64_t index;
    const char *place = next_place(member, &index);

    if (!await_flag(member, index, 1))
        return 0;
    copy(member->buffer, place, member->task->size);
    atomic_store_explicit(&member->area->flags[index].full, 0, memory_order_release);
    return 1;
}

const struct crew_part limit_relay[2] = {
    { .step = relay_there, .place = 0 },
    { .step = relay_out, .place = 1, .sampling = SAMPLE_SLICES, .counts = true },
};

/* To this process what the other writes is as on a direct link: to be read only. */
static int forgo_writing(struct crew_member *member)
{
    _Static_assert(CREW_RING_BYTES % 4096 == 0, "nothing else lies on these pages");
    return mprotect(member->area->ring, CREW_RING_BYTES, PROT_READ) == 0
               ? 0
               : (int)crew_fail(member, "mprotect", -errno);
}

const struct crew_part limit_relay_walled[2] = {
    { .step = relay_there, .place = 0 },
    { .begin = forgo_writing, .step = relay_out, .place = 1, .sampling = SAMPLE_SLICES, .counts = true },
};
