/* SPDX-License-Identifier: Apache-2.0 */
/* A waitset inside a loop of one's own over epoll: two mailboxes, and SIGTERM as a message. */
#include <errno.h>
#include <ginnel/ginnel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define EACH 1000

static const char *const addresses[2] = { "mailbox:news", "mailbox:orders" };
static gnl_port *ports[2], *signals;
static int received[2];

static ssize_t must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

/* All that the set has to tell; true: SIGTERM has come. */
static int drain(gnl_waitset *set)
{
    struct gnl_event events[4];
    int count, number;

    while ((count = gnl_waitset_wait(set, events, 4, GNL_NOWAIT)) > 0)
        for (int i = 0; i < count; i++) {
            struct gnl_signal signal;
            if (events[i].tag == signals)
                return must(gnl_recv(signals, &signal, sizeof signal, GNL_NOWAIT)) > 0;
            while (gnl_recv(events[i].tag, &number, sizeof number, GNL_NOWAIT) >= 0)
                received[events[i].tag == ports[1]]++;
        }
    if (count != -EAGAIN)
        must(count);
    return 0;
}

static void send_all(void)
{
    for (int i = 0; i < 2 * EACH; i++)
        must(gnl_send(ports[i % 2], &i, sizeof i, GNL_FOREVER));
}

int main(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    gnl_waitset *set;

    must(gnl_signal_port(&signals, (const int[]){ SIGTERM }, 1));
    must(gnl_waitset_new(&set));
    must(gnl_waitset_add_port(set, signals, GNL_READABLE, signals));
    for (int i = 0; i < 2; i++) {
        must(gnl_open(&ports[i], addresses[i], NULL));
        must(gnl_waitset_add_port(set, ports[i], GNL_READABLE, ports[i]));
    }
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, (int)must(gnl_waitset_fd(set)), &event) != 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        send_all();
        _exit(0);
    }
    for (int over = 0; !over;) {
        if (epoll_wait(epoll, &event, 1, 10000) != 1) /* here among one's own descriptors */
            return 1;
        over = drain(set);
        if (!over && received[0] + received[1] == 2 * EACH)
            kill(getpid(), SIGTERM);
    }
    waitpid(pid, NULL, 0);
    printf("news %d, orders %d, then SIGTERM\n", received[0], received[1]);
    gnl_waitset_free(set);
    must(gnl_close(signals));
    for (int i = 0; i < 2; i++)
        must(gnl_close(ports[i]) < 0 ? -1 : gnl_remove(addresses[i]));
    return 0;
}
