/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: takes lines, counts their words, sends the counts, and only then is done with the lines.
 * Killed at any point of that, what it held goes to the other workers.
 */
#include "job.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* What each byte is to `wc` in the C locale. */
enum { IGNORED, SPACE, WORD };
static unsigned char kinds[256];

static void learn_kinds(bool unprintable_words)
{
    for (int byte = 0; byte < 256; byte++)
        kinds[byte] = isspace(byte) ? SPACE : unprintable_words || isprint(byte) ? WORD : IGNORED;
}

static uint64_t count_words(const unsigned char *bytes, size_t size)
{
    uint64_t words = 0;
    unsigned char before = SPACE;

    for (size_t i = 0; i < size; i++) {
        unsigned char kind = kinds[bytes[i]] == IGNORED ? before : kinds[bytes[i]];
        words += kind == WORD && before == SPACE;
        before = kind;
    }
    return words;
}

static struct count count_line(const gnl_message *message, uint32_t worker)
{
    const unsigned char *bytes = message->data;
    struct line line;

    if (message->size < sizeof line)
        give_up("taking lines", "one has no number");
    memcpy(&line, bytes, sizeof line);
    bytes += sizeof line;
    size_t size = message->size - sizeof line;
    return (struct count){
        .line = line.number,
        .newlines = size > 0 && bytes[size - 1] == '\n',
        .words = count_words(bytes, size),
        .bytes = size,
        .worker = worker,
        .redelivered = (message->flags & GNL_REDELIVERED) != 0,
    };
}

static void send_counts(gnl_port *port, struct count *counts, size_t count)
{
    struct iovec messages[BATCH];
    size_t sent = 0;

    for (size_t i = 0; i < count; i++)
        messages[i] = (struct iovec){ .iov_base = &counts[i], .iov_len = sizeof counts[i] };
    while (sent < count) {
        ssize_t went = gnl_send_many(port, messages + sent, count - sent, GNL_FOREVER);
        if (went < 0)
            give_up("sending counts", gnl_error_detail());
        sent += (size_t)went;
    }
}

void work(const struct text *text, uint32_t worker, bool unprintable_words)
{
    gnl_port *lines = open_lines(text, GNL_RECV_ONLY);
    gnl_port *counts = open_counts(text, GNL_SEND_ONLY);
    gnl_message taken[BATCH];
    struct count results[BATCH];

    learn_kinds(unprintable_words);
    for (;;) {
        ssize_t count = gnl_take_many(lines, taken, BATCH, gnl_ms(50));
        if (count == -ETIMEDOUT && asked_to_end)
            break;
        if (count == -ETIMEDOUT)
            continue;
        if (count < 0)
            give_up("taking lines", gnl_error_detail());
        for (ssize_t i = 0; i < count; i++)
            results[i] = count_line(&taken[i], worker);
        send_counts(counts, results, (size_t)count);
        for (ssize_t i = 0; i < count; i++)
            gnl_done(&taken[i]);
    }
    gnl_close(counts);
    gnl_close(lines);
}
