/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/errors.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

bool gnli_name_valid(const char *name)
{
    size_t length = strnlen(name, GNL_NAME_MAX + 1);

    return length >= 1 && length <= GNL_NAME_MAX && name[0] != '.' && strspn(name, NAME_CHARACTERS) == length;
}

static int parse_path(struct gnli_address *address, const char *text, const char *path)
{
    if (path[0] == '\0')
        return gnli_fail(-EINVAL, "address '%.100s': give a path after the colon", text);
    if (strlen(text) > GNL_ADDRESS_MAX)
        return gnli_fail(-ENAMETOOLONG, "address '%.100s…': more than %d bytes", text, GNL_ADDRESS_MAX);
    *address = (struct gnli_address){ .kind = "fifo" };
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

    if (length == 4 && strncmp(text, "fifo", length) == 0)
        return parse_path(address, text, colon + 1);
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
        snprintf(text, GNL_ADDRESS_MAX + 1, "%.4s:%.122s", address->kind, address->path); /* as was parsed */
    else
        snprintf(text, GNL_ADDRESS_MAX + 1, "%s:%s%s", address->kind, address->machine_wide ? "/" : "",
                 address->name);
}
