/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping on a word of shared memory, and how long to spin before that.
 */
#ifndef GNLI_WAIT_FUTEX_H
#define GNLI_WAIT_FUTEX_H

#include <stdatomic.h>
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

static inline void gnli_pause(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("isb" ::: "memory");
#endif
}

/*
 * How long a waiter looks for what it waits for before it sleeps. It pays where another core can
 * bring it in less time than sleeping and waking take; a waiter that spun in vain spins less the
 * next time, and more again when it paid. One of these a port and direction; threads may share it,
 * since it only advises.
 */
struct gnli_spin {
    _Atomic int32_t budget_ns;
};

#define GNLI_SPIN_MAX_NS 20000

void gnli_spin_init(struct gnli_spin *spin);
int32_t gnli_spin_budget_ns(struct gnli_spin *spin);
void gnli_spin_paid(struct gnli_spin *spin);
void gnli_spin_in_vain(struct gnli_spin *spin);

#endif
