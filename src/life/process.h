/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process this is, noticing a fork, and who is inside which port.
 *
 * A forked child inherits mappings and descriptors but not the record locks that prove that a
 * participant lives, so it must not go on under its parent's number. Every process has a stamp in a
 * page that the kernel wipes in a child (MADV_WIPEONFORK); what was made under another stamp is the
 * parent's.
 *
 * Orderings
 *   A: relaxed: set before the first object exists, and by a forked child while it has one thread.
 *   B: enter's store of the note and load of the closing mark, against close's store of the mark and
 *      load of the notes: each must see the other. Both stores and loads are relaxed; the barrier
 *      between them is membarrier's, which the closing side runs in all threads, or where there is
 *      no membarrier a seq_cst fence on either side.
 *   C: release in leave, acquire in gnli_anyone_inside: what the call did happens before the close.
 */
#ifndef GNLI_LIFE_PROCESS_H
#define GNLI_LIFE_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern _Atomic uint64_t *gnli_process_page;

/* Sets the machinery up, once a process; 0 or a negative code. Every gnl_open calls it. */
int gnli_process_prepare(void);

/* This process's stamp: differs from that of every ancestor, never 0. */
uint64_t gnli_process_stamp(void);

/* Is the stamp this process's? One load: on the path of every message. */
static inline bool gnli_process_is(uint64_t stamp)
{
    return atomic_load_explicit(gnli_process_page, memory_order_relaxed) == stamp; /* A */
}

/*
 * Held by whoever changes a table of handles, and by fork itself, so that a child never finds one
 * half changed. The outermost of all locks.
 */
void gnli_handles_lock(void);
void gnli_handles_unlock(void);

/*
 * A barrier in every thread of every process that has Ginnel in it: orders what this one stored before with
 * what those load after, without a barrier on their side. False: the kernel has none.
 */
bool gnli_process_barrier(void);

/* Does that of others reach this process? Else it needs barriers of its own. */
bool gnli_process_ordered(void);

/*
 * Descriptors that a forked child must not have: copies of them would make its parent look alive. They are
 * closed in the child before fork returns there. -ENOMEM.
 */
int gnli_process_close_in_child(int descriptor);
void gnli_process_closed(int descriptor);

/* A thread of the library's own: no signal of the program's lands there. 0, or an errno value. */
int gnli_thread_start(pthread_t *thread, void *(*run)(void *context), void *context);

/* The inode of this process's pid namespace, 0 if unknown. */
uint64_t gnli_process_pid_namespace(void);

/*
 * Calls inside an object. A thread that enters notes the object in its own memory with a plain
 * store; whoever wants it to itself (gnl_close) pays: a barrier in all threads (membarrier), then a
 * look at every thread's note. A thread is inside one object at a time, or nested through signal
 * handlers, which must not call us.
 */
struct gnli_inside {
    _Atomic(const void *) object;
    struct gnli_inside *next; /* under the list's lock */
    bool listed;
};

extern _Thread_local struct gnli_inside gnli_inside_here;

void gnli_inside_list(struct gnli_inside *inside);
extern atomic_bool gnli_inside_needs_fence;

static inline void gnli_enter(const void *object)
{
    if (!gnli_inside_here.listed)
        gnli_inside_list(&gnli_inside_here);
    atomic_store_explicit(&gnli_inside_here.object, object, memory_order_relaxed); /* B */
    if (atomic_load_explicit(&gnli_inside_needs_fence, memory_order_relaxed))      /* A */
        atomic_thread_fence(memory_order_seq_cst);                                 /* B */
    atomic_signal_fence(memory_order_seq_cst);                                     /* B */
}

static inline void gnli_leave(void)
{
    atomic_store_explicit(&gnli_inside_here.object, NULL, memory_order_release); /* C */
}

/* After the object was marked so that newcomers turn back: is any other thread still inside? */
bool gnli_anyone_inside(const void *object);

#endif
