/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of named pipes share. */
#ifndef TEST_PROCESS_PIPING_H
#define TEST_PROCESS_PIPING_H

#include "links.h"

#define PIPE  "pipe:p"
#define LARGE 3000000 /* bytes: more than the kernel holds of a message */

/* On PIPE, and the process ends if it fails. */
gnl_listener *listen_on(const struct gnl_options *options);
gnl_port *connect_to(const struct gnl_options *options);
gnl_port *accept_from(gnl_listener *listener);

/* Both ends in this process. */
struct ends {
    gnl_listener *listener;
    gnl_port *client, *server;
};

struct ends both_ends(const struct gnl_options *options);
void close_ends(struct ends *ends);

/* The next message, or what the next receive fails with. */
void expect(gnl_port *port, const char *text);
void expect_code(gnl_port *port, int code);

#endif
