/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/arena.h"

#include <errno.h>

#include "mailbox/chunks.h"
#include "wait/distance.h"
#include "wait/futex.h"

#define RECENT_TRIES 4
#define SEARCH_NS    ((int64_t)50000000) /* for a free chunk among all */

bool gnli_map_class(struct gnli_arena *arena, unsigned class)
{
    if (atomic_load_explicit(&arena->chunks[class], memory_order_acquire)) /* A */
        return true;
    const struct gnli_class_layout *layout = gnli_class_of(arena, class);
    pthread_mutex_lock(&arena->lock);
    char *chunks = atomic_load_explicit(&arena->chunks[class], memory_order_relaxed); /* D */
    if (!chunks) {
        chunks = gnli_map(arena->file, layout->blocks_at, layout->blocks * layout->block);
        atomic_store_explicit(&arena->chunks[class], chunks, memory_order_release); /* A */
    }
    pthread_mutex_unlock(&arena->lock);
    return chunks != NULL;
}

void gnli_arena_init(struct gnli_arena *arena, struct gnli_file *file, const struct gnli_layout *layout,
                     char *core)
{
    *arena = (struct gnli_arena){
        .file = file,
        .layout = layout,
        .core = core,
        .classes = ((struct gnli_header *)(void *)core)->classes,
    };
    pthread_mutex_init(&arena->lock, NULL);
}

void gnli_arena_fini(struct gnli_arena *arena)
{
    for (unsigned i = 0; i < arena->layout->classes; i++) {
        char *chunks = atomic_load_explicit(&arena->chunks[i], memory_order_relaxed); /* D */
        if (chunks)
            gnli_unmap(chunks, gnli_class_of(arena, i)->blocks * gnli_class_of(arena, i)->block);
    }
    pthread_mutex_destroy(&arena->lock);
}

int gnli_arena_reach(struct gnli_arena *arena, gnli_chunk chunk, uint64_t size)
{
    struct gnli_place place = gnli_chunk_place(chunk);

    if (place.class >= arena->layout->classes || place.block >= gnli_class_of(arena, place.class)->blocks ||
        place.index >= gnli_class_of(arena, place.class)->per_block ||
        size > gnli_class_of(arena, place.class)->chunk)
        return -EBADMSG;
    return gnli_map_class(arena, place.class) ? 0 : -ENOMEM;
}

char *gnli_arena_data(struct gnli_arena *arena, gnli_chunk chunk)
{
    struct gnli_place place = gnli_chunk_place(chunk);
    const struct gnli_class_layout *layout = gnli_class_of(arena, place.class);

    return gnli_block_memory(arena, place.class, place.block) + layout->first + place.index * layout->chunk;
}

_Atomic uint64_t *gnli_arena_word(struct gnli_arena *arena, gnli_chunk chunk)
{
    return gnli_chunk_word_at(arena, gnli_chunk_place(chunk));
}

/* ---- lending ---- */

/* A block of small chunks gets its memory. */
static int back_small(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    struct gnli_block *entry = gnli_block_of(arena, class, block);
    uint64_t none = GNLI_BACKED_NOT;

    int result = gnli_file_reserve(arena->file, gnli_block_offset(arena, class, block), GNLI_BLOCK);
    if (result < 0)
        return result;
    gnli_populate(gnli_block_memory(arena, class, block), GNLI_BLOCK);
    if (atomic_compare_exchange_strong_explicit(&entry->backed, &none, GNLI_BACKED,
                                                memory_order_seq_cst,  /* B */
                                                memory_order_relaxed)) /* C */
        gnli_count_backed(arena, class, (int64_t)GNLI_BLOCK);
    return 0;
}

/* A large chunk on loan to us gets memory for `size` bytes. */
static int back_large(struct gnli_arena *arena, struct gnli_place place, uint64_t size)
{
    struct gnli_block *entry = gnli_block_of(arena, place.class, place.block);
    uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_relaxed); /* C */
    uint64_t needed = (size + GNLI_PAGE - 1) / GNLI_PAGE * GNLI_PAGE;

    if (backed >= needed)
        return 0;
    int result = gnli_file_reserve(arena->file, gnli_block_offset(arena, place.class, place.block), needed);
    if (result < 0) {
        gnli_file_punch(arena->file, gnli_block_offset(arena, place.class, place.block), needed);
        atomic_store_explicit(&entry->backed, 0, memory_order_relaxed); /* C */
        gnli_count_backed(arena, place.class, -(int64_t)backed);
        return result;
    }
    gnli_populate(gnli_block_memory(arena, place.class, place.block), needed);
    atomic_store_explicit(&entry->backed, needed, memory_order_relaxed); /* C */
    gnli_count_backed(arena, place.class, (int64_t)(needed - backed));
    return 0;
}

/* One chunk: 0 lent, -EAGAIN not free, -ENOSPC no memory for it. */
static int try_chunk(struct gnli_arena *arena, unsigned me, uint64_t size, struct gnli_place place,
                     uint64_t *lent_word)
{
    struct gnli_block *entry = gnli_block_of(arena, place.class, place.block);
    bool is_small = gnli_class_small(gnli_class_of(arena, place.class));

    if (is_small) {
        uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_seq_cst); /* B */
        if (backed == GNLI_BACKED_NOT) {
            int result = back_small(arena, place.class, place.block);
            if (result < 0)
                return result;
        } else if (backed != GNLI_BACKED) {
            return -EAGAIN;
        }
    }
    _Atomic uint64_t *word = gnli_chunk_word_at(arena, place);
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed); /* C */
    if (gnli_chunk_state(was) != GNLI_CHUNK_FREE)
        return -EAGAIN;
    uint64_t loan = gnli_chunk_loan(arena, place.class, was, me);
    if (!gnli_chunk_change(word, was, loan))
        return -EAGAIN;
    int result = 0;
    if (!is_small)
        result = back_large(arena, place, size);
    else if (atomic_load_explicit(&entry->backed, memory_order_seq_cst) != GNLI_BACKED || /* B */
             atomic_load_explicit(word, memory_order_seq_cst) != loan)                    /* B */
        result = -EAGAIN; /* it was trimmed meanwhile: by two, perhaps, and backed again for others */
    if (result < 0)
        gnli_chunk_change(word, loan, gnli_chunk_freed(loan));
    else
        *lent_word = loan;
    return result;
}

/* One more block: its number, or -ENOSPC, or the number in use when somebody else was quicker. */
static int64_t grow(struct gnli_arena *arena, unsigned class, uint64_t blocks)
{
    const struct gnli_class_layout *layout = gnli_class_of(arena, class);

    if (blocks >= layout->blocks)
        return -ENOSPC;
    int result = gnli_file_reserve(arena->file, layout->table_at + blocks * sizeof(struct gnli_block),
                                   sizeof(struct gnli_block));
    if (result < 0)
        return result;
    atomic_compare_exchange_strong_explicit(&arena->classes[class].blocks, &blocks, blocks + 1,
                                            memory_order_seq_cst,  /* A */
                                            memory_order_relaxed); /* C */
    return (int64_t)blocks;
}

/* Looks at up to `tries` chunks from the class's hint on, all around. */
static int search(struct gnli_arena *arena, unsigned me, uint64_t size, unsigned class, uint64_t tries,
                  struct gnli_place *found, uint64_t *word)
{
    const struct gnli_class_layout *layout = gnli_class_of(arena, class);
    struct gnli_class *shared = &arena->classes[class];
    uint64_t blocks = gnli_blocks_in_use(arena, class);
    struct gnli_place place =
        gnli_chunk_place(atomic_load_explicit(&shared->next, memory_order_relaxed)); /* C */
    int result = -EAGAIN;

    place.class = class;
    if (place.block >= blocks || place.index >= layout->per_block)
        place.block = place.index = 0;
    if (tries > blocks * layout->per_block)
        tries = blocks * layout->per_block;
    struct gnli_budget budget = { .allowed_ns = SEARCH_NS };
    while (tries-- > 0) {
        if (gnli_walk_given_up(arena, &budget, 1)) { /* the next search goes on from here */
            atomic_store_explicit(&shared->next, gnli_chunk_name(place), memory_order_relaxed); /* C */
            break;
        }
        int tried = try_chunk(arena, me, size, place, word);
        if (tried == 0)
            *found = place;
        if (++place.index == layout->per_block) {
            place.index = 0;
            if (++place.block == blocks)
                place.block = 0;
        }
        if (tried == 0) {
            atomic_store_explicit(&shared->next, gnli_chunk_name(place), memory_order_relaxed); /* C */
            return 0;
        }
        if (tried != -EAGAIN) { /* no memory for this one: others may have some still */
            result = tried;
            if (place.index > 0 && tries >= layout->per_block - place.index) {
                tries -= layout->per_block - place.index;
                place.index = 0;
                place.block = place.block + 1 < blocks ? place.block + 1 : 0;
            }
        }
    }
    return result;
}

/* How many it goes around. */
static uint32_t recents(uint64_t size)
{
    if (!gnli_distance_counts(size) || !gnli_distance_close())
        return GNLI_RECENT;
    uint64_t fit = GNLI_CLOSE / size;
    return fit > GNLI_RECENT ? GNLI_RECENT : fit > RECENT_TRIES ? (uint32_t)fit : RECENT_TRIES;
}

/* False: none of that class stands there. */
static bool recent_at(struct gnli_recent *recent, uint32_t which, unsigned class, gnli_chunk *chunk)
{
    uint64_t named = atomic_load_explicit(&recent->chunk[which], memory_order_relaxed); /* C */

    *chunk = named - 1;
    return named != 0 && gnli_chunk_place(*chunk).class == class;
}

bool gnli_arena_recent_free(struct gnli_arena *arena, struct gnli_recent *recent, uint64_t size)
{
    unsigned class = gnli_layout_class(size);
    uint32_t next = atomic_load_explicit(&recent->next, memory_order_relaxed); /* C */
    uint32_t count = recents(size);
    gnli_chunk chunk;

    for (uint32_t i = 0; i < RECENT_TRIES; i++) {
        if (!recent_at(recent, (next + i) % count, class, &chunk))
            return true;
        uint64_t word = atomic_load_explicit(gnli_arena_word(arena, chunk), memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) == GNLI_CHUNK_FREE)
            return true;
    }
    return false;
}

/* One of those that the port had last, if it is free again: 0, or -EAGAIN. */
static int take_recent(struct gnli_arena *arena, struct gnli_recent *recent, unsigned me, uint64_t size,
                       unsigned class, gnli_chunk *chunk, uint64_t *word)
{
    uint32_t next = atomic_load_explicit(&recent->next, memory_order_relaxed); /* C */
    uint32_t count = recents(size);
    gnli_chunk found;

    for (uint32_t i = 0; i < RECENT_TRIES; i++) {
        uint32_t which = (next + i) % count;
        if (!recent_at(recent, which, class, &found) ||
            try_chunk(arena, me, size, gnli_chunk_place(found), word) != 0)
            continue;
        atomic_store_explicit(&recent->next, which + 1, memory_order_relaxed); /* C */
        *chunk = found;
        if (recent_at(recent, (which + 2) % count, class, &found)) /* the loan after next */
            gnli_prefetch_write(gnli_arena_word(arena, found));
        return 0;
    }
    return -EAGAIN;
}

static void note_recent(struct gnli_recent *recent, uint64_t size, gnli_chunk chunk)
{
    uint32_t next = atomic_load_explicit(&recent->next, memory_order_relaxed); /* C */

    atomic_store_explicit(&recent->chunk[next % recents(size)], chunk + 1, memory_order_relaxed); /* C */
    atomic_store_explicit(&recent->next, next + 1, memory_order_relaxed);                         /* C */
}

int gnli_arena_loan(struct gnli_arena *arena, struct gnli_recent *recent, unsigned me, uint64_t size,
                    gnli_chunk *chunk, uint64_t *word)
{
    unsigned class = gnli_layout_class(size);
    struct gnli_place place;

    if (class >= arena->layout->classes || !gnli_map_class(arena, class))
        return -ENOMEM;
    if (take_recent(arena, recent, me, size, class, chunk, word) == 0)
        return 0;
    int result = search(arena, me, size, class, GNLI_TRIES, &place, word);
    for (unsigned attempt = 0; result == -EAGAIN && attempt < GNLI_TRIES; attempt++) {
        int64_t block = grow(arena, class, gnli_blocks_in_use(arena, class));
        if (block < 0) {
            result = (int)block;
            break;
        }
        place = (struct gnli_place){ .class = class, .block = (uint64_t)block };
        atomic_store_explicit(&arena->classes[class].next, gnli_chunk_name(place),
                              memory_order_relaxed); /* C */
        result = search(arena, me, size, class, GNLI_TRIES, &place, word);
    }
    if (result < 0) { /* the last resort: what lies idle anywhere, then every chunk */
        gnli_arena_trim(arena, me, true);
        result = search(arena, me, size, class, UINT64_MAX, &place, word);
    }
    if (result == 0) {
        *chunk = gnli_chunk_name(place);
        note_recent(recent, size, *chunk);
    }
    return result == -EAGAIN ? -ENOSPC : result;
}
