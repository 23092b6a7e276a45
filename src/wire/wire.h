/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port over descriptors: what the kernel carries, as named pipes and FIFOs. The verbs are here; how bytes
 * get in and out is a transport's, and so is making the descriptors.
 *
 * In message mode what goes out are frames (docs/formats/pipe.md), each handed over whole or not at all; a
 * message is a frame or several. Over a transport that keeps no borders (`stream`) a message is one frame
 * (docs/formats/socket.md), cut anywhere. In byte mode it is the bytes themselves.
 *
 * No lock is held by whoever waits, and no call waits in the kernel but in poll: closing is noticed by all.
 * But where a process has one thread, nobody else can close the port, give a message back to it or write its
 * rest: there a receive sleeps in the reading itself (`sleeps`), which saves a system call.
 *   - A send writes what it can. What is left of a message that has begun, its *rest*, is the port's from
 *     then on: any call may write it, and while there is one nothing else is begun. While its caller waits
 *     it lies in the caller's memory; a caller whose time is up leaves a copy.
 *   - A receive reads a frame into the port's buffer. One that cannot be delivered stays there (*kept*), in
 *     front of what the kernel has. The parts of a message meet in memory of their own, made when the first
 *     comes.
 *   - Capacity is counted by who sends: messages sent, less those that the other side has said it received.
 *     It says so on a socket beside, the *credit*, so that its word does not queue behind its messages.
 *     Without a capacity nobody counts: the kernel's buffer is what there is.
 *
 *   A: relaxed: counts and marks that only inform, or that a lock's holder writes.
 *   B: release when the bell is made, acquire by who rings or polls it: the descriptor is there.
 */
#ifndef GNLI_WIRE_WIRE_H
#define GNLI_WIRE_WIRE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "port/port.h"
#include "wait/futex.h"

#define GNLI_FRAME_DATA 65536 /* bytes of a message in one frame: all frames but its last have so many */

struct gnli_frame {
    uint32_t size; /* bytes in this frame */
    uint32_t rest; /* bytes of the message in the frames after it */
};

/* What each end tells the other about itself. */
struct gnli_terms {
    uint32_t message_max; /* bytes; 0: as the other has it */
    uint32_t capacity;    /* of what it sends; 0: it does not count */
};

struct gnli_wire;

struct gnli_transport {
    bool stream; /* what is put together comes in other pieces: messages are framed by stream.c */
    bool sleeps; /* `get` may wait for input, where the wire says so (gnli_wire_flags) */
    /* Writes; how many bytes, or -EAGAIN, -EPIPE nobody will read them. Never raises SIGPIPE. */
    ssize_t (*put)(struct gnli_wire *wire, const struct iovec *parts, int count);
    /* Reads; 0 the other sends no more. *sender is written if the kernel tells. */
    ssize_t (*get)(struct gnli_wire *wire, const struct iovec *parts, int count, struct gnl_sender *sender);
    void (*finish)(struct gnli_wire *wire); /* the other side shall learn that nothing more comes */
    /* FIFOs: opens what is read; after an end others may come, and no -EPIPE is for good. Else NULL. */
    int (*reopen)(struct gnli_wire *wire);
    /* Sockets: the port is to be closed, its descriptors are open still: 0, or what got lost. Else NULL. */
    int (*leave)(struct gnli_wire *wire);
    /* Sockets: the port is closed, and its socket shut down, while others are inside calls. Else NULL. */
    void (*interrupt)(struct gnli_wire *wire);
    /* A child of the port's process frees its memory. Else NULL. */
    void (*forget)(struct gnli_wire *wire);
};

/* A message in memory of this process: one that comes in parts, is held, given back, or a loan. */
struct gnli_copy {
    struct gnli_copy *next; /* given back */
    size_t size, at;        /* bytes; those that have come; in byte mode, those that are gone */
    unsigned deliveries;
    struct gnl_sender sender;
    char data[];
};

struct gnli_wire_place { /* of a message that is held, or a loan */
    uint64_t serial;
    struct gnli_copy *copy; /* NULL: free */
};

struct gnli_wire {
    struct gnl_port port;
    const struct gnli_transport *transport;
    char address[GNL_ADDRESS_MAX + 1];
    enum gnl_kind kind;
    uid_t owner;
    mode_t mode;
    bool bytes;         /* byte mode */
    size_t message_max; /* as asked for; 0: as the other side has it */
    uint32_t capacity;  /* of what I send; 0: what the kernel holds */
    struct gnl_sender peer;
    void *own;   /* the transport's */
    void *layer; /* what it has between the frames and the kernel, such as encryption; NULL: nothing */

    _Atomic int input, output; /* what to poll; -1 not open now. Of a socket the same */
    int credit;                /* a socket; -1 in byte mode, and where nobody counts */
    int file;                  /* a FIFO's, to open it by; else -1 */
    bool writers;              /* a FIFO has had some since it was opened; under `receiving` */
    _Atomic int bell;          /* an eventfd: raised while something can be received that no poll tells of;
                                  made under `receiving` once somebody polls for it; -1 not yet */
    _Atomic int set;           /* an epoll descriptor: of gnl_port_fd; -1 none was asked for */
    _Atomic int room;          /* the same for sending */
    int timer;                 /* in it: to look whether somebody reads a FIFO; under `sending`; -1 none */

    pthread_mutex_t sending;
    const char *rest; /* of a message that has begun */
    size_t rest_size;
    uint8_t head[4]; /* of its frame, in a stream: the last head_left bytes have not gone */
    size_t head_left;
    char *rest_memory;     /* the port's own, where its sender has left */
    uint64_t begun;        /* messages */
    bool finishing;        /* once there is no rest */
    bool watched;          /* whoever polls the port's descriptor comes back for the rest */
    int send_error;        /* from now on */
    _Atomic size_t unsent; /* bytes that the layer has taken and not handed to the kernel: of the rest, too */
    _Atomic uint64_t sent;

    pthread_mutex_t crediting;
    _Atomic uint64_t granted;  /* of my messages the other has received so many */
    _Atomic int credit_error;  /* of sending, from now on: it says no more, or nonsense */
    _Atomic bool met;          /* its terms are known */
    _Atomic uint32_t peer_max; /* bytes of a message; 0: as I have it */
    _Atomic uint32_t peer_capacity;

    pthread_mutex_t receiving;
    char *buffer; /* for a frame, made when first needed */
    size_t kept;  /* bytes of the frame in it that was not delivered */
    bool keeps;
    size_t from, until; /* in a stream: what is in the buffer and was not delivered */
    struct gnl_sender kept_sender;
    struct gnli_copy *partial; /* what has come of a message */
    char *landing; /* its bytes are there instead, in the memory of a call that waits for the rest; NULL */
    struct gnli_copy *returned; /* given back, the first to come first */
    bool rung;
    bool ahead;               /* the layer has read more than it has given: no poll tells */
    int receive_error;        /* from now on */
    _Atomic int lost;         /* the connection, and how (gnli_wire_lost); 0 it is not */
    _Atomic bool reported;    /* and a call has said so: closing does not say it again */
    int64_t closing_until_ns; /* unless the other takes some of what is left for it, */
    size_t closing_left;      /* which are so many bytes */
    _Atomic bool end_said;    /* TLS: this port's, */
    _Atomic bool all_taken;   /* and before that the other's kernel had confirmed all */
    struct gnli_spin spin;
    bool blocking;        /* `input` is, where a call does not say MSG_DONTWAIT */
    bool sleeps;          /* the next reading waits; only in a process of one thread */
    uint32_t patience_ms; /* so long (SO_RCVTIMEO); 0: as long as it takes */
    uint64_t told;        /* received messages that the other knows of */
    _Atomic uint64_t received, redelivered;

    pthread_mutex_t placing;
    struct gnli_wire_place places[2 * GNL_HELD_MAX]; /* first what is held, then loans */
    uint64_t serial;
    _Atomic uint32_t holding, returning;
};

static inline struct gnli_wire *gnli_wire_of(gnl_port *port)
{
    return (struct gnli_wire *)port;
}

/*
 * A port without descriptors yet: the caller sets input, output and credit. The address
 * may be NULL. -EMFILE, -ENOMEM.
 */
int gnli_wire_new(struct gnli_wire **wire, const struct gnli_transport *transport,
                  const struct gnli_address *address, const struct gnl_options *options, const char *subject);

/* Is something left of a message that has begun? `sending` is held. */
static inline bool gnli_wire_rests(const struct gnli_wire *wire)
{
    size_t unsent = atomic_load_explicit(&wire->unsent, memory_order_relaxed); /* A */

    return wire->rest_size + wire->head_left + unsent > 0;
}

/* In closing: has the other taken some of what there is for it, here or in the kernel, lately? */
bool gnli_wire_is_taken(struct gnli_wire *wire);

/* -ETIMEDOUT, with its sentence: the port is closed before the other has taken all that was sent. */
int gnli_wire_untaken(const struct gnli_wire *wire);

/* Closes its descriptors and frees it. */
void gnli_wire_free(struct gnli_wire *wire);

/* A descriptor of the port: no child shall have it. -ENOMEM; the descriptor stays the caller's then. */
int gnli_wire_own(int descriptor);
void gnli_wire_disown(int descriptor); /* closes it; -1 is fine */

/* The terms of the options, as the other end is told them; and what the other has told. */
struct gnli_terms gnli_wire_terms(const struct gnli_wire *wire);
void gnli_wire_meet(struct gnli_wire *wire, const struct gnli_terms *terms);

/* ---- between the files of this room ---- */

int gnli_wire_send(gnl_port *port, const void *data, size_t size, int64_t timeout);
int gnli_wire_flush(struct gnli_wire *wire);  /* 0, -EAGAIN, or an error; `sending` is held */
void gnli_wire_hurry(struct gnli_wire *wire); /* flushes, if it can be done at once */

/* For gnl_send_many, without waiting: how many went, in one system call; 0: send the first alone. */
ssize_t gnli_wire_send_many(gnl_port *port, const struct iovec *messages, size_t count);

ssize_t gnli_wire_recv(gnl_port *port, void *data, size_t size, int64_t timeout);
int gnli_wire_take(gnl_port *port, gnl_message *message, int64_t timeout);
void gnli_wire_ring(struct gnli_wire *wire); /* the bell as it should be; `receiving` is held */
int gnli_wire_bell(struct gnli_wire *wire);  /* makes it; -EMFILE. `receiving` is held */

bool gnli_wire_full(
    struct gnli_wire *wire); /* as many are under way as the capacity allows; `sending` is held */

int gnli_wire_fd(gnl_port *port, bool sending);
int gnli_wire_own_fd(gnl_port *port);
void gnli_wire_joined(gnl_port *port);
unsigned gnli_wire_ready(gnl_port *port, unsigned events);
void gnli_wire_unsettle(struct gnli_wire *wire); /* there may be room: who polls for it looks */

/* Reads what the other has said on the credit. -EPIPE it is gone, -EBADMSG nonsense: for good. */
int gnli_credit_read(struct gnli_wire *wire);
/* Tells the other what was received: all of it if `now`, else if that may matter. `receiving` is held. */
void gnli_credit_tell(struct gnli_wire *wire, bool now);
/* The largest message. */
size_t gnli_wire_limit(struct gnli_wire *wire);

/*
 * Waits for one of these, or for any other reason to look again, up to the deadline. 0, or -ETIMEDOUT,
 * -ECANCELED; -EAGAIN if the deadline is 0; -EPIPE no credit will come.
 */
enum gnli_wire_wait { GNLI_INPUT = 1, GNLI_OUTPUT = 2, GNLI_CREDIT = 4 };
int gnli_wire_wait(struct gnli_wire *wire, unsigned what, int64_t deadline);
int64_t gnli_wire_deadline(int64_t timeout);

/*
 * The connection ended in no good order: by an error of the socket, or EPROTO in a message, ECONNABORTED
 * before the other accepted, EPIPE before it had taken a message that a send has left to the port. Not if
 * that is because the port is being closed. Says so: -EPIPE.
 */
int gnli_wire_lost(struct gnli_wire *wire, int how);

/* The same without a word: the layer has one. */
void gnli_wire_note_lost(struct gnli_wire *wire, int how);

/* Of a reading of `input`: MSG_DONTWAIT, but for the one that is to wait. -EINTR of that one is -EAGAIN. */
int gnli_wire_flags(struct gnli_wire *wire);

/* What a call comes to: who closes a port shuts its socket down, which looks to others as if the peer had. */
ssize_t gnli_wire_verdict(struct gnli_wire *wire, ssize_t result);

#define GNLI_NO_CREDIT \
    (-ENOSR) /* between these files: as -EAGAIN, but it is the other's word that is wanted */

/* Places: -ENOBUFS there is none, -EINVAL, -EPERM not a message of this port. */
int gnli_wire_place(struct gnli_wire *wire, struct gnli_copy *copy, bool loan, gnl_message *message);
int gnli_wire_room(struct gnli_wire *wire);
int gnli_wire_find(struct gnli_wire *wire, const gnl_message *message, struct gnli_wire_place **place,
                   bool *loan);
struct gnli_copy *gnli_wire_unplace(struct gnli_wire *wire, struct gnli_wire_place *place, bool loan);

/* `clean`: zeros, for a loan: what is not written there goes to the other side as it is. */
struct gnli_copy *gnli_copy_new(size_t size, bool clean);

#endif
