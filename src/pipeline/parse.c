/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: command { ("|" | "|&") command }
 * command:  { NAME=VALUE | redirection } WORD { WORD | redirection }
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "pipeline/pipeline.h"
#include "pipeline/read.h"

/* Where a command is to be, these mean more to a shell. */
static const char *const reserved[] = { "!",    "{",  "}",   "case", "do",   "done",  "elif", "else",
                                        "esac", "fi", "for", "if",   "then", "until", "while" };

static bool is_reserved(const struct gnli_word *word)
{
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        size_t length = strlen(reserved[i]);
        if (word->length == length && memcmp(word->text, reserved[i], length) == 0 &&
            memchr(word->marks, GNLI_QUOTED, length) == NULL &&
            memchr(word->marks, GNLI_REPLACED, length) == NULL)
            return true;
    }
    return false;
}

static struct gnli_redirection *add_redirection(struct gnli_stage *stage)
{
    struct gnli_redirection *grown =
        reallocarray(stage->redirections, stage->redirection_count + 1, sizeof *grown);

    if (!grown)
        return NULL;
    stage->redirections = grown;
    struct gnli_redirection *added = &grown[stage->redirection_count++];
    *added = (struct gnli_redirection){ .opened = -1 };
    return added;
}

static int copy_errors(struct gnli_stage *stage, size_t column)
{
    struct gnli_redirection *added = add_redirection(stage);

    if (!added)
        return -ENOMEM;
    added->number = 2;
    added->source = 1;
    added->column = column;
    return 0;
}

static int read_redirection(struct gnli_reader *reader, struct gnli_stage *stage)
{
    struct gnli_token token = reader->token;
    struct gnli_redirection *added = add_redirection(stage);
    bool assigns = reader->assigns;

    if (!added)
        return -ENOMEM;
    reader->assigns = false; /* its target is none */
    int result = gnli_read(reader);
    reader->assigns = assigns;
    if (result < 0)
        return result;
    const struct gnli_word *target = &reader->token.word;
    bool copy = token.kind == GNLI_TOKEN_COPY;
    if (reader->token.kind != GNLI_TOKEN_WORD)
        return gnli_fail_at(-EINVAL, token.column,
                            copy ? "after >& comes 0, 1 or 2" : "the name of a file is missing after this");
    added->number = token.number;
    added->column = reader->token.column;
    if (copy) {
        if (target->length != 1 || target->text[0] < '0' || target->text[0] > '2')
            return gnli_fail_at(-EINVAL, added->column, "after >& comes 0, 1 or 2");
        added->source = target->text[0] - '0';
        return 0;
    }
    added->flags = token.kind == GNLI_TOKEN_FROM ? O_RDONLY
                   : token.kind == GNLI_TOKEN_TO ? O_WRONLY | O_CREAT | O_TRUNC
                                                 : O_WRONLY | O_CREAT | O_APPEND;
    added->path = gnli_word_text(target);
    if (!added->path)
        return -ENOMEM;
    return added->path[0] ? 0 : gnli_fail_at(-EINVAL, added->column, "the name of the file is empty");
}

static int read_command_word(struct gnli_reader *reader, struct gnli_stage *stage)
{
    struct gnli_token *token = &reader->token;

    reader->assigns = false;
    if (stage->column == 0 && is_reserved(&token->word))
        return gnli_fail_at(-EINVAL, token->column, "'%.*s' is a word of the shell's: sh -c '…' has that",
                            (int)token->word.length, token->word.text);
    if (stage->words.count == 0)
        stage->column = token->column;
    return gnli_word_expand(&token->word, &stage->words);
}

/* Up to what ends the command. */
static int read_command(struct gnli_reader *reader, struct gnli_stage *stage)
{
    struct gnli_token *token = &reader->token;
    size_t began = 0;

    reader->assigns = true;
    reader->assignments = &stage->assignments;
    for (;;) {
        int result = gnli_read(reader);
        if (result < 0)
            return result;
        began = began ? began : token->column;
        if (token->kind == GNLI_TOKEN_WORD)
            result = token->name > 0 ? gnli_list_add(&stage->assignments, gnli_word_text(&token->word))
                                     : read_command_word(reader, stage);
        else if (token->kind == GNLI_TOKEN_PIPE || token->kind == GNLI_TOKEN_PIPE_BOTH ||
                 token->kind == GNLI_TOKEN_END)
            break;
        else
            result = read_redirection(reader, stage);
        if (result < 0)
            return result;
    }
    if (stage->words.count > 0)
        return token->kind == GNLI_TOKEN_PIPE_BOTH ? copy_errors(stage, token->column) : 0;
    return gnli_fail_at(-EINVAL, began,
                        stage->column ? "nothing is left of this command: its variables are empty"
                                      : "a command is missing here");
}

int gnli_pipeline_read(struct gnl_pipeline *pipeline, const char *text)
{
    struct gnli_reader reader = { .text = text, .at = text };
    int result;

    do {
        struct gnli_stage *stage = gnli_pipeline_extend(pipeline);
        result = stage ? read_command(&reader, stage) : -ENOMEM;
    } while (result == 0 && reader.token.kind != GNLI_TOKEN_END);
    gnli_reader_end(&reader);
    return result;
}
