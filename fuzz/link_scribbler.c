/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile side of a direct link at full speed: it writes words into the memory that it handed over,
 * random ones and such as an honest sender writes, while an honest process sends and receives on that link
 * and on a good one.
 *
 *     link_scribbler SECONDS
 *
 * The honest one must get back from each call: within its timeout and what a busy machine may add, with
 * success or an error of the manual; without a signal, and in a build with sanitizers without a report.
 * The good link loses nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "link/meet.h"
#include "link/side.h"
#include "ring/frames.h"

#define TIMEOUT     gnl_ms(20)
#define SLACK       gnl_s(5)
#define ROUND_NS    gnl_ms(100) /* one link: what has ended gives way to a new one */
#define MEMORY      ((uint64_t)1 << 20)
#define BLOCKS      3
#define MESSAGE_MAX ((size_t)100000)
#define SEALS       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static char directory[] = "/dev/shm/ginnel-scribbler.XXXXXX";
static char buffer[MESSAGE_MAX];
static uint64_t calls, successes, state;

static void fail(const char *what)
{
    fprintf(stderr, "link_scribbler: %s: %s; %s\n", what, strerror(errno), gnl_error_detail());
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint64_t chance(uint64_t count)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % count;
}

/* ---- the hostile one ---- */

struct half {
    int socket, memory, bell[2];
    char *base;
};

static struct half make_half(void)
{
    struct half half = { .memory = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING) };

    if (half.memory < 0 || ftruncate(half.memory, (off_t)MEMORY) != 0 ||
        pipe2(half.bell, O_NONBLOCK | O_CLOEXEC) != 0)
        fail("cannot make memory");
    half.base = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, half.memory, 0);
    if (half.base == MAP_FAILED)
        fail("mmap");
    memset(half.base, 0, GNLI_SIDE_FIRST + BLOCKS * GNLI_BLOCK_BYTES);
    struct gnli_side *side = (struct gnli_side *)(void *)half.base;
    side->magic = GNLI_SIDE_MAGIC;
    side->version = GNLI_SIDE_VERSION;
    fcntl(half.memory, F_ADD_SEALS, SEALS);
    return half;
}

static void hand_over(struct half *half)
{
    struct gnli_hello hello = { .magic = GNLI_HELLO_MAGIC,
                                .version = GNLI_HELLO_VERSION,
                                .name = "hostile",
                                .size = MEMORY,
                                .block = GNLI_SIDE_FIRST,
                                .capacity = 1024,
                                .message_max = MESSAGE_MAX };
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
    struct iovec vector = { .iov_base = &hello, .iov_len = sizeof hello };
    struct msghdr packet = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header = (struct cmsghdr *)(void *)control;

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(header), (int[]){ half->memory, half->bell[0] }, 2 * sizeof(int));
    snprintf(path.sun_path, sizeof path.sun_path, "%.80s/direct:honest", directory);
    half->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(half->socket, (struct sockaddr *)&path, sizeof path) == 0)
        sendmsg(half->socket, &packet, MSG_NOSIGNAL);
}

static uint64_t some_word(void)
{
    switch (chance(8)) {
    case 0:
        return gnli_frame_word(GNLI_FRAME_NEXT,
                               (GNLI_SIDE_FIRST + chance(BLOCKS + 1) * GNLI_BLOCK_BYTES) / 64);
    case 1:
        return GNLI_SIDE_FIRST + chance(64) * 4096;
    case 2:
        return chance(64);
    case 3:
        return gnli_frame_word((enum gnli_frame)chance(8), chance(6000));
    default:
        return gnli_frame_word((enum gnli_frame)(1 + chance(2)), chance(2) ? 16 : chance(200));
    }
}

static void scribble(struct half *half)
{
    uint64_t offset = chance(8) == 0 ? 64 + chance(30) * 8
                                     : GNLI_SIDE_FIRST + chance(BLOCKS) * GNLI_BLOCK_BYTES +
                                           (chance(16) == 0 ? GNLI_BLOCK_BYTES - 8 : chance(200) * 8);

    *(volatile uint64_t *)(void *)(half->base + offset) = some_word();
    if (chance(256) == 0) {
        ssize_t ignored = write(half->bell[1], "", 1);
        (void)ignored;
    }
}

_Noreturn static void be_hostile(void)
{
    gnl_identity *me;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    state = 88172645463325252u;
    if (gnl_identity_claim(&me, "hostile") != 0)
        fail("no name");
    for (;;) {
        struct half half = make_half();
        hand_over(&half);
        for (int64_t end = now() + ROUND_NS; now() < end;)
            for (unsigned i = 0; i < 64; i++)
                scribble(&half);
        close(half.socket);
        munmap(half.base, MEMORY);
        close(half.memory);
        close(half.bell[0]);
        close(half.bell[1]);
    }
}

_Noreturn static void be_good(void)
{
    gnl_identity *me;
    uint64_t number;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (gnl_identity_claim(&me, "good") != 0)
        fail("no name");
    for (;;) {
        ssize_t size = gnl_recv_from(me, "honest", &number, sizeof number, NULL, GNL_FOREVER);
        if (size == -EPIPE) /* the honest one has done its part */
            pause();
        if (size != sizeof number || gnl_send_to(me, "honest", &number, sizeof number, GNL_FOREVER) != 0)
            fail("the good link, from its other side");
    }
}

/* ---- the honest one ---- */

static int64_t checked(const char *what, int64_t began, int64_t result)
{
    static const int errors[] = { EAGAIN,  ETIMEDOUT, EPIPE,  EMSGSIZE, ENOSPC, ENOBUFS,
                                  EBADMSG, ENOMSG,    ENOENT, ENOMEM,   EINVAL };
    bool listed = result >= 0;

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        listed |= result == -errors[i];
    if (!listed || now() - began > TIMEOUT + SLACK) {
        fprintf(stderr, "link_scribbler: %s gave %lld after %lld ms: %s\n", what, (long long)result,
                (long long)(now() - began) / 1000000, gnl_error_detail());
        abort();
    }
    calls++;
    successes += result >= 0;
    return result;
}

#define CALL(call)                               \
    __extension__({                              \
        int64_t began_ = now();                  \
        checked(#call, began_, (int64_t)(call)); \
    })

static void use(gnl_identity *me, gnl_port *port)
{
    int64_t timeout = chance(4) == 0 ? TIMEOUT : GNL_NOWAIT;
    struct gnl_port_info info;
    gnl_message message;

    switch (chance(8)) {
    case 0:
    case 1:
    case 2:
        CALL(gnl_recv_from(me, "hostile", buffer, sizeof buffer, NULL, timeout));
        break;
    case 3:
    case 4:
        if (CALL(gnl_take(port, &message, timeout)) == 0) {
            if (message.size > sizeof buffer)
                abort();
            memcpy(buffer, message.data, message.size);
            CALL(chance(4) ? gnl_done(&message) : gnl_giveback(&message));
        }
        break;
    case 5:
        CALL(gnl_send_to(me, "hostile", buffer, chance(2) ? 8 : 20000, timeout));
        break;
    case 6:
        if (CALL(gnl_loan(port, &message, 9000, GNL_NOWAIT)) < 0)
            break;
        memset(message.data, 'x', message.size);
        if (CALL(gnl_post(port, &message, timeout)) < 0)
            CALL(gnl_done(&message));
        break;
    default:
        CALL(gnl_port_info(port, &info));
    }
}

static void use_good(gnl_identity *me, uint64_t number)
{
    uint64_t answer = 0;

    if (gnl_send_to(me, "good", &number, sizeof number, SLACK) != 0 ||
        gnl_recv_from(me, "good", &answer, sizeof answer, NULL, SLACK) != sizeof answer || answer != number)
        fail("the good link");
}

static void be_honest(int64_t until)
{
    gnl_identity *me;
    gnl_port *port;

    state = 1234567891;
    if (gnl_identity_claim(&me, "honest") != 0 ||
        gnl_open(&port, "direct:hostile",
                 &(struct gnl_options){ .identity = me, .capacity = 64, .message_max = MESSAGE_MAX }) != 0)
        fail("no name");
    for (uint64_t i = 0; now() < until; i++) {
        use(me, port);
        if (i % 16 == 0)
            use_good(me, i);
    }
    if (gnl_identity_release(me) != 0)
        fail("release");
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    static const char *const left[] = { "direct:hostile", "direct:good", ".claims" };
    char path[128];

    if (argc != 2) {
        fprintf(stderr, "usage: link_scribbler SECONDS\n");
        return 2;
    }
    if (!mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0)
        fail(directory);
    int64_t until = now() + gnl_s(atoi(argv[1]));
    pid_t good = fork();
    if (good == 0)
        be_good();
    pid_t hostile = fork();
    if (hostile == 0)
        be_hostile();
    be_honest(until);
    end(hostile);
    end(good);
    for (unsigned i = 0; i < sizeof left / sizeof left[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, left[i]);
        unlink(path);
    }
    if (rmdir(directory) != 0)
        fail(directory);
    printf("%llu calls, %llu succeeded\n", (unsigned long long)calls, (unsigned long long)successes);
    return 0;
}
