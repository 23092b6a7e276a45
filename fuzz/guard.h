/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings of shared files that the library makes, between two pages each that nobody may touch: who
 * goes beyond one's end does not come upon the next. And a file system that says it is small, since a mailbox
 * may become as large as that: ASan has a page for each eight of a mapping. The program is linked with
 * --wrap=mmap, munmap and fstatfs.
 */
#ifndef FUZZ_GUARD_H
#define FUZZ_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Is that in a mapping of a shared file? */
bool guard_shared(const void *address);

/* Is it in one that may only be read, and how far from its beginning? */
bool guard_read_only(const void *address, size_t *offset);

#endif
