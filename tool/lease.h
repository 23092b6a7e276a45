/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's word on who has a file open: it grants a lease to read only if nobody has it open for writing,
 * one to write only if nobody else has it open at all. A mapping counts, whatever became of its descriptor.
 */
#ifndef TOOL_LEASE_H
#define TOOL_LEASE_H

#include <fcntl.h>
#include <stdbool.h>

/*
 * `file` is open for reading, and this user's; `lease` is F_RDLCK or F_WRLCK. Whoever opens the file in the
 * instant of the lease waits, and this process gets a SIGIO, which it should ignore.
 */
static inline bool lease_granted(int file, int lease)
{
    if (fcntl(file, F_SETLEASE, lease) != 0)
        return false;
    fcntl(file, F_SETLEASE, F_UNLCK);
    return true;
}

#endif
