/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "memory/file.h"
#include "wait/poll.h"

/* ---- waiting ---- */

#define LOOK_MS   100 /* who waits to send looks again so often: others may have written what is its own */
#define REOPEN_MS 10  /* and where nobody reads a FIFO, so often: no event tells when somebody does */

int64_t gnli_wire_deadline(int64_t timeout)
{
    return timeout == 0 ? 0 : gnli_deadline_ns(timeout);
}

static bool has_rest(struct gnli_wire *wire)
{
    pthread_mutex_lock(&wire->sending);
    bool rest = gnli_wire_rests(wire);
    pthread_mutex_unlock(&wire->sending);
    return rest;
}

/* The deadline, but not later than so many milliseconds from now. */
static int64_t within_ms(int64_t deadline, int most)
{
    int64_t soon = gnli_now_ns() + INT64_C(1000000) * most;

    return soon < deadline ? soon : deadline;
}

/* -1: there can be none now: who waits looks again in a while. */
static int bell_of(struct gnli_wire *wire)
{
    int bell = atomic_load_explicit(&wire->bell, memory_order_acquire); /* B */

    if (bell >= 0)
        return bell;
    pthread_mutex_lock(&wire->receiving);
    gnli_wire_bell(wire);
    pthread_mutex_unlock(&wire->receiving);
    return atomic_load_explicit(&wire->bell, memory_order_acquire); /* B */
}

int gnli_wire_wait(struct gnli_wire *wire, unsigned what, int64_t deadline)
{
    struct pollfd entries[4] = { 0 };
    nfds_t count = 0;
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed);   /* A */
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */

    if (deadline == 0)
        return -EAGAIN;
    if (atomic_load_explicit(&wire->port.closing, memory_order_relaxed)) /* A */
        return -ECANCELED;
    if (gnli_now_ns() >= deadline)
        return -ETIMEDOUT;
    bool writes = what & GNLI_OUTPUT || (what & GNLI_INPUT && has_rest(wire));
    bool hears = what & GNLI_INPUT || (what & GNLI_CREDIT && wire->credit < 0); /* its hello comes there */
    entries[count++] = (struct pollfd){ .fd = input, .events = hears ? POLLIN : 0 };
    if (writes)
        entries[count++] = (struct pollfd){ .fd = output, .events = POLLOUT };
    if (what & GNLI_CREDIT)
        entries[count++] = (struct pollfd){ .fd = wire->credit, .events = POLLIN };
    int bell = what & GNLI_INPUT ? bell_of(wire) : -1;
    if (what & GNLI_INPUT)
        entries[count++] = (struct pollfd){ .fd = bell, .events = POLLIN };
    else if (wire->transport->reopen)
        entries[0].fd = -1; /* whether somebody writes is nothing to who sends */
    int most = writes && output < 0 ? REOPEN_MS : bell >= 0 ? 60000 : LOOK_MS;
    gnli_poll(entries, count, within_ms(deadline, most));
    /* Told again and again, were it slept on: who has shut its end down receives no more. */
    return what & GNLI_CREDIT && entries[0].revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

int gnli_wire_flags(struct gnli_wire *wire)
{
    int flags = wire->sleeps ? 0 : MSG_DONTWAIT;

    if (wire->sleeps)
        wire->sleeps = false; /* what is read after it has begun to come, or there is nothing */
    return flags;
}

ssize_t gnli_wire_verdict(struct gnli_wire *wire, ssize_t result)
{
    if (result != -EPIPE && result != -EBADMSG)
        return result;
    if (atomic_load_explicit(&wire->port.closing, memory_order_relaxed)) /* A */
        return gnli_fail(-ECANCELED, "%s: closed by another thread during the call", wire->port.subject);
    if (atomic_load_explicit(&wire->lost, memory_order_relaxed) != 0)       /* A */
        atomic_store_explicit(&wire->reported, true, memory_order_relaxed); /* A */
    return result;
}

void gnli_wire_note_lost(struct gnli_wire *wire, int how)
{
    bool ours = how == EPROTO || how == ECONNABORTED || how == EPIPE; /* may be the port's own closing */

    if (!ours || !atomic_load_explicit(&wire->port.closing, memory_order_relaxed)) /* A */
        atomic_store_explicit(&wire->lost, how, memory_order_relaxed);             /* A */
}

int gnli_wire_lost(struct gnli_wire *wire, int how)
{
    const char *subject = wire->port.subject;

    gnli_wire_note_lost(wire, how);
    switch (how) {
    case EPROTO:
        return gnli_fail(-EPIPE, "%s: the other side ended in the midst of a message", subject);
    case ECONNABORTED:
        return gnli_fail(
            -EPIPE, "%s: the other side ended before it accepted: it turns away, or is no Ginnel", subject);
    case EPIPE:
        return gnli_fail(-EPIPE, "%s: the other side has ended, and not taken the last of what was sent",
                         subject);
    case ECONNRESET:
        return gnli_fail(-EPIPE,
                         "%s: the other side has reset the connection: it has not read all, or turns away",
                         subject);
    case ETIMEDOUT:
        return gnli_fail(-EPIPE, "%s: the other side does not answer any more: taken for dead", subject);
    default:
        return gnli_fail(-EPIPE, "%s: the connection is lost: %s", subject, strerrordesc_np(how));
    }
}

static void interrupt(gnl_port *port)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    uint64_t count = 1;

    if (wire->transport->interrupt)
        wire->transport->interrupt(wire);
    /* What was sent stays the other's; whoever polls here wakes. */
    if (!wire->transport->reopen)
        shutdown(atomic_load_explicit(&wire->input, memory_order_relaxed), SHUT_RDWR); /* A */
    int bell = atomic_load_explicit(&wire->bell, memory_order_acquire);                /* B */
    if (bell >= 0 && write(bell, &count, sizeof count) < 0)
        return; /* it rings already */
}

/* ---- descriptors ---- */

int gnli_wire_own(int descriptor)
{
    return gnli_process_close_in_child(descriptor);
}

void gnli_wire_disown(int descriptor)
{
    if (descriptor < 0)
        return;
    gnli_process_closed(descriptor);
    close(descriptor);
}

/* ---- messages in place ---- */

static int loan(gnl_port *port, gnl_message *message, size_t size, int64_t timeout)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    (void)timeout;
    size_t limit = gnli_wire_limit(wire);
    if (size > limit && !wire->bytes)
        return gnli_fail(-EMSGSIZE, "%s: a message of %zu bytes, where message_max is %zu", port->subject,
                         size, limit);
    struct gnli_copy *copy = gnli_copy_new(size, true);
    if (!copy)
        return -ENOMEM;
    int result = gnli_wire_place(wire, copy, true, message);
    if (result < 0)
        free(copy);
    return result;
}

static int post(gnl_port *port, gnl_message *message, int64_t timeout)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    struct gnli_wire_place *place;
    bool is_loan;

    int result = gnli_wire_find(wire, message, &place, &is_loan);
    if (result < 0)
        return result;
    if (!is_loan)
        return gnli_fail(-EINVAL, "%s: this message was taken: it is no loan", port->subject);
    if (message->size > place->copy->size)
        return gnli_fail(-EMSGSIZE, "%s: %zu bytes were lent, not %zu", port->subject, place->copy->size,
                         message->size);
    result = gnli_wire_send(port, place->copy->data, message->size, timeout);
    if (result < 0)
        return result;
    free(gnli_wire_unplace(wire, place, true));
    message->port_ = NULL;
    message->data = NULL;
    return 0;
}

/* Puts it behind those that were given back before. */
static void give_back(struct gnli_wire *wire, struct gnli_copy *copy)
{
    struct gnli_copy **last = &wire->returned;

    copy->next = NULL;
    pthread_mutex_lock(&wire->receiving);
    while (*last)
        last = &(*last)->next;
    *last = copy;
    atomic_fetch_add_explicit(&wire->returning, 1, memory_order_relaxed); /* A */
    gnli_wire_ring(wire);
    pthread_mutex_unlock(&wire->receiving);
}

static int end(gnl_port *port, gnl_message *message, bool giveback)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    struct gnli_wire_place *place;
    bool is_loan;

    int result = gnli_wire_find(wire, message, &place, &is_loan);
    if (result < 0)
        return result;
    if (is_loan && giveback)
        return gnli_fail(-EINVAL, "%s: a loan can't be given back: drop it with gnl_done", port->subject);
    message->port_ = NULL;
    message->data = NULL;
    struct gnli_copy *copy = gnli_wire_unplace(wire, place, is_loan);
    if (giveback)
        give_back(wire, copy);
    else
        free(copy);
    return 0;
}

static int done(gnl_port *port, gnl_message *message)
{
    return end(port, message, false);
}

static int giveback(gnl_port *port, gnl_message *message)
{
    return end(port, message, true);
}

/* ---- the rest of the verbs ---- */

static int finish(gnl_port *port)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    if (port->direction == GNL_RECV_ONLY)
        return 0;
    if (atomic_exchange_explicit(&port->finished, true, memory_order_relaxed)) /* A */
        return 0;
    pthread_mutex_lock(&wire->sending);
    wire->finishing = true;
    gnli_wire_flush(wire); /* or whoever writes the rest */
    pthread_mutex_unlock(&wire->sending);
    return 0;
}

static int info(gnl_port *port, struct gnl_port_info *info)
{
    struct gnli_wire *wire = gnli_wire_of(port);
    struct gnl_port_info seen = { .kind = wire->kind,
                                  .owner_uid = wire->owner,
                                  .mode = wire->mode,
                                  .two_way = wire->kind == GNL_PIPE || wire->kind == GNL_SOCKET,
                                  .capacity = wire->capacity,
                                  .peer = wire->peer };

    gnli_wire_hurry(wire);
    if (!wire->bytes)
        gnli_credit_read(wire);
    uint64_t sent = atomic_load_explicit(&wire->sent, memory_order_relaxed);           /* A */
    uint64_t granted = atomic_load_explicit(&wire->granted, memory_order_relaxed);     /* A */
    uint64_t received = atomic_load_explicit(&wire->received, memory_order_relaxed);   /* A */
    seen.redelivered = atomic_load_explicit(&wire->redelivered, memory_order_relaxed); /* A */
    seen.queued = (wire->credit < 0 ? 0 : sent - granted) +
                  atomic_load_explicit(&wire->returning, memory_order_relaxed); /* A */
    seen.held = atomic_load_explicit(&wire->holding, memory_order_relaxed);     /* A */
    seen.sent = sent + received;
    seen.received = granted + received + seen.redelivered;
    seen.message_max = wire->bytes ? 0 : gnli_wire_limit(wire);
    seen.senders = port->direction != GNL_RECV_ONLY &&
                   !atomic_load_explicit(&port->finished, memory_order_relaxed); /* A */
    seen.receivers = port->direction != GNL_SEND_ONLY;
    seen.accepted = atomic_load_explicit(&wire->met, memory_order_relaxed);   /* A */
    seen.lost = atomic_load_explicit(&wire->lost, memory_order_relaxed) != 0; /* A */
    strcpy(seen.address, wire->address);
    *info = seen;
    return 0;
}

static int after_fork(gnl_port *port)
{
    return gnli_fail(-EPERM, "%s: is the parent process's", port->subject);
}

/* ---- beginning and end ---- */

#define CLOSE_NS INT64_C(3000000000) /* TCP tells of what a slow reader takes in large steps */

static size_t left_to_write(struct gnli_wire *wire)
{
    return wire->rest_size + atomic_load_explicit(&wire->unsent, memory_order_relaxed); /* A */
}

bool gnli_wire_is_taken(struct gnli_wire *wire)
{
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */
    int64_t now_ns = gnli_now_ns();
    int queued = 0;

    if (ioctl(output, SIOCOUTQ, &queued) < 0)
        queued = 0; /* a FIFO, which takes what there is room for */
    size_t left = left_to_write(wire) + (size_t)queued;
    if (wire->closing_until_ns == 0 || left < wire->closing_left) {
        wire->closing_left = left;
        wire->closing_until_ns = now_ns + CLOSE_NS;
    }
    return now_ns < wire->closing_until_ns;
}

int gnli_wire_untaken(const struct gnli_wire *wire)
{
    return gnli_fail(-ETIMEDOUT, "%s: the other side does not take the last of what was sent: it may be lost",
                     wire->port.subject);
}

/* Writes what is left of a message that has begun, as long as the other takes any of it: it may get lost. */
static int write_rest(struct gnli_wire *wire)
{
    int result = 0;

    while (gnli_wire_rests(wire) && (result = gnli_wire_flush(wire)) == -EAGAIN && gnli_wire_is_taken(wire)) {
        struct pollfd entry = {
            .fd = atomic_load_explicit(&wire->output, memory_order_relaxed), /* A */
            .events = POLLOUT,
        };
        gnli_poll(&entry, 1, within_ms(wire->closing_until_ns, LOOK_MS));
    }
    if (gnli_wire_rests(wire))
        return gnli_wire_untaken(wire);
    return result == -EAGAIN ? 0 : result;
}

/* In a forked child only memory goes: descriptors were closed there, and their numbers are others'. */
static void free_memory(struct gnli_wire *wire)
{
    if (wire->transport->forget)
        wire->transport->forget(wire);
    for (size_t i = 0; i < sizeof wire->places / sizeof wire->places[0]; i++)
        free(wire->places[i].copy);
    for (struct gnli_copy *copy = wire->returned, *next; copy; copy = next) {
        next = copy->next;
        free(copy);
    }
    free(wire->partial);
    free(wire->buffer);
    free(wire->rest_memory);
    free(wire);
}

void gnli_wire_free(struct gnli_wire *wire)
{
    int input = atomic_load_explicit(&wire->input, memory_order_relaxed);   /* A */
    int output = atomic_load_explicit(&wire->output, memory_order_relaxed); /* A */

    gnli_wire_disown(atomic_load_explicit(&wire->set, memory_order_relaxed));  /* A */
    gnli_wire_disown(atomic_load_explicit(&wire->room, memory_order_relaxed)); /* A */
    gnli_wire_disown(wire->timer);
    gnli_wire_disown(input);
    if (output != input)
        gnli_wire_disown(output);
    gnli_wire_disown(wire->credit);
    gnli_wire_disown(wire->file);
    gnli_wire_disown(atomic_load_explicit(&wire->bell, memory_order_acquire)); /* B */
    free_memory(wire);
}

static int close_wire(gnl_port *port)
{
    struct gnli_wire *wire = gnli_wire_of(port);

    if (!gnli_process_is(atomic_load_explicit(&port->stamp, memory_order_relaxed))) { /* A */
        free_memory(wire);
        return 0;
    }
    int result = write_rest(wire);
    int left = wire->transport->leave ? wire->transport->leave(wire) : 0;
    if (result == 0)
        result = left;
    bool sent = atomic_load_explicit(&wire->sent, memory_order_relaxed) > 0;               /* A */
    int lost = atomic_load_explicit(&wire->lost, memory_order_relaxed);                    /* A */
    if (lost != 0 && sent && !atomic_load_explicit(&wire->reported, memory_order_relaxed)) /* A */
        result = gnli_wire_lost(wire, lost);
    gnli_wire_free(wire);
    return result;
}

static const struct gnli_port_operations operations = {
    .send = gnli_wire_send,
    .send_many = gnli_wire_send_many,
    .recv = gnli_wire_recv,
    .loan = loan,
    .post = post,
    .take = gnli_wire_take,
    .done = done,
    .giveback = giveback,
    .fd = gnli_wire_fd,
    .ready = gnli_wire_ready,
    .own_fd = gnli_wire_own_fd,
    .joined = gnli_wire_joined,
    .finish = finish,
    .info = info,
    .after_fork = after_fork,
    .interrupt = interrupt,
    .close = close_wire,
};

int gnli_wire_new(struct gnli_wire **made, const struct gnli_transport *transport,
                  const struct gnli_address *address, const struct gnl_options *options, const char *subject)
{
    struct gnli_wire *wire = calloc(1, sizeof *wire);

    if (!wire)
        return gnli_fail_plain(-ENOMEM, subject);
    wire->port.operations = &operations;
    wire->port.direction = options->direction;
    atomic_init(&wire->port.stamp, gnli_process_stamp());
    memccpy(wire->port.subject, subject, '\0', sizeof wire->port.subject - 1);
    if (address)
        gnli_address_format(address, wire->address);
    wire->transport = transport;
    wire->bytes = options->stream;
    wire->message_max = options->message_max;
    wire->capacity = (uint32_t)options->capacity;
    atomic_init(&wire->input, -1);
    atomic_init(&wire->output, -1);
    atomic_init(&wire->set, -1);
    atomic_init(&wire->room, -1);
    wire->timer = -1;
    wire->credit = wire->file = -1;
    pthread_mutex_init(&wire->sending, NULL);
    pthread_mutex_init(&wire->crediting, NULL);
    pthread_mutex_init(&wire->receiving, NULL);
    pthread_mutex_init(&wire->placing, NULL);
    gnli_spin_init(&wire->spin);
    atomic_init(&wire->bell, -1);
    *made = wire;
    return 0;
}
