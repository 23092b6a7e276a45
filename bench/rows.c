/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rows.h"

#include <stdio.h>
#include <string.h>

/*
 * Capacities: large enough that neither side waits for a hiccup of the other; small enough that what
 * is in flight fits into a container's /dev/shm of 64 MiB.
 */
#define CAPACITY_SMALL 1024
#define CAPACITY_64K   64
#define CAPACITY_1M    16

struct table {
    struct row *rows;
    unsigned count;
};

static int find(const struct table *table, const char *name)
{
    for (unsigned i = 0; name && i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return (int)i;
    return -1;
}

static struct row *add(struct table *table, enum row_section section, const char *name, const char *title,
                       struct crew_task task)
{
    struct row *row = &table->rows[table->count++];

    *row = (struct row){ .section = section, .task = task, .limit = -1 };
    row->task.lap = section != SECTION_LATENCY && task.capacity > 0 ? 8 * (uint64_t)task.capacity : 16;
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->title, sizeof row->title, "%s", title);
    return row;
}

static void play(struct row *row, const struct crew_part *parts, unsigned count)
{
    memcpy(row->parts, parts, count * sizeof parts[0]);
    row->count = count;
}

static void hold_against(struct table *table, struct row *row, const char *limit, enum row_compare compare,
                         double aim)
{
    row->limit = find(table, limit);
    row->compare = compare;
    row->aim = aim;
}

static void add_limit(struct table *table, const char *name, const char *title, const struct crew_part *parts,
                      unsigned count, size_t size, int64_t capacity)
{
    struct row *row = add(table, SECTION_LIMITS, name, title,
                          (struct crew_task){ .size = size, .capacity = capacity, .moves = size > 0 });

    play(row, parts, count);
    row->tail = parts == limit_wake || parts == limit_event || parts == latency_sleeping;
    row->task.moves &= !row->tail;
}

static void add_latency(struct table *table, const char *name, const char *title,
                        const struct crew_part parts[2], const char *limit, double aim)
{
    struct row *row = add(table, SECTION_LATENCY, name, title,
                          (struct crew_task){ .size = 64, .capacity = CAPACITY_SMALL });

    play(row, parts, 2);
    row->mailboxes = 2;
    row->tail = parts == latency_sleeping;
    hold_against(table, row, limit, COMPARE_TIME, aim);
}

/* Who shares a core with the other has to sleep for it: is that as quick as what the kernel has for it? */
static void add_one_core(struct table *table)
{
    add_limit(table, "socket_one_core", "a raw UNIX socket, both on one core", latency_spinning, 2, 64, 0);
    struct row *row = &table->rows[table->count - 1];
    row->task.socket = true;
    row->task.wire = WIRE_PIPE;
    row->task.moves = false;
    row->parts[1].place = 0;
    add_latency(table, "latency_one_core", "64 B, both on one core", latency_spinning, "socket_one_core",
                1.15);
    table->rows[table->count - 1].parts[1].place = 0;
}

static void add_rendezvous(struct table *table)
{
    struct crew_task task = { .size = 64, .capacity = GNL_RENDEZVOUS };
    struct row *row = add(table, SECTION_LATENCY, "rendezvous", "64 B, capacity zero, there and back", task);

    row->count = throughput_parts(COPYING, ONE_TO_ONE, row->parts);
    row->mailboxes = 1;
    hold_against(table, row, "line_pass", COMPARE_TIME, 0);
}

/* The three ratios of a way and size. Limit and aim are for the first, the others have the same limit. */
static void add_throughput(struct table *table, const char *name, const char *title, enum throughput_way way,
                           struct crew_task task, const char *limit, double aim)
{
    static const char *const suffixes[] = { "", "_2to1", "_1to2" };
    static const char *const ratios[] = { "1:1", "2:1", "1:2" };
    char full_name[ROW_NAME_MAX], full_title[ROW_TITLE_MAX];

    for (unsigned ratio = 0; ratio < THROUGHPUT_RATIOS; ratio++) {
        snprintf(full_name, sizeof full_name, "%s%s", name, suffixes[ratio]);
        snprintf(full_title, sizeof full_title, "%s, %s", title, ratios[ratio]);
        struct row *row = add(table, SECTION_THROUGHPUT, full_name, full_title, task);
        row->count = throughput_parts(way, ratio, row->parts);
        row->mailboxes = 1;
        hold_against(table, row, limit, COMPARE_RATE, ratio == ONE_TO_ONE ? aim : 0);
    }
}

static struct crew_task still(struct crew_task task)
{
    task.moves = false;
    return task;
}

/* One way over the direct link of two processes. */
static void add_direct(struct table *table, const char *name, const char *title, enum throughput_way way,
                       struct crew_task task, const char *limit, double aim)
{
    task.direct = true;
    struct row *row = add(table, SECTION_THROUGHPUT, name, title, task);
    row->count = throughput_parts(way, ONE_TO_ONE, row->parts);
    hold_against(table, row, limit, COMPARE_RATE, aim);
}

static void add_direct_latency(struct table *table, const char *name, const char *title,
                               const struct crew_part parts[2], const char *limit, double aim)
{
    add_latency(table, name, title, parts, limit, aim);
    table->rows[table->count - 1].task.direct = true;
    table->rows[table->count - 1].mailboxes = 0;
}

unsigned rows_make_direct(struct row rows[ROWS_MAX])
{
    const struct crew_task b64 = { .size = 64, .capacity = CAPACITY_SMALL, .moves = true };
    const struct crew_task k1 = { .size = 1024, .capacity = CAPACITY_SMALL, .moves = true };
    const struct crew_task k64 = { .size = 65536, .capacity = CAPACITY_64K, .moves = true };
    const struct crew_task m1 = { .size = 1048576, .capacity = CAPACITY_1M, .moves = true };
    struct table table = { .rows = rows };

    limit_event_open();
    add_limit(&table, "line_pass", "a cache line, core to core", limit_line, 2, 0, 0);
    add_limit(&table, "bare_ring", "64 B through a bare ring, one way", limit_bare, 2, 64, 0);
    add_direct_latency(&table, "latency_spin", "64 B, both sides busy", latency_spinning, "line_pass", 1.3);
    add_limit(&table, "eventfd_wake", "a sleeper woken through an eventfd", limit_event, 2, 0, 0);
    add_direct_latency(&table, "latency_sleep", "64 B, receiver asleep", latency_sleeping, "eventfd_wake",
                       1.3);
    add_throughput(&table, "mailbox_64", "64 B, copied, over a mailbox", COPYING, b64, NULL, 0);
    table.count -= THROUGHPUT_RATIOS - 1;
    add_direct(&table, "copy_64", "64 B, copied", COPYING, b64, "mailbox_64", 2);
    add_direct(&table, "batch_64", "64 B, batches of 64", BATCHES, b64, "mailbox_64", 0);
    add_direct(&table, "zero_64", "64 B, in place, written and read", IN_PLACE, b64, "mailbox_64", 0);
    add_direct(&table, "copy_1k", "1 KiB, copied", COPYING, k1, "mailbox_64", 0);
    add_limit(&table, "memcpy_64k", "memcpy, 64 KiB", limit_copy, 1, k64.size, k64.capacity);
    add_direct(&table, "copy_64k", "64 KiB, copied", COPYING, k64, "memcpy_64k", 0.9);
    add_limit(&table, "relay_64k", "two memcpys and a flag, 64 KiB", limit_relay, 2, k64.size, k64.capacity);
    add_limit(&table, "relay_64k_walled", "the same, one may not write", limit_relay_walled, 2, k64.size,
              k64.capacity);
    add_direct(&table, "zero_64k_touched", "64 KiB, in place, written and read", IN_PLACE, k64, "memcpy_64k",
               0);
    add_limit(&table, "memcpy_1m", "memcpy, 1 MiB", limit_copy, 1, m1.size, m1.capacity);
    add_direct(&table, "copy_1m", "1 MiB, copied", COPYING, m1, "memcpy_1m", 0);
    add_direct(&table, "zero_1m", "1 MiB, in place, untouched", IN_PLACE, still(m1), "mailbox_64", 0);
    return table.count;
}

#define WIRE_AIM 1.15

static const char *const wires[] = {
    [WIRE_PIPE] = "UNIX socket",
    [WIRE_UNIX] = "UNIX stream",
    [WIRE_TCP] = "TCP socket",
};

/* What goes over a wire, and a raw socket before it. Where the receiver sleeps, both are in poll or recv. */
static void add_wire_latency(struct table *table, enum crew_wire wire, const char *socket, const char *name,
                             const char *title, size_t size, bool asleep)
{
    char what[ROW_TITLE_MAX];

    snprintf(what, sizeof what, "a raw %s, %s", wires[wire], title);
    add_limit(table, socket, what, asleep ? latency_sleeping : latency_spinning, 2, size, 0);
    table->rows[table->count - 1].task.socket = true;
    table->rows[table->count - 1].task.wire = wire;
    snprintf(what, sizeof what, wire == WIRE_PIPE ? "%s" : wire == WIRE_TCP ? "tcp: %s" : "unix: %s", title);
    add_latency(table, name, what, asleep ? latency_sleeping : latency_spinning, socket, WIRE_AIM);
    struct row *row = &table->rows[table->count - 1];
    row->task.wire = wire;
    row->task.size = size;
    row->mailboxes = 0;
}

static void add_wire_stream(struct table *table, enum crew_wire wire, const char *socket, const char *name,
                            const char *title, enum throughput_way way, size_t size, double aim)
{
    const struct crew_task task = { .size = size, .capacity = 0, .moves = true, .wire = wire };
    char what[ROW_TITLE_MAX];

    if (find(table, socket) < 0) {
        snprintf(what, sizeof what, "a raw %s, %s", wires[wire], title);
        add_limit(table, socket, what, limit_socket_stream, 2, size, 0);
        table->rows[table->count - 1].task.wire = wire;
        table->rows[table->count - 1].task.socket = true;
    }
    snprintf(what, sizeof what,
             wire == WIRE_PIPE  ? "%s%s"
             : wire == WIRE_TCP ? "tcp: %s%s"
                                : "unix: %s%s",
             title, way == BATCHES ? ", 64 at once" : "");
    struct row *row = add(table, SECTION_THROUGHPUT, name, what, task);
    row->count = throughput_parts(way, ONE_TO_ONE, row->parts);
    hold_against(table, row, socket, COMPARE_RATE, aim);
}

unsigned rows_make_pipe(struct row rows[ROWS_MAX])
{
    struct table table = { .rows = rows };

    add_wire_latency(&table, WIRE_PIPE, "socket_64", "pipe_64", "64 B, there and back", 64, false);
    add_wire_latency(&table, WIRE_PIPE, "socket_4k", "pipe_4k", "4 KiB, there and back", 4096, false);
    add_wire_latency(&table, WIRE_PIPE, "socket_64_asleep", "pipe_64_asleep", "64 B, receiver asleep", 64,
                     true);
    add_wire_latency(&table, WIRE_PIPE, "socket_4k_asleep", "pipe_4k_asleep", "4 KiB, receiver asleep", 4096,
                     true);
    add_wire_stream(&table, WIRE_PIPE, "socket_stream_64", "pipe_stream_64", "64 B, one way", COPYING, 64, 0);
    add_wire_stream(&table, WIRE_PIPE, "socket_stream_64k", "pipe_stream_64k", "64 KiB, one way", COPYING,
                    65536, 0);
    return table.count;
}

unsigned rows_make_socket(struct row rows[ROWS_MAX])
{
    struct table table = { .rows = rows };
    enum crew_wire u = WIRE_UNIX, t = WIRE_TCP;
    const size_t m1 = 1048576;

    add_wire_latency(&table, u, "raw_unix_64", "unix_64", "64 B, there and back", 64, false);
    add_wire_latency(&table, t, "raw_tcp_64", "tcp_64", "64 B, there and back", 64, false);
    add_wire_latency(&table, u, "raw_unix_64_asleep", "unix_64_asleep", "64 B, receiver asleep", 64, true);
    add_wire_latency(&table, t, "raw_tcp_64_asleep", "tcp_64_asleep", "64 B, receiver asleep", 64, true);
    add_wire_stream(&table, u, "raw_unix_stream_64", "unix_stream_64", "64 B, one way", COPYING, 64, 0);
    add_wire_stream(&table, u, "raw_unix_stream_64", "unix_batch_64", "64 B, one way", BATCHES, 64, 0);
    add_wire_stream(&table, t, "raw_tcp_stream_64", "tcp_stream_64", "64 B, one way", COPYING, 64, 0);
    add_wire_stream(&table, t, "raw_tcp_stream_64", "tcp_batch_64", "64 B, one way", BATCHES, 64, 0);
    add_wire_stream(&table, u, "raw_unix_stream_1m", "unix_stream_1m", "1 MiB, one way", COPYING, m1, 0.9);
    add_wire_stream(&table, t, "raw_tcp_stream_1m", "tcp_stream_1m", "1 MiB, one way", COPYING, m1, 0.9);
    return table.count;
}

unsigned rows_make(struct row rows[ROWS_MAX])
{
    const struct crew_task b64 = { .size = 64, .capacity = CAPACITY_SMALL, .moves = true };
    const struct crew_task k1 = { .size = 1024, .capacity = CAPACITY_SMALL, .moves = true };
    const struct crew_task k64 = { .size = 65536, .capacity = CAPACITY_64K, .moves = true };
    const struct crew_task m1 = { .size = 1048576, .capacity = CAPACITY_1M, .moves = true };
    struct table table = { .rows = rows };

    add_limit(&table, "line_pass", "a cache line, core to core", limit_line, 2, 0, 0);
    add_limit(&table, "bare_ring", "64 B through a bare ring, one way", limit_bare, 2, 64, 0);
    add_latency(&table, "latency_spin", "64 B, both sides busy", latency_spinning, "line_pass", 1.3);
    add_rendezvous(&table);
    add_limit(&table, "futex_wake", "a sleeper woken through a futex", limit_wake, 2, 0, 0);
    add_latency(&table, "latency_sleep", "64 B, receiver asleep", latency_sleeping, "futex_wake", 1.2);
    add_one_core(&table);
    add_limit(&table, "system_call", "a system call", limit_call, 1, 0, 0);
    add_throughput(&table, "copy_64", "64 B, copied", COPYING, b64, "line_pass", 0);
    add_throughput(&table, "batch_64", "64 B, batches of 64", BATCHES, b64, "line_pass", 0);
    add_throughput(&table, "copy_1k", "1 KiB, copied", COPYING, k1, "line_pass", 0);
    add_limit(&table, "memcpy_64k", "memcpy, 64 KiB", limit_copy, 1, k64.size, k64.capacity);
    add_throughput(&table, "copy_64k", "64 KiB, copied", COPYING, k64, "memcpy_64k", 0.8);
    add_limit(&table, "relay_64k", "two memcpys and a flag, 64 KiB", limit_relay, 2, k64.size, k64.capacity);
    add_limit(&table, "memcpy_1m", "memcpy, 1 MiB", limit_copy, 1, m1.size, m1.capacity);
    add_throughput(&table, "copy_1m", "1 MiB, copied", COPYING, m1, "memcpy_1m", 0);
    add_limit(&table, "relay_1m", "two memcpys and a flag, 1 MiB", limit_relay, 2, m1.size, m1.capacity);
    add_throughput(&table, "zero_64", "64 B, in place, untouched", IN_PLACE, still(b64), "line_pass", 0);
    add_throughput(&table, "zero_1m", "1 MiB, in place, untouched", IN_PLACE, still(m1), "zero_64", 1 / 1.2);
    add_throughput(&table, "zero_1k", "1 KiB, in place, untouched", IN_PLACE, still(k1), "zero_64", 0);
    add_throughput(&table, "zero_64k", "64 KiB, in place, untouched", IN_PLACE, still(k64), "zero_64", 0);
    add_throughput(&table, "zero_1m_touched", "1 MiB, in place, written and read", IN_PLACE, m1, "memcpy_1m",
                   0);
    return table.count;
}
