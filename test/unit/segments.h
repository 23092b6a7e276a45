/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of segments share.
 */
#ifndef TEST_UNIT_SEGMENTS_H
#define TEST_UNIT_SEGMENTS_H

#include <stdbool.h>

#include <ginnel/segment.h>

#include "support.h"

#define SIZE ((size_t)10000)
#define SOON gnl_s(20)

/* A new one, to read and write; name NULL: anonymous. */
gnl_segment *make(const char *name, size_t size);

struct gnl_segment_info info_of(gnl_segment *segment);

/* Touching the byte, in a child: goes well (signo 0), or kills by that signal. */
void assert_touch(void *place, bool write, int signo);

#endif
