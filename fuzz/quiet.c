/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library of this build tells of each load (attack.h); the scribbler, a process of its own, does not
 * listen.
 */
#include <stdint.h>

#define QUIET(bytes, type)                               \
    void __sanitizer_cov_load##bytes(const type *where); \
    void __sanitizer_cov_load##bytes(const type *where)  \
    {                                                    \
        (void)where;                                     \
    }

QUIET(1, uint8_t)
QUIET(2, uint16_t)
QUIET(4, uint32_t)
QUIET(8, uint64_t)
QUIET(16, void)
