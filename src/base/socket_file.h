/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets that have a file in a runtime directory.
 */
#ifndef GNLI_BASE_SOCKET_FILE_H
#define GNLI_BASE_SOCKET_FILE_H

#include <sys/types.h>
#include <sys/un.h>

/* The address of that file, however long the directory's own path is. */
void gnli_socket_path(struct sockaddr_un *path, int directory, const char *name);

/* The same of a file that is open with O_PATH. */
void gnli_socket_path_of(struct sockaddr_un *path, int file);

/*
 * Has the socket listen, with a backlog of GNLI_BACKLOG, under the name, in place of what has it. The file
 * appears when all is ready, with its mode, whatever the umask. Called by one process at a time for a name:
 * who has proved that it is its own. 0, or a negative errno value.
 */
int gnli_socket_publish(int listener, int directory, const char *name, mode_t mode);

#define GNLI_BACKLOG 4096

#endif
