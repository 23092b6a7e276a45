/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The links that an identity has: made when first needed, their halves paired and ended.
 *
 *   A: relaxed: marks, under the identity's lock or a link's.
 *   B: the counts move to where the other side looks (release), which acquires them: ring/frames.h, B.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ginnel/options.h>

#include "base/errors.h"
#include "link/link.h"

struct gnli_link *gnli_link_find(struct gnl_identity *me, const char *name, bool make)
{
    for (struct gnli_link *link = me->links; link; link = link->next)
        if (strcmp(link->name, name) == 0)
            return link;
    struct gnli_link *link = make ? aligned_alloc(_Alignof(struct gnli_link), sizeof *link) : NULL;
    if (!link)
        return NULL;
    memset(link, 0, sizeof *link);
    link->port.operations = &gnli_link_operations;
    snprintf(link->port.subject, sizeof link->port.subject, "direct link with '%s%s'",
             me->claim.address.machine_wide ? "/" : "", name);
    atomic_store_explicit(&link->port.stamp, atomic_load_explicit(&me->stamp, memory_order_relaxed), /* A */
                          memory_order_relaxed);                                                     /* A */
    link->me = me;
    snprintf(link->name, sizeof link->name, "%s", name);
    link->capacity = me->capacity;
    link->message_max = GNL_MESSAGE_MAX_DEFAULT;
    pthread_mutex_init(&link->sending, NULL);
    pthread_mutex_init(&link->receiving, NULL);
    pthread_mutex_init(&link->placing, NULL);
    gnli_spin_init(&link->out_spin);
    gnli_spin_init(&link->in_spin);
    gnli_event_init(&link->events[0]);
    gnli_event_init(&link->events[1]);
    link->next = me->links;
    me->links = link;
    return link;
}

bool gnli_link_full(struct gnl_identity *me, const char *name)
{
    struct gnli_link *link = gnli_link_find(me, name, false);
    unsigned halves = 0;

    if (!link)
        return false;
    bool locked = gnli_lock(&link->receiving);
    for (struct gnli_in *in = link->in; in; in = in->next)
        halves++;
    gnli_unlock(&link->receiving, locked);
    return halves >= GNLI_HALVES_MAX;
}

bool gnli_link_idle(const struct gnli_link *link)
{
    return link->users == 0 && !link->lent && !link->out && !link->in;
}

void gnli_link_unlist(struct gnl_identity *me, struct gnli_link *link)
{
    for (struct gnli_link **each = &me->links; *each; each = &(*each)->next)
        if (*each == link) {
            *each = link->next;
            return;
        }
}

/* ---- halves ---- */

/* Both of the link's locks are held. */
static void pair(struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    if (!out || out->theirs)
        return;
    for (struct gnli_in *in = link->in; in; in = in->next) {
        if (in->told || in->sender.pid != out->listens.pid || gnli_hung_up(in->socket) ||
            gnli_hung_up(out->socket))
            continue;
        struct gnli_side *own = out->memory.own;
        atomic_store_explicit(&own->left.frames, in->reader.frames, memory_order_release); /* B */
        atomic_store_explicit(&own->left.blocks, in->reader.blocks, memory_order_release); /* B */
        in->reader.left = &own->left;
        in->told = own;
        in->held++; /* as long as the other half looks into its memory */
        out->opposite = in;
        out->theirs = in->memory.theirs;
        out->writer.reader = &in->memory.theirs->left;
        return;
    }
}

void gnli_in_drop(struct gnli_in *in)
{
    in->dropped = true;
    gnli_in_hang_up(in);
    if (in->held == 0)
        gnli_in_free(in);
}

void gnli_out_drop(struct gnli_out *out)
{
    out->dropped = true;
    gnli_out_hang_up(out);
    if (out->loans == 0)
        gnli_out_free(out);
}

void gnli_out_ends(struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    link->outs_ended++;
    link->untold = true;
    atomic_store_explicit(&link->port.finished, false, memory_order_relaxed); /* A */
    if (!out->opposite && !link->in) { /* it never sent anything: who waits for that is told now */
        link->ins_ended++;
        link->in_untold = true;
    }
    if (out->offered)
        link->offer_taken = !gnli_token_read(out->token[0]);

    if (out->opposite) {
        struct gnli_in *in = out->opposite;
        atomic_store_explicit(&in->unpaired.frames, in->reader.frames, memory_order_relaxed); /* A */
        atomic_store_explicit(&in->unpaired.blocks, in->reader.blocks, memory_order_relaxed); /* A */
        in->reader.left = &in->unpaired;
        in->told = NULL;
        atomic_store_explicit(&in->hung, true, memory_order_relaxed); /* A */
        if (--in->held == 0 && in->dropped)
            gnli_in_free(in);
    }
    link->out = NULL;
    gnli_out_drop(out);
}

int gnli_link_connect(struct gnl_identity *me, struct gnli_link *link)
{
    struct gnli_out *out = link->out;

    if (out && !atomic_load_explicit(&out->hung, memory_order_relaxed) && /* A */
        !(out->theirs == NULL && gnli_hung_up(out->socket)))
        return 0;
    bool locked = gnli_lock(&link->receiving);
    if (out)
        gnli_out_ends(link);
    bool back = false;
    for (struct gnli_in *in = link->in; in; in = in->next)
        back = back || !atomic_load_explicit(&in->hung, memory_order_relaxed); /* A */
    int result = gnli_out_open(&link->out, me, link->name, link->capacity, link->message_max, back,
                               link->port.subject);
    if (result == 0) {
        out = link->out;
        assert(out);
        out->id = me->next_id += GNLI_PARTS;
        if (gnli_watch(me, out->socket, out->id, false) < 0 ||
            gnli_watch(me, out->life, out->id + GNLI_PART_LIFE, true) < 0) {
            link->out = NULL;
            gnli_out_drop(out);
            result = gnli_fail(-ENOMEM, "%s: cannot watch it", link->port.subject);
        } else {
            pair(link);
        }
    }
    gnli_unlock(&link->receiving, locked);
    return result;
}

void gnli_link_attach(struct gnl_identity *me, struct gnli_in *in)
{
    struct gnli_link *link = gnli_link_find(me, in->sender.name, true);
    struct gnli_in **last;

    in->id = me->next_id += GNLI_PARTS;
    if (!link || gnli_watch(me, in->socket, in->id, false) < 0 ||
        gnli_watch(me, in->bell, in->id + GNLI_PART_BELL, true) < 0 ||
        gnli_watch(me, in->life, in->id + GNLI_PART_LIFE, true) < 0) {
        gnli_in_drop(in);
        return;
    }
    bool locked = gnli_lock(&link->sending);
    bool locked_too = gnli_lock(&link->receiving);
    gnli_link_bury(link);
    unsigned halves = 0;
    bool second = false;
    for (last = &link->in; *last; last = &(*last)->next, halves++)
        second = second || ((*last)->sender.pid == in->sender.pid && in->sender.pid != 0 &&
                            !gnli_hung_up((*last)->socket));
    if (second || halves >= GNLI_HALVES_MAX) {
        gnli_in_drop(in);
        gnli_unlock(&link->receiving, locked_too);
        gnli_unlock(&link->sending, locked);
        return;
    }
    *last = in;
    if (gnli_hung_up(in->socket)) /* all that it sent is there, and that is all */
        atomic_store_explicit(&in->hung, true, memory_order_relaxed); /* A */
    link->takes_offers = link->takes_offers || in->capacity == GNL_RENDEZVOUS;
    pair(link);
    gnli_unlock(&link->receiving, locked_too);
    if (!in->told)
        gnli_link_connect(me, link);
    gnli_unlock(&link->sending, locked);
}

/* ---- ends ---- */

/* What has ended goes, but for what is still to be received: true, there is some of that. */
static bool end_halves(struct gnli_link *link)
{
    bool locked = gnli_lock(&link->sending);
    bool locked_too = gnli_lock(&link->receiving);
    struct gnli_out *out = link->out;

    gnli_link_bury(link);
    if (out && (atomic_load_explicit(&out->hung, memory_order_relaxed) || /* A */
                (out->opposite && out->opposite->dropped)))
        gnli_out_ends(link);
    bool unread = link->in && atomic_load_explicit(&link->in->hung, memory_order_relaxed); /* A */
    gnli_unlock(&link->receiving, locked_too);
    gnli_unlock(&link->sending, locked);
    return unread;
}

void gnli_links_tidy(struct gnl_identity *me)
{
    unsigned untold = 0;

    me->ended = false;
    for (struct gnli_link **last = &me->links, *link; (link = *last);) {
        me->ended |= end_halves(link);
        if (gnli_link_idle(link) && ((!link->untold && !link->in_untold) || ++untold > GNLI_UNTOLD_MAX)) {
            *last = link->next;
            free(link);
        } else {
            last = &link->next;
        }
    }
}
