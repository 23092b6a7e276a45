/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes that exchange a million messages as fast as they can. The test calls runs it under
 * strace; by itself it tells whether all arrived, in order.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#define MESSAGES 1000000
#define LIMIT    gnl_s(60)
/*
 * Where other programs take a core away the two cannot be busy at the same time: one fills the queue and
 * sleeps, then the other drains it and sleeps, four calls a lap. A long queue keeps that out of the count.
 */
#define CAPACITY 65536

static int receive_all(gnl_port *port)
{
    uint64_t number;

    for (uint64_t i = 0; i < MESSAGES; i++)
        if (gnl_recv(port, &number, sizeof number, LIMIT) != sizeof number || number != i)
            return 1;
    return gnl_close(port) != 0;
}

static int send_all(gnl_port *port)
{
    for (uint64_t i = 0; i < MESSAGES; i++)
        if (gnl_send(port, &i, sizeof i, LIMIT) != 0)
            return 1;
    return gnl_close(port) != 0;
}

int main(void)
{
    gnl_port *port;
    int status;

    if (gnl_open(&port, "mailbox:busy", &(struct gnl_options){ .capacity = CAPACITY }) != 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        return 1;
    }
    pid_t child = fork();
    if (child == 0)
        _exit(receive_all(port));
    int failed = child < 0 || send_all(port) || waitpid(child, &status, 0) != child || status != 0;
    if (failed)
        fprintf(stderr, "%s\n", gnl_error_detail());
    gnl_remove("mailbox:busy");
    return failed;
}
