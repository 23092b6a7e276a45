/* SPDX-License-Identifier: Apache-2.0 */
/* A waitset inside libuv's loop, beside a timer of libuv's. */
#include <errno.h>
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define MESSAGES 1000

static gnl_port *port;
static int received, ticks;
static uv_timer_t timer;

static ssize_t must(ssize_t result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

static void on_tick(uv_timer_t *handle)
{
    (void)handle;
    ticks++;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct gnl_event event;
    int number, count;

    (void)events;
    while (status == 0 && (count = gnl_waitset_wait(handle->data, &event, 1, GNL_NOWAIT)) > 0)
        while (gnl_recv(event.tag, &number, sizeof number, GNL_NOWAIT) >= 0)
            received++;
    if (received == MESSAGES && ticks > 0) { /* nothing is left for the loop to do */
        uv_poll_stop(handle);
        uv_timer_stop(&timer);
    }
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_poll_t poll;
    gnl_waitset *set;

    must(gnl_open(&port, "mailbox:news", NULL));
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < MESSAGES; i++) {
            must(gnl_send(port, &i, sizeof i, GNL_FOREVER));
            if (i == MESSAGES / 2)
                usleep(50000);
        }
        _exit(0);
    }
    must(gnl_waitset_new(&set));
    must(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    uv_poll_init(loop, &poll, (int)must(gnl_waitset_fd(set)));
    poll.data = set;
    uv_poll_start(&poll, UV_READABLE, on_ready);
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_tick, 1, 1);
    uv_run(loop, UV_RUN_DEFAULT);
    waitpid(pid, NULL, 0);
    printf("news %d, and the timer went on\n", received);
    uv_close((uv_handle_t *)&poll, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    gnl_waitset_free(set);
    must(gnl_close(port) < 0 ? -1 : gnl_remove("mailbox:news"));
    return 0;
}
