/* SPDX-License-Identifier: Apache-2.0 */
/* Many messages a call: 10,000 are sent in hundreds, and taken in place up to 64 at a time. */
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS  "mailbox:batches"
#define MESSAGES 10000
#define BATCH    100

static ssize_t must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

static void send_all(gnl_port *port)
{
    struct iovec batch[BATCH];
    int numbers[BATCH];

    for (int sent = 0; sent < MESSAGES; sent += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            numbers[i] = sent + i;
            batch[i] = (struct iovec){ &numbers[i], sizeof numbers[i] };
        }
        for (ssize_t gone = 0; gone < BATCH;) /* what a call could not send is still the caller's */
            gone += must(gnl_send_many(port, batch + gone, (size_t)(BATCH - gone), GNL_FOREVER));
    }
}

int main(void)
{
    gnl_message messages[64];
    gnl_port *port;
    long sum = 0;

    must(gnl_open(&port, ADDRESS, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        send_all(port);
        _exit(0);
    }
    for (ssize_t got = 0; got < MESSAGES;) {
        ssize_t count = must(gnl_take_many(port, messages, 64, gnl_s(10)));
        for (ssize_t i = 0; i < count; i++) {
            sum += *(int *)messages[i].data;
            must(gnl_done(&messages[i]));
        }
        got += count;
    }
    waitpid(pid, NULL, 0);
    printf("%d messages, sum %ld\n", MESSAGES, sum);
    must(gnl_close(port));
    must(gnl_remove(ADDRESS));
    return 0;
}
