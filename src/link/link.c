/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links as ports: the table of operations, and gnl_open("direct:NAME").
 *
 *   A: relaxed: marks and counts.
 */
#include "link/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ginnel/options.h>

#include "base/errors.h"
#include "life/process.h"

static int end(gnl_port *port, gnl_message *message, bool giveback)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnli_place *place;

    int result = gnli_link_place_of(link, message, &place);
    if (result < 0)
        return result;
    if (place->loan && giveback)
        return gnli_fail(-EINVAL, "%s: a loan can't be given back: drop it with gnl_done", port->subject);
    message->port_ = NULL;
    message->data = NULL;
    if (!place->loan)
        return gnli_link_end(link, place, giveback);
    gnli_link_drop(link, place);
    return 0;
}

static int done(gnl_port *port, gnl_message *message)
{
    return end(port, message, false);
}

static int giveback(gnl_port *port, gnl_message *message)
{
    return end(port, message, true);
}

static int after_fork(gnl_port *port)
{
    return gnli_fail(-EPERM, "%s: is the parent process's", port->subject);
}

static void interrupt(gnl_port *port)
{
    gnli_link_interrupt(gnli_link_of(port)->me);
}

/* What I have sent. Both locks are held. */
static void add_out(const struct gnli_link *link, struct gnl_port_info *seen)
{
    struct gnli_out *out = link->out;

    seen->capacity = out ? out->capacity : link->capacity;
    seen->message_max = out ? out->message_max : link->message_max;
    if (!out)
        return;
    gnli_frames_look(&out->writer);
    seen->queued += out->capacity == GNL_RENDEZVOUS ? 0 : gnli_frames_queued(&out->writer);
    /* It has passed what was withdrawn, too, and the word that no more comes. */
    seen->received += out->writer.left < seen->sent ? out->writer.left : seen->sent;
    seen->bytes += out->pieces.next;
    seen->peer =
        (struct gnl_sender){ .pid = out->listens.pid, .uid = out->listens.uid, .gid = out->listens.gid };
    strcpy(seen->peer.name, link->name);
}

/* What it has sent me, as far as it says so itself. */
static void add_in(const struct gnli_link *link, struct gnl_port_info *seen)
{
    struct gnli_in *in = link->in;

    if (!in)
        return;
    uint64_t written = atomic_load_explicit(&in->memory.theirs->written, memory_order_relaxed); /* A */
    if (written > in->reader.frames && in->capacity != GNL_RENDEZVOUS)
        seen->queued += written - in->reader.frames;
    seen->sent += written;
    seen->peer = in->sender;
}

static int info(gnl_port *port, struct gnl_port_info *info)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnl_port_info seen = { .kind = GNL_DIRECT, .two_way = 1, .mode = 0600, .owner_uid = geteuid() };
    uint64_t returned = 0;

    gnli_pump(link->me, gnli_pump_rounds(link->me), 0);
    bool locked = gnli_lock(&link->sending);
    bool locked_too = gnli_lock(&link->receiving);
    seen.sent = atomic_load_explicit(&link->sent, memory_order_relaxed);               /* A */
    seen.received = atomic_load_explicit(&link->received, memory_order_relaxed);       /* A */
    seen.redelivered = atomic_load_explicit(&link->redelivered, memory_order_relaxed); /* A */
    add_out(link, &seen);
    add_in(link, &seen);
    for (struct gnli_place *place = link->returned; place; place = place->next)
        returned++;
    seen.queued += returned;
    seen.held = atomic_load_explicit(&link->holding, memory_order_relaxed) - returned; /* A */
    seen.received += seen.redelivered;
    seen.senders = seen.receivers = 1 + (link->in != NULL);
    gnli_unlock(&link->receiving, locked_too);
    gnli_unlock(&link->sending, locked);
    strcpy(seen.address, "direct:");
    strcat(seen.address, link->me->claim.address.machine_wide ? "/" : "");
    strcat(seen.address, link->name);
    *info = seen;
    return 0;
}

/* Calls that came by the identity leave, too. Returns with the identity's lock: nobody else comes. */
static void wait_for_users(struct gnl_identity *me, struct gnli_link *link)
{
    for (;;) {
        pthread_mutex_lock(&me->lock);
        if (link->users == 0)
            return;
        pthread_mutex_unlock(&me->lock);
        gnli_link_interrupt(me);
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
}

static void free_places(struct gnli_link *link, bool ours)
{
    for (unsigned i = 0; link->places && i < 2 * GNL_HELD_MAX; i++) {
        struct gnli_place *place = &link->places[i];
        if (ours && place->in && --place->in->held == 0 && place->in->dropped)
            gnli_in_free(place->in);
        if (ours && place->out && --place->out->loans == 0 && place->out->dropped)
            gnli_out_free(place->out);
        free(place->buffer);
    }
    free(link->places);
}

/* In a forked child only memory goes: who else was inside stayed with the parent, and so did descriptors. */
static void close_parents(struct gnli_link *link)
{
    gnli_link_unlist(link->me, link);
    if (link->out) {
        gnli_out_disown(link->out);
        gnli_out_free(link->out);
    }
    for (struct gnli_in *in = link->in, *next; in; in = next) {
        next = in->next;
        gnli_in_disown(in);
        gnli_in_free(in);
    }
    free_places(link, false);
    free(link);
}

static int close_link(gnl_port *port)
{
    struct gnli_link *link = gnli_link_of(port);
    struct gnl_identity *me = link->me;

    if (!gnli_process_is(atomic_load_explicit(&port->stamp, memory_order_relaxed))) { /* A */
        close_parents(link);
        return 0;
    }
    wait_for_users(me, link);
    gnli_link_unlist(me, link);
    if (link->out) {
        gnli_out_goodbye(link->out);
        gnli_out_ends(link);
    }
    for (struct gnli_in *in = link->in, *next; in; in = next) {
        next = in->next;
        gnli_in_drop(in);
    }
    free_places(link, true);
    for (int i = 0; i < 2; i++)
        gnli_shut(&(int){ gnli_event_descriptor(&link->events[i]) });
    pthread_mutex_unlock(&me->lock);
    free(link);
    return 0;
}

const struct gnli_port_operations gnli_link_operations = {
    .send = gnli_link_send,
    .recv = gnli_link_recv,
    .loan = gnli_link_loan,
    .post = gnli_link_post,
    .take = gnli_link_take,
    .done = done,
    .giveback = giveback,
    .fd = gnli_link_fd,
    .ready = gnli_link_ready,
    .finish = gnli_link_finish,
    .info = info,
    .after_fork = after_fork,
    .give = gnli_link_give,
    .receive_given = gnli_link_receive_given,
    .interrupt = interrupt,
    .close = close_link,
};

/* ---- by address ---- */

static int open_link(gnl_port **port, const struct gnli_address *address, const struct gnl_options *options)
{
    char name[GNL_NAME_MAX + 2];

    if (!options->identity)
        return gnli_fail(-EINVAL,
                         "direct link with '%s': who are you? options.identity, of gnl_identity_claim",
                         address->name);
    if (options->create || options->direction || options->side || options->max_deliveries ||
        options->dead_letters || options->stream || options->mode || options->owner_uid)
        return gnli_fail(-EINVAL,
                         "direct link with '%s': of the options only identity, capacity and message_max",
                         address->name);
    strcpy(name, address->machine_wide ? "/" : "");
    strcat(name, address->name);
    return gnli_link_open(options->identity, name, port, options->capacity, options->message_max);
}

static int remove_link(const struct gnli_address *address)
{
    return gnli_claim_sweep(address);
}

static ssize_t inspect_link(const struct gnli_address *address, struct gnl_port_info *info,
                            struct gnl_participant *participants, size_t count)
{
    return gnli_identity_inspect(address, info, participants, count);
}

const struct gnli_kind gnli_link_kind = {
    .name = "direct",
    .kind = GNL_DIRECT,
    .open = open_link,
    .remove = remove_link,
    .inspect = inspect_link,
};
