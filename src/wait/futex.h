/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping on a word of shared memory, and how long to spin before that.
 *
 *   A: relaxed: advice that may be old or lost.
 */
#ifndef GNLI_WAIT_FUTEX_H
#define GNLI_WAIT_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Sleeps while the word has the value, until the deadline at the longest. May return early. */
void gnli_futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t deadline_ns);

/* The same on several words at once, at most GNLI_FUTEX_MANY: wakes when any of them has another value. */
#define GNLI_FUTEX_MANY 128
struct gnli_futex_one {
    _Atomic uint32_t *word;
    uint32_t value;
};
void gnli_futex_wait_many(const struct gnli_futex_one *words, unsigned count, int64_t deadline_ns);

/* Wakes all who sleep on the word. */
void gnli_futex_wake(_Atomic uint32_t *word);

/* Asks for a cache line that is to be written. For plain x86-64 the compiler would only ask to read it. */
static inline void gnli_prefetch_write(const void *line)
{
#if defined __x86_64__
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
#endif
}

static inline void gnli_pause(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb" ::: "memory");
#endif
}

/*
 * How a waiter spins before it sleeps. One of these a port and direction; threads may share it, since
 * it only advises.
 *
 * How long: as long as sleeping and waking would take, if that may be enough. A sleep that was over soon
 * tells that spinning would have done; a long one, that the next wait had better spin less. Who was woken
 * from the very core that it runs on spun in vain, however short the sleep: the other runs when it sleeps.
 *
 * How closely: who looks all the time at the very place that the other side writes next takes its
 * cache line away again and again, and both go at the pace of the line. In a stream of messages it is
 * better to lag: not to look for a while, and then to find many at once. Whether it is a stream only
 * a trial tells: lag once; if several messages came of it (a run), go on, else it was a conversation,
 * and the next trial is later.
 */
struct gnli_spin {
    _Atomic int32_t budget_ns;
    atomic_bool together;         /* it was woken last from its own core */
    _Atomic uint32_t run;         /* successes since the last wait */
    _Atomic uint32_t last_run;    /* and between the two before that */
    _Atomic uint32_t lag;         /* pauses before the first look of a wait; 0: look at once */
    _Atomic uint32_t until_trial; /* waits until the next trial */
    _Atomic uint32_t interval;    /* between trials: doubles with each that failed */
};

#define GNLI_SPIN_MAX_NS 50000

void gnli_spin_init(struct gnli_spin *spin);
int32_t gnli_spin_budget_ns(struct gnli_spin *spin);
/*
 * The wait has ended, after sleeping so long; 0: it was over while spinning. `together`: who woke it did so
 * from the core that it runs on.
 */
void gnli_spin_waited(struct gnli_spin *spin, int64_t slept_ns, bool together);

/* A wait begins: the run has ended. Lags if that is what pays. */
void gnli_spin_lag(struct gnli_spin *spin);

static inline void gnli_spin_count(struct gnli_spin *spin)
{
    uint32_t run = atomic_load_explicit(&spin->run, memory_order_relaxed); /* A */
    atomic_store_explicit(&spin->run, run + 1, memory_order_relaxed);      /* A */
}

/* Are so many more to be expected in this run, as in the one before? */
static inline int gnli_spin_expects(struct gnli_spin *spin, uint32_t more)
{
    return atomic_load_explicit(&spin->run, memory_order_relaxed) + more < /* A */
           atomic_load_explicit(&spin->last_run, memory_order_relaxed);    /* A */
}

#endif
