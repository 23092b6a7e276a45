/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   A: what the child wrote is seen (acquire) once the kernel has cleared the word, in exec or exit, which
 *      is after all that the child does here (its release).
 *   B: relaxed: clone orders it before all that the child does.
 */
#include "process/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

#include "process/raw.h"

#define SIGNALS  64
#define ALL_FROM (~0U)

/* As the kernel has it; the order of the last three is nobody's business here. */
struct kernel_action {
    unsigned long handler, others[3];
};

/* The system call, and in the child run(context), which does not come back. */
GNLI_BARE __attribute__((noinline)) static pid_t clone_and_run(long number, const unsigned long arguments[4],
                                                               void (*run)(void *context), void *context)
{
#if defined __x86_64__
    long result;
    register long cleared __asm__("r10") = (long)arguments[3];
    register long tls __asm__("r8") = 0;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "mov %[context], %%rdi\n\t"
                     "call *%[run]\n\t"
                     "mov %[leave], %%eax\n\t"
                     "xor %%edi, %%edi\n\t"
                     "syscall\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(cleared),
                       "r"(tls), [run] "r"(run), [context] "r"(context), [leave] "i"(SYS_exit)
                     : "rcx", "r11", "memory", "cc");
    return (pid_t)result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number;
    register unsigned long x0 __asm__("x0") = arguments[0];
    register unsigned long x1 __asm__("x1") = arguments[1];
    register unsigned long x2 __asm__("x2") = arguments[2];
    register long x3 __asm__("x3") = 0;
    register unsigned long x4 __asm__("x4") = arguments[3];

    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x0, %[context]\n\t"
                     "blr %[run]\n\t"
                     "mov x8, %[leave]\n\t"
                     "mov x0, #0\n\t"
                     "svc #0\n\t"
                     "brk #0\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3),
                       "r"(x4), [run] "r"(run), [context] "r"(context), [leave] "i"(SYS_exit)
                     : "memory", "cc");
    return (pid_t)x0;
#else
#error "how a process is made on this kind of processor is to be written here"
#endif
}

#define TOP_BYTES 16 /* of the stack, for clone3: it only adds them to where the stack begins */

/* clone3 only where a cgroup is given: sandboxes of before 2021 know clone alone. */
GNLI_BARE pid_t gnli_clone(const struct gnli_birth *birth, int cgroup, void (*run)(void *context),
                           void *context)
{
    unsigned long flags = birth->flags | (birth->alive ? CLONE_CHILD_CLEARTID : 0);

    if (cgroup < 0)
        return clone_and_run(SYS_clone,
                             (unsigned long[]){ flags, (uintptr_t)birth->top, (uintptr_t)birth->pidfd,
                                                (uintptr_t)birth->alive },
                             run, context);
    struct clone_args arguments = {
        .flags = flags | CLONE_INTO_CGROUP,
        .pidfd = (uintptr_t)birth->pidfd,
        .child_tid = (uintptr_t)birth->alive,
        .stack = (uintptr_t)birth->top - TOP_BYTES,
        .stack_size = TOP_BYTES,
        .cgroup = (unsigned)cgroup,
    };
    return clone_and_run(SYS_clone3, (unsigned long[]){ (uintptr_t)&arguments, sizeof arguments, 0, 0 }, run,
                         context);
}

GNLI_BARE static long give_up(struct gnli_plan *plan, enum gnli_step step, long error)
{
    plan->step = step;
    plan->error = (int)-error;
    return error;
}

GNLI_BARE uint64_t gnli_signals_unusual(void)
{
    uint64_t unusual = 0;

    for (int signo = 1; signo <= SIGNALS; signo++) {
        struct kernel_action action = { 0, { 0, 0, 0 } };
        if (GNLI_RAW(SYS_rt_sigaction, signo, NULL, &action, GNLI_SIGNALS_BYTES) == 0 && action.handler != 0)
            unusual |= UINT64_C(1) << (signo - 1);
    }
    return unusual;
}

GNLI_BARE void gnli_signal_set(int signo, unsigned long handler)
{
    struct kernel_action action = { handler, { 0, 0, 0 } };

    GNLI_RAW(SYS_rt_sigaction, signo, &action, NULL, GNLI_SIGNALS_BYTES);
}

/* Out of the way of those that come to stand below `top`. */
GNLI_BARE static long move_aside(struct gnli_move *move, int top)
{
    long descriptor = move->from;

    if (descriptor == GNLI_FROM_NULL) {
        descriptor = GNLI_RAW(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
        if (descriptor < 0)
            return descriptor;
    }
    if (descriptor < top)
        descriptor = GNLI_RAW(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, top);
    if (descriptor >= 0)
        move->from = (int)descriptor;
    return descriptor;
}

/* First all that must move go aside, then each takes its place: so no order of them and no cycle matters. */
GNLI_BARE static long take_places(struct gnli_plan *plan)
{
    int top = plan->moves[plan->move_count - 1].to + 1;
    long result = 0;

    for (size_t i = 0; i < plan->move_count && result >= 0; i++) {
        plan->descriptor = plan->moves[i].from;
        if (plan->moves[i].from != plan->moves[i].to && plan->moves[i].from != GNLI_IN_PLACE)
            result = move_aside(&plan->moves[i], top);
    }
    for (size_t i = 0; i < plan->move_count && result >= 0; i++) {
        const struct gnli_move *move = &plan->moves[i];
        plan->descriptor = move->from;
        if (move->from == GNLI_IN_PLACE)
            continue;
        if (move->from == move->to)
            result = GNLI_RAW(SYS_fcntl, move->to, F_SETFD, 0);
        else
            result = GNLI_RAW(SYS_dup3, move->from, move->to, 0);
    }
    return result;
}

GNLI_BARE static long close_others(const struct gnli_plan *plan)
{
    unsigned first = 0;
    long result = 0;

    for (size_t i = 0; i < plan->move_count && result == 0; i++) {
        unsigned kept = (unsigned)plan->moves[i].to;
        if (first < kept)
            result = GNLI_RAW(SYS_close_range, first, kept - 1, 0);
        first = kept + 1;
    }
    return result == 0 ? GNLI_RAW(SYS_close_range, first, ALL_FROM, 0) : result;
}

/* Along the path: what may not be executed is passed over, and remembered. */
GNLI_BARE static long execute(const struct gnli_plan *plan)
{
    long result = -ENOENT;
    bool forbidden = false;

    for (char **path = plan->candidates; *path; path++) {
        result = GNLI_RAW(SYS_execve, *path, plan->argv, plan->environment);
        if (result == -EACCES)
            forbidden = true;
        else if (result != -ENOENT && result != -ENOTDIR && result != -ESTALE && result != -ENODEV &&
                 result != -ETIMEDOUT)
            return result;
    }
    return forbidden ? -EACCES : result;
}

GNLI_BARE static void run_child(void *context)
{
    struct gnli_plan *plan = context;
    uint64_t none = 0;
    long result;

    /* A handler of the parent's would run in the parent's memory: they go before any signal is let in. */
    uint64_t unusual = plan->unusual ? *plan->unusual : gnli_signals_unusual();
    for (int signo = 1; signo <= SIGNALS; signo++)
        if ((unusual | plan->ignored) >> (signo - 1) & 1)
            gnli_signal_set(signo,
                            plan->ignored >> (signo - 1) & 1 ? GNLI_SIGNAL_IGNORE : GNLI_SIGNAL_DEFAULT);
    if (plan->own_group && (result = GNLI_RAW(SYS_setpgid, 0, 0)) != 0) {
        give_up(plan, GNLI_STEP_GROUP, result);
        return;
    }
    if (plan->dies_with != 0) {
        GNLI_RAW(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
        if (GNLI_RAW(SYS_getppid, 0) != plan->dies_with) { /* it ended before that */
            give_up(plan, GNLI_STEP_PARENT, -ESRCH);
            return;
        }
    }
    if (plan->directory && (result = GNLI_RAW(SYS_chdir, plan->directory)) != 0) {
        give_up(plan, GNLI_STEP_DIRECTORY, result);
        return;
    }
    if ((result = take_places(plan)) < 0) {
        give_up(plan, GNLI_STEP_DESCRIPTOR, result);
        return;
    }
    if ((result = close_others(plan)) != 0) {
        give_up(plan, GNLI_STEP_CLOSE, result);
        return;
    }
    GNLI_RAW(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, GNLI_SIGNALS_BYTES);
    give_up(plan, GNLI_STEP_EXEC, execute(plan));
}

/* The word that the kernel clears, by another's hand than the compiler sees. */
GNLI_BARE static void await_word(atomic_int *alive)
{
    while (atomic_load_explicit(alive, memory_order_acquire) != 0) /* A */
        GNLI_RAW(SYS_futex, alive, FUTEX_WAIT, 1, NULL);
}

GNLI_BARE pid_t gnli_child_join(struct gnli_plan *plan, pid_t pid, int pidfd, atomic_int *alive)
{
    if (alive)
        await_word(alive);
    if (plan->error == 0)
        return pid;
    while (GNLI_RAW(SYS_waitid, P_PID, pid, NULL, WEXITED | __WALL, NULL) == -EINTR)
        ;
    GNLI_RAW(SYS_close, pidfd);
    return -plan->error;
}

/*
 * No signal tells of its end before it executes something (the low byte of the flags), so that a program
 * that cannot be executed is nobody's child that ended.
 */
GNLI_BARE pid_t gnli_child_start(struct gnli_plan *plan, void *stack, int *pidfd, atomic_int *alive)
{
    struct gnli_birth birth = {
        .flags = CLONE_VM | CLONE_PIDFD | (alive ? 0 : CLONE_VFORK),
        .top = (char *)(((uintptr_t)stack + GNLI_CHILD_STACK) & ~(uintptr_t)15),
        .pidfd = pidfd,
        .alive = alive,
    };

    plan->error = 0;
    if (alive)
        atomic_store_explicit(alive, 1, memory_order_relaxed); /* B */
    pid_t pid = gnli_clone(&birth, plan->cgroup, run_child, plan);
    if (pid < 0 && plan->cgroup >= 0) { /* the kernel, a sandbox or the cgroup's kind is against it */
        plan->cgroup = -1;
        pid = gnli_clone(&birth, plan->cgroup, run_child, plan);
    }
    if (pid < 0) {
        give_up(plan, GNLI_STEP_CLONE, pid);
        return pid;
    }
    return alive ? pid : gnli_child_join(plan, pid, *pidfd, NULL);
}
