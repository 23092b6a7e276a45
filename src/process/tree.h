/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a tree, as /proc shows them (Linux). A number alone is nobody: a member is a number and the
 * moment when it began, and both are looked at again behind the pidfd by which it is signalled.
 */
#ifndef GNLI_PROCESS_TREE_H
#define GNLI_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/process.h>

struct gnli_member {
    struct gnl_fate fate; /* kind 0: not known yet */
    uint64_t start;       /* of the process, in the kernel's ticks since boot */
    bool alive;           /* at the last look */
    bool stopped;         /* at the last look: it makes no children */
    bool grouped;         /* in the tree's cgroup, at the last look */
    bool asked;           /* was sent SIGTERM */
    bool halted;          /* was sent SIGSTOP */
    bool killed;          /* was sent SIGKILL */
};

struct gnli_tree {
    pid_t root; /* whose descendants they are; -1: nobody's, they are known by their cgroup */
    bool root_is_member;
    int cgroup;                  /* of the tree, whose members all in it are; -1: it has none */
    struct gnli_member *members; /* the first is the root, if that is one */
    size_t count, room;
};

/*
 * Looks who is there now: adds new members, notes who is alive. Members stay so though their parents end.
 * Returns how many are new; -ENOENT there is no /proc to look at; -EMFILE, -ENFILE, -ENOMEM.
 */
ssize_t gnli_tree_look(struct gnli_tree *tree);

/* Signals one if it is still that process. 0, -ESRCH it has ended, -EPERM, … */
int gnli_tree_signal(const struct gnli_member *member, int signo);

/* Waits until it has ended. 0, -ETIMEDOUT. */
int gnli_tree_await(const struct gnli_member *member, int64_t deadline_ns);

/* When the process began, 0 if there is none. */
uint64_t gnli_process_start(pid_t pid);

#endif
