/* SPDX-License-Identifier: Apache-2.0 */
/* Capacity zero: a send returns once a receiver has the message, and is withdrawn if none comes in time. */
#include <errno.h>
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS "mailbox:handshake"

static ssize_t must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

int main(void)
{
    gnl_port *port;
    char text[16];

    must(gnl_open(&port, ADDRESS, &(struct gnl_options){ .capacity = GNL_RENDEZVOUS }));
    int now = gnl_send(port, "one", 3, GNL_NOWAIT);
    printf("nobody waits: %s\n", gnl_strerror(now));
    int later = gnl_send(port, "two", 3, gnl_ms(50));
    printf("nobody came: %s\n", gnl_strerror(later));
    if (now != -EAGAIN || later != -ETIMEDOUT)
        return 1;

    pid_t pid = fork();
    if (pid == 0) { /* neither of the two is there any more */
        ssize_t size = must(gnl_recv(port, text, sizeof text, gnl_s(10)));
        _exit(size != 5);
    }
    must(gnl_send(port, "three", 5, gnl_s(10)));
    printf("taken\n");
    int status;
    waitpid(pid, &status, 0);
    must(gnl_close(port));
    must(gnl_remove(ADDRESS));
    return status != 0;
}
