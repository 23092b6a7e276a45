/* SPDX-License-Identifier: Apache-2.0 */
#include "link/access.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIST    "system.posix_acl_access"
#define MOST    128 /* entries */
#define ANYBODY 0666

struct list {
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entries[MOST];
};

static struct posix_acl_xattr_entry entry_of(uint16_t tag, uint16_t permissions, uint32_t id)
{
    return (struct posix_acl_xattr_entry){ .e_tag = tag, .e_perm = permissions, .e_id = id };
}

/* The file's list, or one that says what its mode says. How many entries; -errno. */
static int read_list(struct list *list, const char *path)
{
    ssize_t bytes = getxattr(path, LIST, list, sizeof *list);

    if (bytes >= (ssize_t)sizeof list->header)
        return (int)((size_t)bytes - sizeof list->header) / (int)sizeof list->entries[0];
    if (bytes >= 0 || errno == ENODATA) {
        list->header.a_version = POSIX_ACL_XATTR_VERSION;
        list->entries[0] = entry_of(ACL_USER_OBJ, ACL_READ | ACL_WRITE, (uint32_t)ACL_UNDEFINED_ID);
        list->entries[1] = entry_of(ACL_GROUP_OBJ, 0, (uint32_t)ACL_UNDEFINED_ID);
        list->entries[2] = entry_of(ACL_MASK, ACL_READ | ACL_WRITE, (uint32_t)ACL_UNDEFINED_ID);
        list->entries[3] = entry_of(ACL_OTHER, 0, (uint32_t)ACL_UNDEFINED_ID);
        return 4;
    }
    return -errno;
}

/* The kernel wants them in the order of their tags, then of their ids. */
static int compare(const void *left, const void *right)
{
    const struct posix_acl_xattr_entry *a = left, *b = right;

    if (a->e_tag != b->e_tag)
        return a->e_tag < b->e_tag ? -1 : 1;
    return a->e_id < b->e_id ? -1 : a->e_id > b->e_id;
}

/*
 * For a user who has to be of a group, too: its entry has this permission besides, which means nothing for
 * a socket, and the group's has no other.
 */
#define OF_A_GROUP ACL_EXECUTE
#define LET_IN     (ACL_READ | ACL_WRITE)

/* Permissions of an entry that is there become the wider ones. */
static int add(struct list *list, int count, uint16_t tag, uint32_t id, uint16_t permissions)
{
    for (int i = 0; i < count; i++) {
        struct posix_acl_xattr_entry *entry = &list->entries[i];
        if (entry->e_tag != tag || entry->e_id != id)
            continue;
        if (permissions == LET_IN)
            entry->e_perm = LET_IN;
        return count;
    }
    if (count == MOST)
        return -ENOSPC;
    list->entries[count] = entry_of(tag, permissions, id);
    return count + 1;
}

int gnli_access_add(const char *path, uid_t uid, gid_t gid)
{
    bool both = uid != (uid_t)-1 && gid != (gid_t)-1;
    struct list list;

    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return chmod(path, ANYBODY) == 0 ? 0 : -errno;
    int count = read_list(&list, path);
    if (count >= 0 && uid != (uid_t)-1)
        count = add(&list, count, ACL_USER, uid, both ? LET_IN | OF_A_GROUP : LET_IN);
    if (count >= 0 && gid != (gid_t)-1)
        count = add(&list, count, ACL_GROUP, gid, both ? OF_A_GROUP : LET_IN);
    if (count < 0)
        return count;
    qsort(list.entries, (size_t)count, sizeof list.entries[0], compare);
    size_t bytes = sizeof list.header + (size_t)count * sizeof list.entries[0];
    return setxattr(path, LIST, &list, bytes, 0) == 0 ? 0 : -errno;
}

/* ---- asking ---- */

#define GROUPS_MAX 1024

static bool of_group(gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    int count = getgroups(GROUPS_MAX, groups);

    for (int i = 0; i < count; i++)
        if (groups[i] == gid)
            return true;
    return gid == getegid();
}

/* Is this process of a group that the list has, with one of these permissions? */
static bool of_any_group(const struct list *list, int count, uint16_t permissions)
{
    for (int i = 0; i < count; i++)
        if (list->entries[i].e_tag == ACL_GROUP && (list->entries[i].e_perm & permissions) != 0 &&
            of_group(list->entries[i].e_id))
            return true;
    return false;
}

bool gnli_access_admits(const char *path)
{
    struct stat status;
    struct list list;

    if (stat(path, &status) != 0 || status.st_uid == geteuid() || (status.st_mode & S_IWOTH))
        return true;
    int count = read_list(&list, path);
    if (count < 0)
        return true; /* the kernel says */
    for (int i = 0; i < count; i++)
        if (list.entries[i].e_tag == ACL_USER && list.entries[i].e_id == geteuid())
            return !(list.entries[i].e_perm & OF_A_GROUP) || of_any_group(&list, count, LET_IN | OF_A_GROUP);
    return of_any_group(&list, count, ACL_WRITE);
}
