/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls without libc, for code that runs as another process in this one's memory (Linux). libc's own
 * would write errno, which belongs to a thread that is somewhere else by then. Results are as the kernel
 * gives them: negative errno values.
 *
 * Such code is compiled without sanitizers, which keep books for each thread too, and without the protection
 * of stacks, whose secret is in the memory of a thread that may have ended; and it calls nothing of libc.
 */
#ifndef GNLI_PROCESS_RAW_H
#define GNLI_PROCESS_RAW_H

#include <stdint.h>
#include <sys/syscall.h>

#if __has_attribute(no_stack_protector)
#define GNLI_NO_STACK_PROTECTOR no_stack_protector
#else
#define GNLI_NO_STACK_PROTECTOR optimize("no-stack-protector") /* gcc 10 and before */
#endif
#if defined __clang__
#define GNLI_BARE \
    __attribute__((disable_sanitizer_instrumentation, no_sanitize("all"), GNLI_NO_STACK_PROTECTOR))
#else
#define GNLI_BARE __attribute__((no_sanitize("address", "thread", "undefined"), GNLI_NO_STACK_PROTECTOR))
#endif

GNLI_BARE static inline long gnli_raw(long number, long a, long b, long c, long d, long e, long f)
{
#if defined __x86_64__
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "how a system call is made on this kind of processor is to be written here"
#endif
}

/* The kernel wrote there: what is read of it is not made up. */
#define GNLI_WRITTEN(object) __asm__ volatile("" : "=m"(object))

#define GNLI_SIGNALS_BYTES 8 /* of a set of signals, for the kernel */

/* GNLI_RAW(SYS_close, 3): what is not given is zero. */
#define GNLI_RAW_PICK(number, a, b, c, d, e, f, ...) \
    gnli_raw(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define GNLI_RAW(number, ...) GNLI_RAW_PICK(number, __VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* What getdents64 writes: as <dirent.h>'s, which is libc's. */
struct gnli_entry {
    uint64_t inode;
    int64_t next;
    unsigned short length;
    unsigned char type;
    char name[];
};

#define GNLI_ENTRY_DIRECTORY 4

/* Texts put together: each returns where the next one goes on. */
GNLI_BARE static inline char *gnli_put_text(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    *at = '\0';
    return at;
}

GNLI_BARE static inline char *gnli_put_number(char *at, int number)
{
    char digits[12];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    *at = '\0';
    return at;
}

#endif
