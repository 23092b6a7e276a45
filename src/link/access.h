/* SPDX-License-Identifier: Apache-2.0 */
/* Who may open a file: its access list, which the kernel enforces. */
#ifndef GNLI_LINK_ACCESS_H
#define GNLI_LINK_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Lets a user, a group, or with (uid_t)-1 and (gid_t)-1 everybody write to the file, beside those whom it
 * lets in already. If both are named, the kernel lets in the user; that it has to be of the group, too, is
 * noted in the list for gnli_access_admits. -EOPNOTSUPP the file system knows no such lists.
 */
int gnli_access_add(const char *path, uid_t uid, gid_t gid);

/*
 * Does the list let this process in? Asked beforehand by who keeps to it, so that nobody is sent a message
 * that it will refuse: the kernel cannot ask for a user and a group at once, and asks root for nothing.
 */
bool gnli_access_admits(const char *path);

#endif
