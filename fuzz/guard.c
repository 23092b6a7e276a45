/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/guard.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/statfs.h>

#include "fuzz/room.h"

#define GUARD        ((size_t)65536)
#define MAPPINGS_MAX 256
#define SYSTEM       ((uint64_t)1 << 30)

static struct {
    uintptr_t start, end;
    bool read_only;
} mappings[MAPPINGS_MAX];

void *__real_mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset);
int __real_munmap(void *address, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset);
int __wrap_munmap(void *address, size_t size);

int __real_fstatfs(int descriptor, struct statfs *status);
int __wrap_fstatfs(int descriptor, struct statfs *status);

static size_t rounded(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

bool guard_shared(const void *address)
{
    for (unsigned i = 0; i < MAPPINGS_MAX && mappings[i].start != 0; i++)
        if ((uintptr_t)address >= mappings[i].start && (uintptr_t)address < mappings[i].end)
            return true;
    return false;
}

bool guard_read_only(const void *address, size_t *offset)
{
    for (unsigned i = 0; i < MAPPINGS_MAX && mappings[i].start != 0; i++)
        if ((uintptr_t)address >= mappings[i].start && (uintptr_t)address < mappings[i].end) {
            *offset = (uintptr_t)address - mappings[i].start;
            return mappings[i].read_only;
        }
    return false;
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset)
{
    if (!(flags & MAP_SHARED) || (flags & MAP_FIXED))
        return __real_mmap(address, size, protection, flags, descriptor, offset);
    char *all = __real_mmap(NULL, rounded(size) + 2 * GUARD, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return all;
    void *made = __real_mmap(all + GUARD, size, protection, flags | MAP_FIXED, descriptor, offset);
    if (made == MAP_FAILED) {
        __real_munmap(all, rounded(size) + 2 * GUARD);
        return made;
    }
    unsigned i = 0;
    while (mappings[i].end != 0)
        must(++i < MAPPINGS_MAX);
    mappings[i].start = (uintptr_t)made;
    mappings[i].end = (uintptr_t)made + rounded(size);
    mappings[i].read_only = protection == PROT_READ;
    return made;
}

int __wrap_munmap(void *address, size_t size)
{
    for (unsigned i = 0; i < MAPPINGS_MAX && mappings[i].start != 0; i++)
        if (mappings[i].start == (uintptr_t)address && mappings[i].end != 0) {
            mappings[i].start = 1; /* free, and not the end of the table */
            mappings[i].end = 0;
            return __real_munmap((char *)address - GUARD, rounded(size) + 2 * GUARD);
        }
    return __real_munmap(address, size);
}

int __wrap_fstatfs(int descriptor, struct statfs *status)
{
    int result = __real_fstatfs(descriptor, status);

    if (result == 0 && (uint64_t)status->f_blocks * (uint64_t)status->f_bsize > SYSTEM)
        status->f_blocks = SYSTEM / (uint64_t)status->f_bsize;
    return result;
}
