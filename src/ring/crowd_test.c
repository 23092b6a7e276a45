/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that send, receive and mend at once on small rings. Under TSan it shows wrong orderings: beside
 * the ring lie plain variables, whose every access the ring has to order (ring/slots.h: A, B, D). Without
 * TSan it shows what is lost, doubled or out of order.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ring/slots.h"

#define SLOTS_MAX     16
#define BLOCK         2 /* slots that get and lose their memory together */
#define SENDERS       3
#define RECEIVERS_MAX 2
#define MESSAGES      1500          /* of each sender */
#define MORTAL        (SENDERS + 1) /* the owner that dies again and again */
#define DEATHS        200
#define SECONDS       60

static struct gnli_queue queue;
static struct gnli_slot slots[SLOTS_MAX];
static struct gnli_slots ring;
static atomic_bool mortal_is_dead, senders_done;
static _Atomic uint64_t released; /* unbounded: positions before it were given back */
static pthread_mutex_t releasing = PTHREAD_MUTEX_INITIALIZER;
static int64_t deadline;
static unsigned receivers;

/* Plain: TSan complains if the ring does not order what is done with them. */
static uint32_t letters[SENDERS + 1][MESSAGES]; /* A: written before its message is published */
static uint32_t beside[SLOTS_MAX];              /* A and B: as a slot's body; with one receiver only */
static uint64_t given[SLOTS_MAX / BLOCK];       /* D: what was written when the block got its memory */

static bool in_time(void)
{
    return gnli_now_ns() < deadline;
}

static bool dead(void *context, unsigned owner)
{
    (void)context;
    return owner == MORTAL && atomic_load(&mortal_is_dead);
}

static void undo(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    (void)number;
    (void)index;
    (void)word;
}

static int finish(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    (void)number;
    (void)index;
    (void)word;
    return -EBADMSG; /* nobody takes here */
}

static int reserve(void *context, unsigned number, uint64_t position)
{
    (void)context;
    (void)number;
    uint64_t reserved = atomic_load(&queue.reserved);
    if (position < reserved)
        return 0;
    if (reserved + BLOCK - atomic_load(&released) > ring.count)
        return -ENOSPC;
    pthread_mutex_lock(&releasing);
    if (atomic_load_explicit(&queue.reserved, memory_order_relaxed) == reserved) {
        given[gnli_slots_index(&ring, reserved) / BLOCK] = reserved;
        atomic_store_explicit(&queue.reserved, reserved + BLOCK, memory_order_release);
    }
    pthread_mutex_unlock(&releasing);
    return 0;
}

static const struct gnli_slots_owner owner = {
    .dead = dead, .undo = undo, .finish = finish, .reserve = reserve
};

/* U4, with a lock in place of the word that says who is at it. */
static void release_slots(void)
{
    if (pthread_mutex_trylock(&releasing) != 0)
        return;
    uint64_t block = atomic_load(&released);
    while (atomic_load(&queue.head) >= block + BLOCK) {
        if (gnli_slots_raise_floor(&ring, block, block + BLOCK))
            for (unsigned i = 0; i < BLOCK; i++)
                atomic_store(&gnli_slots_at(&ring, block + i)->word, 0);
        block += BLOCK;
        atomic_store(&released, block);
    }
    pthread_mutex_unlock(&releasing);
}

/* A place for `me`; false: out of time. */
static bool claim(struct gnli_cursor *cursor, unsigned me, struct gnli_claim *claim)
{
    int result;

    while ((result = gnli_slots_claim(&ring, cursor, me, claim)) == -EAGAIN || result == -ENOSPC) {
        if (!in_time())
            return false;
        sched_yield();
    }
    ck_assert_int_eq(result, 0);
    return true;
}

static void *sender(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    struct gnli_cursor cursor;

    gnli_cursor_init(&cursor);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct gnli_claim place;
        if (!claim(&cursor, me, &place))
            return NULL;
        uint64_t index = gnli_slots_index(&ring, place.position);
        if (ring.unbounded)
            ck_assert_uint_eq(given[index / BLOCK], place.position / BLOCK * BLOCK);
        if (receivers == 1)
            beside[index] = me << 16 | i;
        letters[me][i] = me << 16 | i;
        atomic_store_explicit(&place.slot->body.size, me << 16 | i, memory_order_relaxed);
        ck_assert_int_eq(gnli_slots_publish(&ring, &cursor, &place), 0);
    }
    return NULL;
}

/* Claims and dies; whoever meets the claim mends it, at the latest the sweep. Then it lives again. */
static void *mortal(void *argument)
{
    struct gnli_cursor cursor;

    (void)argument;
    gnli_cursor_init(&cursor);
    for (unsigned i = 0; i < DEATHS && !atomic_load(&senders_done); i++) {
        struct gnli_claim place;
        if (!claim(&cursor, MORTAL, &place))
            return NULL;
        atomic_store(&mortal_is_dead, true);
        sched_yield();
        for (uint64_t p = 0; p < ring.count; p++)
            ck_assert_int_eq(gnli_slots_mend(&ring, p, MORTAL), 0);
        atomic_store(&mortal_is_dead, false);
    }
    return NULL;
}

static _Atomic uint32_t received;

static void *receiver(void *argument)
{
    uint32_t next[SENDERS + 1] = { 0 };
    struct gnli_cursor cursor;

    (void)argument;
    gnli_cursor_init(&cursor);
    while (atomic_load(&received) < SENDERS * MESSAGES && in_time()) {
        uint64_t position, word;
        int result = gnli_slots_find(&ring, &cursor, &position, &word);
        if (ring.unbounded)
            release_slots();
        if (result == -EAGAIN) {
            sched_yield();
            continue;
        }
        ck_assert_int_eq(result, 0);
        uint32_t value =
            atomic_load_explicit(&gnli_slots_at(&ring, position)->body.size, memory_order_relaxed);
        uint32_t also = receivers == 1 ? beside[gnli_slots_index(&ring, position)] : value;
        if (!gnli_slots_consume(&ring, gnli_slots_at(&ring, position), position, word))
            continue;
        gnli_slots_advance(&ring, &cursor, position);
        uint32_t from = value >> 16, number = value & 0xffff;
        ck_assert(from >= 1 && from <= SENDERS && number < MESSAGES);
        ck_assert_uint_eq(also, value);
        ck_assert_uint_eq(letters[from][number], value);
        letters[from][number] = 0; /* a second time would be seen */
        ck_assert_uint_ge(number, next[from]);
        next[from] = number + 1;
        atomic_fetch_add(&received, 1);
    }
    return NULL;
}

static const struct {
    uint64_t slots;
    bool unbounded;
    unsigned receivers;
} crowds[] = { { 2, false, 1 }, { 2, false, 2 }, { 16, false, 2 },
               { 4, true, 1 },  { 4, true, 2 },  { 16, true, 2 } };

/* By bits for laps: a power of two. */
static void make(uint64_t count, bool unbounded)
{
    unsigned shift = 0;

    while ((uint64_t)1 << shift < count)
        shift++;
    ring = (struct gnli_slots){ .queue = &queue,
                                .slots = slots,
                                .count = count,
                                .stride = sizeof(struct gnli_slot),
                                .shift = shift,
                                .mask = count - 1,
                                .unbounded = unbounded,
                                .owner = &owner };
    atomic_store(&queue.reserved, unbounded ? 0 : GNLI_ALL_RESERVED);
}

START_TEST(what_threads_send_is_received_once_and_in_order)
{
    pthread_t threads[SENDERS + RECEIVERS_MAX + 1];
    unsigned started = 0;

    make(crowds[_i].slots, crowds[_i].unbounded);
    receivers = crowds[_i].receivers;
    deadline = gnli_now_ns() + SECONDS * (int64_t)1000000000;
    for (uintptr_t i = 1; i <= SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[started++], NULL, sender, (void *)i), 0);
    for (unsigned i = 0; i < receivers; i++)
        ck_assert_int_eq(pthread_create(&threads[started++], NULL, receiver, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[started++], NULL, mortal, NULL), 0);
    for (unsigned i = 0; i < started; i++) {
        if (i == SENDERS)
            atomic_store(&senders_done, true);
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    ck_assert_uint_eq(atomic_load(&received), SENDERS * MESSAGES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crowd");
    TCase *crowd = support_case(suite, "crowd");

    tcase_set_timeout(crowd, 2 * SECONDS);
    tcase_add_loop_test(crowd, what_threads_send_is_received_once_and_in_order, 0,
                        sizeof crowds / sizeof crowds[0]);
    return support_run(suite);
}
