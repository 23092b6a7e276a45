/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mappings of shared files that the library makes, between two pages each that nobody may touch: who
 * goes beyond one's end does not come upon the next. The program is linked with --wrap=mmap and
 * --wrap=munmap.
 */
#ifndef FUZZ_GUARD_H
#define FUZZ_GUARD_H

#include <stdbool.h>

/* Is that in a mapping of a shared file? */
bool guard_shared(const void *address);

#endif
