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

/* Waits for its end: how. And freed. */
struct gnl_exit finish(gnl_process *process);

/* No child is left, of whichever kind. */
void expect_no_children(void);

#endif
