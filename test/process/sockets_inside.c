/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets where libc fails: a resolver that does not answer, memory that ends in the midst of a batch. The
 * getaddrinfo and malloc of this program stand in for those of libc.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "socketing.h"

#define STUCK     "stuck.example"
#define LOOKUPS   32 /* that may wait for the resolver at a time */
#define CONNECTED "localhost"

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static struct gate answers;
static atomic_uint asked, left; /* those who asked the resolver, and those of them it has answered */
static atomic_bool no_memory;

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    int result = EAI_NONAME;

    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, port, hints, found);
    atomic_fetch_add(&asked, 1);
    if (strcmp(host, STUCK) == 0)
        poll(&(struct pollfd){ .fd = answers.ends[0], .events = POLLIN }, 1, PATIENCE_MS); /* open for all */
    else
        result = __real_getaddrinfo(host, port, hints, found);
    atomic_fetch_add(&left, 1);
    return result;
}

void *__wrap_malloc(size_t size)
{
    return atomic_load(&no_memory) ? NULL : __real_malloc(size);
}

/* ---- the resolver ---- */

START_TEST(number_goes_to_no_resolver)
{
    static const char *const addresses[] = { ANY_PORT, "tcp:[::1]:0" };
    gnl_port *client;

    for (unsigned i = 0; i < 2; i++) {
        gnl_listener *listener = listen_at(addresses[i], NULL);
        assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
        gnl_port *server = accept_from(listener);
        assert_ok(gnl_close(client));
        assert_ok(gnl_close(server));
        assert_ok(gnl_listener_close(listener));
    }
    ck_assert_uint_eq(atomic_load(&asked), 0);
}
END_TEST

START_TEST(name_goes_to_the_resolver)
{
    gnl_listener *listener = listen_at("tcp:" CONNECTED ":0", NULL);
    gnl_port *client;

    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    ck_assert_uint_ge(atomic_load(&asked), 2);
    gnl_port *server = accept_from(listener);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

static bool all_have_left(void *context)
{
    (void)context;
    return atomic_load(&left) == atomic_load(&asked);
}

static bool tells_that_there_is_none(void *context)
{
    gnl_port *port;

    (void)context;
    return gnl_open(&port, "tcp:" STUCK ":1", &(struct gnl_options){ .connect_timeout = PATIENCE }) ==
           -ENOENT;
}

START_TEST(resolver_that_does_not_answer_is_not_waited_for)
{
    struct gnl_options soon = { .connect_timeout = gnl_ms(1) };
    gnl_port *port;

    answers = support_gate();
    for (unsigned i = 0; i < LOOKUPS; i++)
        ck_assert_int_eq(gnl_open(&port, "tcp:" STUCK ":1", &soon), -ETIMEDOUT);
    ck_assert_int_eq(gnl_open(&port, "tcp:" STUCK ":1", &soon), -EAGAIN); /* a thread each is left behind */
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    assert_ok(gnl_listener_close(listener));
    support_gate_open(&answers);
    ck_assert(support_until(all_have_left, NULL));
    /* The last of them is about to end. */
    ck_assert(support_until(tells_that_there_is_none, NULL));
    support_gate_close(&answers);
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_that_ends_within_a_batch_leaves_a_true_count)
{
    enum { COUNT = 60, SIZE = 60000 };
    static char data[SIZE];
    struct iovec messages[COUNT];
    gnl_listener *listener = listen_at("unix:@sockets-inside", NULL);
    gnl_port *client;
    ssize_t sent, received = 0, got;

    for (unsigned i = 0; i < COUNT; i++)
        messages[i] = (struct iovec){ data, sizeof data };
    assert_ok(gnl_open(&client, "unix:@sockets-inside", NULL));
    gnl_port *server = accept_from(listener);
    assert_ok(gnl_send(server, "met", 3, PATIENCE));
    expect(client, "met");
    atomic_store(&no_memory, true);
    sent = gnl_send_many(client, messages, COUNT, GNL_NOWAIT); /* the last that begins is cut */
    int after = gnl_send(client, data, 1, GNL_NOWAIT);
    atomic_store(&no_memory, false);
    ck_assert_int_gt(sent, 0);
    ck_assert_int_lt(sent, COUNT);
    ck_assert_int_eq(after, -EPIPE);
    while ((got = gnl_recv(server, data, sizeof data, PATIENCE)) == SIZE)
        received++;
    ck_assert_int_eq(got, -EPIPE);
    ck_assert_int_eq(received, sent);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_inside");
    TCase *resolver = support_case(suite, "resolver");
    TCase *memory = support_case(suite, "memory");

    tcase_add_test(resolver, number_goes_to_no_resolver);
    tcase_add_test(resolver, name_goes_to_the_resolver);
    tcase_add_test(resolver, resolver_that_does_not_answer_is_not_waited_for);
    tcase_add_test(memory, memory_that_ends_within_a_batch_leaves_a_true_count);
    return support_run(suite);
}
