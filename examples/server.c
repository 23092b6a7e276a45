/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of many clients: one thread, one waitset with the listener and every connection. A client that
 * is slow, gone or hostile costs the others nothing; if no descriptor is left for one more, those who are
 * there are served, and it waits.
 */
#include <ginnel/ginnel.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS   50
#define QUESTIONS 3

static int must(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        exit(1);
    }
    return result;
}

/* All clients, in a process of their own: each asks what numbers are when they are squared. */
static void ask(const char *address)
{
    gnl_port *ports[CLIENTS];
    int number;

    for (int i = 0; i < CLIENTS; i++)
        must(gnl_open(&ports[i], address, NULL));
    for (int i = 0; i < QUESTIONS * CLIENTS; i++)
        must(gnl_send(ports[i % CLIENTS], &i, sizeof i, gnl_s(10)));
    for (int i = 0; i < QUESTIONS * CLIENTS; i++) {
        must((int)gnl_recv(ports[i % CLIENTS], &number, sizeof number, gnl_s(10)));
        if (number != i * i)
            _exit(1);
    }
    for (int i = 0; i < CLIENTS; i++)
        gnl_close(ports[i]);
    _exit(0);
}

/* One question. Negative: this client is done with, at its end or because it breaks the rules. */
static int answer(gnl_port *port)
{
    int number;

    ssize_t size = gnl_recv(port, &number, sizeof number, GNL_NOWAIT);
    if (size != sizeof number)
        return size == -EAGAIN ? 0 : size < 0 ? (int)size : -EINVAL;
    number *= number;
    int result = gnl_send(port, &number, sizeof number, GNL_NOWAIT); /* who takes no answers gets none */
    return result < 0 ? result : 1;
}

/* The next who has connected. False: no descriptor is left for one more, who waits. */
static bool let_in(gnl_waitset *set, gnl_listener *listener)
{
    gnl_port *port;

    int result = gnl_accept(listener, &port, GNL_NOWAIT);
    if (result == 0)
        must(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    return result != -EMFILE && result != -ENFILE;
}

/* Until all clients have gone: how many answers they got. */
static int serve(gnl_waitset *set, gnl_listener *listener)
{
    struct gnl_event event;
    int answers = 0, gone = 0;
    bool pause = false;

    must(gnl_waitset_add_listener(set, listener, listener));
    while (gone < CLIENTS) {
        int ready = gnl_waitset_wait(set, &event, 1, pause ? gnl_ms(100) : gnl_s(10));
        if (pause)
            must(gnl_waitset_add_listener(set, listener, listener));
        else
            must(ready);
        pause = false;
        if (ready == 1 && event.tag == listener && !let_in(set, listener)) {
            must(gnl_waitset_remove(set, listener)); /* it stays readable: somebody may go meanwhile */
            pause = true;
        } else if (ready == 1 && event.tag != listener) {
            int result = answer(event.tag);
            answers += result > 0;
            if (result < 0) {
                gnl_close(event.tag); /* it leaves the set */
                gone++;
            }
        }
    }
    return answers;
}

int main(void)
{
    gnl_listener *listener;
    gnl_waitset *set;
    int status;

    must(gnl_listen(&listener, "tcp:127.0.0.1:0", NULL)); /* or unix:PATH, tls:HOST:PORT, pipe:NAME */
    pid_t child = fork();
    if (child == 0)
        ask(gnl_listener_address(listener));
    must(gnl_waitset_new(&set));
    int answers = serve(set, listener);
    bool bad = waitpid(child, &status, 0) != child || status != 0;
    gnl_waitset_free(set);
    gnl_listener_close(listener);
    printf("%d clients, %d answers\n", CLIENTS, answers);
    return bad;
}
