/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/word.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

int gnli_word_add(struct gnli_word *word, char character, enum gnli_mark mark)
{
    if (word->length == word->room) {
        size_t more = word->room ? 2 * word->room : 32;
        char *text = realloc(word->text, more);
        if (text)
            word->text = text;
        char *marks = text ? realloc(word->marks, more) : NULL;
        if (!marks)
            return -ENOMEM;
        word->marks = marks;
        word->room = more;
    }
    word->text[word->length] = character;
    word->marks[word->length++] = (char)mark;
    return 0;
}

int gnli_word_add_text(struct gnli_word *word, const char *text, enum gnli_mark mark)
{
    int result = 0;

    for (; *text && result == 0; text++)
        result = gnli_word_add(word, *text, mark);
    return result;
}

void gnli_word_free(struct gnli_word *word)
{
    free(word->text);
    free(word->marks);
    *word = (struct gnli_word){ 0 };
}

int gnli_list_add(struct gnli_list *list, char *text)
{
    if (!text)
        return -ENOMEM;
    if (list->count + 1 >= list->room) {
        size_t more = list->room ? 2 * list->room : 8;
        char **texts = reallocarray(list->texts, more, sizeof *texts);
        if (!texts) {
            free(text);
            return -ENOMEM;
        }
        list->texts = texts;
        list->room = more;
    }
    list->texts[list->count++] = text;
    list->texts[list->count] = NULL;
    return 0;
}

void gnli_list_free(struct gnli_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list->texts);
    *list = (struct gnli_list){ 0 };
}

/* ---- a word, or a part of one ---- */

static bool is_special(char character)
{
    return character != '\0' && strchr("*?[]-!^\\", character) != NULL;
}

static bool is_pattern(const struct gnli_word *word, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if ((word->marks[i] == GNLI_PLAIN || word->marks[i] == GNLI_REPLACED) &&
            (word->text[i] == '*' || word->text[i] == '?' || word->text[i] == '['))
            return true;
    return false;
}

/*
 * With `escaped`, what means itself has a backslash before it if it were special. That is all that is quoted;
 * ^, which negates in brackets for glob(3) and not for sh; and a backslash, but that of a value escapes what
 * comes after it, as in sh.
 */
static bool means_itself(const struct gnli_word *word, size_t i)
{
    char mark = word->marks[i];

    return mark == GNLI_QUOTED || word->text[i] == '^' || (word->text[i] == '\\' && mark != GNLI_REPLACED);
}

static char *part_text(const struct gnli_word *word, size_t from, size_t to, bool escaped)
{
    char *text = malloc(2 * (to - from) + 1), *at = text;

    for (size_t i = from; text && i < to; i++) {
        if (word->marks[i] == GNLI_NOTHING)
            continue;
        if (escaped && is_special(word->text[i]) && means_itself(word, i))
            *at++ = '\\';
        *at++ = word->text[i];
    }
    if (text)
        *at = '\0';
    return text;
}

char *gnli_word_text(const struct gnli_word *word)
{
    return part_text(word, 0, word->length, false);
}

/* The files that match, by name; the pattern itself if there are none. */
static int expand_pattern(const struct gnli_word *word, size_t from, size_t to, struct gnli_list *list)
{
    char *pattern = part_text(word, from, to, true);
    glob_t found = { 0 };

    if (!pattern)
        return -ENOMEM;
    int result = glob(pattern, 0, NULL, &found);
    free(pattern);
    if (result == GLOB_NOSPACE) {
        globfree(&found);
        return -ENOMEM;
    }
    int added = result == 0 && found.gl_pathc > 0 ? 0 : gnli_list_add(list, part_text(word, from, to, false));
    for (size_t i = 0; result == 0 && i < found.gl_pathc && added == 0; i++)
        added = gnli_list_add(list, strdup(found.gl_pathv[i]));
    globfree(&found);
    return added;
}

static bool separates(const struct gnli_word *word, size_t i)
{
    return word->marks[i] == GNLI_REPLACED && strchr(" \t\n", word->text[i]) != NULL;
}

int gnli_word_expand(const struct gnli_word *word, struct gnli_list *list)
{
    int result = 0;

    for (size_t i = 0; i < word->length && result == 0;) {
        while (i < word->length && separates(word, i))
            i++;
        size_t from = i;
        while (i < word->length && !separates(word, i))
            i++;
        if (i == from)
            break;
        result = is_pattern(word, from, i) ? expand_pattern(word, from, i, list)
                                           : gnli_list_add(list, part_text(word, from, i, false));
    }
    return result;
}
