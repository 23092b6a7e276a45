/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run found wrong: counted by kind, the first few said in words. Kept in memory that all
 * processes of the run share, so that any of them may report.
 */
#ifndef TORTURE_FINDINGS_H
#define TORTURE_FINDINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum finding {
    HANG,      /* a survivor, or a process that was stopped and goes on, did not finish */
    LOSS,      /* a message whose send returned was never received */
    DUPLICATE, /* a message came twice, the second time without GNL_REDELIVERED; or was ended twice */
    LEAK,      /* a slot, cell, chunk, participant, byte of memory or file was left behind */
    WRONG,     /* a torn or stolen message, a wrong order, result or capacity */
    FINDINGS,
};

#define FINDING_WORDS_MAX  4
#define FINDING_WORDS_SIZE 240

struct findings {
    atomic_uint count[FINDINGS];
    atomic_uint said;
    char words[FINDING_WORDS_MAX][FINDING_WORDS_SIZE];
};

/* Of the run that this worker is making. */
extern struct findings *findings;

/* Once in each worker. False: no memory, errno says why. */
bool findings_prepare(void);
void findings_reset(void);

/* Reports one; `format` says what was violated. */
void found(enum finding finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

unsigned findings_total(void);

/* The longest that any survivor's call took, in nanoseconds. */
extern int64_t longest_ns;
int64_t now_ns(void);
int64_t took_since(int64_t start);

#endif
