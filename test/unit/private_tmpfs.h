/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system of a test's own: mounted where only this process sees it, gone with it. For tests of
 * a full /dev/shm and of machine-wide directories. Root can do it, and others where the kernel lets
 * them have a user namespace; elsewhere the test says that it was left out.
 */
#ifndef TEST_UNIT_PRIVATE_TMPFS_H
#define TEST_UNIT_PRIVATE_TMPFS_H

#include <stdbool.h>

/* Mounts a tmpfs with those mount options ("size=1m") over `path`. For a child of the test. False: not
 * permitted. */
bool private_tmpfs(const char *path, const char *options);

#endif
