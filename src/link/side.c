/* SPDX-License-Identifier: Apache-2.0 */
#include "link/side.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <ginnel/message.h>
#include <ginnel/options.h>

#include "base/errors.h"
#include "life/process.h"
#include "memory/file.h"

#define PAGE       ((uint64_t)4096)
#define SIZE_LEAST (GNLI_SIDE_FIRST + 2 * GNLI_BLOCK_BYTES)
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Twice the machine's memory holds all that can ever be there at once. */
static uint64_t twice_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);

    return pages > 0 ? 2 * (uint64_t)pages * PAGE : (uint64_t)1 << 36;
}

/* And no more than files of this process may have: past that limit ftruncate does not fail, it kills. */
static uint64_t most(void)
{
    struct rlimit limit;
    uint64_t bytes = twice_memory();

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
        bytes = limit.rlim_cur;
    return bytes / GNLI_BLOCK_BYTES * GNLI_BLOCK_BYTES;
}

/* Of the other side's: what it may take it to be, with memory that has come or gone since. */
static uint64_t most_of_theirs(void)
{
    return 2 * twice_memory() + ((uint64_t)1 << 32);
}

/* What queues, is held and is on loan; with the classes' waste, for two sizes of message in turn. */
static uint64_t size_for(int64_t capacity, uint64_t message_max)
{
    uint64_t limit = most(), large = message_max > GNLI_FRAME_BYTES ? message_max : 0, bytes;
    uint64_t messages = (capacity == GNL_RENDEZVOUS ? 1 : (uint64_t)capacity) + (uint64_t)2 * GNL_HELD_MAX;
    uint64_t each = 3 * large + 2 * (GNLI_FRAME_BYTES + 8);

    if (capacity == GNL_UNBOUNDED || __builtin_mul_overflow(messages, each, &bytes) || bytes > limit)
        return limit;
    bytes = (bytes / GNLI_BLOCK_BYTES + 16) * GNLI_BLOCK_BYTES;
    return bytes < limit ? bytes : limit;
}

static int map_own(struct gnli_side_memory *memory)
{
    void *address =
        mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->descriptor, 0);

    if (address == MAP_FAILED)
        return -errno;
    memory->base = address;
    madvise(address, memory->size, MADV_DONTDUMP);
    /* Sealed when mapped: from now on nobody can make another mapping that writes. */
    return fcntl(memory->descriptor, F_ADD_SEALS, SEALS) == 0 ? 0 : -errno;
}

int gnli_side_make(struct gnli_side_memory *memory, int64_t capacity, uint64_t message_max,
                   const char *subject)
{
    struct gnli_side_memory made = { .size = size_for(capacity, message_max) };

    if (made.size < SIZE_LEAST)
        return gnli_fail(-EFBIG,
                         "%s: a link needs a file of %llu bytes; this process's limit (ulimit -f) is less",
                         subject, (unsigned long long)SIZE_LEAST);
    made.descriptor = gnli_above_standard(memfd_create("ginnel-link", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (made.descriptor < 0)
        return gnli_fail_errno(errno, "%s: no memory for the link", subject);
    struct gnli_file file = { .descriptor = made.descriptor };
    int result = ftruncate(made.descriptor, (off_t)made.size) == 0 ? 0 : -errno;
    if (result == 0)
        result = gnli_file_reserve(&file, 0, GNLI_SIDE_FIRST);
    if (result == 0)
        result = map_own(&made);
    if (result < 0) {
        gnli_side_free(&made);
        return gnli_fail_errno(-result, "%s: no memory for the link", subject);
    }
    gnli_write_pages(made.base, GNLI_SIDE_FIRST);
    made.own->magic = GNLI_SIDE_MAGIC;
    made.own->version = GNLI_SIDE_VERSION;
    *memory = made;
    return 0;
}

/* A sealed memfd of that size, and not of huge pages, of which there may be none left? */
static bool acceptable(int descriptor, uint64_t size)
{
    struct stat status;
    struct statfs system;
    int seals = fcntl(descriptor, F_GET_SEALS);

    return seals >= 0 && (seals & SEALS & ~F_SEAL_SEAL) == (SEALS & ~F_SEAL_SEAL) &&
           fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size == size &&
           fstatfs(descriptor, &system) == 0 && system.f_type == TMPFS_MAGIC;
}

int gnli_side_accept(struct gnli_side_memory *memory, int descriptor, uint64_t size, const char *subject)
{
    struct gnli_side_memory taken = { .descriptor = descriptor, .size = size };

    if (size < GNLI_SIDE_FIRST + GNLI_BLOCK_BYTES || size > most_of_theirs() || size % PAGE != 0 ||
        !acceptable(descriptor, size))
        return gnli_fail(-EBADMSG, "%s: the other side's memory is not what it has to be", subject);
    void *address = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
    if (address == MAP_FAILED)
        return gnli_fail_errno(errno, "%s: no address space for the other side's memory", subject);
    taken.base = address;
    madvise(address, size, MADV_DONTDUMP);
    void *seen = mmap(NULL, size / PAGE / 8 + 8, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (seen == MAP_FAILED) {
        munmap(address, size);
        return gnli_fail_errno(errno, "%s: no memory", subject);
    }
    taken.seen = seen;
    if (!gnli_side_there(&taken, 0, sizeof(struct gnli_side)) || taken.theirs->magic != GNLI_SIDE_MAGIC) {
        taken.descriptor = -1; /* the caller's still */
        gnli_side_free(&taken);
        return gnli_fail(-EBADMSG, "%s: the other side's memory is not what it has to be", subject);
    }
    *memory = taken;
    return 0;
}

void gnli_side_free(struct gnli_side_memory *memory)
{
    if (memory->base)
        munmap(memory->base, memory->size);
    if (memory->descriptor >= 0) {
        gnli_process_closed(memory->descriptor);
        if (memory->seen) /* theirs: whatever it is that they sent */
            gnli_file_discard(memory->descriptor);
        else
            close(memory->descriptor);
    }
    if (memory->seen)
        munmap(memory->seen, memory->size / PAGE / 8 + 8);
    *memory = (struct gnli_side_memory){ .descriptor = -1 };
}

/* The kernel walks over all pages up to the hole: of all of them this is asked once. */
static bool ask(struct gnli_side_memory *memory, uint64_t page, uint64_t last)
{
    off_t hole = lseek(memory->descriptor, (off_t)(page * PAGE), SEEK_HOLE);
    uint64_t end = hole < 0 ? 0 : (uint64_t)hole < memory->size ? (uint64_t)hole / PAGE : memory->size / PAGE;

    for (; page < end; page++)
        memory->seen[page / 64] |= (uint64_t)1 << page % 64;
    return last < end;
}

bool gnli_side_there(void *context, uint64_t offset, uint64_t size)
{
    struct gnli_side_memory *memory = context;

    if (size == 0)
        return true;
    if (offset >= memory->size || size > memory->size - offset)
        return false;
    uint64_t last = (offset + size - 1) / PAGE;
    for (uint64_t page = offset / PAGE; page <= last; page++)
        if (!(memory->seen[page / 64] >> page % 64 & 1))
            return ask(memory, page, last);
    return true;
}
