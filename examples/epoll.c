/* SPDX-License-Identifier: Apache-2.0 */
/* One thread waits for messages of two mailboxes at once, as it would for sockets and timers. */
#include <errno.h>
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define EACH 1000

static const char *const addresses[2] = { "mailbox:news", "mailbox:orders" };

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
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int received[2] = { 0, 0 };
    gnl_port *ports[2];

    for (unsigned i = 0; i < 2; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
        must(gnl_open(&ports[i], addresses[i], NULL));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, (int)must(gnl_port_fd(ports[i])), &event) != 0)
            return 1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 2 * EACH; i++)
            must(gnl_send(ports[i % 2], &i, sizeof i, GNL_FOREVER));
        _exit(0);
    }
    while (received[0] + received[1] < 2 * EACH) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, 10000) != 1)
            return 1;
        int number;
        ssize_t result; /* the descriptor stays readable until a receive finds nothing */
        while ((result = gnl_recv(ports[event.data.u32], &number, sizeof number, GNL_NOWAIT)) >= 0)
            received[event.data.u32]++;
        if (result != -EAGAIN)
            must(result);
    }
    waitpid(pid, NULL, 0);
    printf("news %d, orders %d\n", received[0], received[1]);
    for (unsigned i = 0; i < 2; i++)
        must(gnl_close(ports[i]) < 0 ? -1 : gnl_remove(addresses[i]));
    return 0;
}
