/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox's file becomes a mapping, and this process a participant of it.
 *
 *   A: relaxed: set under a lock or before the file has a name, or a mark that is looked at again.
 *   D: memory of records or cells is reserved before their number is raised (release); whoever reads
 *      the number acquires: they are there before they are touched.
 *   E: acquire of a record's state, which whoever frees it releases (life/participant.h, A).
 */
#include "mailbox/mailbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/address.h"
#include "base/errors.h"
#include "life/process.h"

#define PAGE           4096
#define RECORDS_A_PAGE (PAGE / sizeof(struct gnli_participant))
#define RECORDS_FIRST \
    ((PAGE - sizeof(struct gnli_state)) / sizeof(struct gnli_participant)) /* its page's rest */
#define SLOTS_AT_ONCE 2048 /* that get memory together: 256 KiB */

static struct gnli_mailbox *mailboxes; /* of this process; under the handles' lock */

/* ---- the file ---- */

static int read_header(struct gnli_view *view, const char *subject)
{
    struct gnli_header header;
    struct gnli_address address;
    struct stat status;

    if (fstat(view->file->descriptor, &status) != 0)
        return gnli_fail_errno(errno, "%s", subject);
    if (pread(view->file->descriptor, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        header.magic != GNLI_MAILBOX_MAGIC)
        return gnli_fail(-EBADMSG, "%s: its file is not a mailbox", subject);
    if (header.version != GNLI_MAILBOX_VERSION)
        return gnli_fail(-EPROTONOSUPPORT,
                         "%s: made by layout version %u of the library, this one reads version %u: "
                         "remove it, or use it with the library that made it",
                         subject, header.version, GNLI_MAILBOX_VERSION);
    if (header.two_way > 1 || gnli_layout_compute(&view->layout, header.capacity, header.message_max,
                                                  header.two_way == 1, header.arena) < 0)
        return gnli_fail(-EBADMSG, "%s: its header is damaged", subject);
    if ((uint64_t)status.st_size < view->layout.size)
        return gnli_fail(-EBADMSG, "%s: its file was truncated", subject);
    view->max_deliveries = header.max_deliveries;
    /* People are shown it: nothing but an address. */
    memcpy(view->dead_letters, header.dead_letters, sizeof view->dead_letters);
    view->dead_letters[sizeof view->dead_letters - 1] = '\0';
    if (view->dead_letters[0] != '\0' && gnli_address_parse(&address, view->dead_letters) < 0)
        return gnli_fail(-EBADMSG, "%s: its header is damaged", subject);
    view->uid = status.st_uid;
    view->mode = status.st_mode & 07777;
    return 0;
}

static int map_core(struct gnli_view *view, const char *subject)
{
    view->core = gnli_map(view->file, 0, view->layout.core);
    if (!view->core)
        return gnli_fail_errno(errno, "%s: cannot map %llu bytes", subject,
                               (unsigned long long)view->layout.core);
    view->state = (struct gnli_state *)(void *)(view->core + view->layout.state_at);
    view->participants = (struct gnli_participant *)(void *)(view->core + view->layout.participants_at);
    gnli_arena_init(&view->arena, view->file, &view->layout, view->core);
    return 0;
}

/* Takes over the reference to the file, on failure too. */
static int view_file(struct gnli_view *view, struct gnli_file *file, const char *subject)
{
    *view = (struct gnli_view){ .file = file };
    int result = read_header(view, subject);
    if (result == 0)
        result = map_core(view, subject);
    if (result < 0)
        gnli_file_close(file);
    return result;
}

int gnli_view_open(struct gnli_view *view, int directory, const char *name, const char *subject)
{
    struct gnli_file *file;

    int result = gnli_file_open(&file, directory, name, subject);
    return result < 0 ? result : view_file(view, file, subject);
}

void gnli_view_close(struct gnli_view *view)
{
    gnli_arena_fini(&view->arena);
    gnli_unmap(view->core, view->layout.core);
    gnli_file_close(view->file);
}

void gnli_view_rings(struct gnli_view *view, struct gnli_slots rings[2], const struct gnli_slots_owner *owner,
                     void *context)
{
    for (unsigned i = 0; i < view->layout.queues; i++)
        rings[i] = (struct gnli_slots){
            .queue = &view->state->queues[i],
            .slots = (struct gnli_slot *)(void *)(view->core + view->layout.slots_at[i]),
            .count = view->layout.slots,
            .shift = view->layout.shift,
            .mask = ((uint64_t)1 << view->layout.shift) - 1,
            .stride = view->layout.stride,
            .inline_max = view->layout.inline_max,
            .unbounded = view->layout.capacity == GNL_UNBOUNDED,
            .number = i,
            .owner = owner,
            .context = context,
        };
}

/* Whatever a hostile member says: those that every mailbox has from its making on, and no more than fit. */
static unsigned between(_Atomic uint32_t *shared, unsigned least, unsigned most)
{
    unsigned value = atomic_load_explicit(shared, memory_order_acquire); /* D */

    return value < least ? least : value < most ? value : most;
}

unsigned gnli_view_cells(struct gnli_view *view)
{
    return between(&view->state->cells, gnli_layout_cells(&view->layout), GNLI_CELLS_MAX + 1);
}

unsigned gnli_view_participants(struct gnli_view *view)
{
    return between(&view->state->participants, RECORDS_FIRST, GNLI_PARTICIPANTS_MAX + 1);
}

/* ---- making one ---- */

static int reserve_beginning(struct gnli_file *file, const struct gnli_layout *layout)
{
    int result = gnli_file_reserve(file, 0, PAGE);

    if (result == 0)
        result = gnli_file_reserve(file, layout->state_at, PAGE);
    if (result == 0)
        result = gnli_file_reserve(file, layout->cells_at, PAGE);
    for (unsigned i = 0; i < layout->queues && result == 0; i++) {
        uint64_t slots = layout->slots < SLOTS_AT_ONCE ? layout->slots : SLOTS_AT_ONCE;
        result = gnli_file_reserve(file, layout->slots_at[i], slots * layout->stride);
    }
    return result;
}

static int write_beginning(struct gnli_file *file, const struct gnli_layout *layout,
                           const struct gnl_options *options, const char *subject)
{
    char *core = gnli_map(file, 0, layout->core);
    if (!core)
        return gnli_fail_errno(errno, "%s: cannot map %llu bytes", subject, (unsigned long long)layout->core);
    struct gnli_header *header = (struct gnli_header *)(void *)core;
    *header = (struct gnli_header){
        .magic = GNLI_MAILBOX_MAGIC,
        .version = GNLI_MAILBOX_VERSION,
        .two_way = layout->queues == 2,
        .capacity = layout->capacity,
        .message_max = layout->message_max,
        .arena = layout->arena,
        .max_deliveries = options->max_deliveries,
    };
    if (options->dead_letters)
        snprintf(header->dead_letters, sizeof header->dead_letters, "%s", options->dead_letters);
    struct gnli_state *state = (struct gnli_state *)(void *)(core + layout->state_at);
    atomic_store_explicit(&state->participants, RECORDS_FIRST, memory_order_relaxed);      /* A */
    atomic_store_explicit(&state->cells, gnli_layout_cells(layout), memory_order_relaxed); /* A */
    for (unsigned i = 0; i < layout->queues; i++) {
        uint64_t reserved = layout->slots <= SLOTS_AT_ONCE ? GNLI_ALL_RESERVED : SLOTS_AT_ONCE;
        atomic_store_explicit(&state->queues[i].reserved, reserved, memory_order_relaxed); /* A */
    }
    gnli_unmap(core, layout->core);
    return 0;
}

int gnli_mailbox_create(int directory, const char *name, const char *subject,
                        const struct gnl_options *options)
{
    struct statfs file_system;
    struct gnli_layout layout;
    struct gnli_file *file;

    if (fstatfs(directory, &file_system) != 0)
        return gnli_fail_errno(errno, "%s", subject);
    uint64_t bytes = (uint64_t)file_system.f_blocks * (uint64_t)file_system.f_bsize;
    int result = gnli_layout_compute(&layout, options->capacity ? options->capacity : GNL_CAPACITY_DEFAULT,
                                     options->message_max ? options->message_max : GNL_MESSAGE_MAX_DEFAULT,
                                     options->side != GNL_ONE_WAY, gnli_layout_arena(bytes));
    if (result < 0)
        return gnli_fail(result,
                         "%s: capacity is 1 to %lld, GNL_RENDEZVOUS or GNL_UNBOUNDED; message_max up to %zu",
                         subject, (long long)GNL_CAPACITY_MAX, GNL_MESSAGE_MAX_LIMIT);
    result = gnli_file_new(&file, directory, layout.size, options->mode ? options->mode : 0600, subject);
    if (result < 0)
        return result;
    result = reserve_beginning(file, &layout);
    if (result < 0)
        gnli_fail_errno(-result, "%s: cannot reserve memory for it", subject);
    if (result == 0)
        result = write_beginning(file, &layout, options, subject);
    if (result == 0)
        result = gnli_file_publish(file, directory, name, subject);
    gnli_file_close(file);
    return result;
}

/* ---- joining ---- */

/*
 * Joins under the first number that is free; 0: none is. One whose byte somebody has locked is passed
 * over: whoever may only read the file can read-lock it.
 */
static unsigned take_number(struct gnli_mailbox *mailbox)
{
    struct gnli_view *view = &mailbox->view;

    for (unsigned number = 1; number < gnli_view_participants(view); number++) {
        _Atomic uint32_t *state = &view->participants[number].state;
        if (atomic_load_explicit(state, memory_order_acquire) != GNLI_PARTICIPANT_FREE) /* E */
            continue;
        if (!gnli_participant_admit(view->file, number))
            continue;
        bool joined =
            atomic_load_explicit(state, memory_order_acquire) == GNLI_PARTICIPANT_FREE && /* E */
            gnli_participant_join(view->file, view->participants, number, mailbox->pid_namespace) == 0;
        gnli_participant_admit_end(view->file, number);
        if (joined)
            return number;
    }
    return 0;
}

static int more_numbers(struct gnli_view *view)
{
    uint32_t said = atomic_load_explicit(&view->state->participants, memory_order_relaxed); /* A */
    uint32_t have = gnli_view_participants(view);

    if (have > GNLI_PARTICIPANTS_MAX)
        return -EUSERS;
    int result = gnli_file_reserve(
        view->file, view->layout.participants_at + have * sizeof(struct gnli_participant), PAGE);
    if (result == 0)
        atomic_compare_exchange_strong_explicit(&view->state->participants, &said, have + RECORDS_A_PAGE,
                                                memory_order_release,  /* D */
                                                memory_order_relaxed); /* A */
    return result;
}

static int join(struct gnli_mailbox *mailbox, const char *subject)
{
    struct gnli_view *view = &mailbox->view;
    int result = -EUSERS;

    mailbox->pid_namespace = gnli_process_pid_namespace();
    mailbox->self =
        (struct gnli_sender_note){ .pid = (uint32_t)getpid(), .uid = geteuid(), .gid = getegid() };
    for (unsigned attempt = 0; attempt < 2 * (GNLI_PARTICIPANTS_MAX / RECORDS_A_PAGE + 1); attempt++) {
        unsigned number = take_number(mailbox);
        if (number != 0) {
            atomic_store_explicit(&mailbox->me, number, memory_order_relaxed);                  /* A */
            atomic_store_explicit(&mailbox->stamp, gnli_process_stamp(), memory_order_relaxed); /* A */
            return 0;
        }
        result = more_numbers(view);
        if (result < 0 && attempt > 0)
            break;
        if (result < 0) /* those of the dead, then */
            gnli_mailbox_look_around(mailbox, GNLI_PARTICIPANTS_MAX);
    }
    if (result == -EUSERS)
        return gnli_fail(-EUSERS, "%s: %d processes have it open already", subject, GNLI_PARTICIPANTS_MAX);
    return gnli_fail_errno(-result, "%s: cannot join it", subject);
}

int gnli_mailbox_rejoin(struct gnli_mailbox *mailbox)
{
    if (gnli_process_is(atomic_load_explicit(&mailbox->stamp, memory_order_relaxed))) /* A */
        return 0;
    /* Other threads of the parent may have held these. */
    pthread_mutex_init(&mailbox->lock, NULL);
    pthread_mutex_init(&mailbox->view.arena.lock, NULL);
    atomic_store_explicit(&mailbox->senders, 0, memory_order_relaxed);   /* A: its ports count themselves */
    atomic_store_explicit(&mailbox->receivers, 0, memory_order_relaxed); /* A */
    return join(mailbox, "a mailbox inherited from the parent");
}

int gnli_mailbox_confirm(struct gnli_mailbox *mailbox)
{
    struct gnli_view *view = &mailbox->view;

    int result = gnli_participant_confirm(view->file, view->participants, gnli_mailbox_me(mailbox));
    if (result != -ESTALE)
        return result;
    gnli_handles_lock();
    /* Another thread may have been quicker. */
    result = gnli_participant_confirm(view->file, view->participants, gnli_mailbox_me(mailbox));
    if (result == -ESTALE) {
        result = join(mailbox, "a mailbox whose file the program itself opened and closed");
        if (result == 0) {
            struct gnli_participant *record = gnli_mailbox_record(mailbox);
            uint32_t senders = atomic_load_explicit(&mailbox->senders, memory_order_relaxed);     /* A */
            uint32_t receivers = atomic_load_explicit(&mailbox->receivers, memory_order_relaxed); /* A */
            atomic_store_explicit(&record->senders, senders, memory_order_relaxed);               /* A */
            atomic_store_explicit(&record->receivers, receivers, memory_order_relaxed);           /* A */
        }
    }
    gnli_handles_unlock();
    return result;
}

/* The handles' lock is held. */
static int attach(struct gnli_mailbox **mailbox, struct gnli_file *file, const char *subject)
{
    for (struct gnli_mailbox *known = mailboxes; known; known = known->next)
        if (known->view.file == file) {
            gnli_file_close(file);
            int result = gnli_mailbox_rejoin(known);
            if (result < 0)
                return result;
            known->references++;
            *mailbox = known;
            return 0;
        }
    struct gnli_mailbox *made = aligned_alloc(_Alignof(struct gnli_mailbox), sizeof *made);
    if (!made) {
        gnli_file_close(file);
        return gnli_fail_plain(-ENOMEM, subject);
    }
    memset(made, 0, sizeof *made);
    int result = view_file(&made->view, file, subject);
    if (result < 0) {
        free(made);
        return result;
    }
    file->size = made->view.layout.size; /* what it may not lose */
    pthread_mutex_init(&made->lock, NULL);
    gnli_view_rings(&made->view, made->rings, &gnli_mailbox_slots_owner, made);
    result = join(made, subject);
    if (result < 0) {
        gnli_view_close(&made->view);
        free(made);
        return result;
    }
    if (made->view.layout.slots <= SLOTS_AT_ONCE) /* no faults on the first lap */
        gnli_populate(made->rings[0].slots,
                      made->view.layout.state_at + PAGE - made->view.layout.slots_at[0]);
    made->references = 1;
    made->next = mailboxes;
    mailboxes = made;
    *mailbox = made;
    return 0;
}

int gnli_mailbox_attach(struct gnli_mailbox **mailbox, int directory, const char *name, const char *subject)
{
    struct gnli_file *file;

    gnli_handles_lock();
    int result = gnli_file_open(&file, directory, name, subject);
    if (result == 0)
        result = attach(mailbox, file, subject);
    if (result == 0)
        gnli_mailbox_look_around(*mailbox, GNLI_PARTICIPANTS_MAX);
    gnli_handles_unlock();
    return result;
}

/* What this process had counted goes to the mailbox's totals. */
static void leave(struct gnli_mailbox *mailbox)
{
    unsigned me = gnli_mailbox_me(mailbox);

    pthread_mutex_lock(&mailbox->lock);
    if (gnli_participant_admit(mailbox->view.file, me)) {
        gnli_participant_add_up(&mailbox->view.participants[me], &mailbox->view.state->sent);
        gnli_participant_leave(mailbox->view.file, mailbox->view.participants, me);
        gnli_participant_admit_end(mailbox->view.file, me);
    }
    pthread_mutex_unlock(&mailbox->lock);
}

void gnli_mailbox_detach(struct gnli_mailbox *mailbox)
{
    gnli_handles_lock();
    if (--mailbox->references > 0) {
        gnli_handles_unlock();
        return;
    }
    struct gnli_mailbox **link = &mailboxes;
    while (*link != mailbox)
        link = &(*link)->next;
    *link = mailbox->next;
    if (gnli_process_is(atomic_load_explicit(&mailbox->stamp, memory_order_relaxed))) /* A */
        leave(mailbox);
    gnli_view_close(&mailbox->view);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
    gnli_handles_unlock();
}

int gnli_mailbox_usable(struct gnli_mailbox *mailbox)
{
    struct gnli_view *view = &mailbox->view;

    bool patched = gnli_file_patched(view->file);
    if (patched && gnli_file_repair(view->file) < 0)
        return -EBADMSG;
    return atomic_load_explicit(&view->state->queues[0].removed, memory_order_relaxed) ? -EIDRM : 0; /* A */
}
