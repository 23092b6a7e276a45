/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports: one end of a link, what a program sends to and receives from. The address picks the kind
 * of link; the verbs are the same for all.
 *
 *     mailbox:NAME     a mailbox of this user: a named queue that many processes share
 *     mailbox:/NAME    a machine-wide mailbox: its owner and mode decide who may use it
 *     direct:NAME      the link with the process of that name (identity.h); options.identity: who I am
 *     pipe:NAME        a named pipe: a conversation with who listens there (gnl_listen); pipe:/NAME
 *     fifo:PATH        the bytes of a UNIX FIFO, for talking with cat, tee and every other program
 *     unix:PATH        a socket with a file (unix:@NAME: without), as pipe:NAME but a byte stream beneath
 *     tcp:HOST:PORT    a socket that other machines reach; tcp:[::1]:80
 *     tls:HOST:PORT    the same, encrypted, and with the other side's identity checked (tls.h)
 *
 * Every function:
 *   - is safe from several threads on the same port, gnl_close excepted for what comes after it;
 *   - is not safe in a signal handler (they allocate and lock) unless it says so;
 *   - writes its out-parameters only on success;
 *   - returns the codes of errors.h, and besides those it names: -EIDRM once the mailbox has been
 *     removed, -ECANCELED when gnl_close came in between, -EBADMSG when its memory was damaged.
 *
 * Timeouts are relative nanoseconds (timeouts.h): GNL_NOWAIT, GNL_FOREVER, gnl_ms(250).
 *
 * Fork: the child may go on using a mailbox port that it inherited, as a participant of its own.
 * Messages and loans that the parent held stay the parent's: -EPERM in the child. Ports on pipes and
 * listeners stay the parent's: in the child every call but close is -EPERM.
 */
#ifndef GINNEL_PORT_H
#define GINNEL_PORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ginnel/message.h>
#include <ginnel/options.h>
#include <ginnel/timeouts.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define GNL_ADDRESS_MAX 127

/*
 * Opens a port on `address`, making what it names if it is not there (options->create).
 * The caller owns *port and ends it with gnl_close. Does not block, but for tcp: and tls:, where it finds the
 * host and connects, for options->connect_timeout (10 s) in all: -ETIMEDOUT, -EAGAIN the resolver cannot tell
 * now, -ECONNREFUSED nobody listens there, -EHOSTUNREACH, -ENETUNREACH no way leads there.
 * -EINVAL options contradict each other or what exists; -ENOENT, -EEXIST by options->create, -ENOENT
 * also if the directory for machine-wide names is absent; -EACCES, -EPERM owner and mode;
 * -EBADMSG the file there is foreign or damaged; -EPROTONOSUPPORT another layout version, or an
 * unknown kind of address; -ENOSPC no room; -EUSERS too many processes have it open.
 */
int gnl_open(gnl_port **port, const char *address, const struct gnl_options *options);

/*
 * Listening, on addresses where one side waits for others to come: pipe:, unix:, tcp:, tls:. Each gnl_open of
 * the address is a conversation, a port here and a port there; the listener's options are those of the ports
 * that it accepts.
 */
typedef struct gnl_listener gnl_listener;

/*
 * Takes the name and listens. Does not block, but where the resolver has to find a host of tcp: or tls:,
 * up to 10 s. The caller owns *listener. options->mode: who may connect, as writing to a file of that
 * mode. A name that a dead listener left is taken over. -EADDRINUSE somebody listens there; -EEXIST
 * something else has that name; -EOPNOTSUPP nobody listens on such an address; -EINVAL, -EACCES, -EPERM,
 * -ENOENT as gnl_open.
 */
int gnl_listen(gnl_listener **listener, const char *address, const struct gnl_options *options);

/*
 * The next that connects, as a port of the caller's, to be ended with gnl_close; up to 4096 wait for it.
 * Who they are, by the kernel's word, is in gnl_port_info (peer). -EAGAIN, -ETIMEDOUT nobody came; -EMFILE,
 * -ENFILE, -ENOMEM: they go on waiting, and the listener stays readable: who polls it, or has it in a
 * waitset, takes it out until a port was closed or some time has passed, so as not to spin.
 */
int gnl_accept(gnl_listener *listener, gnl_port **port, int64_t timeout);

/* A descriptor that is readable when somebody connects: then gnl_accept with GNL_NOWAIT. The listener's. */
int gnl_listener_fd(gnl_listener *listener);

/*
 * The address to open: that of gnl_listen, with the number of the port that was found for port 0. The
 * listener's, as long as that is there. NULL if there is no listener.
 */
const char *gnl_listener_address(gnl_listener *listener);

/*
 * Ends listening; the name is free. Who waits to be accepted is turned away; ports that were accepted go on.
 * Blocked gnl_accept calls return -ECANCELED. NULL is fine. In a forked child it frees memory only.
 */
int gnl_listener_close(gnl_listener *listener);

/*
 * Closes a port: every call blocked on it in other threads returns -ECANCELED; gnl_close waits for
 * them to leave. Messages still held on it are given back, loans dropped. NULL is fine. Over sockets and
 * FIFOs it goes on writing what a send has left to it, as long as the other side takes some of it within
 * every three seconds. -ETIMEDOUT: it does not take the last of what was sent; -EPIPE: the connection was
 * lost before, and no call has said so: what was sent last may be lost. The port is closed all the same.
 */
int gnl_close(gnl_port *port);

/*
 * Removes the name; a mailbox's users get -EIDRM from then on, blocked ones included, and its memory is
 * gone with the last of them. Messages in it are lost. Who has a segment attached goes on. -ENOENT
 * nothing has that name; -EACCES, -EPERM not yours.
 */
int gnl_remove(const char *address);

/*
 * Sends a copy of the message: queued as soon as this returns 0, not sent if it returns an error;
 * there is no third case. Waits while the mailbox is full; with capacity zero until a receiver has
 * taken it, and withdraws it at the timeout (with GNL_NOWAIT it succeeds only if a receiver waits,
 * and may take as long as waking that receiver takes). -EAGAIN, -ETIMEDOUT full, or nobody took it;
 * -EMSGSIZE larger than message_max; -ENOSPC no memory left; -EPERM a receive-only port;
 * -EPIPE after gnl_finish.
 */
int gnl_send(gnl_port *port, const void *data, size_t size, int64_t timeout);

/*
 * Receives a message into the buffer and is done with it: returns its size. To have the message
 * outlive a receiver that is killed while it works, use gnl_take. -EAGAIN, -ETIMEDOUT there is none;
 * -EMSGSIZE the buffer is too small: the message stays, gnl_error_detail() says how large it is;
 * -ENOBUFS too much is held; -EPERM a send-only port. After an error what is in the buffer is
 * undefined.
 */
ssize_t gnl_recv(gnl_port *port, void *data, size_t size, int64_t timeout);

/*
 * Reserves memory for a message of `size` bytes and lends it to the caller to write in place. It
 * takes its place in the queue when posted. Waits for nothing but memory of held-up peers: with
 * mailboxes it does not block. -EMSGSIZE, -ENOSPC, -EPERM, -EPIPE as gnl_send.
 */
int gnl_loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout);

/*
 * Sends a loan, with `message->size` bytes. As gnl_send. On failure the loan stays the caller's, to
 * post again or to drop with gnl_done.
 */
int gnl_post(gnl_port *port, gnl_message *message, int64_t timeout);

/*
 * Takes a message to read it in place. It is the caller's until gnl_done or gnl_giveback; if the
 * process dies before that, it is delivered again to someone, flagged GNL_REDELIVERED. As gnl_recv,
 * and -ENOBUFS when the port holds GNL_HELD_MAX messages, -ENOMEM when there is no memory to note the first.
 */
int gnl_take(gnl_port *port, gnl_message *message, int64_t timeout);

/* Ends a taken message: it is gone. Drops a loan unsent. -EPERM it is the parent's, after fork. */
int gnl_done(gnl_message *message);

/* Returns a taken message: it is delivered again, before others, flagged and counted. -EPERM as gnl_done. */
int gnl_giveback(gnl_message *message);

/*
 * Sends several messages, in order. Returns how many went, at least 1; an error only if none did.
 * Waits for room for each while the timeout lasts.
 */
ssize_t gnl_send_many(gnl_port *port, const struct iovec *messages, size_t count, int64_t timeout);

/* Takes up to `count` messages: waits for the first, then takes what is there. How many, at least 1. */
ssize_t gnl_take_many(gnl_port *port, gnl_message *messages, size_t count, int64_t timeout);

/*
 * A descriptor that is readable when a receive would not block, for poll and epoll; also when the
 * mailbox was removed. It belongs to the port: do not read or close it. The first such descriptor
 * of a process starts a helper thread, with all signals blocked but SIGBUS. It goes quiet with the
 * last message received through this port. When another port is quicker, it may stay readable for
 * 100 ms or until a receive finds nothing: use GNL_NOWAIT.
 */
int gnl_port_fd(gnl_port *port);

/* I send no more through this port: sending calls are -EPIPE from now on, and it is no longer counted as a
 * sender; receiving goes on. */
int gnl_finish(gnl_port *port);

enum gnl_kind {
    GNL_MAILBOX = 1,
    GNL_DIRECT,
    GNL_SEGMENT, /* memory, no link: for gnl_inspect and gnl_remove (segment.h) */
    GNL_PIPE,
    GNL_FIFO,
    GNL_SIGNALS,  /* of this process (signals.h) */
    GNL_PIPE_END, /* of an ordinary pipe (pipe.h) */
    GNL_SOCKET,   /* unix:, tcp:, tls: */
};

/* What is known of a link. The counts are of this instant, and of the whole link, not of one port. */
struct gnl_port_info {
    char address[GNL_ADDRESS_MAX + 1];
    enum gnl_kind kind;
    uid_t owner_uid;
    mode_t mode;
    int64_t capacity;     /* messages, or GNL_RENDEZVOUS, GNL_UNBOUNDED */
    uint64_t message_max; /* bytes */
    int two_way;          /* it has sides A and B; the numbers are those of both together */
    uint32_t max_deliveries;
    char dead_letters[GNL_ADDRESS_MAX + 1]; /* an address, or "" */
    uint64_t queued;                        /* sent, not yet received: those given back included */
    uint64_t held;                          /* taken, not yet done */
    uint64_t senders;                       /* ports that may send, not those that have finished; */
    uint64_t receivers;                     /* ports that may receive; of living processes */
    uint64_t sent;                          /* since it was made */
    uint64_t received;
    uint64_t redelivered;
    uint64_t discarded; /* given up after max_deliveries: moved to dead_letters, or dropped */
    uint64_t bytes;     /* of memory that it occupies */
    uint64_t nonsense;  /* of 65536 places in its queue, those that cannot be: somebody wrote over them */
    uint64_t size;      /* of a segment: bytes of data, its version, and is it locked? */
    uint64_t version;
    int locked;
    struct gnl_sender peer; /* the other end, where there is one; all zero for mailboxes */
    /* pipe:, sockets: the other side has accepted the conversation, as far as was heard; of bytes: 0. */
    int accepted;
    /* Sockets: it ended in no good order (reset, in a message, not accepted), as far as was heard. What was
     * sent last may not have been received. */
    int lost;
    uint64_t reserved[3];
};

int gnl_port_info(gnl_port *port, struct gnl_port_info *info);

/*
 * What to do about SIGBUS in the library's own mappings of named files, which any user of such a
 * file can provoke by truncating it. GNL_SIGBUS_HANDLE (the default): the first mapping installs a
 * handler that turns it into -EBADMSG and passes every other SIGBUS on to the handler before it.
 * GNL_SIGBUS_NONE: no handler is installed; call it before the first gnl_open, else -EBUSY.
 */
enum gnl_sigbus {
    GNL_SIGBUS_HANDLE = 0,
    GNL_SIGBUS_NONE,
};

int gnl_set_sigbus(enum gnl_sigbus policy);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
