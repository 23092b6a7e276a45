/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings of shared files, and what becomes of a page that is missing.
 *
 * Anybody who may write to a named file may truncate it: only memfds can be sealed against that. A
 * process that then touches its mapping gets SIGBUS. The handler here looks the address up in a
 * table of our own mappings, puts a page of zeros there and notes it; whoever works on the file sees
 * the note and reports -EBADMSG. Every other SIGBUS goes to the handler that was there before.
 *
 * The table is an array that the handler reads without a lock: an entry's size is set last when it
 * is taken and cleared first when it is given up.
 *   A: release when an entry's size is set, acquire where the handler reads it: carries the entry.
 *   B: relaxed: a note that somebody will look at later, in any order.
 */
#include "memory/file.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ginnel/port.h>

#include "base/errors.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MAPPINGS_MAX 16384

struct mapping {
    _Atomic uintptr_t address;
    _Atomic size_t size; /* 0: the entry is free */
    uint64_t offset;     /* in the file */
    atomic_int protection;
    struct gnli_file *_Atomic file;
};

atomic_bool gnli_pages_patched;

static struct mapping mappings[MAPPINGS_MAX];
static atomic_uint mappings_used;                        /* entries from here on have never been used */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* inside the file table's */
static enum gnl_sigbus policy;
static bool installed;
static struct sigaction previous;

static struct mapping *find(uintptr_t address)
{
    unsigned used = atomic_load_explicit(&mappings_used, memory_order_acquire); /* A */

    for (unsigned i = 0; i < used; i++) {
        size_t size = atomic_load_explicit(&mappings[i].size, memory_order_acquire);        /* A */
        uintptr_t start = atomic_load_explicit(&mappings[i].address, memory_order_relaxed); /* B */
        if (size > 0 && address >= start && address - start < size)
            return &mappings[i];
    }
    return NULL;
}

/* Not ours: as if we were not here. */
static void pass_on(int signo, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signo, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signo);
    } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
        /* A fault comes again at once and kills; a signal that was sent is sent again. */
        signal(signo, SIG_DFL);
        if (info->si_code <= 0)
            raise(signo);
    }
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
    int error = errno;
    struct mapping *mapping = info->si_code > 0 ? find((uintptr_t)info->si_addr) : NULL;

    if (mapping) {
        uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
        void *page = (void *)((uintptr_t)info->si_addr & ~(page_size - 1));
        struct gnli_file *file = atomic_load_explicit(&mapping->file, memory_order_relaxed); /* B */
        atomic_store_explicit(&gnli_pages_patched, true, memory_order_relaxed);              /* B */
        atomic_store_explicit(&file->patched, true, memory_order_relaxed);                   /* B */
        int protection = atomic_load_explicit(&mapping->protection, memory_order_relaxed);   /* B */
        if (mmap(page, page_size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page)
            pass_on(signo, info, context);
    } else {
        pass_on(signo, info, context);
    }
    errno = error;
}

/* The lock is held. */
static void install_once(void)
{
    if (installed || policy == GNL_SIGBUS_NONE)
        return;
    struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGBUS, &action, &previous) == 0;
}

void gnli_mappings_lock(void)
{
    pthread_mutex_lock(&lock);
}

void gnli_mappings_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

int gnl_set_sigbus(enum gnl_sigbus chosen)
{
    int result = 0;

    if (chosen != GNL_SIGBUS_HANDLE && chosen != GNL_SIGBUS_NONE)
        return gnli_fail(-EINVAL, "gnl_set_sigbus: no such policy");
    pthread_mutex_lock(&lock);
    if (installed && chosen == GNL_SIGBUS_NONE)
        result = gnli_fail(
            -EBUSY, "gnl_set_sigbus: the handler is installed already; call it before the first gnl_open");
    else
        policy = chosen;
    pthread_mutex_unlock(&lock);
    return result;
}

/* The lock is held. */
static struct mapping *free_entry(void)
{
    unsigned used = atomic_load_explicit(&mappings_used, memory_order_relaxed); /* B */

    for (unsigned i = 0; i < used; i++)
        if (atomic_load_explicit(&mappings[i].size, memory_order_relaxed) == 0) /* B */
            return &mappings[i];
    if (used == MAPPINGS_MAX)
        return NULL;
    atomic_store_explicit(&mappings_used, used + 1, memory_order_release); /* A */
    return &mappings[used];
}

/* Enters a mapping that is there, or is about to be, at that address; false: no room in the table. */
static bool enter(struct gnli_file *file, void *address, uint64_t offset, size_t size, int protection)
{
    pthread_mutex_lock(&lock);
    struct mapping *entry = free_entry();
    if (entry) {
        install_once();
        entry->offset = offset;
        atomic_store_explicit(&entry->protection, protection, memory_order_relaxed);      /* B */
        atomic_store_explicit(&entry->address, (uintptr_t)address, memory_order_relaxed); /* B */
        atomic_store_explicit(&entry->file, file, memory_order_relaxed);                  /* B */
        atomic_store_explicit(&entry->size, size, memory_order_release);                  /* A */
    }
    pthread_mutex_unlock(&lock);
    if (!entry)
        errno = ENOMEM;
    return entry != NULL;
}

static void forget(void *address)
{
    pthread_mutex_lock(&lock);
    struct mapping *entry = find((uintptr_t)address);
    if (entry)
        atomic_store_explicit(&entry->size, 0, memory_order_release); /* A */
    pthread_mutex_unlock(&lock);
}

/* Of the file; `place`: there, whatever is there now. */
static void *map_file(struct gnli_file *file, void *place, uint64_t offset, size_t size, int protection)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (place ? MAP_FIXED : 0);
    void *address = mmap(place, size, protection, flags, file->descriptor, (off_t)offset);

    return address == MAP_FAILED ? NULL : address;
}

static void *map_anywhere(struct gnli_file *file, uint64_t offset, size_t size, int protection)
{
    void *address = map_file(file, NULL, offset, size, protection);

    if (!address)
        return NULL;
    madvise(address, size, MADV_DONTDUMP); /* a core file of holes helps nobody */
    if (!enter(file, address, offset, size, protection)) {
        munmap(address, size);
        return NULL;
    }
    return address;
}

void *gnli_map(struct gnli_file *file, uint64_t offset, size_t size)
{
    return map_anywhere(file, offset, size, PROT_READ | PROT_WRITE);
}

void *gnli_map_to_read(struct gnli_file *file, uint64_t offset, size_t size)
{
    return map_anywhere(file, offset, size, PROT_READ);
}

void gnli_unmap(void *address, size_t size)
{
    forget(address);
    munmap(address, size);
}

/* ---- with guards ---- */

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t whole_pages(size_t size)
{
    return (size + page() - 1) & ~(page() - 1);
}

/* Address space for so many bytes between two guards; NULL when out of it. */
static char *reserve_guarded(size_t length)
{
    size_t all = length + 2 * page();

    if (all < length)
        return NULL;
    char *area = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return area == MAP_FAILED ? NULL : area + page();
}

static void release_guarded(char *address, size_t length)
{
    munmap(address - page(), length + 2 * page());
}

void *gnli_map_guarded(struct gnli_file *file, uint64_t offset, size_t size, bool writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    size_t length = whole_pages(size);
    char *address = reserve_guarded(length);

    if (!address)
        return NULL;
    if (map_file(file, address, offset, length, protection) &&
        enter(file, address, offset, length, protection))
        return address;
    int error = errno;
    release_guarded(address, length);
    errno = error;
    return NULL;
}

void gnli_unmap_guarded(void *address, size_t size)
{
    forget(address);
    release_guarded(address, whole_pages(size));
}

void *gnli_remap_guarded(struct gnli_file *file, void *address, size_t size, size_t longer)
{
    size_t from = whole_pages(size), to = whole_pages(longer);
    char *old = address, *place = reserve_guarded(to);

    if (!place)
        return NULL;
    pthread_mutex_lock(&lock);
    struct mapping *entry = find((uintptr_t)address);
    uint64_t offset = entry ? entry->offset : 0;
    int protection = entry ? atomic_load_explicit(&entry->protection, memory_order_relaxed) : 0; /* B */
    pthread_mutex_unlock(&lock);
    /* In the table before it is there: whoever meets a missing page of it finds it. */
    if (!entry || !enter(file, place, offset, to, protection)) {
        release_guarded(place, to);
        return NULL;
    }
    if (mremap(old, from, to, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place) {
        int error = errno;
        forget(place);
        release_guarded(place, to);
        errno = error;
        return NULL;
    }
    forget(old);
    /* What was between the guards may be somebody else's by now. */
    munmap(old - page(), page());
    munmap(old + from, page());
    return place;
}

bool gnli_map_instead(struct gnli_file *file, void *address, bool writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    bool mapped = false;

    pthread_mutex_lock(&lock);
    struct mapping *entry = find((uintptr_t)address);
    if (entry) {
        size_t size = atomic_load_explicit(&entry->size, memory_order_relaxed); /* B */
        mapped = map_file(file, address, entry->offset, size, protection) == address;
    }
    if (mapped) {
        atomic_store_explicit(&entry->protection, protection, memory_order_relaxed); /* B */
        atomic_store_explicit(&entry->file, file, memory_order_relaxed);             /* B */
    }
    pthread_mutex_unlock(&lock);
    return mapped;
}

void gnli_populate(void *address, size_t size)
{
    madvise(address, size, MADV_POPULATE_WRITE);
}

void gnli_write_pages(void *address, size_t size)
{
    char *bytes = address;

    gnli_populate(address, size); /* all in one call, where there is such a thing */
    for (size_t at = 0, step = page(); at < size; at += step)
        bytes[at] = 0;
}

/* The lock is held: puts the file's pages back where zeros were put. */
static bool map_again(struct gnli_file *file)
{
    for (unsigned i = 0; i < atomic_load_explicit(&mappings_used, memory_order_relaxed); i++) { /* B */
        struct mapping *entry = &mappings[i];
        size_t size = atomic_load_explicit(&entry->size, memory_order_relaxed);            /* B */
        if (size == 0 || atomic_load_explicit(&entry->file, memory_order_relaxed) != file) /* B */
            continue;
        void *address = (void *)atomic_load_explicit(&entry->address, memory_order_relaxed); /* B */
        int protection = atomic_load_explicit(&entry->protection, memory_order_relaxed);     /* B */
        if (map_file(file, address, entry->offset, size, protection) != address)
            return false;
    }
    return true;
}

int gnli_file_repair(struct gnli_file *file)
{
    struct stat status;
    int result = -EBADMSG;

    pthread_mutex_lock(&lock);
    if (gnli_file_check(file) == 0 && fstat(file->descriptor, &status) == 0 &&
        (uint64_t)status.st_size >= file->size) {
        atomic_store_explicit(&file->patched, false, memory_order_relaxed); /* B */
        if (map_again(file))
            result = 0;
        else
            atomic_store_explicit(&file->patched, true, memory_order_relaxed); /* B */
    }
    pthread_mutex_unlock(&lock);
    return result;
}
