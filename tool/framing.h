/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where one message ends and the next begins in a stream of bytes. The reader cuts a file into
 * messages; it holds no more of it than one message and what a read brought.
 */
#ifndef TOOL_FRAMING_H
#define TOOL_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum framing {
    FRAMING_LINES, /* each ends in a newline, which is not part of it; the last may lack it */
    FRAMING_NULL,  /* the same with a zero byte */
    FRAMING_WHOLE, /* the whole file is one message */
    FRAMING_SIZE,  /* pieces of a given size; the last may be shorter */
};

struct framing_reader {
    int descriptor;
    enum framing framing;
    size_t message_max; /* of the mailbox; FRAMING_SIZE: the size of the pieces */
    uint64_t number;    /* of the message that framing_read gave last: 1, 2, … */
    char *buffer;
    size_t capacity, start, end;
    size_t past; /* bytes that ended the message which was given last: they lie behind it */
    bool ended;  /* the file has no more */
};

void framing_reader_init(struct framing_reader *reader, int descriptor, enum framing framing,
                         size_t message_max);
void framing_reader_fini(struct framing_reader *reader);

/*
 * The next message, valid until the next call. 1 a message, 0 the file has ended; -EMSGSIZE it is
 * longer than message_max; -EINTR told to stop (interrupt.h), and it waited for more of the file; another
 * negative code: what reading the file gave.
 */
int framing_read(struct framing_reader *reader, const char **data, size_t *size);

#endif
