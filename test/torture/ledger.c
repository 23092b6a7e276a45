/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <string.h>

#include "findings.h"
#include "scene.h"

#define PER_ROLE_BITS 14
#define NOBODY        UINT32_MAX

static const char *const role_names[ROLES] = { "survivor", "victim", "mate", "remains" };

struct head {
    uint32_t id;
    uint32_t size;
    uint64_t pattern;
};
_Static_assert(sizeof(struct head) <= MESSAGE_MIN, "a message holds its head");
_Static_assert(LETTERS_MAX == 1 << PER_ROLE_BITS, "a number names a letter");

static enum role role_of(uint32_t id)
{
    return (enum role)(id >> PER_ROLE_BITS);
}

static unsigned number_of(uint32_t id)
{
    return id & (LETTERS_MAX - 1);
}

static uint64_t pattern_of(uint32_t id, size_t size)
{
    return (id + UINT64_C(0x9e3779b97f4a7c15)) * (size * 2 + 1) * UINT64_C(0xbf58476d1ce4e5b9);
}

void ledger_reset(struct ledger *ledger)
{
    for (unsigned role = 0; role < ROLES; role++) {
        unsigned count = atomic_load(&ledger->count[role]);
        memset(ledger->letters[role], 0, (count < LETTERS_MAX ? count : LETTERS_MAX) * sizeof(struct letter));
        atomic_store(&ledger->count[role], 0);
    }
}

struct letter *ledger_letter(uint32_t id)
{
    return &scene->ledger.letters[role_of(id) % ROLES][number_of(id)];
}

uint32_t ledger_new(enum role role)
{
    uint32_t id =
        (uint32_t)role << PER_ROLE_BITS | (atomic_fetch_add(&scene->ledger.count[role], 1) % LETTERS_MAX);

    atomic_store(&ledger_letter(id)->fate, TRIED);
    return id;
}

void message_write(void *data, size_t size, uint32_t id)
{
    struct head head = { .id = id, .size = (uint32_t)size, .pattern = pattern_of(id, size) };
    uint64_t word = head.pattern;

    memcpy(data, &head, sizeof head);
    for (size_t at = sizeof head; at + sizeof word <= size; at += sizeof word) {
        word += head.pattern | 1;
        memcpy((char *)data + at, &word, sizeof word);
    }
}

/* The number of a message that is as it was written; NOBODY if it is not. */
static uint32_t message_read(const void *data, size_t size)
{
    struct head head;
    uint64_t word;

    if (size < sizeof head)
        return NOBODY;
    memcpy(&head, data, sizeof head);
    if (head.size != size || head.pattern != pattern_of(head.id, size) || role_of(head.id) >= ROLES ||
        number_of(head.id) >= atomic_load(&scene->ledger.count[role_of(head.id)]))
        return NOBODY;
    uint64_t expected = head.pattern;
    for (size_t at = sizeof head; at + sizeof word <= size; at += sizeof word) {
        expected += head.pattern | 1;
        memcpy(&word, (const char *)data + at, sizeof word);
        if (word != expected)
            return NOBODY;
    }
    return head.id;
}

uint32_t ledger_arrived(const void *data, size_t size, bool redelivered)
{
    uint32_t id = message_read(data, size);

    if (id == NOBODY) {
        found(WRONG, "the %s received a torn message of %zu bytes", role_names[me.role], size);
        return 0;
    }
    struct letter *letter = ledger_letter(id);
    atomic_fetch_add(redelivered ? &letter->again : &letter->fresh, 1);
    enum role from = role_of(id);
    if (redelivered)
        return id;
    if (me.last[from] > number_of(id) + 1)
        found(WRONG, "the %s received message %u of the %s after number %u", role_names[me.role],
              number_of(id), role_names[from], me.last[from] - 1);
    me.last[from] = number_of(id) + 1;
    return id;
}

int ledger_send(gnl_port *port, size_t size, int64_t timeout)
{
    char data[MESSAGE_MAX];
    uint32_t id = ledger_new(me.role);

    message_write(data, size, id);
    int result = gnl_send(port, data, size, timeout);
    atomic_store(&ledger_letter(id)->fate, result == 0 ? SENT : REFUSED);
    return result;
}

int ledger_take(gnl_port *port, gnl_message *message, uint32_t *id, int64_t timeout)
{
    int result = gnl_take(port, message, timeout);

    if (result == 0)
        *id = ledger_arrived(message->data, message->size, message->flags & GNL_REDELIVERED);
    return result;
}

int ledger_done(gnl_message *message, uint32_t id)
{
    int result = gnl_done(message);

    if (result == 0)
        atomic_fetch_add(&ledger_letter(id)->ended, 1);
    return result;
}

ssize_t ledger_recv(gnl_port *port, uint32_t *id, int64_t timeout)
{
    char data[MESSAGE_MAX];
    ssize_t size = gnl_recv(port, data, sizeof data, timeout);

    if (size >= 0) {
        *id = ledger_arrived(data, (size_t)size, false);
        atomic_fetch_add(&ledger_letter(*id)->ended, 1);
    }
    return size;
}

int ledger_consume(gnl_port *port, int64_t timeout)
{
    gnl_message message;
    uint32_t id = 0;

    int result = ledger_take(port, &message, &id, timeout);
    return result < 0 ? result : ledger_done(&message, id);
}

static void balance_one(enum role role, unsigned number, const struct letter *letter)
{
    const char *who = role_names[role];
    unsigned ended = atomic_load(&letter->ended), fresh = atomic_load(&letter->fresh);
    unsigned deliveries = fresh + atomic_load(&letter->again);

    if (fresh > 1)
        found(DUPLICATE, "message %u of the %s came %u times without GNL_REDELIVERED", number, who, fresh);
    if (ended > 1)
        found(DUPLICATE, "message %u of the %s was received to the end %u times", number, who, ended);
    switch (atomic_load(&letter->fate)) {
    case SENT:
        if (ended == 0 && !atomic_load(&letter->at_risk))
            found(LOSS, "message %u of the %s was sent and is lost (delivered %u times)", number, who,
                  deliveries);
        break;
    case REFUSED:
        if (deliveries > 0)
            found(WRONG, "message %u of the %s was refused to its sender, and delivered", number, who);
        break;
    case TRIED:
        if (deliveries > 0 && ended == 0 && !atomic_load(&letter->at_risk))
            found(LOSS, "message %u of the %s, cut off, was delivered and is lost", number, who);
        break;
    default:
        found(WRONG, "message %u of the %s has no fate", number, who);
        break;
    }
}

void ledger_balance(void)
{
    for (unsigned role = 0; role < ROLES; role++)
        for (unsigned i = 0; i < atomic_load(&scene->ledger.count[role]) && i < LETTERS_MAX; i++)
            balance_one((enum role)role, i, &scene->ledger.letters[role][i]);
}
