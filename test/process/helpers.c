/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>

#define TRAP_BYTES ((size_t)1 << 20)

gnl_port *open_port(const struct gnl_options *options)
{
    gnl_port *port;

    require(gnl_open(&port, MAILBOX, options) == 0);
    return port;
}

void close_port(gnl_port *port)
{
    require(gnl_close(port) == 0);
}

void remove_mailbox(void)
{
    require(gnl_remove(MAILBOX) == 0);
}

static unsigned char pattern(uint64_t number, size_t i)
{
    return (unsigned char)(number * 31 + i * 7 + (i >> 12));
}

void fill_message(void *data, size_t size, uint64_t number)
{
    require(size >= sizeof number);
    memcpy(data, &number, sizeof number);
    for (size_t i = sizeof number; i < size; i++)
        ((unsigned char *)data)[i] = pattern(number, i);
}

uint64_t check_message(const void *data, size_t size)
{
    uint64_t number;

    require(size >= sizeof number);
    memcpy(&number, data, sizeof number);
    for (size_t i = sizeof number; i < size; i++)
        require(((const unsigned char *)data)[i] == pattern(number, i));
    return number;
}

void send_number(gnl_port *port, uint64_t number)
{
    require(gnl_send(port, &number, sizeof number, PATIENCE) == 0);
}

void send_large(gnl_port *port, uint64_t number, size_t size)
{
    void *data = malloc(size);

    require(data);
    fill_message(data, size, number);
    require(gnl_send(port, data, size, PATIENCE) == 0);
    free(data);
}

gnl_message take_number(gnl_port *port, uint64_t expected)
{
    gnl_message message;

    require(gnl_take(port, &message, PATIENCE) == 0);
    require(check_message(message.data, message.size) == expected);
    return message;
}

uint64_t receive_number(gnl_port *port)
{
    gnl_message message;

    require(gnl_take(port, &message, PATIENCE) == 0);
    uint64_t number = check_message(message.data, message.size);
    require(gnl_done(&message) == 0);
    return number;
}

struct holder {
    unsigned count;
    struct gate holds;
};

static int hold(void *context)
{
    struct holder *holder = context;
    gnl_port *port = open_port(NULL);

    for (unsigned i = 0; i < holder->count; i++) {
        gnl_message message;
        require(gnl_take(port, &message, PATIENCE) == 0);
    }
    support_gate_open(&holder->holds);
    for (;;)
        pause();
}

pid_t start_holder(unsigned count)
{
    struct holder holder = { .count = count, .holds = support_gate() };

    pid_t child = support_fork(hold, &holder);
    support_gate_wait(&holder.holds);
    support_gate_close(&holder.holds);
    return child;
}

int stay_until_told(void *gates)
{
    struct gate *both = gates;
    gnl_port *port = open_port(NULL);

    support_gate_open(&both[0]);
    support_gate_wait(&both[1]);
    close_port(port);
    return 0;
}

struct gnl_port_info inspect_mailbox(void)
{
    struct gnl_port_info info;

    require(gnl_inspect(MAILBOX, &info, NULL, 0) >= 0);
    require(info.nonsense == 0);
    return info;
}

unsigned count_participants(bool alive)
{
    static struct gnl_participant participants[512];
    struct gnl_port_info info;
    unsigned count = 0;

    ssize_t found = gnl_inspect(MAILBOX, &info, participants, 512);
    require(found >= 0);
    for (ssize_t i = 0; i < found && i < 512; i++)
        count += (participants[i].alive != 0) == alive;
    return count;
}

const char *path_in_directory(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", getenv("GINNEL_DIR"), name);
    return path;
}

void *shared_memory(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    require(memory != MAP_FAILED);
    return memory;
}

/* ---- the trap ---- */

static struct trap armed;

static void caught(int signo)
{
    (void)signo;
    support_gate_open(&armed.reached);
    support_gate_wait(&armed.release);
    require(mprotect(armed.buffer, TRAP_BYTES, PROT_READ | PROT_WRITE) == 0);
}

struct trap trap_new(size_t safe)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, TRAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    require(pages != MAP_FAILED);
    return (struct trap){ .buffer = pages + page_size - safe % page_size,
                          .safe = safe,
                          .reached = support_gate(),
                          .release = support_gate() };
}

void trap_arm(struct trap *trap)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    char *forbidden = trap->buffer + trap->safe;
    struct sigaction action = { .sa_handler = caught };

    armed = *trap;
    armed.buffer = (char *)((uintptr_t)trap->buffer & ~(page_size - 1));
    require(sigaction(SIGSEGV, &action, NULL) == 0);
    require(mprotect(forbidden, TRAP_BYTES - (size_t)(forbidden - armed.buffer), PROT_NONE) == 0);
}

void trap_free(struct trap *trap)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

    munmap((void *)((uintptr_t)trap->buffer & ~(page_size - 1)), TRAP_BYTES);
    support_gate_close(&trap->reached);
    support_gate_close(&trap->release);
}

/* ---- time ---- */

/* ---- storms ---- */

static atomic_uint alarms;

static void on_alarm(int signo)
{
    (void)signo;
    atomic_fetch_add(&alarms, 1);
}

void start_storm(void)
{
    struct itimerval timer = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
    struct sigaction action = { .sa_handler = on_alarm }; /* and no SA_RESTART */

    require(sigaction(SIGALRM, &action, NULL) == 0);
    require(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

void end_storm(void)
{
    struct itimerval none = { 0 };

    require(setitimer(ITIMER_REAL, &none, NULL) == 0);
    require(atomic_load(&alarms) > 0);
}

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void pause_us(unsigned microseconds)
{
    nanosleep(
        &(struct timespec){ .tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000 },
        NULL);
}

/* ---- worlds of their own ---- */

bool mount_tmpfs(const char *path, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

pid_t fork_in_pid_namespace(int (*run)(void *context), void *context)
{
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

    fflush(NULL);
    if (own < 0 || unshare(CLONE_NEWPID) != 0) {
        close(own);
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(run(context));
    }
    require(setns(own, CLONE_NEWPID) == 0); /* further children are born here again */
    close(own);
    return child;
}

bool scene_ran(int (*run)(void *context))
{
    pid_t child = support_fork(run, NULL);
    int status = 0;

    for (int64_t start = now_ms(); waitpid(child, &status, WNOHANG) == 0; pause_us(1000))
        ck_assert_msg(now_ms() - start < PATIENCE_MS, "the child hangs");
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) != NOT_HERE)
        ck_assert_int_eq(WEXITSTATUS(status), 0);
    return WEXITSTATUS(status) == 0;
}
