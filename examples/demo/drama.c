/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drama (drama.h), act by act, each told to those who watch.
 */
#include "drama.h"

#include <stdio.h>
#include <string.h>

#define STOPPED_NS ((int64_t)1000000000)

void drama_init(struct drama *drama, uint64_t lines)
{
    *drama = (struct drama){ .stop_at = lines / 4, .kill_at = lines / 2 };
    if (lines == 0)
        drama->stop_at = drama->kill_at = UINT64_MAX;
}

static unsigned number_of(const struct crew *crew, const struct member *worker)
{
    return (unsigned)(worker - crew->workers) + 1;
}

static void stop_one(struct drama *drama, struct crew *crew, struct show *show)
{
    drama->stopped = crew_stop_holder(crew);
    if (!drama->stopped)
        return;
    drama->stopped_held = drama->stopped->held;
    drama->stopped_ns = now_ns();
    show_event(show, "worker %u is STOPPED, holding %s lines", number_of(crew, drama->stopped),
               grouped(drama->stopped_held));
}

static void continue_it(struct drama *drama, struct crew *crew, struct show *show)
{
    crew_look(crew);
    drama->robbed = drama->stopped->held < drama->stopped_held;
    show_event(show, "worker %u is continued after %.2f s; it %s %s lines", number_of(crew, drama->stopped),
               (double)(now_ns() - drama->stopped_ns) / 1e9,
               drama->robbed ? "WAS ROBBED and holds" : "still holds its", grouped(drama->stopped->held));
    drama->continued = true;
    crew_continue(drama->stopped);
}

static void kill_one(struct drama *drama, struct crew *crew, struct show *show)
{
    drama->killed = crew_stop_holder(crew);
    if (!drama->killed)
        return;
    crew_kill(drama->killed);
    show_event(show, "worker %u is KILLED (SIGKILL), holding %s lines", number_of(crew, drama->killed),
               grouped(drama->killed->held));
}

static void see_delivered(struct drama *drama, struct crew *crew, const struct tally *tally,
                          struct show *show)
{
    char who[256] = "";

    if (tally->redelivered < drama->killed->held)
        return;
    drama->delivered = true;
    for (unsigned i = 0; i < WORKERS; i++)
        if (tally->redelivered_to[i] > 0)
            snprintf(who + strlen(who), sizeof who - strlen(who), "%s %s to worker %u", *who ? "," : "",
                     grouped(tally->redelivered_to[i]), i + 1);
    show_event(show, "%s lines of worker %u were REDELIVERED:%s", grouped(tally->redelivered),
               number_of(crew, drama->killed), who);
}

bool drama_play(struct drama *drama, struct crew *crew, const struct tally *tally, struct show *show)
{
    if (!drama->stopped && tally->lines >= drama->stop_at)
        stop_one(drama, crew, show);
    if (drama->stopped && !drama->continued && now_ns() - drama->stopped_ns >= STOPPED_NS)
        continue_it(drama, crew, show);
    if (drama->stopped && !drama->killed && tally->lines >= drama->kill_at)
        kill_one(drama, crew, show);
    if (drama->killed && !drama->delivered)
        see_delivered(drama, crew, tally, show);
    return tally->lines < drama_next(drama);
}

uint64_t drama_next(const struct drama *drama)
{
    return !drama->stopped ? drama->stop_at : !drama->killed ? drama->kill_at : UINT64_MAX;
}

bool drama_over(const struct drama *drama)
{
    return drama->continued && drama->delivered;
}
