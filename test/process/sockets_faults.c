/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy between two ports that cuts, resets, splits, delays or repeats at a given byte: at every byte of a
 * short conversation, in either direction. Nothing here is left to chance or time: the proxy passes on what
 * is there when it is told to.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "socketing.h"

#define HISTORY 256
#define HOLDS   5 /* turns that what is delayed is kept for */

enum fault { CUT, RESET, SPLIT, DELAY, REPEAT, FAULTS };
enum direction { THERE, BACK, DIRECTIONS }; /* from the client; from the server */

static const char *const words[DIRECTIONS][3] = { { "hello", "", "you" }, { "yes", "what", "" } };

struct proxy {
    int listener, ends[DIRECTIONS]; /* ends[THERE]: to the client; -1 closed */
    enum fault fault;
    enum direction direction;
    size_t at;
    bool struck;
    char seen[DIRECTIONS][HISTORY]; /* all that came */
    size_t came[DIRECTIONS], went[DIRECTIONS];
    unsigned holds;
};

/* ---- the proxy ---- */

static void listen_as_proxy(struct proxy *proxy, char address[GNL_ADDRESS_MAX + 1])
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    require(bind(proxy->listener, (struct sockaddr *)&name, sizeof name) == 0);
    require(listen(proxy->listener, 1) == 0);
    require(getsockname(proxy->listener, (struct sockaddr *)&name, &(socklen_t){ sizeof name }) == 0);
    snprintf(address, GNL_ADDRESS_MAX, "tcp:127.0.0.1:%u", ntohs(name.sin_port));
}

static void end_both(struct proxy *proxy, bool reset)
{
    struct linger at_once = { .l_onoff = 1 };
    char away[HISTORY];

    for (int i = 0; i < DIRECTIONS; i++) {
        if (proxy->ends[i] < 0)
            continue;
        while (!reset && recv(proxy->ends[i], away, sizeof away, MSG_DONTWAIT) > 0)
            ; /* what is not read would make a reset of it */
        if (reset)
            setsockopt(proxy->ends[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(proxy->ends[i]);
        proxy->ends[i] = -1;
    }
}

static void send_on(struct proxy *proxy, enum direction direction, size_t size)
{
    const char *data = proxy->seen[direction] + proxy->went[direction];

    if (size > 0 && proxy->ends[!direction] >= 0)
        send(proxy->ends[!direction], data, size, MSG_NOSIGNAL);
    proxy->went[direction] += size;
}

/* How much of what came may go on now. */
static size_t allowed(struct proxy *proxy, enum direction direction)
{
    size_t ready = proxy->came[direction] - proxy->went[direction],
           before = proxy->at - proxy->went[direction];

    if (direction != proxy->direction)
        return ready;
    if (proxy->struck)
        return proxy->holds > 0 ? 0 : proxy->fault == SPLIT && ready > 1 ? 1 : ready;
    return ready < before ? ready : before;
}

/* All bytes before the place have gone on, and one more is there. */
static void strike(struct proxy *proxy)
{
    size_t again = proxy->at < 3 ? proxy->at : 3;

    proxy->struck = true;
    if (proxy->fault == CUT || proxy->fault == RESET)
        end_both(proxy, proxy->fault == RESET);
    if (proxy->fault == DELAY)
        proxy->holds = HOLDS;
    if (proxy->fault == REPEAT && again > 0)
        send(proxy->ends[!proxy->direction], proxy->seen[proxy->direction] + proxy->at - again, again,
             MSG_NOSIGNAL);
}

/* Passes on what is there. */
static void turn(struct proxy *proxy)
{
    enum direction there = proxy->direction;

    proxy->holds -= proxy->holds > 0;
    for (int i = 0; i < DIRECTIONS; i++) {
        enum direction direction = (enum direction)i;
        size_t *came = &proxy->came[i];
        ssize_t got = proxy->ends[i] < 0 || *came == HISTORY
                          ? -1
                          : recv(proxy->ends[i], proxy->seen[i] + *came, HISTORY - *came, MSG_DONTWAIT);
        *came += got > 0 ? (size_t)got : 0;
        send_on(proxy, direction, allowed(proxy, direction));
        if (got == 0 && proxy->went[i] == *came && proxy->ends[!i] >= 0)
            shutdown(proxy->ends[!i], SHUT_WR);
    }
    if (!proxy->struck && proxy->went[there] == proxy->at && proxy->came[there] > proxy->at)
        strike(proxy);
}

/* ---- the conversation ---- */

struct talk {
    struct proxy proxy;
    gnl_listener *listener;
    gnl_port *ports[DIRECTIONS]; /* who sends there: the client, and the server once it was accepted */
    unsigned received[DIRECTIONS];
};

/* What was received, or the error; the proxy works meanwhile. */
static ssize_t receive(struct talk *talk, gnl_port *port, char *data, size_t room)
{
    int64_t end = now_ms() + PATIENCE_MS;
    ssize_t got;

    while ((got = gnl_recv(port, data, room, GNL_NOWAIT)) == -EAGAIN) {
        turn(&talk->proxy);
        require(now_ms() < end);
        if (talk->proxy.fault == REPEAT && talk->proxy.struck)
            return -EAGAIN; /* a frame that says it is longer may never be complete */
    }
    return got;
}

static bool accept_client(struct talk *talk)
{
    int64_t end = now_ms() + PATIENCE_MS;
    int result;

    while ((result = gnl_accept(talk->listener, &talk->ports[BACK], GNL_NOWAIT)) == -EAGAIN) {
        turn(&talk->proxy);
        require(now_ms() < end);
        if (talk->proxy.struck && talk->proxy.direction == THERE && talk->proxy.at < 16 &&
            talk->proxy.fault != SPLIT && talk->proxy.fault != DELAY)
            return false; /* its hello will never come, or is another */
        if (talk->proxy.ends[THERE] < 0)
            return false;
    }
    require(result == 0);
    return true;
}

static bool is_clear(ssize_t code)
{
    return code == -EPIPE || code == -EBADMSG || code == -EMSGSIZE ||
           code == -EAGAIN; /* the last: no more has come */
}

/* One word from one to the other. False: the conversation has ended, with an error that says so. */
static bool say(struct talk *talk, enum direction direction, const char *word)
{
    bool repeats = talk->proxy.fault == REPEAT;
    char data[HISTORY];

    int sent = gnl_send(talk->ports[direction], word, strlen(word), PATIENCE);
    require(sent == 0 || is_clear(sent));
    if (sent < 0)
        return false;
    ssize_t got = receive(talk, talk->ports[!direction], data, sizeof data);
    if (got < 0) {
        require(is_clear(got));
        return false;
    }
    bool same = got == (ssize_t)strlen(word) && memcmp(data, word, (size_t)got) == 0;
    require(same || (repeats && talk->proxy.struck && direction == talk->proxy.direction));
    talk->received[direction]++;
    return same;
}

static void begin(struct talk *talk, enum fault fault, enum direction direction, size_t at)
{
    char address[GNL_ADDRESS_MAX + 1];

    *talk = (struct talk){ .proxy = { .fault = fault, .direction = direction, .at = at } };
    talk->listener = listen_at(ANY_PORT, NULL);
    listen_as_proxy(&talk->proxy, address);
    require(gnl_open(&talk->ports[THERE], address, NULL) == 0);
    talk->proxy.ends[THERE] = accept4(talk->proxy.listener, NULL, NULL, SOCK_CLOEXEC);
    require(talk->proxy.ends[THERE] >= 0);
    talk->proxy.ends[BACK] = raw_connect(talk->listener);
}

/* It may be the first call to see that the connection was reset, and then says so. */
static void close_lost(gnl_port *port)
{
    int result = gnl_close(port);

    ck_assert_msg(result == 0 || result == -EPIPE, "%d: %s", result, gnl_error_detail());
}

static void end(struct talk *talk)
{
    gnl_port *other;

    end_both(&talk->proxy, true); /* leaves no TIME_WAIT behind */
    close(talk->proxy.listener);
    /* Whatever happened to this one, the listener goes on. */
    assert_ok(gnl_open(&other, gnl_listener_address(talk->listener), NULL));
    gnl_port *accepted = accept_from(talk->listener);
    assert_ok(gnl_send(other, "next", 4, PATIENCE));
    expect(accepted, "next");
    assert_ok(gnl_close(accepted));
    assert_ok(gnl_close(other));
    close_lost(talk->ports[THERE]);
    close_lost(talk->ports[BACK]);
    assert_ok(gnl_listener_close(talk->listener));
}

/* Words whose frames are complete in the first bytes of a direction. */
static unsigned complete(enum direction direction, size_t bytes)
{
    size_t at = 16;
    unsigned count = 0;

    for (; count < 3; count++) {
        at += 4 + strlen(words[direction][count]);
        if (at > bytes)
            break;
    }
    return count;
}

static void check(const struct talk *talk)
{
    const struct proxy *proxy = &talk->proxy;
    unsigned whole = complete(proxy->direction, proxy->at), got = talk->received[proxy->direction];

    if (!proxy->struck || proxy->fault == SPLIT || proxy->fault == DELAY)
        ck_assert_msg(talk->received[THERE] == 3 && talk->received[BACK] == 3, "%u and %u words of 3",
                      talk->received[THERE], talk->received[BACK]);
    else if (proxy->fault == CUT) /* a reset takes back what was not read */
        ck_assert_msg(got == whole, "%u words of %u", got, whole);
    else if (proxy->fault == RESET)
        ck_assert_msg(got <= whole, "%u words of %u", got, whole);
}

/* As long as the conversation is in bytes, and one more: then nothing happens. */
static size_t length_of(enum direction direction)
{
    size_t length = 16;

    for (unsigned i = 0; i < 3; i++)
        length += 4 + strlen(words[direction][i]);
    return length;
}

START_TEST(fault_at_every_byte_is_that_ports_alone)
{
    enum fault fault = (enum fault)(_i / DIRECTIONS);
    enum direction direction = (enum direction)(_i % DIRECTIONS);

    for (size_t at = 0; at <= length_of(direction); at++) {
        struct talk talk;
        begin(&talk, fault, direction, at);
        bool goes_on = accept_client(&talk);
        for (unsigned i = 0; i < 3 && goes_on; i++)
            goes_on = say(&talk, THERE, words[THERE][i]) && say(&talk, BACK, words[BACK][i]);
        check(&talk);
        ck_assert(talk.proxy.struck || at == length_of(direction) || !goes_on);
        end(&talk);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_faults");
    TCase *tests = support_case(suite, "faults");

    tcase_add_loop_test(tests, fault_at_every_byte_is_that_ports_alone, 0, FAULTS * DIRECTIONS);
    return support_run(suite);
}
