/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What needs memory: a message of 1 GiB, ten million messages in an unbounded mailbox. Left out where
 * there is not that much.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#define GIB ((size_t)1 << 30)

static bool too_little_memory(uint64_t needed)
{
    struct statvfs shared;
    uint64_t available = 0;
    char line[128];
    FILE *memory = fopen("/proc/meminfo", "re");

    while (memory && fgets(line, sizeof line, memory))
        if (sscanf(line, "MemAvailable: %lu", &available) == 1)
            break;
    if (memory)
        fclose(memory);
    ck_assert_int_eq(statvfs(support_directory(), &shared), 0);
    bool little = available * 1024 < needed + GIB / 2 || shared.f_bavail * shared.f_frsize < needed;
    if (little)
        fprintf(stderr, "left out: needs %lu MiB of memory\n", (unsigned long)(needed >> 20));
    return little;
}

static uint64_t bytes_of(gnl_port *port)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(port, &info));
    return info.bytes;
}

START_TEST(message_of_one_gibibyte_arrives)
{
    gnl_port *port;

    if (too_little_memory(2 * GIB))
        return;
    assert_ok(gnl_open(&port, "mailbox:large", &(struct gnl_options){ .capacity = 1, .message_max = GIB }));
    uint64_t *data = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(data, MAP_FAILED);
    for (size_t i = 0; i < GIB / 8; i++)
        data[i] = i * 0x9e3779b97f4a7c15u;
    assert_ok(gnl_send(port, data, GIB, GNL_NOWAIT));
    memset(data, 0, GIB);
    ck_assert_int_eq(gnl_recv(port, data, GIB - 1, GNL_NOWAIT), -EMSGSIZE);
    ck_assert_int_eq(gnl_recv(port, data, GIB, GNL_NOWAIT), (ssize_t)GIB);
    for (size_t i = 0; i < GIB / 8; i++)
        must(data[i] == i * 0x9e3779b97f4a7c15u);
    munmap(data, GIB);
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove("mailbox:large"));
}
END_TEST

static void *send_gibibyte(void *context)
{
    char *data = mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    gnl_port *port;

    (void)context;
    must(data != MAP_FAILED);
    for (size_t i = 0; i < GIB; i += 4096)
        data[i] = (char)(i >> 12);
    assert_ok(gnl_open(&port, "pipe:large", NULL)); /* message_max is the listener's */
    must(gnl_send(port, data, GIB + 1, GNL_FOREVER) == -EMSGSIZE);
    must(gnl_send(port, data, GIB, GNL_FOREVER) == 0);
    must(gnl_send(port, data, 0, GNL_FOREVER) == 0);
    assert_ok(gnl_close(port));
    munmap(data, GIB);
    return NULL;
}

START_TEST(message_of_one_gibibyte_goes_through_a_named_pipe)
{
    gnl_listener *listener;
    gnl_message message;
    pthread_t thread;
    gnl_port *port;

    if (too_little_memory(2 * GIB))
        return;
    assert_ok(gnl_listen(&listener, "pipe:large", &(struct gnl_options){ .message_max = GIB }));
    ck_assert_int_eq(pthread_create(&thread, NULL, send_gibibyte, NULL), 0);
    assert_ok(gnl_accept(listener, &port, PATIENCE));
    assert_ok(gnl_take(port, &message, GNL_FOREVER));
    ck_assert_uint_eq(message.size, GIB);
    for (size_t i = 0; i < GIB; i += 4096)
        must(((char *)message.data)[i] == (char)(i >> 12));
    assert_ok(gnl_done(&message));
    assert_ok(gnl_take(port, &message, PATIENCE)); /* of no bytes, and no end */
    ck_assert_uint_eq(message.size, 0);
    assert_ok(gnl_done(&message));
    ck_assert_int_eq(gnl_take(port, &message, PATIENCE), -EPIPE);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(ten_million_messages_queue_and_drain_and_their_memory_goes_back)
{
    enum { COUNT = 10000000 };
    gnl_port *port;
    struct gnl_port_info info;
    uint64_t message[8] = { 0 };

    if (too_little_memory((uint64_t)COUNT * 128 + GIB / 4))
        return;
    assert_ok(gnl_open(&port, "mailbox:endless", &(struct gnl_options){ .capacity = GNL_UNBOUNDED }));
    uint64_t empty = bytes_of(port);
    for (uint64_t i = 0; i < COUNT; i++) {
        message[0] = i;
        message[7] = ~i;
        must(gnl_send(port, message, sizeof message, GNL_NOWAIT) == 0);
    }
    assert_ok(gnl_port_info(port, &info));
    ck_assert_uint_eq(info.queued, COUNT);
    for (uint64_t i = 0; i < COUNT; i++) {
        must(gnl_recv(port, message, sizeof message, GNL_NOWAIT) == sizeof message);
        must(message[0] == i && message[7] == ~i);
        if (i == COUNT / 2) /* it goes back as it drains, not only at the end */
            ck_assert_uint_lt(bytes_of(port), info.bytes / 2 + (16 << 20));
    }
    expect_empty(port);
    ck_assert_uint_le(bytes_of(port), empty + (4 << 20));
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove("mailbox:endless"));
}
END_TEST

/* The same for messages that do not fit into a slot. */
START_TEST(memory_of_queued_large_messages_goes_back)
{
    enum { COUNT = 20000, SIZE = 20000 };
    static char message[SIZE];
    gnl_port *port;

    if (too_little_memory((uint64_t)COUNT * 32768))
        return;
    assert_ok(gnl_open(&port, "mailbox:endless", &(struct gnl_options){ .capacity = GNL_UNBOUNDED }));
    uint64_t empty = bytes_of(port);
    for (unsigned i = 0; i < COUNT; i++)
        must(gnl_send(port, message, i % 2 ? SIZE : 500, GNL_NOWAIT) == 0);
    ck_assert_uint_gt(bytes_of(port), empty + (uint64_t)COUNT / 2 * SIZE);
    for (unsigned i = 0; i < COUNT; i++)
        must(gnl_recv(port, message, sizeof message, GNL_NOWAIT) == (i % 2 ? SIZE : 500));
    expect_empty(port);
    ck_assert_uint_le(bytes_of(port), empty + (4 << 20));
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove("mailbox:endless"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("large");
    TCase *large = support_case(suite, "large");

    tcase_set_timeout(large, 300);
    tcase_add_test(large, message_of_one_gibibyte_arrives);
    tcase_add_test(large, message_of_one_gibibyte_goes_through_a_named_pipe);
    tcase_add_test(large, ten_million_messages_queue_and_drain_and_their_memory_goes_back);
    tcase_add_test(large, memory_of_queued_large_messages_goes_back);
    return support_run(suite);
}
