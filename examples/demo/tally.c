/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tally (tally.h). A bit a line tells what was counted already.
 */
#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT_A_TIME 256 /* counts that are received before the caller looks around */

void tally_init(struct tally *tally, uint64_t lines)
{
    *tally = (struct tally){ .expected = lines, .seen = calloc(lines / 64 + 1, sizeof *tally->seen) };
    if (!tally->seen)
        give_up("memory for a bit a line", strerror(ENOMEM));
}

void tally_fini(struct tally *tally)
{
    free(tally->seen);
}

static void add(struct tally *tally, const struct count *count)
{
    uint64_t bit = (uint64_t)1 << count->line % 64;

    if (count->line >= tally->expected || count->worker >= WORKERS)
        give_up("receiving counts", "one is of a line that was never sent");
    tally->received++;
    if (count->redelivered) {
        tally->redelivered++;
        tally->redelivered_to[count->worker]++;
    }
    if (tally->seen[count->line / 64] & bit) {
        tally->twice++;
        return;
    }
    tally->seen[count->line / 64] |= bit;
    tally->lines++;
    tally->newlines += count->newlines;
    tally->words += count->words;
    tally->bytes += count->bytes;
}

void tally_receive(struct tally *tally, gnl_port *counts, uint64_t lines, int64_t timeout)
{
    for (unsigned i = 0; i < AT_A_TIME && tally->lines < lines; i++) {
        struct count count;
        ssize_t size = gnl_recv(counts, &count, sizeof count, i == 0 ? timeout : GNL_NOWAIT);
        if (size == -EAGAIN || size == -ETIMEDOUT)
            return;
        if (size != (ssize_t)sizeof count)
            give_up("receiving counts", size < 0 ? gnl_error_detail() : "one is too short");
        add(tally, &count);
    }
}
