/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox/arena.h"

#include <errno.h>

#include "wait/futex.h"

#define PAGE         ((uint64_t)4096)
#define TRIES        64 /* chunks looked at before the class grows */
#define RECENT_TRIES 4
#define RECOUNTS_MAX 4
#define SEARCH_NS    ((int64_t)50000000) /* for a free chunk among all */
#define SERIAL_TRIES 64
#define SERIAL_MASK  (((uint64_t)1 << 33) - 1)

/* Memory of idle chunks that a class keeps for reuse. */
#define KEEP_BOUNDED   ((uint64_t)64 << 20)
#define KEEP_UNBOUNDED ((uint64_t)256 << 10)

/* `backed` of a block of small chunks; who trims it is in the higher bits. */
enum { BACKED_NOT = 0, BACKED = 1, TRIMMING = 2 };

struct place {
    unsigned class;
    uint64_t block;
    unsigned index;
};

static gnli_chunk name_of(struct place place)
{
    return (uint64_t)place.class << 56 | place.block << 16 | place.index;
}

static struct place place_of(gnli_chunk chunk)
{
    return (struct place){ .class = (unsigned)(chunk >> 56),
                           .block = chunk >> 16 & (((uint64_t)1 << 40) - 1),
                           .index = (unsigned)(chunk & 0xffff) };
}

static const struct gnli_class_layout *layout_of(const struct gnli_arena *arena, unsigned class)
{
    return &arena->layout->class[class];
}

static struct gnli_block *block_of(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    return (struct gnli_block *)(void *)(arena->core + layout_of(arena, class)->table_at) + block;
}

static char *block_memory(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    char *chunks = atomic_load_explicit(&arena->chunks[class], memory_order_acquire); /* A */

    return chunks + block * layout_of(arena, class)->block;
}

static uint64_t block_offset(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    return layout_of(arena, class)->blocks_at + block * layout_of(arena, class)->block;
}

static bool small(const struct gnli_class_layout *layout)
{
    return layout->per_block > 1;
}

static _Atomic uint64_t *word_at(struct gnli_arena *arena, struct place place)
{
    if (small(layout_of(arena, place.class)))
        return (_Atomic uint64_t *)(void *)block_memory(arena, place.class, place.block) + place.index;
    return &block_of(arena, place.class, place.block)->word;
}

/* Blocks of the class in use; never more than there are. */
static uint64_t blocks_in_use(struct gnli_arena *arena, unsigned class)
{
    uint64_t blocks = atomic_load_explicit(&arena->classes[class].blocks, memory_order_acquire); /* A */
    uint64_t most = layout_of(arena, class)->blocks;

    return blocks < most ? blocks : most;
}

static bool map_class(struct gnli_arena *arena, unsigned class)
{
    if (atomic_load_explicit(&arena->chunks[class], memory_order_acquire)) /* A */
        return true;
    const struct gnli_class_layout *layout = layout_of(arena, class);
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
            gnli_unmap(chunks, layout_of(arena, i)->blocks * layout_of(arena, i)->block);
    }
    pthread_mutex_destroy(&arena->lock);
}

int gnli_arena_reach(struct gnli_arena *arena, gnli_chunk chunk, uint64_t size)
{
    struct place place = place_of(chunk);

    if (place.class >= arena->layout->classes || place.block >= layout_of(arena, place.class)->blocks ||
        place.index >= layout_of(arena, place.class)->per_block ||
        size > layout_of(arena, place.class)->chunk)
        return -EBADMSG;
    return map_class(arena, place.class) ? 0 : -ENOMEM;
}

char *gnli_arena_data(struct gnli_arena *arena, gnli_chunk chunk)
{
    struct place place = place_of(chunk);
    const struct gnli_class_layout *layout = layout_of(arena, place.class);

    return block_memory(arena, place.class, place.block) + layout->first + place.index * layout->chunk;
}

_Atomic uint64_t *gnli_arena_word(struct gnli_arena *arena, gnli_chunk chunk)
{
    return word_at(arena, place_of(chunk));
}

static bool change(_Atomic uint64_t *word, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_seq_cst, /* A B */
                                                   memory_order_relaxed);                 /* C */
}

static uint64_t freed(uint64_t word)
{
    return gnli_chunk_word(GNLI_CHUNK_FREE, 0, (gnli_chunk_serial(word) + 1) & SERIAL_MASK);
}

static uint64_t lent(uint64_t word, unsigned me)
{
    return gnli_chunk_word(GNLI_CHUNK_LOAN, me, gnli_chunk_serial(word));
}

/* The word with which a free chunk becomes ours. One never used, or whose word vanished, has no serial. */
static uint64_t loan_of(struct gnli_arena *arena, unsigned class, uint64_t word, unsigned me)
{
    if (word != 0)
        return lent(word, me);
    uint64_t serial =
        atomic_fetch_add_explicit(&arena->classes[class].serial, 1, memory_order_relaxed); /* C */
    return gnli_chunk_word(GNLI_CHUNK_LOAN, me, (serial + 1) & SERIAL_MASK);
}

static void count_backed(struct gnli_arena *arena, unsigned class, int64_t bytes)
{
    atomic_fetch_add_explicit(&arena->classes[class].backed, (uint64_t)bytes, memory_order_relaxed); /* C */
}

/* ---- lending ---- */

/* A block of small chunks gets its memory. */
static int back_small(struct gnli_arena *arena, unsigned class, uint64_t block)
{
    struct gnli_block *entry = block_of(arena, class, block);
    uint64_t none = BACKED_NOT;

    int result = gnli_file_reserve(arena->file, block_offset(arena, class, block), GNLI_BLOCK);
    if (result < 0)
        return result;
    gnli_populate(block_memory(arena, class, block), GNLI_BLOCK);
    if (atomic_compare_exchange_strong_explicit(&entry->backed, &none, BACKED, memory_order_seq_cst, /* B */
                                                memory_order_relaxed))                               /* C */
        count_backed(arena, class, (int64_t)GNLI_BLOCK);
    return 0;
}

/* A large chunk on loan to us gets memory for `size` bytes. */
static int back_large(struct gnli_arena *arena, struct place place, uint64_t size)
{
    struct gnli_block *entry = block_of(arena, place.class, place.block);
    uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_relaxed); /* C */
    uint64_t needed = (size + PAGE - 1) / PAGE * PAGE;

    if (backed >= needed)
        return 0;
    int result = gnli_file_reserve(arena->file, block_offset(arena, place.class, place.block), needed);
    if (result < 0) {
        gnli_file_punch(arena->file, block_offset(arena, place.class, place.block), needed);
        atomic_store_explicit(&entry->backed, 0, memory_order_relaxed); /* C */
        count_backed(arena, place.class, -(int64_t)backed);
        return result;
    }
    gnli_populate(block_memory(arena, place.class, place.block), needed);
    atomic_store_explicit(&entry->backed, needed, memory_order_relaxed); /* C */
    count_backed(arena, place.class, (int64_t)(needed - backed));
    return 0;
}

/* One chunk: 0 lent, -EAGAIN not free, -ENOSPC no memory for it. */
static int try_chunk(struct gnli_arena *arena, unsigned me, uint64_t size, struct place place,
                     uint64_t *lent_word)
{
    struct gnli_block *entry = block_of(arena, place.class, place.block);
    bool is_small = small(layout_of(arena, place.class));

    if (is_small) {
        uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_seq_cst); /* B */
        if (backed == BACKED_NOT) {
            int result = back_small(arena, place.class, place.block);
            if (result < 0)
                return result;
        } else if (backed != BACKED) {
            return -EAGAIN;
        }
    }
    _Atomic uint64_t *word = word_at(arena, place);
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed); /* C */
    if (gnli_chunk_state(was) != GNLI_CHUNK_FREE)
        return -EAGAIN;
    uint64_t loan = loan_of(arena, place.class, was, me);
    if (!change(word, was, loan))
        return -EAGAIN;
    int result = 0;
    if (!is_small)
        result = back_large(arena, place, size);
    else if (atomic_load_explicit(&entry->backed, memory_order_seq_cst) != BACKED || /* B */
             atomic_load_explicit(word, memory_order_seq_cst) != loan)               /* B */
        result = -EAGAIN; /* it was trimmed meanwhile: by two, perhaps, and backed again for others */
    if (result < 0)
        change(word, loan, freed(loan));
    else
        *lent_word = loan;
    return result;
}

/* One more block: its number, or -ENOSPC, or the number in use when somebody else was quicker. */
static int64_t grow(struct gnli_arena *arena, unsigned class, uint64_t blocks)
{
    const struct gnli_class_layout *layout = layout_of(arena, class);

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

/*
 * Is a walk over blocks to end before it is through? Also when the file is being truncated: each page that is
 * missing becomes a mapping of its own (memory/mapping.c), and a process has only so many.
 */
static bool given_up(struct gnli_arena *arena, struct gnli_budget *budget, uint64_t steps)
{
    return gnli_budget_spent(budget, steps) ||
           atomic_load_explicit(&arena->file->patched, memory_order_relaxed); /* C */
}

/* Looks at up to `tries` chunks from the class's hint on, all around. */
static int search(struct gnli_arena *arena, unsigned me, uint64_t size, unsigned class, uint64_t tries,
                  struct place *found, uint64_t *word)
{
    const struct gnli_class_layout *layout = layout_of(arena, class);
    struct gnli_class *shared = &arena->classes[class];
    uint64_t blocks = blocks_in_use(arena, class);
    struct place place = place_of(atomic_load_explicit(&shared->next, memory_order_relaxed)); /* C */
    int result = -EAGAIN;

    place.class = class;
    if (place.block >= blocks || place.index >= layout->per_block)
        place.block = place.index = 0;
    if (tries > blocks * layout->per_block)
        tries = blocks * layout->per_block;
    struct gnli_budget budget = { .allowed_ns = SEARCH_NS };
    while (tries-- > 0) {
        if (given_up(arena, &budget, 1)) { /* the next search goes on from here */
            atomic_store_explicit(&shared->next, name_of(place), memory_order_relaxed); /* C */
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
            atomic_store_explicit(&shared->next, name_of(place), memory_order_relaxed); /* C */
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

/* One of those that the port had last, if it is free again: 0, or -EAGAIN. */
static int take_recent(struct gnli_arena *arena, struct gnli_recent *recent, unsigned me, uint64_t size,
                       unsigned class, gnli_chunk *chunk, uint64_t *word)
{
    uint32_t next = atomic_load_explicit(&recent->next, memory_order_relaxed); /* C */

    for (uint32_t i = 0; i < RECENT_TRIES; i++) {
        uint32_t which = (next + i) % GNLI_RECENT;
        uint64_t named = atomic_load_explicit(&recent->chunk[which], memory_order_relaxed); /* C */
        struct place place = place_of(named - 1);
        if (named != 0 && place.class == class && try_chunk(arena, me, size, place, word) == 0) {
            atomic_store_explicit(&recent->next, which + 1, memory_order_relaxed); /* C */
            *chunk = named - 1;
            which = (which + 2) % GNLI_RECENT;
            named = atomic_load_explicit(&recent->chunk[which], memory_order_relaxed); /* C */
            if (named != 0 && place_of(named - 1).class == class)
                gnli_prefetch_write(word_at(arena, place_of(named - 1))); /* the loan after next */
            return 0;
        }
    }
    return -EAGAIN;
}

static void note_recent(struct gnli_recent *recent, gnli_chunk chunk)
{
    uint32_t next = atomic_load_explicit(&recent->next, memory_order_relaxed); /* C */

    atomic_store_explicit(&recent->chunk[next % GNLI_RECENT], chunk + 1, memory_order_relaxed); /* C */
    atomic_store_explicit(&recent->next, next + 1, memory_order_relaxed);                       /* C */
}

int gnli_arena_loan(struct gnli_arena *arena, struct gnli_recent *recent, unsigned me, uint64_t size,
                    gnli_chunk *chunk, uint64_t *word)
{
    unsigned class = gnli_layout_class(size);
    struct place place;

    if (class >= arena->layout->classes || !map_class(arena, class))
        return -ENOMEM;
    if (take_recent(arena, recent, me, size, class, chunk, word) == 0)
        return 0;
    int result = search(arena, me, size, class, TRIES, &place, word);
    for (unsigned attempt = 0; result == -EAGAIN && attempt < TRIES; attempt++) {
        int64_t block = grow(arena, class, blocks_in_use(arena, class));
        if (block < 0) {
            result = (int)block;
            break;
        }
        place = (struct place){ .class = class, .block = (uint64_t)block };
        atomic_store_explicit(&arena->classes[class].next, name_of(place), memory_order_relaxed); /* C */
        result = search(arena, me, size, class, TRIES, &place, word);
    }
    if (result < 0) { /* the last resort: what lies idle anywhere, then every chunk */
        gnli_arena_trim(arena, me, true);
        result = search(arena, me, size, class, UINT64_MAX, &place, word);
    }
    if (result == 0) {
        *chunk = name_of(place);
        note_recent(recent, *chunk);
    }
    return result == -EAGAIN ? -ENOSPC : result;
}

/* ---- giving back ---- */

static uint64_t keep(const struct gnli_arena *arena)
{
    return arena->layout->capacity == GNL_UNBOUNDED ? KEEP_UNBOUNDED : KEEP_BOUNDED;
}

/* A large chunk on loan to us loses its memory and becomes free. */
static void return_large(struct gnli_arena *arena, struct place place, uint64_t loan)
{
    struct gnli_block *entry = block_of(arena, place.class, place.block);
    uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_relaxed); /* C */

    atomic_store_explicit(&entry->backed, 0, memory_order_relaxed); /* C */
    gnli_file_punch(arena->file, block_offset(arena, place.class, place.block),
                    layout_of(arena, place.class)->block);
    count_backed(arena, place.class, -(int64_t)backed);
    change(&entry->word, loan, freed(loan));
}

/* The block is marked as ours to trim. */
static void return_small(struct gnli_arena *arena, unsigned class, uint64_t block, uint64_t mark)
{
    gnli_file_punch(arena->file, block_offset(arena, class, block), GNLI_BLOCK);
    count_backed(arena, class, -(int64_t)GNLI_BLOCK);
    change(&block_of(arena, class, block)->backed, mark, BACKED_NOT);
}

/* Their words will vanish: new serials are from beyond theirs, so that no word comes twice. */
static void outgrow(struct gnli_arena *arena, unsigned class, _Atomic uint64_t *words, uint32_t count)
{
    _Atomic uint64_t *serial = &arena->classes[class].serial;
    uint64_t was = atomic_load_explicit(serial, memory_order_relaxed); /* C */
    uint64_t most = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed); /* C */
        most = gnli_chunk_serial(word) > most ? gnli_chunk_serial(word) : most;
    }
    for (unsigned tries = 0; tries < SERIAL_TRIES && was < most; tries++)
        if (atomic_compare_exchange_strong_explicit(serial, &was, most, memory_order_relaxed, /* C */
                                                    memory_order_relaxed))                    /* C */
            break;
}

/* Takes the memory of a block of small chunks away if all of them are free. True: they looked so. */
static bool trim_small(struct gnli_arena *arena, unsigned me, unsigned class, uint64_t block)
{
    uint32_t per_block = layout_of(arena, class)->per_block;
    struct gnli_block *entry = block_of(arena, class, block);
    struct place place = { .class = class, .block = block };
    uint32_t have = 0;

    if (atomic_load_explicit(&entry->backed, memory_order_seq_cst) != BACKED) /* B */
        return false;
    _Atomic uint64_t *words = word_at(arena, place);
    for (uint32_t i = per_block; i > 0; i--) { /* from the end: the last to be lent, the last to be free */
        uint64_t word = atomic_load_explicit(&words[i - 1], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) != GNLI_CHUNK_FREE)
            return false;
    }
    while (have < per_block) {
        uint64_t word = atomic_load_explicit(&words[have], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) != GNLI_CHUNK_FREE ||
            !change(&words[have], word, loan_of(arena, class, word, me)))
            break;
        have++;
    }
    if (have == per_block)
        outgrow(arena, class, words, per_block);
    uint64_t mark = TRIMMING | (uint64_t)me << 8;
    if (have == per_block && change(&entry->backed, BACKED, mark)) {
        return_small(arena, class, block, mark);
        return true;
    }
    while (have-- > 0) {
        uint64_t word = atomic_load_explicit(&words[have], memory_order_relaxed); /* C */
        if (gnli_chunk_state(word) == GNLI_CHUNK_LOAN && gnli_chunk_who(word) == me)
            change(&words[have], word, freed(word));
    }
    return true;
}

/* True: it tried. */
static bool trim_block(struct gnli_arena *arena, unsigned me, unsigned class, uint64_t block)
{
    struct place place = { .class = class, .block = block };

    if (small(layout_of(arena, class)))
        return trim_small(arena, me, class, block);
    _Atomic uint64_t *word = word_at(arena, place);
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed); /* C */
    if (gnli_chunk_state(was) != GNLI_CHUNK_FREE ||
        atomic_load_explicit(&block_of(arena, class, block)->backed, memory_order_relaxed) == 0) /* C */
        return false;
    if (change(word, was, lent(was, me)))
        return_large(arena, place, lent(was, me));
    return true;
}

void gnli_arena_free(struct gnli_arena *arena, unsigned me, gnli_chunk chunk, uint64_t word, uint64_t queued)
{
    struct place place = place_of(chunk);
    const struct gnli_class_layout *layout = layout_of(arena, place.class);
    uint64_t backed = atomic_load_explicit(&arena->classes[place.class].backed, memory_order_relaxed); /* C */
    _Atomic uint64_t *at = word_at(arena, place);
    bool much = arena->layout->capacity == GNL_UNBOUNDED && backed > KEEP_UNBOUNDED &&
                (backed - KEEP_UNBOUNDED) / layout->chunk > queued;

    if (!small(
            layout)) /* the next loan is this one, warm; small ones go around, lest both sides use one line */
        atomic_store_explicit(&arena->classes[place.class].next, name_of(place),
                              memory_order_relaxed); /* C */
    if (much && !small(layout)) {
        if (change(at, word, lent(freed(word), me)))
            return_large(arena, place, lent(freed(word), me));
        return;
    }
    change(at, word, freed(word));
    if (much)
        trim_small(arena, me, place.class, place.block);
}

bool gnli_arena_bloated(struct gnli_arena *arena)
{
    uint64_t backed = 0;

    for (unsigned i = 0; i < arena->layout->classes; i++)
        backed += atomic_load_explicit(&arena->classes[i].backed, memory_order_relaxed); /* C */
    return (int64_t)backed > (int64_t)(keep(arena) * 4);
}

void gnli_arena_trim(struct gnli_arena *arena, unsigned me, bool all)
{
    /* Each block that has memory has a page: of more than these somebody has only said so. */
    uint64_t tries_left = gnli_file_bytes(arena->file) / PAGE + TRIES;

    for (unsigned class = 0; class < arena->layout->classes; class ++) {
        uint64_t most = all ? 0 : keep(arena) / 2;
        uint64_t blocks = blocks_in_use(arena, class);
        if (blocks == 0 || !map_class(arena, class))
            continue;
        for (uint64_t block = blocks; block > 0; block--) {
            uint64_t backed =
                atomic_load_explicit(&arena->classes[class].backed, memory_order_relaxed); /* C */
            if ((int64_t)backed <= (int64_t)most)
                break;
            if (atomic_load_explicit(&arena->file->patched, memory_order_relaxed)) /* C */
                return;
            if (trim_block(arena, me, class, block - 1) && --tries_left == 0)
                return;
        }
    }
}

/* ---- mending ---- */

typedef bool dead_function(void *context, unsigned number);
typedef bool orphan_function(void *context, gnli_chunk chunk, uint64_t word);

/* W4 for one chunk. Whether the number's owner is dead is asked after the word was read. */
static void sweep_chunk(struct gnli_arena *arena, unsigned me, unsigned number, struct place place,
                        dead_function *dead, orphan_function *orphan, void *context)
{
    _Atomic uint64_t *at = word_at(arena, place);
    uint64_t word = atomic_load_explicit(at, memory_order_acquire); /* A */

    switch (gnli_chunk_state(word)) {
    case GNLI_CHUNK_FREE:
        break;
    case GNLI_CHUNK_LOAN:
        if (gnli_chunk_who(word) != 0 && (gnli_chunk_who(word) != number || !dead(context, number)))
            break;
        if (small(layout_of(arena, place.class)))
            change(at, word, freed(word));
        else if (change(at, word, lent(freed(word), me)))
            return_large(arena, place, lent(freed(word), me));
        break;
    case GNLI_CHUNK_QUEUED:
    case GNLI_CHUNK_HELD:
        if (orphan(context, name_of(place), word))
            change(at, word, freed(word));
        break;
    }
}

/* The dead may have changed a block and not counted it, or the reverse: the class is counted anew. */
static void recount(struct gnli_arena *arena, unsigned class, uint64_t blocks)
{
    _Atomic uint64_t *shared = &arena->classes[class].backed;
    bool is_small = small(layout_of(arena, class));

    for (unsigned attempt = 0; attempt < RECOUNTS_MAX; attempt++) {            /* others count on meanwhile */
        uint64_t counted = atomic_load_explicit(shared, memory_order_relaxed); /* C */
        uint64_t backed = 0;
        for (uint64_t block = 0; block < blocks; block++) {
            uint64_t its =
                atomic_load_explicit(&block_of(arena, class, block)->backed, memory_order_relaxed); /* C */
            backed += !is_small ? its : its == BACKED ? GNLI_BLOCK : 0;
        }
        if (counted == backed || change(shared, counted, backed))
            return;
    }
}

bool gnli_arena_sweep(struct gnli_arena *arena, unsigned me, unsigned number, dead_function *dead,
                      orphan_function *orphan, void *context, struct gnli_budget *budget)
{
    for (unsigned class = 0; class < arena->layout->classes; class ++) {
        const struct gnli_class_layout *layout = layout_of(arena, class);
        uint64_t blocks = blocks_in_use(arena, class);
        if (blocks == 0 || !map_class(arena, class))
            continue;
        for (uint64_t block = 0; block < blocks; block++) {
            if (given_up(arena, budget, layout->per_block))
                return false;
            struct gnli_block *entry = block_of(arena, class, block);
            if (small(layout)) {
                uint64_t backed = atomic_load_explicit(&entry->backed, memory_order_seq_cst); /* B */
                uint64_t mark = TRIMMING | (uint64_t)me << 8;
                if (backed == (TRIMMING | (uint64_t)number << 8) && dead(context, number) &&
                    change(&entry->backed, backed, mark))
                    return_small(arena, class, block, mark);
                /* A lender may have died on a page that was just trimmed. */
                if (backed != BACKED && !gnli_file_data(arena->file, block_offset(arena, class, block)))
                    continue;
            }
            for (unsigned i = 0; i < layout->per_block; i++)
                sweep_chunk(arena, me, number, (struct place){ class, block, i }, dead, orphan, context);
        }
        recount(arena, class, blocks);
    }
    return true;
}
