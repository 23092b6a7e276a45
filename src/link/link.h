/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links, inside. The parts:
 *
 * - claim: names, and who has them; access: who may connect;
 * - side: the memory that each side writes; pieces: that memory dealt out;
 * - meet: two processes meet, halves; send, receive: the verbs' two ways; returns: chunks that go back;
 * - wait: blocking, waking, meeting; pump: what the kernel tells of the others; poll: pollable descriptors;
 * - places: messages that are held, and loans; link: the table of operations;
 * - links: those that an identity has, and their halves; identity: the public calls.
 *
 * A link consists of two halves, one a direction. Whoever sends makes its half: it connects to the other's
 * name and hands over its memory, without waiting for an answer. So both may call each other at the same
 * instant, and a half that nobody has accepted yet can be filled, and outlives its sender. In memory of its
 * own each side also tells the other what it has read and whether it sleeps: so a half needs the opposite one
 * to become a queue that goes round, and who accepts a half makes the opposite one.
 *
 * A half belongs to one life of the other side. Halves are paired if the kernel names the same process for
 * both and neither has hung up.
 *
 * Locks, outermost first: the identity's, a link's `sending`, its `receiving`, the identity's `waking`.
 *
 * Orderings of what is inline here
 *   A: relaxed: a mark, for whoever looks next.
 *   W: seq_cst where this process has no barrier that others can run in it; else relaxed, and ordered by the
 *      sleeper's barrier (life/process.h): the sleeper stores `asleep`, then looks at the frames; the other
 *      stores a frame's word or a count, then looks at `asleep`; one of them sees the other.
 */
#ifndef GNLI_LINK_LINK_H
#define GNLI_LINK_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>

#include <ginnel/identity.h>

#include "link/claim.h"
#include "link/pieces.h"
#include "link/side.h"
#include "memory/copy.h"
#include "port/port.h"
#include "ring/frames.h"
#include "wait/distance.h"
#include "wait/event.h"
#include "wait/futex.h"

/* ---- halves: meet.c ---- */

struct gnli_caller;

/* What the other side sends me. */
struct gnli_in {
    uint64_t id;
    int socket; /* that it connected: hello and descriptors come here, in this order */
    int bell;   /* a pipe that it rings */
    int token; /* a pipe; rendezvous only, else -1: who reads its byte has the message, or has withdrawn it */
    int life;  /* a pidfd, -1 where the kernel gives none */
    struct gnli_side_memory memory;
    struct gnli_frames_reader reader;
    struct gnli_frames_left unpaired; /* counts, as long as there is no half of ours that tells them */
    struct gnli_side *told;           /* ours, NULL as long as there is none */
    uint32_t *later;                  /* returned chunks for which there was no place yet */
    size_t laters, later_room;
    uint64_t returned;
    struct gnl_sender sender;
    int64_t capacity;
    uint64_t message_max;
    unsigned held;    /* taken messages that lie in its memory */
    bool dropped;     /* it is out of the list, and goes with the last of them */
    bool has_token;   /* its byte was read and belongs to a message that is still to come */
    bool finished;    /* it said that it sends no more, */
    bool finish_told; /* and a receiver was told: its end is no more news */
    atomic_bool hung; /* the kernel says that it is gone */
    struct gnli_in *next;
};

/* What I send it. */
struct gnli_out {
    uint64_t id;
    int socket;
    int bell[2]; /* the read end is kept as well: a pipe that nobody reads would raise SIGPIPE */
    int token[2];
    int life;
    struct gnli_side_memory memory;
    struct gnli_pieces pieces;
    struct gnli_frames_writer writer;
    uint64_t collected; /* returned chunks */
    struct ucred listens;
    int64_t capacity;
    uint64_t message_max;
    const struct gnli_side *theirs; /* the opposite half's memory; NULL not there yet */
    struct gnli_in *opposite;
    uint32_t rung;       /* the value of `asleep` for which the bell was rung */
    uint64_t given;      /* descriptors sent: their numbers */
    unsigned loans;      /* that lie in its memory */
    bool dropped;        /* as above */
    bool offered;        /* a rendezvous message is out */
    uint64_t offer_size; /* of its frame */
    uint64_t offer_at;   /* its word */
    uint64_t offer_end;  /* frames written with it */
    uint64_t offer_far;  /* its chunk, 0 none */
    atomic_bool hung;
};

/*
 * Connects to the name and hands over memory. `back`: to who has called; else who is called is let in, too.
 * -ENOENT nobody has it (now); -EAGAIN it is being called too often.
 */
int gnli_out_open(struct gnli_out **out, struct gnl_identity *me, const char *name, int64_t capacity,
                  uint64_t message_max, bool back, const char *subject);
void gnli_out_free(struct gnli_out *out);
/* All but its memory goes. */
void gnli_out_hang_up(struct gnli_out *out);
/* In a forked child, which has none of its descriptors. */
void gnli_out_disown(struct gnli_out *out);

/*
 * Reads the hello of a connection and makes a half of it: 0, -EAGAIN not there, or doubtful, yet; -EBUSY
 * earlier lives of its name are to be received first, and it has to wait; -EMFILE, -ENFILE, -ENOMEM not now,
 * but later; anything else: close it. Takes over the socket and `life` on success.
 */
int gnli_in_open(struct gnli_in **in, struct gnl_identity *me, struct gnli_caller *caller);
void gnli_in_return(struct gnli_in *in, uint64_t offset); /* a chunk; the receiving lock is held: returns.c */
void gnli_in_free(struct gnli_in *in);
void gnli_in_hang_up(struct gnli_in *in);
void gnli_in_disown(struct gnli_in *in);

/* Closes it, if there is one, and forgets it. */
void gnli_shut(int *descriptor);

/*
 * The same of one that the other side sent, and that may be of any file: closing any descriptor of a file
 * drops all locks that this process has on it, its own name's among them. Such a one stays open until the
 * file's last user goes.
 */
void gnli_unwanted(int *descriptor);

/* A pidfd of the process at the other end, -1 where the kernel gives none. */
int gnli_pidfd_of(int socket);

/* Has the socket's other end been closed? */
bool gnli_hung_up(int socket);

/* ---- links and identities: identity.c ---- */

/* A message that somebody holds, that was given back, or that is on loan. */
struct gnli_place {
    bool used, loan;
    uint64_t serial;      /* of its use: a copy of a message that has ended ends no other */
    struct gnli_in *in;   /* in whose memory a taken message lies; NULL: in the buffer */
    struct gnli_out *out; /* in whose memory a loan lies; NULL: in the buffer */
    uint64_t offset;      /* there */
    size_t size;
    char *buffer; /* made when first needed, and kept */
    size_t room;  /* its bytes: GNLI_FRAME_BYTES at most */
    unsigned deliveries;
    struct gnl_sender sender;
    struct gnli_place *next; /* free, or given back */
};

struct gnli_link {
    struct gnl_port port;
    struct gnl_identity *me;
    char name[GNL_NAME_MAX + 1];
    int64_t capacity; /* of what I send */
    uint64_t message_max;
    unsigned users; /* calls inside that came by the identity; under its lock */
    bool lent;      /* a program has its port: it stays until that is closed */

    pthread_mutex_t sending;
    struct gnli_out *out;
    uint64_t outs_ended; /* lives of the other side whose end a sender meets */
    bool offer_taken;    /* of the last of them: its rendezvous message was received */
    bool untold;         /* and the last of them no sender has met yet */
    struct gnli_spin out_spin;
    struct gnli_copying out_copying;
    _Atomic uint64_t sent;

    pthread_mutex_t receiving;
    struct gnli_in *in; /* the one that is received from, then those of later lives */
    uint64_t ins_ended;
    bool in_untold;              /* one ended that no receiver has met */
    bool buried;                 /* and its opposite half is still to end */
    struct gnli_place *returned; /* messages that were given back, the first to come first */
    struct gnli_spin in_spin;
    struct gnli_distance in_distance;
    struct gnli_copying in_copying;
    _Atomic uint64_t received, redelivered;

    pthread_mutex_t placing;   /* what follows */
    struct gnli_place *places; /* GNL_HELD_MAX for what is taken, as many for loans; made when first needed */
    struct gnli_place *free_place[2];
    uint64_t serial;
    _Atomic uint32_t holding; /* changed under `receiving` */

    uint32_t asleep;             /* threads that sleep here; under `sending` */
    uint32_t waiting;            /* that wait to receive; as above */
    bool takes_offers;           /* the other side makes offers, and is to know of them */
    struct gnli_event events[2]; /* for receiving, for sending; kept under the identity's lock */
    bool refused;                /* the name has one who does not let us in: a send would say so */
    _Atomic int64_t pumped_ns;
    struct gnli_link *next;
};

struct gnli_caller { /* connected, and has not said who it is */
    uint64_t id;
    int socket, life;
    bool mute;                   /* when last looked at */
    bool doubtful;               /* it has not the name that it says, and is about to end */
    char name[GNL_NAME_MAX + 1]; /* of a life that waits until earlier ones have been received; else empty */
    struct ucred peer;
    struct gnli_caller *next;
};

#define GNLI_HALVES_MAX 64 /* of one name, of those that have ended: a process has one at a time */
#define GNLI_UNTOLD_MAX 64 /* links of which nothing is left but that their end was not told */

struct gnli_allowed {
    uid_t uid;
    gid_t gid;
};

#define GNLI_ALLOWED_MAX 64

struct gnl_identity {
    _Atomic uint64_t stamp;
    atomic_bool closing;
    char subject[GNL_ADDRESS_MAX + 1];
    struct gnli_claim claim;
    int epoll;
    int interrupt; /* an eventfd in it: whoever waits is to look */
    int appear;    /* an inotify in it: names that appear; -1 nobody has waited for one yet */

    pthread_mutex_t lock; /* what follows */
    struct gnli_link *links;
    struct gnli_caller *callers;
    unsigned callers_count, callers_waiting;
    bool ended;    /* the kernel has told of an end that was not looked into */
    bool is_short; /* of descriptors or memory: callers wait; of who asks the kernel */
    uint64_t next_id;
    int64_t capacity;
    struct gnli_allowed allowed[GNLI_ALLOWED_MAX];
    unsigned allowed_count;

    pthread_mutex_t waking;
    pthread_cond_t woken;
    bool led; /* some thread asks the kernel; the others wait for it */
    uint64_t rounds;

    _Atomic uint32_t anyone; /* threads that sleep for a message from anybody; changed under the lock */
    uint64_t turn;           /* which link gnl_recv_from(NULL) asks first */
    struct gnli_event event; /* for receiving from anybody */
    struct gnli_memberships memberships;
    pthread_t helper; /* keeps the descriptors true */
    bool has_helper;
    struct gnl_identity *next;
};

static inline struct gnli_link *gnli_link_of(struct gnl_port *port)
{
    return (struct gnli_link *)port;
}

/* Was an end told in the midst of many (port.h), that the next call on the port is still to tell? */
static inline bool gnli_link_owes(const struct gnli_link *link, bool sending)
{
    return atomic_load_explicit(&link->port.owed, memory_order_relaxed) & (sending ? 1 : 2); /* A */
}

/* The link with that name, made if there is none. The identity's lock is held. */
struct gnli_link *gnli_link_find(struct gnl_identity *me, const char *name, bool make);
extern const struct gnli_port_operations gnli_link_operations;

/* An accepted half finds its link. The identity's lock is held. */
void gnli_link_attach(struct gnl_identity *me, struct gnli_in *in);

/* Has it as many unread lives as it may? The identity's lock is held. */
bool gnli_link_full(struct gnl_identity *me, const char *name);

/* Nothing is left of it, and nobody has its port. The identity's lock is held. */
bool gnli_link_idle(const struct gnli_link *link);
void gnli_link_unlist(struct gnl_identity *me, struct gnli_link *link);

/*
 * Halves of those who have ended go, unless something is left to be received, and so do links of which
 * nothing is left. The identity's lock is held.
 */
void gnli_links_tidy(struct gnl_identity *me);

/* Makes my half of the link, if there is none that lives. The identity's and the sending lock are held. */
int gnli_link_connect(struct gnl_identity *me, struct gnli_link *link);

/*
 * My half goes, since the other side has ended; the opposite one stays as long as there is something in it.
 * Both of the link's locks are held.
 */
void gnli_out_ends(struct gnli_link *link);

int gnli_link_open(struct gnl_identity *me, const char *name, gnl_port **port, int64_t capacity,
                   size_t message_max);
ssize_t gnli_identity_inspect(const struct gnli_address *address, struct gnl_port_info *info,
                              struct gnl_participant *participants, size_t count);

/* A half leaves its link. The half's lock is held. */
void gnli_in_drop(struct gnli_in *in);
void gnli_out_drop(struct gnli_out *out);

/* A process without other threads needs no lock, and says so before each. */
static inline bool gnli_lock(pthread_mutex_t *lock)
{
    if (__libc_single_threaded)
        return false;
    pthread_mutex_lock(lock);
    return true;
}

static inline void gnli_unlock(pthread_mutex_t *lock, bool locked)
{
    if (locked)
        pthread_mutex_unlock(lock);
}

/* ---- wait.c, pump.c, poll.c ---- */

#define GNLI_LINK_LOOK_NS ((int64_t)100000000) /* how often a sleeper looks around, */
#define GNLI_NOBODY_YET_NS \
    ((int64_t)20000000) /* and for a name, where perhaps nothing tells that it appears */

/* What an event is of: these, or a half's or caller's id and which part of it. */
enum { GNLI_INTERRUPT_ID = 0, GNLI_LISTENER_ID = 1, GNLI_APPEAR_ID = 2 };
enum { GNLI_PART_BELL = 1, GNLI_PART_LIFE = 2, GNLI_PARTS = 4 };

typedef int gnli_link_attempt(struct gnl_identity *me, struct gnli_link *link, void *context);

/*
 * Tries until it succeeds or the timeout passes: -EAGAIN from `attempt` means that it has to wait. link
 * NULL: for any link of the identity. -ETIMEDOUT, -EAGAIN with GNL_NOWAIT, -ECANCELED.
 */
int gnli_link_wait(struct gnl_identity *me, struct gnli_link *link, bool receive, int64_t timeout,
                   gnli_link_attempt *attempt, void *context);

/*
 * What the kernel has to tell, until the deadline at the longest: callers, hellos, bells, hang-ups. One
 * thread at a time asks, the others wait until it has, but for what was told since `seen`, which
 * gnli_pump_rounds gave. No lock is held.
 */
void gnli_pump(struct gnl_identity *me, uint64_t seen, int64_t deadline_ns);
uint64_t gnli_pump_rounds(struct gnl_identity *me);

/* Tells the other side who waits here; `rearm`: it is to ring again. */
void gnli_link_tell(struct gnli_link *link, bool rearm);

/* Tells the other side that this one ends in good order. */
void gnli_out_goodbye(struct gnli_out *out);

/* Everybody who waits looks again. */
void gnli_link_interrupt(struct gnl_identity *me);

/* Watches a descriptor; `readable`: not only its hang-up. */
int gnli_watch(struct gnl_identity *me, int descriptor, uint64_t id, bool readable);

/* Before its opposite is there: asks the kernel for it, once a tick of the coarse clock. No lock is held. */
void gnli_link_hear(struct gnli_link *link);

/*
 * After something was published or left: rings if the other side sleeps, or may sleep, since its half is not
 * there yet. The half's lock is held.
 */
void gnli_ring_slowly(struct gnli_out *out, uint32_t asleep);

static inline void gnli_ring(struct gnli_out *out)
{
    if (!out)
        return;
    if (__builtin_expect(!out->theirs, 0)) {
        gnli_ring_slowly(out, out->rung);
        return;
    }
    if (out->memory.own->fences)
        atomic_thread_fence(memory_order_seq_cst);                                      /* W */
    atomic_signal_fence(memory_order_seq_cst);                                          /* W */
    uint32_t asleep = atomic_load_explicit(&out->theirs->asleep, memory_order_relaxed); /* W */
    if (__builtin_expect(asleep & 1, 0) && asleep != out->rung)
        gnli_ring_slowly(out, asleep);
}

/* From now on a name that appears in the directory wakes who waits. The identity's lock is held. */
void gnli_watch_names(struct gnl_identity *me);

/* Waits until the other side is there: 0, -ENOENT nobody has its name. */
int gnli_link_met(struct gnl_identity *me, struct gnli_link *link, int64_t timeout);

/* Pollable descriptors. */
int gnli_link_fd(gnl_port *port, bool sending);
unsigned gnli_link_ready(gnl_port *port, unsigned events);
int gnli_identity_descriptor(struct gnl_identity *me);
void gnli_identity_received(struct gnl_identity *me,
                            struct gnli_link *link); /* after a receive; NULL: from anyone */
void gnli_link_sent(struct gnli_link *link);         /* after a send, where there is one for sending */

/* For waitsets: as gnli_port_join, for messages from anybody. */
int gnli_identity_join(struct gnl_identity *me, gnli_join *join, void *context);

/* ---- send.c, receive.c ---- */

int gnli_link_send(gnl_port *port, const void *data, size_t size, int64_t timeout);
int gnli_link_loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout);
int gnli_link_post(gnl_port *port, gnl_message *message, int64_t timeout);
int gnli_link_finish(gnl_port *port);
int gnli_link_give(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout);
void gnli_link_drop(struct gnli_link *link, struct gnli_place *place);
bool gnli_token_read(int token);
bool gnli_token_waits(int token);

ssize_t gnli_link_recv(gnl_port *port, void *data, size_t size, int64_t timeout);
int gnli_link_take(gnl_port *port, gnl_message *message, int64_t timeout);
int gnli_link_receive_given(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout);
int gnli_link_end(struct gnli_link *link, struct gnli_place *place, bool giveback);

struct gnli_receipt {
    void *data;
    size_t size;
    gnl_message *message; /* else it is copied */
    int *descriptor;      /* given */
    size_t *note_size;
    bool begun;
    uint64_t ended; /* lives of the other side, when the call began */
    ssize_t received;
    struct gnl_sender *sender; /* NULL: it does not matter */
    bool from_anyone;          /* its end is no news */
};
int gnli_link_receive(struct gnl_identity *me, struct gnli_link *link, void *receipt);
/* Halves of the dead with nothing in them go. The receiving lock is held. */
void gnli_link_bury(struct gnli_link *link);
/* Would a receive not block? `by_name`: so that a segment, and that it sends no more or has ended, counts. */
bool gnli_link_receivable(struct gnli_link *link, bool by_name);
bool gnli_link_sendable(struct gnli_link *link);
/* Has the other side ended? The sending lock is held. */
bool gnli_out_gone(struct gnli_out *out);
/* Is the other side known to have ended, or to send no more, where that is not told yet? */
bool gnli_link_has_ended(struct gnli_link *link, bool sending);

enum { GNLI_MESSAGE_PLACE, GNLI_MESSAGE_STAMP, GNLI_MESSAGE_SERIAL };

/* The place of a message or loan of this port. -EPERM the parent's, -EINVAL it has ended. */
int gnli_link_place_of(struct gnli_link *link, const gnl_message *message, struct gnli_place **place);

/* A place for a message or a loan of that size: -ENOBUFS, -ENOMEM. It has a buffer for it if `buffer`. */
int gnli_place_take(struct gnli_link *link, struct gnli_place **place, bool loan, bool buffer, size_t size);
void gnli_place_free(struct gnli_link *link, struct gnli_place *place);

/* Writes into the message which port and place it is of. */
static inline void gnli_place_name(struct gnli_link *link, const struct gnli_place *place,
                                   gnl_message *message)
{
    message->port_ = &link->port;
    message->private_[GNLI_MESSAGE_PLACE] = (uint64_t)(place - link->places);
    message->private_[GNLI_MESSAGE_STAMP] =
        atomic_load_explicit(&link->port.stamp, memory_order_relaxed); /* A */
    message->private_[GNLI_MESSAGE_SERIAL] = place->serial;
    message->private_[3] = 0;
}

#endif
