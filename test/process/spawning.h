/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of processes share. A test program is its own child, too: started again with a word, it
 * plays a part (parts[]) and is no test.
 */
#ifndef TEST_PROCESS_SPAWNING_H
#define TEST_PROCESS_SPAWNING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "helpers.h"

struct part {
    const char *name;
    int (*play)(char **arguments);
};

/* In main(): plays the part that argv[1] names, and ends with what it returns; or returns. */
void play_part(const struct part *parts, int argc, char **argv);

/* The arguments of this program in a part. */
#define PART(...)   ((const char *[]){ "/proc/self/exe", __VA_ARGS__, NULL })
#define SHELL(text) ((const char *[]){ "sh", "-c", text, NULL })

/* What it writes to its standard output, of 4 KiB at most; it exits with 0. In a static text. */
const char *output_of(const char *const argv[], struct gnl_spawn_options options);

/* Reads one byte; false: the end. */
bool read_byte(int descriptor);

/* The end of a stream: no process has its other end open any more. */
bool ends_soon(int descriptor);

/* A process of that number runs; a zombie does not. */
bool runs(pid_t pid);

/* gnl_spawn, of texts that may be constant. */
int try_spawn(gnl_process **process, const char *const argv[], const struct gnl_spawn_options *options);

/* Spawned, or the test fails. */
gnl_process *spawn(const char *const argv[], const struct gnl_spawn_options *options);

/* ---- families: trees whose every process holds the end of a pipe, which tells when all are gone ---- */

#define HELD 9 /* the end, there */

/*
 * The beginning of a shell text: starts processes of every kind, children, in sessions of their own, orphans
 * of those. What comes after it says "x" on HELD.
 */
#define FAMILY                            \
    "sleep 1000 & "                       \
    "setsid sleep 1000 & "                \
    "sh -c 'setsid sleep 1000 & exit' ; " \
    "sh -c 'setsid sh -c \"sh -c \\\"sleep 1000 & sleep 1000\\\" & exit\" &' ; "

/* The same options, and `end` as HELD. Of one at a time. */
struct gnl_spawn_options holding(int end, struct gnl_spawn_options options);

/* Starts a shell that says "x"; its tree holds the writing end of a pipe, whose reading end is *from. */
gnl_process *start_family(int *from, const char *text, struct gnl_spawn_options options);

/* The child of this process that is a keeper, the only one. */
pid_t find_keeper(void);

/* ---- processes that fork without end, below a limit ---- */

/* A part; heeds no SIGTERM. "sessions": each is in a session of its own. Should all else fail, it ends. */
int play_bomb(char **arguments);

/* Forks until the kernel refuses: true, and all have ended; or until there are so many: false. */
bool is_limited(int most);
bool cannot_fork(void *context); /* for support_until */

/* Waits for its end: how. And freed. */
struct gnl_exit finish(gnl_process *process);

/* No child is left, of whichever kind. */
void expect_no_children(void);

#endif
