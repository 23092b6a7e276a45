/* SPDX-License-Identifier: Apache-2.0 */
#include "life/membership.h"

#include <stddef.h>

#include "life/process.h"

void gnli_membership_begin(struct gnli_memberships *object, struct gnli_membership *member)
{
    member->next = object->first;
    member->at = &object->first;
    if (member->next)
        member->next->at = &member->next;
    object->first = member;
}

void gnli_membership_end(struct gnli_membership *member)
{
    if (!member->at)
        return;
    *member->at = member->next;
    if (member->next)
        member->next->at = member->at;
    member->at = NULL;
}

void gnli_memberships_end(struct gnli_memberships *object)
{
    gnli_handles_lock();
    while (object->first) {
        struct gnli_membership *member = object->first;
        gnli_membership_end(member);
        member->object_ends(member);
    }
    gnli_handles_unlock();
}
