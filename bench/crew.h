/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A crew: a few processes, each pinned to a core, that do one thing over and over until told to
 * stop. The parent leads them through warming up and measuring, and sleeps in between. No member
 * outlives it: the kernel kills them when it dies, and an interrupt kills them at once.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <ginnel/ginnel.h>

#define CREW_MAX         64
#define CREW_SAMPLES_MAX 65536
#define CREW_RING_BYTES  ((size_t)16 << 20)
#define CREW_RING_PARTS  64

enum crew_phase { CREW_ASSEMBLE = 0, CREW_WARM, CREW_MEASURE, CREW_STOP };

/* What a member reports; it alone writes its seat. */
struct crew_seat {
    _Alignas(128) _Atomic pid_t pid; /* once it is ready */
    _Atomic uint64_t warming;        /* operations while it warmed up */
    _Atomic uint64_t operations;     /* those measured */
    /* from here on: over the measured part, by its own clock */
    int64_t elapsed_ns;
    uint64_t faults;      /* minor page faults */
    uint64_t sleeps;      /* voluntary context switches */
    uint64_t preemptions; /* involuntary ones: somebody else wanted the core */
    char failure[320];    /* "" if all went well */
    uint64_t sent;        /* messages, from beginning to end, where the part counts them */
    uint64_t received;
    uint32_t samples;
    double sample_ns[CREW_SAMPLES_MAX];
};

struct crew_flag {
    _Alignas(128) _Atomic uint32_t full;
};

/* Memory that all members share. */
struct crew_area {
    _Alignas(128) _Atomic uint32_t phase; /* enum crew_phase: written by the parent alone */
    _Alignas(128) _Atomic uint64_t line;  /* what limits.c passes to and fro */
    _Alignas(128) _Atomic uint32_t futex;
    _Atomic int64_t stamp_ns;
    _Atomic uint32_t tcp_port; /* where the second member listens; 0: not yet */
    struct crew_flag flags[CREW_RING_PARTS];
    struct crew_seat seats[CREW_MAX];
    _Alignas(4096) char ring[CREW_RING_BYTES];
};

/* A raw socket is of the type that carries the same: UNIX seqpacket, UNIX stream, TCP. */
enum crew_wire { WIRE_NONE = 0, WIRE_PIPE, WIRE_UNIX, WIRE_TCP };

/* What the crew is to do: a row's own numbers. */
struct crew_task {
    size_t size;         /* bytes of a message or a copy */
    int64_t capacity;    /* of the mailbox; buffers that copies go round */
    uint64_t lap;        /* operations before it is warm: every page was touched */
    bool direct;         /* over the direct link of the first two members, not over mailboxes */
    enum crew_wire wire; /* over one of these: the second member listens */
    bool socket;         /* over a raw socket */
    bool moves;          /* its contents do: copied, or in place each cache line is written and read */
};

/* A member, as it sees itself. */
struct crew_member {
    struct crew_area *area;
    struct crew_seat *seat;
    const struct crew_seat *other; /* of the first member that is not this one */
    unsigned number;               /* the place of its part in the crew */
    const struct crew_task *task;
    bool measuring;
    gnl_port *out, *in; /* the same where the link is two-way */
    gnl_identity *identity;
    char *buffer;   /* of task->size bytes, this process's own */
    uint64_t turn;  /* for the part's own counting */
    int state_file; /* of the other member, see crew_await_sleep; -1 not open */
};

/*
 * A part: `begin` opens what it needs, `step` does some operations and returns how many; 0 if it waited
 * in vain, and should ask whether to stop. Both return a negative code when they fail: crew_fail.
 */
enum crew_sampling {
    SAMPLE_NOTHING, /* elapsed time over operations */
    SAMPLE_SLICES,  /* the same of each millisecond: the median leaves out those when somebody else had the
                       core */
    SAMPLE_OWN,     /* `step` calls crew_sample */
};

struct crew_part {
    int (*begin)(struct crew_member *member); /* or NULL */
    int64_t (*step)(struct crew_member *member);
    unsigned place; /* 0: the first core, 1: the second; 2, 3: a third, or where there is none the first, the
                       second */
    enum crew_sampling sampling;
    bool counts;                            /* its operations and samples are the crew's */
    int (*end)(struct crew_member *member); /* after the last step; NULL: nothing to do. Returns as begin */
};

struct crew_result {
    double ns;     /* per operation: the median sample, or elapsed time over operations */
    double p99_ns; /* of the samples; 0 without */
    double faults; /* per operation, all members together */
    double sleeps;
    uint64_t preemptions;
};

/* How long; longer where the machine is so busy that fewer operations than these, or a task's lap, were done.
 */
struct crew_time {
    int64_t warm_ns, measure_ns;
    uint64_t measure_operations;
};

/* Memory for crews, NULL if there is none. */
struct crew_area *crew_area_new(void);

/* Runs a crew. 0, or -1 after a word on standard error; nothing is said of an interrupt. */
int crew_run(struct crew_area *area, const struct crew_part *parts, unsigned count,
             const struct crew_task *task, struct crew_time time, struct crew_result *result);

/* From here on SIGINT, SIGTERM and SIGHUP kill the crew and are remembered: the signal, or 0. */
void crew_catch_signals(void);
int crew_interrupted(void);

/* ---- for parts ---- */

static inline bool crew_stopped(const struct crew_member *member)
{
    return atomic_load_explicit(&member->area->phase, memory_order_relaxed) == CREW_STOP;
}

static inline int64_t crew_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Notes a sample if this is the measured part; what does not fit is dropped. */
static inline void crew_sample(struct crew_member *member, double ns)
{
    if (member->measuring && member->seat->samples < CREW_SAMPLES_MAX)
        member->seat->sample_ns[member->seat->samples++] = ns;
}

/* Waits until the other member sleeps in the kernel, and its core has come to rest. False: told to stop. */
bool crew_await_sleep(struct crew_member *member);

/* Opens a port of a mailbox that is there. 0, or what crew_fail returns. */
int crew_open(struct crew_member *member, gnl_port **port, const char *address, enum gnl_direction direction);

/* Becomes one end of the direct link with the other member: `out` and `in`. Returns as crew_open. */
int crew_meet(struct crew_member *member);

/* Becomes an end of task->wire: the second member listens, the first connects. Returns as crew_open. */
int crew_connect(struct crew_member *member);

/* The port that the second member has told, once it has: for the first; 0: it never did. */
uint32_t crew_tcp_port(struct crew_member *member);

/* Notes what failed, with the library's own words where it has some; returns the code. */
int crew_fail(struct crew_member *member, const char *what, int code);

#endif
