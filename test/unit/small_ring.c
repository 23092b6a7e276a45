/* SPDX-License-Identifier: Apache-2.0 */
#include "small_ring.h"

#include <errno.h>

#include "support.h"

struct gnli_queue ring_queue;
struct gnli_slot ring_slots[SLOTS_MAX];
struct gnli_slots ring;
struct gnli_cursor ring_out, ring_in;
bool ring_dead[OWNERS];
unsigned ring_undone, ring_finished, ring_questions;
uint64_t ring_reserve_limit;

static bool dead(void *context, unsigned owner)
{
    (void)context;
    ring_questions++;
    return owner == 0 || owner >= OWNERS || ring_dead[owner];
}

static void undo(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    ck_assert_uint_eq(number, 0);
    ck_assert_uint_lt(index, ring.count);
    ck_assert_int_eq(gnli_word_phase(word), GNLI_CLAIMED);
    ring_undone++;
}

/* A mailbox's F, without the cell. */
static int finish(void *context, unsigned number, uint64_t index, uint64_t word)
{
    (void)context;
    ck_assert_uint_eq(number, 0);
    ring_finished++;
    if (gnli_word_cell(word) == 0)
        return -EBADMSG;
    atomic_compare_exchange_strong(&ring_slots[index].word, &word,
                                   gnli_word(GNLI_FREE, 0, 0, gnli_word_lap(word) + 1));
    return 0;
}

static int reserve(void *context, unsigned number, uint64_t position)
{
    (void)context;
    (void)number;
    if (position >= ring_reserve_limit)
        return -ENOSPC;
    atomic_store(&ring_queue.reserved, position + 4 < ring_reserve_limit ? position + 4 : ring_reserve_limit);
    return 0;
}

static const struct gnli_slots_owner owner = {
    .dead = dead, .undo = undo, .finish = finish, .reserve = reserve
};

static unsigned bits_for(uint64_t count)
{
    unsigned bits = 0;

    while ((uint64_t)1 << bits < count)
        bits++;
    return bits;
}

/* A ring of that many slots which has been through `lap` laps. */
void ring_make(uint64_t count, uint64_t lap)
{
    ring = (struct gnli_slots){ .queue = &ring_queue,
                                .slots = ring_slots,
                                .count = count,
                                .shift = bits_for(count),
                                .mask = ((uint64_t)1 << bits_for(count)) - 1,
                                .stride = sizeof ring_slots[0],
                                .inline_max = GNLI_INLINE,
                                .owner = &owner };
    for (uint64_t i = 0; i < count; i++)
        atomic_store(&ring_slots[i].word, gnli_word(GNLI_FREE, 0, 0, lap));
    atomic_store(&ring_queue.head, gnli_slots_position(&ring, lap, 0));
    atomic_store(&ring_queue.tail, gnli_slots_position(&ring, lap, 0));
    atomic_store(&ring_queue.reserved, GNLI_ALL_RESERVED);
    gnli_cursor_init(&ring_out);
    gnli_cursor_init(&ring_in);
}

uint64_t ring_claim(unsigned me)
{
    struct gnli_claim claim;

    ck_assert_int_eq(gnli_slots_claim(&ring, &ring_out, me, &claim), 0);
    ck_assert_ptr_eq(claim.slot, gnli_slots_at(&ring, claim.position));
    return claim.position;
}

int ring_publish(unsigned me, uint64_t *position)
{
    struct gnli_claim claim = { .slot = gnli_slots_at(&ring, *position),
                                .position = *position,
                                .word = gnli_word(GNLI_CLAIMED, me, 0, gnli_slots_lap(&ring, *position)) };

    int result = gnli_slots_publish(&ring, &ring_out, &claim);
    *position = claim.position;
    return result;
}

void ring_put(unsigned me, uint64_t *position, uint32_t value)
{
    atomic_store(&gnli_slots_at(&ring, *position)->body.size, value);
    ck_assert_int_eq(ring_publish(me, position), 0);
}

void ring_send(unsigned me, uint32_t value)
{
    uint64_t position = ring_claim(me);

    ring_put(me, &position, value);
}

/* What is next, received; -1: nothing. */
int64_t ring_receive_with(struct gnli_cursor *cursor)
{
    uint64_t position, word;

    int result = gnli_slots_find(&ring, cursor, &position, &word);
    if (result == -EAGAIN)
        return -1;
    ck_assert_int_eq(result, 0);
    uint32_t value = atomic_load(&gnli_slots_at(&ring, position)->body.size);
    ck_assert(gnli_slots_consume(&ring, gnli_slots_at(&ring, position), position, word));
    gnli_slots_advance(&ring, cursor, position);
    return value;
}

int64_t ring_receive(void)
{
    return ring_receive_with(&ring_in);
}

int ring_full(unsigned me)
{
    struct gnli_claim claim;

    int result = gnli_slots_claim(&ring, &ring_out, me, &claim);
    if (result == -EAGAIN) /* then it says what to wait for */
        ck_assert_uint_ne(gnli_word_phase(atomic_load(gnli_slots_watched(&ring, claim.position))), GNLI_FREE);
    return result;
}
