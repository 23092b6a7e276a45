/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one link: every message arrives once, each receiver sees each sender's in order,
 * and handles may be shared, opened and closed by all of them.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>

enum { SENDERS = 4, RECEIVERS = 3, EACH = 600 };

/* What is sent: who, and which of theirs; the rest of the message is made from both. */
struct letter {
    uint32_t sender;
    uint32_t number;
};

struct crowd {
    struct pair pair;
    bool shared; /* all senders use one port, all receivers another */
    _Atomic uint64_t received;
    atomic_uchar seen[SENDERS][EACH];
};

struct member {
    struct crowd *crowd;
    pthread_t thread;
    unsigned number;
};

static size_t size_of(const struct crowd *crowd, uint32_t number)
{
    static const size_t sizes[] = { 8, 16, 96, 97, 300, 5000, 8, 8 };
    size_t size = sizes[number % 8];

    return size > crowd->pair.kind->message_max ? 8 : size;
}

static size_t write_letter(const struct crowd *crowd, void *data, uint32_t sender, uint32_t number)
{
    struct letter letter = { sender, number };
    size_t size = size_of(crowd, number);

    memcpy(data, &letter, sizeof letter);
    message_fill((char *)data + sizeof letter, size - sizeof letter, (uint64_t)sender << 32 | number);
    return size;
}

/* The letter is whole, new, and later than what this receiver has had of its sender. */
static void check_letter(struct crowd *crowd, const void *data, size_t size, int64_t last[SENDERS],
                         bool redelivered)
{
    struct letter letter;

    must(size >= sizeof letter);
    memcpy(&letter, data, sizeof letter);
    must(letter.sender < SENDERS && letter.number < EACH);
    must(size == size_of(crowd, letter.number));
    message_expect((const char *)data + sizeof letter, size - sizeof letter,
                   (uint64_t)letter.sender << 32 | letter.number);
    if (redelivered)
        return;
    if (letter.number <= last[letter.sender])
        ck_abort_msg("sender %u: message %u after %lld", letter.sender, letter.number,
                     (long long)last[letter.sender]);
    last[letter.sender] = letter.number;
}

static void count_letter(struct crowd *crowd, const void *data)
{
    struct letter letter;

    memcpy(&letter, data, sizeof letter);
    if (atomic_fetch_add(&crowd->seen[letter.sender][letter.number], 1) != 0)
        ck_abort_msg("sender %u: message %u twice", letter.sender, letter.number);
    atomic_fetch_add(&crowd->received, 1);
}

/* One way of sending each. */
static void *send_letters(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    gnl_port *port = crowd->shared ? crowd->pair.sender : pair_sender(&crowd->pair);
    char data[5000], second[5000];

    for (uint32_t i = 0; i < EACH; i++) {
        if (member->number % 3 == 0) {
            size_t size = write_letter(crowd, data, member->number, i);
            must(gnl_send(port, data, size, PATIENCE) == 0);
        } else if (member->number % 3 == 1) {
            gnl_message loan;
            must(gnl_loan(port, &loan, size_of(crowd, i), PATIENCE) == 0);
            write_letter(crowd, loan.data, member->number, i);
            must(gnl_post(port, &loan, PATIENCE) == 0);
        } else {
            struct iovec two[2] = { { data, write_letter(crowd, data, member->number, i) } };
            size_t count = 1;
            if (i + 1 < EACH)
                two[count++] = (struct iovec){ second, write_letter(crowd, second, member->number, ++i) };
            must(gnl_send_many(port, two, count, PATIENCE) == (ssize_t)count);
        }
    }
    if (!crowd->shared)
        must(gnl_close(port) == 0);
    return NULL;
}

static bool all_received(const struct crowd *crowd)
{
    return atomic_load(&crowd->received) == SENDERS * EACH;
}

/* One way of receiving each. */
static void receive_some(struct crowd *crowd, gnl_port *port, unsigned way, int64_t last[SENDERS])
{
    char data[5000];
    gnl_message messages[5];

    if (way == 0) {
        ssize_t size = gnl_recv(port, data, sizeof data, gnl_ms(50));
        must(size >= 0 || size == -ETIMEDOUT);
        if (size >= 0) {
            check_letter(crowd, data, (size_t)size, last, false);
            count_letter(crowd, data);
        }
        return;
    }
    ssize_t taken = gnl_take_many(port, messages, way == 1 ? 1 : 5, gnl_ms(50));
    must(taken > 0 || taken == -ETIMEDOUT);
    for (ssize_t i = 0; i < taken; i++) {
        check_letter(crowd, messages[i].data, messages[i].size, last, messages[i].flags & GNL_REDELIVERED);
        count_letter(crowd, messages[i].data);
        must(gnl_done(&messages[i]) == 0);
    }
}

static void *receive_letters(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    gnl_port *port = crowd->shared ? crowd->pair.receiver : pair_receiver(&crowd->pair);
    int64_t last[SENDERS] = { -1, -1, -1, -1 };

    while (!all_received(crowd))
        receive_some(crowd, port, member->number % 3, last);
    if (!crowd->shared)
        must(gnl_close(port) == 0);
    return NULL;
}

/* Gives every fifth message back the first time it has it. */
static void *receive_and_give_back(void *context)
{
    struct member *member = context;
    struct crowd *crowd = member->crowd;
    gnl_port *port = crowd->shared ? crowd->pair.receiver : pair_receiver(&crowd->pair);
    int64_t last[SENDERS] = { -1, -1, -1, -1 };

    for (uint32_t i = 0; !all_received(crowd); i++) {
        gnl_message message;
        int result = gnl_take(port, &message, gnl_ms(50));
        must(result == 0 || result == -ETIMEDOUT);
        if (result < 0)
            continue;
        bool redelivered = message.flags & GNL_REDELIVERED;
        must(redelivered == (message.deliveries > 1));
        check_letter(crowd, message.data, message.size, last, redelivered);
        if (!redelivered && i % 5 == 0) {
            must(gnl_giveback(&message) == 0);
            continue;
        }
        count_letter(crowd, message.data);
        must(gnl_done(&message) == 0);
    }
    if (!crowd->shared)
        must(gnl_close(port) == 0);
    return NULL;
}

static void run_crowd(int kind, bool shared, void *(*receive)(void *context))
{
    static struct crowd crowd;
    struct member senders[SENDERS], receivers[RECEIVERS];

    crowd.pair = pair_open(kind);
    crowd.shared = shared;
    for (unsigned i = 0; i < RECEIVERS; i++) {
        receivers[i] = (struct member){ .crowd = &crowd, .number = i };
        ck_assert_int_eq(pthread_create(&receivers[i].thread, NULL, receive, &receivers[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct member){ .crowd = &crowd, .number = i };
        ck_assert_int_eq(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    for (unsigned i = 0; i < RECEIVERS; i++)
        pthread_join(receivers[i].thread, NULL);
    expect_empty(crowd.pair.receiver);
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned n = 0; n < EACH; n++)
            must(crowd.seen[i][n] == 1);
    struct gnl_port_info info;
    assert_ok(gnl_port_info(crowd.pair.sender, &info));
    ck_assert_uint_eq(info.sent, SENDERS * EACH);
    ck_assert(crowd.pair.kind->socket || info.received == SENDERS * EACH + info.redelivered);
    ck_assert_uint_eq(info.queued + info.held, 0);
    pair_close(&crowd.pair);
}

START_TEST(every_message_arrives_once_and_in_each_sender_s_order)
{
    run_crowd(_i, false, receive_letters);
}
END_TEST

/* Two threads that share a port are one receiver: what each of them sees is in order, too. */
START_TEST(threads_may_share_their_ports)
{
    run_crowd(_i, true, receive_letters);
}
END_TEST

START_TEST(given_back_messages_are_neither_lost_nor_doubled)
{
    run_crowd(_i, _i % 2, receive_and_give_back);
}
END_TEST

/* ---- handles that come and go ---- */

enum { COMERS = 4, ROUNDS = 100 };

static bool fine(ssize_t result, int also)
{
    return result >= 0 || result == also || result == -EAGAIN || result == -EIDRM;
}

static void *come_and_go(void *context)
{
    struct member *member = context;
    char data[5000] = { 0 };

    for (unsigned i = 0; i < ROUNDS; i++) {
        gnl_port *port;
        struct gnl_port_info info;
        struct gnl_participant participants[2];
        must(gnl_open(&port, "mailbox:busy", &(struct gnl_options){ .capacity = 20 }) == 0);
        must(fine(gnl_send(port, data, i % 2 ? 10 : 3000, GNL_NOWAIT), 0));
        must(fine(gnl_recv(port, data, sizeof data, GNL_NOWAIT), 0));
        must(fine(gnl_port_info(port, &info), 0));
        must(fine(gnl_inspect("mailbox:busy", &info, participants, 2), -ENOENT));
        if (i % 4 == 0)
            must(fine(gnl_port_fd(port), 0));
        if (member->number == 0 && i % 10 == 9)
            must(fine(gnl_remove("mailbox:busy"), -ENOENT));
        must(gnl_close(port) == 0);
    }
    return NULL;
}

START_TEST(ports_may_come_and_go_in_all_threads_at_once)
{
    struct member members[COMERS];

    for (unsigned i = 0; i < COMERS; i++) {
        members[i] = (struct member){ .number = i };
        ck_assert_int_eq(pthread_create(&members[i].thread, NULL, come_and_go, &members[i]), 0);
    }
    for (unsigned i = 0; i < COMERS; i++)
        pthread_join(members[i].thread, NULL);
    int result = gnl_remove("mailbox:busy");
    ck_assert(result == 0 || result == -ENOENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *crowds = support_case(suite, "crowds");

    add_for_each_shared_kind(crowds, every_message_arrives_once_and_in_each_sender_s_order);
    add_for_each_kind(crowds, threads_may_share_their_ports);
    add_for_each_shared_kind(crowds, given_back_messages_are_neither_lost_nor_doubled);
    TCase *handles = support_case(suite, "handles");
    tcase_add_test(handles, ports_may_come_and_go_in_all_threads_at_once);
    return support_run(suite);
}
