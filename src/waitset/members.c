/* SPDX-License-Identifier: Apache-2.0 */
#include "waitset/members.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_FIRST 16

static struct gnli_member **chain_of(const struct gnli_members *members, const void *tag)
{
    uint64_t mixed = (uint64_t)(uintptr_t)tag * 0x9e3779b97f4a7c15u; /* addresses end in zeros */

    return &members->chains[(mixed >> 32) & (members->chains_count - 1)];
}

/* As many chains as places, so that one is short. */
static int grow(struct gnli_members *members)
{
    uint32_t room = members->room > 0 ? members->room * 2 : ROOM_FIRST;
    struct gnli_member **chains = calloc(room, sizeof(struct gnli_member *));
    struct gnli_member_place *places = chains ? reallocarray(members->places, room, sizeof *places) : NULL;

    if (!places) {
        free(chains);
        return -ENOMEM;
    }
    for (uint32_t i = members->room; i < room; i++)
        places[i] = (struct gnli_member_place){ 0 };
    free(members->chains);
    members->places = places;
    members->chains = chains;
    members->room = members->chains_count = room;
    for (uint32_t i = 0; i < members->used; i++) {
        struct gnli_member *member = places[i].member;
        if (member) {
            struct gnli_member **chain = chain_of(members, member->tag);
            member->next = *chain;
            *chain = member;
        }
    }
    return 0;
}

int gnli_members_add(struct gnli_members *members, struct gnli_member *member)
{
    if (members->free == 0 && members->used == members->room) {
        int result = grow(members);
        if (result < 0)
            return result;
    }
    uint32_t at = members->used;
    if (members->free > 0) {
        at = members->first_free;
        members->first_free = members->places[at].next_free;
        members->free--;
    } else {
        members->used++;
    }
    struct gnli_member_place *place = &members->places[at];
    place->member = member;
    place->serial = place->serial == UINT32_MAX ? 1 : place->serial + 1;
    member->number = (uint64_t)place->serial << 32 | at;
    struct gnli_member **chain = chain_of(members, member->tag);
    member->next = *chain;
    *chain = member;
    return 0;
}

void gnli_members_remove(struct gnli_members *members, struct gnli_member *member)
{
    uint32_t at = (uint32_t)member->number;
    struct gnli_member **chain = chain_of(members, member->tag);

    while (*chain != member)
        chain = &(*chain)->next;
    *chain = member->next;
    members->places[at].member = NULL;
    members->places[at].next_free = members->first_free;
    members->first_free = at;
    members->free++;
}

struct gnli_member *gnli_members_find(const struct gnli_members *members, uint64_t number)
{
    uint32_t at = (uint32_t)number;
    struct gnli_member *member = at < members->used ? members->places[at].member : NULL;

    return member && member->number == number ? member : NULL;
}

struct gnli_member *gnli_members_tagged(const struct gnli_members *members, const void *tag)
{
    if (members->chains_count == 0)
        return NULL;
    struct gnli_member *member = *chain_of(members, tag);
    while (member && member->tag != tag)
        member = member->next;
    return member;
}

struct gnli_member *gnli_members_last(struct gnli_members *members)
{
    /* For who takes all out: places behind it are not looked at again. */
    while (members->used > 0 && !members->places[members->used - 1].member)
        members->used--;
    return members->used > 0 ? members->places[members->used - 1].member : NULL;
}

void gnli_members_free(struct gnli_members *members)
{
    free(members->places);
    free(members->chains);
}
