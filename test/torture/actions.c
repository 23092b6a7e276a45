/* SPDX-License-Identifier: Apache-2.0 */
#include "actions.h"

#include <stdint.h>

#include "findings.h"
#include "operations.h"
#include "scene.h"

#define BLOCK_SLOTS 2048           /* of an unbounded queue: what it reserves and gives back at a time */
#define FULL_BYTES  ((size_t)8000) /* seven of these share a block */

/* ---- the survivor's preparations ---- */

static void queue(unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++)
        if (ledger_send(me.port, size, GNL_NOWAIT) != 0)
            found(WRONG, "a message could not be sent beforehand: %s", gnl_error_detail());
}

static void consume(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ledger_consume(me.port, PATIENCE_NS) != 0)
            found(WRONG, "a message could not be received beforehand: %s", gnl_error_detail());
}

void set_small(void)
{
    queue(1, SMALL_BYTES);
}
void set_large(void)
{
    queue(1, LARGE_BYTES);
}
void set_two(void)
{
    queue(1, SMALL_BYTES), queue(1, LARGE_BYTES);
}
void set_three(void)
{
    queue(1, SMALL_BYTES), queue(2, LARGE_BYTES);
}
void set_full(void)
{
    queue(4, SMALL_BYTES);
}
void set_huge(void)
{
    queue(1, HUGE_BYTES);
}
void set_block(void)
{
    queue(BLOCK_SLOTS, SMALL_BYTES);
}
void set_three_gone(void)
{
    queue(3, SMALL_BYTES), consume(3);
}
void set_blocks_full(void)
{
    queue(5 * 7, FULL_BYTES);
}
void set_many_huge(void)
{
    queue(24, HUGE_BYTES);
}

void set_block_and_receive(void)
{
    queue(BLOCK_SLOTS + 2, SMALL_BYTES);
    for (unsigned i = 0; i < BLOCK_SLOTS - 1; i++) {
        uint32_t id = 0;
        if (ledger_recv(me.port, &id, GNL_NOWAIT) < 0)
            found(WRONG, "a message could not be received beforehand: %s", gnl_error_detail());
    }
}

void again_three(void)
{
    queue(3, SMALL_BYTES);
}
void again_three_less_two(void)
{
    queue(3, SMALL_BYTES), consume(2);
}

void again_one_at_rest(void)
{
    queue(1, SMALL_BYTES);
}

void again_adopt(void)
{
    gnl_port *second;

    /* Opening sweeps: what the remains held is given back, and stays in its cell. */
    if (gnl_open(&second, ADDRESS, NULL) != 0 || gnl_close(second) != 0)
        found(WRONG, "could not open once more: %s", gnl_error_detail());
}

void again_hold_blocks(void)
{
    for (unsigned i = 0; i < 4 * 7; i++)
        hold_one();
}

void again_hold_huge(void)
{
    for (unsigned i = 0; i < 23; i++)
        hold_one();
}

/* ---- opening and closing ---- */

static void open_it(int64_t capacity, enum gnl_create create)
{
    me.result = gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .capacity = capacity, .create = create });
}

void ready_nothing(void) {}
void run_create(void)
{
    open_it(4, GNL_CREATE_OR_OPEN);
}
void run_join(void)
{
    open_it(0, GNL_OPEN_ONLY);
}
void run_close(void)
{
    me.result = gnl_close(me.port);
}
void run_remove(void)
{
    me.result = gnl_remove(ADDRESS);
}

void ready_open(void)
{
    open_it(0, GNL_OPEN_ONLY);
    if (me.result != 0)
        found(WRONG, "could not open the mailbox: %s", gnl_error_detail());
}

static void loan(size_t size)
{
    if (gnl_loan(me.port, &me.loan, size, GNL_NOWAIT) != 0)
        found(WRONG, "no loan beforehand: %s", gnl_error_detail());
}

void ready_close(void)
{
    ready_open();
    hold_one();
    hold_one();
    loan(LARGE_BYTES);
}

/* ---- sending ---- */

static void write_next(unsigned place, size_t size)
{
    me.sending[place] = ledger_new(me.role);
    message_write(me.data[place], size, me.sending[place]);
}

void ready_send_small(void)
{
    ready_open(), write_next(0, SMALL_BYTES);
}
void ready_send_large(void)
{
    ready_open(), write_next(0, LARGE_BYTES);
}
void ready_send_huge(void)
{
    ready_open(), write_next(0, HUGE_BYTES);
}
void run_send_small(void)
{
    me.result = gnl_send(me.port, me.data[0], SMALL_BYTES, GNL_NOWAIT);
}
void run_send_large(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, GNL_NOWAIT);
}
void run_send_huge(void)
{
    me.result = gnl_send(me.port, me.data[0], HUGE_BYTES, GNL_NOWAIT);
}
void run_offer_small(void)
{
    me.result = gnl_send(me.port, me.data[0], SMALL_BYTES, 4 * PATIENCE_NS);
}
void run_offer_large(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, 4 * PATIENCE_NS);
}
void run_offer_briefly(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, gnl_ms(1));
}

void after_send(void)
{
    atomic_store(&ledger_letter(me.sending[0])->fate, me.result == 0 ? SENT : REFUSED);
}

void ready_send_many(void)
{
    ready_open();
    write_next(0, SMALL_BYTES);
    write_next(1, LARGE_BYTES);
    write_next(2, SMALL_BYTES);
}

void run_send_many(void)
{
    struct iovec messages[] = {
        { me.data[0], SMALL_BYTES },
        { me.data[1], LARGE_BYTES },
        { me.data[2], SMALL_BYTES },
    };

    me.result = gnl_send_many(me.port, messages, 3, GNL_NOWAIT);
}

void after_send_many(void)
{
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&ledger_letter(me.sending[i])->fate, (ssize_t)i < me.result ? SENT : REFUSED);
}

void run_loan_large(void)
{
    me.result = gnl_loan(me.port, &me.loan, LARGE_BYTES, GNL_NOWAIT);
}
void run_loan_huge(void)
{
    me.result = gnl_loan(me.port, &me.loan, HUGE_BYTES, GNL_NOWAIT);
}
void run_drop(void)
{
    me.result = gnl_done(&me.loan);
}
void ready_drop_large(void)
{
    ready_open(), loan(LARGE_BYTES);
}
void ready_drop_huge(void)
{
    ready_open(), loan(HUGE_BYTES);
}

void ready_post(void)
{
    ready_open();
    loan(LARGE_BYTES);
    me.sending[0] = ledger_new(me.role);
    message_write(me.loan.data, LARGE_BYTES, me.sending[0]);
}

void run_post(void)
{
    me.result = gnl_post(me.port, &me.loan, GNL_NOWAIT);
}

/* ---- receiving ---- */

/* What the survivor (or the mate) sent is what the victim may receive and take with it to the grave. */
static void risk(enum role role)
{
    for (unsigned i = 0; i < atomic_load(&scene->ledger.count[role]); i++) {
        struct letter *letter = &scene->ledger.letters[role][i];
        if (atomic_load(&letter->ended) == 0) {
            atomic_store(&letter->at_risk, 1);
            return;
        }
    }
}

void ready_recv(void)
{
    ready_open(), risk(SURVIVOR);
}
void run_recv(void)
{
    me.result = gnl_recv(me.port, me.data[0], MESSAGE_MAX, GNL_NOWAIT);
}

static void no_more_risk(void)
{
    for (unsigned i = 0; i < atomic_load(&scene->ledger.count[SURVIVOR]); i++)
        atomic_store(&scene->ledger.letters[SURVIVOR][i].at_risk, 0);
}

/* gnl_recv does not say whether a message was redelivered: what may be is not held against it. */
static void received(bool redelivered)
{
    no_more_risk();
    if (me.result < 0)
        return;
    uint32_t id = ledger_arrived(me.data[0], (size_t)me.result, redelivered);
    atomic_fetch_add(&ledger_letter(id)->ended, 1);
    me.result = 0;
}

void after_recv(void)
{
    received(false);
}
void after_adopting_recv(void)
{
    received(true);
}

void run_take(void)
{
    me.result = gnl_take(me.port, &me.held[0], GNL_NOWAIT);
}

void after_take(void)
{
    if (me.result == 0)
        ledger_arrived(me.held[0].data, me.held[0].size, me.held[0].flags & GNL_REDELIVERED);
}

void ready_take(void)
{
    ready_open(), hold_one();
}
void ready_done(void)
{
    ready_take(), atomic_store(&ledger_letter(me.held_id[0])->at_risk, 1);
}
void run_done(void)
{
    me.result = gnl_done(&me.held[0]);
}
void run_giveback(void)
{
    me.result = gnl_giveback(&me.held[0]);
}

void after_done(void)
{
    struct letter *letter = ledger_letter(me.held_id[0]);

    atomic_store(&letter->at_risk, 0);
    if (me.result == 0)
        atomic_fetch_add(&letter->ended, 1);
}

/* Six of a block's seven messages are ended already: with the seventh the block is idle. */
void ready_done_last(void)
{
    ready_open();
    for (unsigned i = 0; i < 6; i++)
        hold_one();
    end_held();
    hold_one();
    atomic_store(&ledger_letter(me.held_id[0])->at_risk, 1);
}

/* ---- remains ---- */

void leave_ready_send(void)
{
    ready_send_small();
}
void leave_run_send(void)
{
    run_send_small();
}

void leave_ready_all(void)
{
    ready_open();
    hold_one();
    hold_one();
    loan(LARGE_BYTES);
    write_next(0, LARGE_BYTES);
}

void leave_ready_two(void)
{
    ready_open(), hold_one(), hold_one();
}
void leave_ready_huge(void)
{
    ready_send_huge(), hold_one(), loan(HUGE_BYTES);
}
void leave_run_nothing(void) {}

static void went_on(const char *what)
{
    if (me.result != 0)
        found(WRONG, "a %s that was stopped while others went past it returned %zd", what, me.result);
}

void leave_after_send(void)
{
    after_send(), went_on("send");
}
void leave_after_take(void)
{
    after_take(), went_on("take");
}
