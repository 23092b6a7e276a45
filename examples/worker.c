/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker takes a job and is killed in the middle of it. The next worker gets that job first, flagged; a
 * job is gone only when somebody is done with it.
 */
#include <ginnel/ginnel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
}

int main(void)
{
    gnl_message job;
    gnl_port *port;

    must(gnl_open(&port, "mailbox:jobs", NULL));
    for (int i = 1; i <= 3; i++) {
        char text[16];
        must(gnl_send(port, text, (size_t)snprintf(text, sizeof text, "job %d", i), GNL_FOREVER));
    }

    pid_t pid = fork();
    if (pid == 0) { /* the child uses the port that it inherited, as a participant of its own */
        must(gnl_take(port, &job, GNL_FOREVER));
        raise(SIGKILL);
    }
    waitpid(pid, NULL, 0);

    for (int i = 1; i <= 3; i++) {
        must(gnl_take(port, &job, gnl_s(10)));
        printf("%.*s%s\n", (int)job.size, (char *)job.data, job.flags & GNL_REDELIVERED ? ", again" : "");
        must(gnl_done(&job));
    }
    must(gnl_close(port));
    must(gnl_remove("mailbox:jobs"));
    return 0;
}
