/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The many-to-many queue in plain memory, for its tests: a table stands in for the kernel's word on who is
 * dead. What goes wrong fails the test.
 */
#ifndef UNIT_SMALL_RING_H
#define UNIT_SMALL_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/slots.h"

#define SLOTS_MAX 64
#define OWNERS    8

extern struct gnli_queue ring_queue;
extern struct gnli_slot ring_slots[SLOTS_MAX];
extern struct gnli_slots ring;
extern struct gnli_cursor ring_out, ring_in;
extern bool ring_dead[OWNERS];
extern unsigned ring_undone, ring_finished, ring_questions; /* calls of undo, finish and dead */
extern uint64_t ring_reserve_limit;                         /* positions from here on: no memory */

/* A ring of that many slots which has been through `lap` laps. */
void ring_make(uint64_t count, uint64_t lap);

/* Of a message that `me` sends: its place, its bytes in that place, or all at once. */
uint64_t ring_claim(unsigned me);
int ring_publish(unsigned me, uint64_t *position);
void ring_put(unsigned me, uint64_t *position, uint32_t value);
void ring_send(unsigned me, uint32_t value);

/* Why no place is left: a negative errno value. */
int ring_full(unsigned me);

/* What is next, received; -1: nothing. */
int64_t ring_receive_with(struct gnli_cursor *cursor);
int64_t ring_receive(void);

#endif
