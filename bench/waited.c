/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waiting in a set costs as its members become more: one process sends to itself, is told by the set,
 * and receives. The others of the set are idle.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/crew.h"
#include "bench/parts.h"

#define ADDRESS     "mailbox:waited"
#define DESCRIPTORS 64 /* that the rest of the process has */

static double complain(void)
{
    fprintf(stderr, "ginnel bench: %s\n", gnl_error_detail());
    return -1;
}

/* Members that never become ready; false: the set did not take them all. */
static bool add_idle(gnl_waitset *set, int *descriptors, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        descriptors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (gnl_waitset_add_fd(set, descriptors[i], GNL_READABLE, &descriptors[i]) < 0)
            return false;
    }
    return true;
}

static double send_and_wait(gnl_waitset *set, gnl_port *port, int64_t ns)
{
    int64_t start = crew_now_ns(), elapsed = 0, messages = 0;
    char message[WAITED_SIZE] = "message";
    struct gnl_event event;

    for (; elapsed < ns && !crew_interrupted(); messages++, elapsed = crew_now_ns() - start)
        if (gnl_send(port, message, sizeof message, GNL_NOWAIT) < 0 ||
            gnl_waitset_wait(set, &event, 1, gnl_s(10)) < 0 ||
            gnl_recv(port, message, sizeof message, gnl_s(10)) < 0)
            return complain();
    return messages > 0 ? (double)elapsed / (double)messages : -1;
}

static double measure_in(gnl_waitset *set, gnl_port *port, unsigned count, int64_t ns)
{
    int *descriptors = malloc(count * sizeof *descriptors);
    double result = -1;

    if (!descriptors)
        return -1;
    for (unsigned i = 0; i < count; i++)
        descriptors[i] = -1;
    if (add_idle(set, descriptors, count - 1) && gnl_waitset_add_port(set, port, GNL_READABLE, port) == 0)
        result = send_and_wait(set, port, ns);
    else
        complain();
    for (unsigned i = 0; i < count; i++)
        if (descriptors[i] >= 0) {
            gnl_waitset_remove(set, &descriptors[i]);
            close(descriptors[i]);
        }
    free(descriptors);
    return result;
}

double waited_measure(unsigned count, int64_t ns)
{
    struct rlimit limit;
    gnl_waitset *set = NULL;
    gnl_port *port = NULL;
    double result;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < count + DESCRIPTORS)
        return 0;
    if (gnl_open(&port, ADDRESS, NULL) < 0 || gnl_waitset_new(&set) < 0)
        result = complain();
    else
        result = measure_in(set, port, count, ns);
    gnl_waitset_free(set);
    gnl_close(port);
    gnl_remove(ADDRESS);
    return result;
}
