/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places that a link has for messages that are held, and for loans.
 *
 *   A: relaxed: marks and counts.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/errors.h"
#include "link/link.h"

#define PLACES     ((size_t)2 * GNL_HELD_MAX)
#define ROOM_LEAST ((size_t)64) /* bytes of a buffer */

static int make_places(struct gnli_link *link)
{
    struct gnli_place *places = calloc(PLACES, sizeof *places);

    if (!places)
        return gnli_fail_plain(-ENOMEM, link->port.subject);
    for (size_t i = 0; i < PLACES; i++) {
        places[i].next = link->free_place[i / GNL_HELD_MAX];
        link->free_place[i / GNL_HELD_MAX] = &places[i];
    }
    link->places = places;
    return 0;
}

/* The placing lock is held. */
static int take_place(struct gnli_link *link, struct gnli_place **taken, bool loan)
{
    int result = link->places ? 0 : make_places(link);
    if (result < 0)
        return result;
    struct gnli_place *place = link->free_place[loan];
    if (!place)
        return gnli_fail(-ENOBUFS, "%s: %d %s: gnl_done some", link->port.subject, GNL_HELD_MAX,
                         loan ? "loans are out already" : "messages are held already");
    link->free_place[loan] = place->next;
    place->used = true;
    place->loan = loan;
    place->serial = ++link->serial;
    place->in = NULL;
    place->out = NULL;
    place->offset = 0;
    place->next = NULL;
    *taken = place;
    return 0;
}

/*
 * What is in its buffer goes. Small messages get small ones: those of a batch then lie close together, not
 * each in a page of its own.
 */
static int make_room(struct gnli_place *place, size_t size)
{
    size_t room = GNLI_FRAME_BYTES;

    while (room > ROOM_LEAST && room / 2 >= size)
        room /= 2;
    char *buffer = malloc(room);
    if (!buffer)
        return -ENOMEM;
    free(place->buffer);
    place->buffer = buffer;
    place->room = room;
    return 0;
}

int gnli_place_take(struct gnli_link *link, struct gnli_place **taken, bool loan, bool buffer, size_t size)
{
    struct gnli_place *place = NULL;

    bool locked = gnli_lock(&link->placing);
    int result = take_place(link, &place, loan);
    gnli_unlock(&link->placing, locked);
    if (result < 0)
        return result;
    assert(place);
    if (buffer && (!place->buffer || place->room < size) && make_room(place, size) < 0) {
        gnli_place_free(link, place);
        return gnli_fail_plain(-ENOMEM, link->port.subject);
    }
    place->size = size;
    *taken = place;
    return 0;
}

void gnli_place_free(struct gnli_link *link, struct gnli_place *place)
{
    bool locked = gnli_lock(&link->placing);
    place->used = false;
    place->next = link->free_place[place->loan];
    link->free_place[place->loan] = place;
    gnli_unlock(&link->placing, locked);
}

int gnli_link_place_of(struct gnli_link *link, const gnl_message *message, struct gnli_place **found)
{
    uint64_t number = message->private_[GNLI_MESSAGE_PLACE];

    if (message->private_[GNLI_MESSAGE_STAMP] !=
        atomic_load_explicit(&link->port.stamp, memory_order_relaxed)) /* A */
        return gnli_fail(-EPERM, "%s: this message is held by the parent process", link->port.subject);
    bool locked = gnli_lock(&link->placing);
    struct gnli_place *place = link->places && number < PLACES ? &link->places[number] : NULL;
    bool good = place && place->used && place->serial == message->private_[GNLI_MESSAGE_SERIAL];
    gnli_unlock(&link->placing, locked);
    if (!good)
        return gnli_fail(-EINVAL, "%s: this message has ended", link->port.subject);
    *found = place;
    return 0;
}
