/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary pipes: a stream of bytes between related processes. The ends are plain descriptors, for read and
 * write, and for gnl_spawn to pass on.
 */
#ifndef GINNEL_PIPE_H
#define GINNEL_PIPE_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * Makes a pipe: what is written to *write_end is read from *read_end. Both close on exec, so that no child
 * keeps an end open that it was not given: then a reader sees the end of the stream when the last writer that
 * was meant to have it is done. The caller owns both. Safe from several threads. -EINVAL a NULL; -EMFILE,
 * -ENFILE as the kernel means them.
 */
int gnl_pipe(int *read_end, int *write_end);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
