/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of a waitset, found by number, as the kernel names them, and by tag, as the user does.
 *
 * A member may be removed between the kernel's telling of it and the look at it. So a number is a place in a
 * table and a serial that grows with each use of the place: what was told of the one before leads nowhere.
 */
#ifndef GNLI_WAITSET_MEMBERS_H
#define GNLI_WAITSET_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

#include <ginnel/waitset.h>

#include "life/membership.h"

struct gnli_member {
    struct gnli_membership membership; /* of a plain descriptor: in no list */
    gnl_waitset *set;
    gnl_port *port; /* NULL: its descriptor tells all */
    void *tag;
    unsigned events;    /* that the user asked for */
    int descriptors[2]; /* in the kernel's set, for receiving and for sending; -1 none */
    uint64_t number;    /* never 0 */
    uint64_t told;      /* the last look that found it ready */
    struct gnli_member *raised_next,
        **raised_at;          /* what no descriptor tells of; NULL: nothing. When telling */
    struct gnli_member *next; /* of the same chain */
};

struct gnli_members { /* all zero at first */
    struct gnli_member_place {
        struct gnli_member *member; /* NULL: free */
        uint32_t serial;
        uint32_t next_free;
    } * places;
    uint32_t room, used, first_free; /* places from `used` on were never in use */
    uint32_t free;                   /* how many are in the list of the free ones */
    struct gnli_member **chains;
    uint32_t chains_count;
};

/* -ENOMEM. Gives it its number. */
int gnli_members_add(struct gnli_members *members, struct gnli_member *member);
void gnli_members_remove(struct gnli_members *members, struct gnli_member *member);

/* NULL: it is there no more. */
struct gnli_member *gnli_members_find(const struct gnli_members *members, uint64_t number);

/* One with that tag; NULL: none. */
struct gnli_member *gnli_members_tagged(const struct gnli_members *members, const void *tag);

/* Any; NULL: there is none. */
struct gnli_member *gnli_members_last(struct gnli_members *members);
void gnli_members_free(struct gnli_members *members);

#endif
