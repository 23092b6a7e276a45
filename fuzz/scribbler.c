/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile process at full speed: it writes words into a live mailbox (random ones, and such as an honest
 * member might have written, with other owners, positions, chunks and lengths), or with --truncate cuts
 * the file off and lets it grow again, while honest processes send and receive with timeouts.
 *
 *     scribbler [--truncate] SECONDS
 *
 * The honest ones must get back from each call: within its timeout and what a busy machine may add, with
 * success or an error of the manual; without a signal, and in a build with sanitizers without a report.
 * They close their ports and open them again all the time, and some of them are newcomers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

#include "mailbox/mailbox.h"

#define HONEST    3
#define TIMEOUT   gnl_ms(200)
#define SLACK     gnl_s(5)
#define ROUND_NS  gnl_ms(400) /* one mailbox: what is wrecked for good gives way to a new one */
#define CALLS_MAX 200         /* through one port */
#define BUFFER    ((size_t)1 << 20)
#define BURST     64 /* words between two looks at the clock */
#define PAUSE_US  200

static char directory[] = "/dev/shm/ginnel-scribbler.XXXXXX";
static bool truncating; /* instead of scribbling */
static bool gently;     /* with pauses, so that much of what others do succeeds */

static void fail(const char *what)
{
    fprintf(stderr, "scribbler: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- chance ---- */

static uint64_t state;

static uint64_t chance(uint64_t count)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return count > 0 ? state % count : state;
}

/* ---- the hostile one ---- */

struct target {
    int file;
    char *core;
    struct gnli_layout layout;
};

static void find_target(struct target *target)
{
    struct gnli_header header;
    char path[256];

    snprintf(path, sizeof path, "%s/mailbox:m", directory);
    target->file = open(path, O_RDWR | O_CLOEXEC);
    if (target->file < 0 || pread(target->file, &header, sizeof header, 0) != sizeof header ||
        gnli_layout_compute(&target->layout, header.capacity, header.message_max, header.two_way,
                            header.arena) < 0)
        fail("the mailbox");
    target->core = mmap(NULL, target->layout.core, PROT_READ | PROT_WRITE, MAP_SHARED, target->file, 0);
    if (target->core == MAP_FAILED)
        fail("mmap");
}

static uint64_t number(void)
{
    switch (chance(8)) {
    case 0:
        return chance(0);
    case 1:
        return UINT64_MAX >> chance(64);
    case 2:
        return (uint64_t)1 << chance(64);
    default:
        return chance(64);
    }
}

static uint64_t value(void)
{
    switch (chance(6)) {
    case 0:
        return gnli_word(chance(4), (unsigned)chance(40), (unsigned)chance(40), number());
    case 1:
        return gnli_cell_word(chance(4), (unsigned)chance(40), (unsigned)chance(4), number());
    case 2:
        return gnli_chunk_word(chance(4), (uint32_t)chance(64), number());
    case 3:
        return chance(14) << 56 | (number() & 0xffffffff) << 16 | chance(300);
    case 4:
        return number() << 32 | (number() & 0xffffffff);
    default:
        return number();
    }
}

/* Near the words that are there: those are what others are about to change. */
static uint64_t *place(const struct target *target)
{
    const struct gnli_layout *layout = &target->layout;
    uint64_t at;

    switch (chance(8)) {
    case 0:
        at = layout->state_at + chance(5) * 8;
        break;
    case 1:
        at = offsetof(struct gnli_header, classes) + chance(layout->classes * 8 + 1) * 8;
        break;
    case 2:
        at = layout->participants_at + chance(40) * 128 + chance(16) * 8;
        break;
    case 3:
        at = layout->cells_at + chance(64) * 128 + chance(7) * 8;
        break;
    case 4: /* not that it was removed: nobody would do anything any more */
        at = layout->state_at + offsetof(struct gnli_state, queues) +
             chance(offsetof(struct gnli_queue, removed) / 8) * 8;
        break;
    case 5:
    case 6:
        at = layout->slots_at[0] + chance(layout->slots < 2048 ? layout->slots : 2048) * 128 + chance(7) * 8;
        break;
    default:
        if (layout->classes == 0)
            return (uint64_t *)(void *)target->core;
        at = layout->class[chance(layout->classes)].table_at + chance(64) * 8;
    }
    return (uint64_t *)(void *)(target->core + at % (layout->core - 8) / 8 * 8);
}

/* Whole regions at once: no word stays as it is for longer than it takes to come around again. */
static void flood(const struct target *target, uint64_t offset, uint64_t size)
{
    uint64_t word = value(), step = chance(3) << GNLI_LAP_SHIFT;

    for (unsigned laps = (unsigned)chance(64); laps > 0; laps--, word += step)
        for (uint64_t at = 0; at < size; at += 128)
            *(volatile uint64_t *)(void *)(target->core + offset + at) = word;
}

static void scribble(const struct target *target)
{
    const struct gnli_layout *layout = &target->layout;
    uint64_t slots = (layout->slots < 2048 ? layout->slots : 2048) * 128;

    switch (chance(64)) {
    case 0:
        flood(target, layout->slots_at[0], slots);
        break;
    case 1:
        flood(target, layout->cells_at, 64 * 128);
        break;
    case 2:
        flood(target, layout->participants_at, 64 * 128);
        break;
    default:
        for (unsigned i = 0; i < BURST; i++) {
            uint64_t *at = place(target), word = value();
            /* One that looks like the one before it is the more dangerous one. */
            *(volatile uint64_t *)at =
                chance(4) == 0 ? *(volatile uint64_t *)at ^ (uint64_t)1 << chance(64) : word;
        }
    }
}

static void resize(const struct target *target)
{
    off_t size = chance(4) == 0 ? 0 : (off_t)chance(chance(2) ? target->layout.core : target->layout.size);

    if (ftruncate(target->file, size) != 0)
        fail("ftruncate");
    if (chance(2))
        usleep(PAUSE_US);
    if (ftruncate(target->file, (off_t)(target->layout.size + chance(2) * 65536)) != 0)
        fail("ftruncate");
    /* With a header that can be opened again, sometimes. */
    if (chance(2)) {
        struct gnli_header header = { .magic = GNLI_MAILBOX_MAGIC, .version = GNLI_MAILBOX_VERSION };
        header.capacity = target->layout.capacity;
        header.message_max = target->layout.message_max;
        header.arena = target->layout.arena;
        if (pwrite(target->file, &header, sizeof header, 0) != sizeof header)
            fail("pwrite");
    }
    usleep(PAUSE_US);
}

static void be_hostile(int64_t until)
{
    struct target target;

    find_target(&target);
    while (now() < until) {
        if (truncating)
            resize(&target);
        else
            scribble(&target);
        if (gently)
            usleep(PAUSE_US);
    }
    /* In the end it is whole again in size: what comes next is not about this. */
    if (ftruncate(target.file, (off_t)target.layout.size) != 0)
        fail("ftruncate");
}

/* ---- the honest ones ---- */

static uint64_t calls, successes;
static int64_t longest;

/* Checks one call that has ended. */
static int64_t checked(const char *what, int64_t began, int64_t result)
{
    static const int errors[] = { EAGAIN, ETIMEDOUT, EIDRM,   EMSGSIZE, ENOSPC, ENOBUFS,
                                  EINVAL, ENOENT,    EBADMSG, EUSERS,   ENOMEM, EPROTONOSUPPORT };
    int64_t took = now() - began;
    bool listed = result >= 0;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        listed |= result == -errors[i];
    if (!listed) {
        fprintf(stderr, "scribbler: %s gave %lld: %s\n", what, (long long)result, gnl_error_detail());
        abort();
    }
    if (took > TIMEOUT + SLACK) {
        fprintf(stderr, "scribbler: %s took %lld ms\n", what, (long long)took / 1000000);
        abort();
    }
    longest = took > longest ? took : longest;
    calls++;
    successes += result >= 0;
    return result;
}

#define CALL(call)                               \
    __extension__({                              \
        int64_t began_ = now();                  \
        checked(#call, began_, (int64_t)(call)); \
    })

static int64_t some_timeout(void)
{
    return chance(4) == 0 ? TIMEOUT : chance(2) ? gnl_ms(1) : GNL_NOWAIT;
}

static void end_message(gnl_message *message, char *buffer)
{
    if (message->size > BUFFER) {
        fprintf(stderr, "scribbler: a message of %zu bytes\n", message->size);
        abort();
    }
    memcpy(buffer, message->data, message->size);
    if (chance(4) == 0)
        CALL(gnl_giveback(message));
    else
        CALL(gnl_done(message));
}

static void use(gnl_port *port, char *buffer)
{
    static const size_t sizes[] = { 0, 8, 96, 97, 3000, 70000 };
    size_t size = sizes[chance(6)];
    struct gnl_port_info info;
    gnl_message message;

    switch (chance(10)) {
    case 0:
    case 1:
    case 2:
        CALL(gnl_send(port, buffer, size, some_timeout()));
        break;
    case 3:
    case 4:
        CALL(gnl_recv(port, buffer, BUFFER, some_timeout()));
        break;
    case 5:
    case 6:
        if (CALL(gnl_take(port, &message, some_timeout())) == 0)
            end_message(&message, buffer);
        break;
    case 7:
        if (CALL(gnl_loan(port, &message, size, GNL_NOWAIT)) < 0)
            break;
        memset(message.data, 'x', message.size);
        if (CALL(gnl_post(port, &message, some_timeout())) < 0)
            CALL(gnl_done(&message));
        break;
    case 8:
        CALL(gnl_port_info(port, &info));
        break;
    default: {
        int64_t descriptor = CALL(gnl_port_fd(port));
        if (descriptor >= 0)
            poll(&(struct pollfd){ .fd = (int)descriptor, .events = POLLIN }, 1, 1);
    }
    }
}

static void be_honest(int64_t until)
{
    char *buffer = calloc(1, BUFFER);
    struct gnl_participant participants[8];
    struct gnl_port_info info;
    gnl_port *port;

    if (!buffer)
        fail("memory");
    while (now() < until) {
        CALL(gnl_inspect("mailbox:m", &info, participants, 8));
        if (CALL(gnl_open(&port, "mailbox:m", &(struct gnl_options){ .create = GNL_OPEN_ONLY })) < 0)
            continue;
        for (unsigned i = 0; i < CALLS_MAX && now() < until; i++)
            use(port, buffer);
        CALL(gnl_close(port));
    }
    free(buffer);
    printf("  %llu calls, %llu of them succeeded, the longest took %lld ms\n", (unsigned long long)calls,
           (unsigned long long)successes, (long long)longest / 1000000);
    fflush(stdout);
}

/* ---- rounds ---- */

static pid_t start(void (*run)(int64_t until), int64_t until, unsigned which)
{
    pid_t child = fork();

    if (child < 0)
        fail("fork");
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    state = 88172645463325252ull ^ (uint64_t)now() ^ (uint64_t)which << 32;
    run(until);
    exit(0);
}

static bool ended_well(pid_t child, const char *who)
{
    int status;

    if (waitpid(child, &status, 0) != child)
        fail("waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr, "scribbler: %s ended with %s %d\n", who, WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static bool run_round(unsigned round, int64_t until)
{
    static const int64_t capacities[] = { 1024, 4, GNL_UNBOUNDED, GNL_RENDEZVOUS };
    struct gnl_options options = { .capacity = capacities[round % 4],
                                   .max_deliveries = round % 3 == 0 ? 5 : 0 };
    pid_t children[HONEST + 1];
    gnl_port *port;
    bool well = true;

    if (gnl_open(&port, "mailbox:m", &options) < 0) {
        fprintf(stderr, "scribbler: %s\n", gnl_error_detail());
        return false;
    }
    gently = round / 4 % 2 == 0;
    if (now() + ROUND_NS < until)
        until = now() + ROUND_NS;
    for (unsigned i = 0; i < HONEST; i++)
        children[i] = start(be_honest, until, i);
    children[HONEST] = start(be_hostile, until, HONEST);
    for (unsigned i = 0; i <= HONEST; i++)
        well &= ended_well(children[i], i < HONEST ? "an honest process" : "the hostile one");
    /* Who had it open all the time can still let go of it, and its name can be had anew. */
    CALL(gnl_close(port));
    if (CALL(gnl_remove("mailbox:m")) < 0)
        well = false;
    return well;
}

int main(int argc, char **argv)
{
    truncating = argc > 1 && strcmp(argv[1], "--truncate") == 0;
    int seconds = argc == 2 + truncating ? atoi(argv[1 + truncating]) : 0;
    bool well = true;

    if (seconds <= 0) {
        fprintf(stderr, "usage: scribbler [--truncate] SECONDS\n");
        return 2;
    }
    if (!mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0)
        fail(directory);
    int64_t until = now() + gnl_s(seconds);
    for (unsigned round = 0; well && now() < until; round++)
        well = run_round(round, until);
    rmdir(directory);
    return well ? 0 : 1;
}
