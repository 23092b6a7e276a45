/* SPDX-License-Identifier: Apache-2.0 */
#include "piping.h"

#include <string.h>

gnl_listener *listen_on(const struct gnl_options *options)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, PIPE, options) == 0);
    return listener;
}

gnl_port *connect_to(const struct gnl_options *options)
{
    gnl_port *port;

    require(gnl_open(&port, PIPE, options) == 0);
    return port;
}

gnl_port *accept_from(gnl_listener *listener)
{
    gnl_port *port;

    require(gnl_accept(listener, &port, PATIENCE) == 0);
    return port;
}

struct ends both_ends(const struct gnl_options *options)
{
    struct ends ends = { .listener = listen_on(options) };

    ends.client = connect_to(options);
    ends.server = accept_from(ends.listener);
    return ends;
}

void close_ends(struct ends *ends)
{
    assert_ok(gnl_close(ends->client));
    assert_ok(gnl_close(ends->server));
    assert_ok(gnl_listener_close(ends->listener));
}

void expect(gnl_port *port, const char *text)
{
    char data[64];
    ssize_t size = gnl_recv(port, data, sizeof data, PATIENCE);

    ck_assert_msg(size >= 0, "%s", gnl_error_detail());
    ck_assert_int_eq(size, strlen(text));
    ck_assert_mem_eq(data, text, strlen(text));
}

void expect_code(gnl_port *port, int code)
{
    char data[64];

    ck_assert_int_eq(gnl_recv(port, data, sizeof data, PATIENCE), code);
}
