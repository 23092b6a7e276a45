/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names there are: files called KIND:NAME in the runtime directories.
 */
#include <ginnel/names.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/directory.h"
#include "base/errors.h"

/* KIND:NAME, or as link/claim.h has machine-wide identities, direct:NAME~UID. */
static int parse_entry(struct gnli_address *address, const char *entry)
{
    char text[GNL_ADDRESS_MAX + 1];
    size_t length = strcspn(entry, "~");

    if (strncmp(entry, "direct:", 7) != 0 || length >= sizeof text)
        return gnli_address_parse(address, entry);
    memcpy(text, entry, length);
    text[length] = '\0';
    return gnli_address_parse(address, text);
}

static int is_name(const struct dirent *entry)
{
    struct gnli_address address;

    return parse_entry(&address, entry->d_name) == 0 && address.name[0] != '\0'; /* no path is a name */
}

static int visit_directory(bool machine_wide, gnl_name_visitor *visit, void *context)
{
    struct dirent **entries;
    int result = 0;

    int directory = gnli_directory_open(machine_wide, false);
    if (directory < 0)
        return directory == -ENOENT ? 0 : directory;
    int count = scandirat(directory, ".", &entries, is_name, alphasort);
    int error = errno;
    close(directory);
    if (count < 0)
        return gnli_fail_errno(error, "cannot list the runtime directory");
    for (int i = 0; i < count; i++) {
        struct gnli_address address;
        char text[GNL_ADDRESS_MAX + 1];
        if (result == 0 && parse_entry(&address, entries[i]->d_name) == 0) {
            address.machine_wide = machine_wide;
            gnli_address_format(&address, text);
            result = visit(text, context);
        }
        free(entries[i]);
    }
    free(entries);
    return result;
}

int gnl_names(gnl_name_visitor *visit, void *context)
{
    gnli_failure_begin();
    if (!visit)
        return gnli_fail(-EINVAL, "gnl_names: no visitor given");
    int result = visit_directory(false, visit, context);
    return result == 0 ? visit_directory(true, visit, context) : result;
}
