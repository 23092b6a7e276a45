/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held cells: from empty to pending, held, returned and empty again, each word only once.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "mailbox/mailbox.h"

static gnl_port *port;
static struct gnli_mailbox *mailbox;
static _Atomic uint32_t hint;

static void open_port(void)
{
    assert_ok(gnl_open(&port, "mailbox:cells", &(struct gnl_options){ .capacity = 10, .message_max = 4096 }));
    mailbox = gnli_mailbox_port_of(port)->mailbox;
}

static void close_port(void)
{
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove("mailbox:cells"));
}

static uint64_t word_of(const struct gnli_hold *hold)
{
    return atomic_load(&gnli_cell_at(&mailbox->view, hold->cell)->word);
}

/* A message of that size is sent, found, and taken into a cell. */
static struct gnli_hold take(size_t size)
{
    struct gnli_slots *ring = &mailbox->rings[0];
    struct gnli_hold hold;
    uint64_t position, word;
    char data[4096];

    memset(data, 'd', sizeof data);
    assert_ok(gnl_send(port, data, size, GNL_NOWAIT));
    assert_ok(gnli_cell_acquire(mailbox, &hint, &hold));
    assert_ok(gnli_slots_find(ring, &gnli_mailbox_port_of(port)->in_cursor, &position, &word));
    ck_assert_int_eq(gnli_cell_take(mailbox, ring, position, word, &hold), 1);
    ck_assert_int_eq(gnli_word_phase(atomic_load(&gnli_slots_at(ring, position)->word)), GNLI_FREE);
    ck_assert_uint_eq(word_of(&hold), hold.word);
    ck_assert_int_eq(gnli_cell_phase(hold.word), GNLI_CELL_HELD);
    ck_assert_uint_eq(gnli_cell_owner(hold.word), gnli_mailbox_me(mailbox));
    return hold;
}

/* An eighth of it would have to be free, if nothing were received from it for ever. */
START_TEST(cell_word_keeps_its_four_parts)
{
    uint64_t word =
        gnli_cell_word(GNLI_CELL_RETURNED, 4095, GNLI_CELL_DELIVERIES_MAX, ((uint64_t)1 << 36) - 1);

    ck_assert_int_eq(gnli_cell_phase(word), GNLI_CELL_RETURNED);
    ck_assert_uint_eq(gnli_cell_owner(word), 4095);
    ck_assert_uint_eq(gnli_cell_deliveries(word), GNLI_CELL_DELIVERIES_MAX);
    ck_assert_uint_eq(gnli_cell_serial(word), ((uint64_t)1 << 36) - 1);
}
END_TEST

START_TEST(acquired_cell_is_pending_and_released_empty_with_a_new_serial)
{
    struct gnli_hold hold, again;

    open_port();
    assert_ok(gnli_cell_acquire(mailbox, &hint, &hold));
    ck_assert_uint_ne(hold.cell, 0);
    ck_assert_uint_eq(atomic_load(&hint), hold.cell);
    ck_assert_int_eq(gnli_cell_phase(word_of(&hold)), GNLI_CELL_PENDING);
    gnli_cell_release(mailbox, &hold);
    ck_assert_int_eq(gnli_cell_phase(word_of(&hold)), GNLI_CELL_EMPTY);
    ck_assert_uint_eq(gnli_cell_serial(word_of(&hold)), gnli_cell_serial(hold.word) + 1);
    assert_ok(gnli_cell_acquire(mailbox, &hint, &again));
    ck_assert_uint_eq(again.cell, hold.cell); /* the one that it had: its lines are near */
    gnli_cell_release(mailbox, &again);
    close_port();
}
END_TEST

START_TEST(taken_message_is_done_once)
{
    open_port();
    for (size_t size = 0; size <= 4096; size += 512) {
        struct gnli_hold hold = take(size);
        assert_ok(gnli_cell_done(mailbox, &hold));
        ck_assert_int_eq(gnli_cell_phase(word_of(&hold)), GNLI_CELL_EMPTY);
        ck_assert_int_eq(gnli_cell_done(mailbox, &hold), -EBADMSG);
        ck_assert_int_eq(gnli_cell_giveback(mailbox, &hold, false), -EBADMSG);
    }
    close_port();
}
END_TEST

START_TEST(large_message_is_held_by_its_cell_and_freed_with_it)
{
    open_port();
    struct gnli_hold hold = take(3000);
    gnli_chunk chunk = atomic_load(&gnli_cell_at(&mailbox->view, hold.cell)->body.data[0]);
    uint64_t word = atomic_load(gnli_arena_word(&mailbox->view.arena, chunk));
    ck_assert_int_eq(gnli_chunk_state(word), GNLI_CHUNK_HELD);
    ck_assert_uint_eq(gnli_chunk_who(word), hold.cell);
    ck_assert(!gnli_cell_orphan(mailbox, chunk, word));
    assert_ok(gnli_cell_done(mailbox, &hold));
    ck_assert(gnli_cell_orphan(mailbox, chunk, word));
    ck_assert_int_eq(gnli_chunk_state(atomic_load(gnli_arena_word(&mailbox->view.arena, chunk))),
                     GNLI_CHUNK_FREE);
    close_port();
}
END_TEST

START_TEST(queued_chunk_is_no_orphan_until_its_slot_is_free)
{
    char data[3000] = { 0 };
    uint64_t position, word;

    open_port();
    assert_ok(gnl_send(port, data, sizeof data, GNL_NOWAIT));
    assert_ok(gnli_slots_find(&mailbox->rings[0], &gnli_mailbox_port_of(port)->in_cursor, &position, &word));
    gnli_chunk chunk = atomic_load(&gnli_slots_at(&mailbox->rings[0], position)->body.data[0]);
    uint64_t queued = atomic_load(gnli_arena_word(&mailbox->view.arena, chunk));
    ck_assert_int_eq(gnli_chunk_state(queued), GNLI_CHUNK_QUEUED);
    ck_assert(!gnli_cell_orphan(mailbox, chunk, queued));
    ck_assert_int_eq(gnl_recv(port, data, sizeof data, GNL_NOWAIT), sizeof data);
    ck_assert(gnli_cell_orphan(mailbox, chunk, queued));
    close_port();
}
END_TEST

START_TEST(given_back_cell_is_adopted_once_and_counted)
{
    struct gnli_hold adopted, late;

    open_port();
    struct gnli_hold hold = take(100);
    assert_ok(gnli_cell_giveback(mailbox, &hold, false));
    uint64_t returned = word_of(&hold);
    ck_assert_int_eq(gnli_cell_phase(returned), GNLI_CELL_RETURNED);
    ck_assert_uint_eq(gnli_cell_owner(returned), 0);
    ck_assert(gnli_any_returned(atomic_load(&mailbox->rings[0].queue->returned)));
    ck_assert(gnli_cell_adopt(mailbox, hold.cell, returned, &adopted));
    ck_assert(!gnli_cell_adopt(mailbox, hold.cell, returned, &late));
    ck_assert_uint_eq(gnli_cell_deliveries(adopted.word), 2);
    ck_assert_int_eq(gnli_cell_done(mailbox, &hold), -EBADMSG); /* who gave it back has it no more */
    assert_ok(gnli_cell_done(mailbox, &adopted));
    close_port();
}
END_TEST

START_TEST(count_of_deliveries_stops_at_its_limit)
{
    struct gnli_hold adopted;

    open_port();
    struct gnli_hold hold = take(1);
    uint64_t word =
        gnli_cell_word(GNLI_CELL_RETURNED, 0, GNLI_CELL_DELIVERIES_MAX, gnli_cell_serial(hold.word) + 1);
    atomic_store(&gnli_cell_at(&mailbox->view, hold.cell)->word, word);
    ck_assert(gnli_cell_adopt(mailbox, hold.cell, word, &adopted));
    ck_assert_uint_eq(gnli_cell_deliveries(adopted.word), GNLI_CELL_DELIVERIES_MAX);
    assert_ok(gnli_cell_done(mailbox, &adopted));
    close_port();
}
END_TEST

START_TEST(pool_grows_to_its_limit_then_enobufs)
{
    static struct gnli_hold holds[GNLI_CELLS_MAX + 1];
    static bool seen[GNLI_CELLS_MAX + 1];
    unsigned count = 0;
    int result;

    open_port();
    while ((result = gnli_cell_acquire(mailbox, &hint, &holds[count])) == 0) {
        ck_assert_uint_ge(holds[count].cell, 1);
        ck_assert_uint_le(holds[count].cell, GNLI_CELLS_MAX);
        ck_assert(!seen[holds[count].cell]);
        seen[holds[count].cell] = true;
        count++;
    }
    ck_assert_int_eq(result, -ENOBUFS);
    ck_assert_uint_eq(count, GNLI_CELLS_MAX);
    for (unsigned i = 0; i < count; i++)
        gnli_cell_release(mailbox, &holds[i]);
    assert_ok(gnli_cell_acquire(mailbox, &hint, &holds[0]));
    gnli_cell_release(mailbox, &holds[0]);
    close_port();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cells");
    TCase *cells = support_case(suite, "cells");

    tcase_add_test(cells, cell_word_keeps_its_four_parts);
    tcase_add_test(cells, acquired_cell_is_pending_and_released_empty_with_a_new_serial);
    tcase_add_test(cells, taken_message_is_done_once);
    tcase_add_test(cells, large_message_is_held_by_its_cell_and_freed_with_it);
    tcase_add_test(cells, queued_chunk_is_no_orphan_until_its_slot_is_free);
    tcase_add_test(cells, given_back_cell_is_adopted_once_and_counted);
    tcase_add_test(cells, count_of_deliveries_stops_at_its_limit);
    tcase_add_test(cells, pool_grows_to_its_limit_then_enobufs);
    return support_run(suite);
}
