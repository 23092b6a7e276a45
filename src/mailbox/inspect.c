/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a mailbox, for people: counts that may be a moment old.
 *
 *   A: relaxed: nothing is decided by what is read here.
 *   B: acquire of a record's state, which joining releases with what the record says
 *      (life/participant.h, A).
 *   C: acquire of a head or tail before the slots that it has passed, and of a word before its body, which
 *      claiming and publishing release (ring/slots.h, A).
 *   D: seq_cst, of a word of an unbounded ring and then of the floor; U4 moves the floor, seq_cst, before
 *      words become zeros (ring/slots.h, E): who read such a zero sees that it lies before the floor.
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "life/process.h"

#define LOOKED_AT ((uint64_t)1 << 16) /* slots of a queue, for what makes no sense */

static uint64_t load(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed); /* A */
}

static uint32_t load32(_Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* A */
}

static bool in_use(struct gnli_view *view, unsigned number)
{
    uint32_t state = atomic_load_explicit(&view->participants[number].state, memory_order_acquire); /* B */

    return state == GNLI_PARTICIPANT_ALIVE;
}

static void add_participants(struct gnli_view *view, struct gnl_port_info *info)
{
    uint64_t pid_namespace = gnli_process_pid_namespace();

    for (unsigned number = 1; number < gnli_view_participants(view); number++) {
        struct gnli_participant *record = &view->participants[number];
        info->sent += load(&record->sent);
        info->received += load(&record->received);
        info->redelivered += load(&record->redelivered);
        info->discarded += load(&record->discarded);
        if (!in_use(view, number) ||
            gnli_participant_dead(view->file, view->participants, number, pid_namespace))
            continue;
        info->senders += atomic_load_explicit(&record->senders, memory_order_relaxed);     /* A */
        info->receivers += atomic_load_explicit(&record->receivers, memory_order_relaxed); /* A */
    }
}

/* Is this no owner, or no size, that a message here can have? */
static bool impossible(struct gnli_view *view, unsigned owner, struct gnli_body *body)
{
    return owner == 0 || owner >= gnli_view_participants(view) ||
           (body &&
            atomic_load_explicit(&body->size, memory_order_relaxed) > view->layout.message_max); /* A */
}

/* And may no slot in use, whose word that is, be so? */
static bool impossible_slot(struct gnli_view *view, struct gnli_slot *slot, uint64_t word)
{
    enum gnli_phase phase = gnli_word_phase(word);
    unsigned cell = gnli_word_cell(word);

    return impossible(view, gnli_word_owner(word), phase == GNLI_READY ? &slot->body : NULL) ||
           (phase == GNLI_TAKEN && (cell == 0 || cell >= gnli_view_cells(view)));
}

/*
 * Places that are as no honest step leaves them, whoever is at work meanwhile. The tail was read first: no
 * place before it can be free for its position, or behind it.
 */
static uint64_t nonsense_in_ring(struct gnli_view *view, struct gnli_slots *ring, uint64_t tail)
{
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* C */
    uint64_t lap = gnli_slots_lap(ring, tail), end = gnli_slots_index(ring, tail), nonsense = 0;

    if (reserved > ring->count && reserved != GNLI_ALL_RESERVED)
        return 1; /* whose slots have memory? */
    for (uint64_t i = 0; i < reserved && i < ring->count && i < LOOKED_AT; i++) {
        struct gnli_slot *slot = gnli_slots_nth(ring, i);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire); /* C */
        if (gnli_word_phase(word) != GNLI_FREE && impossible_slot(view, slot, word))
            nonsense++;
        else if (i < end ? gnli_word_ahead(word, lap) < (gnli_word_phase(word) == GNLI_FREE)
                         : lap > 0 && gnli_word_ahead(word, lap - 1) < (gnli_word_phase(word) == GNLI_FREE))
            nonsense++;
    }
    return nonsense;
}

/* The same of an unbounded ring, from p to the end, but of so many places alone. */
static uint64_t nonsense_from(struct gnli_view *view, struct gnli_slots *ring, uint64_t p, uint64_t end,
                              uint64_t head, uint64_t tail)
{
    uint64_t nonsense = 0;

    for (uint64_t i = 0; i < LOOKED_AT / 2 && gnli_before(p, end); i++, p = gnli_slots_after(ring, p)) {
        struct gnli_slot *slot = gnli_slots_at(ring, p);
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_seq_cst); /* C D */
        int64_t ahead = gnli_word_ahead(word, gnli_slots_lap(ring, p));
        enum gnli_phase phase = gnli_word_phase(word);
        bool wrong = phase != GNLI_FREE && impossible_slot(view, slot, word);
        if (gnli_before(p, head)) /* received */
            wrong |= ahead < 1;
        else if (gnli_before(p, tail)) /* claimed at least */
            wrong |= ahead < (phase == GNLI_FREE);
        nonsense +=
            wrong && !gnli_before(p, atomic_load_explicit(&ring->queue->floor, memory_order_seq_cst)); /* D */
    }
    return nonsense;
}

/*
 * Of an unbounded ring, whose places have memory from the floor on: those that wait for their memory to go,
 * and those that are received next. Head and tail were read before.
 */
static uint64_t nonsense_in_stretch(struct gnli_view *view, struct gnli_slots *ring, uint64_t head,
                                    uint64_t tail)
{
    uint64_t reserved = atomic_load_explicit(&ring->queue->reserved, memory_order_acquire); /* C */
    uint64_t floor = atomic_load_explicit(&ring->queue->floor, memory_order_acquire);       /* C */

    if (reserved % GNLI_SLOTS_A_BLOCK != 0 || floor % GNLI_SLOTS_A_BLOCK != 0 ||
        gnli_before(reserved, head) || gnli_before(reserved, tail) ||
        gnli_slots_distance(ring, floor, reserved) > (int64_t)ring->count)
        return 1; /* whose slots have memory? */
    return nonsense_from(view, ring, floor, head, head, tail) +
           nonsense_from(view, ring, gnli_later(head, floor), reserved, head, tail);
}

static uint64_t nonsense(struct gnli_view *view)
{
    struct gnli_slots rings[2];
    /* A count that is less than what every mailbox has; a mark that it lost its name, which it has. */
    uint64_t nonsense = (load32(&view->state->cells) < gnli_view_cells(view)) +
                        (load32(&view->state->participants) < gnli_view_participants(view)) +
                        (load32(&view->state->queues[0].removed) != 0 && !gnli_file_nameless(view->file));

    gnli_view_rings(view, rings, NULL, NULL);
    for (unsigned i = 0; i < view->layout.queues; i++) {
        uint64_t head = atomic_load_explicit(&rings[i].queue->head, memory_order_acquire); /* C */
        uint64_t tail = atomic_load_explicit(&rings[i].queue->tail, memory_order_acquire); /* C */
        nonsense += rings[i].unbounded ? nonsense_in_stretch(view, &rings[i], head, tail)
                                       : nonsense_in_ring(view, &rings[i], tail);
    }
    for (unsigned cell = 1; cell < gnli_view_cells(view); cell++) {
        struct gnli_cell *held = gnli_cell_at(view, cell);
        uint64_t word = atomic_load_explicit(&held->word, memory_order_acquire); /* C */
        nonsense +=
            gnli_cell_phase(word) == GNLI_CELL_HELD && impossible(view, gnli_cell_owner(word), &held->body);
    }
    return nonsense;
}

void gnli_view_info(struct gnli_view *view, struct gnl_port_info *info)
{
    struct gnli_slots rings[2];

    info->kind = GNL_MAILBOX;
    info->owner_uid = view->uid;
    info->mode = view->mode;
    info->capacity = view->layout.capacity;
    info->message_max = view->layout.message_max;
    info->two_way = view->layout.queues == 2;
    info->max_deliveries = view->max_deliveries;
    strcpy(info->dead_letters, view->dead_letters);
    info->sent = load(&view->state->sent);
    info->received = load(&view->state->received);
    info->redelivered = load(&view->state->redelivered);
    info->discarded = load(&view->state->discarded);
    info->bytes = gnli_file_bytes(view->file);
    info->nonsense = nonsense(view);
    add_participants(view, info);
    gnli_view_rings(view, rings, NULL, NULL);
    for (unsigned i = 0; i < view->layout.queues; i++)
        info->queued += gnli_slots_queued(&rings[i]);
    for (unsigned cell = 1; cell < gnli_view_cells(view); cell++) {
        uint64_t word = load(&gnli_cell_at(view, cell)->word);
        info->held += gnli_cell_phase(word) == GNLI_CELL_HELD;
        info->queued += gnli_cell_phase(word) == GNLI_CELL_RETURNED;
    }
}

/* What each participant has, counted in one walk: there may be thousands, whoever made them. */
struct tally {
    uint32_t claimed[GNLI_OWNERS];
    uint32_t held[GNLI_OWNERS];
};

static struct tally *count_up(struct gnli_view *view)
{
    struct tally *tally = calloc(1, sizeof *tally);
    struct gnli_slots rings[2];

    if (!tally)
        return NULL;
    gnli_view_rings(view, rings, NULL, NULL);
    for (unsigned i = 0; i < view->layout.queues; i++)
        gnli_slots_claims(&rings[i], tally->claimed);
    for (unsigned cell = 1; cell < gnli_view_cells(view); cell++) {
        uint64_t word = load(&gnli_cell_at(view, cell)->word);
        tally->held[gnli_cell_owner(word)] += gnli_cell_phase(word) == GNLI_CELL_HELD;
    }
    return tally;
}

static void describe(struct gnli_view *view, unsigned number, const struct tally *tally,
                     struct gnl_participant *participant)
{
    struct gnli_participant *record = &view->participants[number];
    uint64_t pid_namespace = gnli_process_pid_namespace();

    *participant = (struct gnl_participant){
        .pid = (pid_t)atomic_load_explicit(&record->pid, memory_order_relaxed), /* A */
        .uid = atomic_load_explicit(&record->uid, memory_order_relaxed),        /* A */
        .alive = !gnli_participant_dead(view->file, view->participants, number, pid_namespace),
        .same_pid_namespace =
            atomic_load_explicit(&record->pid_namespace, memory_order_relaxed) == pid_namespace, /* A */
        .senders = atomic_load_explicit(&record->senders, memory_order_relaxed),                 /* A */
        .receivers = atomic_load_explicit(&record->receivers, memory_order_relaxed),             /* A */
        .claimed = tally->claimed[number],
        .held = tally->held[number],
        .sent = load(&record->sent),
        .received = load(&record->received),
    };
    if (atomic_load_explicit(&record->receiving[0], memory_order_relaxed) > 0 || /* A */
        atomic_load_explicit(&record->receiving[1], memory_order_relaxed) > 0)   /* A */
        participant->activity = GNL_WAITS_TO_RECEIVE;
    else if (atomic_load_explicit(&record->sending, memory_order_relaxed) > 0) /* A */
        participant->activity = GNL_WAITS_TO_SEND;
}

/* The number of participants, of which the first `count` are described. */
static ssize_t describe_all(struct gnli_view *view, struct gnl_participant *participants, size_t count)
{
    struct tally *tally = count_up(view);
    ssize_t found = 0;

    if (!tally)
        return -ENOMEM;
    for (unsigned number = 1; number < gnli_view_participants(view); number++)
        if (in_use(view, number)) {
            if ((size_t)found < count)
                describe(view, number, tally, &participants[found]);
            found++;
        }
    free(tally);
    return found;
}

ssize_t gnli_mailbox_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                             struct gnl_participant *participants, size_t count)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];
    struct gnl_port_info seen = { 0 };
    struct gnli_view view;

    snprintf(subject, sizeof subject, "mailbox '%s%s'", address->machine_wide ? "/" : "", address->name);
    snprintf(name, sizeof name, "mailbox:%s", address->name);
    int directory = gnli_directory_open(address->machine_wide, false);
    if (directory < 0)
        return directory;
    int result = gnli_view_open(&view, directory, name, subject);
    close(directory);
    if (result < 0)
        return result;
    gnli_address_format(address, seen.address);
    gnli_view_info(&view, &seen);
    ssize_t found = describe_all(&view, participants, count);
    /* Was the file truncated while we looked? Then some of that was zeros. */
    if (found >= 0 && gnli_file_patched(view.file)) {
        result = gnli_file_repair(view.file);
        found = result < 0 ? result : found;
    }
    gnli_view_close(&view);
    if (found < 0)
        return gnli_fail_plain((int)found, subject);
    *info = seen;
    return found;
}
