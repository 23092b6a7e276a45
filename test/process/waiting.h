/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of waitsets share. */
#ifndef TEST_PROCESS_WAITING_H
#define TEST_PROCESS_WAITING_H

#include "links.h"

gnl_waitset *new_set(void);

/* A mailbox of four small messages; closed and removed. */
gnl_port *new_port(const char *address);
void drop_port(gnl_port *port, const char *address);

/* What the set tells of its only ready member; 0: nothing before the timeout. */
unsigned told(gnl_waitset *set, void *tag, int64_t timeout);

#endif
