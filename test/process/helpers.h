/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests across processes share: mailboxes of numbered messages, children that hold, a buffer
 * that stops whoever touches it, and worlds of their own (mounts, pids) where root may have them.
 *
 * All of it may be called in children: what fails ends the process with a sentence (require).
 */
#ifndef TEST_PROCESS_HELPERS_H
#define TEST_PROCESS_HELPERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "support.h"

#define MAILBOX  "mailbox:m"
#define PATIENCE gnl_ms(PATIENCE_MS)
#define SOON     gnl_s(5) /* for what the library promises within a second or so */

#if defined __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined __has_feature
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

/* A test that this machine or this user cannot run. */
#define skip(...)                          \
    do {                                   \
        printf("skipped: %s: ", __func__); \
        printf(__VA_ARGS__);               \
        printf("\n");                      \
        return;                            \
    } while (0)

/* The mailbox of the test; NULL: the defaults. */
gnl_port *open_port(const struct gnl_options *options);
void close_port(gnl_port *port);
void remove_mailbox(void);

/* Messages of 8 bytes, or of more with a pattern in the rest that depends on both. */
void send_number(gnl_port *port, uint64_t number);
void send_large(gnl_port *port, uint64_t number, size_t size);
void fill_message(void *data, size_t size, uint64_t number);
uint64_t check_message(const void *data, size_t size); /* the number; the pattern is whole */

/* Receives one message within PATIENCE: its number. */
uint64_t receive_number(gnl_port *port);
gnl_message take_number(gnl_port *port, uint64_t expected);

/* A child that takes `count` messages of MAILBOX and holds them until it is killed. Returns once it does. */
pid_t start_holder(unsigned count);

/* For support_fork: has MAILBOX open from when it opens the first of two gates until the second is opened. */
int stay_until_told(void *gates);

/* What gnl_inspect says of MAILBOX, an honest one. */
struct gnl_port_info inspect_mailbox(void);
unsigned count_participants(bool alive);

/* Path of a file in the runtime directory. */
const char *path_in_directory(const char *name);

/* Memory that forked children share, all zeros. It is gone with the process. */
void *shared_memory(size_t size);

/*
 * A buffer whose bytes from `safe` on cannot be touched: who tries waits there, in the midst of a
 * library call, until it is killed or `release` is opened. One a process, made before the fork.
 */
struct trap {
    char *buffer;
    size_t safe;
    struct gate reached, release;
};
struct trap trap_new(size_t safe);
void trap_arm(struct trap *trap); /* in the process that is to be caught */
void trap_free(struct trap *trap);

/* A signal each millisecond, whose handler interrupts system calls; and no more: there have been some. */
void start_storm(void);
void end_storm(void);

int64_t now_ms(void);
void pause_us(unsigned microseconds);

/* In a child, as root: a mount namespace of its own with a new tmpfs over `path`. False: not permitted. */
bool mount_tmpfs(const char *path, const char *options);

/*
 * Runs it in a child, which succeeds with 0. False: it ended with NOT_HERE, since it may not do what it has
 * to (mount, be somebody else).
 */
#define NOT_HERE 77
bool scene_ran(int (*run)(void *context));

/* A child in a pid namespace of its own, as support_fork; -1: not permitted. */
pid_t fork_in_pid_namespace(int (*run)(void *context), void *context);

#endif
