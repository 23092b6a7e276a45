/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waiting costs a server as its connections become more: it is sent a message over one of them, is told
 * by its set, and receives. The others are idle; another process has their other ends.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/crew.h"
#include "bench/machine.h"
#include "bench/parts.h"

#define DESCRIPTORS 100 /* that the rest of the process has */
#define PATIENCE    gnl_s(60)

static double complain(void)
{
    fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
    return -1;
}

/* In a child: connects so often, and stays until it is killed. */
static pid_t start_idle_clients(const char *address, unsigned count)
{
    pid_t server = getpid(), pid = fork();
    gnl_port *port;

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server)
        _exit(1);
    for (unsigned i = 0; i < count; i++)
        if (gnl_open(&port, address, NULL) < 0)
            _exit(1);
    for (;;)
        pause();
}

static bool accept_into(gnl_listener *listener, gnl_waitset *set, gnl_port **port)
{
    return gnl_accept(listener, port, PATIENCE) == 0 &&
           gnl_waitset_add_port(set, *port, GNL_READABLE, port) == 0;
}

static double send_and_wait(gnl_waitset *set, gnl_port *client, int64_t ns)
{
    int64_t start = crew_now_ns(), elapsed = 0, messages = 0;
    char message[WAITED_SIZE] = "message";
    struct gnl_event event;

    for (; elapsed < ns && !crew_interrupted(); messages++, elapsed = crew_now_ns() - start)
        if (gnl_send(client, message, sizeof message, PATIENCE) < 0 ||
            gnl_waitset_wait(set, &event, 1, PATIENCE) < 0 ||
            gnl_recv(*(gnl_port **)event.tag, message, sizeof message, PATIENCE) < 0)
            return complain();
    return messages > 0 ? (double)elapsed / (double)messages : -1;
}

static double measure(gnl_listener *listener, gnl_waitset *set, unsigned count, int64_t ns)
{
    gnl_port **ports = calloc(count, sizeof(gnl_port *)), *client = NULL;
    double result = -1;
    unsigned made = 0;

    pid_t child = ports && count > 1 ? start_idle_clients(gnl_listener_address(listener), count - 1) : 0;
    while (ports && child >= 0 && made < count - 1 && accept_into(listener, set, &ports[made]))
        made++;
    if (ports && made == count - 1 && gnl_open(&client, gnl_listener_address(listener), NULL) == 0 &&
        accept_into(listener, set, &ports[made]))
        result = send_and_wait(set, client, ns);
    else
        complain();
    gnl_close(client);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    for (unsigned i = 0; ports && i < count; i++)
        gnl_close(ports[i]);
    free(ports);
    return result;
}

double connections_measure(unsigned count, int64_t ns)
{
    struct rlimit limit;
    cpu_set_t before;
    gnl_listener *listener = NULL;
    gnl_waitset *set = NULL;
    double result;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count + DESCRIPTORS)
        return 0;
    sched_getaffinity(0, sizeof before, &before);
    machine_pin(0);
    if (gnl_listen(&listener, "tcp:127.0.0.1:0", NULL) < 0 || gnl_waitset_new(&set) < 0)
        result = complain();
    else
        result = measure(listener, set, count, ns);
    gnl_waitset_free(set);
    gnl_listener_close(listener);
    sched_setaffinity(0, sizeof before, &before);
    return result;
}
