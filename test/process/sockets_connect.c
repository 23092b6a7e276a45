/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host with several addresses of which some are dead: RFC 8305. What the resolver finds is what the test
 * says (the getaddrinfo of this program stands in for libc's). A black hole is a listener whose queue is
 * full: the kernel answers nobody who comes after.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "socketing.h"

#define HOST "several.example"

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
void __real_freeaddrinfo(struct addrinfo *found);
void __wrap_freeaddrinfo(struct addrinfo *found);

enum what { GOOD, HOLE, CLOSED }; /* listens; answers nobody; refuses */

struct place {
    int family;
    enum what what;
    int listener, filler; /* -1: none */
    char number[8];       /* the port */
};

static struct place places[4];
static unsigned places_count;

static const char *number_of(const struct place *place)
{
    return place->family == AF_INET ? "127.0.0.1" : "::1";
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    struct addrinfo **end = found;

    if (strcmp(host, HOST) != 0 || (hints->ai_flags & AI_NUMERICHOST))
        return __real_getaddrinfo(host, port, hints, found);
    for (unsigned i = 0; i < places_count; i++) {
        require(__real_getaddrinfo(number_of(&places[i]), places[i].number, hints, end) == 0);
        end = &(*end)->ai_next;
    }
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *found)
{
    while (found) {
        struct addrinfo *next = found->ai_next;
        found->ai_next = NULL;
        __real_freeaddrinfo(found);
        found = next;
    }
}

static int new_connection(const struct sockaddr *to, socklen_t size)
{
    int made = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    require(made >= 0 && (connect(made, to, size) == 0 || errno == EINPROGRESS));
    return made;
}

/* False: there is no such family here. */
static bool settle(int family, enum what what)
{
    struct place *place = &places[places_count];
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *name = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;

    *place = (struct place){ .family = family, .what = what, .filler = -1 };
    place->listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (place->listener < 0 || bind(place->listener, name, size) != 0) {
        close(place->listener);
        return false;
    }
    require(getsockname(place->listener, name, &size) == 0);
    snprintf(place->number, sizeof place->number, "%u",
             ntohs(family == AF_INET ? four.sin_port : six.sin6_port));
    places_count++;
    if (what == CLOSED)
        return true; /* the number is taken, and nobody listens there */
    require(listen(place->listener, what == HOLE ? 0 : 16) == 0);
    if (what == HOLE) {
        place->filler = new_connection(name, size);
        require(poll(&(struct pollfd){ .fd = place->filler, .events = POLLOUT }, 1, PATIENCE_MS) == 1);
    }
    return true;
}

static void leave(void)
{
    for (unsigned i = 0; i < places_count; i++) {
        close(places[i].listener);
        if (places[i].filler >= 0)
            close(places[i].filler);
    }
    places_count = 0;
}

/* ---- one is good ---- */

static const struct scenery {
    int families[4];
    enum what whats[4];
    unsigned count;
} one_good[] = {
    { { AF_INET6, AF_INET }, { HOLE, GOOD }, 2 },
    { { AF_INET, AF_INET6 }, { HOLE, GOOD }, 2 },
    { { AF_INET6, AF_INET }, { CLOSED, GOOD }, 2 },
    { { AF_INET, AF_INET6 }, { CLOSED, GOOD }, 2 },
    { { AF_INET, AF_INET }, { HOLE, GOOD }, 2 }, /* of one family */
    { { AF_INET6, AF_INET, AF_INET6, AF_INET }, { HOLE, HOLE, CLOSED, GOOD }, 4 },
    { { AF_INET6, AF_INET }, { GOOD, HOLE }, 2 },
};

static bool make(const struct scenery *scenery)
{
    for (unsigned i = 0; i < scenery->count; i++)
        if (!settle(scenery->families[i], scenery->whats[i])) {
            leave();
            return false;
        }
    return true;
}

/* The kernel tries a black hole for two minutes: who waited for that would not be there so soon. */
START_TEST(good_address_is_found_behind_dead_ones)
{
    struct gnl_options options = { .stream = 1, .connect_timeout = SOON };
    const struct place *good = places;
    gnl_port *port;
    char byte;

    if (!make(&one_good[_i]))
        skip("no IPv6 here");
    while (good->what != GOOD)
        good++;
    assert_ok(gnl_open(&port, "tcp:" HOST ":1", &options));
    int accepted = accept4(good->listener, NULL, NULL, SOCK_CLOEXEC); /* it is connected: there is one */
    ck_assert_int_ge(accepted, 0);
    assert_ok(gnl_send(port, "x", 1, PATIENCE));
    ck_assert(recv(accepted, &byte, 1, 0) == 1 && byte == 'x');
    assert_ok(gnl_close(port));
    close(accepted);
    leave();
}
END_TEST

/* ---- none is ---- */

static const struct {
    struct scenery scenery;
    int64_t timeout_ms;
    int code;
    const char *says;
} none_good[] = {
    { { { AF_INET6, AF_INET }, { HOLE, HOLE }, 2 }, 600, -ETIMEDOUT, "cannot connect to ::1, 127.0.0.1" },
    { { { AF_INET, AF_INET6 }, { HOLE, CLOSED }, 2 }, 600, -ETIMEDOUT, "cannot connect to 127.0.0.1, ::1" },
    { { { AF_INET, AF_INET6 }, { CLOSED, CLOSED }, 2 },
      PATIENCE_MS,
      -ECONNREFUSED,
      "cannot connect to 127.0.0.1, ::1" },
    { { { AF_INET, AF_INET6 }, { HOLE, HOLE }, 2 },
      50,
      -ETIMEDOUT,
      "cannot connect to 127.0.0.1" }, /* no time for more */
    { { { AF_INET }, { CLOSED }, 1 }, PATIENCE_MS, -ECONNREFUSED, "cannot connect to 127.0.0.1" },
};

START_TEST(dead_addresses_are_named_within_the_time)
{
    struct gnl_options options = { .connect_timeout = gnl_ms(none_good[_i].timeout_ms) };
    gnl_port *port;

    if (!make(&none_good[_i].scenery))
        skip("no IPv6 here");
    int64_t end = now_ms() + PATIENCE_MS;
    ck_assert_int_eq(gnl_open(&port, "tcp:" HOST ":1", &options), none_good[_i].code);
    ck_assert_int_lt(now_ms(), end); /* and not after the kernel's two minutes */
    const char *said = gnl_error_detail();
    ck_assert_msg(strstr(said, HOST) && strstr(said, none_good[_i].says), "%s", said);
    leave();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_connect");
    TCase *tests = support_case(suite, "addresses");

    tcase_add_loop_test(tests, good_address_is_found_behind_dead_ones, 0,
                        sizeof one_good / sizeof one_good[0]);
    tcase_add_loop_test(tests, dead_addresses_are_named_within_the_time, 0,
                        sizeof none_good / sizeof none_good[0]);
    return support_run(suite);
}
