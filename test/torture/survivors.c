/* SPDX-License-Identifier: Apache-2.0 */
#include "survivors.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "findings.h"

#define SHORT_NS      gnl_ms(20)
#define ROUNDS_ENOUGH 40 /* of an unbounded mailbox */
#define DRAIN_MOST    20000
#define LOANS_MOST    40 /* more than a block has chunks */
#define LOANS_HUGE    4

static bool late(int64_t start)
{
    return now_ns() - start > PATIENCE_NS;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 300000 }, NULL);
}

/* A call's outcome that ought to be 0. */
static bool went(int result, const char *what)
{
    if (result == 0)
        return true;
    found(result == -ETIMEDOUT || result == -ETIME ? HANG : WRONG, "a survivor that wants to %s: %s", what,
          gnl_strerror(result));
    return false;
}

static int timed_send(size_t size, int64_t timeout)
{
    int64_t start = now_ns();
    int result = ledger_send(me.port, size, timeout);

    took_since(start);
    return result;
}

static int timed_consume(int64_t timeout)
{
    int64_t start = now_ns();
    int result = ledger_consume(me.port, timeout);

    took_since(start);
    return result;
}

/* ---- the mate ---- */

void survivors_begin(const struct operation *operation, const struct cast *cast)
{
    if (cast->mate == 0)
        return;
    mate_begin(ERRAND_OPEN, 0);
    went(mate_end("opens"), "open the mailbox");
    if (operation->mate == MATE_RECEIVES) {
        mate_begin(ERRAND_TAKE, 0);
        mate_await_asleep(cast->mate, GNL_WAITS_TO_RECEIVE);
    } else if (operation->mate == MATE_SENDS) {
        mate_begin(ERRAND_SEND, LARGE_BYTES);
        mate_await_asleep(cast->mate, GNL_WAITS_TO_SEND);
    }
}

/* The mate waits: it gets what it waits for, by somebody else if the victim does not come. */
static void relieve_mate(const struct operation *operation)
{
    int64_t start = now_ns();

    if (operation->heir) /* by nobody, if the victim has left something */
        while (mate_busy() && now_ns() - start < gnl_ms(400))
            nap();
    while (mate_busy() && !late(start)) {
        if (operation->mate == MATE_SENDS) {
            timed_consume(SHORT_NS);
        } else if (timed_send(SMALL_BYTES, SHORT_NS) == 0) {
            break;
        }
    }
    went(mate_end(operation->mate == MATE_SENDS ? "it waits to send" : "it waits to receive"),
         "go on with its call");
}

static void meet_at_rendezvous(void)
{
    static const size_t sizes[] = { SMALL_BYTES, LARGE_BYTES };

    for (unsigned i = 0; i < 2; i++) {
        mate_begin(ERRAND_TAKE, 0);
        went(timed_send(sizes[i], PATIENCE_NS), "send to one who receives");
        went(mate_end("it receives at a rendezvous"), "receive at a rendezvous");
        mate_begin(ERRAND_SEND, sizes[i]);
        went(timed_consume(PATIENCE_NS), "receive from one who sends");
        went(mate_end("it sends at a rendezvous"), "send at a rendezvous");
    }
}

/* ---- laps around the queue ---- */

static unsigned rounds(const struct operation *operation)
{
    return operation->capacity > 0 ? (unsigned)operation->capacity : ROUNDS_ENOUGH;
}

static void drain(void)
{
    for (unsigned i = 0; i < DRAIN_MOST; i++) {
        int result = timed_consume(GNL_NOWAIT);
        if (result == -EAGAIN)
            return;
        if (!went(result, "receive"))
            return;
    }
    found(WRONG, "the mailbox has no end");
}

static void lap(const struct operation *operation)
{
    for (unsigned i = 0; i < 2 * rounds(operation) + 1; i++)
        if (!went(timed_send(i % 3 == 2 ? LARGE_BYTES : SMALL_BYTES, PATIENCE_NS), "send") ||
            !went(timed_consume(PATIENCE_NS), "receive what it has just sent"))
            return;
}

/* Sends until the mailbox is full, and receives all of it. Returns how many messages there were. */
static unsigned fill(const struct operation *operation, size_t size)
{
    unsigned count = 0;

    while (count < rounds(operation) + 1) {
        int result = timed_send(size, GNL_NOWAIT);
        if (result == -EAGAIN)
            break;
        if (!went(result, "fill the mailbox"))
            return count;
        count++;
        if (operation->capacity <= 0 && count == rounds(operation))
            break;
    }
    for (unsigned i = 0; i < count; i++) {
        uint32_t id = 0;
        ssize_t got = ledger_recv(me.port, &id, PATIENCE_NS);
        if (!went(got < 0 ? (int)got : 0, "empty the mailbox"))
            break;
    }
    return count;
}

/*
 * Borrows as many chunks as there may be free, and writes something else into them: who still needs one
 * that was freed too early finds a torn message.
 */
static void scribble(const struct operation *operation)
{
    gnl_message loans[LOANS_MOST];
    size_t size = operation->huge ? HUGE_BYTES : LARGE_BYTES;
    unsigned count = 0, most = operation->huge ? LOANS_HUGE : LOANS_MOST;

    while (count < most && went(gnl_loan(me.port, &loans[count], size, GNL_NOWAIT), "borrow memory"))
        memset(loans[count++].data, 0xee, size);
    while (count > 0)
        went(gnl_done(&loans[--count]), "give borrowed memory back");
}

/* ---- while the victim is stopped ---- */

static bool stolen(void)
{
    for (unsigned role = 0; role < ROLES; role++)
        for (unsigned i = 0; i < atomic_load(&scene->ledger.count[role]); i++)
            if (atomic_load(&scene->ledger.letters[role][i].again) > 0)
                return true;
    return false;
}

static unsigned outstanding(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < atomic_load(&scene->ledger.count[SURVIVOR]); i++)
        count += atomic_load(&scene->ledger.letters[SURVIVOR][i].ended) == 0;
    return count;
}

/* What a dead receiver held comes to the survivors though its mender is stopped, perhaps with one of them. */
static void inherit(void)
{
    int64_t start = now_ns();

    for (; outstanding() > 1; nap(), drain())
        if (late(start)) {
            found(HANG, "a process that is stopped keeps others from what a dead one held");
            return;
        }
    took_since(start);
}

/* Has the victim come so far as to remove the mailbox? Whoever uses it finds that out in time. */
static bool removed(void)
{
    int64_t start = now_ns();
    struct gnl_port_info info;

    if (gnl_inspect(ADDRESS, &info, NULL, 0) != -ENOENT)
        return false;
    while (!late(start)) {
        int result = ledger_consume(me.port, SHORT_NS);
        if (result == -EIDRM) {
            took_since(start);
            return true;
        }
        if (result != 0 && result != -ETIMEDOUT)
            break;
    }
    found(HANG, "a survivor did not find out that the mailbox was removed");
    return true;
}

static void open_if_absent(const struct operation *operation)
{
    int64_t start = now_ns();

    if (me.port || !operation->absent)
        return;
    went(gnl_open(&me.port, ADDRESS, &(struct gnl_options){ .capacity = operation->capacity }),
         "open the mailbox");
    took_since(start);
}

static bool gone(const struct operation *operation)
{
    if (!operation->removes || !removed())
        return false;
    int result = mate_pending() ? mate_end("the mailbox was removed while it slept") : -EIDRM;
    if (result != -EIDRM && result != -ETIME)
        found(WRONG, "a call that slept when the mailbox was removed: %s", gnl_strerror(result));
    return true;
}

void survivors_go_on(const struct operation *operation, uint64_t step)
{
    open_if_absent(operation);
    if (!me.port || gone(operation))
        return;
    if (mate_pending())
        relieve_mate(operation);
    if (step % 2 == 1)
        scribble(operation);
    drain();
    if (operation->mends)
        inherit();
    if (operation->capacity == GNL_RENDEZVOUS) {
        meet_at_rendezvous();
    } else {
        lap(operation);
        unsigned count = fill(operation, LARGE_BYTES);
        unsigned least = rounds(operation) - (operation->costs_a_place ? 1 : 0);
        if (count < least || count > rounds(operation))
            found(WRONG, "beside a stopped process %u messages queue, not %u", count, rounds(operation));
    }
    if (!operation->gives_back && stolen())
        found(WRONG, "a message was taken away from a stopped process");
    if (operation->receives)
        went(timed_send(SMALL_BYTES, GNL_NOWAIT), "send to the stopped process");
    if (operation->capacity == GNL_RENDEZVOUS && operation->mate == MATE_RECEIVES)
        mate_begin(ERRAND_TAKE, 0);
}

/* ---- after the victim was killed ---- */

/* Receives, as a busy receiver does, until everything that the dead have left was met. */
static void mourn(const struct cast *cast)
{
    int64_t start = now_ns();

    audit_open();
    for (;;) {
        drain();
        if (!audit_others(getpid(), cast->mate))
            break;
        if (late(start)) {
            found(HANG, "what a dead process left is not mended");
            break;
        }
        nap();
    }
    drain();
    took_since(start);
}

static void expect_capacity(const struct operation *operation, size_t size)
{
    unsigned count = fill(operation, size);

    if (count != rounds(operation))
        found(LEAK, "%u messages of %zu bytes queue, not %u", count, size, rounds(operation));
}

static void expect_nothing_left(const struct operation *operation)
{
    struct gnl_participant all[16];
    struct gnl_port_info info;

    ssize_t count = gnl_inspect(ADDRESS, &info, all, 16);
    if (count < 0) {
        went((int)count, "look at the mailbox");
        return;
    }
    ssize_t expected = operation->mate != ALONE || operation->capacity == GNL_RENDEZVOUS ? 2 : 1;
    if (count != expected || info.senders != (uint64_t)expected || info.receivers != (uint64_t)expected)
        found(LEAK, "%zd participants, %llu senders and %llu receivers are left, not %zd", count,
              (unsigned long long)info.senders, (unsigned long long)info.receivers, expected);
    if (info.queued != 0 || info.held != 0)
        found(LEAK, "%llu messages are queued and %llu held, though all were received",
              (unsigned long long)info.queued, (unsigned long long)info.held);
}

/* Opening sweeps: everything that the dead have left is mended at once, and nothing of it received yet. */
static void sweep_now(void)
{
    gnl_port *second;

    if (went(gnl_open(&second, ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY }), "open once more"))
        gnl_close(second);
}

void survivors_settle(const struct operation *operation, const struct cast *cast, uint64_t step,
                      uint64_t *bytes)
{
    open_if_absent(operation);
    if (!me.port)
        return;
    if (operation->removes && gone(operation))
        return;
    if (mate_pending())
        relieve_mate(operation);
    end_held();
    if (step % 2 == 1) {
        sweep_now();
        audit_open();
        audit_numbers();
        scribble(operation);
    }
    mourn(cast);
    if (operation->capacity == GNL_RENDEZVOUS) {
        meet_at_rendezvous();
    } else {
        lap(operation);
        expect_capacity(operation, SMALL_BYTES);
        expect_capacity(operation, LARGE_BYTES);
        if (operation->huge)
            expect_capacity(operation, HUGE_BYTES);
    }
    drain();
    expect_nothing_left(operation);
    ledger_balance();
    audit(getpid(), cast->mate, bytes);
}
