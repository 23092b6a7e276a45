/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/hands.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/machine.h"

#define TRIPS      64   /* a sample of PEER_BUSY */
#define LOOKS      1000 /* that found nothing, before another process on the same core gets a turn */
#define PAGE       4096
#define WORD_LINE  0x6767676767676767u /* what the other lines of a message begin with: crew.c's buffer */
#define ARRIVAL_MS 8000                /* for the last message */

/* The first word of a message: its sender and number. The last of a sender: how many there were. */
#define TAG_SENDER 56
#define TAG_NUMBER (((uint64_t)1 << TAG_SENDER) - 1)

/* The receiver counts in crew_area.line what it had, for PEER_ASLEEP; this: each sender's last, too. */
#define ALL_ARRIVED UINT64_MAX

static const struct peer *peer;
static const struct peer_work *work;
static bool yields; /* processes share a core */

/* What a process knows; at most one end of each channel. */
struct hand {
    struct peer_end ends[PEER_CHANNELS];
    uint64_t sent, received;
    uint64_t expected[PEER_SENDERS_MAX]; /* the next number of each sender */
    unsigned ended;                      /* senders that said their last */
};

static struct hand hand;

static size_t room_for(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

size_t hands_buffer(size_t size)
{
    return 2 * room_for(size);
}

static int fail(struct crew_member *member)
{
    snprintf(member->seat->failure, sizeof member->seat->failure, "%s: %s", peer->name, peer_said());
    return -EIO;
}

static int open_end(struct crew_member *member, enum peer_channel channel, bool sends, unsigned sender)
{
    struct peer_end *end = &hand.ends[channel];

    *end = (struct peer_end){ .work = work, .channel = channel, .sends = sends, .sender = sender, .fd = -1 };
    return peer->open(end) == PEER_OK ? 0 : fail(member);
}

static int leave(int result)
{
    for (unsigned i = 0; i < PEER_CHANNELS && peer->close; i++)
        if (hand.ends[i].work)
            peer->close(&hand.ends[i]);
    if (peer->leave)
        peer->leave();
    return result;
}

static void pass_turn(unsigned looks)
{
    if (yields && looks % LOOKS == LOOKS - 1)
        sched_yield();
}

static int send(struct crew_member *member, enum peer_channel channel, uint64_t tag, uint64_t second_word)
{
    uint64_t *words = (uint64_t *)(void *)member->buffer;
    enum peer_result result;

    words[0] = tag;
    words[1] = second_word;
    for (unsigned looks = 0; (result = peer->send(&hand.ends[channel], member->buffer)) == PEER_NOT_NOW;
         looks++)
        pass_turn(looks);
    return result == PEER_OK ? 0 : fail(member);
}

static int send_next(struct crew_member *member, enum peer_channel channel, uint64_t second_word)
{
    uint64_t sender = hand.ends[channel].sender;

    return send(member, channel, sender << TAG_SENDER | hand.sent++, second_word);
}

static int send_last(struct crew_member *member, enum peer_channel channel)
{
    uint64_t sender = hand.ends[channel].sender;

    member->seat->sent = hand.sent;
    return send(member, channel, HANDS_LAST | sender << TAG_SENDER | hand.sent, 0);
}

/* Reads a word of each line: is it the message that is due? */
static bool look_through(const uint64_t *words)
{
    uint64_t sum = 0, tag = words[0], lines = work->size / HANDS_LINE;
    uint64_t sender = (tag & ~HANDS_LAST) >> TAG_SENDER;

    for (uint64_t i = 0; i < lines; i++)
        sum += words[i * HANDS_LINE / sizeof *words];
    if (sender >= work->senders || (tag & TAG_NUMBER) != hand.expected[sender])
        return false;
    return sum == tag + (lines - 1) * WORD_LINE;
}

/* 1 received, 0 it was a sender's last, negative: failed. `stamp` gets its second word. */
static int receive(struct crew_member *member, enum peer_channel channel, uint64_t *stamp)
{
    struct peer_end *end = &hand.ends[channel];
    enum peer_result result;
    void *data = member->buffer + room_for(work->size); /* one's own message is in front */

    for (unsigned looks = 0; (result = peer->receive(end, &data)) == PEER_NOT_NOW; looks++)
        pass_turn(looks);
    if (result != PEER_OK)
        return fail(member);
    const uint64_t *words = data;
    if (!look_through(words)) {
        peer_say(PEER_FAILED, "message %llx is not the one that was due", (unsigned long long)words[0]);
        return fail(member);
    }
    bool last = (words[0] & HANDS_LAST) != 0;
    uint64_t sender = (words[0] & ~HANDS_LAST) >> TAG_SENDER;
    *stamp = words[1];
    if (peer->release && peer->release(end) != PEER_OK)
        return fail(member);
    hand.ended += last;
    hand.expected[sender] += !last;
    hand.received += !last;
    return !last;
}

/* After the last step: what is still on its way, up to each sender's last message. */
static int end_receiving(struct crew_member *member)
{
    uint64_t stamp;

    while (hand.ended < work->senders) {
        int result = receive(member, PEER_THERE, &stamp);
        if (result < 0)
            return result;
    }
    member->seat->received = hand.received;
    atomic_store_explicit(&member->area->line, ALL_ARRIVED, memory_order_release);
    return leave(0);
}

/* Stays until the last has arrived: libraries with threads of their own may still be sending it. */
static int end_sending(struct crew_member *member)
{
    int result = send_last(member, PEER_THERE);

    for (int64_t until = crew_now_ns() + gnl_ms(ARRIVAL_MS); crew_now_ns() < until && result == 0;) {
        if (atomic_load_explicit(&member->area->line, memory_order_acquire) == ALL_ARRIVED)
            return leave(0);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    peer_say(PEER_FAILED, "the last message does not arrive");
    return result < 0 ? result : fail(member);
}

static int begin_sending(struct crew_member *member)
{
    /* The receiver is the second. */
    unsigned sender = member->number == 0 ? 0 : member->number - 1;
    int result = open_end(member, PEER_THERE, true, sender);

    if (result == 0 && work->pattern == PEER_BUSY)
        result = open_end(member, PEER_BACK, false, 0);
    return result;
}

static int begin_receiving(struct crew_member *member)
{
    int result = open_end(member, PEER_THERE, false, 0);

    if (result == 0 && work->pattern == PEER_BUSY)
        result = open_end(member, PEER_BACK, true, 0);
    return result;
}

/* ---- both sides busy ---- */

static int64_t there(struct crew_member *member)
{
    int64_t start = crew_now_ns();
    uint64_t stamp;

    for (unsigned i = 0; i < TRIPS; i++) {
        int result = send_next(member, PEER_THERE, 0);
        if (result == 0)
            result = receive(member, PEER_BACK, &stamp);
        if (result < 0)
            return result;
    }
    crew_sample(member, (double)(crew_now_ns() - start) / TRIPS / 2);
    return TRIPS;
}

static int64_t back(struct crew_member *member)
{
    uint64_t stamp;

    for (unsigned i = 0; i < TRIPS && hand.ended == 0; i++) {
        int result = receive(member, PEER_THERE, &stamp);
        if (result == 1)
            result = send_next(member, PEER_BACK, 0);
        else if (result == 0)
            return 0;
        if (result < 0)
            return result;
    }
    return hand.ended == 0 ? TRIPS : 0;
}

/* The other may have begun its last step before it was told to stop: it gets its answers. */
static int end_answering(struct crew_member *member)
{
    while (hand.ended == 0) {
        int64_t result = back(member);
        if (result < 0)
            return (int)result;
    }
    return end_receiving(member);
}

static const struct crew_part busy[] = {
    { .begin = begin_sending,
      .step = there,
      .place = 0,
      .sampling = SAMPLE_OWN,
      .counts = true,
      .end = end_sending },
    { .begin = begin_receiving, .step = back, .place = 1, .end = end_answering },
};

/* ---- the receiver asleep ---- */

/* The receiver has had all that was sent. The library's own threads, if it has any, get the core. */
static void await_arrival(struct crew_member *member)
{
    while (atomic_load_explicit(&member->area->line, memory_order_acquire) != hand.sent &&
           !crew_stopped(member))
        sched_yield();
}

static int64_t wake(struct crew_member *member)
{
    await_arrival(member);
    if (!crew_await_sleep(member))
        return member->seat->failure[0] != '\0' ? -EIO : 0;
    int result = send_next(member, PEER_THERE, (uint64_t)crew_now_ns());
    return result < 0 ? result : 1;
}

static int64_t be_woken(struct crew_member *member)
{
    uint64_t stamp;

    int result = hand.ended > 0 ? 0 : receive(member, PEER_THERE, &stamp);
    if (result == 1)
        crew_sample(member, (double)(crew_now_ns() - (int64_t)stamp));
    atomic_store_explicit(&member->area->line, hand.received, memory_order_release);
    return result;
}

static const struct crew_part asleep[] = {
    { .begin = begin_sending, .step = wake, .place = 0, .end = end_sending },
    { .begin = begin_receiving,
      .step = be_woken,
      .place = 1,
      .sampling = SAMPLE_OWN,
      .counts = true,
      .end = end_receiving },
};

/* ---- streams ---- */

/* Messages between two questions whether to stop. */
static unsigned stretch(void)
{
    return work->size <= 1024 ? 64 : 1;
}

static int64_t stream_out(struct crew_member *member)
{
    unsigned count = stretch();

    for (unsigned i = 0; i < count; i++) {
        int result = send_next(member, PEER_THERE, 0);
        if (result < 0)
            return result;
    }
    return count;
}

static int64_t stream_in(struct crew_member *member)
{
    unsigned count = stretch();
    uint64_t stamp;

    for (unsigned i = 0; i < count && hand.ended < work->senders; i++) {
        int result = receive(member, PEER_THERE, &stamp);
        if (result < 0)
            return result;
    }
    return hand.ended < work->senders ? count : 0;
}

/* The second sender shares the first one's core, unless there is a third. */
static const struct crew_part stream[] = {
    { .begin = begin_sending, .step = stream_out, .place = 0, .end = end_sending },
    { .begin = begin_receiving,
      .step = stream_in,
      .place = 1,
      .sampling = SAMPLE_SLICES,
      .counts = true,
      .end = end_receiving },
    { .begin = begin_sending, .step = stream_out, .place = 0, .end = end_sending },
};

/* Where two share a core a slice says who had it, not how fast it was. */
static void choose_parts(struct crew_part parts[HANDS_MAX])
{
    memcpy(parts, stream, sizeof stream);
    if (work->pattern == PEER_BUSY)
        memcpy(parts, busy, sizeof busy);
    if (work->pattern == PEER_ASLEEP)
        memcpy(parts, asleep, sizeof asleep);
    if (work->senders > 1)
        parts[1].sampling = SAMPLE_NOTHING;
}

void hands_take(const struct peer *for_peer, const struct peer_work *to_do, struct crew_part parts[HANDS_MAX])
{
    peer = for_peer;
    work = to_do;
    yields = work->senders > 1 || machine()->places < 2;
    choose_parts(parts);
}
