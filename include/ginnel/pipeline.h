/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: programs joined by ordinary pipes.
 *
 *     gnl_pipeline *pipeline;
 *     struct gnl_exit ends[2];
 *     gnl_pipeline_parse(&pipeline, "ls | grep foo");
 *     gnl_pipeline_start(pipeline, NULL);
 *     gnl_pipeline_wait(pipeline, ends, 2, GNL_FOREVER);
 *     gnl_pipeline_free(pipeline);
 *
 * Every function is safe from several threads once the pipeline has been started, gnl_pipeline_free excepted;
 * until then one thread makes it. None is safe in a signal handler. Fork: a pipeline stays the parent's: in
 * the child every call but gnl_pipeline_free is -EPERM. Errors are negative codes (errors.h).
 */
#ifndef GINNEL_PIPELINE_H
#define GINNEL_PIPELINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ginnel/port.h>
#include <ginnel/process.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct gnl_pipeline gnl_pipeline;

/*
 * A pipeline as a shell's user writes it, read without a shell: words, '…', "…", \, $VAR, ${VAR}, ~, *, ?,
 * […], |, |&, <, >, >>, 2>, 2>>, 2>&1, and NAME=VALUE before a command. Variables, ~ and patterns are
 * replaced here, by this process's environment and files. The caller owns *pipeline.
 *
 * -EINVAL it is more than that, or cut off: the detail names the place, as a column that counts from 1.
 */
int gnl_pipeline_parse(gnl_pipeline **pipeline, const char *text);

/* One without stages, to which gnl_pipeline_add adds them. The caller owns *pipeline. */
int gnl_pipeline_new(gnl_pipeline **pipeline);

/* A further stage, of exactly these words. They are copied. -EBUSY it has been started. */
int gnl_pipeline_add(gnl_pipeline *pipeline, char *const argv[]);

/*
 * Starts all stages, or none: commands, and files to read and to write, are looked for before the first one
 * starts. The options are gnl_spawn's: standard[0] is the first stage's input, standard[1] the last one's
 * output, standard[2] the errors of all, where the text says nothing else; `tree` and `die_with_parent` mean
 * all stages. Each stage has its own ends of pipes and no others.
 *
 * -ENOENT, -EACCES, -ENOEXEC of a command, -EBADF of a file that cannot be opened, with its place in the
 * text; -EINVAL there is no stage, or a file is a FIFO; -EBUSY it has been started. Nothing has been changed
 * then. And what only exec can tell, such as -E2BIG, or a program that is damaged, and what else gnl_spawn
 * may give: then files that are written have been emptied, and stages that had started have been ended.
 */
int gnl_pipeline_start(gnl_pipeline *pipeline, const struct gnl_spawn_options *options);

/* What a pipeline reads from memory, and what of its output is kept there. */
struct gnl_pipeline_memory {
    const void *input; /* for the first stage to read; NULL: its input is as the options say */
    size_t input_size;
    size_t output_max; /* bytes that are kept of what the last stage writes; 0: its output is as they say */
    /* Written by every call: the bytes, and a 0 behind them, for free(); NULL where none were to be kept. */
    char *output;
    size_t output_size;
};

/*
 * Runs it from its start to its end: starts it, feeds and collects at the same time, so that neither side
 * ever waits for the other in vain, and waits until nobody has the output open any more and all stages have
 * ended; `exits` as for gnl_pipeline_wait. A stage that does not read all of its input is no error: its exit
 * tells. `memory` may be NULL. SIGPIPE is not raised.
 *
 * After an error of its own the stages have been ended, as by gnl_pipeline_terminate with a grace of a
 * second, and what had come until then is in `memory`: -ETIMEDOUT; -EMSGSIZE the output is larger than
 * output_max; -ENOMEM. Otherwise errors are those of gnl_pipeline_start, and nothing ran.
 */
int gnl_pipeline_run(gnl_pipeline *pipeline, const struct gnl_spawn_options *options,
                     struct gnl_pipeline_memory *memory, struct gnl_exit *exits, size_t count,
                     int64_t timeout);

/* How many stages it has. */
size_t gnl_pipeline_length(const gnl_pipeline *pipeline);

/*
 * A stage, counted from 0, of a pipeline that runs: for waitsets, signals, waiting. It belongs to the
 * pipeline.
 */
gnl_process *gnl_pipeline_stage(const gnl_pipeline *pipeline, size_t stage);

enum gnl_pipe_waits {
    GNL_PIPE_NOBODY = 0, /* as far as can be seen */
    GNL_PIPE_READER,     /* for something to read */
    GNL_PIPE_WRITER,     /* for room to write */
};

/* A pipe, at one moment. */
struct gnl_pipe_sample {
    int64_t queued;   /* bytes; once both ends are closed, those that nobody has read; -1: unknown */
    int64_t capacity; /* bytes; 0: both ends are closed; -1: unknown */
    /*
     * Bytes that were read so far; -1: unknown. It is known where the kernel's account of the stage that
     * writes can only mean this pipe: at no look it had anything else open to write to (standard input
     * aside), nothing was written to its standard error, it was one process, and it did not move bytes past
     * the account (splice).
     */
    int64_t passed;
    /* No more than that; -1: unknown. It may include what the stage has written elsewhere. */
    int64_t passed_most;
    int waits; /* enum gnl_pipe_waits */
};

/*
 * Looks at the pipes between the stages, the one after the first stage first, without touching what is in
 * them. Returns how many there are, of which the first `count` are written. The numbers of a pipeline that
 * runs are of slightly different moments; once its stages have ended they are exact, or unknown: what a pipe
 * had held is, if its reader ended before anybody looked after its writer. A stage's account is gone when it
 * is reaped: gnl_pipeline_wait looks once more before, if this was called before that.
 *
 * Each look opens the writing end of each pipe for the instant of two system calls: if the last writer ends
 * in that instant, the reader sees the end that much later. Does not block. -EINVAL it has not been started;
 * -ENOMEM.
 */
int gnl_pipeline_sample(gnl_pipeline *pipeline, struct gnl_pipe_sample *samples, size_t count);

enum gnl_stage_state {
    GNL_STAGE_UNKNOWN = 0, /* it may not be looked at: another user's, or hidden */
    GNL_STAGE_RUNNING,     /* on a processor, or about to be, or at a disk */
    GNL_STAGE_READING,  /* waits for something to read, from the stage before it or from its standard input */
    GNL_STAGE_WRITING,  /* waits for room to write, to the stage after it or to its standard output */
    GNL_STAGE_SLEEPING, /* waits for something else */
    GNL_STAGE_STOPPED,  /* by a signal */
    GNL_STAGE_ENDED,
};

/* A stage, with the processes that it has started, as far as they are known. */
struct gnl_stage_sample {
    char name[16];      /* of its command, as the kernel keeps it: 15 bytes */
    int state;          /* enum gnl_stage_state: of all its processes together */
    unsigned processes; /* that run */
    uint64_t cpu_ns;    /* processor time so far, in steps of the kernel's tick */
    /* Of the first stage: where in a file it reads, when it was last seen to, and how large that is. */
    int64_t input_at, input_size; /* bytes; -1: unknown, or there is none */
};

/*
 * The stages, as the last gnl_pipeline_sample saw them; looks if there was none. Returns how many there are,
 * of which the first `count` are written. Errors as above.
 */
int gnl_pipeline_sample_stages(gnl_pipeline *pipeline, struct gnl_stage_sample *samples, size_t count);

/*
 * Waits until all stages have ended, and tells how each did, as far as `count` reaches. May be called again.
 * -EAGAIN, -ETIMEDOUT some run still.
 */
int gnl_pipeline_wait(gnl_pipeline *pipeline, struct gnl_exit *exits, size_t count, int64_t timeout);

/*
 * Ends all stages as gnl_process_terminate does, at the same time; with `tree` in the options all that
 * descends from them, wherever it went.
 */
int gnl_pipeline_terminate(gnl_pipeline *pipeline, int64_t grace);

/* Frees it; stages that run go on, as after gnl_process_free. NULL is fine. */
void gnl_pipeline_free(gnl_pipeline *pipeline);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
