/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of which sets an object is a member: a waitset watches ports and the like, which may be closed before it
 * is freed. Then each of them is told.
 *
 * A port may have its sets watch its socket itself, and tell them of what the kernel does not see: that costs
 * no descriptor. Telling has a lock of its own, the innermost of all.
 *
 *   A: relaxed: a hint whether there is anybody to tell; who has just become a member is told anew.
 */
#ifndef GNLI_LIFE_MEMBERSHIP_H
#define GNLI_LIFE_MEMBERSHIP_H

#include <stdatomic.h>
#include <stdbool.h>

enum gnli_unseen {
    GNLI_RAISED, /* there is something to receive that no descriptor tells of */
    GNLI_WRITES, /* something is left to be written: look at the port when there is room */
};

struct gnli_membership {
    struct gnli_membership *next;
    struct gnli_membership **at;                         /* where it is listed; NULL: nowhere */
    void (*object_ends)(struct gnli_membership *member); /* it is in no list any more, and may be freed */
    /* NULL: nobody tells. The telling's lock is held. */
    void (*told)(struct gnli_membership *member, enum gnli_unseen what, bool is_so);
};

struct gnli_memberships {          /* in the object; all zero at first; under the handles' lock */
    struct gnli_membership *first; /* under the telling's lock, too */
    atomic_bool any;
};

/*
 * For who becomes a member: with the object's memberships, and its descriptors for receiving and for
 * sending (-1: not asked for). The object stays until it returns.
 */
typedef int gnli_join(struct gnli_memberships *object, const int descriptors[2], void *context);

/* The handles' lock is held. */
void gnli_membership_begin(struct gnli_memberships *object, struct gnli_membership *member);
void gnli_membership_end(struct gnli_membership *member);

/* What is so of the object from now on. */
void gnli_memberships_tell(struct gnli_memberships *object, enum gnli_unseen what, bool is_so);

/* Keeps off whoever tells. Taken last; fork takes it, too. */
void gnli_telling_lock(void);
void gnli_telling_unlock(void);

/* The object ends: its members are told, with the handles' lock held, which this takes. */
void gnli_memberships_end(struct gnli_memberships *object);

#endif
