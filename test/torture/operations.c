/* SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"

#include <errno.h>

#include "findings.h"
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

static void set_small(void)
{
    queue(1, SMALL_BYTES);
}
static void set_large(void)
{
    queue(1, LARGE_BYTES);
}
static void set_two(void)
{
    queue(1, SMALL_BYTES), queue(1, LARGE_BYTES);
}
static void set_three(void)
{
    queue(1, SMALL_BYTES), queue(2, LARGE_BYTES);
}
static void set_full(void)
{
    queue(4, SMALL_BYTES);
}
static void set_huge(void)
{
    queue(1, HUGE_BYTES);
}
static void set_block(void)
{
    queue(BLOCK_SLOTS, SMALL_BYTES);
}
static void set_three_gone(void)
{
    queue(3, SMALL_BYTES), consume(3);
}
static void set_blocks_full(void)
{
    queue(5 * 7, FULL_BYTES);
}
static void set_many_huge(void)
{
    queue(24, HUGE_BYTES);
}

static void set_block_and_receive(void)
{
    queue(BLOCK_SLOTS + 2, SMALL_BYTES);
    for (unsigned i = 0; i < BLOCK_SLOTS - 1; i++) {
        uint32_t id = 0;
        if (ledger_recv(me.port, &id, GNL_NOWAIT) < 0)
            found(WRONG, "a message could not be received beforehand: %s", gnl_error_detail());
    }
}

static void again_three(void)
{
    queue(3, SMALL_BYTES);
}
static void again_three_less_two(void)
{
    queue(3, SMALL_BYTES), consume(2);
}

static void again_one_at_rest(void)
{
    queue(1, SMALL_BYTES);
}

static void again_adopt(void)
{
    gnl_port *second;

    /* Opening sweeps: what the remains held is given back, and stays in its cell. */
    if (gnl_open(&second, ADDRESS, NULL) != 0 || gnl_close(second) != 0)
        found(WRONG, "could not open once more: %s", gnl_error_detail());
}

static void again_hold_blocks(void)
{
    for (unsigned i = 0; i < 4 * 7; i++)
        hold_one();
}

static void again_hold_huge(void)
{
    for (unsigned i = 0; i < 23; i++)
        hold_one();
}

/* ---- opening and closing ---- */

static void open_it(int64_t capacity, enum gnl_create create)
{
    me.result = gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .capacity = capacity, .create = create });
}

static void ready_nothing(void) {}
static void run_create(void)
{
    open_it(4, GNL_CREATE_OR_OPEN);
}
static void run_join(void)
{
    open_it(0, GNL_OPEN_ONLY);
}
static void run_close(void)
{
    me.result = gnl_close(me.port);
}
static void run_remove(void)
{
    me.result = gnl_remove(ADDRESS);
}

static void ready_open(void)
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

static void ready_close(void)
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

static void ready_send_small(void)
{
    ready_open(), write_next(0, SMALL_BYTES);
}
static void ready_send_large(void)
{
    ready_open(), write_next(0, LARGE_BYTES);
}
static void ready_send_huge(void)
{
    ready_open(), write_next(0, HUGE_BYTES);
}
static void run_send_small(void)
{
    me.result = gnl_send(me.port, me.data[0], SMALL_BYTES, GNL_NOWAIT);
}
static void run_send_large(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, GNL_NOWAIT);
}
static void run_send_huge(void)
{
    me.result = gnl_send(me.port, me.data[0], HUGE_BYTES, GNL_NOWAIT);
}
static void run_offer_small(void)
{
    me.result = gnl_send(me.port, me.data[0], SMALL_BYTES, 4 * PATIENCE_NS);
}
static void run_offer_large(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, 4 * PATIENCE_NS);
}
static void run_offer_briefly(void)
{
    me.result = gnl_send(me.port, me.data[0], LARGE_BYTES, gnl_ms(1));
}

static void after_send(void)
{
    atomic_store(&ledger_letter(me.sending[0])->fate, me.result == 0 ? SENT : REFUSED);
}

static void ready_send_many(void)
{
    ready_open();
    write_next(0, SMALL_BYTES);
    write_next(1, LARGE_BYTES);
    write_next(2, SMALL_BYTES);
}

static void run_send_many(void)
{
    struct iovec messages[] = {
        { me.data[0], SMALL_BYTES },
        { me.data[1], LARGE_BYTES },
        { me.data[2], SMALL_BYTES },
    };

    me.result = gnl_send_many(me.port, messages, 3, GNL_NOWAIT);
}

static void after_send_many(void)
{
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&ledger_letter(me.sending[i])->fate, (ssize_t)i < me.result ? SENT : REFUSED);
}

static void run_loan_large(void)
{
    me.result = gnl_loan(me.port, &me.loan, LARGE_BYTES, GNL_NOWAIT);
}
static void run_loan_huge(void)
{
    me.result = gnl_loan(me.port, &me.loan, HUGE_BYTES, GNL_NOWAIT);
}
static void run_drop(void)
{
    me.result = gnl_done(&me.loan);
}
static void ready_drop_large(void)
{
    ready_open(), loan(LARGE_BYTES);
}
static void ready_drop_huge(void)
{
    ready_open(), loan(HUGE_BYTES);
}

static void ready_post(void)
{
    ready_open();
    loan(LARGE_BYTES);
    me.sending[0] = ledger_new(me.role);
    message_write(me.loan.data, LARGE_BYTES, me.sending[0]);
}

static void run_post(void)
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

static void ready_recv(void)
{
    ready_open(), risk(SURVIVOR);
}
static void run_recv(void)
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

static void after_recv(void)
{
    received(false);
}
static void after_adopting_recv(void)
{
    received(true);
}

static void run_take(void)
{
    me.result = gnl_take(me.port, &me.held[0], GNL_NOWAIT);
}

static void after_take(void)
{
    if (me.result == 0)
        ledger_arrived(me.held[0].data, me.held[0].size, me.held[0].flags & GNL_REDELIVERED);
}

static void ready_take(void)
{
    ready_open(), hold_one();
}
static void ready_done(void)
{
    ready_take(), atomic_store(&ledger_letter(me.held_id[0])->at_risk, 1);
}
static void run_done(void)
{
    me.result = gnl_done(&me.held[0]);
}
static void run_giveback(void)
{
    me.result = gnl_giveback(&me.held[0]);
}

static void after_done(void)
{
    struct letter *letter = ledger_letter(me.held_id[0]);

    atomic_store(&letter->at_risk, 0);
    if (me.result == 0)
        atomic_fetch_add(&letter->ended, 1);
}

/* Six of a block's seven messages are ended already: with the seventh the block is idle. */
static void ready_done_last(void)
{
    ready_open();
    for (unsigned i = 0; i < 6; i++)
        hold_one();
    end_held();
    hold_one();
    atomic_store(&ledger_letter(me.held_id[0])->at_risk, 1);
}

/* ---- remains ---- */

static void leave_ready_send(void)
{
    ready_send_small();
}
static void leave_run_send(void)
{
    run_send_small();
}

static void leave_ready_all(void)
{
    ready_open();
    hold_one();
    hold_one();
    loan(LARGE_BYTES);
    write_next(0, LARGE_BYTES);
}

static void leave_ready_two(void)
{
    ready_open(), hold_one(), hold_one();
}
static void leave_ready_huge(void)
{
    ready_send_huge(), hold_one(), loan(HUGE_BYTES);
}
static void leave_run_nothing(void) {}

static void went_on(const char *what)
{
    if (me.result != 0)
        found(WRONG, "a %s that was stopped while others went past it returned %zd", what, me.result);
}

static void leave_after_send(void)
{
    after_send(), went_on("send");
}
static void leave_after_take(void)
{
    after_take(), went_on("take");
}

/* ---- the table ---- */

const struct operation operations[] = {
    { .name = "open-create",
      .what = "gnl_open of a mailbox that is not there",
      .capacity = 4,
      .ready = ready_nothing,
      .run = run_create,
      .absent = true },
    { .name = "open-join",
      .what = "gnl_open of a mailbox that others use",
      .capacity = 4,
      .set = set_two,
      .ready = ready_nothing,
      .run = run_join },
    { .name = "close",
      .what = "gnl_close with messages held and a loan out",
      .capacity = 4,
      .set = set_three,
      .ready = ready_close,
      .run = run_close,
      .gives_back = true },
    { .name = "remove",
      .what = "gnl_remove of a mailbox on which others sleep",
      .capacity = 4,
      .ready = ready_nothing,
      .run = run_remove,
      .mate = MATE_RECEIVES,
      .removes = true },

    { .name = "send-small",
      .what = "gnl_send of 64 bytes",
      .capacity = 4,
      .set = set_small,
      .ready = ready_send_small,
      .run = run_send_small,
      .after = after_send,
      .costs_a_place = true },
    { .name = "send-large",
      .what = "gnl_send of 1500 bytes",
      .capacity = 4,
      .set = set_large,
      .ready = ready_send_large,
      .run = run_send_large,
      .after = after_send,
      .costs_a_place = true },
    { .name = "send-huge",
      .what = "gnl_send of 9000 bytes",
      .capacity = 4,
      .huge = true,
      .ready = ready_send_huge,
      .run = run_send_huge,
      .after = after_send,
      .costs_a_place = true },
    { .name = "send-many",
      .what = "gnl_send_many of three messages",
      .capacity = 4,
      .ready = ready_send_many,
      .run = run_send_many,
      .after = after_send_many,
      .costs_a_place = true,
      .result = 3,
      .or_result = 1 },
    { .name = "send-wake",
      .what = "gnl_send to a receiver that sleeps",
      .capacity = 4,
      .ready = ready_send_small,
      .run = run_send_small,
      .after = after_send,
      .mate = MATE_RECEIVES,
      .costs_a_place = true },
    { .name = "send-past-dead",
      .what = "gnl_send over the claim of a dead sender",
      .capacity = 4,
      .set = set_three_gone,
      .leave_ready = leave_ready_send,
      .leave_run = leave_run_send,
      .leave = LEFT_CLAIMING,
      .again = again_three,
      .ready = ready_send_small,
      .run = run_send_small,
      .after = after_send,
      .costs_a_place = true },
    { .name = "send-past-stopped",
      .what = "gnl_send past the claim of a stopped sender",
      .capacity = 4,
      .set = set_three_gone,
      .leave_ready = leave_ready_send,
      .leave_run = leave_run_send,
      .leave = LEFT_STOPPED_CLAIMING,
      .leave_after = leave_after_send,
      .again = again_three_less_two,
      .ready = ready_send_small,
      .run = run_send_small,
      .after = after_send,
      .costs_a_place = true },
    { .name = "loan-large", .what = "gnl_loan of 1500 bytes", .capacity = 4, .run = run_loan_large },
    { .name = "loan-huge",
      .what = "gnl_loan of 9000 bytes",
      .capacity = 4,
      .huge = true,
      .run = run_loan_huge },
    { .name = "post",
      .what = "gnl_post of a loan",
      .capacity = 4,
      .ready = ready_post,
      .run = run_post,
      .after = after_send,
      .costs_a_place = true },
    { .name = "drop-large",
      .what = "gnl_done of a loan",
      .capacity = 4,
      .ready = ready_drop_large,
      .run = run_drop },
    { .name = "drop-huge",
      .what = "gnl_done of a loan of 9000 bytes",
      .capacity = 4,
      .huge = true,
      .ready = ready_drop_huge,
      .run = run_drop },

    { .name = "offer",
      .what = "rendezvous: gnl_send to a receiver that sleeps",
      .capacity = GNL_RENDEZVOUS,
      .ready = ready_send_small,
      .run = run_offer_small,
      .after = after_send,
      .mate = MATE_RECEIVES },
    { .name = "offer-large",
      .what = "rendezvous: gnl_send of 1500 bytes to a receiver that sleeps",
      .capacity = GNL_RENDEZVOUS,
      .ready = ready_send_large,
      .run = run_offer_large,
      .after = after_send,
      .mate = MATE_RECEIVES },
    { .name = "offer-withdrawn",
      .what = "rendezvous: gnl_send that times out",
      .capacity = GNL_RENDEZVOUS,
      .ready = ready_send_large,
      .run = run_offer_briefly,
      .after = after_send,
      .result = -ETIMEDOUT },
    { .name = "take-offer",
      .what = "rendezvous: gnl_take from a sender that sleeps",
      .capacity = GNL_RENDEZVOUS,
      .run = run_take,
      .after = after_take,
      .mate = MATE_SENDS,
      .or_result = -EAGAIN },

    { .name = "recv-small",
      .what = "gnl_recv of 64 bytes",
      .capacity = 4,
      .set = set_small,
      .ready = ready_recv,
      .run = run_recv,
      .after = after_recv,
      .receives = true },
    { .name = "recv-large",
      .what = "gnl_recv of 1500 bytes",
      .capacity = 4,
      .set = set_large,
      .ready = ready_recv,
      .run = run_recv,
      .after = after_recv,
      .receives = true },
    { .name = "recv-wake",
      .what = "gnl_recv from a full mailbox to which a sender waits to send",
      .capacity = 4,
      .set = set_full,
      .ready = ready_recv,
      .run = run_recv,
      .after = after_recv,
      .mate = MATE_SENDS,
      .receives = true },
    { .name = "take-small",
      .what = "gnl_take of 64 bytes",
      .capacity = 4,
      .set = set_small,
      .run = run_take,
      .after = after_take,
      .receives = true },
    { .name = "take-large",
      .what = "gnl_take of 1500 bytes",
      .capacity = 4,
      .set = set_large,
      .run = run_take,
      .after = after_take,
      .receives = true },
    { .name = "take-wake",
      .what = "gnl_take from a full mailbox to which a sender waits to send",
      .capacity = 4,
      .set = set_full,
      .run = run_take,
      .after = after_take,
      .mate = MATE_SENDS,
      .receives = true },
    { .name = "done-small",
      .what = "gnl_done of 64 bytes",
      .capacity = 4,
      .set = set_small,
      .ready = ready_done,
      .run = run_done,
      .after = after_done },
    { .name = "done-large",
      .what = "gnl_done of 1500 bytes",
      .capacity = 4,
      .set = set_large,
      .ready = ready_done,
      .run = run_done,
      .after = after_done },
    { .name = "done-huge",
      .what = "gnl_done of 9000 bytes",
      .capacity = 4,
      .huge = true,
      .set = set_huge,
      .ready = ready_done,
      .run = run_done,
      .after = after_done },
    { .name = "done-trim",
      .what = "gnl_done that gives a block of small chunks back",
      .capacity = GNL_UNBOUNDED,
      .set = set_blocks_full,
      .ready = ready_done_last,
      .run = run_done,
      .after = after_done,
      .again = again_hold_blocks },
    { .name = "done-return",
      .what = "gnl_done that gives a large chunk's memory back",
      .capacity = GNL_UNBOUNDED,
      .set = set_many_huge,
      .ready = ready_done,
      .run = run_done,
      .after = after_done,
      .again = again_hold_huge },
    { .name = "giveback",
      .what = "gnl_giveback of 1500 bytes",
      .capacity = 4,
      .set = set_large,
      .ready = ready_take,
      .run = run_giveback,
      .gives_back = true },
    { .name = "giveback-wake",
      .what = "gnl_giveback to a receiver that sleeps",
      .capacity = 4,
      .set = set_large,
      .ready = ready_take,
      .run = run_giveback,
      .mate = MATE_RECEIVES,
      .gives_back = true },
    { .name = "done-heir",
      .what = "gnl_done beside a receiver that sleeps, and inherits",
      .capacity = 4,
      .set = set_large,
      .ready = ready_done,
      .run = run_done,
      .after = after_done,
      .mate = MATE_RECEIVES,
      .heir = true,
      .coarser = 8 },

    { .name = "adopt",
      .what = "gnl_take of what a dead receiver held",
      .capacity = 4,
      .set = set_two,
      .leave_ready = leave_ready_two,
      .leave_run = leave_run_nothing,
      .leave = LEFT_AT_END,
      .again = again_adopt,
      .run = run_take,
      .after = after_take,
      .gives_back = true,
      .receives = true },
    { .name = "adopt-recv",
      .what = "gnl_recv of what a dead receiver held",
      .capacity = 4,
      .set = set_two,
      .leave_ready = leave_ready_two,
      .leave_run = leave_run_nothing,
      .leave = LEFT_AT_END,
      .again = again_adopt,
      .ready = ready_recv,
      .run = run_recv,
      .after = after_adopting_recv,
      .gives_back = true,
      .receives = true },
    { .name = "finish",
      .what = "gnl_take that finishes what a stopped taker has begun",
      .capacity = 4,
      .set = set_three,
      .leave_ready = ready_open,
      .leave_run = run_take,
      .leave = LEFT_STOPPED_TAKING,
      .leave_after = leave_after_take,
      .run = run_take,
      .after = after_take,
      .gives_back = true,
      .receives = true },
    { .name = "sweep-send",
      .what = "gnl_take that mends what a sender, killed anywhere, left",
      .capacity = 4,
      .set = set_two,
      .leave_ready = leave_ready_all,
      .leave_run = run_send_large,
      .leave = LEFT_ANYWHERE,
      .again = again_one_at_rest,
      .run = run_take,
      .after = after_take,
      .mends = true,
      .gives_back = true,
      .receives = true },
    { .name = "sweep-take",
      .what = "gnl_take that mends what a taker, killed anywhere, left",
      .capacity = 4,
      .set = set_three,
      .leave_ready = leave_ready_two,
      .leave_run = run_take,
      .leave = LEFT_ANYWHERE,
      .run = run_take,
      .after = after_take,
      .mends = true,
      .gives_back = true,
      .receives = true },
    { .name = "sweep-huge",
      .what = "gnl_take that mends large chunks of a dead sender",
      .capacity = 4,
      .huge = true,
      .set = set_huge,
      .leave_ready = leave_ready_huge,
      .leave_run = run_send_huge,
      .leave = LEFT_ANYWHERE,
      .again = again_one_at_rest,
      .run = run_take,
      .after = after_take,
      .mends = true,
      .gives_back = true,
      .receives = true },

    { .name = "grow",
      .what = "unbounded: gnl_send that reserves the next block",
      .capacity = GNL_UNBOUNDED,
      .set = set_block,
      .ready = ready_send_small,
      .run = run_send_small,
      .after = after_send },
    { .name = "drain",
      .what = "unbounded: gnl_recv that gives a block back",
      .capacity = GNL_UNBOUNDED,
      .set = set_block_and_receive,
      .ready = ready_recv,
      .or_result = -EAGAIN,
      .coarser = 8,
      .run = run_recv,
      .after = after_recv,
      .receives = true },
};

const size_t operations_count = sizeof operations / sizeof operations[0];
