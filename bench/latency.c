/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/parts.h"

#include <errno.h>
#include <string.h>

#define TRIPS 64 /* a sample */

static int begin_there(struct crew_member *member)
{
    if (member->task->socket)
        return socket_begin(member);
    if (member->task->direct)
        return crew_meet(member);
    if (member->task->wire)
        return crew_connect(member);
    int result = crew_open(member, &member->out, MAILBOX_THERE, GNL_SEND_ONLY);

    return result < 0 ? result : crew_open(member, &member->in, MAILBOX_BACK, GNL_RECV_ONLY);
}

static int begin_back(struct crew_member *member)
{
    if (member->task->socket)
        return socket_begin(member);
    if (member->task->direct)
        return crew_meet(member);
    if (member->task->wire)
        return crew_connect(member);
    int result = crew_open(member, &member->out, MAILBOX_BACK, GNL_SEND_ONLY);

    return result < 0 ? result : crew_open(member, &member->in, MAILBOX_THERE, GNL_RECV_ONLY);
}

/* 1 received, 0 told to stop, or a negative code. */
static int receive(struct crew_member *member)
{
    int64_t timeout = member->task->wire ? WIRE_TIMEOUT : CALL_TIMEOUT;

    if (member->task->socket)
        return socket_pass(member, false);
    for (;;) {
        ssize_t size = gnl_recv(member->in, member->buffer, member->task->size, timeout);
        if (size == (ssize_t)member->task->size)
            return 1;
        if (crew_stopped(member))
            return 0;
        if (size != -ETIMEDOUT)
            return crew_fail(member, "gnl_recv", (int)size);
    }
}

static int send(struct crew_member *member)
{
    if (member->task->socket)
        return socket_pass(member, true);
    int result = gnl_send(member->out, member->buffer, member->task->size, CALL_TIMEOUT);

    if (result < 0 && !crew_stopped(member))
        return crew_fail(member, "gnl_send", result);
    return result < 0 ? 0 : 1;
}

/* ---- both sides busy ---- */

static int64_t there(struct crew_member *member)
{
    int64_t start = crew_now_ns();

    for (unsigned i = 0; i < TRIPS; i++) {
        int result = send(member);
        if (result == 1)
            result = receive(member);
        if (result != 1)
            return result;
    }
    crew_sample(member, (double)(crew_now_ns() - start) / TRIPS / 2);
    return TRIPS;
}

static int64_t back(struct crew_member *member)
{
    for (unsigned i = 0; i < TRIPS; i++) {
        int result = receive(member);
        if (result == 1)
            result = send(member);
        if (result != 1)
            return result;
    }
    return TRIPS;
}

const struct crew_part latency_spinning[2] = {
    { .begin = begin_there, .step = there, .place = 0, .sampling = SAMPLE_OWN, .counts = true },
    { .begin = begin_back, .step = back, .place = 1 },
};

/* ---- the receiver asleep ---- */

static int64_t wake(struct crew_member *member)
{
    if (!crew_await_sleep(member))
        return member->seat->failure[0] != '\0' ? -EIO : 0;
    int64_t now = crew_now_ns();
    memcpy(member->buffer, &now, sizeof now);
    return send(member);
}

static int64_t be_woken(struct crew_member *member)
{
    int64_t sent;

    int result = receive(member);
    if (result != 1)
        return result;
    int64_t now = crew_now_ns();
    memcpy(&sent, member->buffer, sizeof sent);
    crew_sample(member, (double)(now - sent));
    return 1;
}

const struct crew_part latency_sleeping[2] = {
    { .begin = begin_there, .step = wake, .place = 0 },
    { .begin = begin_back, .step = be_woken, .place = 1, .sampling = SAMPLE_OWN, .counts = true },
};
