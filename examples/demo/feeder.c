/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder: every line of the text becomes a message. Short ones are laid side by side in one
 * buffer and sent as a batch.
 */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct batch {
    struct iovec messages[BATCH];
    size_t count;
    char *buffer;
    size_t size, used;
};

static void send_batch(gnl_port *port, struct batch *batch)
{
    size_t sent = 0;

    while (sent < batch->count) {
        ssize_t went = gnl_send_many(port, batch->messages + sent, batch->count - sent, GNL_FOREVER);
        if (went < 0)
            give_up("sending lines", gnl_error_detail());
        sent += (size_t)went;
    }
    batch->count = batch->used = 0;
}

void feed(const struct text *text)
{
    gnl_port *port = open_lines(text, GNL_SEND_ONLY);
    struct batch batch = { .size = sizeof(struct line) + (text->longest > 65536 ? text->longest : 65536) };
    struct line line = { 0 };

    batch.buffer = malloc(batch.size);
    if (!batch.buffer)
        give_up("memory for a line", strerror(ENOMEM));
    for (size_t at = 0; at < text->size; line.number++) {
        size_t length = text_line(text, at), size = sizeof line + length;
        if (batch.count == BATCH || batch.used + size > batch.size)
            send_batch(port, &batch);
        char *message = batch.buffer + batch.used;
        memcpy(message, &line, sizeof line);
        memcpy(message + sizeof line, text->bytes + at, length);
        batch.messages[batch.count++] = (struct iovec){ .iov_base = message, .iov_len = size };
        batch.used += size;
        at += length;
    }
    send_batch(port, &batch);
    free(batch.buffer);
    gnl_close(port);
}
