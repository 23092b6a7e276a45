/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The torture of direct links: what its processes share, and the operations (links_victim.c), which the
 * runs (links.c) kill and stop.
 */
#ifndef TORTURE_LINKS_H
#define TORTURE_LINKS_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/ginnel.h>

#define PATIENCE_NS gnl_s(5)
#define SMALL       ((size_t)64)
#define LARGE       ((size_t)9000)

struct stage {
    sem_t go;                      /* the survivor has its name */
    sem_t there;                   /* the victim has made its link with it */
    sem_t filled;                  /* and what it is to receive is sent */
    _Atomic uint64_t trying, told; /* messages of the victim: begun, returned from */
    _Atomic uint64_t refused;      /* one more than the one whose call failed */
    _Atomic uint64_t heard;        /* of the mate's, that it has received */
    atomic_int result;             /* of the operation */
    atomic_int mate_result;
    atomic_int mate_inside, mate_over;
};

extern struct stage *stage;
extern gnl_identity *me; /* of whichever process this is */

enum mate { ALONE, MATE_SENDS, MATE_RECEIVES }; /* another process, asleep in a call to the victim */

struct operation {
    const char *name, *what;
    void (*ready)(void);
    int (*run)(void);
    enum mate mate;
    bool bare;       /* the victim has no link when it begins */
    bool ends;       /* the link has ended when it is over */
    int result;      /* when nobody disturbs it */
    size_t waiting;  /* size of what waits for the victim */
    bool takes_name; /* stopped inside, the victim has its name, or not */
};

extern const struct operation links_operations[];
extern const size_t links_operations_count;

#endif
