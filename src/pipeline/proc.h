/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /proc tells of a process that is looked at from outside (Linux). Nothing here touches the process, or
 * what its descriptors lead to. Texts are read whole or not at all; what may not be read is unknown.
 */
#ifndef GNLI_PIPELINE_PROC_H
#define GNLI_PIPELINE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct gnli_proc_stat {
    char state; /* R, S, D, Z, T, … */
    long threads;
    uint64_t cpu_ns; /* with that of the children for which it waited */
    uint64_t start;  /* in the kernel's ticks since boot */
};

/* Of a process, or of one of its threads (0: the process). False: there is none. */
bool gnli_proc_stat(struct gnli_proc_stat *stat, pid_t pid, pid_t thread);

/* Bytes that it, and the children for which it waited, read and wrote by whatever descriptor. */
struct gnli_proc_io {
    int64_t read, written;
    int64_t to_disk; /* written to files on disks */
};

/*
 * The descriptor by which the account is read, -1 if it may not be. Once the process has ended, a new one is
 * root's alone; one that is open already goes on telling, until the process has been reaped.
 */
int gnli_proc_io_open(pid_t pid);
bool gnli_proc_io(struct gnli_proc_io *io, int file);

enum gnli_call_kind {
    GNLI_CALL_OTHER = 0,
    GNLI_CALL_UNKNOWN, /* it may not be seen */
    GNLI_CALL_READ,    /* or a poll for something to read */
    GNLI_CALL_WRITE,   /* or a poll for room */
    GNLI_CALL_SPLICE,  /* the kernel moves bytes, and does not account for them */
};

/* What a sleeping thread waits in. `descriptor` is its own number, of the end that it waits for; or -1. */
struct gnli_call {
    enum gnli_call_kind kind;
    int descriptor;
    int other; /* of a splice: the other end */
};

struct gnli_call gnli_proc_call(pid_t pid, pid_t thread);

/* The pipe behind a descriptor of it, by its inode; 0: it is no pipe, or may not be seen. */
uint64_t gnli_proc_pipe(pid_t pid, int descriptor);

/* What its descriptors say. */
struct gnli_proc_files {
    bool known;            /* all could be looked at */
    bool writes_elsewhere; /* one may be written to that is not the pipe, nor standard input or error */
    bool errors_unseen;    /* something may have been written to its standard error since `since_ns` */
    /*
     * Its standard input if that is a file, or else the largest that it reads: a script that it runs is
     * small.
     */
    int64_t input_at, input_size; /* bytes; -1: there is none */
    bool standard_input;
};

/* since_ns: of CLOCK_REALTIME. input: whether a file that it reads is looked for. */
void gnli_proc_files(struct gnli_proc_files *files, pid_t pid, uint64_t pipe, int64_t since_ns, bool input);

#endif
