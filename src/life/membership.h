/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of which sets an object is a member: a waitset watches ports and the like, which may be closed before it
 * is freed. Then each of them is told.
 */
#ifndef GNLI_LIFE_MEMBERSHIP_H
#define GNLI_LIFE_MEMBERSHIP_H

#include <stdbool.h>

struct gnli_membership {
    struct gnli_membership *next;
    struct gnli_membership **at;                         /* where it is listed; NULL: nowhere */
    void (*object_ends)(struct gnli_membership *member); /* it is in no list any more, and may be freed */
};

struct gnli_memberships { /* in the object; all zero at first; under the handles' lock */
    struct gnli_membership *first;
};

/*
 * For who becomes a member: with the object's memberships, and its descriptors for receiving and for
 * sending (-1: not asked for). The object stays until it returns.
 */
typedef int gnli_join(struct gnli_memberships *object, const int descriptors[2], void *context);

/* The handles' lock is held. */
void gnli_membership_begin(struct gnli_memberships *object, struct gnli_membership *member);
void gnli_membership_end(struct gnli_membership *member);

/* The object ends: its members are told, with the handles' lock held, which this takes. */
void gnli_memberships_end(struct gnli_memberships *object);

#endif
