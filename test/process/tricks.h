/* SPDX-License-Identifier: Apache-2.0 */
/* What mallory does to bob, who is claimed by then; raw.h. Used by direct_hostile.c. */
#ifndef TEST_PROCESS_TRICKS_H
#define TEST_PROCESS_TRICKS_H

#include "raw.h"

/* How her link ends: it never was one; with -EBADMSG; that is not asked. */
enum ends { REFUSED, BROKEN, ANYHOW };

struct trick {
    const char *name;
    void (*play)(struct raw *raw); /* raw: a good caller of her name, not yet sent */
    enum ends ends;
};

extern const struct trick tricks[];
extern const int tricks_count;

#endif
