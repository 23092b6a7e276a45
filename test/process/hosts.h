/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two hosts and a link between them: two processes in network namespaces of their own, each with a TUN
 * device, and the test as the wire that passes packets on, late, not all of them, or none. Which are lost
 * depends on their number alone.
 */
#ifndef TEST_PROCESS_HOSTS_H
#define TEST_PROCESS_HOSTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "socketing.h"

#define FIRST_HOST  "10.77.0.1"
#define SECOND_HOST "10.77.0.2"

struct link {
    int tuns[2];
    pid_t hosts[2];
    struct gate ready[2], go[2];
    pthread_t thread;
    atomic_bool stop, cut;
    atomic_uint drop_every; /* one packet in so many is lost; 0: none */
    atomic_int delay_ms;
    atomic_uint lost, passed; /* packets; those of a link that is cut are lost */
};

/*
 * Both run, once the link is up; context is both's. False: this user may not have namespaces or TUN devices.
 * What a host returns is its exit status.
 */
bool link_hosts(struct link *link, int (*first)(void *context), int (*second)(void *context), void *context);

/* Both have ended, with 0. */
void unlink_hosts(struct link *link);

#endif
