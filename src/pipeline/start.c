/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting all stages or none. What could fail is looked for before the first one starts, in an order that
 * destroys nothing for a line that cannot run: commands, files to read, pipes, and files to write last.
 */
#include "pipeline/start.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/errors.h"
#include "life/process.h"
#include "memory/file.h"
#include "pipeline/command.h"
#include "process/raw.h"
#include "process/spawn.h"

#define PIPE_BYTES  (1 << 20) /* where the kernel allows it: fewer switches between the two sides */
#define LARGE_PIPES 16        /* of one pipeline: a user's programs have 64 MiB of such memory together */
#define SENTENCE    512
#define PIPE_FS     0x50495045 /* statfs of a pipe that has no name */

/* What is needed while it starts. */
struct starting {
    struct gnl_pipeline *pipeline;
    struct gnl_spawn_options options;
    int directory; /* in which names of files and commands begin; AT_FDCWD */
    int (*pipes)[2];
    struct stage_start *starts;
    size_t begun;
};

/* A stage between the two halves of its start. */
struct stage_start {
    struct gnli_spawning spawning;
    char **environment; /* its own; NULL */
};

/* In the sentence: where in the text, if there is one. */
static const char *place(char text[32], size_t column)
{
    text[0] = '\0';
    if (column > 0)
        snprintf(text, 32, "column %zu: ", column);
    return text;
}

/* ---- environment ---- */

static const char *value_in(char *const *environment, const char *name, size_t length)
{
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

static char *const *base_environment(const struct starting *starting)
{
    return starting->options.environment ? starting->options.environment : environ;
}

/* PATH as the stage has it. */
static const char *path_of(const struct starting *starting, const struct gnli_stage *stage)
{
    const char *path = NULL;

    for (size_t i = 0; i < stage->assignments.count; i++)
        if (strncmp(stage->assignments.texts[i], "PATH=", 5) == 0)
            path = stage->assignments.texts[i] + 5;
    if (!path)
        path = value_in(base_environment(starting), "PATH", 4);
    return path ? path : GNLI_PATH_DEFAULT;
}

static size_t name_length(const char *assignment)
{
    return strcspn(assignment, "=") + 1;
}

static bool is_assigned(const struct gnli_list *assignments, size_t from, const char *entry)
{
    for (size_t i = from; i < assignments->count; i++) {
        size_t length = name_length(assignments->texts[i]);
        if (strncmp(assignments->texts[i], entry, length) == 0)
            return true;
    }
    return false;
}

/* The stage's own, whose texts are others'; NULL: no memory. */
static char **make_environment(const struct starting *starting, const struct gnli_stage *stage)
{
    char *const *base = base_environment(starting);
    size_t count = 0, all = stage->assignments.count + 1;

    for (char *const *entry = base; *entry; entry++)
        all++;
    char **made = reallocarray(NULL, all, sizeof *made);
    if (!made)
        return NULL;
    for (; *base; base++)
        if (!is_assigned(&stage->assignments, 0, *base))
            made[count++] = *base;
    for (size_t i = 0; i < stage->assignments.count; i++) /* the last of a name counts */
        if (!is_assigned(&stage->assignments, i + 1, stage->assignments.texts[i]))
            made[count++] = stage->assignments.texts[i];
    made[count] = NULL;
    return made;
}

static int find_command(const struct starting *starting, const struct gnli_stage *stage)
{
    char where[32];

    return gnli_command_find(stage->words.texts[0], path_of(starting, stage), starting->directory,
                             place(where, stage->column));
}

/* ---- files ---- */

/* A code of its own: it is not the command that is missing. */
static int cannot_open(const struct gnli_redirection *file, int error)
{
    char where[32];

    gnli_fail_errno(error, "%scannot open '%s' to %s", place(where, file->column), file->path,
                    file->flags == O_RDONLY ? "read" : "write");
    return -EBADF;
}

/*
 * Opening a FIFO would wait for whoever opens its other end, and that may be a stage that has not been
 * started.
 */
static int open_file(const struct starting *starting, struct gnli_redirection *file)
{
    struct stat status;
    struct statfs system;
    char where[32];

    file->created = false;
    int flags = (file->flags & ~(O_TRUNC | O_CREAT)) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    file->opened = openat(starting->directory, file->path, flags);
    if (file->opened < 0 && errno == ENOENT && file->flags & O_CREAT) {
        file->opened = openat(starting->directory, file->path, flags | O_CREAT | O_EXCL, 0666);
        file->created = file->opened >= 0;
        if (file->opened < 0 && errno == EEXIST) /* by somebody else since, or where a link leads */
            file->opened = openat(starting->directory, file->path, flags | O_CREAT, 0666);
    }
    bool fifo = file->opened < 0 && errno == ENXIO &&
                fstatat(starting->directory, file->path, &status, 0) == 0 && S_ISFIFO(status.st_mode);
    if (file->opened < 0 && !fifo)
        return cannot_open(file, errno);
    if (!fifo && fstat(file->opened, &status) == 0 && S_ISFIFO(status.st_mode))
        fifo = fstatfs(file->opened, &system) != 0 || system.f_type != PIPE_FS;
    if (fifo)
        return gnli_fail(-EINVAL, "%s'%s' is a FIFO: let a command open it, as %s does",
                         place(where, file->column), file->path,
                         file->flags == O_RDONLY ? "cat FIFO |" : "| tee FIFO");
    file->opened = gnli_above_standard(file->opened);
    if (file->opened < 0 || fcntl(file->opened, F_SETFL, file->flags & O_APPEND) != 0)
        return cannot_open(file, errno);
    return 0;
}

static int open_files(const struct starting *starting, bool to_read)
{
    struct gnl_pipeline *pipeline = starting->pipeline;

    for (size_t i = 0; i < pipeline->length; i++)
        for (size_t j = 0; j < pipeline->stages[i].redirection_count; j++) {
            struct gnli_redirection *file = &pipeline->stages[i].redirections[j];
            if (!file->path || (file->flags == O_RDONLY) != to_read)
                continue;
            int result = open_file(starting, file);
            if (result < 0)
                return result;
        }
    return 0;
}

/* It does not run: what it has made goes, if it is that still. */
static void remove_created(const struct starting *starting)
{
    const struct gnl_pipeline *pipeline = starting->pipeline;
    struct stat made, named;

    for (size_t i = 0; i < pipeline->length; i++)
        for (size_t j = 0; j < pipeline->stages[i].redirection_count; j++) {
            const struct gnli_redirection *file = &pipeline->stages[i].redirections[j];
            if (file->path && file->created && file->opened >= 0 && fstat(file->opened, &made) == 0 &&
                fstatat(starting->directory, file->path, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
                made.st_ino == named.st_ino && made.st_dev == named.st_dev && made.st_size == 0)
                unlinkat(starting->directory, file->path, 0);
        }
}

/* Now that all of them are open: one that cannot be leaves the others as they are. */
static int empty_files(const struct gnl_pipeline *pipeline)
{
    struct stat status;

    for (size_t i = 0; i < pipeline->length; i++)
        for (size_t j = 0; j < pipeline->stages[i].redirection_count; j++) {
            const struct gnli_redirection *file = &pipeline->stages[i].redirections[j];
            if (!file->path || !(file->flags & O_TRUNC) || fstat(file->opened, &status) != 0 ||
                !S_ISREG(status.st_mode))
                continue;
            if (ftruncate(file->opened, 0) != 0)
                return cannot_open(file, errno);
        }
    return 0;
}

/* ---- pipes ---- */

static int no_pipe(int error)
{
    if (error == EMFILE)
        return gnli_fail(-EMFILE, "cannot make a pipe: a stage needs three descriptors of this process: see "
                                  "ulimit -n");
    return gnli_fail_errno(error, "cannot make a pipe");
}

int gnli_pipeline_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return no_pipe(errno);
    }
    ends[0] = gnli_above_standard(ends[0]);
    ends[1] = gnli_above_standard(ends[1]);
    if (ends[0] < 0 || ends[1] < 0)
        return no_pipe(errno);
    int result = gnli_process_close_in_child(ends[0]);
    if (result == 0)
        result = gnli_process_close_in_child(ends[1]);
    return result < 0 ? no_pipe(-result) : 0;
}

void gnli_pipeline_drop(int *end)
{
    if (*end >= 0) {
        gnli_process_closed(*end);
        close(*end);
    }
    *end = -1;
}

void gnli_pipeline_enlarge(int end)
{
    fcntl(end, F_SETPIPE_SZ, PIPE_BYTES); /* no more for this user: as it is */
}

static int make_pipes(struct starting *starting)
{
    struct gnl_pipeline *pipeline = starting->pipeline;
    size_t length = pipeline->length;

    assert(length > 0);
    pipeline->joints = calloc(length, sizeof *pipeline->joints);
    starting->pipes = calloc(length, sizeof *starting->pipes);
    starting->starts = calloc(length, sizeof *starting->starts);
    if (!pipeline->joints || !starting->pipes || !starting->starts)
        return -ENOMEM;
    for (size_t i = 0; i < length; i++) {
        pipeline->joints[i].path = -1;
        starting->pipes[i][0] = starting->pipes[i][1] = -1;
    }
    for (size_t i = 0; i + 1 < length; i++) {
        int result = gnli_pipeline_pipe(starting->pipes[i]);
        if (result < 0)
            return result;
    }
    return 0;
}

/* ---- stages ---- */

static struct gnl_stdio given(int descriptor)
{
    return (struct gnl_stdio){ .kind = GNL_FD, .fd = descriptor };
}

/* Another number for the same: what this process has itself, perhaps nothing. */
static struct gnl_stdio copy(const struct gnl_stdio *stream, int source)
{
    if (stream->kind != GNL_INHERIT)
        return *stream;
    return fcntl(source, F_GETFD) < 0 ? (struct gnl_stdio){ .kind = GNL_NULL } : given(source);
}

/* What gnl_spawn said, with its place in the text. */
static int place_failure(const struct gnli_stage *stage, int result)
{
    char where[32], before[256];

    if (stage->column == 0)
        return result;
    snprintf(before, sizeof before, "%s", gnl_error_detail());
    return gnli_fail(result, "%s%s", place(where, stage->column), before);
}

static int begin_stage(struct starting *starting, size_t i, const uint64_t *unusual)
{
    struct gnl_pipeline *pipeline = starting->pipeline;
    struct gnli_stage *stage = &pipeline->stages[i];
    struct gnl_spawn_options options = starting->options;

    assert(starting->pipes && starting->starts);
    options.standard[0] = i > 0 ? given(starting->pipes[i - 1][0]) : options.standard[0];
    options.standard[1] = i + 1 < pipeline->length ? given(starting->pipes[i][1]) : options.standard[1];
    for (size_t j = 0; j < stage->redirection_count; j++) {
        const struct gnli_redirection *redirection = &stage->redirections[j];
        options.standard[redirection->number] =
            redirection->path ? given(redirection->opened)
            : redirection->source == redirection->number
                ? options.standard[redirection->number]
                : copy(&options.standard[redirection->source], redirection->source);
    }
    struct stage_start *start = &starting->starts[i];
    if (stage->assignments.count > 0) {
        start->environment = make_environment(starting, stage);
        if (!start->environment)
            return -ENOMEM;
        options.environment = start->environment;
    }
    int result =
        gnli_spawn_begin(&start->spawning, stage->words.texts, path_of(starting, stage), &options, unusual);
    return result < 0 ? place_failure(stage, result) : 0;
}

static int end_start(struct starting *starting, size_t i)
{
    struct gnli_stage *stage = &starting->pipeline->stages[i];

    int result = gnli_spawn_end(&starting->starts[i].spawning, &stage->process);
    return result < 0 ? place_failure(stage, result) : 0;
}

/*
 * What a pipe is not needed for to begin: it takes no time of its own while the stages execute their
 * programs. Whoever has it open already finds it larger.
 */
static void make_joint(struct starting *starting, size_t i)
{
    struct gnli_joint *joint = &starting->pipeline->joints[i];
    const int *ends = starting->pipes[i];
    struct stat status;
    char path[32];

    if (i < LARGE_PIPES)
        gnli_pipeline_enlarge(ends[1]);
    joint->inode = fstat(ends[0], &status) == 0 ? status.st_ino : 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    joint->path = gnli_above_standard(open(path, O_PATH | O_CLOEXEC)); /* without it nobody looks */
}

/*
 * All begin. Where nobody else can change what is done for signals, they are asked about once for all stages.
 */
static int begin_stages(struct starting *starting)
{
    bool alone = __libc_single_threaded;
    uint64_t all = ~(uint64_t)0, before = 0, unusual = 0;
    int result = 0;

    if (alone) {
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, GNLI_SIGNALS_BYTES);
        unusual = gnli_signals_unusual();
    }
    for (size_t i = 0; i < starting->pipeline->length && result == 0; i++) {
        result = begin_stage(starting, i, alone ? &unusual : NULL);
        starting->begun += result == 0;
    }
    if (alone)
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, GNLI_SIGNALS_BYTES);
    return result;
}

/* All begin before any is waited for. The first failure counts. */
static int start_stages(struct starting *starting, char sentence[SENTENCE])
{
    int result = begin_stages(starting);

    if (result < 0)
        snprintf(sentence, SENTENCE, "%s", gnl_error_detail());
    for (size_t i = 0; i + 1 < starting->begun; i++)
        make_joint(starting, i);
    for (size_t i = 0; i < starting->begun; i++) {
        int ended = end_start(starting, i);
        if (ended < 0 && result == 0) {
            snprintf(sentence, SENTENCE, "%s", gnl_error_detail());
            result = ended;
        }
    }
    return result;
}

/* ---- all of it ---- */

static int prepare(struct starting *starting)
{
    struct gnl_pipeline *pipeline = starting->pipeline;
    int result = 0;

    if (starting->options.directory) {
        starting->directory =
            gnli_above_standard(open(starting->options.directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (starting->directory < 0)
            return gnli_fail_errno(errno, "the directory '%s'", starting->options.directory);
    }
    for (size_t i = 0; i < pipeline->length && result == 0; i++)
        result = find_command(starting, &pipeline->stages[i]);
    if (result == 0)
        result = open_files(starting, true);
    if (result == 0)
        result = make_pipes(starting);
    if (result == 0)
        result = open_files(starting, false);
    return result < 0 ? result : empty_files(pipeline);
}

static void shut(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

/* What only the stages are to have. */
static void clean_up(struct starting *starting)
{
    struct gnl_pipeline *pipeline = starting->pipeline;

    for (size_t i = 0; i < pipeline->length; i++) {
        for (size_t j = 0; j < pipeline->stages[i].redirection_count; j++)
            shut(&pipeline->stages[i].redirections[j].opened);
        if (starting->pipes) {
            gnli_pipeline_drop(&starting->pipes[i][0]);
            gnli_pipeline_drop(&starting->pipes[i][1]);
        }
        if (starting->starts)
            free(starting->starts[i].environment);
    }
    free(starting->pipes);
    free(starting->starts);
    if (starting->directory >= 0)
        close(starting->directory);
}

/* Nobody is left, and nothing. */
static void undo(struct gnl_pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->length; i++) {
        struct gnli_stage *stage = &pipeline->stages[i];
        if (stage->process) {
            gnl_process_set_tree(stage->process);
            gnl_process_terminate(stage->process, 0, NULL);
            gnl_process_free(stage->process);
        }
        stage->process = NULL;
    }
    gnli_pipeline_forget(pipeline);
}

int gnli_pipeline_start(struct gnl_pipeline *pipeline, const struct gnl_spawn_options *options)
{
    struct starting starting = { .pipeline = pipeline, .directory = AT_FDCWD };
    char sentence[SENTENCE] = "";
    struct timespec now;

    if (options)
        starting.options = *options;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    pipeline->started_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    int result = prepare(&starting);
    if (result < 0) {
        snprintf(sentence, sizeof sentence, "%s", gnl_error_detail());
        remove_created(&starting);
    } else {
        result = start_stages(&starting, sentence);
    }
    if (result < 0)
        undo(pipeline);
    clean_up(&starting);
    if (result < 0 && sentence[0])
        gnli_fail(result, "%s", sentence);
    pipeline->started = result == 0;
    return result;
}
