/* SPDX-License-Identifier: Apache-2.0 */
/* A stage, looked at from outside: its processes, what they wait for, what they have read and written. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "pipeline/proc.h"
#include "pipeline/watch.h"

#define FAMILY_PART   1000 /* looking for its processes takes no more than this part of the time */
#define PROCESSES_MAX 64   /* of a stage that are looked at */
#define THREADS_MAX   64   /* of a process */

/* What is seen of its processes at one look, put together. */
struct view {
    unsigned processes;
    bool runs, reads, writes, stopped, unseen, awaits_in, awaits_out;
    uint64_t cpu_ns;
    int64_t read, written, to_disk;
    bool io_unseen;
    int64_t input_at, input_size;
};

void gnli_stage_watch(struct gnli_watched_stage *stage, pid_t pid, pid_t keeper, int64_t since_ns,
                      uint64_t in, uint64_t out)
{
    struct gnli_proc_stat stat;

    *stage = (struct gnli_watched_stage){
        .pid = pid, .keeper = keeper, .since_ns = since_ns, .in = in, .out = out
    };
    stage->sample = (struct gnl_stage_sample){ .state = GNL_STAGE_UNKNOWN, .input_at = -1, .input_size = -1 };
    stage->read = stage->written = stage->io = stage->keeper_io = -1;
    stage->tree = (struct gnli_tree){ .root = pid, .root_is_member = true, .cgroup = -1 };
    if (!gnli_proc_stat(&stat, pid, 0)) {
        stage->lost = true;
        return;
    }
    stage->start = stat.start;
    stage->io = gnli_proc_io_open(pid);
    if (keeper > 0)
        stage->keeper_io = gnli_proc_io_open(keeper);
}

void gnli_stage_unwatch(struct gnli_watched_stage *stage)
{
    if (stage->io >= 0)
        close(stage->io);
    if (stage->keeper_io >= 0)
        close(stage->keeper_io);
    stage->io = stage->keeper_io = -1;
    free(stage->tree.members);
    stage->tree.members = NULL;
    stage->tree.count = 0;
}

/* Reads all of /proc, so the longer that takes the less often it is done. */
static void look_for_family(struct gnli_watched_stage *stage)
{
    int64_t before_ns = gnli_now_ns();

    if (before_ns < stage->next_family_ns)
        return;
    gnli_tree_look(&stage->tree);
    int64_t after_ns = gnli_now_ns();
    stage->next_family_ns = after_ns + (after_ns - before_ns) * FAMILY_PART;
}

/* ---- one thread, one process ---- */

static void look_at_call(struct gnli_watched_stage *stage, struct view *view, pid_t pid, pid_t thread)
{
    struct gnli_call call = gnli_proc_call(pid, thread);
    uint64_t pipe = call.descriptor >= 0 ? gnli_proc_pipe(pid, call.descriptor) : 0;
    uint64_t other = call.other >= 0 ? gnli_proc_pipe(pid, call.other) : 0;

    if (call.kind == GNLI_CALL_UNKNOWN)
        view->unseen = true;
    if (call.kind == GNLI_CALL_SPLICE)
        stage->splices = true;
    bool in = call.kind == GNLI_CALL_READ || call.kind == GNLI_CALL_SPLICE;
    bool out = call.kind == GNLI_CALL_WRITE;
    if (in && stage->in != 0 && pipe == stage->in)
        view->awaits_in = true;
    if (stage->out != 0 && ((out && pipe == stage->out) || (other != 0 && other == stage->out)))
        view->awaits_out = true;
    /* The first stage's input, and the last one's output, are what they are. */
    view->reads |= view->awaits_in || (in && stage->in == 0 && call.descriptor == STDIN_FILENO);
    view->writes |= view->awaits_out || (out && stage->out == 0 && call.descriptor == STDOUT_FILENO);
}

static void look_at_state(struct gnli_watched_stage *stage, struct view *view, char state, pid_t pid,
                          pid_t thread)
{
    if (state == 'R' || state == 'D')
        view->runs = true;
    else if (state == 'T' || state == 't')
        view->stopped = true;
    else if (state == 'S')
        look_at_call(stage, view, pid, thread);
}

static void look_at_threads(struct gnli_watched_stage *stage, struct view *view, pid_t pid)
{
    struct gnli_proc_stat stat;
    struct dirent *entry;
    char path[48];
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    while (directory && count < THREADS_MAX && (entry = readdir(directory))) {
        pid_t thread = (pid_t)atoi(entry->d_name);
        if (thread > 0 && ++count && gnli_proc_stat(&stat, pid, thread))
            look_at_state(stage, view, stat.state, pid, thread);
    }
    if (directory)
        closedir(directory);
}

static void look_at_account(struct view *view, int file)
{
    struct gnli_proc_io io;

    if (!gnli_proc_io(&io, file)) {
        view->io_unseen = true;
        return;
    }
    view->read += io.read;
    view->written += io.written;
    view->to_disk += io.to_disk;
}

static void look_at_files(struct gnli_watched_stage *stage, struct view *view, pid_t pid)
{
    struct gnli_proc_files files;

    gnli_proc_files(&files, pid, stage->out, stage->since_ns, stage->in == 0);
    if (!files.known) {
        stage->writes_elsewhere = true; /* for all that can be seen */
        return;
    }
    stage->files_seen = true;
    stage->writes_elsewhere |= files.writes_elsewhere || files.errors_unseen;
    if (files.input_size > view->input_size) {
        view->input_at = files.input_at;
        view->input_size = files.input_size;
    }
}

/* False: it is there no more. */
static bool look_at_process(struct gnli_watched_stage *stage, struct view *view, pid_t pid, uint64_t start)
{
    struct gnli_proc_stat stat;

    if (!gnli_proc_stat(&stat, pid, 0) || stat.start != start)
        return false;
    int file = pid == stage->pid ? stage->io : gnli_proc_io_open(pid);
    look_at_account(view, file);
    if (file >= 0 && file != stage->io)
        close(file);
    view->cpu_ns += stat.cpu_ns;
    if (stat.state == 'Z' || stat.state == 'X')
        return true;
    view->processes++;
    look_at_files(stage, view, pid);
    if (stat.threads > 1)
        look_at_threads(stage, view, pid);
    else
        look_at_state(stage, view, stat.state, pid, 0);
    return true;
}

/* ---- all of it ---- */

static int state_of(const struct gnli_watched_stage *stage, const struct view *view)
{
    if (view->processes == 0)
        return stage->lost || stage->ended ? GNL_STAGE_ENDED : GNL_STAGE_UNKNOWN;
    if (view->runs)
        return GNL_STAGE_RUNNING;
    if (view->writes)
        return GNL_STAGE_WRITING;
    if (view->reads)
        return GNL_STAGE_READING;
    if (view->stopped)
        return GNL_STAGE_STOPPED;
    return view->unseen ? GNL_STAGE_UNKNOWN : GNL_STAGE_SLEEPING;
}

/* What was counted stays counted: an account goes over to the parent, and may be missing in between. */
static void keep_counts(struct gnli_watched_stage *stage, const struct view *view)
{
    struct gnl_stage_sample *sample = &stage->sample;

    if (view->cpu_ns > sample->cpu_ns)
        sample->cpu_ns = view->cpu_ns;
    if (view->io_unseen) {
        stage->lost = true;
        stage->read = stage->written = -1;
        return;
    }
    if (view->read > stage->read)
        stage->read = view->read;
    if (view->written > stage->written)
        stage->written = view->written;
    if (view->to_disk > 0)
        stage->writes_elsewhere = true;
}

/* Processes that were started by those of the stage, as far as they are known. */
static void look_at_others(struct gnli_watched_stage *stage, struct view *view)
{
    size_t count = stage->tree.count < PROCESSES_MAX ? stage->tree.count : PROCESSES_MAX;

    for (size_t i = 0; i < count; i++) {
        const struct gnli_member *member = &stage->tree.members[i];
        if (member->fate.pid != stage->pid && member->alive &&
            look_at_process(stage, view, member->fate.pid, member->start))
            stage->several = true;
    }
    stage->several |= stage->tree.count > PROCESSES_MAX;
}

void gnli_stage_look(struct gnli_watched_stage *stage)
{
    struct view view = { .input_at = -1, .input_size = -1 };

    if (stage->sample.state == GNL_STAGE_ENDED || stage->start == 0) {
        stage->sample.state = GNL_STAGE_ENDED;
        return;
    }
    look_for_family(stage);
    bool there = look_at_process(stage, &view, stage->pid, stage->start);
    bool program_runs = view.processes > 0;
    look_at_others(stage, &view);
    if (stage->keeper > 0) { /* what it has reaped is in its account */
        look_at_account(&view, stage->keeper_io);
        there = true;
    }
    if (there)
        keep_counts(stage, &view);
    if (!there && !stage->ended) { /* reaped since the last look, by whomever */
        stage->lost = true;
        stage->read = stage->written = -1;
    }
    stage->ended |= there && !program_runs;
    stage->awaits_in = view.awaits_in;
    stage->awaits_out = view.awaits_out;
    stage->sample.processes = view.processes;
    stage->sample.state = state_of(stage, &view);
    if (view.input_size >= 0) {
        stage->sample.input_at = view.input_at;
        stage->sample.input_size = view.input_size;
    }
}
