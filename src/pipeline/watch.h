/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline that is looked at while it runs (Linux). What was seen is kept from look to look: accounts of
 * processes are gone with them, and a total is known only if nothing was seen that speaks against it.
 *
 * A pipe is looked at through an O_PATH descriptor, which is neither a reader nor a writer: the kernel
 * counts ends only when they are opened. For the instant of the look its writing end is opened: if the last
 * writer ends in that instant the reader sees the end that much later, and nothing is lost. The reading end
 * would be worse: what is written in that instant after the last reader has ended would be taken for
 * delivered. Once there is no writer any more a reading end changes nothing for anybody: then it is kept, so
 * that what the reader leaves can still be counted when it has ended.
 */
#ifndef GNLI_PIPELINE_WATCH_H
#define GNLI_PIPELINE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/pipeline.h>

#include "process/tree.h"

/* A stage that is looked at: the processes that do its work. */
struct gnli_watched_stage {
    pid_t pid;             /* of its program */
    pid_t keeper;          /* 0: it has none */
    int io, keeper_io;     /* their accounts, kept open (proc.h); -1: none */
    struct gnli_tree tree; /* all its processes, the program first */
    uint64_t start;        /* of the program, in ticks; 0: it was never seen */
    uint64_t in, out;      /* the pipes, by their inodes; 0: it is the first, or the last */
    int64_t next_family_ns;
    int64_t since_ns; /* CLOCK_REALTIME_COARSE, which files get their times from, before it was started */
    /* at the last look */
    struct gnl_stage_sample sample;
    bool awaits_in, awaits_out;
    int64_t read, written; /* -1: unknown */
    /* ever */
    bool ended;            /* and was looked at since, so that its account is the last */
    bool lost;             /* it has gone without a last look: its account is not known */
    bool several;          /* it had several processes: their account may have gaps */
    bool splices;          /* bytes went past the account */
    bool writes_elsewhere; /* the account may mean more than the pipe */
    bool files_seen;
};

struct gnli_watched_joint {
    int path; /* O_PATH; -1: it cannot be looked at. It belongs to whoever made it */
    int held; /* the reading end, once nobody can write; -1 */
    int64_t queued, capacity;
    int64_t passed, passed_most;
    /* ever */
    bool closed;    /* both ends */
    bool final;     /* `queued` does not change any more */
    bool strangers; /* somebody wrote who is not known */
};

/*
 * Begins: a stage of that number, which must be a child that nobody has reaped. since_ns: as it stands
 * there.
 */
void gnli_stage_watch(struct gnli_watched_stage *stage, pid_t pid, pid_t keeper, int64_t since_ns,
                      uint64_t in, uint64_t out);
void gnli_stage_look(struct gnli_watched_stage *stage);
void gnli_stage_unwatch(struct gnli_watched_stage *stage);

/*
 * Before all else at a look, since there is not much time: if who wrote has ended, and nobody else writes, a
 * reading end is kept.
 */
void gnli_joint_hold(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer);

/* Looks at the pipe itself, after its stages. */
void gnli_joint_look(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                     const struct gnli_watched_stage *reader);

/* What has passed, by what its stages' accounts say after both looks. */
void gnli_joint_count(struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                      const struct gnli_watched_stage *reader);

/* Who waits. */
int gnli_joint_waits(const struct gnli_watched_joint *pipe, const struct gnli_watched_stage *writer,
                     const struct gnli_watched_stage *reader);

#endif
