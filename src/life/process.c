/* SPDX-License-Identifier: Apache-2.0 */
#include "life/process.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/membership.h"
#include "memory/file.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define THREAD_STACK_BYTES (128 << 10)

_Atomic uint64_t *gnli_process_page;
_Thread_local struct gnli_inside gnli_inside_here;
atomic_bool gnli_inside_needs_fence;

static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t generation; /* under lock; a child counts on from its parent's */
static pthread_mutex_t inside_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gnli_inside *inside_list; /* under inside_lock */
static pthread_key_t inside_key;

void gnli_handles_lock(void)
{
    pthread_mutex_lock(&handles_lock);
}

void gnli_handles_unlock(void)
{
    pthread_mutex_unlock(&handles_lock);
}

static void unlist(void *context)
{
    struct gnli_inside *inside = context;

    pthread_mutex_lock(&inside_lock);
    for (struct gnli_inside **link = &inside_list; *link; link = &(*link)->next)
        if (*link == inside) {
            *link = inside->next;
            break;
        }
    pthread_mutex_unlock(&inside_lock);
    inside->listed = false;
}

void gnli_inside_list(struct gnli_inside *inside)
{
    pthread_mutex_lock(&inside_lock);
    inside->next = inside_list;
    inside_list = inside;
    inside->listed = true;
    pthread_mutex_unlock(&inside_lock);
    pthread_setspecific(inside_key, inside);
}

bool gnli_anyone_inside(const void *object)
{
    bool found = false;

    if (atomic_load_explicit(&gnli_inside_needs_fence, memory_order_relaxed))        /* A */
        atomic_thread_fence(memory_order_seq_cst);                                   /* B */
    else if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) { /* B */
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0); /* B */
    }
    pthread_mutex_lock(&inside_lock);
    for (struct gnli_inside *inside = inside_list; inside && !found; inside = inside->next)
        found = inside != &gnli_inside_here &&
                atomic_load_explicit(&inside->object, memory_order_acquire) == object; /* C */
    pthread_mutex_unlock(&inside_lock);
    return found;
}

static bool ordered;             /* set once, before anything else */
static unsigned char *forbidden; /* to children, a bit each descriptor; under lock */
static size_t forbidden_bytes;

bool gnli_process_barrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0 ||
           syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0;
}

bool gnli_process_ordered(void)
{
    return ordered;
}

int gnli_process_close_in_child(int descriptor)
{
    size_t byte = (size_t)descriptor / 8;
    int result = 0;

    pthread_mutex_lock(&lock);
    if (byte >= forbidden_bytes) {
        size_t bytes = 2 * byte + 64;
        unsigned char *grown = realloc(forbidden, bytes);
        if (grown) {
            memset(grown + forbidden_bytes, 0, bytes - forbidden_bytes);
            forbidden = grown;
            forbidden_bytes = bytes;
        } else {
            result = -ENOMEM;
        }
    }
    if (result == 0)
        forbidden[byte] |= (unsigned char)(1u << descriptor % 8);
    pthread_mutex_unlock(&lock);
    return result;
}

void gnli_process_closed(int descriptor)
{
    size_t byte = (size_t)descriptor / 8;

    pthread_mutex_lock(&lock);
    if (byte < forbidden_bytes)
        forbidden[byte] &= (unsigned char)~(1u << descriptor % 8);
    pthread_mutex_unlock(&lock);
}

static void close_forbidden(void)
{
    for (size_t i = 0; i < forbidden_bytes * 8; i++)
        if (forbidden[i / 8] >> i % 8 & 1)
            close((int)i);
    memset(forbidden, 0, forbidden_bytes);
}

static void before_fork(void)
{
    pthread_mutex_lock(&handles_lock);
    gnli_telling_lock();
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&inside_lock);
    gnli_files_lock();
    gnli_mappings_lock();
}

static void after_fork_in_parent(void)
{
    gnli_mappings_unlock();
    gnli_files_unlock();
    pthread_mutex_unlock(&inside_lock);
    pthread_mutex_unlock(&lock);
    gnli_telling_unlock();
    pthread_mutex_unlock(&handles_lock);
}

static void after_fork_in_child(void)
{
    gnli_mappings_unlock();
    gnli_files_unlock();
    /* The other threads stayed with the parent. */
    inside_list = gnli_inside_here.listed ? &gnli_inside_here : NULL;
    gnli_inside_here.next = NULL;
    pthread_mutex_unlock(&inside_lock);
    if (forbidden)
        close_forbidden();
    /* Where the kernel did not wipe it. */
    atomic_store_explicit(gnli_process_page, 0, memory_order_relaxed); /* A */
    pthread_mutex_unlock(&lock);
    gnli_telling_unlock();
    pthread_mutex_unlock(&handles_lock);
}

/* The lock is held. */
static int prepare_once(void)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);

    if (gnli_process_page)
        return 0;
    void *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return gnli_fail_errno(errno, "no memory for a page");
    madvise(page, page_size, MADV_WIPEONFORK);
    int error = pthread_key_create(&inside_key, unlist);
    if (error == 0)
        error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (error != 0) {
        munmap(page, page_size);
        return gnli_fail_errno(error, "cannot prepare for fork");
    }
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        atomic_store_explicit(&gnli_inside_needs_fence, true, memory_order_relaxed); /* A */
    ordered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
    gnli_process_page = page;
    return 0;
}

/* The lock is held and the page is there. */
static uint64_t stamp_once(void)
{
    uint64_t stamp = atomic_load_explicit(gnli_process_page, memory_order_relaxed); /* A */

    if (stamp == 0) {
        stamp = ++generation;
        atomic_store_explicit(gnli_process_page, stamp, memory_order_relaxed); /* A */
    }
    return stamp;
}

int gnli_process_prepare(void)
{
    pthread_mutex_lock(&lock);
    int result = prepare_once();
    if (result == 0)
        stamp_once();
    pthread_mutex_unlock(&lock);
    return result;
}

uint64_t gnli_process_stamp(void)
{
    pthread_mutex_lock(&lock);
    uint64_t stamp = stamp_once();
    pthread_mutex_unlock(&lock);
    return stamp;
}

int gnli_thread_start(pthread_t *thread, void *(*run)(void *context), void *context)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    sigfillset(&all);
    sigdelset(&all,
              SIGBUS); /* a fault that is blocked kills, and a truncated file faults: memory/mapping.c */
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the thread inherits it */
    error = pthread_create(thread, &attributes, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

uint64_t gnli_process_pid_namespace(void)
{
    struct stat status;

    return stat("/proc/self/ns/pid", &status) == 0 ? (uint64_t)status.st_ino : 0;
}
