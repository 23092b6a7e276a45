/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A camera, as it were: frames of 8 MiB in segments, handed to two viewers who may only read them. A
 * segment is handed over once; after that a frame costs one small message each way, which says which
 * segment it is in.
 *
 *     camera [FRAMES]
 *
 * Each viewer reads every byte of every frame. The last line is on standard error, since it is not the same
 * twice.
 */
#include <ginnel/ginnel.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME   ((size_t)8 << 20)
#define BUFFERS 3
#define VIEWERS 2
#define PATIENT gnl_s(30)

static int failed(const char *who)
{
    fprintf(stderr, "%s: %s\n", who, gnl_error_detail());
    return 1;
}

static uint64_t sum(const uint64_t *frame)
{
    uint64_t parts[8] = { 0 };

    for (size_t i = 0; i < FRAME / sizeof *frame; i += 8)
        for (unsigned j = 0; j < 8; j++)
            parts[j] += frame[i + j];
    return parts[0] + parts[1] + parts[2] + parts[3] + parts[4] + parts[5] + parts[6] + parts[7];
}

/* ---- a viewer ---- */

static int view(const char *name, uint64_t frames)
{
    gnl_segment *segments[BUFFERS];
    gnl_identity *me;
    gnl_port *camera;
    uint64_t total = 0;
    uint32_t buffer;

    if (gnl_identity_claim(&me, name) < 0 || gnl_link(me, "camera", &camera, PATIENT) < 0)
        return failed(name);
    for (unsigned i = 0; i < BUFFERS; i++)
        if (gnl_segment_receive(camera, &segments[i], PATIENT) < 0)
            return failed(name);
    for (uint64_t i = 0; i < frames; i++) {
        if (gnl_recv(camera, &buffer, sizeof buffer, PATIENT) != sizeof buffer || buffer >= BUFFERS)
            return failed(name);
        total += sum(gnl_segment_data(segments[buffer]));
        if (gnl_send(camera, &buffer, sizeof buffer, PATIENT) < 0) /* done with it */
            return failed(name);
    }
    /* What was handed over to be read cannot be written by any means. */
    printf("%s: %" PRIu64 " frames, sum %" PRIu64 ", %s\n", name, frames, total,
           gnl_segment_lock(segments[0], GNL_NOWAIT) < 0 ? "may only read" : "may write");
    fflush(stdout);
    for (unsigned i = 0; i < BUFFERS; i++)
        gnl_segment_detach(segments[i]);
    return gnl_identity_release(me) < 0;
}

/* ---- the camera ---- */

static int hand_over(gnl_identity *me, const char *const *names, gnl_port **viewers, gnl_segment **segments)
{
    for (unsigned i = 0; i < BUFFERS; i++)
        if (gnl_segment_create(&segments[i], NULL, FRAME, NULL) < 0)
            return -1;
    for (unsigned v = 0; v < VIEWERS; v++) {
        if (gnl_link(me, names[v], &viewers[v], PATIENT) < 0)
            return -1;
        for (unsigned i = 0; i < BUFFERS; i++)
            if (gnl_segment_give(viewers[v], segments[i], GNL_READ, PATIENT) < 0)
                return -1;
    }
    return 0;
}

static int shoot(gnl_port **viewers, gnl_segment **segments, uint64_t frames)
{
    for (uint64_t i = 0; i < frames; i++) {
        uint32_t buffer = (uint32_t)(i % BUFFERS), back;
        for (unsigned v = 0; v < VIEWERS && i >= BUFFERS; v++) /* the frame before in it has been seen */
            if (gnl_recv(viewers[v], &back, sizeof back, PATIENT) < 0)
                return -1;
        memset(gnl_segment_data(segments[buffer]), (int)i, FRAME);
        for (unsigned v = 0; v < VIEWERS; v++)
            if (gnl_send(viewers[v], &buffer, sizeof buffer, PATIENT) < 0)
                return -1;
    }
    return 0;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char *argv[])
{
    static const char *const names[VIEWERS] = { "left-eye", "right-eye" };
    uint64_t frames = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
    gnl_segment *segments[BUFFERS];
    gnl_port *viewers[VIEWERS];
    pid_t children[VIEWERS];
    gnl_identity *me;
    int bad = 0, status;

    if (frames < BUFFERS)
        frames = BUFFERS;
    for (unsigned v = 0; v < VIEWERS; v++) {
        children[v] = fork();
        if (children[v] == 0)
            exit(view(names[v], frames));
    }
    if (gnl_identity_claim(&me, "camera") < 0 || hand_over(me, names, viewers, segments) < 0)
        return failed("camera");
    double start = now();
    if (shoot(viewers, segments, frames) < 0)
        return failed("camera");
    for (unsigned v = 0; v < VIEWERS; v++) { /* one after the other, so that their words are */
        char buffer[8];
        for (unsigned i = 0; i < BUFFERS; i++)
            if (gnl_recv(viewers[v], buffer, sizeof buffer, PATIENT) < 0)
                return failed("camera");
    }
    double seconds = now() - start;
    for (unsigned v = 0; v < VIEWERS; v++)
        bad |= waitpid(children[v], &status, 0) != children[v] || status != 0;
    fprintf(stderr,
            "%" PRIu64
            " frames of 8 MiB to %d viewers in %.2f s: %.0f a second, %.1f GB/s written, %.1f GB/s read\n",
            frames, VIEWERS, seconds, (double)frames / seconds, (double)(frames * FRAME) / seconds / 1e9,
            (double)(frames * FRAME * VIEWERS) / seconds / 1e9);
    for (unsigned i = 0; i < BUFFERS; i++)
        gnl_segment_detach(segments[i]);
    return gnl_identity_release(me) < 0 || bad;
}
