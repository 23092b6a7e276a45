/* SPDX-License-Identifier: Apache-2.0 */
/* A question and its answer: a two-way mailbox has a side A and a side B, and a queue each way. */
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS "mailbox:squares"

static ssize_t must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

static gnl_port *open_side(enum gnl_side side)
{
    gnl_port *port;

    must(gnl_open(&port, ADDRESS, &(struct gnl_options){ .side = side }));
    return port;
}

int main(void)
{
    pid_t pid = fork();

    if (pid == 0) { /* answers until it gets an empty message */
        gnl_port *port = open_side(GNL_SIDE_B);
        int number;
        while (must(gnl_recv(port, &number, sizeof number, gnl_s(10))) > 0) {
            number *= number;
            must(gnl_send(port, &number, sizeof number, gnl_s(10)));
        }
        _exit(gnl_close(port) < 0);
    }

    gnl_port *port = open_side(GNL_SIDE_A);
    for (int i = 1; i <= 4; i++) {
        int square;
        must(gnl_send(port, &i, sizeof i, gnl_s(10)));
        must(gnl_recv(port, &square, sizeof square, gnl_s(10)));
        printf("%d times %d is %d\n", i, i, square);
    }
    must(gnl_send(port, NULL, 0, gnl_s(10)));
    int status;
    waitpid(pid, &status, 0);
    must(gnl_close(port));
    must(gnl_remove(ADDRESS));
    return status != 0;
}
