/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever connects to a pipe, or listens on one, need not be a program of ours: garbage, lengths that cannot
 * be, parts and then death, silence. docs/formats/pipe.md has what is sent here by hand.
 */
#include "helpers.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define PIPE  "pipe:p"
#define FRAME 65536

static int raw_connect(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s/%s", support_directory(), PIPE);
    ck_assert_int_eq(connect(made, (struct sockaddr *)&name, sizeof name), 0);
    return made;
}

struct hello {
    char magic[8];
    uint32_t message_max, capacity;
};

static const struct hello good_hello = { "GNNLPIPE", 0, 0 };

/* With descriptors, of which one is the credit; its other end is returned. */
static int introduce(int to, const struct hello *hello, unsigned descriptors)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    struct iovec part = { (void *)(uintptr_t)hello, sizeof *hello };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    if (descriptors > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (unsigned i = 0; i < descriptors; i++)
            memcpy(CMSG_DATA(rights) + i * sizeof(int), &ends[1], sizeof(int));
    }
    ck_assert_int_eq(sendmsg(to, &header, MSG_NOSIGNAL), sizeof *hello);
    close(ends[1]);
    return ends[0];
}

static void send_frame(int to, uint32_t size, uint32_t rest, size_t bytes)
{
    static char data[FRAME + 100];
    uint32_t numbers[2] = { size, rest };
    struct iovec parts[2] = { { numbers, sizeof numbers }, { data, bytes } };

    memset(data, 'h', sizeof data);
    ck_assert_int_eq(writev(to, parts, 2), (ssize_t)(sizeof numbers + bytes));
}

/* A port whose other end is ours. */
struct attack {
    gnl_listener *listener;
    gnl_port *port;
    int socket, credit;
};

static struct attack begin(const struct gnl_options *options)
{
    struct attack attack = { 0 };

    assert_ok(gnl_listen(&attack.listener, PIPE, options));
    attack.socket = raw_connect();
    attack.credit = introduce(attack.socket, &good_hello, 1);
    assert_ok(gnl_accept(attack.listener, &attack.port, PATIENCE));
    return attack;
}

static void end(struct attack *attack)
{
    close(attack->socket);
    close(attack->credit);
    assert_ok(gnl_close(attack->port));
    assert_ok(gnl_listener_close(attack->listener));
}

static void expect_result(gnl_port *port, ssize_t result)
{
    static char data[1 << 20];
    ssize_t got = gnl_recv(port, data, sizeof data, PATIENCE);

    ck_assert_msg(got == result, "%zd, not %zd: %s", got, result, gnl_error_detail());
}

START_TEST(who_says_nothing_or_nonsense_is_never_accepted)
{
    static const struct hello bad[] = {
        { "GNNLPIPX", 0, 0 },
        { "GNNLPIPE", UINT32_MAX, 0 },
    };
    gnl_listener *listener;
    gnl_port *port;
    int credit;

    assert_ok(gnl_listen(&listener, PIPE, NULL));
    int mute[80]; /* more than may be mute at a time */
    for (unsigned i = 0; i < 80; i++)
        mute[i] = raw_connect();
    ck_assert_int_eq(gnl_accept(listener, &port, gnl_ms(20)), -ETIMEDOUT);
    for (unsigned i = 0; i < 80; i++)
        close(mute[i]);
    for (unsigned i = 0; i < 5; i++) {
        int liar = raw_connect();
        if (i < 2)
            close(introduce(liar, &bad[i], 1));
        else if (i == 2)
            close(introduce(liar, &good_hello, 0)); /* no credit */
        else if (i == 3)
            ck_assert_int_eq(write(liar, "short", 5), 5);
        ck_assert_int_eq(gnl_accept(listener, &port, gnl_ms(20)), -ETIMEDOUT);
        close(liar);
    }
    /* Descriptors too many are closed (the fixture counts), and an honest one still gets in. */
    int generous = raw_connect();
    credit = introduce(generous, &good_hello, 4);
    assert_ok(gnl_accept(listener, &port, PATIENCE));
    assert_ok(gnl_close(port));
    close(generous);
    close(credit);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

static const struct {
    uint32_t size, rest;
    size_t bytes;
    int code;
} frames[] = {
    { 5, 0, 4, -EBADMSG }, /* lengths that lie */
    { 4, 0, 5, -EBADMSG },
    { UINT32_MAX, UINT32_MAX, 5, -EBADMSG },
    { UINT32_MAX, 1, 0, -EBADMSG },
    { 10, 10, 10, -EBADMSG }, /* a first frame that is not full */
    { 0, 10, 0, -EBADMSG },
    { FRAME + 1, 0, FRAME + 1, -EBADMSG },
    { FRAME, 1 << 20, FRAME, -EMSGSIZE }, /* more than message_max */
    { FRAME, UINT32_MAX, FRAME, -EMSGSIZE },
};
#define FRAMES (int)(sizeof frames / sizeof frames[0])

START_TEST(frame_that_makes_no_sense_ends_the_receiving)
{
    struct attack attack = begin(NULL);

    send_frame(attack.socket, 3, 0, 3);
    send_frame(attack.socket, frames[_i].size, frames[_i].rest, frames[_i].bytes);
    send_frame(attack.socket, 3, 0, 3);
    expect_result(attack.port, 3); /* what came before stays good */
    expect_result(attack.port, frames[_i].code);
    ck_assert_str_ne(gnl_error_detail(), "");
    expect_result(attack.port, frames[_i].code);
    ck_assert_int_eq(gnl_send(attack.port, "x", 1, GNL_NOWAIT), 0);
    end(&attack);
}
END_TEST

START_TEST(parts_that_do_not_fit_end_the_receiving)
{
    struct attack attack = begin(NULL);

    send_frame(attack.socket, FRAME, 100, FRAME);
    send_frame(attack.socket, _i == 0 ? 99 : 101, 0, _i == 0 ? 99 : 101);
    expect_result(attack.port, -EBADMSG);
    end(&attack);
}
END_TEST

START_TEST(message_that_never_came_to_its_end_is_none)
{
    struct attack attack = begin(NULL);

    send_frame(attack.socket, 3, 0, 3);
    send_frame(attack.socket, FRAME, 100, FRAME);
    close(attack.socket);
    attack.socket = dup(0);
    expect_result(attack.port, 3);
    expect_result(attack.port, -EPIPE);
    expect_result(attack.port, -EPIPE);
    end(&attack);
}
END_TEST

START_TEST(slow_sender_costs_no_more_than_the_timeout)
{
    struct attack attack = begin(NULL);
    char data[200];
    int descriptor = gnl_port_fd(attack.port);

    send_frame(attack.socket, FRAME, 100, FRAME);
    ck_assert_int_eq(gnl_recv(attack.port, data, sizeof data, gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_eq(poll(&(struct pollfd){ .fd = descriptor, .events = POLLIN }, 1, 0), 0);
    send_frame(attack.socket, 100, 0, 100);
    expect_result(attack.port, FRAME + 100);
    end(&attack);
}
END_TEST

START_TEST(word_of_messages_that_were_not_sent_is_nonsense)
{
    struct attack attack = begin(&(struct gnl_options){ .capacity = 2 });
    const uint32_t too_many = 3;

    assert_ok(gnl_send(attack.port, "a", 1, GNL_NOWAIT));
    assert_ok(gnl_send(attack.port, "b", 1, GNL_NOWAIT));
    ck_assert_int_eq(gnl_send(attack.port, "c", 1, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(send(attack.credit, &too_many, _i == 0 ? 4 : 3, MSG_NOSIGNAL), _i == 0 ? 4 : 3);
    ck_assert_int_eq(gnl_send(attack.port, "c", 1, gnl_s(5)), -EBADMSG);
    ck_assert_int_eq(gnl_send(attack.port, "c", 1, gnl_s(5)), -EBADMSG); /* for good */
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "protocol"));
    end(&attack);
}
END_TEST

/* What a set that waits for that alone tells, twice: it does not forget. */
static void expect_ended(gnl_port *port, unsigned events)
{
    struct gnl_event event;
    gnl_waitset *set;

    assert_ok(gnl_waitset_new(&set));
    assert_ok(gnl_waitset_add_port(set, port, events, port));
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, PATIENCE), 1);
        ck_assert_uint_eq(event.events, events | GNL_ENDED);
    }
    gnl_waitset_free(set);
}

START_TEST(set_tells_of_nonsense_that_was_received)
{
    struct attack attack = begin(NULL);
    struct pollfd entry = { .fd = gnl_port_fd(attack.port), .events = POLLIN };

    send_frame(attack.socket, 5, 0, 4);
    expect_result(attack.port, -EBADMSG);
    expect_ended(attack.port, GNL_READABLE);
    ck_assert_int_eq(poll(&entry, 1, 0), 1);
    end(&attack);
}
END_TEST

/* 0: nonsense; 1: no word any more; 2: nobody reads the messages. The set has it before or after a send. */
START_TEST(set_tells_that_no_word_of_receiving_will_come)
{
    struct attack attack = begin(&(struct gnl_options){ .capacity = 1 });
    const uint32_t too_many = 3;
    int code = _i / 2 == 0 ? -EBADMSG : -EPIPE;

    assert_ok(gnl_send(attack.port, "a", 1, GNL_NOWAIT));
    if (_i / 2 == 0)
        ck_assert_int_eq(send(attack.credit, &too_many, 4, MSG_NOSIGNAL), 4);
    else
        shutdown(_i / 2 == 1 ? attack.credit : attack.socket, SHUT_RDWR);
    if (_i % 2 == 0)
        expect_ended(attack.port, GNL_WRITABLE);
    ck_assert_int_eq(gnl_send(attack.port, "b", 1, PATIENCE), code);
    expect_ended(attack.port, GNL_WRITABLE);
    ck_assert_int_eq(gnl_send(attack.port, "b", 1, PATIENCE), code);
    end(&attack);
}
END_TEST

/* Frames at random, some of which are good: no crash, no hang, and what is delivered is bytes of ours. */
START_TEST(noise_is_survived)
{
    uint64_t seed = 0x9e3779b97f4a7c15u * (uint64_t)(_i + 1);

    for (unsigned round = 0; round < 50; round++) {
        struct attack attack = begin(&(struct gnl_options){ .capacity = round % 4 });
        static char data[1 << 20];
        for (unsigned step = 0; step < 20; step++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            unsigned what = seed >> 60;
            size_t bytes = (seed >> 32) % (what == 0 ? FRAME + 50 : 64);
            if (what < 8)
                send_frame(attack.socket, (uint32_t)bytes + (what == 1), what == 2 ? (uint32_t)seed : 0,
                           bytes);
            else if (what < 10)
                ck_assert_int_ge(send(attack.socket, &seed, bytes % 9, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
            else if (what < 12)
                send(attack.credit, &seed, bytes % 9, MSG_NOSIGNAL | MSG_DONTWAIT);
            else if (what < 14)
                gnl_send(attack.port, data, bytes, GNL_NOWAIT);
            ssize_t size = gnl_recv(attack.port, data, sizeof data, GNL_NOWAIT);
            for (ssize_t i = 0; i < size; i++)
                ck_assert(data[i] == 'h' || size < 9);
        }
        end(&attack);
    }
}
END_TEST

/* The listener may be no program of ours either. */
START_TEST(foreign_listener_makes_nobody_hang)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int foreign = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    gnl_port *port;

    snprintf(name.sun_path, sizeof name.sun_path, "%s/%s", support_directory(), PIPE);
    ck_assert_int_eq(bind(foreign, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(listen(foreign, 1), 0);
    assert_ok(gnl_open(&port, PIPE, NULL));
    int accepted = accept4(foreign, NULL, NULL, SOCK_CLOEXEC);
    send_frame(accepted, 9, 0, 3);
    expect_result(port, -EBADMSG);
    close(accepted);
    int result = gnl_send(port, "x", 1, gnl_s(5));
    ck_assert_int_eq(result, -EPIPE);
    assert_ok(gnl_close(port));
    close(foreign);
    assert_ok(gnl_remove(PIPE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipes, hostile");
    TCase *peers = support_case(suite, "peers");

    tcase_add_test(peers, who_says_nothing_or_nonsense_is_never_accepted);
    tcase_add_loop_test(peers, frame_that_makes_no_sense_ends_the_receiving, 0, FRAMES);
    tcase_add_loop_test(peers, parts_that_do_not_fit_end_the_receiving, 0, 2);
    tcase_add_test(peers, message_that_never_came_to_its_end_is_none);
    tcase_add_test(peers, slow_sender_costs_no_more_than_the_timeout);
    tcase_add_loop_test(peers, word_of_messages_that_were_not_sent_is_nonsense, 0, 2);
    tcase_add_test(peers, set_tells_of_nonsense_that_was_received);
    tcase_add_loop_test(peers, set_tells_that_no_word_of_receiving_will_come, 0, 6);
    tcase_add_loop_test(peers, noise_is_survived, 0, 4);
    tcase_add_test(peers, foreign_listener_makes_nobody_hang);
    return support_run(suite);
}
