/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mailboxes of the job (job.h): names, sizes, and what to say if they can't be had.
 */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>

#define QUEUE 1024 /* lines, or counts, that wait at the most */

_Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "wordcount: %s: %s\n", what, why);
    exit(1);
}

static gnl_port *open_port(const char *address, int64_t capacity, size_t message_max,
                           enum gnl_direction direction)
{
    struct gnl_options options = { .capacity = capacity, .message_max = message_max, .direction = direction };
    gnl_port *port;

    if (gnl_open(&port, address, &options) < 0)
        give_up("opening a mailbox", gnl_error_detail());
    return port;
}

gnl_port *open_lines(const struct text *text, enum gnl_direction direction)
{
    return open_port(LINES, QUEUE, sizeof(struct line) + text->longest, direction);
}

/*
 * Far fewer counts may wait than there are lines: when the collector pauses to stop or kill a
 * worker, all of them soon wait to send their counts, with lines in their hands. Of a very short
 * text not even one may wait.
 */
gnl_port *open_counts(const struct text *text, enum gnl_direction direction)
{
    int64_t capacity = text->lines / 8 < QUEUE ? (int64_t)text->lines / 8 : QUEUE;

    return open_port(COUNTS, capacity > 0 ? capacity : GNL_RENDEZVOUS, sizeof(struct count), direction);
}
