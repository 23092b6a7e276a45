/* SPDX-License-Identifier: Apache-2.0 */
#include "framing.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"

#define READ_BYTES ((size_t)64 << 10) /* room for at least so many before each read */
#define LOOK_MS    100 /* a signal may come just before a wait for bytes: look for one so often */

void framing_reader_init(struct framing_reader *reader, int descriptor, enum framing framing,
                         size_t message_max)
{
    *reader =
        (struct framing_reader){ .descriptor = descriptor, .framing = framing, .message_max = message_max };
}

void framing_reader_fini(struct framing_reader *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
}

/* Room behind what is there: what has been given goes, then the buffer doubles. */
static int make_room(struct framing_reader *reader)
{
    size_t held = reader->end - reader->start;

    if (reader->capacity - reader->end >= READ_BYTES)
        return 0;
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, held);
        reader->start = 0;
        reader->end = held;
    }
    if (reader->capacity - held >= READ_BYTES)
        return 0;
    size_t capacity = 2 * (held + READ_BYTES);
    char *buffer = realloc(reader->buffer, capacity);
    if (!buffer)
        return -ENOMEM;
    reader->buffer = buffer;
    reader->capacity = capacity;
    return 0;
}

static int read_more(struct framing_reader *reader)
{
    int result = make_room(reader);

    if (result < 0)
        return result;
    while (poll(&(struct pollfd){ .fd = reader->descriptor, .events = POLLIN }, 1, LOOK_MS) <= 0)
        if (interrupt_caught() != 0)
            return -EINTR;
    ssize_t count = read(reader->descriptor, reader->buffer + reader->end, reader->capacity - reader->end);
    if (count < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno; /* somebody made it non-blocking: wait on */
    reader->end += (size_t)count;
    reader->ended = count == 0;
    return 0;
}

/*
 * How long the message at the start is, as far as is known: `scanned` bytes of it were looked at
 * before. False: its end has not been read yet.
 */
static bool find_end(struct framing_reader *reader, size_t scanned, size_t *size)
{
    const char *start = reader->buffer + reader->start;
    size_t held = reader->end - reader->start;

    reader->past = 0;
    if (reader->framing == FRAMING_LINES || reader->framing == FRAMING_NULL) {
        int delimiter = reader->framing == FRAMING_LINES ? '\n' : '\0';
        const char *found = held > scanned ? memchr(start + scanned, delimiter, held - scanned) : NULL;
        if (found) {
            *size = (size_t)(found - start);
            reader->past = 1;
            return true;
        }
    }
    if (reader->framing == FRAMING_SIZE && held >= reader->message_max) {
        *size = reader->message_max;
        return true;
    }
    *size = held;
    return reader->ended;
}

int framing_read(struct framing_reader *reader, const char **data, size_t *size)
{
    size_t scanned = 0;

    while (!find_end(reader, scanned, size)) {
        if (*size > reader->message_max)
            break;
        scanned = *size;
        int result = read_more(reader);
        if (result < 0)
            return result;
    }
    if (*size == 0 && reader->past == 0 && (reader->framing != FRAMING_WHOLE || reader->number > 0))
        return 0;
    reader->number++;
    if (*size > reader->message_max)
        return -EMSGSIZE;
    *data = reader->buffer + reader->start;
    reader->start += *size + reader->past;
    return 1;
}
