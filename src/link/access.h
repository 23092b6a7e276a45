/* SPDX-License-Identifier: Apache-2.0 */
/* Who may open a file: its access list, which the kernel enforces. */
#ifndef GNLI_LINK_ACCESS_H
#define GNLI_LINK_ACCESS_H

#include <sys/types.h>

/*
 * Lets a user, a group, or with (uid_t)-1 and (gid_t)-1 everybody write to the file, beside those whom it
 * lets in already. If both are named, either is let in: who has to be both must be checked by other means.
 * -EOPNOTSUPP the file system knows no such lists.
 */
int gnli_access_add(const char *path, uid_t uid, gid_t gid);

#endif
