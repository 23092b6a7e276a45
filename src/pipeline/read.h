/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a command line: words with their quotes, variables and ~ replaced, and what stands between them. */
#ifndef GNLI_PIPELINE_READ_H
#define GNLI_PIPELINE_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "pipeline/word.h"

enum gnli_token_kind {
    GNLI_TOKEN_END,
    GNLI_TOKEN_WORD,
    GNLI_TOKEN_PIPE,      /* | */
    GNLI_TOKEN_PIPE_BOTH, /* |& */
    GNLI_TOKEN_FROM,      /* N< */
    GNLI_TOKEN_TO,        /* N> */
    GNLI_TOKEN_APPEND,    /* N>> */
    GNLI_TOKEN_COPY,      /* N>& */
};

struct gnli_token {
    enum gnli_token_kind kind;
    size_t column;         /* where it begins, from 1 */
    int number;            /* N */
    struct gnli_word word; /* the reader's, until the next token */
    size_t name;           /* NAME= begins it: how many characters that are; else 0 */
};

struct gnli_reader {
    const char *text, *at;
    bool assigns;                        /* NAME=VALUE is an assignment here, and no word */
    const struct gnli_list *assignments; /* those of this command so far: later ones see them */
    struct gnli_token token;
};

/* The next token: 0, -EINVAL with a sentence, -ENOMEM. */
int gnli_read(struct gnli_reader *reader);

void gnli_reader_end(struct gnli_reader *reader);

/* Fails with "column N: …". */
int gnli_fail_at(int code, size_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

#endif
