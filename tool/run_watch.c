/* SPDX-License-Identifier: Apache-2.0 */
#include "run_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "printable.h"

#define COLUMNS_DEFAULT 80
#define ROWS_DEFAULT    24
#define PATIENCE_NS     ((int64_t)200000000) /* what is over sooner is not shown */
#define BAR             10                   /* characters of a pipe's fill */
#define LINE_BYTES      512

static const char *const states[] = {
    [GNL_STAGE_UNKNOWN] = "unknown",       [GNL_STAGE_RUNNING] = "running",
    [GNL_STAGE_READING] = "waits to read", [GNL_STAGE_WRITING] = "waits to write",
    [GNL_STAGE_SLEEPING] = "sleeps",       [GNL_STAGE_STOPPED] = "stopped",
    [GNL_STAGE_ENDED] = "ended",
};

/* A block that is being made, of lines that do not wrap. */
struct block {
    char *text;
    size_t length, room;
    int columns, rows, lines;
};

/* A line more, as long as there are rows left. */
__attribute__((format(printf, 2, 3))) static void add_line(struct block *block, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;

    if (block->lines >= block->rows - 1)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    make_printable(line);
    block->lines++;
    block->length += (size_t)snprintf(block->text + block->length, block->room - block->length, "\n%.*s",
                                      block->columns - 1, line);
}

static void add_stage(struct block *block, const struct run_looks *looks, size_t i)
{
    const struct gnl_stage_sample *stage = &looks->stages[i];

    add_line(block, "%2zu %-15s %-14s  CPU %3.0f %%  %.2f s", i + 1, stage->name, states[stage->state],
             looks->cpu[i] * 100, (double)stage->cpu_ns / 1e9);
}

/* "  [######    ]  62 %   98 MB/s  <= 1.2 GB" */
static void add_pipe(struct block *block, const struct run_looks *looks, size_t i)
{
    const struct gnl_pipe_sample *pipe = &looks->pipes[i];
    char bar[BAR + 1], rate[RUN_TEXT] = "unknown", total[RUN_TEXT] = "unknown";
    bool seen = pipe->queued >= 0 && pipe->capacity > 0;
    double fill = seen ? (double)pipe->queued / (double)pipe->capacity : 0;
    const char *most = pipe->passed >= 0 || pipe->passed_most < 0 ? "" : "<= ";

    for (int c = 0; c < BAR; c++)
        bar[c] = seen && fill * BAR > c ? '#' : ' ';
    bar[BAR] = '\0';
    if (looks->rate[i] >= 0)
        run_bytes_text(rate, looks->rate[i]);
    if (pipe->passed >= 0 || pipe->passed_most >= 0)
        run_bytes_text(total, (double)(pipe->passed >= 0 ? pipe->passed : pipe->passed_most));
    if (pipe->capacity == 0)
        add_line(block, "     closed                 %s%s", most, total);
    else if (!seen)
        add_line(block, "     unknown");
    else
        add_line(block, "    [%s] %3.0f %%  %s%s%s  %s%s", bar, fill * 100, most, rate,
                 looks->rate[i] >= 0 ? "/s" : "", most, total);
}

static void add_summary(struct block *block, const struct run_looks *looks)
{
    const struct gnl_stage_sample *first = &looks->stages[0];
    char progress[3 * RUN_TEXT] = "", size[RUN_TEXT], name[RUN_TEXT];
    size_t stage = 0;
    enum run_place place = run_bottleneck(looks, looks->recently, &stage);
    bool known = run_bottleneck_text(name, sizeof name, looks, place, stage);

    if (first->state != GNL_STAGE_ENDED && first->input_at >= 0 && first->input_size > 0) {
        run_bytes_text(size, (double)first->input_size);
        snprintf(progress, sizeof progress, "  input %.0f %% of %s",
                 (double)first->input_at * 100 / (double)first->input_size, size);
    }
    add_line(block, "%.1f s  bottleneck: %s%s", (double)(looks->last_ns - looks->begin_ns) / 1e9,
             known ? name : "not yet known", progress);
}

/* The last line first, should there be no rows for all. */
static void make_block(struct block *block, const struct run_looks *looks)
{
    add_summary(block, looks);
    for (size_t i = 0; i < looks->length; i++) {
        add_stage(block, looks, i);
        if (i + 1 < looks->length)
            add_pipe(block, looks, i);
    }
}

/* In one piece: others write there too. What does not go out at once is not missed. */
static void put(struct run_watch *watch, const char *text, size_t length)
{
    if (write(watch->terminal, text, length) < 0 && errno != EAGAIN && errno != EINTR) { /* it was closed */
        close(watch->terminal);
        watch->terminal = -1;
    }
}

static bool may_draw(void)
{
    pid_t foreground = tcgetpgrp(STDERR_FILENO);

    return foreground < 0 || foreground == getpgrp();
}

/* If it is time, and this process may: not from the background. */
static void draw(struct run_watch *watch)
{
    const struct run_looks *looks = &watch->looks;
    struct winsize size = { 0 };
    struct block block = { .columns = COLUMNS_DEFAULT, .rows = ROWS_DEFAULT };
    int64_t now = now_ns();

    if (watch->terminal < 0 || now < watch->next_ns || !may_draw())
        return;
    watch->next_ns = now + LOOK_PERIOD_NS / 2;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0) {
        block.columns = size.ws_col > 1 ? size.ws_col : COLUMNS_DEFAULT;
        block.rows = size.ws_row > 1 ? size.ws_row : ROWS_DEFAULT;
    }
    block.room = (2 * looks->length + 2) * LINE_BYTES;
    block.text = malloc(block.room);
    if (!block.text)
        return;
    /* From where the cursor is, everything below anew; then back up. */
    block.length = (size_t)snprintf(block.text, block.room, "\r\033[J");
    make_block(&block, looks);
    if (block.lines > 0)
        block.length +=
            (size_t)snprintf(block.text + block.length, block.room - block.length, "\r\033[%dA", block.lines);
    put(watch, block.text, block.length);
    watch->shown = true;
    free(block.text);
}

int run_watch_begin(struct run_watch *watch, gnl_pipeline *pipeline, bool live)
{
    *watch = (struct run_watch){ .terminal = -1 };
    if (live && isatty(STDERR_FILENO))
        watch->terminal = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    watch->next_ns = now_ns() + PATIENCE_NS;
    return run_looks_begin(&watch->looks, pipeline);
}

int run_watch_wait(struct run_watch *watch, int64_t timeout)
{
    int64_t deadline_ns = timeout == GNL_FOREVER ? INT64_MAX : now_ns() + timeout;

    for (;;) {
        int64_t left_ns = deadline_ns - now_ns();
        int result = run_looks_wait(&watch->looks, deadline_ns == INT64_MAX ? GNL_FOREVER
                                                   : left_ns > 0            ? left_ns
                                                                            : 0);
        if (result != -EAGAIN)
            return result;
        draw(watch);
    }
}

void run_watch_clear(struct run_watch *watch)
{
    static const char clear[] = "\r\033[J";

    if (watch->shown && watch->terminal >= 0 && may_draw())
        put(watch, clear, sizeof clear - 1);
    watch->shown = false;
}

void run_watch_end(struct run_watch *watch)
{
    run_watch_clear(watch);
    if (watch->terminal >= 0)
        close(watch->terminal);
    run_looks_end(&watch->looks);
}
