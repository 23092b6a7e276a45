/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes that name each other: bob answers whoever writes to him, until nobody does any more.
 */
#include <ginnel/ginnel.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int bob(void)
{
    gnl_identity *me;
    struct gnl_sender sender;
    char text[64], answer[96];

    if (gnl_identity_claim(&me, "bob") < 0)
        return 1;
    for (;;) {
        ssize_t size = gnl_recv_from(me, NULL, text, sizeof text, &sender, gnl_s(10));
        if (size <= 0)
            break;
        snprintf(answer, sizeof answer, "%.*s yourself, %s", (int)size, text, sender.name);
        gnl_send_to(me, sender.name, answer, strlen(answer), gnl_s(10));
    }
    return gnl_identity_release(me) < 0;
}

int main(void)
{
    static const char *const words[] = { "hello", "good day" };
    gnl_identity *me;
    char answer[96];
    int status;

    pid_t child = fork();
    if (child == 0)
        _exit(bob());
    if (gnl_identity_claim(&me, "alice") < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        return 1;
    }
    for (unsigned i = 0; i < 2; i++) {
        ssize_t size =
            gnl_send_to(me, "bob", words[i], strlen(words[i]), gnl_s(10)); /* waits for bob to be there */
        if (size == 0)
            size = gnl_recv_from(me, "bob", answer, sizeof answer, NULL, gnl_s(10));
        if (size < 0) {
            fprintf(stderr, "%s\n", gnl_error_detail());
            return 1;
        }
        printf("%.*s\n", (int)size, answer);
    }
    gnl_send_to(me, "bob", "", 0, gnl_s(10));
    gnl_identity_release(me);
    return waitpid(child, &status, 0) != child || status != 0;
}
