/* SPDX-License-Identifier: Apache-2.0 */
/* `hello TEXT` sends a message to the mailbox hello; `hello` waits for one and prints it. */
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char *argv[])
{
    char text[256];
    gnl_port *port = NULL;
    ssize_t result = gnl_open(&port, "mailbox:hello", NULL); /* made if it is not there */

    if (result == 0 && argc > 1)
        result = gnl_send(port, argv[1], strlen(argv[1]), GNL_FOREVER);
    else if (result == 0)
        result = gnl_recv(port, text, sizeof text, gnl_s(10));
    if (result < 0)
        fprintf(stderr, "%s\n", gnl_error_detail());
    else if (argc == 1)
        printf("%.*s\n", (int)result, text);
    gnl_close(port);
    return result < 0;
}
