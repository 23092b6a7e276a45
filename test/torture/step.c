/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t late;

static void on_alarm(int signo)
{
    late = 1;
}

void step_deadline(unsigned seconds)
{
    struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART: it has to interrupt waitpid */
    /* Again and again: the first may come just before a wait. */
    struct itimerval timer = { .it_value.tv_sec = seconds, .it_interval.tv_usec = 100000 };

    late = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

pid_t step_fork(void)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

char step_state(pid_t pid)
{
    char path[64], line[512];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor < 0 ? -1 : read(descriptor, line, sizeof line - 1);
    close(descriptor);
    if (length <= 0)
        return '?';
    line[length] = '\0';
    const char *end = strrchr(line, ')');
    return end && end[1] ? end[2] : '?';
}

void step_surrender(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        perror("torture: ptrace is not permitted here");
        _exit(125);
    }
}

void step_mark(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
}

static enum stepped await_stop(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, WUNTRACED) != pid)
        if (errno != EINTR || late)
            return STEPPED_LATE;
    if (!WIFSTOPPED(status))
        return STEPPED_DEAD;
    if (WSTOPSIG(status) == SIGSTOP)
        return STEPPED_TO_END;
    return WSTOPSIG(status) == SIGTRAP ? STEPPED : STEPPED_DEAD;
}

enum stepped step_await_mark(pid_t pid)
{
    return await_stop(pid);
}

/* ---- registers and breakpoints ---- */

#if defined __x86_64__
#define BREAKPOINT         0xccUL
#define BREAKPOINT_MASK    0xffUL
#define BREAKPOINT_SKIP    1 /* the processor stands behind it */
#define ADDRESS(registers) ((registers).rip)
#elif defined __aarch64__
#define BREAKPOINT         0xd4200000UL
#define BREAKPOINT_MASK    0xffffffffUL
#define BREAKPOINT_SKIP    0
#define ADDRESS(registers) ((registers).pc)
#else
#error "the instruction pointer's name and the breakpoint instruction are missing here"
#endif

static bool registers_of(pid_t pid, struct user_regs_struct *registers)
{
    struct iovec vector = { registers, sizeof *registers };

    return ptrace(PTRACE_GETREGSET, pid, (void *)(uintptr_t)NT_PRSTATUS, &vector) == 0;
}

uintptr_t step_address(pid_t pid)
{
    struct user_regs_struct registers;

    return registers_of(pid, &registers) ? (uintptr_t)ADDRESS(registers) : 0;
}

static bool set_address(pid_t pid, uintptr_t address)
{
    struct user_regs_struct registers;
    struct iovec vector = { &registers, sizeof registers };

    if (!registers_of(pid, &registers))
        return false;
    ADDRESS(registers) = address;
    return ptrace(PTRACE_SETREGSET, pid, (void *)(uintptr_t)NT_PRSTATUS, &vector) == 0;
}

enum stepped step_run_to(pid_t pid, uintptr_t address)
{
    void *where = (void *)address; // NOLINT(performance-no-int-to-ptr)

    errno = 0;
    unsigned long code = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, where, NULL);
    if (errno != 0)
        return STEPPED_DEAD;
    ptrace(PTRACE_POKETEXT, pid, where, (void *)((code & ~BREAKPOINT_MASK) | BREAKPOINT));
    enum stepped stepped = step_run_traced(pid);
    ptrace(PTRACE_POKETEXT, pid, where, (void *)code);
    if (stepped == STEPPED && BREAKPOINT_SKIP != 0 && !set_address(pid, address))
        return STEPPED_DEAD;
    return stepped;
}

/* ---- steps ---- */

/* The kernel's page of code in every process, with the clocks. */
static bool in_kernel_page(uintptr_t address)
{
    static uintptr_t start;

    if (start == 0)
        start = (uintptr_t)getauxval(AT_SYSINFO_EHDR);
    return start != 0 && address >= start && address - start < 2 * (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* A function that was just called: where it returns to. */
static uintptr_t return_address(pid_t pid)
{
    struct user_regs_struct registers;

    if (!registers_of(pid, &registers))
        return 0;
#if defined __x86_64__
    return (uintptr_t)ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)registers.rsp, NULL);
#elif defined __aarch64__
    return (uintptr_t)registers.regs[30];
#endif
}

enum stepped step_once(pid_t pid)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
        return STEPPED_DEAD;
    enum stepped stepped = await_stop(pid);
    /* The clock is read again if the kernel has set it meanwhile: stepping through that may never end. */
    if (stepped == STEPPED && in_kernel_page(step_address(pid)))
        stepped = step_run_to(pid, return_address(pid));
    return stepped;
}

enum stepped step_many(pid_t pid, uint64_t count, uint64_t *taken)
{
    enum stepped stepped = STEPPED;

    for (*taken = 0; *taken < count && stepped == STEPPED; *taken += stepped == STEPPED)
        stepped = step_once(pid);
    return stepped;
}

enum stepped step_run_traced(pid_t pid)
{
    if (ptrace(PTRACE_CONT, pid, NULL, NULL) != 0)
        return STEPPED_DEAD;
    return await_stop(pid);
}

enum stepped step_run_stopped(pid_t pid)
{
    kill(pid, SIGCONT);
    return await_stop(pid);
}

enum stepped step_leave_stopped(pid_t pid)
{
    if (ptrace(PTRACE_DETACH, pid, NULL, (void *)(uintptr_t)SIGSTOP) != 0)
        return STEPPED_DEAD;
    return await_stop(pid);
}

void step_kill(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    do {
        while (waitpid(pid, &status, 0) != pid)
            if (errno != EINTR)
                return;
    } while (!WIFEXITED(status) && !WIFSIGNALED(status));
}

bool step_is_system_call(uintptr_t address)
{
    const unsigned char *code = (const unsigned char *)address; // NOLINT(performance-no-int-to-ptr)

#if defined __x86_64__
    return code && code[0] == 0x0f && code[1] == 0x05;
#elif defined __aarch64__
    static const unsigned char svc_0[4] = { 0x01, 0x00, 0x00, 0xd4 };
    return code && memcmp(code, svc_0, sizeof svc_0) == 0;
#endif
}
