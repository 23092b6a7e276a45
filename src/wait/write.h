/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GNLI_WAIT_WRITE_H
#define GNLI_WAIT_WRITE_H

#include <sys/types.h>
#include <sys/uio.h>

/*
 * writev for which a reader that has gone is an error alone, -EPIPE, and no SIGPIPE: pipes have no flag for
 * that, as sockets have. A negative code, never -EINTR.
 */
ssize_t gnli_write_quietly(int output, const struct iovec *parts, int count);

#endif
