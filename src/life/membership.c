/* SPDX-License-Identifier: Apache-2.0 */
#include "life/membership.h"

#include <pthread.h>
#include <stddef.h>

#include "life/process.h"

static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

void gnli_telling_lock(void)
{
    pthread_mutex_lock(&telling);
}

void gnli_telling_unlock(void)
{
    pthread_mutex_unlock(&telling);
}

void gnli_membership_begin(struct gnli_memberships *object, struct gnli_membership *member)
{
    gnli_telling_lock();
    member->next = object->first;
    member->at = &object->first;
    if (member->next)
        member->next->at = &member->next;
    object->first = member;
    atomic_store_explicit(&object->any, true, memory_order_relaxed); /* A */
    gnli_telling_unlock();
}

void gnli_membership_end(struct gnli_membership *member)
{
    if (!member->at)
        return;
    gnli_telling_lock();
    *member->at = member->next;
    if (member->next)
        member->next->at = member->at;
    member->at = NULL;
    gnli_telling_unlock();
}

void gnli_memberships_tell(struct gnli_memberships *object, enum gnli_unseen what, bool is_so)
{
    if (!atomic_load_explicit(&object->any, memory_order_relaxed)) /* A */
        return;
    gnli_telling_lock();
    for (struct gnli_membership *member = object->first; member; member = member->next)
        if (member->told)
            member->told(member, what, is_so);
    gnli_telling_unlock();
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
