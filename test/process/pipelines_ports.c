/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines with ports at their ends: one, and many in one waitset.
 */
#include <ginnel/pipe.h>
#include <ginnel/pipeline.h>
#include <ginnel/waitset.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "helpers.h"
#include "spawning.h"

#define BYTES ((size_t)2 << 20) /* more than the pipes of a line hold */

static gnl_pipeline *parsed(const char *text)
{
    gnl_pipeline *pipeline;

    assert_ok(gnl_pipeline_parse(&pipeline, text));
    return pipeline;
}

static void expect_success(const struct gnl_exit *exit)
{
    ck_assert_int_eq(exit->kind, GNL_EXITED);
    ck_assert_int_eq(exit->code, 0);
}

/* ---- ports at its ends ---- */

/* A port at one end; the stage's own is *theirs, for the options. */
static gnl_port *port_to(struct gnl_stdio *theirs, bool feeds)
{
    gnl_port *port;
    int ends[2];

    assert_ok(gnl_pipe(&ends[0], &ends[1]));
    assert_ok(gnl_pipe_port(&port, ends[feeds]));
    *theirs = (struct gnl_stdio){ GNL_FD, ends[!feeds] };
    return port;
}

START_TEST(ports_are_its_ends)
{
    gnl_pipeline *pipeline = parsed("sort | tr a-z A-Z");
    struct gnl_spawn_options options = { 0 };
    gnl_port *input = port_to(&options.standard[0], true), *output = port_to(&options.standard[1], false);
    char data[64];
    struct gnl_exit exits[2];

    assert_ok(gnl_pipeline_start(pipeline, &options));
    close(options.standard[0].fd);
    close(options.standard[1].fd);
    ck_assert_int_eq(gnl_recv(output, data, sizeof data, gnl_ms(50)), -ETIMEDOUT);
    assert_ok(gnl_send(input, "b\n", 2, PATIENCE));
    assert_ok(gnl_send(input, "a\n", 2, PATIENCE));
    ck_assert_int_eq(gnl_recv(input, data, sizeof data, PATIENCE), -EPERM);
    ck_assert_int_eq(gnl_send(output, "x", 1, PATIENCE), -EPERM);
    assert_ok(gnl_finish(input));
    ck_assert_int_eq(gnl_recv(output, data, sizeof data, PATIENCE), 4);
    ck_assert_mem_eq(data, "A\nB\n", 4);
    ck_assert_int_eq(gnl_recv(output, data, sizeof data, PATIENCE), -EPIPE);
    assert_ok(gnl_close(input));
    assert_ok(gnl_close(output));
    assert_ok(gnl_pipeline_wait(pipeline, exits, 2, PATIENCE));
    expect_success(&exits[1]);
    gnl_pipeline_free(pipeline);
}
END_TEST

START_TEST(port_tells_when_nobody_reads)
{
    gnl_pipeline *pipeline = parsed("head -c 1");
    struct gnl_spawn_options options = { .standard = { { 0, 0 }, { GNL_NULL, 0 } } };
    gnl_port *input = port_to(&options.standard[0], true);
    static char data[1 << 20];
    int result = 0;

    assert_ok(gnl_pipeline_start(pipeline, &options));
    close(options.standard[0].fd);
    while (result == 0)
        result = gnl_send(input, data, sizeof data, PATIENCE);
    ck_assert_int_eq(result, -EPIPE);
    assert_ok(gnl_close(input));
    assert_ok(gnl_pipeline_wait(pipeline, NULL, 0, PATIENCE));
    gnl_pipeline_free(pipeline);
}
END_TEST

struct waiter {
    gnl_port *port;
    bool sends;
    _Atomic pid_t number;
    int64_t result;
};

static void *wait_there(void *context)
{
    static char data[4096];
    struct waiter *waiter = context;

    waiter->number = gettid();
    waiter->result = waiter->sends ? 0 : gnl_recv(waiter->port, data, sizeof data, PATIENCE);
    while (waiter->result == 0)
        waiter->result = gnl_send(waiter->port, data, sizeof data, PATIENCE);
    return NULL;
}

static bool waits(void *context)
{
    struct waiter *waiter = context;

    return waiter->number > 0 && support_sleeps(waiter->number);
}

/* The pipe is full, or empty, and nobody does anything at its other end. */
START_TEST(closing_a_port_wakes_who_waits_there)
{
    int ends[2];
    pthread_t thread;

    for (int sends = 0; sends < 2; sends++) {
        struct waiter waiter = { .sends = sends };
        assert_ok(gnl_pipe(&ends[0], &ends[1]));
        assert_ok(gnl_pipe_port(&waiter.port, ends[sends]));
        ck_assert_int_eq(pthread_create(&thread, NULL, wait_there, &waiter), 0);
        ck_assert(support_until(waits, &waiter));
        assert_ok(gnl_close(waiter.port));
        pthread_join(thread, NULL);
        ck_assert_int_eq(waiter.result, -ECANCELED);
        close(ends[!sends]);
    }
}
END_TEST

START_TEST(only_an_end_of_a_pipe_is_a_port)
{
    gnl_port *port = NULL;
    int ends[2], file = open("/dev/null", O_RDWR | O_CLOEXEC);

    ck_assert_int_eq(gnl_pipe_port(&port, file), -EINVAL);
    close(file);
    ck_assert_int_eq(gnl_pipe_port(&port, file), -EBADF);
    ck_assert_int_eq(gnl_pipe_port(&port, -1), -EBADF);
    assert_ok(gnl_pipe(&ends[0], &ends[1]));
    ck_assert_int_eq(gnl_pipe_port(NULL, ends[0]), -EINVAL);
    ck_assert_ptr_null(port);
    struct gnl_port_info info;
    assert_ok(gnl_pipe_port(&port, ends[0]));
    assert_ok(gnl_port_info(port, &info));
    ck_assert_int_eq(info.kind, GNL_PIPE_END);
    ck_assert_str_eq(info.address, "");
    ck_assert(!info.two_way && info.receivers == 1 && info.senders == 0);
    assert_ok(gnl_close(port));
    ck_assert_int_eq(fcntl(ends[0], F_GETFD), -1); /* it was the port's */
    close(ends[1]);
}
END_TEST

/* ---- many in one waitset ---- */

#define MANY 20

struct member {
    gnl_pipeline *pipeline;
    gnl_port *input, *output;
    int number;
    size_t sent, received;
    bool ended;
};

static void begin_member(struct member *member, gnl_waitset *set, int number)
{
    struct gnl_spawn_options options = { 0 };

    *member = (struct member){ .pipeline = parsed("cat | cat"), .number = number };
    member->input = port_to(&options.standard[0], true);
    member->output = port_to(&options.standard[1], false);
    assert_ok(gnl_pipeline_start(member->pipeline, &options));
    close(options.standard[0].fd);
    close(options.standard[1].fd);
    assert_ok(gnl_waitset_add_port(set, member->input, GNL_WRITABLE, &member->sent));
    assert_ok(gnl_waitset_add_port(set, member->output, GNL_READABLE, &member->received));
    assert_ok(gnl_waitset_add_process(set, gnl_pipeline_stage(member->pipeline, 1), &member->ended));
}

static void send_some(struct member *member)
{
    static unsigned char data[4096];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(member->sent + i + (size_t)member->number);
    int result = gnl_send(member->input, data, sizeof data, GNL_NOWAIT);
    ck_assert(result == 0 || result == -EAGAIN);
    member->sent += result == 0 ? sizeof data : 0;
    if (member->sent == BYTES) {
        assert_ok(gnl_finish(member->input));
        assert_ok(gnl_close(member->input));
        member->input = NULL;
    }
}

static void receive_some(struct member *member)
{
    static unsigned char data[65536];

    ssize_t size = gnl_recv(member->output, data, sizeof data, GNL_NOWAIT);
    if (size == -EPIPE) {
        assert_ok(gnl_close(member->output));
        member->output = NULL;
        return;
    }
    ck_assert(size > 0 || size == -EAGAIN);
    bool good = true;
    for (ssize_t i = 0; i < size; i++)
        good = good && data[i] == ((member->received + (size_t)i + (size_t)member->number) & 255);
    ck_assert(good);
    member->received += size > 0 ? (size_t)size : 0;
}

/* Each with ports at both ends and its last stage; nothing waits but in the set. */
START_TEST(many_pipelines_wait_in_one_set)
{
    static struct member members[MANY];
    struct gnl_event events[7];
    gnl_waitset *set;
    int left = MANY;

    assert_ok(gnl_waitset_new(&set));
    for (int i = 0; i < MANY; i++)
        begin_member(&members[i], set, i);
    while (left > 0) {
        int count = gnl_waitset_wait(set, events, 7, PATIENCE);
        ck_assert_int_gt(count, 0);
        for (int i = 0; i < count; i++) {
            struct member *member =
                &members[((char *)events[i].tag - (char *)members) / (ptrdiff_t)sizeof *members];
            if (events[i].tag == &member->sent && member->input)
                send_some(member);
            if (events[i].tag == &member->received && member->output)
                receive_some(member);
            if (events[i].tag == &member->ended) {
                assert_ok(gnl_waitset_remove(set, &member->ended));
                member->ended = true;
                left--;
            }
        }
    }
    for (int i = 0; i < MANY; i++) {
        struct gnl_exit exits[2];
        while (members[i].output)
            receive_some(&members[i]);
        ck_assert_uint_eq(members[i].received, BYTES);
        assert_ok(gnl_pipeline_wait(members[i].pipeline, exits, 2, PATIENCE));
        expect_success(&exits[0]);
        expect_success(&exits[1]);
        gnl_pipeline_free(members[i].pipeline);
    }
    gnl_waitset_free(set);
    expect_no_children();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipelines, with ports");
    TCase *tests = support_case(suite, "ports");

    tcase_add_test(tests, ports_are_its_ends);
    tcase_add_test(tests, port_tells_when_nobody_reads);
    tcase_add_test(tests, closing_a_port_wakes_who_waits_there);
    tcase_add_test(tests, only_an_end_of_a_pipe_is_a_port);
    tcase_add_test(tests, many_pipelines_wait_in_one_set);
    return support_run(suite);
}
