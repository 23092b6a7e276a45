/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger of messages: what was sent by whom, and what became of it. Every message has a number
 * and carries it, with its size and a pattern that depends on both, so that a torn one is noticed.
 *
 * Kept in memory that all processes of a run share. A killed process leaves in it how far it had
 * come: a message that is TRIED was being sent when its sender was killed.
 */
#ifndef TORTURE_LEDGER_H
#define TORTURE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ginnel/ginnel.h>

/* The processes of a run. */
enum role {
    SURVIVOR, /* this program itself: it drives the others, and uses the mailbox before and after */
    VICTIM,   /* is killed or stopped inside of the operation */
    MATE,     /* another survivor, that sends to or receives from those above, asleep if need be */
    REMAINS,  /* died before the operation began, or is stopped meanwhile */
    ROLES,
};

enum fate { UNSENT, TRIED, SENT, REFUSED };

#define LETTERS_MAX 16384 /* of one role */

struct letter {
    _Atomic uint8_t fate;
    _Atomic uint8_t fresh;   /* deliveries without GNL_REDELIVERED */
    _Atomic uint8_t again;   /* deliveries with it */
    _Atomic uint8_t ended;   /* gnl_done or gnl_recv returned for it */
    _Atomic uint8_t at_risk; /* the victim may have ended it in the call in which it was killed */
};

struct ledger {
    atomic_uint count[ROLES];
    struct letter letters[ROLES][LETTERS_MAX];
};

#define MESSAGE_MIN 16
#define MESSAGE_MAX 16384

void ledger_reset(struct ledger *ledger);

/* The number of one more message of this role, TRIED from now on. */
uint32_t ledger_new(enum role role);

struct letter *ledger_letter(uint32_t id);

void message_write(void *data, size_t size, uint32_t id);

/* Of a message that arrived: its number; it is noted as delivered. Reports what is torn or out of order. */
uint32_t ledger_arrived(const void *data, size_t size, bool redelivered);

/* The verbs, with their entries. `id` is written on success. */
int ledger_send(gnl_port *port, size_t size, int64_t timeout);
int ledger_take(gnl_port *port, gnl_message *message, uint32_t *id, int64_t timeout);
int ledger_done(gnl_message *message, uint32_t id);
ssize_t ledger_recv(gnl_port *port, uint32_t *id, int64_t timeout);

/* Takes one message and is done with it; 0 or a negative code. */
int ledger_consume(gnl_port *port, int64_t timeout);

/* At the end, when the mailbox is empty and nothing is held: reports every loss and duplicate. */
void ledger_balance(void);

#endif
