/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a stream cut into messages as `ginnel send` cuts it. What comes out, put together again, is
 * what went in.
 */
#include "framing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/room.h"

static int file_of(const uint8_t *data, size_t size)
{
    int file = memfd_create("stream", MFD_CLOEXEC);

    must(file >= 0);
    must(write(file, data, size) == (ssize_t)size);
    must(lseek(file, 0, SEEK_SET) == 0);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { .data = data, .size = size };
    enum framing framing = input_number(&input, 1) % 4;
    size_t most = 1 + input_number(&input, 2);
    struct framing_reader reader;
    const char *message;
    size_t length, at = 0;
    uint64_t count = 0;
    int result;

    int file = file_of(input.data, input.size);
    framing_reader_init(&reader, file, framing, most);
    while ((result = framing_read(&reader, &message, &length)) == 1) {
        must(++count == reader.number && count <= input.size + 1);
        must(length <= most && length <= input.size - at);
        must(length == 0 || memcmp(message, input.data + at, length) == 0);
        at += length;
        if (framing == FRAMING_LINES || framing == FRAMING_NULL) {
            int delimiter = framing == FRAMING_LINES ? '\n' : '\0';
            must(length == 0 || !memchr(message, delimiter, length));
            if (at < input.size)
                must(input.data[at++] == delimiter);
        }
    }
    must(result == 0 ? at == input.size : result == -EMSGSIZE && input.size - at > most);
    framing_reader_fini(&reader);
    close(file);
    return 0;
}
