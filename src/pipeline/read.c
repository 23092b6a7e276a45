/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/read.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errors.h"

#define SHELL_HAS "sh -c '…' has that"

int gnli_fail_at(int code, size_t column, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return gnli_fail(code, "column %zu: %s", column, text);
}

static size_t column_of(const struct gnli_reader *reader, const char *at)
{
    size_t column = 1;

    for (const char *byte = reader->text; byte < at; byte++)
        column += ((unsigned char)*byte & 0xc0) != 0x80; /* a character of several bytes is one */
    return column;
}

static bool is_name(char character, bool first)
{
    return character == '_' || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || (!first && character >= '0' && character <= '9');
}

static size_t name_length(const char *text)
{
    size_t length = 0;

    while (is_name(text[length], length == 0))
        length++;
    return length;
}

static bool is_blank(char character)
{
    return character == ' ' || character == '\t';
}

static bool ends_word(char character)
{
    return character == '\0' || is_blank(character) || strchr("\n|&;<>()", character) != NULL;
}

/* ---- within a word ---- */

/* Lines that go on. */
static void skip_joins(struct gnli_reader *reader)
{
    while (reader->at[0] == '\\' && reader->at[1] == '\n')
        reader->at += 2;
}

/* The name that begins there, over lines that go on: its length. `name` has room for all of the text. */
static size_t read_name(struct gnli_reader *reader, char *name)
{
    size_t length = 0;

    for (skip_joins(reader); is_name(*reader->at, length == 0); skip_joins(reader))
        name[length++] = *reader->at++;
    name[length] = '\0';
    return length;
}

/* As the command has it so far if this is an assignment of its own; else this process's. */
static const char *value_of(const struct gnli_reader *reader, const char *name)
{
    size_t length = strlen(name);

    for (size_t i = reader->token.name > 0 ? reader->assignments->count : 0; i-- > 0;) {
        const char *text = reader->assignments->texts[i];
        if (strncmp(text, name, length) == 0 && text[length] == '=')
            return text + length + 1;
    }
    return getenv(name);
}

/* $NAME or ${NAME}; a $ before anything that begins no name is a $. */
static int read_variable(struct gnli_reader *reader, enum gnli_mark mark)
{
    const char *dollar = reader->at++, *value = NULL;
    int result = 0;

    skip_joins(reader);
    bool braces = *reader->at == '{';
    reader->at += braces;
    char *name = strdup(reader->at);
    if (!name)
        return -ENOMEM;
    size_t length = read_name(reader, name);
    if (length == 0 && !braces && (*reader->at == '\0' || !strchr("(0123456789?$!#@*-", *reader->at)))
        result = gnli_word_add(&reader->token.word, '$', GNLI_QUOTED);
    else if (length == 0 || (braces && *reader->at != '}'))
        result = gnli_fail_at(-EINVAL, column_of(reader, dollar),
                              "of $ only $NAME and ${NAME} are known here; " SHELL_HAS);
    else
        value = value_of(reader, name);
    if (value)
        result = gnli_word_add_text(&reader->token.word, value, mark);
    reader->at += result == 0 && length > 0 && braces;
    free(name);
    return result;
}

static int unclosed(const struct gnli_reader *reader, const char *quote)
{
    return gnli_fail_at(-EINVAL, column_of(reader, quote), "the quotation that %c begins has no end", *quote);
}

static int read_single(struct gnli_reader *reader)
{
    const char *quote = reader->at++;
    int result = gnli_word_add(&reader->token.word, '\0', GNLI_NOTHING);

    for (; result == 0 && *reader->at != '\''; reader->at++) {
        if (*reader->at == '\0')
            return unclosed(reader, quote);
        result = gnli_word_add(&reader->token.word, *reader->at, GNLI_QUOTED);
    }
    reader->at += result == 0; /* else it may be at the end */
    return result;
}

static int no_substitution(const struct gnli_reader *reader)
{
    return gnli_fail_at(-EINVAL, column_of(reader, reader->at),
                        "a command's output in a line (`…`) is not known here; " SHELL_HAS);
}

static int read_double(struct gnli_reader *reader)
{
    const char *quote = reader->at++;
    int result = gnli_word_add(&reader->token.word, '\0', GNLI_NOTHING);

    while (result == 0 && *reader->at != '"') {
        char next = reader->at[0] == '\\' ? reader->at[1] : '\0';
        if (*reader->at == '\0')
            return unclosed(reader, quote);
        if (*reader->at == '`')
            return no_substitution(reader);
        if (*reader->at == '$') {
            result = read_variable(reader, GNLI_QUOTED);
            continue;
        }
        bool escapes = next != '\0' && strchr("$`\"\\\n", next);
        reader->at += escapes;
        if (next != '\n')
            result = gnli_word_add(&reader->token.word, *reader->at, GNLI_QUOTED);
        reader->at++;
    }
    reader->at += result == 0;
    return result;
}

static int read_backslash(struct gnli_reader *reader)
{
    char next = reader->at[1];

    reader->at += next == '\0' ? 1 : 2;
    if (next == '\n')
        return 0; /* the line goes on */
    return gnli_word_add(&reader->token.word, next == '\0' ? '\\' : next, GNLI_QUOTED);
}

/* ~ and ~USER, up to what `ends` it. Somebody who is not there is no home: it stays as it is. */
static int read_tilde(struct gnli_reader *reader, const char *ends)
{
    size_t length = strcspn(reader->at + 1, ends);
    char name[256], buffer[4096];
    struct passwd entry, *user = NULL;
    const char *home = getenv("HOME");

    if (length >= sizeof name || strcspn(reader->at + 1, "'\"\\$`") < length)
        return gnli_word_add(&reader->token.word, *reader->at++, GNLI_QUOTED);
    if (length > 0) {
        memcpy(name, reader->at + 1, length);
        name[length] = '\0';
        if (getpwnam_r(name, &entry, buffer, sizeof buffer, &user) != 0)
            user = NULL;
        home = user ? user->pw_dir : NULL;
    }
    if (!home)
        return gnli_word_add(&reader->token.word, *reader->at++, GNLI_QUOTED);
    reader->at += 1 + length;
    int result = gnli_word_add(&reader->token.word, '\0', GNLI_NOTHING);
    return result < 0 ? result : gnli_word_add_text(&reader->token.word, home, GNLI_QUOTED);
}

/* Does ~ mean a home there: where a word begins, and in an assignment after = and each colon. */
static bool begins_home(const struct gnli_reader *reader, const char *began)
{
    const struct gnli_token *token = &reader->token;

    if (reader->at == began)
        return true;
    return token->name > 0 &&
           (token->word.length == token->name ||
            (reader->at[-1] == ':' && token->word.marks[token->word.length - 1] == GNLI_PLAIN));
}

static int read_part(struct gnli_reader *reader, const char *began)
{
    switch (*reader->at) {
    case '\'':
        return read_single(reader);
    case '"':
        return read_double(reader);
    case '\\':
        return read_backslash(reader);
    case '$':
        return read_variable(reader, reader->token.name > 0 ? GNLI_QUOTED : GNLI_REPLACED);
    case '`':
        return no_substitution(reader);
    case '~':
        if (begins_home(reader, began))
            return read_tilde(reader, reader->token.name > 0 ? "/: \t\n|&;<>()" : "/ \t\n|&;<>()");
        break;
    case '=':
        if (reader->assigns && reader->token.name == 0 && reader->at > began &&
            name_length(began) == (size_t)(reader->at - began))
            reader->token.name = (size_t)(reader->at - began) + 1;
        break;
    default:
        break;
    }
    return gnli_word_add(&reader->token.word, *reader->at++, GNLI_PLAIN);
}

static int read_word(struct gnli_reader *reader)
{
    const char *began = reader->at;
    int result = 0;

    reader->token.kind = GNLI_TOKEN_WORD;
    while (result == 0 && !ends_word(*reader->at))
        result = read_part(reader, began);
    return result;
}

/* ---- between words ---- */

static int unknown(const struct gnli_reader *reader, const char *what)
{
    return gnli_fail_at(-EINVAL, column_of(reader, reader->at), "'%s' is not known here; " SHELL_HAS, what);
}

/* The two characters that come next, over lines that go on; none is 0. */
static void look(const struct gnli_reader *reader, char next[2])
{
    struct gnli_reader ahead = { .at = reader->at };

    for (size_t i = 0; i < 2; i++) {
        skip_joins(&ahead);
        next[i] = *ahead.at;
        ahead.at += next[i] != '\0';
    }
}

static void take(struct gnli_reader *reader, size_t count)
{
    for (; count > 0; count--) {
        skip_joins(reader);
        reader->at++;
    }
}

/* 0, or what is wrong if one of those `count` comes next. */
static int refuse(const struct gnli_reader *reader, const char *const others[], size_t count)
{
    char next[2];

    look(reader, next);
    for (size_t i = 0; i < count; i++)
        if (strncmp(next, others[i], strlen(others[i])) == 0)
            return unknown(reader, others[i]);
    return 0;
}

/* < > >> >&, of the descriptor that has that number. */
static int read_redirection(struct gnli_reader *reader, int number)
{
    static const char *const others[] = { "<<", "<&", "<>", ">|" };
    char next[2];

    int result = refuse(reader, others, sizeof others / sizeof others[0]);
    if (result < 0)
        return result;
    look(reader, next);
    reader->token.kind = next[0] == '<'   ? GNLI_TOKEN_FROM
                         : next[1] == '>' ? GNLI_TOKEN_APPEND
                         : next[1] == '&' ? GNLI_TOKEN_COPY
                                          : GNLI_TOKEN_TO;
    reader->token.number = number >= 0 ? number : next[0] == '>';
    take(reader, reader->token.kind == GNLI_TOKEN_APPEND || reader->token.kind == GNLI_TOKEN_COPY ? 2 : 1);
    return 0;
}

static int read_operator(struct gnli_reader *reader)
{
    static const char *const others[] = { "||", "&&", "&>", "&", ";", "(", ")" };

    char next[2];

    int result = refuse(reader, others, sizeof others / sizeof others[0]);
    if (result < 0)
        return result;
    if (*reader->at == '\n')
        return gnli_fail_at(-EINVAL, column_of(reader, reader->at), "a pipeline is one line; " SHELL_HAS);
    if (*reader->at != '|')
        return read_redirection(reader, -1);
    look(reader, next);
    reader->token.kind = next[1] == '&' ? GNLI_TOKEN_PIPE_BOTH : GNLI_TOKEN_PIPE;
    take(reader, reader->token.kind == GNLI_TOKEN_PIPE_BOTH ? 2 : 1);
    return 0;
}

/* Blanks, and lines that go on. */
static void skip(struct gnli_reader *reader)
{
    while (is_blank(*reader->at) || (reader->at[0] == '\\' && reader->at[1] == '\n'))
        reader->at += *reader->at == '\\' ? 2 : 1;
    if (reader->at[strspn(reader->at, " \t\n")] == '\0')
        reader->at += strlen(reader->at);
}

int gnli_read(struct gnli_reader *reader)
{
    struct gnli_token *token = &reader->token;
    char next[2];

    gnli_word_free(&token->word);
    skip(reader);
    *token = (struct gnli_token){ .column = column_of(reader, reader->at), .kind = GNLI_TOKEN_END };
    if (*reader->at == '\0')
        return 0;
    if (*reader->at == '#')
        return gnli_fail_at(-EINVAL, token->column, "a comment begins here: '#' in quotes is a word");
    look(reader, next);
    if (next[0] >= '0' && next[0] <= '9' && (next[1] == '<' || next[1] == '>')) {
        if (next[0] > '2')
            return gnli_fail_at(-EINVAL, token->column,
                                "only descriptors 0, 1 and 2 can be redirected here; " SHELL_HAS);
        take(reader, 1);
        return read_redirection(reader, next[0] - '0');
    }
    return ends_word(*reader->at) ? read_operator(reader) : read_word(reader);
}

void gnli_reader_end(struct gnli_reader *reader)
{
    gnli_word_free(&reader->token.word);
}
