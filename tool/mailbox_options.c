/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/names.h>
#include <ginnel/options.h>

#include "interrupt.h"

#define SLICE_NS ((int64_t)100000000) /* a wait in the library does not end with a signal */

bool parse_capacity(const char *text, void *value)
{
    int64_t *capacity = value;
    uint64_t number;

    if (strcmp(text, "rendezvous") == 0)
        *capacity = GNL_RENDEZVOUS;
    else if (strcmp(text, "unbounded") == 0)
        *capacity = GNL_UNBOUNDED;
    else if (read_number(text, GNL_CAPACITY_MAX, &number) && number > 0)
        *capacity = (int64_t)number;
    else
        return false;
    return true;
}

bool parse_message_max(const char *text, void *value)
{
    size_t size;

    if (!parse_size(text, &size) || size > GNL_MESSAGE_MAX_LIMIT)
        return false;
    *(size_t *)value = size;
    return true;
}

bool parse_mode(const char *text, void *value)
{
    size_t length = strlen(text);

    if (length < 3 || length > 4 || strspn(text, "01234567") != length)
        return false;
    unsigned long mode = strtoul(text, NULL, 8);
    if (mode == 0 || mode > 0777)
        return false;
    *(mode_t *)value = (mode_t)mode;
    return true;
}

bool parse_limit(const char *text, void *value)
{
    uint64_t number;

    if (!read_number(text, UINT32_MAX, &number) || number == 0)
        return false;
    *(uint32_t *)value = (uint32_t)number;
    return true;
}

bool parse_patience(const char *text, void *value)
{
    int64_t duration;

    if (!parse_duration(text, &duration) || duration == 0)
        return false;
    *(int64_t *)value = duration;
    return true;
}

bool parse_dead_letters(const char *text, void *value)
{
    char address[GNL_ADDRESS_MAX + 1];
    int length = snprintf(address, sizeof address, "%s%s", strchr(text, ':') ? "" : "mailbox:", text);

    *(const char **)value = text;
    return length >= 0 && (size_t)length < sizeof address && gnl_address_check(address) == 0;
}

bool parse_side(const char *text, void *value)
{
    enum gnl_side *side = value;

    if (strcmp(text, "a") == 0)
        *side = GNL_SIDE_A;
    else if (strcmp(text, "b") == 0)
        *side = GNL_SIDE_B;
    else
        return false;
    return true;
}

bool parse_as(const char *text, void *value)
{
    char address[GNL_ADDRESS_MAX + 1];
    int length = snprintf(address, sizeof address, "direct:%s", text);

    *(const char **)value = text;
    return length >= 0 && (size_t)length < sizeof address && gnl_address_check(address) == 0;
}

/* ---- opening ---- */

const char *port_as;
bool port_listen, port_stream;
struct gnl_tls_options port_tls;
bool port_tls_1_2;
static gnl_identity *identity;

/* The library looks at them once it has connected. What is in them it looks at alone. */
static bool readable(const char *option, const char *path)
{
    if (!path || access(path, R_OK) == 0)
        return true;
    complain("--%s: cannot read %s: %s", option, path, strerror(errno));
    return false;
}

enum exit_status socket_options_check(const char *command, const struct gnl_options *options)
{
    if (port_listen && options->connect_timeout)
        return usage_error(command,
                           "--connect-timeout is for who connects, and --listen waits for others to");
    if (!port_listen && options->connections_max)
        return usage_error(command, "--connections is for who listens: give --listen, too");
    bool good = readable("tls-ca", port_tls.ca_file) && readable("tls-cert", port_tls.certificate_file) &&
                readable("tls-key", port_tls.key_file) && readable("tls-psk", port_tls.psk_file);
    return good ? EXIT_OK : EXIT_FAILED;
}

struct gnl_options with_tls(const struct gnl_options *options)
{
    struct gnl_options all = *options;

    port_tls.allow_tls_1_2 = port_tls_1_2;
    if (port_tls.ca_file || port_tls.certificate_file || port_tls.key_file || port_tls.psk_file ||
        port_tls.server_name || port_tls_1_2)
        all.tls = &port_tls;
    return all;
}

bool opening_waits(const char *address)
{
    return strncmp(address, "tcp:", 4) == 0 || strncmp(address, "tls:", 4) == 0;
}

bool address_is_socket(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 || opening_waits(address);
}

bool port_is_bytes(const char *address)
{
    return port_stream || strncmp(address, "fifo:", 5) == 0;
}

void tell_address(gnl_listener *listener, const char *address)
{
    const char *found = gnl_listener_address(listener);

    if (strcmp(found, address) != 0)
        complain("listening on %s", found);
}

/* Who comes after the first is told that nobody listens. */
static int accept_first(gnl_port **port, const char *address, const struct gnl_options *options)
{
    gnl_listener *listener;

    const struct gnl_options all = with_tls(options);
    int result = gnl_listen(&listener, address, &all);
    if (result < 0)
        return result;
    tell_address(listener, address);
    do
        result = gnl_accept(listener, port, SLICE_NS);
    while (result == -ETIMEDOUT && interrupt_caught() == 0);
    gnl_listener_close(listener);
    return result == -ETIMEDOUT ? -EINTR : result;
}

int port_open(gnl_port **port, const char *address, const struct gnl_options *options)
{
    char name[GNL_NAME_MAX + 2];

    if (port_listen)
        return accept_first(port, address, options);
    const struct gnl_options all = with_tls(options);
    if (strncmp(address, "direct:", 7) != 0)
        return gnl_open(port, address, &all);
    /* To a machine-wide name one goes by a machine-wide name. */
    snprintf(name, sizeof name, "%sginnel-%d", address[7] == '/' ? "/" : "", (int)getpid());
    int result = gnl_identity_claim(&identity, port_as ? port_as : name);
    if (result < 0)
        return result;
    struct gnl_options direct = all;
    direct.direction = GNL_BOTH; /* a link has both */
    direct.identity = identity;
    result = gnl_open(port, address, &direct);
    if (result < 0)
        port_close(NULL);
    return result;
}

int port_close(gnl_port *port)
{
    int result = identity ? gnl_identity_release(identity) : gnl_close(port); /* with it goes its link */

    identity = NULL;
    return result;
}
