/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who receives touches each cache line of a message: by copying it out, or by reading a byte of each. Only
 * where the row says that contents stay untouched nobody does.
 */
#include "bench/parts.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define BATCH 64
#define LINE  64

/* Messages between two questions whether to stop: a question is to cost little beside them. */
static unsigned stretch(const struct crew_member *member)
{
    return member->task->size <= 1024 || !member->task->moves ? 64 : 1;
}

static int begin_sending(struct crew_member *member)
{
    if (member->task->direct)
        return crew_meet(member);
    if (member->task->wire)
        return crew_connect(member);
    return crew_open(member, &member->out, MAILBOX_THERE, GNL_SEND_ONLY);
}

static int begin_receiving(struct crew_member *member)
{
    if (member->task->direct)
        return crew_meet(member);
    if (member->task->wire)
        return crew_connect(member);
    return crew_open(member, &member->in, MAILBOX_THERE, GNL_RECV_ONLY);
}

/* After `done` messages a call did not succeed: waited in vain, or really failed? */
static int64_t ended(struct crew_member *member, const char *what, int64_t done, ssize_t result)
{
    return result == -ETIMEDOUT || crew_stopped(member) ? done : crew_fail(member, what, (int)result);
}

/* ---- copying ---- */

static int64_t send_copies(struct crew_member *member)
{
    unsigned count = stretch(member);

    for (unsigned i = 0; i < count; i++) {
        int result = gnl_send(member->out, member->buffer, member->task->size, CALL_TIMEOUT);
        if (result < 0)
            return ended(member, "gnl_send", i, result);
    }
    return count;
}

static int64_t receive_copies(struct crew_member *member)
{
    unsigned count = stretch(member);

    for (unsigned i = 0; i < count; i++) {
        ssize_t size = gnl_recv(member->in, member->buffer, member->task->size, CALL_TIMEOUT);
        if (size != (ssize_t)member->task->size)
            return ended(member, "gnl_recv", i, size);
    }
    return count;
}

/* ---- in place ---- */

static void write_lines(char *data, size_t size)
{
    for (size_t i = 0; i < size; i += LINE)
        *(volatile char *)(data + i) = (char)i;
}

static void read_lines(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i += LINE)
        (void)*(const volatile char *)(data + i);
}

static int64_t post_loans(struct crew_member *member)
{
    const struct crew_task *task = member->task;
    unsigned count = stretch(member);
    gnl_message message;

    for (unsigned i = 0; i < count; i++) {
        int result = gnl_loan(member->out, &message, task->size, CALL_TIMEOUT);
        if (result < 0)
            return ended(member, "gnl_loan", i, result);
        if (task->moves)
            write_lines(message.data, task->size);
        result = gnl_post(member->out, &message, CALL_TIMEOUT);
        if (result < 0) {
            gnl_done(&message);
            return ended(member, "gnl_post", i, result);
        }
    }
    return count;
}

static int64_t take_messages(struct crew_member *member)
{
    unsigned count = stretch(member);
    gnl_message message;

    for (unsigned i = 0; i < count; i++) {
        int result = gnl_take(member->in, &message, CALL_TIMEOUT);
        if (result < 0)
            return ended(member, "gnl_take", i, result);
        if (member->task->moves)
            read_lines(message.data, message.size);
        result = gnl_done(&message);
        if (result < 0)
            return crew_fail(member, "gnl_done", result);
    }
    return count;
}

/* ---- batches ---- */

static int64_t send_batch(struct crew_member *member)
{
    struct iovec messages[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        messages[i] = (struct iovec){ .iov_base = member->buffer, .iov_len = member->task->size };
    ssize_t sent = gnl_send_many(member->out, messages, BATCH, CALL_TIMEOUT);
    return sent < 0 ? ended(member, "gnl_send_many", 0, sent) : sent;
}

static int64_t take_batch(struct crew_member *member)
{
    gnl_message messages[BATCH];

    ssize_t taken = gnl_take_many(member->in, messages, BATCH, CALL_TIMEOUT);
    if (taken < 0)
        return ended(member, "gnl_take_many", 0, taken);
    for (ssize_t i = 0; i < taken; i++) {
        read_lines(messages[i].data, messages[i].size);
        int result = gnl_done(&messages[i]);
        if (result < 0)
            return crew_fail(member, "gnl_done", result);
    }
    return taken;
}

/* ---- crews ---- */

static int64_t (*const sending[THROUGHPUT_WAYS])(struct crew_member *) = {
    [COPYING] = send_copies,
    [IN_PLACE] = post_loans,
    [BATCHES] = send_batch,
};

static int64_t (*const receiving[THROUGHPUT_WAYS])(struct crew_member *) = {
    [COPYING] = receive_copies,
    [IN_PLACE] = take_messages,
    [BATCHES] = take_batch,
};

unsigned throughput_parts(enum throughput_way way, enum throughput_ratio ratio,
                          struct crew_part parts[CREW_MAX])
{
    struct crew_part sender = { .begin = begin_sending, .step = sending[way], .place = 0 };
    struct crew_part receiver = {
        .begin = begin_receiving, .step = receiving[way], .place = 1, .counts = true
    };

    /* Where two share a core a slice says who had it, not how fast it was. */
    if (ratio == ONE_TO_ONE)
        receiver.sampling = SAMPLE_SLICES;
    parts[0] = sender;
    parts[1] = receiver;
    if (ratio == ONE_TO_ONE)
        return 2;
    parts[2] = ratio == TWO_TO_ONE ? sender : receiver;
    parts[2].place += 2;
    return 3;
}
