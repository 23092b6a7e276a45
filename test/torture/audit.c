/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/directory.h"
#include "mailbox/mailbox.h"
#include "memory/file.h"

#include "findings.h"
#include "scene.h"

static struct gnli_view view;
static bool opened;

void audit_open(void)
{
    int directory = opened ? -EALREADY : gnli_directory_open(false, false);

    if (directory < 0)
        return;
    opened = gnli_view_open(&view, directory, ADDRESS, "the mailbox") == 0;
    close(directory);
}

void audit_close(void)
{
    if (opened)
        gnli_view_close(&view);
    opened = false;
}

bool audit_others(pid_t one, pid_t other)
{
    for (unsigned number = 1; number < gnli_view_participants(&view); number++) {
        struct gnli_participant *record = &view.participants[number];
        pid_t pid = (pid_t)atomic_load(&record->pid);
        if (atomic_load(&record->state) != GNLI_PARTICIPANT_FREE && pid != one && pid != other)
            return true;
    }
    return false;
}

static bool number_is_free(unsigned number)
{
    return number == 0 || number >= gnli_view_participants(&view) ||
           atomic_load(&view.participants[number].state) == GNLI_PARTICIPANT_FREE;
}

static uint64_t slot_word(uint64_t index)
{
    struct gnli_slots rings[2];

    gnli_view_rings(&view, rings, NULL, NULL);
    return atomic_load(&rings[0].slots[index].word);
}

static uint64_t slots_at_hand(void)
{
    return view.layout.capacity == GNL_UNBOUNDED ? 0 : view.layout.slots;
}

bool audit_taken(void)
{
    for (uint64_t i = 0; i < slots_at_hand(); i++)
        if (gnli_word_phase(slot_word(i)) == GNLI_TAKEN)
            return true;
    return false;
}

void audit_numbers(void)
{
    for (uint64_t i = 0; i < slots_at_hand(); i++) {
        uint64_t word = slot_word(i);
        enum gnli_phase phase = gnli_word_phase(word);
        if ((phase == GNLI_CLAIMED || phase == GNLI_TAKEN) && number_is_free(gnli_word_owner(word)))
            found(LEAK, "slot %llu names participant %u, whose number is free again", (unsigned long long)i,
                  gnli_word_owner(word));
    }
    for (unsigned cell = 1; cell < gnli_view_cells(&view); cell++) {
        uint64_t word = atomic_load(&gnli_cell_at(&view, cell)->word);
        enum gnli_cell_phase phase = gnli_cell_phase(word);
        if ((phase == GNLI_CELL_PENDING || phase == GNLI_CELL_HELD) && number_is_free(gnli_cell_owner(word)))
            found(LEAK, "cell %u names participant %u, whose number is free again", cell,
                  gnli_cell_owner(word));
    }
}

static void audit_slots(void)
{
    struct gnli_slots rings[2];

    gnli_view_rings(&view, rings, NULL, NULL);
    struct gnli_slots *ring = &rings[0];
    uint64_t reserved = atomic_load(&ring->queue->reserved);
    uint64_t first = ring->unbounded ? atomic_load(&ring->queue->floor) : 0;
    uint64_t end = reserved < ring->count ? reserved : ring->count;
    off_t at = (off_t)view.layout.slots_at[0];
    off_t kept = at + (off_t)(first * sizeof(struct gnli_slot));
    off_t data = lseek(view.file->descriptor, at, SEEK_DATA);
    /* Who was stopped on the way through a block may bring a page of it back: docs/protocol.md, Unbounded. */
    off_t more = data >= 0 ? lseek(view.file->descriptor, data + sysconf(_SC_PAGESIZE), SEEK_DATA) : -1;
    if (more >= 0 && more < kept)
        found(LEAK, "slots that are gone still have memory");
    for (uint64_t i = first; i < end; i++) {
        uint64_t word = atomic_load(&ring->slots[i].word);
        if (gnli_word_phase(word) != GNLI_FREE)
            found(LEAK, "slot %llu is not free: phase %u, owner %u, cell %u, lap %llu", (unsigned long long)i,
                  gnli_word_phase(word), gnli_word_owner(word), gnli_word_cell(word),
                  (unsigned long long)gnli_word_lap(word));
    }
}

static void audit_cells(void)
{
    for (unsigned cell = 1; cell < gnli_view_cells(&view); cell++) {
        uint64_t word = atomic_load(&gnli_cell_at(&view, cell)->word);
        if (gnli_cell_phase(word) != GNLI_CELL_EMPTY)
            found(LEAK, "cell %u is not empty: phase %u, owner %u", cell, gnli_cell_phase(word),
                  gnli_cell_owner(word));
    }
}

static void audit_word(unsigned class, uint64_t block, unsigned index, uint64_t word)
{
    if (gnli_chunk_state(word) != GNLI_CHUNK_FREE)
        found(LEAK, "chunk %llu.%u of class %u is not free: state %u, who %u", (unsigned long long)block,
              index, class, gnli_chunk_state(word), gnli_chunk_who(word));
}

static void audit_class(unsigned class)
{
    const struct gnli_class_layout *layout = &view.layout.class[class];
    struct gnli_class *shared = &view.arena.classes[class];
    struct gnli_block *table = (struct gnli_block *)(void *)(view.core + layout->table_at);
    uint64_t blocks = atomic_load(&shared->blocks), backed = 0;

    for (uint64_t block = 0; block < blocks && block < layout->blocks; block++) {
        uint64_t its = atomic_load(&table[block].backed);
        if (layout->per_block == 1) {
            audit_word(class, block, 0, atomic_load(&table[block].word));
            backed += its;
            continue;
        }
        if (its > 1)
            found(LEAK, "block %llu of class %u is still being trimmed", (unsigned long long)block, class);
        if (its != 1)
            continue;
        backed += layout->block;
        gnli_chunk first = (uint64_t) class << 56 | block << 16;
        if (gnli_arena_reach(&view.arena, first, 1) < 0)
            continue;
        for (unsigned i = 0; i < layout->per_block; i++)
            audit_word(class, block, i, atomic_load(gnli_arena_word(&view.arena, first | i)));
    }
    if (backed != atomic_load(&shared->backed))
        found(LEAK, "class %u has %lld bytes of memory, and %lld are counted", class, (long long)backed,
              (long long)atomic_load(&shared->backed));
}

void audit(pid_t one, pid_t other, uint64_t *bytes)
{
    audit_open();
    if (!opened) {
        found(WRONG, "the mailbox could not be looked at: %s", gnl_error_detail());
        return;
    }
    if (audit_others(one, other))
        found(LEAK, "a participant is still in use");
    audit_slots();
    audit_cells();
    for (unsigned class = 0; class < view.layout.classes; class ++)
        audit_class(class);
    *bytes = gnli_file_bytes(view.file);
}

/* ---- watching ---- */

#define EXTENTS_MAX 64

static uint64_t before;
static struct extent {
    off_t start, end;
} extents[EXTENTS_MAX];
static unsigned extents_count;

/* Where the file has memory; reading a hole would make some. */
static void find_extents(void)
{
    int descriptor = view.file->descriptor;
    off_t end = 0, core = (off_t)view.layout.core;

    for (extents_count = 0; extents_count < EXTENTS_MAX; extents_count++) {
        off_t start = lseek(descriptor, end, SEEK_DATA);
        if (start < 0 || start >= core)
            break;
        end = lseek(descriptor, start, SEEK_HOLE);
        if (end < 0 || end > core)
            end = core;
        extents[extents_count] = (struct extent){ start, end };
    }
}

static uint64_t checksum(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < extents_count; i++) {
        const uint64_t *words = (const uint64_t *)(const void *)(view.core + extents[i].start);
        size_t count = (size_t)(extents[i].end - extents[i].start) / sizeof *words;
        for (size_t word = 0; word < count; word++)
            sum = sum * 31 + words[word];
    }
    return sum;
}

void audit_watch(void)
{
    audit_open();
    if (!opened)
        return;
    find_extents();
    before = checksum();
}

bool audit_changed(bool after_system_call)
{
    if (!opened) {
        if (after_system_call)
            audit_watch();
        return opened;
    }
    if (after_system_call)
        find_extents();
    uint64_t now = checksum();
    bool changed = now != before;
    before = now;
    return changed;
}
