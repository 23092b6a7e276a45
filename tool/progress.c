/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

#define PATIENCE_NS ((int64_t)500000000) /* shorter sends need no line */
#define CLEAR_LINE  "\r\033[K"

void progress_begin(struct progress *progress, bool wanted)
{
    *progress = (struct progress){ .on = wanted && isatty(STDERR_FILENO) };
    if (progress->on) {
        progress->start_ns = now_ns();
        progress->next_ns = progress->start_ns + PATIENCE_NS;
    }
}

static double per_second(const struct progress *progress, uint64_t sent, int64_t now)
{
    return now > progress->start_ns ? (double)sent * 1e9 / (double)(now - progress->start_ns) : 0;
}

/* Characters that fit into one line: one that wraps could not be taken away again. */
static int line_length(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col - 1 : 80;
}

void progress_tick(struct progress *progress, gnl_port *port, uint64_t sent)
{
    struct gnl_port_info info;
    char line[128];

    if (!progress->on)
        return;
    int64_t now = now_ns();
    if (now < progress->next_ns)
        return;
    progress->next_ns = now + PROGRESS_NS;
    if (gnl_port_info(port, &info) < 0)
        return;
    snprintf(line, sizeof line, "sent %" PRIu64 "  %.0f/s  queued %" PRIu64, sent,
             per_second(progress, sent, now), info.queued);
    fprintf(stderr, CLEAR_LINE "%.*s", line_length(), line);
    progress->shown = true;
}

void progress_end(struct progress *progress, uint64_t sent)
{
    if (!progress->shown)
        return;
    int64_t now = now_ns();
    fprintf(stderr, CLEAR_LINE "sent %" PRIu64 " in %.1f s  %.0f/s\n", sent,
            (double)(now - progress->start_ns) / 1e9, per_second(progress, sent, now));
    progress->shown = false;
}
