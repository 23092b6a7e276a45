/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary pipes.
 */
#include <ginnel/pipe.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/errors.h"

int gnl_pipe(int *read_end, int *write_end)
{
    int ends[2];

    if (!read_end || !write_end)
        return gnli_fail(-EINVAL, "a pipe has two ends: NULL was given for one");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return gnli_fail_errno(errno, "cannot make a pipe");
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}
