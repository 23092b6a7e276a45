/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kill and stop at every instruction, on direct links: a process, the victim, is single-stepped into each
 * operation and killed after step 1, 2, 3, … to the end; then stopped there instead, and continued later.
 * After each, the survivor has all that the victim had sent, in order and once, is told of its death, and
 * can talk to the next of its name; what it holds of the link is gone. A stopped victim blocks nobody, and
 * keeps its name.
 *
 * Run by `make torture` with --full, and by the tests with --every 31.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "step.h"
#include "symbol.h"
#include "trace.h"

#define PATIENCE_NS       gnl_s(5)
#define SECONDS_MOST      40
#define RECORDS           3    /* of the way through an operation */
#define EVERY_INSTRUCTION 3000 /* longer operations are stopped at their events and now and then */
#define NOW_AND_THEN      50
#define SMALL             ((size_t)64)
#define LARGE             ((size_t)9000)
#define BEFOREHAND        4 /* messages that wait for the victim */

/* ---- what the processes share ---- */

struct stage {
    sem_t go;                      /* the survivor has its name */
    sem_t there;                   /* the victim has made its link with it */
    sem_t filled;                  /* and what it is to receive is sent */
    _Atomic uint64_t trying, told; /* messages of the victim: begun, returned from */
    _Atomic uint64_t refused;      /* one more than the one whose call failed */
    _Atomic uint64_t heard;        /* of the mate's, that it has received */
    atomic_int result;             /* of the operation */
    atomic_int mate_result;
    atomic_int mate_inside, mate_over;
    unsigned findings;
};

static struct stage *stage;

/* ---- the victim ---- */

static gnl_identity *me; /* of whichever process this is */
static gnl_port *port;
static gnl_message message;
static char data[LARGE];

static const char *where = ""; /* operation, mode and step of this run */

/* Something that must not be. */
__attribute__((format(printf, 1, 2))) static void say_wrong(const char *format, ...)
{
    va_list arguments;

    stage->findings++;
    fprintf(stderr, "%s: ", where);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static int tell(const char *name, size_t size, int64_t timeout)
{
    uint64_t number = atomic_fetch_add(&stage->trying, 1);

    memcpy(data, &number, sizeof number);
    memset(data + sizeof number, (int)(number + 1), size - sizeof number);
    int result = gnl_send_to(me, name, data, size, timeout);
    atomic_store(result == 0 ? &stage->told : &stage->refused, number + 1);
    return result;
}

static void link_up(void)
{
    if ((!me && gnl_identity_claim(&me, "victim") != 0) || tell("survivor", SMALL, PATIENCE_NS) != 0)
        say_wrong("the victim could not make its link: %s", gnl_error_detail());
    sem_post(&stage->there);
    while (sem_wait(&stage->filled) != 0)
        ;
    if (gnl_link(me, "survivor", &port, PATIENCE_NS) != 0)
        say_wrong("the victim has no port: %s", gnl_error_detail());
}

static void ready_nothing(void) {}

static void ready_claimed(void)
{
    gnl_identity_claim(&me, "victim");
}

static void ready_linked(void)
{
    link_up();
}

static void ready_received(void)
{
    link_up();
    if (gnl_recv(port, data, sizeof data, PATIENCE_NS) < 0)
        say_wrong("the victim could not receive beforehand: %s", gnl_error_detail());
}

static void ready_taken(void)
{
    ready_received();
    if (gnl_take(port, &message, PATIENCE_NS) != 0)
        say_wrong("the victim could not take beforehand: %s", gnl_error_detail());
}

/* What the first gnl_take makes is there. */
static void ready_to_take(void)
{
    ready_taken();
    if (gnl_done(&message) != 0)
        say_wrong("the victim could not end beforehand: %s", gnl_error_detail());
}

static void ready_lent(void)
{
    link_up();
    if (gnl_loan(port, &message, LARGE, PATIENCE_NS) != 0)
        say_wrong("the victim could not borrow beforehand: %s", gnl_error_detail());
    uint64_t number = atomic_fetch_add(&stage->trying, 1);
    memcpy(message.data, &number, sizeof number);
    memset((char *)message.data + sizeof number, (int)(number + 1), LARGE - sizeof number);
}

static void ready_offering(void)
{
    ready_claimed();
    gnl_identity_capacity(me, GNL_RENDEZVOUS);
    link_up();
}

static int run_claim(void)
{
    return gnl_identity_claim(&me, "victim");
}

static int run_send_small(void)
{
    return tell("survivor", SMALL, PATIENCE_NS);
}

static int run_send_large(void)
{
    return tell("survivor", LARGE, PATIENCE_NS);
}

static int run_offer(void)
{
    return tell("mate", SMALL, PATIENCE_NS);
}

static int run_offer_large(void)
{
    return tell("mate", LARGE, PATIENCE_NS);
}

static int run_offer_briefly(void)
{
    return tell("survivor", SMALL, gnl_us(200));
}

static int run_recv(void)
{
    ssize_t result = gnl_recv(port, data, sizeof data, PATIENCE_NS);

    return result < 0 ? (int)result : 0;
}

static int run_recv_from_mate(void)
{
    ssize_t result = gnl_recv_from(me, "mate", data, sizeof data, NULL, PATIENCE_NS);

    if (result >= 0)
        atomic_store(&stage->heard, 1);
    return result < 0 ? (int)result : 0;
}

static int run_take(void)
{
    return gnl_take(port, &message, PATIENCE_NS);
}

static int run_done(void)
{
    return gnl_done(&message);
}

static int run_post(void)
{
    int result = gnl_post(port, &message, PATIENCE_NS);

    if (result == 0)
        atomic_store(&stage->told, atomic_load(&stage->trying));
    return result;
}

static int run_release(void)
{
    return gnl_identity_release(me);
}

static int run_close(void)
{
    return gnl_close(port);
}

static int run_finish(void)
{
    return gnl_finish(port);
}

enum mate { ALONE, MATE_SENDS, MATE_RECEIVES }; /* another process, asleep in a call to the victim */

static const struct operation {
    const char *name, *what;
    void (*ready)(void);
    int (*run)(void);
    enum mate mate;
    bool bare;      /* the victim has no link when it begins */
    bool ends;      /* the link has ended when it is over */
    int result;     /* when nobody disturbs it */
    size_t waiting; /* size of what waits for the victim */
} operations[] = {
    { .name = "claim", .what = "gnl_identity_claim", .ready = ready_nothing, .run = run_claim, .bare = true },
    { .name = "connect",
      .what = "the first gnl_send_to",
      .ready = ready_claimed,
      .run = run_send_small,
      .bare = true },
    { .name = "connect-large",
      .what = "the first gnl_send_to, of 9000 bytes",
      .ready = ready_claimed,
      .run = run_send_large,
      .bare = true },
    { .name = "send-small", .what = "gnl_send_to of 64 bytes", .ready = ready_linked, .run = run_send_small },
    { .name = "send-large",
      .what = "gnl_send_to of 9000 bytes",
      .ready = ready_linked,
      .run = run_send_large },
    { .name = "post", .what = "gnl_post of 9000 bytes", .ready = ready_lent, .run = run_post },
    { .name = "accept",
      .what = "the first gnl_recv, that accepts the other half",
      .ready = ready_linked,
      .run = run_recv,
      .waiting = SMALL },
    { .name = "recv-small",
      .what = "gnl_recv of 64 bytes",
      .ready = ready_received,
      .run = run_recv,
      .waiting = SMALL },
    { .name = "recv-large",
      .what = "gnl_recv of 9000 bytes",
      .ready = ready_received,
      .run = run_recv,
      .waiting = LARGE },
    { .name = "take-large",
      .what = "gnl_take of 9000 bytes",
      .ready = ready_to_take,
      .run = run_take,
      .waiting = LARGE },
    { .name = "done-large",
      .what = "gnl_done of 9000 bytes",
      .ready = ready_taken,
      .run = run_done,
      .waiting = LARGE },
    { .name = "offer",
      .what = "rendezvous: gnl_send_to one that sleeps in receiving",
      .ready = ready_offering,
      .run = run_offer,
      .mate = MATE_RECEIVES },
    { .name = "offer-large",
      .what = "rendezvous: gnl_send_to of 9000 bytes",
      .ready = ready_offering,
      .run = run_offer_large,
      .mate = MATE_RECEIVES },
    { .name = "offer-withdrawn",
      .what = "rendezvous: gnl_send_to that times out",
      .ready = ready_offering,
      .run = run_offer_briefly,
      .result = -ETIMEDOUT },
    { .name = "recv-offer",
      .what = "rendezvous: gnl_recv_from one that sleeps in sending",
      .ready = ready_linked,
      .run = run_recv_from_mate,
      .mate = MATE_SENDS },
    { .name = "finish", .what = "gnl_finish", .ready = ready_linked, .run = run_finish },
    { .name = "close",
      .what = "gnl_close of the link",
      .ready = ready_taken,
      .run = run_close,
      .ends = true,
      .waiting = LARGE },
    { .name = "release",
      .what = "gnl_identity_release",
      .ready = ready_taken,
      .run = run_release,
      .ends = true,
      .waiting = LARGE },
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- the cast ---- */

static pid_t fork_quietly(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static pid_t fork_victim(const struct operation *operation)
{
    pid_t pid = fork_quietly();

    if (pid != 0)
        return pid;
    while (sem_wait(&stage->go) != 0)
        ;
    operation->ready();
    step_surrender();
    step_mark();
    int result = operation->run();
    step_mark();
    atomic_store(&stage->result, result);
    step_mark();
    _exit(0);
}

/* Sleeps in a call to the victim. */
static pid_t fork_mate(enum mate mate)
{
    pid_t pid = fork_quietly();
    uint64_t number = 0;

    if (pid != 0)
        return pid;
    if (gnl_identity_claim(&me, "mate") != 0)
        say_wrong("the mate has no name: %s", gnl_error_detail());
    if (mate == MATE_SENDS)
        gnl_identity_capacity(me, GNL_RENDEZVOUS);
    else
        gnl_send_to(me, "victim", "x", 1, PATIENCE_NS); /* so that it is told of the victim's end */
    atomic_store(&stage->mate_inside, 1);
    ssize_t result = mate == MATE_SENDS
                         ? gnl_send_to(me, "victim", &number, sizeof number, 4 * PATIENCE_NS)
                         : gnl_recv_from(me, "victim", data, sizeof data, NULL, 4 * PATIENCE_NS);
    atomic_store(&stage->mate_result, (int)result);
    atomic_store(&stage->mate_over, 1);
    for (;;)
        pause();
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool await(atomic_int *flag)
{
    for (int64_t start = now_ns(); now_ns() - start < 2 * PATIENCE_NS;) {
        if (atomic_load(flag))
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return false;
}

static char state_of(pid_t pid)
{
    char path[64], line[512] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    const char *end = strrchr(line, ')');
    return end && end[1] ? end[2] : '?';
}

static void await_asleep(pid_t pid)
{
    if (!await(&stage->mate_inside))
        say_wrong("the mate does not begin");
    for (int64_t start = now_ns(); state_of(pid) != 'S' && now_ns() - start < PATIENCE_NS;)
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* ---- the survivor ---- */

static uint64_t next; /* of the victim's messages, to the survivor */
static bool told_of_end;

/* One message of the victim's, or the error. */
static int hear(int64_t timeout)
{
    static char got[LARGE];
    uint64_t number;
    int64_t start = now_ns();

    ssize_t size = gnl_recv_from(me, "victim", got, sizeof got, NULL, timeout);
    if (now_ns() - start > timeout + PATIENCE_NS)
        say_wrong("receiving took %lld ms", (long long)(now_ns() - start) / 1000000);
    if (size < 0) {
        told_of_end = told_of_end || size == -EPIPE;
        return (int)size;
    }
    memcpy(&number, got, sizeof number);
    if (number != next)
        say_wrong("message %llu came, not %llu", (unsigned long long)number, (unsigned long long)next);
    next = number + 1;
    if (number >= atomic_load(&stage->trying) || number + 1 == atomic_load(&stage->refused))
        say_wrong("message %llu was never sent", (unsigned long long)number);
    for (ssize_t i = sizeof number; i < size; i++)
        if (got[i] != (char)(number + 1)) {
            say_wrong("message %llu is torn", (unsigned long long)number);
            break;
        }
    return 0;
}

static unsigned count_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    unsigned count = 0;

    while (stream && readdir(stream))
        count++;
    closedir(stream);
    return count;
}

/* Another of this process's names, to show that the survivor's other links go on. */
static void use_other_link(const char *name)
{
    gnl_identity *other;
    char answer[8];

    int result = gnl_identity_claim(&other, name);
    if (result != 0) {
        say_wrong("'%s' could not be claimed: %s", name, gnl_error_detail());
        return;
    }
    if (gnl_send_to(other, "survivor", "12345678", 8, PATIENCE_NS) != 0 ||
        gnl_recv_from(me, name, answer, sizeof answer, NULL, PATIENCE_NS) != 8 ||
        gnl_send_to(me, name, "12345678", 8, PATIENCE_NS) != 0 ||
        gnl_recv_from(other, "survivor", answer, sizeof answer, NULL, PATIENCE_NS) != 8)
        say_wrong("the link with '%s' does not work: %s", name, gnl_error_detail());
    gnl_identity_release(other);
    result = (int)gnl_recv_from(me, name, answer, sizeof answer, NULL, PATIENCE_NS);
    if (result != -EPIPE)
        say_wrong("the end of '%s' was not told: %d", name, result);
}

static bool set_stage(const struct operation *operation, pid_t *victim, pid_t *mate)
{
    char filling[LARGE] = { 0 };

    memset(stage, 0, sizeof *stage);
    sem_init(&stage->go, 1, 0);
    sem_init(&stage->there, 1, 0);
    sem_init(&stage->filled, 1, 0);
    me = NULL;
    next = 0;
    told_of_end = false;
    step_deadline(SECONDS_MOST);
    *victim = fork_victim(operation);
    *mate = operation->mate == ALONE ? 0 : fork_mate(operation->mate);
    if (gnl_identity_claim(&me, "survivor") != 0) {
        say_wrong("the survivor has no name: %s", gnl_error_detail());
        return false;
    }
    sem_post(&stage->go);
    if (!operation->bare) {
        if (hear(PATIENCE_NS) != 0)
            say_wrong("the victim's first message did not come: %s", gnl_error_detail());
        for (unsigned i = 0; i < BEFOREHAND && operation->waiting > 0; i++)
            if (gnl_send_to(me, "victim", filling, operation->waiting, PATIENCE_NS) != 0)
                say_wrong("a message could not be sent beforehand: %s", gnl_error_detail());
        sem_post(&stage->filled);
    }
    if (step_await_mark(*victim) != STEPPED_TO_END) {
        say_wrong("the victim does not come to its mark");
        return false;
    }
    if (*mate > 0)
        await_asleep(*mate);
    return true;
}

/* While the victim is stopped. */
static void go_on(const struct operation *operation)
{
    gnl_identity *thief;

    use_other_link("other");
    if (operation->run != run_claim && operation->run != run_release &&
        gnl_identity_claim(&thief, "victim") != -EADDRINUSE)
        say_wrong("the name of a stopped process was free");
    while (hear(GNL_NOWAIT) == 0)
        ;
    if (operation->ends || operation->bare)
        return;
    int result = gnl_send_to(me, "victim", "12345678", 8, GNL_NOWAIT);
    if (result != 0)
        say_wrong("a stopped process could not be sent to: %s", gnl_strerror(result));
}

static void check_mate(const struct operation *operation, pid_t mate)
{
    if (!await(&stage->mate_over)) {
        say_wrong("the mate hangs");
        step_kill(mate);
        return;
    }
    int result = atomic_load(&stage->mate_result);
    bool succeeded = operation->mate == MATE_SENDS ? result == 0 : result >= 0;
    bool must =
        operation->mate == MATE_SENDS ? atomic_load(&stage->heard) > 0 : atomic_load(&stage->told) > 1;
    if (!succeeded && result != -EPIPE)
        say_wrong("the mate's call gave %d", result);
    if (!succeeded && must)
        say_wrong("the victim's call succeeded, the mate's did not");
    step_kill(mate);
}

/* After the victim's death. */
static void settle(const struct operation *operation, pid_t victim, pid_t mate, unsigned descriptors)
{
    int result;

    step_kill(victim);
    if (mate > 0)
        check_mate(operation, mate);
    /* Where the victim had no link perhaps nobody tells of its end. */
    while ((result = hear(told_of_end ? GNL_NOWAIT : operation->bare ? gnl_ms(10) : PATIENCE_NS)) == 0)
        ;
    if (!told_of_end && !operation->bare)
        say_wrong("the victim's end was not told: %d", result);
    uint64_t told = atomic_load(&stage->told), trying = atomic_load(&stage->trying);
    if (mate == 0 && (next < told || next > trying))
        say_wrong("%llu messages sent, %llu begun, %llu received", (unsigned long long)told,
                  (unsigned long long)trying, (unsigned long long)next);
    result = gnl_send_to(me, "victim", "x", 1, GNL_NOWAIT);
    if (result == -EPIPE)
        result = gnl_send_to(me, "victim", "x", 1, GNL_NOWAIT);
    if (result != -ENOENT)
        say_wrong("sending to the dead gave %d", result);
    use_other_link("victim"); /* the name is free, and the next of it is another */
    if (mate > 0) {
        gnl_identity *other;
        if (gnl_identity_claim(&other, "mate") != 0 || gnl_identity_release(other) != 0)
            say_wrong("the mate's name: %s", gnl_error_detail());
    }
    gnl_identity_release(me);
    unsigned now = count_descriptors();
    if (now != descriptors)
        say_wrong("%u descriptors, not %u", now, descriptors);
}

/* ---- runs ---- */

enum mode { KILL, STOP, MODES };

static bool at_mark(enum stepped stepped)
{
    if (stepped != STEPPED_TO_END)
        say_wrong(stepped == STEPPED_LATE ? "the victim does not come to its end" : "the victim died");
    return stepped == STEPPED_TO_END;
}

static void check_result(const struct operation *operation)
{
    int result = atomic_load(&stage->result);

    if (result != operation->result && !(operation->result != 0 && result == 0))
        say_wrong("the operation returned %d, not %d", result, operation->result);
}

static unsigned run_once(const struct operation *operation, struct trace *trace, enum mode mode,
                         uint64_t step)
{
    static char words[128];
    unsigned descriptors = count_descriptors();
    uintptr_t address = 0;
    pid_t victim, mate;
    enum stepped stepped;

    snprintf(words, sizeof words, "%s, %s after step %llu", operation->name,
             mode == KILL ? "killed" : "stopped", (unsigned long long)step);
    where = words;
    if (set_stage(operation, &victim, &mate)) {
        if (step == 0)
            stepped = trace_record(trace, victim, NULL);
        else
            stepped = trace_follow(trace, victim, step, &address);
        if (stepped != STEPPED) {
            if (at_mark(stepped) && at_mark(step_run_traced(victim)))
                check_result(operation);
        } else if (mode == STOP && at_mark(step_leave_stopped(victim))) {
            go_on(operation);
            if (at_mark(step_run_stopped(victim)) && at_mark(step_run_stopped(victim)))
                check_result(operation);
        }
    }
    settle(operation, victim, mate, descriptors);
    if (stage->findings > 0) {
        char text[160];
        symbol_of(address, text, sizeof text);
        fprintf(stderr, "    it stood at %s\n", text);
    }
    return stage->findings > 0;
}

static bool is_point(const struct trace *trace, uint64_t step)
{
    return trace->steps <= EVERY_INSTRUCTION || trace->points[step].eventful || step % NOW_AND_THEN == 0;
}

/* The shortest way of a few through the operation: one on which the victim had to wait is mostly waiting. */
static unsigned record(const struct operation *operation, struct trace *trace)
{
    unsigned wrong = run_once(operation, trace, KILL, 0);

    for (unsigned i = 1; i < RECORDS; i++) {
        struct trace again = { 0 };
        wrong += run_once(operation, &again, KILL, 0);
        if (again.steps > 0 && again.steps < trace->steps) {
            struct trace longer = *trace;
            *trace = again;
            again = longer;
        }
        trace_free(&again);
    }
    return wrong;
}

static unsigned torture(const struct operation *operation, unsigned every, long at)
{
    struct trace trace = { 0 };
    unsigned runs = RECORDS, wrong = record(operation, &trace);

    for (unsigned mode = 0; mode < MODES; mode++) {
        uint64_t points = 0;
        for (uint64_t step = 1; step <= trace.steps; step++) {
            if (at > 0 ? step != (uint64_t)at : !is_point(&trace, step) || points++ % every != 0)
                continue;
            wrong += run_once(operation, &trace, (enum mode)mode, step);
            runs++;
        }
    }
    printf("%-16s %6llu steps %6u runs %4u wrong   %s\n", operation->name, (unsigned long long)trace.steps,
           runs, wrong, operation->what);
    fflush(stdout);
    trace_free(&trace);
    return wrong;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "full", no_argument, NULL, 'f' },
        { "every", required_argument, NULL, 'e' },
        { "operation", required_argument, NULL, 'o' },
        { "at", required_argument, NULL, 'a' },
        { 0 },
    };
    char directory[] = "/dev/shm/ginnel-torture-links-XXXXXX", claims[sizeof directory + 16];
    const char *only = NULL;
    unsigned every = 1, wrong = 0;
    long at = 0;

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (option == 'e')
            every = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'o')
            only = optarg;
        else if (option == 'a')
            at = strtol(optarg, NULL, 10);
        else if (option != 'f') {
            fprintf(stderr, "usage: torture_links [--full | --every N] [--operation NAME [--at STEP]]\n");
            return 2;
        }
    stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED || every == 0 || !mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0) {
        perror("torture_links");
        return 2;
    }
    for (size_t i = 0; i < OPERATIONS; i++)
        if (!only || strcmp(only, operations[i].name) == 0)
            wrong += torture(&operations[i], every, at);
    snprintf(claims, sizeof claims, "%s/.claims", directory);
    unlink(claims);
    if (rmdir(directory) != 0)
        printf("files were left in %s\n", directory), wrong++;
    printf("%u runs found something\n", wrong);
    return wrong > 0;
}
