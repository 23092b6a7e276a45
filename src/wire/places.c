/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places of a port for messages that are held, and for loans.
 *
 *   A: relaxed: counts and marks.
 */
#include "wire/wire.h"

#include <errno.h>

#include "base/errors.h"

enum { PLACE, SERIAL, STAMP }; /* in a message's private numbers */

static struct gnli_wire_place *free_place(struct gnli_wire *wire, bool loan)
{
    for (size_t i = 0; i < GNL_HELD_MAX; i++) {
        struct gnli_wire_place *place = &wire->places[loan ? GNL_HELD_MAX + i : i];
        if (!place->copy)
            return place;
    }
    return NULL;
}

static int no_place(struct gnli_wire *wire, bool loan)
{
    return gnli_fail(-ENOBUFS, "%s: %d %s: gnl_done some", wire->port.subject, GNL_HELD_MAX,
                     loan ? "loans are out already" : "messages are held already");
}

int gnli_wire_room(struct gnli_wire *wire)
{
    return atomic_load_explicit(&wire->holding, memory_order_relaxed) < GNL_HELD_MAX /* A */
               ? 0
               : no_place(wire, false);
}

int gnli_wire_place(struct gnli_wire *wire, struct gnli_copy *copy, bool loan, gnl_message *message)
{
    pthread_mutex_lock(&wire->placing);
    struct gnli_wire_place *place = free_place(wire, loan);
    uint64_t serial = ++wire->serial;
    if (place)
        *place = (struct gnli_wire_place){ .copy = copy, .serial = serial };
    pthread_mutex_unlock(&wire->placing);
    if (!place)
        return no_place(wire, loan);
    if (!loan)
        atomic_fetch_add_explicit(&wire->holding, 1, memory_order_relaxed); /* A */
    unsigned redelivered = copy->deliveries > 1 ? GNL_REDELIVERED : 0;
    unsigned vouched = copy->sender.pid != 0 ? GNL_SENDER_VOUCHED : 0;
    *message = (gnl_message){
        .data = copy->data + copy->at,
        .size = copy->size - copy->at,
        .sender = copy->sender,
        .flags = redelivered | vouched,
        .deliveries = copy->deliveries,
        .port_ = &wire->port,
        .private_ = { [PLACE] = (uint64_t)(place - wire->places),
                      [SERIAL] = serial,
                      [STAMP] = atomic_load_explicit(&wire->port.stamp, memory_order_relaxed) }, /* A */
    };
    return 0;
}

int gnli_wire_find(struct gnli_wire *wire, const gnl_message *message, struct gnli_wire_place **place,
                   bool *loan)
{
    uint64_t number = message->private_[PLACE];

    *loan = number >= GNL_HELD_MAX;
    pthread_mutex_lock(&wire->placing);
    struct gnli_wire_place *found = number < (uint64_t)2 * GNL_HELD_MAX ? &wire->places[number] : NULL;
    bool good =
        found && found->copy && found->serial == message->private_[SERIAL] &&
        message->private_[STAMP] == atomic_load_explicit(&wire->port.stamp, memory_order_relaxed); /* A */
    pthread_mutex_unlock(&wire->placing);
    if (!good)
        return gnli_fail(-EINVAL, "%s: this message has ended", wire->port.subject);
    *place = found;
    return 0;
}

struct gnli_copy *gnli_wire_unplace(struct gnli_wire *wire, struct gnli_wire_place *place, bool loan)
{
    pthread_mutex_lock(&wire->placing);
    struct gnli_copy *copy = place->copy;
    place->copy = NULL;
    pthread_mutex_unlock(&wire->placing);
    if (!loan)
        atomic_fetch_sub_explicit(&wire->holding, 1, memory_order_relaxed); /* A */
    return copy;
}
