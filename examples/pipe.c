/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A named pipe: three processes connect to one that listens, and each has a conversation of its own. The
 * server waits for all of them at once.
 */
#include <ginnel/ginnel.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 3
#define WORDS   2

static const char *const words[WORDS] = { "hello", "good day" };

/* Asks, and checks the answers. */
static int ask(void)
{
    gnl_port *port;
    char answer[64];

    if (gnl_open(&port, "pipe:upper", NULL) < 0)
        return 1;
    for (unsigned i = 0; i < WORDS; i++) {
        if (gnl_send(port, words[i], strlen(words[i]), gnl_s(10)) < 0 ||
            gnl_recv(port, answer, sizeof answer, gnl_s(10)) != (ssize_t)strlen(words[i]) ||
            answer[0] != toupper(words[i][0]))
            return 1;
    }
    return gnl_close(port) < 0;
}

/* One question, if there is one. -EPIPE: the client has gone. */
static int answer(gnl_port *port, char text[64])
{
    ssize_t size = gnl_recv(port, text, 63, GNL_NOWAIT);

    if (size < 0)
        return (int)size;
    text[size] = '\0';
    for (ssize_t i = 0; i < size; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    return gnl_send(port, text, (size_t)size, gnl_s(10));
}

int main(void)
{
    gnl_listener *listener;
    gnl_port *ports[CLIENTS];
    struct pollfd entries[CLIENTS];
    char text[64];
    unsigned answers = 0, gone = 0;
    int status, bad = 0;

    if (gnl_listen(&listener, "pipe:upper", NULL) < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        return 1;
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (fork() == 0)
            _exit(ask());
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (gnl_accept(listener, &ports[i], gnl_s(10)) < 0)
            return 1;
        entries[i] = (struct pollfd){ .fd = gnl_port_fd(ports[i]), .events = POLLIN };
    }
    while (gone < CLIENTS && poll(entries, CLIENTS, 10000) > 0)
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (!entries[i].revents)
                continue;
            int result = answer(ports[i], text);
            if (result == 0)
                answers++;
            if (result == 0 || result == -EAGAIN)
                continue;
            entries[i].fd = -1; /* which poll passes over */
            gnl_close(ports[i]);
            gone++;
        }
    for (unsigned i = 0; i < CLIENTS; i++)
        bad |= wait(&status) < 0 || status != 0;
    gnl_listener_close(listener);
    printf("three clients, %u answers\n", answers);
    return bad;
}
