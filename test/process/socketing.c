/* SPDX-License-Identifier: Apache-2.0 */
#include "socketing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

gnl_listener *listen_at(const char *address, const struct gnl_options *options)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, address, options) == 0);
    return listener;
}

int raw_connect(gnl_listener *listener)
{
    const char *number = strrchr(gnl_listener_address(listener), ':') + 1;
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtol(number, NULL, 10)) };
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(connect(made, (struct sockaddr *)&name, sizeof name) == 0);
    return made;
}

void put(int to, const char *data, size_t size)
{
    require(send(to, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}
