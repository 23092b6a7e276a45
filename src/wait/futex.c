/* SPDX-License-Identifier: Apache-2.0 */
#include "wait/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SPIN_MIN_NS 1000
#define LAG_FIRST   64 /* pauses */
#define LAG_MAX     256
#define LAG_A_RUN   4  /* pauses for each message of a run that pays */
#define TRIAL_FIRST 16 /* waits */
#define TRIAL_LAST  4096

void gnli_futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t deadline_ns)
{
    struct timespec until = { .tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000 };

    /* FUTEX_WAIT_BITSET takes an absolute time: a signal in between does not lengthen it. */
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline_ns == GNLI_NEVER ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

/* The kernel's struct futex_waitv and its flag for 32-bit words, which are younger than some headers. */
struct waiter {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};
#define WORDS_OF_32_BITS 2
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define WITHOUT_MANY_NS 2000000 /* how often to look where the kernel cannot wait for many */

void gnli_futex_wait_many(const struct gnli_futex_one *words, unsigned count, int64_t deadline_ns)
{
    struct timespec until = { .tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000 };
    struct waiter waiters[GNLI_FUTEX_MANY];

    for (unsigned i = 0; i < count; i++)
        waiters[i] = (struct waiter){ .value = words[i].value,
                                      .address = (uint64_t)(uintptr_t)words[i].word,
                                      .flags = WORDS_OF_32_BITS };
    if (syscall(SYS_futex_waitv, waiters, count, 0, &until, CLOCK_MONOTONIC) < 0 && errno == ENOSYS) {
        int64_t soon = gnli_now_ns() + WITHOUT_MANY_NS;
        gnli_futex_wait(words[0].word, words[0].value, soon < deadline_ns ? soon : deadline_ns);
    }
}

void gnli_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX);
}

void gnli_spin_init(struct gnli_spin *spin)
{
    /* All cores of the machine, not those of this process: the other side may run elsewhere. */
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    atomic_store_explicit(&spin->budget_ns, cores > 1 ? GNLI_SPIN_MAX_NS : 0, memory_order_relaxed); /* A */
    atomic_store_explicit(&spin->interval, TRIAL_FIRST, memory_order_relaxed);                       /* A */
    atomic_store_explicit(&spin->until_trial, TRIAL_FIRST, memory_order_relaxed);                    /* A */
}

void gnli_spin_lag(struct gnli_spin *spin)
{
    uint32_t run = atomic_exchange_explicit(&spin->run, 0, memory_order_relaxed);    /* A */
    uint32_t lag = atomic_load_explicit(&spin->lag, memory_order_relaxed);           /* A */
    uint32_t interval = atomic_load_explicit(&spin->interval, memory_order_relaxed); /* A */
    uint32_t until = atomic_load_explicit(&spin->until_trial, memory_order_relaxed); /* A */

    atomic_store_explicit(&spin->last_run, run, memory_order_relaxed); /* A */
    if (lag == 0) {
        if (until > 0)
            until--;
        else
            lag = LAG_FIRST;
    } else if (run >= lag / LAG_A_RUN) {
        lag = lag < LAG_MAX ? lag * 2 : LAG_MAX;
        interval = TRIAL_FIRST;
    } else if (lag > LAG_FIRST) {
        lag /= 2;
    } else {
        lag = 0;
        until = interval;
        interval = interval < TRIAL_LAST ? interval * 2 : TRIAL_LAST;
    }
    atomic_store_explicit(&spin->lag, lag, memory_order_relaxed);           /* A */
    atomic_store_explicit(&spin->interval, interval, memory_order_relaxed); /* A */
    atomic_store_explicit(&spin->until_trial, until, memory_order_relaxed); /* A */
    for (; lag > 0; lag--)
        gnli_pause();
}

int32_t gnli_spin_budget_ns(struct gnli_spin *spin)
{
    return atomic_load_explicit(&spin->together, memory_order_relaxed) /* A */
               ? 0
               : atomic_load_explicit(&spin->budget_ns, memory_order_relaxed); /* A */
}

void gnli_spin_waited(struct gnli_spin *spin, int64_t slept_ns, bool together)
{
    int32_t budget = atomic_load_explicit(&spin->budget_ns, memory_order_relaxed); /* A */
    int32_t next = GNLI_SPIN_MAX_NS;

    if (atomic_load_explicit(&spin->together, memory_order_relaxed) != together) /* A */
        atomic_store_explicit(&spin->together, together, memory_order_relaxed);  /* A */
    if (slept_ns > 2 * (int64_t)GNLI_SPIN_MAX_NS)
        next = budget > 2 * SPIN_MIN_NS ? budget / 2 : SPIN_MIN_NS;
    if (budget > 0 && next != budget)
        atomic_store_explicit(&spin->budget_ns, next, memory_order_relaxed); /* A */
}
