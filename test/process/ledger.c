/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define LARGEST        ((size_t)256 << 10)
#define TOTAL          (SENDERS * PER_SENDER)
#define UNRECEIVED_MAX 5000

struct player {
    struct ledger *ledger;
    unsigned number;
    pid_t process;
};

/* In shared memory, all of it. */
struct ledger {
    struct scenario scenario;
    struct player players[PLAYERS];
    unsigned random;
    uint64_t bytes_empty;
    atomic_bool no_more, drained;
    _Atomic uint64_t started[SENDERS];
    _Atomic uint64_t progress[PLAYERS];
    _Atomic uint64_t finishing[RECEIVERS]; /* 1 + the message that it is about to be done with */
    atomic_uchar sent[TOTAL], taken[TOTAL], done[TOTAL];
    unsigned char doubtful[TOTAL];
};

unsigned ledger_random(struct ledger *ledger, unsigned below)
{
    ledger->random = ledger->random * 1103515245 + 12345;
    return (ledger->random >> 8) % below;
}

static enum gnl_side side_of(const struct scenario *scenario, unsigned number)
{
    bool sends = number < SENDERS;
    unsigned pair = sends ? number : number - SENDERS;

    if (!scenario->two_way)
        return GNL_ONE_WAY;
    return (pair % 2 == 0) == sends ? GNL_SIDE_A : GNL_SIDE_B;
}

static gnl_port *open_as(const struct scenario *scenario, unsigned number)
{
    return open_port(&(struct gnl_options){ .capacity = scenario->capacity,
                                            .side = side_of(scenario, number),
                                            .direction = number < SENDERS ? GNL_SEND_ONLY : GNL_RECV_ONLY });
}

/* ---- the players ---- */

static size_t size_of(const struct scenario *scenario, uint64_t sequence)
{
    size_t size = scenario->sizes[sequence % 4] ? scenario->sizes[sequence % 4] : scenario->sizes[0];

    if (scenario->size_fixed)
        return scenario->size_fixed;
    return size <= 8 ? 8 : size - sequence * 13 % (size / 2);
}

/* Messages sent and not received, roughly: an unbounded mailbox shall not grow while the test goes on. */
static int64_t unreceived(struct ledger *ledger)
{
    int64_t count = 0;

    for (unsigned i = 0; i < PLAYERS; i++)
        count += i < SENDERS ? (int64_t)ledger_progress(ledger, i) : -(int64_t)ledger_progress(ledger, i);
    return count;
}

static int send_all(void *context)
{
    struct player *player = context;
    struct ledger *ledger = player->ledger;
    unsigned char *data = malloc(LARGEST);
    gnl_port *port = open_as(&ledger->scenario, player->number);

    require(data);
    while (!atomic_load(&ledger->no_more)) {
        uint64_t sequence = atomic_load(&ledger->started[player->number]);
        if (sequence == PER_SENDER || unreceived(ledger) > UNRECEIVED_MAX) {
            pause_us(200);
            continue;
        }
        uint64_t message = player->number * PER_SENDER + sequence;
        size_t size = size_of(&ledger->scenario, sequence);
        fill_message(data, size, message);
        atomic_store(&ledger->started[player->number], sequence + 1);
        require(gnl_send(port, data, size, PATIENCE) == 0);
        atomic_store(&ledger->sent[message], 1);
        atomic_fetch_add(&ledger->progress[player->number], 1);
    }
    close_port(port);
    free(data);
    return 0;
}

/* What this receiver has seen of each sender, in order. */
static void note_taken(struct ledger *ledger, uint64_t message, bool redelivered, uint64_t *next)
{
    require(message < TOTAL);
    uint64_t sender = message / PER_SENDER, sequence = message % PER_SENDER;
    if (!redelivered) {
        require(sequence >= next[sender]);
        require(atomic_load(&ledger->taken[message]) == 0);
        next[sender] = sequence + 1;
    }
    atomic_store(&ledger->taken[message], 1);
}

static int take_next(struct player *player, gnl_port *port, uint64_t *next)
{
    struct ledger *ledger = player->ledger;
    _Atomic uint64_t *finishing = &ledger->finishing[player->number - SENDERS];
    gnl_message message;

    int result = gnl_take(port, &message, gnl_ms(20));
    if (result < 0)
        return result;
    uint64_t number = check_message(message.data, message.size);
    require((message.deliveries > 1) == ((message.flags & GNL_REDELIVERED) != 0));
    note_taken(ledger, number, message.flags & GNL_REDELIVERED, next);
    atomic_store(finishing, number + 1);
    require(gnl_done(&message) == 0);
    require(atomic_fetch_add(&ledger->done[number], 1) == 0);
    atomic_store(finishing, 0);
    return 0;
}

static int copy_next(struct player *player, gnl_port *port, unsigned char *data, uint64_t *next)
{
    struct ledger *ledger = player->ledger;

    ssize_t size = gnl_recv(port, data, LARGEST, gnl_ms(20));
    if (size < 0)
        return (int)size;
    uint64_t number = check_message(data, (size_t)size);
    note_taken(ledger, number, true, next); /* it may be: gnl_recv does not say */
    require(atomic_fetch_add(&ledger->done[number], 1) == 0);
    return 0;
}

static int receive_all(void *context)
{
    struct player *player = context;
    struct ledger *ledger = player->ledger;
    bool copying = ledger->scenario.copying && player->number == PLAYERS - 1;
    unsigned char *data = malloc(LARGEST);
    gnl_port *port = open_as(&ledger->scenario, player->number);
    uint64_t next[SENDERS] = { 0 };

    require(data);
    while (!atomic_load(&ledger->drained)) {
        int result = copying ? copy_next(player, port, data, next) : take_next(player, port, next);
        require(result == 0 || result == -ETIMEDOUT);
        if (result == 0)
            atomic_fetch_add(&ledger->progress[player->number], 1);
    }
    close_port(port);
    free(data);
    return 0;
}

static int play(void *context)
{
    struct player *player = context;

    (void)!nice(10); /* the test itself shall get to run now and then */
    return player->number < SENDERS ? send_all(player) : receive_all(player);
}

static void start_player(struct ledger *ledger, unsigned number)
{
    struct player *player = &ledger->players[number];

    *player = (struct player){ .ledger = ledger, .number = number };
    player->process = support_fork(play, player);
}

/* ---- the test's side ---- */

struct ledger *ledger_start(const struct scenario *scenario)
{
    struct ledger *ledger = shared_memory(sizeof *ledger);

    ledger->scenario = *scenario;
    ledger->random = (unsigned)now_ms() ^ (unsigned)getpid() << 16;
    printf("seed %u\n", ledger->random);
    gnl_port *port = open_as(scenario, 0);
    ledger->bytes_empty = inspect_mailbox().bytes;
    for (unsigned i = 0; i < PLAYERS; i++)
        start_player(ledger, i);
    close_port(port);
    return ledger;
}

pid_t ledger_player(struct ledger *ledger, unsigned player)
{
    return ledger->players[player].process;
}

uint64_t ledger_progress(struct ledger *ledger, unsigned player)
{
    return atomic_load(&ledger->progress[player]);
}

void ledger_kill(struct ledger *ledger, unsigned player)
{
    support_kill(ledger->players[player].process);
    if (player >= SENDERS) {
        uint64_t finishing = atomic_exchange(&ledger->finishing[player - SENDERS], 0);
        if (finishing != 0)
            ledger->doubtful[finishing - 1] = 1;
    }
    start_player(ledger, player);
}

static bool all_received(void *context)
{
    struct gnl_port_info info = inspect_mailbox();

    (void)context;
    return info.queued == 0 && info.held == 0;
}

static void check_balance(struct ledger *ledger)
{
    for (unsigned sender = 0; sender < SENDERS; sender++) {
        uint64_t started = atomic_load(&ledger->started[sender]);
        for (uint64_t sequence = 0; sequence < PER_SENDER && sequence < started + 1000; sequence++) {
            uint64_t message = sender * PER_SENDER + sequence;
            unsigned done = atomic_load(&ledger->done[message]);
            if (sequence >= started)
                ck_assert_msg(!atomic_load(&ledger->taken[message]), "%u:%lu was never sent", sender,
                              sequence);
            ck_assert_msg(done <= 1, "%u:%lu was received %u times", sender, sequence, done);
            if (atomic_load(&ledger->sent[message]) && !ledger->doubtful[message])
                ck_assert_msg(done == 1, "%u:%lu of %lu was sent, and is lost (%staken)", sender, sequence,
                              started, atomic_load(&ledger->taken[message]) ? "" : "not ");
        }
    }
}

/* The mailbox takes as many messages as it says, no fewer and no more. */
static void check_capacity(const struct scenario *scenario, gnl_port *port, gnl_port *other)
{
    int64_t sent = 0;
    int result;

    if (scenario->capacity <= 0)
        return;
    while ((result = gnl_send(port, &sent, sizeof sent, GNL_NOWAIT)) == 0)
        sent++;
    ck_assert_int_eq(result, -EAGAIN);
    ck_assert_int_eq(sent, scenario->capacity);
    for (int64_t i = 0; i < sent; i++)
        ck_assert_uint_eq(receive_number(other), (uint64_t)i);
}

struct gnl_port_info ledger_finish(struct ledger *ledger)
{
    const struct scenario *scenario = &ledger->scenario;

    atomic_store(&ledger->no_more, true);
    for (unsigned i = 0; i < SENDERS; i++)
        support_expect_exit(ledger->players[i].process, 0);
    if (!support_until(all_received, NULL)) {
        struct gnl_port_info info = inspect_mailbox();
        ck_abort_msg("%lu stay queued, %lu held", info.queued, info.held);
    }
    atomic_store(&ledger->drained, true);
    for (unsigned i = SENDERS; i < PLAYERS; i++)
        support_expect_exit(ledger->players[i].process, 0);
    check_balance(ledger);

    gnl_port *first = open_port(&(struct gnl_options){ .side = side_of(scenario, 0) });
    gnl_port *second = open_port(&(struct gnl_options){ .side = side_of(scenario, SENDERS) });
    check_capacity(scenario, first, second);
    if (scenario->two_way)
        check_capacity(scenario, second, first);
    gnl_message message;
    ck_assert_int_eq(gnl_take(second, &message, GNL_NOWAIT), -EAGAIN);
    ck_assert_uint_eq(count_participants(true), 1);
    ck_assert_uint_eq(count_participants(false), 0);
    struct gnl_port_info info = inspect_mailbox();
    ck_assert_uint_eq(info.queued, 0);
    ck_assert_uint_eq(info.held, 0);
    if (scenario->capacity == GNL_UNBOUNDED)
        ck_assert_msg(info.bytes <= ledger->bytes_empty + (4 << 20), "%lu bytes stay, %lu when it was new",
                      info.bytes, ledger->bytes_empty);
    else if (scenario->size_fixed)
        ck_assert_msg(info.bytes <= ledger->bytes_empty +
                                        (uint64_t)(scenario->capacity + 24) * 2 * scenario->size_fixed,
                      "%lu bytes stay, %lu when it was new", info.bytes, ledger->bytes_empty);
    close_port(first);
    close_port(second);
    remove_mailbox();
    munmap(ledger, sizeof *ledger);
    return info;
}
