/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Very many connections, held by one thread that waits for them in one set.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "socketing.h"

#define CONNECTIONS 10000
#define DESCRIPTORS (CONNECTIONS + 200) /* a port in a set has one */
#define TALKS       500
#define MEMORY_MAX  ((size_t)256 << 20) /* bytes of the server, in all */

static gnl_port *ports[CONNECTIONS];

static size_t memory_of_this_process(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long all = 0, resident = 0;

    require(file && fscanf(file, "%lu %lu", &all, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* So many descriptors; false: it may not. */
static bool may_have(rlim_t count)
{
    struct rlimit limit = { .rlim_cur = count, .rlim_max = count };
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max >= count)
        limit.rlim_max = now.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* All connect; then some of them, far apart, say something and are answered. */
static int be_all_clients(void *context)
{
    gnl_listener *listener = context;
    uint32_t number;

    for (unsigned i = 0; i < CONNECTIONS;) {
        int result = gnl_open(&ports[i], gnl_listener_address(listener), NULL);
        require(result == 0 || result == -EAGAIN); /* as many wait to be accepted as may */
        i += result == 0;
        if (result < 0)
            pause_us(1000);
    }
    for (uint32_t i = 0; i < TALKS; i++) {
        gnl_port *port = ports[i * 7919 % CONNECTIONS];
        require(gnl_send(port, &i, sizeof i, PATIENCE) == 0);
        require(gnl_recv(port, &number, sizeof number, PATIENCE) == sizeof number && number == i + 1);
    }
    return 0; /* and all end at once */
}

static void accept_all(gnl_listener *listener, gnl_waitset *set)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        assert_ok(gnl_accept(listener, &ports[i], PATIENCE));
        assert_ok(gnl_waitset_add_port(set, ports[i], GNL_READABLE, &ports[i]));
    }
}

/* Answers, until all have ended. How many messages there were. */
static unsigned serve_all(gnl_waitset *set, size_t *memory)
{
    struct gnl_event events[64];
    unsigned left = CONNECTIONS, answered = 0;
    uint32_t number;

    while (left > 0) {
        int count = gnl_waitset_wait(set, events, 64, PATIENCE);
        require(count > 0);
        for (int i = 0; i < count; i++) {
            gnl_port **port = events[i].tag;
            ssize_t got = gnl_recv(*port, &number, sizeof number, GNL_NOWAIT);
            if (got == sizeof number) {
                number++;
                require(gnl_send(*port, &number, sizeof number, PATIENCE) == 0);
                answered++;
                *memory = memory_of_this_process();
            } else if (got == -EPIPE) {
                require(gnl_close(*port) == 0);
                left--;
            } else {
                require(got == -EAGAIN);
            }
        }
    }
    return answered;
}

static void hold_many(const char *address)
{
    gnl_waitset *set;
    size_t memory = 0;

    gnl_listener *listener = listen_at(address, NULL);
    pid_t child = support_fork(be_all_clients, listener);
    assert_ok(gnl_waitset_new(&set));
    accept_all(listener, set);
    ck_assert_uint_eq(serve_all(set, &memory), TALKS);
    support_expect_exit(child, 0);
    printf("%s: %d connections, %zu MiB\n", address, CONNECTIONS, memory >> 20);
    if (!ADDRESS_SANITIZER)
        ck_assert_uint_lt(memory, MEMORY_MAX);
    gnl_waitset_free(set);
    assert_ok(gnl_listener_close(listener));
}

START_TEST(ten_thousand_connections_in_one_thread)
{
    if (!may_have(DESCRIPTORS))
        skip("this user may not have %d descriptors", DESCRIPTORS);
    hold_many(_i == 0 ? "unix:@sockets-many" : ANY_PORT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_many");
    TCase *tests = support_case(suite, "many");

    tcase_set_timeout(tests, 280);
    tcase_add_loop_test(tests, ten_thousand_connections_in_one_thread, 0, 2);
    return support_run(suite);
}
