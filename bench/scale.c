/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message costs as there are more mailboxes, more processes, more messages in the queue, and more
 * members of the set that waits for it.
 */
#include "bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench/figures.h"
#include "bench/machine.h"
#include "bench/parts.h"
#include "bench/private.h"

#define ROUNDS_DEFAULT 3
#define ROUNDS_QUICK   1
#define POINTS_MAX     8
#define MAILBOXES_MAX  1000
#define SIZE           64
#define STRETCH        64
#define CAPACITY_MANY  16   /* a thousand of them fit into the small /dev/shm of a container */
#define CAPACITY_ONE   1024 /* the default */
#define LAPS           4    /* round each mailbox, before it is warm */

enum curve_kind { MAILBOXES, PROCESSES, QUEUED, MEMBERS, CONNECTIONS, CURVES };

struct curve {
    const char *name, *title, *axis;
    unsigned counts[POINTS_MAX]; /* 0: no more */
    unsigned quick;              /* how many of them without much time */
};

static const struct curve curves[CURVES] = {
    [MAILBOXES] = { "mailboxes",
                    "one sender and one receiver, mailboxes in turn",
                    "mailboxes",
                    { 1, 3, 10, 30, 100, 300, 1000 },
                    5 },
    [PROCESSES] = { "processes",
                    "half of them send, half receive (one: itself), one mailbox",
                    "processes",
                    { 1, 2, 4, 8, 16, 32, 64 },
                    5 },
    [QUEUED] = { "queued",
                 "one process sends so many, then receives them, unbounded mailbox",
                 "messages queued",
                 { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000 },
                 6 },
    [MEMBERS] = { "members",
                  "one process sends and waits for it in a set, whose other members are idle",
                  "members of the set",
                  { 1, 10, 100, 1000, 10000 },
                  4 },
    [CONNECTIONS] = { "connections",
                      "a server is sent a message over TCP and waits for it in a set; the others are idle",
                      "connections of the server",
                      { 1, 10, 100, 1000, 10000 },
                      4 },
};

struct point {
    bool measured;
    double ns[BENCH_ROUNDS_MAX];
};

struct scale {
    unsigned rounds;
    bool quick;
    struct point points[CURVES][POINTS_MAX];
};

/* ---- many mailboxes ---- */

static unsigned mailboxes;
static gnl_port *ports[MAILBOXES_MAX];

static const char *mailbox_address(unsigned i)
{
    static char address[64];

    snprintf(address, sizeof address, "mailbox:m%u", i);
    return address;
}

static int open_ports(struct crew_member *member, enum gnl_direction direction)
{
    for (unsigned i = 0; i < mailboxes; i++) {
        int result = crew_open(member, &ports[i], mailbox_address(i), direction);
        if (result < 0)
            return result;
    }
    return 0;
}

static int begin_sending(struct crew_member *member)
{
    return open_ports(member, GNL_SEND_ONLY);
}

static int begin_receiving(struct crew_member *member)
{
    return open_ports(member, GNL_RECV_ONLY);
}

static int64_t send_in_turn(struct crew_member *member)
{
    for (unsigned i = 0; i < STRETCH; i++, member->turn++) {
        int result = gnl_send(ports[member->turn % mailboxes], member->buffer, SIZE, CALL_TIMEOUT);
        if (result < 0)
            return result == -ETIMEDOUT ? (int64_t)i : crew_fail(member, "gnl_send", result);
    }
    return STRETCH;
}

static int64_t receive_in_turn(struct crew_member *member)
{
    for (unsigned i = 0; i < STRETCH; i++, member->turn++) {
        ssize_t size = gnl_recv(ports[member->turn % mailboxes], member->buffer, SIZE, CALL_TIMEOUT);
        if (size < 0)
            return size == -ETIMEDOUT ? (int64_t)i : crew_fail(member, "gnl_recv", (int)size);
    }
    return STRETCH;
}

static int close_ports(struct crew_member *member)
{
    for (unsigned i = 0; i < mailboxes; i++)
        gnl_close(ports[i]);
    return 0;
}

static const struct crew_part in_turn[2] = {
    { .begin = begin_sending, .step = send_in_turn, .place = 0, .end = close_ports },
    { .begin = begin_receiving,
      .step = receive_in_turn,
      .place = 1,
      .sampling = SAMPLE_SLICES,
      .counts = true,
      .end = close_ports },
};

static bool make_mailboxes(unsigned count, int64_t capacity)
{
    gnl_port *port;

    for (unsigned i = 0; i < count; i++) {
        if (gnl_open(&port, mailbox_address(i), &(struct gnl_options){ .capacity = capacity }) < 0) {
            fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
            return false;
        }
        gnl_close(port);
    }
    return true;
}

static void remove_mailboxes(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        gnl_remove(mailbox_address(i));
}

/* ---- crews ---- */

static double run_crew(const struct scale *scale, struct crew_area *area, const struct crew_part *parts,
                       unsigned count, unsigned capacity)
{
    struct crew_time time = { .warm_ns = scale->quick ? 10000000 : 40000000,
                              .measure_ns = scale->quick ? 30000000 : 200000000,
                              .measure_operations = 64 };
    struct crew_task task = { .size = SIZE, .lap = LAPS * (uint64_t)mailboxes * capacity, .moves = true };
    struct crew_result result;

    return crew_run(area, parts, count, &task, time, &result) == 0 ? result.ns : -1;
}

static double measure_mailboxes(const struct scale *scale, struct crew_area *area, unsigned count)
{
    double ns = -1;

    mailboxes = count;
    if (make_mailboxes(count, CAPACITY_MANY))
        ns = run_crew(scale, area, in_turn, 2, CAPACITY_MANY);
    remove_mailboxes(count);
    return ns;
}

/* One process has nobody else to send to. */
static int begin_alone(struct crew_member *member)
{
    return open_ports(member, (enum gnl_direction)0);
}

static int64_t send_and_receive(struct crew_member *member)
{
    for (unsigned i = 0; i < STRETCH; i++) {
        int result = gnl_send(ports[0], member->buffer, SIZE, CALL_TIMEOUT);
        if (result < 0)
            return crew_fail(member, "gnl_send", result);
        ssize_t size = gnl_recv(ports[0], member->buffer, SIZE, CALL_TIMEOUT);
        if (size < 0)
            return crew_fail(member, "gnl_recv", (int)size);
    }
    return STRETCH;
}

static const struct crew_part alone = {
    .begin = begin_alone, .step = send_and_receive, .place = 0, .counts = true, .end = close_ports
};

/* Senders on the first core, receivers on the second. */
static double measure_processes(const struct scale *scale, struct crew_area *area, unsigned count)
{
    struct crew_part parts[CREW_MAX];
    double ns = -1;

    mailboxes = 1;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = count == 1 ? alone : in_turn[i % 2];
        parts[i].sampling = SAMPLE_NOTHING;
    }
    if (make_mailboxes(1, CAPACITY_ONE))
        ns = run_crew(scale, area, parts, count, CAPACITY_ONE);
    remove_mailboxes(1);
    return ns;
}

/* ---- many messages ---- */

#define LOOKS        4096      /* messages between two looks whether to stop */
#define SLOT_BYTES   256       /* of memory for a message and more than enough */
#define CYCLES_NS    100000000 /* fill and empty for so long */
#define CYCLES_QUICK 20000000

static bool stop(unsigned i)
{
    return i % LOOKS == 0 && crew_interrupted() != 0;
}

/* Nanoseconds to send and to receive; 0: there is no memory for so many; negative: failed. */
static double fill_and_empty(gnl_port *port, unsigned count, int64_t ns)
{
    int64_t start = crew_now_ns(), cycles = 0, elapsed = 0;
    char message[SIZE] = "message";

    for (; elapsed < ns; cycles++, elapsed = crew_now_ns() - start) {
        unsigned sent = 0, received = 0;
        ssize_t result = 0;
        for (; sent < count && result == 0 && !stop(sent); sent++)
            result = gnl_send(port, message, SIZE, GNL_NOWAIT);
        if (result == -ENOSPC)
            return 0;
        for (result = SIZE; received < sent && result == SIZE && !stop(received); received++)
            result = gnl_recv(port, message, SIZE, GNL_NOWAIT);
        if (received < count || result != SIZE) {
            if (!crew_interrupted())
                fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
            return -1;
        }
    }
    return (double)elapsed / (double)cycles / count;
}

/* In this process, on the first core. */
static double measure_queued(const struct scale *scale, struct crew_area *area, unsigned count)
{
    struct statvfs room;
    cpu_set_t before;
    gnl_port *port;
    double ns = -1;

    if (statvfs("/dev/shm", &room) == 0 &&
        (uint64_t)room.f_bavail * room.f_frsize < (uint64_t)count * SLOT_BYTES)
        return 0;
    sched_getaffinity(0, sizeof before, &before);
    machine_pin(0);
    if (gnl_open(&port, mailbox_address(0), &(struct gnl_options){ .capacity = GNL_UNBOUNDED }) == 0) {
        ns = fill_and_empty(port, count, scale->quick ? CYCLES_QUICK : CYCLES_NS);
        gnl_close(port);
    } else
        fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
    gnl_remove(mailbox_address(0));
    sched_setaffinity(0, sizeof before, &before);
    return ns;
}

static double measure_members(const struct scale *scale, struct crew_area *area, unsigned count)
{
    return waited_measure(count, scale->quick ? CYCLES_QUICK : CYCLES_NS);
}

static double measure_connections(const struct scale *scale, struct crew_area *area, unsigned count)
{
    return connections_measure(count, scale->quick ? CYCLES_QUICK : CYCLES_NS);
}

/* ---- the rounds ---- */

static double (*const measures[CURVES])(const struct scale *, struct crew_area *, unsigned) = {
    [MAILBOXES] = measure_mailboxes, [PROCESSES] = measure_processes,     [QUEUED] = measure_queued,
    [MEMBERS] = measure_members,     [CONNECTIONS] = measure_connections,
};

static bool wanted(const struct curve *curve, const char *only)
{
    return !only || strstr(curve->name, only);
}

static int measure(struct scale *scale, struct crew_area *area, const char *only)
{
    for (unsigned round = 0; round < scale->rounds; round++)
        for (unsigned i = 0; i < CURVES; i++)
            for (unsigned j = 0; j < POINTS_MAX && curves[i].counts[j] > 0 && wanted(&curves[i], only); j++) {
                if (scale->quick && j >= curves[i].quick)
                    break;
                private_progress(round, scale->rounds, curves[i].name);
                double ns = measures[i](scale, area, curves[i].counts[j]);
                if (ns < 0 || crew_interrupted())
                    return -1;
                scale->points[i][j].measured = ns > 0;
                scale->points[i][j].ns[round] = ns;
            }
    return 0;
}

/* ---- the report ---- */

struct summary {
    double ns, low_ns, high_ns;
};

static struct summary summarize(const struct scale *scale, const struct point *point)
{
    double ns[BENCH_ROUNDS_MAX];

    memcpy(ns, point->ns, sizeof ns);
    double median = figures_median(ns, scale->rounds);
    return (struct summary){ median, ns[0], ns[scale->rounds - 1] };
}

static void table(const struct scale *scale)
{
    figures_head(scale->rounds);
    for (unsigned i = 0; i < CURVES; i++) {
        const struct curve *curve = &curves[i];
        double first = 0;
        for (unsigned j = 0; j < POINTS_MAX; j++) {
            const struct point *point = &scale->points[i][j];
            if (!point->measured)
                continue;
            struct summary summary = summarize(scale, point);
            if (first <= 0) {
                printf("\nA message of %d B: %s\n", SIZE, curve->title);
                first = summary.ns;
            }
            printf("  %9u %-16s %9s  %9.15s .. %-9.15s  %.2fx\n", curve->counts[j], curve->axis,
                   figures_time(summary.ns).text, figures_time(summary.low_ns).text,
                   figures_time(summary.high_ns).text, summary.ns / first);
        }
    }
}

static void json(FILE *file, const struct scale *scale)
{
    const char *curve_comma = "";

    fprintf(file, "{\n");
    figures_json_head(file, "scale", scale->rounds, scale->quick);
    fprintf(file, "  \"curves\": {");
    for (unsigned i = 0; i < CURVES; i++) {
        const char *comma = "";
        if (!scale->points[i][0].measured)
            continue;
        fprintf(file, "%s\n    \"%s\": { \"title\": ", curve_comma, curves[i].name);
        figures_json_string(file, curves[i].title);
        fprintf(file, ", \"points\": [");
        for (unsigned j = 0; j < POINTS_MAX; j++) {
            if (!scale->points[i][j].measured)
                continue;
            struct summary summary = summarize(scale, &scale->points[i][j]);
            fprintf(file, "%s\n      { \"count\": %u, \"ns\": %.6g, \"low_ns\": %.6g, \"high_ns\": %.6g }",
                    comma, curves[i].counts[j], summary.ns, summary.low_ns, summary.high_ns);
            comma = ",";
        }
        fprintf(file, "\n    ] }");
        curve_comma = ",";
    }
    fprintf(file, "\n  }\n}\n");
}

static void charts(const struct scale *scale, const char *directory)
{
    char name[64], title[160];

    for (unsigned i = 0; i < CURVES; i++) {
        if (!scale->points[i][0].measured)
            continue;
        snprintf(name, sizeof name, "scale-%s.svg", curves[i].name);
        snprintf(title, sizeof title, "Cost of a message of %d B: %s", SIZE, curves[i].title);
        FILE *chart = chart_begin(directory, name, title, 420);
        if (!chart)
            return;
        fputs("$figures << END\n", chart);
        for (unsigned j = 0; j < POINTS_MAX; j++)
            if (scale->points[i][j].measured) {
                struct summary summary = summarize(scale, &scale->points[i][j]);
                fprintf(chart, "%u %g %g %g\n", curves[i].counts[j], summary.ns, summary.low_ns,
                        summary.high_ns);
            }
        fprintf(chart,
                "END\nset logscale x\nset format x '%%.0f'\nset yrange [0:*]\nset xlabel '%s'\n"
                "set ylabel 'ns a message'\nunset key\n"
                "plot $figures with yerrorlines lw 2 pt 7 lc rgb '#1b6ca8'\n",
                curves[i].axis);
        chart_end(chart);
    }
}

static bool save(const struct scale *scale, const char *directory)
{
    FILE *file = figures_create(directory, "scale.json");

    if (!file)
        return false;
    json(file, scale);
    charts(scale, directory);
    return figures_finish(file, "scale.json");
}

/* A thousand mailboxes, or ten thousand members, are more descriptors than most may have without asking. */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int measure_all(struct crew_area *area, void *context)
{
    const struct bench_request *request = context;
    static struct scale scale;

    scale.quick = request->quick;
    scale.rounds = request->rounds > 0 ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    if (measure(&scale, area, request->only) < 0)
        return -1;
    private_progress(0, 0, NULL);
    if (request->json)
        json(stdout, &scale);
    else
        table(&scale);
    return request->save && !save(&scale, request->save) ? -1 : 0;
}

int bench_scale(const struct bench_request *request)
{
    bool any = false;

    for (unsigned i = 0; i < CURVES; i++)
        any |= wanted(&curves[i], request->only);
    if (!any) {
        fprintf(stderr, "ginnel bench: nothing that is measured has '%s' in its name\n", request->only);
        return 2;
    }
    allow_descriptors();
    machine_look();
    return private_run(measure_all, (void *)(uintptr_t)request) < 0 ? 1 : 0;
}
