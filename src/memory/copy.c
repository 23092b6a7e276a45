/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/copy.h"

#include <stdbool.h>

#if defined __x86_64__
#include <emmintrin.h>
#endif

#include "base/clock.h"

#define STRETCH     ((size_t)4 << 20) /* bytes that are measured, in so many copies: */
#define COPIES_MAX  64
#define COMPARED    4 /* stretches, the two ways in turn */
#define GLANCES     8 /* at copies alone */
#define ROUND_FIRST 8 /* stretches */
#define ROUND_LAST  256
#define SLACK_MAX   1024
#define SLACKS      4 /* a queue fills by one message with every second or third that is sent */

typedef uint64_t vector __attribute__((vector_size(16), aligned(1), may_alias));
#define VECTORS 4 /* a cache line */

void gnli_copy_by_vectors(void *to, const void *from, size_t size)
{
    vector *out = to;
    const vector *in = from;
    size_t lines = size / (VECTORS * sizeof *in);

    for (size_t line = 0; line < lines; line++, in += VECTORS, out += VECTORS) {
        vector a = in[0], b = in[1], c = in[2], d = in[3];
        out[0] = a;
        out[1] = b;
        out[2] = c;
        out[3] = d;
        __asm__ volatile("" ::: "memory"); /* else a compiler may call libc's for all of it */
    }
    memcpy(out, in, size % (VECTORS * sizeof *in));
}

void gnli_copy_past_caches(void *to, const void *from, size_t size)
{
#if defined __x86_64__
    size_t before = -(uintptr_t)to % sizeof(__m128i); /* such stores are to be aligned */

    before = before < size ? before : size;
    memcpy(to, from, before);
    __m128i *out = (void *)((char *)to + before);
    const char *in = (const char *)from + before;
    size_t vectors = (size - before) / sizeof *out;
    for (size_t i = 0; i < vectors; i++, in += sizeof *out)
        _mm_stream_si128(out + i, _mm_loadu_si128((const void *)in));
    memcpy(out + vectors, in, (size - before) % sizeof *out);
    _mm_sfence();
#else
    memcpy(to, from, size);
#endif
}

static uint32_t get(_Atomic uint32_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed); /* A */
}

static void set(_Atomic uint32_t *field, uint32_t value)
{
    atomic_store_explicit(field, value, memory_order_relaxed); /* A */
}

static uint64_t pace_of(int64_t took_ns, uint64_t bytes)
{
    return took_ns < ((int64_t)1 << 43) ? ((uint64_t)took_ns << 20) / bytes : UINT64_MAX / 16;
}

/* The other way has to take a quarter less time; libc's, to be taken again, an eighth more at most. */
static bool pays(struct gnli_copying *copying, uint64_t other)
{
    uint64_t libc = atomic_load_explicit(&copying->pace[GNLI_COPY_LIBC], memory_order_relaxed); /* A */

    return get(&copying->settled) == GNLI_COPY_LIBC ? other * 4 <= libc * 3 : other * 9 <= libc * 8;
}

static void settle(struct gnli_copying *copying, uint32_t way)
{
    uint32_t round = get(&copying->round);
    bool changed = way != get(&copying->settled);

    set(&copying->settled, way);
    set(&copying->round, changed ? ROUND_FIRST : round < ROUND_LAST ? 2 * round : ROUND_LAST);
}

static uint32_t next_stretch(struct gnli_copying *copying, size_t size, int64_t slack)
{
    uint32_t stretch = get(&copying->stretch);
    size_t fit = STRETCH / size;
    uint32_t copies = fit < COPIES_MAX ? (uint32_t)fit : COPIES_MAX;

    if (get(&copying->round) == 0) { /* all is cold still, and the first way would look slow */
        set(&copying->round, ROUND_FIRST);
        stretch = COMPARED;
    } else if (stretch == COMPARED) {
        uint64_t other = atomic_load_explicit(&copying->pace[GNLI_COPY_OTHER], memory_order_relaxed); /* A */
        settle(copying, pays(copying, other) ? GNLI_COPY_OTHER : GNLI_COPY_LIBC);
    }
    stretch = stretch < COMPARED || stretch < get(&copying->round) ? stretch + 1 : 1;
    set(&copying->stretch, stretch);
    set(&copying->way, stretch <= COMPARED ? (stretch - 1) % GNLI_COPY_WAYS : get(&copying->settled));
    set(&copying->measure, stretch > COMPARED ? 0 : copies);
    bool tried = get(&copying->way) == GNLI_COPY_OTHER && get(&copying->settled) == GNLI_COPY_LIBC;
    set(&copying->glances, tried ? GLANCES : 0);
    atomic_store_explicit(&copying->glanced, UINT64_MAX / 16, memory_order_relaxed); /* A */
    return copies + SLACKS * (slack < 0 || slack > SLACK_MAX ? SLACK_MAX : (uint32_t)slack);
}

static void end_stretch(struct gnli_copying *copying, uint32_t way, uint64_t bytes)
{
    int64_t took = gnli_now_ns() - atomic_load_explicit(&copying->since_ns, memory_order_relaxed); /* A */
    uint64_t pace = pace_of(took, bytes);
    uint64_t best = atomic_load_explicit(&copying->pace[way], memory_order_relaxed); /* A */

    if (get(&copying->stretch) <= GNLI_COPY_WAYS || pace < best)
        atomic_store_explicit(&copying->pace[way], pace, memory_order_relaxed); /* A */
}

/*
 * One thread's pace is no better than that of its copies alone: by that it may turn out soon that the other
 * way cannot pay. (They may be quick and the whole slow, so a way is never taken for them. Threads that share
 * a port may do better together than any of their copies: there libc's way may stay though the other pays.)
 */
static bool hopeless(struct gnli_copying *copying, uint32_t glances, int64_t took_ns, size_t size)
{
    uint64_t pace = pace_of(took_ns, size);
    uint64_t best = atomic_load_explicit(&copying->glanced, memory_order_relaxed); /* A */

    best = pace < best ? pace : best;
    atomic_store_explicit(&copying->glanced, best, memory_order_relaxed); /* A */
    set(&copying->glances, glances - 1);
    return glances == 1 && !pays(copying, best);
}

void gnli_copy_large(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                     size_t size, int64_t slack)
{
    uint32_t left = get(&copying->left);
    uint64_t bytes = atomic_load_explicit(&copying->bytes, memory_order_relaxed); /* A */

    if (left == 0)
        left = next_stretch(copying, size, slack);
    uint32_t measure = get(&copying->measure);
    if (left == measure) {
        bytes = 0;
        atomic_store_explicit(&copying->since_ns, gnli_now_ns(), memory_order_relaxed); /* A */
    }
    uint32_t way = get(&copying->way), glances = get(&copying->glances);
    if (way == GNLI_COPY_LIBC) {
        memcpy(to, from, size);
    } else if (glances == 0) {
        other(to, from, size);
    } else {
        int64_t start = gnli_now_ns();
        other(to, from, size);
        if (hopeless(copying, glances, gnli_now_ns() - start, size)) {
            settle(copying, GNLI_COPY_LIBC);
            set(&copying->stretch, COMPARED + 1); /* the comparison is over, */
            measure = 0;
            left = 1; /* and this stretch with this copy */
        }
    }
    set(&copying->left, left - 1); /* at least 1, as this thread saw it */
    atomic_store_explicit(&copying->bytes, bytes + size, memory_order_relaxed); /* A */
    if (measure > 0 && left == 1)
        end_stretch(copying, way, bytes + size);
}
