/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes as ports: opening, closing, removing, and the table of operations.
 *
 *   A: relaxed: counts and marks; closing is ordered by life/process.h, joining by the handles' lock.
 */
#include "mailbox/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/errors.h"
#include "life/process.h"

#define RACES_MAX 16 /* with others who make and remove the same name */

int gnli_mailbox_port_usable(struct gnli_mailbox_port *port)
{
    if (atomic_load_explicit(&port->port.closing, memory_order_relaxed)) /* A */
        return -ECANCELED;
    return gnli_mailbox_usable(port->mailbox);
}

/* ---- messages ---- */

/* The ticket of a message of this port; -EPERM the parent's, -EINVAL ended. */
static int ticket_of(gnl_port *base, const gnl_message *message)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    uint64_t ticket = message->private_[GNLI_MESSAGE_TICKET];
    bool loan = message->private_[GNLI_MESSAGE_LOAN] != 0;
    struct gnli_tickets *tickets = gnli_tickets_of(loan ? &port->loans : &port->held);

    if (message->private_[GNLI_MESSAGE_STAMP] !=
        atomic_load_explicit(&base->stamp, memory_order_relaxed)) /* A */
        return gnli_fail(-EPERM,
                         loan ? "%s: this loan is the parent process's"
                              : "%s: this message is held by the parent process",
                         base->subject);
    /* A copy of a message that has ended must not end the one that has its place now. */
    if (ticket >= GNL_HELD_MAX || !gnli_ticket_used(tickets, (unsigned)ticket) ||
        (!loan && message->private_[GNLI_MESSAGE_WORD] != tickets->ticket[ticket].word))
        return gnli_fail(-EINVAL, loan ? "%s: this loan has ended" : "%s: this message has ended",
                         base->subject);
    return (int)ticket;
}

static int end(gnl_port *base, gnl_message *message, bool giveback)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    bool loan = message->private_[GNLI_MESSAGE_LOAN] != 0;

    int ticket = ticket_of(base, message);
    if (ticket < 0)
        return ticket;
    if (loan && giveback)
        return gnli_fail(-EINVAL, "%s: a loan can't be given back: drop it with gnl_done", base->subject);
    message->port_ = NULL;
    message->data = NULL;
    int result =
        loan ? gnli_mailbox_drop(port, (unsigned)ticket) : gnli_mailbox_end(port, (unsigned)ticket, giveback);
    return result < 0 ? result : gnli_mailbox_usable(port->mailbox); /* it has ended in any case */
}

static int done(gnl_port *base, gnl_message *message)
{
    return end(base, message, false);
}

static int giveback(gnl_port *base, gnl_message *message)
{
    return end(base, message, true);
}

/* ---- ports ---- */

static _Atomic uint32_t open_ports;

unsigned gnli_mailbox_ports(void)
{
    return atomic_load_explicit(&open_ports, memory_order_relaxed); /* A */
}

static void count_sender(struct gnli_mailbox_port *port, int by)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_participant *record = gnli_mailbox_record(mailbox);

    if (port->port.direction != GNL_RECV_ONLY) {
        atomic_fetch_add_explicit(&mailbox->senders, (uint32_t)by, memory_order_relaxed); /* A */
        atomic_fetch_add_explicit(&record->senders, (uint32_t)by, memory_order_relaxed);  /* A */
    }
}

static void count_port(struct gnli_mailbox_port *port, int by)
{
    struct gnli_mailbox *mailbox = port->mailbox;
    struct gnli_participant *record = gnli_mailbox_record(mailbox);

    if (!atomic_load_explicit(&port->port.finished, memory_order_relaxed)) /* A */
        count_sender(port, by);
    if (port->port.direction != GNL_SEND_ONLY) {
        atomic_fetch_add_explicit(&mailbox->receivers, (uint32_t)by, memory_order_relaxed); /* A */
        atomic_fetch_add_explicit(&record->receivers, (uint32_t)by, memory_order_relaxed);  /* A */
    }
}

static int after_fork(gnl_port *base)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    int result = 0;

    gnli_handles_lock();
    if (!gnli_process_is(atomic_load_explicit(&base->stamp, memory_order_relaxed))) { /* A */
        result = gnli_mailbox_rejoin(port->mailbox);
        if (result == 0) {
            gnli_cursor_init(&port->out_cursor);
            gnli_cursor_init(&port->in_cursor);
            gnli_tickets_forget(&port->held); /* those are the parent's */
            gnli_tickets_forget(&port->loans);
            gnli_poll_forget(port);
            count_port(port, 1);
            atomic_store_explicit(&base->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
        }
    }
    gnli_handles_unlock();
    return result;
}

static void interrupt(gnl_port *base)
{
    gnli_mailbox_wake_all(&gnli_mailbox_port_of(base)->mailbox->view);
}

static int close_port(gnl_port *base)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);

    gnli_poll_close(port);
    if (gnli_process_is(atomic_load_explicit(&base->stamp, memory_order_relaxed))) { /* A */
        for (unsigned i = 0; i < GNL_HELD_MAX; i++) {
            if (gnli_ticket_used(gnli_tickets_of(&port->held), i))
                gnli_mailbox_end(port, i, true);
            if (gnli_ticket_used(gnli_tickets_of(&port->loans), i))
                gnli_mailbox_drop(port, i);
        }
        gnli_mailbox_bury_again(port); /* who receives next tries: nobody else knows of it */
        count_port(port, -1);
    }
    gnl_close(atomic_load_explicit(&port->dead_letters, memory_order_relaxed)); /* A */
    gnli_mailbox_detach(port->mailbox);
    atomic_fetch_sub_explicit(&open_ports, 1, memory_order_relaxed); /* A */
    gnli_tickets_free(&port->held);
    gnli_tickets_free(&port->loans);
    free(port);
    return 0;
}

static int finish(gnl_port *base)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);

    int result = gnli_mailbox_usable(port->mailbox);
    if (result == 0 && !atomic_exchange_explicit(&base->finished, true, memory_order_relaxed)) /* A */
        count_sender(port, -1);
    return result;
}

static int info(gnl_port *base, struct gnl_port_info *info)
{
    struct gnli_mailbox_port *port = gnli_mailbox_port_of(base);
    struct gnl_port_info seen = { 0 };

    int result = gnli_mailbox_usable(port->mailbox);
    if (result < 0)
        return result;
    strcpy(seen.address, port->address);
    gnli_view_info(&port->mailbox->view, &seen);
    *info = seen;
    return 0;
}

static const struct gnli_port_operations operations = {
    .send = gnli_mailbox_send,
    .recv = gnli_mailbox_recv,
    .loan = gnli_mailbox_loan,
    .post = gnli_mailbox_post,
    .take = gnli_mailbox_take,
    .done = done,
    .giveback = giveback,
    .fd = gnli_mailbox_fd,
    .ready = gnli_mailbox_ready,
    .finish = finish,
    .info = info,
    .after_fork = after_fork,
    .interrupt = interrupt,
    .close = close_port,
};

/* ---- opening ---- */

static void describe(char *subject, size_t size, const struct gnli_address *address)
{
    snprintf(subject, size, "mailbox '%s%s'", address->machine_wide ? "/" : "", address->name);
}

static void file_name(char *name, size_t size, const struct gnli_address *address)
{
    snprintf(name, size, "mailbox:%s", address->name);
}

/* A name or an address becomes an address; a name is of the same kind as the mailbox's own. */
static int normalize_dead_letters(char *normal, size_t size, const char *given, const char *subject,
                                  const struct gnli_address *mailbox)
{
    struct gnli_address address;

    const char *kind = strchr(given, ':')                         ? ""
                       : mailbox->machine_wide && given[0] != '/' ? "mailbox:/"
                                                                  : "mailbox:";
    int length = snprintf(normal, size, "%s%s", kind, given);
    if (length < 0 || (size_t)length >= size || gnli_address_parse(&address, normal) < 0 ||
        strcmp(address.kind, "mailbox") != 0)
        return gnli_fail(-EINVAL, "%s: dead_letters '%.100s' is not a mailbox's name or address", subject,
                         given);
    if (mailbox->machine_wide && !address.machine_wide)
        return gnli_fail(-EINVAL, "%s: is machine-wide: its dead_letters are, too: not '%.100s'", subject,
                         given);
    if (mailbox->machine_wide == address.machine_wide && strcmp(mailbox->name, address.name) == 0)
        return gnli_fail(-EINVAL, "%s: cannot be its own dead_letters", subject);
    return 0;
}

static int check_options(const struct gnl_options *options, const char *subject)
{
    if (options->create < GNL_CREATE_OR_OPEN || options->create > GNL_OPEN_ONLY)
        return gnli_fail(-EINVAL, "%s: options.create is none of its values", subject);
    if (options->direction < GNL_BOTH || options->direction > GNL_RECV_ONLY)
        return gnli_fail(-EINVAL, "%s: options.direction is none of its values", subject);
    if (options->side < GNL_ONE_WAY || options->side > GNL_SIDE_B)
        return gnli_fail(-EINVAL, "%s: options.side is none of its values", subject);
    if (options->identity || options->stream)
        return gnli_fail(-EINVAL, "%s: a mailbox has no identity and no byte mode", subject);
    if (options->dead_letters && options->max_deliveries == 0)
        return gnli_fail(-EINVAL, "%s: dead_letters without max_deliveries: nothing would ever go there",
                         subject);
    if (options->max_deliveries >= GNLI_CELL_DELIVERIES_MAX)
        return gnli_fail(-EINVAL, "%s: max_deliveries is at most %u", subject, GNLI_CELL_DELIVERIES_MAX - 1);
    if (options->mode & ~(mode_t)0777)
        return gnli_fail(-EINVAL, "%s: mode is made of 0777", subject);
    if (options->mode != 0 && (options->mode & 0600) != 0600)
        return gnli_fail(-EINVAL, "%s: mode %04o would keep its owner out: it needs 0600 at least", subject,
                         options->mode);
    return 0;
}

static int differs(const char *subject, const char *what, long long has, long long asked)
{
    return gnli_fail(-EINVAL, "%s: exists with %s %lld, asked for %lld", subject, what, has, asked);
}

static uid_t wanted_owner(const struct gnl_options *options)
{
    return options->owner_uid == GNL_OWNER_ROOT ? 0 : options->owner_uid;
}

/* As people say it: a number, or a word. */
static const char *capacity_text(char *text, size_t size, int64_t capacity)
{
    if (capacity == GNL_RENDEZVOUS)
        return "rendezvous";
    if (capacity == GNL_UNBOUNDED)
        return "unbounded";
    snprintf(text, size, "%lld", (long long)capacity);
    return text;
}

static int capacity_differs(const char *subject, int64_t has, int64_t asked)
{
    char has_text[24], asked_text[24];

    return gnli_fail(-EINVAL, "%s: exists with capacity %s, asked for %s", subject,
                     capacity_text(has_text, sizeof has_text, has),
                     capacity_text(asked_text, sizeof asked_text, asked));
}

/* Does what exists agree with what was asked for? */
static int check_agreement(struct gnli_mailbox *mailbox, const struct gnl_options *options,
                           const char *subject, const struct gnli_address *address)
{
    struct gnli_view *view = &mailbox->view;
    uid_t owner = wanted_owner(options);
    char letters[GNL_ADDRESS_MAX + 1] = "";

    if (options->owner_uid != 0 && view->uid != owner)
        return gnli_fail(-EPERM, "%s: made by uid %u, not by uid %u", subject, (unsigned)view->uid,
                         (unsigned)owner);
    if (options->capacity != 0 && options->capacity != view->layout.capacity)
        return capacity_differs(subject, view->layout.capacity, options->capacity);
    if (options->message_max != 0 && options->message_max != view->layout.message_max)
        return differs(subject, "message_max", (long long)view->layout.message_max,
                       (long long)options->message_max);
    if (options->mode != 0 && options->mode != view->mode)
        return gnli_fail(-EINVAL, "%s: exists with mode %04o, asked for %04o", subject, view->mode,
                         options->mode);
    if (options->max_deliveries != 0 && options->max_deliveries != view->max_deliveries)
        return differs(subject, "max_deliveries", view->max_deliveries, options->max_deliveries);
    if (options->dead_letters) {
        int result = normalize_dead_letters(letters, sizeof letters, options->dead_letters, subject, address);
        if (result < 0)
            return result;
        if (strcmp(letters, view->dead_letters) != 0)
            return gnli_fail(-EINVAL, "%s: exists with dead_letters '%s', asked for '%s'", subject,
                             view->dead_letters, letters);
    }
    if ((view->layout.queues == 2) != (options->side != GNL_ONE_WAY))
        return gnli_fail(-EINVAL,
                         view->layout.queues == 2 ? "%s: is two-way: say which side is yours, A or B"
                                                  : "%s: is one-way: it has no sides",
                         subject);
    return 0;
}

/* The mailbox of that name, made if it has to be. */
static int find_or_make(struct gnli_mailbox **mailbox, int directory, const char *name,
                        const struct gnl_options *options, const char *subject)
{
    int result = -EEXIST;

    for (unsigned race = 0; race < RACES_MAX; race++) {
        if (options->create != GNL_CREATE_ONLY) {
            result = gnli_mailbox_attach(mailbox, directory, name, subject);
            if (result != -ENOENT || options->create == GNL_OPEN_ONLY)
                return result;
        }
        if (options->owner_uid != 0 && wanted_owner(options) != geteuid())
            return gnli_fail(-EPERM, "%s: this process would make it as uid %u, not as uid %u", subject,
                             (unsigned)geteuid(), (unsigned)wanted_owner(options));
        result = gnli_mailbox_create(directory, name, subject, options);
        if (result == -EEXIST && options->create == GNL_CREATE_OR_OPEN)
            continue;
        if (result < 0)
            return result;
        result = gnli_mailbox_attach(mailbox, directory, name, subject);
        if (result != -ENOENT) /* somebody removed it already: once more */
            return result;
    }
    return result;
}

static int make_port(gnl_port **made, struct gnli_mailbox *mailbox, const struct gnli_address *address,
                     const struct gnl_options *options, const char *subject)
{
    struct gnli_mailbox_port *port = aligned_alloc(_Alignof(struct gnli_mailbox_port), sizeof *port);

    if (!port)
        return gnli_fail_plain(-ENOMEM, subject);
    memset(port, 0, sizeof *port);
    port->port.operations = &operations;
    strcpy(port->port.subject, subject);
    gnli_address_format(address, port->address);
    port->port.direction = options->direction;
    atomic_store_explicit(&port->port.stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
    port->mailbox = mailbox;
    port->out = mailbox->rings[options->side == GNL_SIDE_B];
    port->in = mailbox->rings[options->side == GNL_SIDE_A];
    const struct gnli_layout *layout = &mailbox->view.layout;
    if (layout->capacity > 0)
        port->small_end =
            (layout->message_max < layout->inline_max ? layout->message_max : layout->inline_max) + 1;
    gnli_cursor_init(&port->out_cursor);
    gnli_cursor_init(&port->in_cursor);
    gnli_spin_init(&port->out_spin);
    gnli_spin_init(&port->in_spin);
    count_port(port, 1);
    atomic_fetch_add_explicit(&open_ports, 1, memory_order_relaxed); /* A */
    *made = &port->port;
    return 0;
}

static int open_mailbox(gnl_port **port, const struct gnli_address *address, const struct gnl_options *given)
{
    struct gnl_options options = *given;
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1], letters[GNL_ADDRESS_MAX + 1];
    struct gnli_mailbox *mailbox = NULL;

    describe(subject, sizeof subject, address);
    file_name(name, sizeof name, address);
    int result = check_options(&options, subject);
    if (result == 0 && options.dead_letters) {
        result = normalize_dead_letters(letters, sizeof letters, options.dead_letters, subject, address);
        options.dead_letters = letters;
    }
    if (result < 0)
        return result;
    int directory = gnli_directory_open(address->machine_wide, options.create != GNL_OPEN_ONLY);
    if (directory < 0)
        return directory;
    result = find_or_make(&mailbox, directory, name, &options, subject);
    close(directory);
    if (result < 0)
        return result;
    assert(mailbox);
    result = check_agreement(mailbox, &options, subject, address);
    if (result == 0)
        result = make_port(port, mailbox, address, &options, subject);
    if (result < 0)
        gnli_mailbox_detach(mailbox);
    return result;
}

static int remove_mailbox(const struct gnli_address *address)
{
    char subject[GNL_ADDRESS_MAX + 1], name[GNL_ADDRESS_MAX + 1];
    struct gnli_view view;

    describe(subject, sizeof subject, address);
    file_name(name, sizeof name, address);
    int directory = gnli_directory_open(address->machine_wide, false);
    if (directory < 0)
        return directory;
    gnli_handles_lock();
    bool viewed = gnli_view_open(&view, directory, name, subject) == 0;
    int result = unlinkat(directory, name, 0) == 0 ? 0 : -errno;
    if (result == -EISDIR) /* what is foreign goes too, if it is empty */
        result = unlinkat(directory, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
    close(directory);
    if (viewed) {
        /* The name is gone first: killed here, its users find that out within 100 ms. */
        if (result == 0) {
            atomic_store_explicit(&view.state->queues[0].removed, 1, memory_order_relaxed); /* A */
            gnli_mailbox_wake_all(&view);
        }
        gnli_view_close(&view);
    }
    gnli_handles_unlock();
    if (result == -ENOENT)
        return gnli_fail(-ENOENT, "%s: there is none of that name", subject);
    return result < 0 ? gnli_fail_errno(-result, "%s: cannot remove it", subject) : 0;
}

const struct gnli_kind gnli_mailbox_kind = {
    .name = "mailbox",
    .kind = GNL_MAILBOX,
    .open = open_mailbox,
    .remove = remove_mailbox,
    .inspect = gnli_mailbox_inspect,
};
