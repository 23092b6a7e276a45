/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/frames.h"

#include <stdlib.h>

#define FIRST_ROOM 16

int gnli_frames_writer_init(struct gnli_frames_writer *writer, char *base, uint64_t offset,
                            uint64_t (*more)(void *context), void *context)
{
    *writer = (struct gnli_frames_writer){
        .base = base,
        .at = offset,
        .end = offset + GNLI_BLOCK_BYTES,
        .queue = malloc(FIRST_ROOM * sizeof *writer->queue),
        .spare = malloc(FIRST_ROOM * sizeof *writer->spare),
        .room = FIRST_ROOM,
        .more = more,
        .context = context,
    };
    if (writer->queue && writer->spare)
        return 0;
    gnli_frames_writer_free(writer);
    return -ENOMEM;
}

void gnli_frames_writer_free(struct gnli_frames_writer *writer)
{
    free(writer->queue);
    free(writer->spare);
    writer->queue = writer->spare = NULL;
}

int gnli_frames_look(struct gnli_frames_writer *writer)
{
    if (!writer->reader)
        return 0;
    uint64_t left = atomic_load_explicit(&writer->reader->frames, memory_order_acquire); /* B */
    if (left < writer->left || left > writer->written)
        return -EBADMSG;
    writer->left = left;
    return 0;
}

/* Y1. Takes the blocks back that the reader has left. */
static int take_back(struct gnli_frames_writer *writer)
{
    if (!writer->reader)
        return 0;
    uint64_t left = atomic_load_explicit(&writer->reader->blocks, memory_order_acquire); /* B */
    if (left < writer->taken || left > writer->filled)
        return -EBADMSG;
    while (writer->taken < left)
        writer->spare[writer->spares++] = writer->queue[writer->taken++ % writer->room];
    return 0;
}

/* So that every block that there is fits into either list, and one more. */
static int make_room(struct gnli_frames_writer *writer)
{
    uint64_t room = writer->room;

    if (writer->filled - writer->taken + writer->spares + 1 < room)
        return 0;
    uint64_t *queue = malloc(2 * room * sizeof *queue);
    uint64_t *spare = malloc(2 * room * sizeof *spare);
    if (!queue || !spare) {
        free(queue);
        free(spare);
        return -ENOMEM;
    }
    for (uint64_t i = writer->taken; i < writer->filled; i++)
        queue[i % (2 * room)] = writer->queue[i % room];
    memcpy(spare, writer->spare, writer->spares * sizeof *spare);
    gnli_frames_writer_free(writer);
    writer->queue = queue;
    writer->spare = spare;
    writer->room = 2 * room;
    return 0;
}

int gnli_frames_turn(struct gnli_frames_writer *writer)
{
    int result = make_room(writer);
    if (result == 0)
        result = take_back(writer);
    if (result < 0)
        return result;
    uint64_t block = writer->spares > 0 ? writer->spare[--writer->spares] : writer->more(writer->context);
    if (block == 0)
        return -ENOSPC;
    atomic_store_explicit(gnli_frames_word(writer->base, block), 0, memory_order_relaxed); /* C: Y2 */
    atomic_store_explicit(gnli_frames_word(writer->base, writer->at),
                          gnli_frame_word(GNLI_FRAME_NEXT, block / 64), memory_order_release); /* A: Y3 */
    writer->queue[writer->filled++ % writer->room] = writer->end - GNLI_BLOCK_BYTES;
    writer->at = block;
    writer->end = block + GNLI_BLOCK_BYTES;
    return 0;
}

static int enter(struct gnli_frames_reader *reader, uint64_t offset)
{
    if (offset % 64 != 0 || offset < reader->first || offset > reader->last ||
        reader->last - offset < GNLI_BLOCK_BYTES || !reader->there(reader->context, offset, GNLI_BLOCK_BYTES))
        return -EBADMSG;
    reader->at = offset;
    reader->end = offset + GNLI_BLOCK_BYTES;
    return 0;
}

int gnli_frames_reader_init(struct gnli_frames_reader *reader, uint64_t offset)
{
    return enter(reader, offset);
}

int gnli_frames_follow(struct gnli_frames_reader *reader, uint64_t word)
{
    if (gnli_frame_kind(word) != GNLI_FRAME_NEXT || enter(reader, gnli_frame_size(word) * 64) < 0)
        return -EBADMSG;
    reader->blocks++;
    atomic_store_explicit(&reader->left->blocks, reader->blocks, memory_order_release); /* B: Y7 */
    return 0;
}
