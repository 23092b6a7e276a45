/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/machine.h"

#define PATIENCE_NS ((int64_t)10000000000) /* for members to get ready, and to end */
#define LIFE_S      60                     /* of a member, whatever becomes of the parent */
#define SLICE_NS    1000000
#define REST_NS     100000 /* from asleep to a core at rest, however long it was busy before */

static volatile sig_atomic_t interrupted;
static volatile pid_t children[CREW_MAX];

/* ---- signals ---- */

static void on_signal(int signo)
{
    int error = errno;

    interrupted = signo;
    for (unsigned i = 0; i < CREW_MAX; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
    errno = error;
}

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };

/* Those that whoever started us had ignored stay so. */
static void change_signals(void (*from)(int), void (*to)(int))
{
    struct sigaction action;

    for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++)
        if (sigaction(caught[i], NULL, &action) == 0 && action.sa_handler == from)
            sigaction(caught[i], &(struct sigaction){ .sa_handler = to }, NULL);
}

void crew_catch_signals(void)
{
    change_signals(SIG_DFL, on_signal);
}

int crew_interrupted(void)
{
    return interrupted;
}

static void hold_signals(sigset_t *before)
{
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

static void nap(int64_t ns)
{
    nanosleep(&(struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 }, NULL);
}

/* ---- a member's life ---- */

int crew_fail(struct crew_member *member, const char *what, int code)
{
    const char *detail = gnl_error_detail();

    snprintf(member->seat->failure, sizeof member->seat->failure, "%s: %s", what,
             detail[0] != '\0' ? detail : gnl_strerror(code));
    return code < 0 ? code : -EIO;
}

int crew_open(struct crew_member *member, gnl_port **port, const char *address, enum gnl_direction direction)
{
    int result =
        gnl_open(port, address, &(struct gnl_options){ .create = GNL_OPEN_ONLY, .direction = direction });

    return result < 0 ? crew_fail(member, address, result) : 0;
}

int crew_meet(struct crew_member *member)
{
    static const char *const names[] = { "bench-a", "bench-b" };
    bool second = member->number != 0;

    int result = gnl_identity_claim(&member->identity, names[second]);
    if (result == 0)
        result = gnl_identity_capacity(member->identity, member->task->capacity);
    if (result == 0)
        result = gnl_link(member->identity, names[!second], &member->out, gnl_s(10));
    member->in = member->out;
    return result < 0 ? crew_fail(member, "a direct link", result) : 0;
}

uint32_t crew_tcp_port(struct crew_member *member)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < 10000 && number == 0; i++) {
        number = atomic_load_explicit(&member->area->tcp_port, memory_order_acquire);
        if (number == 0)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return number;
}

/* A UNIX socket's is in the abstract namespace, by the number of the process that both are children of. */
static void address_of(struct crew_member *member, char address[GNL_ADDRESS_MAX + 1])
{
    uint32_t number = member->task->wire == WIRE_TCP && member->number == 0 ? crew_tcp_port(member) : 0;

    switch (member->task->wire) {
    case WIRE_TCP:
        snprintf(address, GNL_ADDRESS_MAX, "tcp:127.0.0.1:%u", number);
        break;
    case WIRE_UNIX:
        snprintf(address, GNL_ADDRESS_MAX, "unix:@ginnel-bench-%d", (int)getppid());
        break;
    default:
        snprintf(address, GNL_ADDRESS_MAX, "pipe:bench");
    }
}

/* Until the other listens. */
static int connect_in_time(gnl_port **port, const char *address, int64_t end_ns)
{
    int result;

    while ((result = gnl_open(port, address, NULL)) == -ENOENT && crew_now_ns() < end_ns)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    return result;
}

static int listen_and_accept(struct crew_member *member, const char *address)
{
    gnl_listener *listener;

    int result = gnl_listen(&listener, address, NULL);
    if (result < 0)
        return result;
    const char *number = strrchr(gnl_listener_address(listener), ':') + 1;
    atomic_store_explicit(&member->area->tcp_port, (uint32_t)strtoul(number, NULL, 10), memory_order_release);
    result = gnl_accept(listener, &member->out, gnl_s(10));
    gnl_listener_close(listener);
    return result;
}

int crew_connect(struct crew_member *member)
{
    char address[GNL_ADDRESS_MAX + 1];

    address_of(member, address);
    int result = member->number == 0 ? connect_in_time(&member->out, address, crew_now_ns() + gnl_s(10))
                                     : listen_and_accept(member, address);
    member->in = member->out;
    return result < 0 ? crew_fail(member, address, result) : 0;
}

bool crew_await_sleep(struct crew_member *member)
{
    char path[64], text[512];

    if (member->state_file < 0) {
        snprintf(path, sizeof path, "/proc/%d/stat", (int)member->other->pid);
        member->state_file = open(path, O_RDONLY | O_CLOEXEC);
    }
    while (!crew_stopped(member)) {
        ssize_t length = pread(member->state_file, text, sizeof text - 1, 0);
        if (length < 0) {
            crew_fail(member, "asking whether a process sleeps", -errno);
            return false;
        }
        text[length] = '\0';
        const char *end = strrchr(text, ')'); /* of the command's name; then a space and the state */
        if (end && end[1] == ' ' && end[2] == 'S')
            break;
    }
    for (int64_t until = crew_now_ns() + REST_NS; crew_now_ns() < until;)
        ;
    return !crew_stopped(member);
}

struct slice {
    int64_t ns;
    uint64_t operations;
};

static void tally(struct crew_seat *seat, int sign)
{
    struct rusage usage;
    uint64_t factor = (uint64_t)(int64_t)sign;

    getrusage(RUSAGE_SELF, &usage);
    seat->faults += factor * (uint64_t)usage.ru_minflt;
    seat->sleeps += factor * (uint64_t)usage.ru_nvcsw;
    seat->preemptions += factor * (uint64_t)usage.ru_nivcsw;
    seat->elapsed_ns += sign * crew_now_ns();
}

/* Ends a slice if it is time to, and begins the next. */
static void slice(struct crew_member *member, uint64_t operations, struct slice *begun)
{
    int64_t now = crew_now_ns();

    if (now - begun->ns < SLICE_NS || operations == begun->operations)
        return;
    crew_sample(member, (double)(now - begun->ns) / (double)(operations - begun->operations));
    *begun = (struct slice){ now, operations };
}

static int64_t step_while(enum crew_phase phase, struct crew_member *member, const struct crew_part *part,
                          _Atomic uint64_t *count)
{
    struct slice begun = { crew_now_ns(), 0 };
    uint64_t operations = 0;

    while (atomic_load_explicit(&member->area->phase, memory_order_relaxed) == phase) {
        int64_t done = part->step(member);
        if (done < 0)
            return done;
        operations += (uint64_t)done;
        atomic_store_explicit(count, operations, memory_order_relaxed);
        if (part->sampling == SAMPLE_SLICES)
            slice(member, operations, &begun);
    }
    return 0;
}

static int work(struct crew_member *member, const struct crew_part *part)
{
    struct crew_seat *seat = member->seat;

    int64_t done = step_while(CREW_WARM, member, part, &seat->warming);
    if (done < 0)
        return (int)done;
    member->measuring = true;
    tally(seat, -1);
    done = step_while(CREW_MEASURE, member, part, &seat->operations);
    tally(seat, 1);
    return (int)(done < 0 ? done : 0);
}

static int live(struct crew_member *member, const struct crew_part *part)
{
    /* Pages are there before the measuring: a fault is to be the library's. */
    if (part->sampling != SAMPLE_NOTHING)
        memset(member->seat->sample_ns, 0, sizeof member->seat->sample_ns);
    member->buffer = aligned_alloc(4096, (member->task->size + 4095) / 4096 * 4096 + 4096);
    if (!member->buffer)
        return crew_fail(member, "a buffer", -ENOMEM);
    memset(member->buffer, 'g', member->task->size);
    alarm(LIFE_S);
    if (machine_pin(part->place) < 0)
        return crew_fail(member, "going to a core", -errno);
    int result = part->begin ? part->begin(member) : 0;
    if (result < 0)
        return result;
    atomic_store_explicit(&member->seat->pid, getpid(), memory_order_release);
    while (atomic_load_explicit(&member->area->phase, memory_order_acquire) == CREW_ASSEMBLE)
        nap(100000);
    result = work(member, part);
    if (result >= 0 && part->end)
        result = part->end(member);
    if (!member->identity) { /* which borrows its ports */
        gnl_close(member->out);
        gnl_close(member->in);
    }
    gnl_identity_release(member->identity);
    free(member->buffer);
    return result;
}

/* ---- the parent ---- */

struct crew_area *crew_area_new(void)
{
    void *area =
        mmap(NULL, sizeof(struct crew_area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return area == MAP_FAILED ? NULL : area;
}

static int hire(struct crew_area *area, const struct crew_part *parts, unsigned i,
                const struct crew_task *task)
{
    pid_t parent = getpid();
    sigset_t before;

    memset(&area->seats[i], 0, offsetof(struct crew_seat, sample_ns));
    hold_signals(&before);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        change_signals(on_signal, SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (getppid() != parent)
            _exit(1);
        struct crew_member member = {
            .area = area,
            .seat = &area->seats[i],
            .other = &area->seats[i == 0],
            .number = i,
            .task = task,
            .state_file = -1,
        };
        _exit(live(&member, &parts[i]) < 0);
    }
    children[i] = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        fprintf(stderr, "ginnel bench: cannot start a process: %s\n", strerror(errno));
    return pid < 0 ? -1 : 0;
}

/* Collects a member if it has ended: 1 ended well, 0 lives, -1 failed. */
static int collect(struct crew_area *area, unsigned i)
{
    int status;
    pid_t pid = children[i];

    if (pid <= 0)
        return 1;
    if (waitpid(pid, &status, WNOHANG) == 0)
        return 0;
    children[i] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    if (interrupted)
        return -1;
    if (WIFSIGNALED(status))
        fprintf(stderr, "ginnel bench: a process was ended by signal %d\n", WTERMSIG(status));
    else
        fprintf(stderr, "ginnel bench: %s\n", area->seats[i].failure);
    return -1;
}

static bool all_live(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        siginfo_t ended = { 0 };
        if (waitid(P_PID, (id_t)children[i], &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0)
            return false;
    }
    return true;
}

static bool ready(struct crew_area *area, unsigned i)
{
    return atomic_load_explicit(&area->seats[i].pid, memory_order_acquire) != 0;
}

static int assemble(struct crew_area *area, unsigned count)
{
    for (int64_t until = crew_now_ns() + PATIENCE_NS; crew_now_ns() < until; nap(200000)) {
        unsigned there = 0;
        for (unsigned i = 0; i < count; i++) {
            if (collect(area, i) != 0)
                return -1;
            there += ready(area, i);
        }
        if (there == count)
            return 0;
        if (interrupted)
            return -1;
    }
    fprintf(stderr, "ginnel bench: processes did not get ready in time\n");
    return -1;
}

static void enter_phase(struct crew_area *area, enum crew_phase phase)
{
    atomic_store_explicit(&area->phase, phase, memory_order_release);
    if (phase == CREW_STOP) { /* who sleeps on the futex of limits.c has nothing else to wake it */
        atomic_fetch_add_explicit(&area->futex, 1, memory_order_seq_cst);
        syscall(SYS_futex, &area->futex, FUTEX_WAKE, CREW_MAX);
    }
}

/* Leads the crew through a phase, asleep; the more so where little gets done. Failures show when the crew is
 * dismissed. */
static void lead(struct crew_area *area, enum crew_phase phase, const struct crew_part *parts, unsigned count,
                 int64_t ns, uint64_t operations)
{
    int64_t until = crew_now_ns() + PATIENCE_NS;
    uint64_t done = 0;

    enter_phase(area, phase);
    do {
        nap(ns);
        done = 0;
        for (unsigned i = 0; i < count; i++)
            if (parts[i].counts)
                done += atomic_load_explicit(phase == CREW_WARM ? &area->seats[i].warming
                                                                : &area->seats[i].operations,
                                             memory_order_relaxed);
    } while (done < operations && !interrupted && all_live(count) && crew_now_ns() < until);
}

static int dismiss(struct crew_area *area, unsigned count)
{
    unsigned gone = 0;
    int result = 0;

    enter_phase(area, CREW_STOP);
    for (int64_t until = crew_now_ns() + PATIENCE_NS; gone < count && crew_now_ns() < until;) {
        gone = 0;
        for (unsigned i = 0; i < count; i++) {
            int ended = collect(area, i);
            gone += ended != 0;
            if (ended < 0)
                result = -1;
        }
        if (gone < count)
            nap(200000);
    }
    for (unsigned i = 0; i < count; i++)
        if (children[i] > 0) {
            fprintf(stderr, "ginnel bench: a process did not stop in time\n");
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
            children[i] = 0;
            result = -1;
        }
    return result;
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static int sum_up(struct crew_area *area, const struct crew_part *parts, unsigned count,
                  struct crew_result *result)
{
    double rate = 0, operations = 0, faults = 0, sleeps = 0;
    struct crew_seat *sampled = NULL;

    *result = (struct crew_result){ 0 };
    for (unsigned i = 0; i < count; i++) {
        struct crew_seat *seat = &area->seats[i];
        faults += (double)seat->faults;
        sleeps += (double)seat->sleeps;
        result->preemptions += seat->preemptions;
        if (!parts[i].counts)
            continue;
        double done = (double)atomic_load_explicit(&seat->operations, memory_order_relaxed);
        operations += done;
        if (seat->elapsed_ns > 0)
            rate += done / (double)seat->elapsed_ns;
        if (seat->samples > 0)
            sampled = seat;
    }
    if (operations < 1) {
        fprintf(stderr, "ginnel bench: nothing was done in the time given: is the machine very busy?\n");
        return -1;
    }
    result->ns = 1 / rate;
    result->faults = faults / operations;
    result->sleeps = sleeps / operations;
    if (sampled) {
        qsort(sampled->sample_ns, sampled->samples, sizeof sampled->sample_ns[0], by_size);
        result->ns = sampled->sample_ns[sampled->samples / 2];
        result->p99_ns = sampled->sample_ns[(size_t)sampled->samples * 99 / 100];
    }
    return 0;
}

int crew_run(struct crew_area *area, const struct crew_part *parts, unsigned count,
             const struct crew_task *task, struct crew_time time, struct crew_result *result)
{
    int failed = 0;

    enter_phase(area, CREW_ASSEMBLE);
    atomic_store_explicit(&area->line, 0, memory_order_relaxed);
    atomic_store_explicit(&area->tcp_port, 0, memory_order_relaxed);
    for (unsigned i = 0; i < CREW_RING_PARTS; i++)
        atomic_store_explicit(&area->flags[i].full, 0, memory_order_relaxed);
    for (unsigned i = 0; i < count && failed == 0; i++)
        failed = hire(area, parts, i, task);
    if (failed == 0)
        failed = assemble(area, count);
    if (failed == 0) {
        lead(area, CREW_WARM, parts, count, time.warm_ns, task->lap);
        lead(area, CREW_MEASURE, parts, count, time.measure_ns, time.measure_operations);
    }
    if (dismiss(area, count) < 0 || failed < 0 || interrupted)
        return -1;
    return sum_up(area, parts, count, result);
}
