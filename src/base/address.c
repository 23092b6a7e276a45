/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/errors.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

bool gnli_name_valid(const char *name)
{
    size_t length = strnlen(name, GNL_NAME_MAX + 1);

    return length >= 1 && length <= GNL_NAME_MAX && name[0] != '.' && strspn(name, NAME_CHARACTERS) == length;
}

#define SOCKET_PATH_MAX (sizeof(struct sockaddr_un){ 0 }.sun_path - 1)

/* The kinds whose addresses are no names. */
static const char *const path_kinds[] = { "fifo", "unix", "tcp", "tls" };

/* Of a host and port: HOST:PORT or [HOST]:PORT, the port a number up to 65535. */
static bool endpoint_good(const char *text)
{
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text)
        return false;
    size_t host = (size_t)(colon - text), digits = strspn(colon + 1, "0123456789");
    bool bracketed = text[0] == '[' && text[host - 1] == ']' && host > 2;
    if (!bracketed && memchr(text, ':', host))
        return false;
    return digits >= 1 && digits <= 5 && colon[1 + digits] == '\0' && strtol(colon + 1, NULL, 10) <= 65535;
}

void gnli_address_split(const struct gnli_address *address, char *host, char *port)
{
    const char *text = address->path, *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[';
    size_t length = (size_t)(colon - text) - 2 * (size_t)bracketed;

    memcpy(host, text + bracketed, length);
    host[length] = '\0';
    strcpy(port, colon + 1);
}

static int parse_path(struct gnli_address *address, const char *text, const char *kind, const char *path)
{
    if (path[0] == '\0')
        return gnli_fail(-EINVAL, "address '%.100s': give a path after the colon", text);
    if (strlen(text) > GNL_ADDRESS_MAX)
        return gnli_fail(-ENAMETOOLONG, "address '%.100s…': more than %d bytes", text, GNL_ADDRESS_MAX);
    if ((strcmp(kind, "tcp") == 0 || strcmp(kind, "tls") == 0) && !endpoint_good(path))
        return gnli_fail(-EINVAL, "address '%.100s': give %s:HOST:PORT, as %s:localhost:80 or %s:[::1]:80",
                         text, kind, kind, kind);
    if (strcmp(kind, "unix") == 0 && strlen(path) > SOCKET_PATH_MAX)
        return gnli_fail(-ENAMETOOLONG, "address '%.100s…': a socket's path has up to %zu bytes", text,
                         SOCKET_PATH_MAX);
    if (strcmp(kind, "unix") == 0 && strcmp(path, "@") == 0)
        return gnli_fail(-EINVAL, "address 'unix:@': give a name after the @");
    *address = (struct gnli_address){ .path = "" };
    strcpy(address->kind, kind);
    strcpy(address->path, path);
    return 0;
}

int gnli_address_parse(struct gnli_address *address, const char *text)
{
    if (!text)
        return gnli_fail(-EINVAL, "no address given");
    const char *colon = strchr(text, ':');
    if (!colon || colon == text)
        return gnli_fail(-EINVAL, "address '%.100s': say the kind before a colon, as in mailbox:%.60s", text,
                         text);
    size_t length = (size_t)(colon - text);
    if (length >= sizeof address->kind)
        return gnli_fail(-EPROTONOSUPPORT, "address '%.100s': no such kind of address", text);

    for (size_t i = 0; i < sizeof path_kinds / sizeof path_kinds[0]; i++)
        if (length == strlen(path_kinds[i]) && strncmp(text, path_kinds[i], length) == 0)
            return parse_path(address, text, path_kinds[i], colon + 1);
    struct gnli_address parsed = { .machine_wide = colon[1] == '/' };
    const char *name = colon + 1 + parsed.machine_wide;
    if (!gnli_name_valid(name))
        return gnli_fail(-EINVAL,
                         "address '%.100s': a name is 1 to %d of A-Z a-z 0-9 . _ - with no leading dot", text,
                         GNL_NAME_MAX);
    memcpy(parsed.kind, text, length);
    strcpy(parsed.name, name);
    *address = parsed;
    return 0;
}

void gnli_address_format(const struct gnli_address *address, char *text)
{
    if (address->path[0] != '\0')
        strcpy(stpcpy(stpcpy(text, address->kind), ":"), address->path); /* as was parsed: so it has room */
    else
        snprintf(text, GNL_ADDRESS_MAX + 1, "%s:%s%s", address->kind, address->machine_wide ? "/" : "",
                 address->name);
}
