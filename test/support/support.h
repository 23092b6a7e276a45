/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test program of the library uses: a runtime directory of its own for each test, a look
 * afterwards for what the test leaked (descriptors, mappings, children, files), and children with
 * which a test can keep step.
 *
 * Check runs each test in a process of its own. Its assertions (ck_assert…) are for that process; in
 * children that a test starts itself, use require().
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#define PATIENCE_S  60 /* a test that takes longer hangs */
#define PATIENCE_MS 30000

/* A case with the fixture and the timeout, in the suite. */
TCase *support_case(Suite *suite, const char *name);

/* main() of a test program: runs the suite, cleans up, returns the exit status. */
int support_run(Suite *suite);

/* This test's runtime directory: it is in GINNEL_DIR, too. */
const char *support_directory(void);

/* In a child of a test: says what failed and exits with 1. */
#define require(condition)                                                                                 \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            fprintf(stderr, "%s:%d: child: %s; %s\n", __FILE__, __LINE__, #condition, gnl_error_detail()); \
            _exit(1);                                                                                      \
        }                                                                                                  \
    } while (0)

/* The call succeeded (0 or more); says why not. */
#define assert_ok(call)                                                                   \
    do {                                                                                  \
        long long result_ = (long long)(call);                                            \
        ck_assert_msg(result_ >= 0, "%s = %lld: %s", #call, result_, gnl_error_detail()); \
    } while (0)

/* Runs run(context) in a child, which exits with what that returns and dies with this process. */
pid_t support_fork(int (*run)(void *context), void *context);

/* The child ended with that exit status, or was killed by that signal; fails the test otherwise. */
void support_expect_exit(pid_t child, int status);
void support_expect_signal(pid_t child, int signo);

/* SIGKILL, and reaped. */
void support_kill(pid_t child);

/* SIGSTOP; returns once it is stopped. Continue it with kill(child, SIGCONT). */
void support_stop(pid_t child);

/* One process lets another go on. Made before the fork; each gate is opened once. */
struct gate {
    int ends[2];
};
struct gate support_gate(void);
void support_gate_open(struct gate *gate);
void support_gate_wait(struct gate *gate); /* ends this process with 1 if it never opens */
void support_gate_close(struct gate *gate);

/* Looks every few milliseconds until condition(context) holds; false: it never did. */
bool support_until(bool (*condition)(void *context), void *context);

/* True once the process sleeps in the kernel (state S in /proc): how a test knows that a call blocks. */
bool support_sleeps(pid_t process);

#endif
