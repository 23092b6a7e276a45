/* SPDX-License-Identifier: Apache-2.0 */
#include "run_look.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "failure.h"
#include "printable.h"

#define FIRST_PERIOD_NS ((int64_t)10000000)
#define RECENTLY_S      2.0 /* what is older counts little */
#define LOOKS_MIN       3   /* fewer say nothing about a bottleneck */
#define CLOSE           0.1 /* shares that differ by less are alike */

int run_looks_begin(struct run_looks *looks, gnl_pipeline *pipeline)
{
    size_t length = gnl_pipeline_length(pipeline);

    *looks = (struct run_looks){ .pipeline = pipeline, .length = length };
    looks->stages = calloc(length, sizeof *looks->stages);
    looks->pipes = calloc(length, sizeof *looks->pipes);
    looks->whole = calloc(length, sizeof *looks->whole);
    looks->recently = calloc(length, sizeof *looks->recently);
    looks->cpu = calloc(length, sizeof *looks->cpu);
    looks->rate = calloc(length, sizeof *looks->rate);
    looks->capacity = calloc(length, sizeof *looks->capacity);
    if (!looks->stages || !looks->pipes || !looks->whole || !looks->recently || !looks->cpu || !looks->rate ||
        !looks->capacity) {
        complain("out of memory");
        run_looks_end(looks);
        return -ENOMEM;
    }
    looks->begin_ns = looks->last_ns = looks->next_ns = now_ns();
    looks->period_ns = FIRST_PERIOD_NS;
    return 0;
}

void run_looks_end(struct run_looks *looks)
{
    free(looks->stages);
    free(looks->pipes);
    free(looks->whole);
    free(looks->recently);
    free(looks->cpu);
    free(looks->rate);
    free(looks->capacity);
    *looks = (struct run_looks){ 0 };
}

/* ---- a look ---- */

static void approach(double *value, double now, double part)
{
    *value += (now - *value) * part;
}

static void add_share(struct run_share *share, int state, const struct gnl_pipe_sample *pipe, double part)
{
    bool reading = state == GNL_STAGE_READING, writing = state == GNL_STAGE_WRITING;
    bool unseen = state == GNL_STAGE_UNKNOWN, ended = state == GNL_STAGE_ENDED;

    approach(&share->reading, reading, part);
    approach(&share->writing, writing, part);
    approach(&share->unseen, unseen, part);
    approach(&share->busy, !reading && !writing && !unseen && !ended, part);
    if (pipe)
        approach(&share->fill, pipe->capacity > 0 ? (double)pipe->queued / (double)pipe->capacity : 0, part);
}

/* Bytes a second since the look before, from numbers that may be unknown. */
static double rate_of(int64_t before, int64_t now, double seconds)
{
    return before < 0 || now < before || seconds <= 0 ? -1 : (double)(now - before) / seconds;
}

static void add_rate(double *rate, double now, double part)
{
    if (now < 0 || *rate < 0)
        *rate = now;
    else
        approach(rate, now, part);
}

/*
 * What it did since the look before: who has ended since was at what it was found at then, as far as is
 * known.
 */
static int state_since(const struct run_looks *looks, const struct gnl_stage_sample *now, size_t i)
{
    return now->state == GNL_STAGE_ENDED && looks->count > 0 ? looks->stages[i].state : now->state;
}

/* The stages as they were found, weighed by the time since the look before. */
static void account(struct run_looks *looks, const struct gnl_stage_sample *stages,
                    const struct gnl_pipe_sample *pipes, double seconds)
{
    looks->whole_s += seconds;
    looks->recent_s = looks->recent_s * RECENTLY_S / (RECENTLY_S + seconds) + seconds;
    double whole = looks->whole_s > 0 ? seconds / looks->whole_s : 1;
    double recent = looks->recent_s > 0 ? seconds / looks->recent_s : 1;

    looks->ended = 0;
    for (size_t i = 0; i < looks->length; i++) {
        const struct gnl_pipe_sample *pipe = i + 1 < looks->length ? &pipes[i] : NULL;
        int state = state_since(looks, &stages[i], i);
        add_share(&looks->whole[i], state, pipe, whole);
        add_share(&looks->recently[i], state, pipe, recent);
        looks->ended += stages[i].state == GNL_STAGE_ENDED;
        if (seconds > 0)
            approach(&looks->cpu[i], (double)(stages[i].cpu_ns - looks->stages[i].cpu_ns) / 1e9 / seconds,
                     recent);
        if (pipe) {
            add_rate(&looks->rate[i], rate_of(looks->pipes[i].passed_most, pipe->passed_most, seconds),
                     recent);
            if (pipe->capacity > 0)
                looks->capacity[i] = pipe->capacity;
        }
    }
}

static int look(struct run_looks *looks)
{
    struct gnl_stage_sample *stages = calloc(looks->length, sizeof *stages);
    struct gnl_pipe_sample *pipes = calloc(looks->length, sizeof *pipes);
    int64_t now = now_ns();
    int result = -ENOMEM;

    if (stages && pipes)
        result = gnl_pipeline_sample(looks->pipeline, pipes, looks->length - 1);
    if (result >= 0)
        result = gnl_pipeline_sample_stages(looks->pipeline, stages, looks->length);
    if (result >= 0) {
        account(looks, stages, pipes, (double)(now - looks->last_ns) / 1e9);
        memcpy(looks->stages, stages, looks->length * sizeof *stages);
        memcpy(looks->pipes, pipes, looks->length * sizeof *pipes);
        looks->count++;
    }
    looks->last_ns = now;
    looks->next_ns = now + looks->period_ns;
    looks->period_ns = looks->period_ns * 2 < LOOK_PERIOD_NS ? looks->period_ns * 2 : LOOK_PERIOD_NS;
    free(stages);
    free(pipes);
    return result < 0 ? result : 0;
}

/* ---- waiting ---- */

/* Until one that runs has ended, or the time has come: what poll returns. */
static int await_end(struct run_looks *looks, int64_t until_ns)
{
    struct pollfd *entries = calloc(looks->length, sizeof *entries);
    int64_t left_ns = until_ns - now_ns();
    struct timespec time = { 0, 0 };

    if (!entries)
        return -1;
    if (left_ns > 0)
        time = (struct timespec){ left_ns / 1000000000, left_ns % 1000000000 };
    for (size_t i = 0; i < looks->length; i++)
        entries[i] = (struct pollfd){
            .fd = looks->stages[i].state == GNL_STAGE_ENDED && looks->count > 0
                      ? -1
                      : gnl_process_fd(gnl_pipeline_stage(looks->pipeline, i)),
            .events = POLLIN,
        };
    int result = ppoll(entries, looks->length, &time, NULL);
    int error = errno;
    free(entries);
    errno = error;
    return result;
}

int run_looks_wait(struct run_looks *looks, int64_t timeout)
{
    int64_t deadline_ns = timeout == GNL_FOREVER ? INT64_MAX : now_ns() + timeout;

    if (looks->ended == looks->length)
        return 0;
    int64_t until_ns = looks->next_ns < deadline_ns ? looks->next_ns : deadline_ns;
    int result = await_end(looks, until_ns);
    if (result < 0)
        return errno == EINTR ? -EINTR : -errno;
    if (result == 0 && now_ns() < looks->next_ns)
        return -ETIMEDOUT;
    result = look(looks);
    if (result < 0)
        return result;
    return looks->ended == looks->length ? 0 : -EAGAIN;
}

/* ---- the bottleneck ---- */

static size_t busiest(const struct run_looks *looks, const struct run_share *shares)
{
    size_t found = 0;

    for (size_t i = 1; i < looks->length; i++) {
        double ahead = shares[i].busy - shares[found].busy;
        /* Alike: bytes pile up before the slower one. */
        if (ahead > CLOSE || (ahead > -CLOSE && shares[i - 1].fill > 0.5))
            found = i;
    }
    return found;
}

enum run_place run_bottleneck(const struct run_looks *looks, const struct run_share *shares, size_t *stage)
{
    size_t last = looks->length - 1;

    if (looks->count < LOOKS_MIN)
        return RUN_NOWHERE;
    for (size_t i = 0; i < looks->length; i++)
        if (shares[i].unseen > CLOSE) /* it might be that one */
            return RUN_NOWHERE;
    *stage = busiest(looks, shares);
    double most = shares[*stage].busy;
    if (shares[0].reading > most && shares[0].reading >= shares[last].writing)
        return RUN_AT_INPUT;
    if (shares[last].writing > most)
        return RUN_AT_OUTPUT;
    return RUN_AT_STAGE;
}

bool run_bottleneck_text(char *text, size_t room, const struct run_looks *looks, enum run_place place,
                         size_t stage)
{
    char name[sizeof looks->stages[0].name];

    switch (place) {
    case RUN_AT_STAGE:
        memcpy(name, looks->stages[stage].name, sizeof name);
        make_printable(name);
        snprintf(text, room, "%s (stage %zu)", name, stage + 1);
        return true;
    case RUN_AT_INPUT:
        snprintf(text, room, "who gives the input");
        return true;
    case RUN_AT_OUTPUT:
        snprintf(text, room, "who takes the output");
        return true;
    case RUN_NOWHERE:
        break;
    }
    return false;
}

void run_bytes_text(char text[RUN_TEXT], double bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    unsigned unit = 0;

    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, RUN_TEXT, "%.3g %s", bytes, units[unit]);
}
