/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary pipes: a stream of bytes between related processes. The ends are plain descriptors, for read and
 * write, for gnl_spawn and gnl_pipeline_start to pass on; or one of them is a port.
 *
 *     gnl_pipe(&read_end, &write_end);
 *     gnl_spawn(&sort, (char *[]){ "sort", NULL },
 *               &(struct gnl_spawn_options){ .standard = { { GNL_FD, read_end } } });
 *     close(read_end);
 *     gnl_pipe_port(&port, write_end);
 *     gnl_send(port, "b\na\n", 4, gnl_s(10));
 *     gnl_close(port);
 */
#ifndef GINNEL_PIPE_H
#define GINNEL_PIPE_H

#include <ginnel/port.h>

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

/*
 * One end of a pipe as a port in byte mode, send-only or receive-only as the end is: its verbs have timeouts,
 * never raise SIGPIPE, and it waits in waitsets beside other ports. Closing the port closes the end; so does
 * gnl_finish. The descriptor is the port's from then on, and does not block any more (O_NONBLOCK), for
 * nobody who has a copy of it; on failure it is the caller's still. Safe from several threads. -EINVAL not
 * one end of a pipe; -EBADF not open; -EMFILE, -ENOMEM.
 */
int gnl_pipe_port(gnl_port **port, int end);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
