/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/copy.h"

#if defined __x86_64__
#include <emmintrin.h>
#endif

#include "base/clock.h"

#define ROUND    256 /* large copies from one comparison to the next */
#define MEASURED 6   /* of them, the two ways in turn */

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

/* Faster by a third? */
static uint32_t better(struct gnli_copying *copying)
{
    uint64_t libc = atomic_load_explicit(&copying->pace[GNLI_COPY_LIBC], memory_order_relaxed);   /* A */
    uint64_t other = atomic_load_explicit(&copying->pace[GNLI_COPY_OTHER], memory_order_relaxed); /* A */

    return other * 4 <= libc * 3 ? GNLI_COPY_OTHER : GNLI_COPY_LIBC;
}

void gnli_copy_large(struct gnli_copying *copying, gnli_copy_other *other, void *to, const void *from,
                     size_t size)
{
    uint32_t turn = atomic_load_explicit(&copying->turn, memory_order_relaxed); /* A */
    uint32_t way = atomic_load_explicit(&copying->way, memory_order_relaxed);   /* A */
    uint32_t place = turn % ROUND;
    int64_t start = 0;

    atomic_store_explicit(&copying->turn, turn + 1, memory_order_relaxed); /* A */
    if (place < MEASURED) {
        way = place % GNLI_COPY_WAYS;
        start = gnli_now_ns();
    } else if (place == MEASURED) {
        way = better(copying);
        atomic_store_explicit(&copying->way, way, memory_order_relaxed); /* A */
    }
    if (way == GNLI_COPY_LIBC)
        memcpy(to, from, size);
    else
        other(to, from, size);
    if (start == 0)
        return;
    uint64_t pace = (uint64_t)(gnli_now_ns() - start) * 1000 / size;
    uint64_t best = atomic_load_explicit(&copying->pace[way], memory_order_relaxed); /* A */
    if (place < GNLI_COPY_WAYS || pace < best)
        atomic_store_explicit(&copying->pace[way], pace < UINT32_MAX ? (uint32_t)pace : UINT32_MAX,
                              memory_order_relaxed); /* A */
}
