/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: a handle to one that was started here, or to any other.
 *
 *     gnl_process *sort;
 *     struct gnl_exit end;
 *     gnl_spawn(&sort, (char *[]){ "sort", "-n", NULL },
 *               &(struct gnl_spawn_options){ .standard = { { GNL_FD, numbers } } });
 *     gnl_process_wait(sort, &end, gnl_s(10));
 *     gnl_process_free(sort);
 *
 * A handle is a pidfd of the kernel's: whatever is done by it is done to that process and never to another
 * that has got its number since.
 *
 * Every function is safe from several threads, gnl_process_free excepted for what comes after it; none is
 * safe in a signal handler. Fork: handles stay the parent's: in the child every call but gnl_process_free is
 * -EPERM. After exec the processes go on, without handles. Errors are negative codes (errors.h). Linux 5.9
 * or newer.
 */
#ifndef GINNEL_PROCESS_H
#define GINNEL_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct gnl_process gnl_process;

enum gnl_stdio_kind {
    GNL_INHERIT = 0, /* this process's own; /dev/null if that is closed */
    GNL_NULL,        /* /dev/null */
    GNL_FD,          /* a copy of the descriptor `fd` */
};

struct gnl_stdio {
    int kind; /* enum gnl_stdio_kind */
    int fd;
};

/* A further descriptor that the child gets. */
struct gnl_descriptor {
    int there; /* its number in the child: 3 or more */
    int here;  /* its number here */
};

/* All zeros for the defaults. Nothing of it is needed after the call. */
struct gnl_spawn_options {
    struct gnl_stdio standard[3];             /* input, output, errors */
    const struct gnl_descriptor *descriptors; /* the further ones: no others reach the child */
    size_t descriptor_count;
    char *const *environment; /* "NAME=VALUE", ended by NULL; NULL: this process's */
    const char *directory;    /* NULL: this process's */
    /*
     * Its own process group, and all that descends from it can be ended together: gnl_process_terminate.
     * Where this process may make a cgroup (version 2) below its own, the tree runs in one for as long as it
     * can be ended, and who becomes another user is ended, too.
     */
    int tree;
    /*
     * It and all that descends from it are killed when this process ends, however that comes; not when the
     * thread that started it does.
     */
    int die_with_parent;
    const int *ignored; /* signals that it ignores, so many; all others have their default */
    size_t ignored_count;
    uint64_t reserved[4];
};

/*
 * Starts a program: argv[0], looked for along this process's PATH if it has no slash; a relative one, and
 * relative parts of PATH, from `directory`. The caller owns *process. Returns once the program runs, or with
 * the reason why it can't be run, as an error and not as an exit status.
 *
 * The child has no descriptors but the ones named, an empty signal mask, and ignores no signal but those
 * named. No memory is copied for it, however large this process is. The calling thread waits until the
 * program is being executed; other threads go on.
 *
 * With `tree` or `die_with_parent` a small process of the library's stands between (its name is
 * ginnel-keeper): it is the child's parent and the one to which its orphans come. The child then is not this
 * process's own: it sends no SIGCHLD and getppid() is the keeper's.
 *
 * -ENOENT there is no such program, or directory; -EACCES it may not be executed; -ENOEXEC it is neither a
 * program nor begins with #!; -E2BIG arguments and environment are too long; -EBADF a descriptor is not
 * open; -EAGAIN too many processes; -EINVAL options make no sense, or a descriptor's number there is beyond
 * RLIMIT_NOFILE; -EMFILE, -ENFILE, -ENOMEM, … as the kernel means them. Nothing is left behind.
 */
int gnl_spawn(gnl_process **process, char *const argv[], const struct gnl_spawn_options *options);

/*
 * A handle to a process that runs already, of whomever. The caller owns *process. -ESRCH there is none of
 * that number; -EINVAL not a number that a process can have, or a thread's.
 */
int gnl_process_open(gnl_process **process, pid_t pid);

/* Its number: its own for as long as it runs. */
pid_t gnl_process_pid(const gnl_process *process);

/* A descriptor that is readable once the process has ended. It belongs to the handle. */
int gnl_process_fd(gnl_process *process);

/*
 * Sends a signal to the process alone, with a value for handlers that look at one (si_value, SI_QUEUE).
 * Signal 0 asks whether it could be sent. -ESRCH it has ended; -EPERM not yours to signal; -EINVAL no such
 * signal; -EAGAIN too many are queued.
 */
int gnl_process_signal(gnl_process *process, int signo, int value);

enum gnl_exit_kind {
    GNL_EXITED = 1, /* by itself, with `code` */
    GNL_SIGNALLED,  /* by the signal `signo` */
    GNL_GONE,       /* it has ended, and how is not ours to know */
};

/* How a process ended. What it used includes its children for which it waited. */
struct gnl_exit {
    int kind; /* enum gnl_exit_kind */
    int code;
    int signo;
    int dumped_core;
    uint64_t user_ns;
    uint64_t system_ns;
    /*
     * The most memory that was resident at once. The kernel begins to count with what this process had
     * before: the number is never less than that.
     */
    uint64_t peak_bytes;
};

/*
 * Waits until the process has ended, and tells how; `exit` may be NULL. May be called again. -EAGAIN,
 * -ETIMEDOUT it runs still. GNL_GONE: a process that was not started here, or that the program waited for
 * by other means (waitpid of any child, SIGCHLD ignored), or whose keeper was killed.
 */
int gnl_process_wait(gnl_process *process, struct gnl_exit *exit, int64_t timeout);

/*
 * From here on gnl_process_terminate means the whole tree of a process that was opened: what descends
 * from it, and who is in a process group or session that any of these leads. One that was started with `tree`
 * means that already. 0.
 */
int gnl_process_set_tree(gnl_process *process);

/*
 * Ends the process, or its whole tree: SIGTERM; SIGKILL to who is left after the grace, a timeout in
 * nanoseconds (0: SIGKILL at once). Then waits, 10 seconds at most, until all have ended, and tells
 * how the process itself did; `exit` may be NULL.
 *
 * 0 also if it had ended before. -ETIMEDOUT some did not end even so, because they may not be signalled, or
 * the kernel does not let them; -EPERM the process itself may not be signalled. gnl_process_fates tells of
 * each. -EMFILE, -ENFILE, -ENOMEM a tree cannot be looked for (two descriptors have to be free), -ENOENT
 * there is no /proc: those that were not asked before go on.
 */
int gnl_process_terminate(gnl_process *process, int64_t grace, struct gnl_exit *exit);

enum gnl_fate_kind {
    GNL_FATE_EXITED = 1, /* within the grace, by itself or by SIGTERM */
    GNL_FATE_KILLED,     /* by SIGKILL */
    GNL_FATE_ESCAPED,    /* runs still */
};

/* What became of a process of the tree. */
struct gnl_fate {
    pid_t pid;
    int kind;      /* enum gnl_fate_kind */
    char name[16]; /* of its command, as the kernel keeps it: 15 bytes */
};

/*
 * What became of each process that the last gnl_process_terminate found, the process itself first. Returns
 * how many there were, of which the first `count` are written; fates may be NULL with count 0.
 */
ssize_t gnl_process_fates(gnl_process *process, struct gnl_fate *fates, size_t count);

/*
 * Frees the handle; the process goes on, and need not be waited for: once it has ended, a later gnl_spawn
 * or gnl_process_free sees to it. A process with die_with_parent still ends with this one. NULL is fine.
 */
int gnl_process_free(gnl_process *process);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
