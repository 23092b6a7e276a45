/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of segments share: the segment `s`, its words, and a holder that stays inside. All of it may
 * be called in children: what fails ends the process with a sentence (require).
 */
#ifndef TEST_PROCESS_SEGMENTS_H
#define TEST_PROCESS_SEGMENTS_H

#include "helpers.h"

#define SIZE   ((size_t)20000)
#define WORDS  (SIZE / sizeof(uint64_t))
#define LITTLE gnl_ms(30)

gnl_segment *make_segment(const char *name); /* NULL: an anonymous one */
gnl_segment *attach_segment(unsigned rights);
void end_segment(gnl_segment *segment); /* detaches it, and removes the name */

/* Every word gets the same value, slowly enough that somebody can come in between; are all the same? */
void fill_words(gnl_segment *segment, uint64_t value);
bool uniform(const uint64_t *words);

/* Processes that are attached, as the segment's information says. */
uint64_t attached(gnl_segment *segment);

struct gates {
    struct gate there, go;
};

struct gates open_gates(void);
void close_gates(struct gates *gates);

/* For support_fork, with gates: locks it, changes half of it, and stays there until it may go. */
int die_inside(void *gates);

#endif
