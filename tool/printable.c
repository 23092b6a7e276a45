/* SPDX-License-Identifier: Apache-2.0 */
#include "printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the character at `text`, a terminated string; 0: a control character, or not UTF-8. */
static size_t character(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t length = *byte < 0x80 ? 1 : *byte < 0xc2 ? 0 : *byte < 0xe0 ? 2 : *byte < 0xf0 ? 3 : 4;
    uint32_t code = length > 1 ? *byte & (0xffU >> (length + 1)) : *byte;

    if (length == 0 || *byte > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (byte[i] & 0x3f);
    }
    bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    bool surrogate = code >= 0xd800 && code < 0xe000;
    bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool direction = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return too_long || surrogate || control || direction || code > 0x10ffff ? 0 : length;
}

void make_printable(char *text)
{
    while (*text != '\0') {
        size_t length = character(text);
        if (length == 0)
            *text = '?';
        text += length > 0 ? length : 1;
    }
}

char *shell_word(const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";
    size_t length = strlen(word);
    char *quoted = malloc(4 * length + 4); /* \ooo each, and $'' */

    if (!quoted)
        return NULL;
    if (length > 0 && strspn(word, plain) == length)
        return strcpy(quoted, word);
    char *end = stpcpy(quoted, "$'");
    for (; *word != '\0'; word++) {
        unsigned char byte = (unsigned char)*word;
        if (byte < 0x20 || byte >= 0x7f || byte == '\'' || byte == '\\')
            end += sprintf(end, "\\%03o", (unsigned)byte);
        else
            *end++ = *word;
    }
    strcpy(end, "'");
    return quoted;
}
