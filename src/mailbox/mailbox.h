/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes, inside. The parts:
 *
 *   layout   the bytes of the file                 attach   the file mapped, and this process in it
 *   cells    held messages                         sweep    what the dead left
 *   arena    memory of large messages              wait     blocking, waking
 *   send, receive   the protocol's two ways        poll     pollable descriptors
 *   mailbox  the verbs, opening and closing        inspect  what is known of one
 *
 * A process has one gnli_mailbox per file, shared by its ports; the participant is the process.
 *
 * Orderings of what is inline here
 *   A: relaxed: a process's number is set before its ports exist, and by a forked child while it has
 *      one thread.
 *   B: who made something happen looks at the sleepers' flag after it (seq_cst); a sleeper raises the
 *      flag, then looks (seq_cst): mailbox/wait.c.
 */
#ifndef GNLI_MAILBOX_MAILBOX_H
#define GNLI_MAILBOX_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#include "mailbox/arena.h"
#include "mailbox/layout.h"
#include "memory/copy.h"
#include "port/port.h"
#include "ring/slots.h"
#include "wait/event.h"
#include "wait/distance.h"
#include "wait/futex.h"

/* ---- attach.c ---- */

/* A mailbox's file, mapped. */
struct gnli_view {
    struct gnli_file *file;
    struct gnli_state *state;
    struct gnli_participant *participants;
    char *core;
    struct gnli_arena arena;
    uint32_t max_deliveries;
    char dead_letters[GNL_ADDRESS_MAX + 1];
    uid_t uid;
    mode_t mode;
    struct gnli_layout layout;
};

/* Who sent a message, as it travels with it. */
struct gnli_sender_note {
    uint32_t pid, uid, gid;
    uint32_t deliveries; /* it had in the mailbox that it came from */
};

struct gnli_mailbox {
    _Alignas(
        64) _Atomic unsigned me; /* this process's number; one line with what a message needs of the view */
    struct gnli_sender_note self;
    struct gnli_view view;
    struct gnli_slots rings[2];
    uint64_t pid_namespace;
    _Atomic uint64_t stamp;   /* of the process that joined (life/process.h) */
    pthread_mutex_t lock;     /* joining, leaving, sweeping */
    _Atomic unsigned asked;   /* the participant last asked whether it lives */
    unsigned references;      /* ports; under the handles' lock */
    _Atomic uint32_t senders; /* ports that may send, receive: what its record says */
    _Atomic uint32_t receivers;
    struct gnli_mailbox *next;
};

/* Opens the file of that name and maps it, without joining. The sentences speak of `subject`. */
int gnli_view_open(struct gnli_view *view, int directory, const char *name, const char *subject);
void gnli_view_close(struct gnli_view *view);

/* A view's rings. `owner`, `context` as in struct gnli_slots; NULL where nothing is claimed or mended. */
void gnli_view_rings(struct gnli_view *view, struct gnli_slots rings[2], const struct gnli_slots_owner *owner,
                     void *context);

/* Makes a mailbox that has that name from the end of this call on; -EEXIST. */
int gnli_mailbox_create(int directory, const char *name, const char *subject,
                        const struct gnl_options *options);

/* Joins the mailbox of that name, or finds it joined already. */
int gnli_mailbox_attach(struct gnli_mailbox **mailbox, int directory, const char *name, const char *subject);
void gnli_mailbox_detach(struct gnli_mailbox *mailbox);

/* Proves again that this process lives; a participant anew if it was taken for dead meanwhile. */
int gnli_mailbox_confirm(struct gnli_mailbox *mailbox);

/* In a forked child: a participant of its own. The handles' lock is held. */
int gnli_mailbox_rejoin(struct gnli_mailbox *mailbox);

static inline unsigned gnli_mailbox_me(struct gnli_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->me, memory_order_relaxed); /* A */
}

static inline struct gnli_participant *gnli_mailbox_record(struct gnli_mailbox *mailbox)
{
    return &mailbox->view.participants[gnli_mailbox_me(mailbox)];
}

static inline struct gnli_cell *gnli_cell_at(const struct gnli_view *view, unsigned cell)
{
    return (struct gnli_cell *)(void *)(view->core + view->layout.cells_at + cell * view->layout.stride);
}

/* Cells and records that have memory; at most as many as there are. */
unsigned gnli_view_cells(struct gnli_view *view);
unsigned gnli_view_participants(struct gnli_view *view);

/* 0, -EIDRM removed, -EBADMSG damaged: asked at every call. */
int gnli_mailbox_usable(struct gnli_mailbox *mailbox);

/* ---- sweep.c ---- */

extern const struct gnli_slots_owner gnli_mailbox_slots_owner;

/*
 * Looks around: has the mailbox lost its name, has a participant died? Asks after up to `most` of them, and
 * sweeps the dead: their messages come home, their numbers are free.
 */
void gnli_mailbox_look_around(struct gnli_mailbox *mailbox, unsigned most);

/* U4: gives memory of consumed slots back. */
void gnli_mailbox_release_slots(struct gnli_mailbox *mailbox, struct gnli_slots *ring);

/* When nothing is queued: gives back much idle memory. */
void gnli_mailbox_tidy(struct gnli_mailbox *mailbox);

/* Messages queued, both ways, roughly; for deciding how much memory to keep. */
uint64_t gnli_mailbox_depth(struct gnli_mailbox *mailbox);

/* ---- cells.c ---- */

enum gnli_cell_phase {
    GNLI_CELL_EMPTY = 0,
    GNLI_CELL_PENDING = 1,
    GNLI_CELL_HELD = 2,
    GNLI_CELL_RETURNED = 3,
};

#define GNLI_CELL_DELIVERIES_MAX 0x3fffu

static inline uint64_t gnli_cell_word(enum gnli_cell_phase phase, unsigned owner, unsigned deliveries,
                                      uint64_t serial)
{
    return (uint64_t)phase | (uint64_t)owner << 2 | (uint64_t)deliveries << 14 | serial << 28;
}

static inline enum gnli_cell_phase gnli_cell_phase(uint64_t word)
{
    return (enum gnli_cell_phase)(word & 3);
}
static inline unsigned gnli_cell_owner(uint64_t word)
{
    return word >> 2 & 0xfff;
}
static inline unsigned gnli_cell_deliveries(uint64_t word)
{
    return word >> 14 & GNLI_CELL_DELIVERIES_MAX;
}
static inline uint64_t gnli_cell_serial(uint64_t word)
{
    return word >> 28;
}

/* A held cell: which, and the word that makes it ours. */
struct gnli_hold {
    unsigned cell;
    uint64_t word;
};

/* With as many of its bytes as `most`, at the most. */
void gnli_body_copy(struct gnli_body *to, struct gnli_body *from, size_t most);

/* T1: an empty cell becomes ours, pending; `hint` is tried first and remembers it. -ENOBUFS, -ENOSPC. */
int gnli_cell_acquire(struct gnli_mailbox *mailbox, _Atomic uint32_t *hint, struct gnli_hold *hold);

/* T3 failed and no other message is wanted: the pending cell is empty again. */
void gnli_cell_release(struct gnli_mailbox *mailbox, struct gnli_hold *hold);

/* T2 to T4: the message that was found becomes held. 1 held, 0 somebody else was quicker, -EBADMSG. */
int gnli_cell_take(struct gnli_mailbox *mailbox, struct gnli_slots *ring, uint64_t position, uint64_t word,
                   struct gnli_hold *hold);

/* F */
int gnli_cell_finish(struct gnli_view *view, struct gnli_slots *ring, uint64_t index, uint64_t word);

/* D1, D2 */
int gnli_cell_done(struct gnli_mailbox *mailbox, const struct gnli_hold *hold);

/*
 * G1; quietly: no user had it, so it is not counted, and nobody is told: there is no use in trying again
 * at once.
 */
int gnli_cell_giveback(struct gnli_mailbox *mailbox, const struct gnli_hold *hold, bool quietly);

/* Some cell of the queue may be returned: said after it is. Never the same value twice, see receive.c, B. */
void gnli_raise_returned(struct gnli_queue *queue);

static inline bool gnli_any_returned(uint64_t returned)
{
    return returned & 1;
}

/* A1 */
bool gnli_cell_adopt(struct gnli_mailbox *mailbox, unsigned cell, uint64_t word, struct gnli_hold *hold);

/* M1: the claim is a dead sender's; the chunk that it had queued already is free again. */
void gnli_cell_undo_claim(struct gnli_view *view, struct gnli_slots *ring, uint64_t index, uint64_t word);

/* W4's question: does no slot or cell name this queued or held chunk? */
bool gnli_cell_orphan(void *context, gnli_chunk chunk, uint64_t word);

/* ---- ports ---- */

/* Which of a port's GNL_HELD_MAX places for handles are in use; and what they hold, to give back at close. */
struct gnli_tickets {
    _Atomic uint64_t used[GNL_HELD_MAX / 64];
    struct gnli_ticket {
        uint64_t word;         /* of the cell or chunk */
        uint64_t name;         /* cell, or chunk */
        _Atomic uint32_t hint; /* the cell to try first */
    } ticket[GNL_HELD_MAX];
};

/* A port's table: made at its first use (NULL: no memory), emptied, ended. */
struct gnli_tickets *gnli_tickets_make(struct gnli_tickets *_Atomic *place);
void gnli_tickets_forget(struct gnli_tickets *_Atomic *place);
void gnli_tickets_free(struct gnli_tickets *_Atomic *place);
struct gnli_tickets *gnli_tickets_of(struct gnli_tickets *_Atomic *place); /* NULL: not used so far */

int gnli_ticket_acquire(struct gnli_tickets *tickets); /* -ENOBUFS */
void gnli_ticket_release(struct gnli_tickets *tickets, unsigned ticket);
bool gnli_ticket_used(struct gnli_tickets *tickets, unsigned ticket);

struct gnli_poll;

struct gnli_mailbox_port {
    struct gnl_port port;
    struct gnli_mailbox *mailbox;

    /*
     * Sending, and receiving: what each message needs comes first, its ring by value. Who has a thousand
     * ports finds that in no near cache, and a pointer would have to come before what it leads to.
     */
    _Alignas(128) struct gnli_slots out;
    struct gnli_poll *_Atomic out_poll;
    size_t small_end; /* messages of fewer bytes lie in their slots, and nobody waits for their receiver */
    struct gnli_spin out_spin;
    struct gnli_cursor out_cursor;
    struct gnli_copying out_copying;
    struct gnli_distance out_distance;
    struct gnli_recent recent; /* chunks that it sent */

    _Alignas(128) struct gnli_slots in;
    struct gnli_poll *_Atomic in_poll;
    _Atomic uint32_t unlooked; /* receives until it asks the clock whether to look around */
    _Atomic uint32_t stride;   /* and so many between two */
    struct gnli_spin in_spin;
    struct gnli_cursor in_cursor;
    struct gnli_copying in_copying;
    struct gnli_distance in_distance;
    _Atomic int64_t looked_ns;  /* when it last looked around */
    _Atomic uint32_t recv_cell; /* cell that gnl_recv tries first */
    gnl_port *_Atomic dead_letters;
    atomic_bool unburied; /* the dead letters could not be reached: try again at the next look around */
    char address[GNL_ADDRESS_MAX + 1];
    struct gnli_tickets *_Atomic held, *_Atomic loans;
};

static inline struct gnli_mailbox_port *gnli_mailbox_port_of(gnl_port *port)
{
    return (struct gnli_mailbox_port *)(void *)port;
}

/* 0, or why the port can't go on: -ECANCELED, -EIDRM, -EBADMSG. */
int gnli_mailbox_port_usable(struct gnli_mailbox_port *port);

/* How many ports of mailboxes this process has open: inherited ones count. */
unsigned gnli_mailbox_ports(void);

/* ---- send.c, receive.c: operations of the port ---- */

int gnli_mailbox_send(gnl_port *port, const void *data, size_t size, int64_t timeout);
int gnli_mailbox_forward(struct gnli_mailbox_port *port, const void *data, size_t size,
                         const struct gnli_sender_note *sender, int64_t timeout);
int gnli_mailbox_loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout);
int gnli_mailbox_post(gnl_port *port, gnl_message *message, int64_t timeout);
int gnli_mailbox_drop(struct gnli_mailbox_port *port, unsigned ticket);

ssize_t gnli_mailbox_recv(gnl_port *port, void *data, size_t size, int64_t timeout);
int gnli_mailbox_take(gnl_port *port, gnl_message *message, int64_t timeout);
int gnli_mailbox_end(struct gnli_mailbox_port *port, unsigned ticket, bool giveback);

/* At a look around: a message that could not go to the dead letters is tried again. */
void gnli_mailbox_bury_again(struct gnli_mailbox_port *port);

/* Would a receive, a send not block? */
bool gnli_mailbox_receivable(struct gnli_mailbox_port *port);
bool gnli_mailbox_sendable(struct gnli_mailbox_port *port);

/* `private_` of a message: which ticket, of which table, made by which process. */
enum { GNLI_MESSAGE_TICKET, GNLI_MESSAGE_LOAN, GNLI_MESSAGE_STAMP, GNLI_MESSAGE_WORD };

/* For counters of this process's record: an atomic addition is dear where there is one thread. */
#define gnli_add(counter, amount)                                                      \
    do {                                                                               \
        __auto_type at_ = (counter);                                                   \
        __auto_type was_ = atomic_load_explicit(at_, memory_order_relaxed); /* A */    \
        if (__libc_single_threaded)                                                    \
            atomic_store_explicit(at_, was_ + (amount), memory_order_relaxed); /* A */ \
        else                                                                           \
            atomic_fetch_add_explicit(at_, (amount), memory_order_relaxed); /* A */    \
    } while (0)

/* ---- wait.c ---- */

struct gnli_patience {
    struct gnli_sleepers *sleepers;
    struct gnli_spin *spin;
    _Atomic uint32_t *waiting; /* counts the threads that wait here */
};

/* Why an attempt was -EAGAIN: while this word has that value, there is hardly a use in trying again. */
struct gnli_stuck {
    const _Atomic uint64_t *word;
    uint64_t seen;
};

typedef int gnli_attempt(struct gnli_mailbox_port *port, void *context, struct gnli_stuck *stuck);

/*
 * After an attempt that was -EAGAIN, for the reason `stuck`: tries until it is something else; spins a
 * little, then sleeps, looking around ten times a second (L). -ETIMEDOUT; what ends the wait besides comes
 * from gnli_mailbox_port_usable.
 */
int gnli_mailbox_wait(struct gnli_mailbox_port *port, const struct gnli_patience *patience, int64_t timeout,
                      gnli_attempt *attempt, void *context, struct gnli_stuck *stuck);

/* K */
void gnli_wake_slowly(struct gnli_sleepers *sleepers);

static inline void gnli_wake(struct gnli_sleepers *sleepers)
{
    if (atomic_load_explicit(&sleepers->flag, memory_order_seq_cst) & 1) /* B K1 */
        gnli_wake_slowly(sleepers);
}

/* After a slot became free: senders who sleep may go on. */
void gnli_wake_senders_slowly(struct gnli_slots *ring, uint64_t position);

static inline void gnli_wake_senders(struct gnli_slots *ring, uint64_t position)
{
    if (atomic_load_explicit(&ring->queue->senders.flag, memory_order_seq_cst) & 1) /* B K1 */
        gnli_wake_senders_slowly(ring, position);
}

/* Wakes everybody in the mailbox, to find out what happened. */
void gnli_mailbox_wake_all(struct gnli_view *view);

/* ---- poll.c ---- */

int gnli_mailbox_fd(gnl_port *port, bool sending);
unsigned gnli_mailbox_ready(gnl_port *port, unsigned events);
/* After a receive, a send: is another possible? Else the descriptor, which there is, goes quiet. */
void gnli_poll_changed(struct gnli_mailbox_port *port, bool sending);
void gnli_poll_close(struct gnli_mailbox_port *port);
void gnli_poll_forget(struct gnli_mailbox_port *port); /* in a forked child */

/* ---- inspect.c ---- */

void gnli_view_info(struct gnli_view *view, struct gnl_port_info *info);
ssize_t gnli_mailbox_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                             struct gnl_participant *participants, size_t count);

#endif
