/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of others, for a terminal: names of files may be anything.
 */
#ifndef TOOL_PRINTABLE_H
#define TOOL_PRINTABLE_H

#include <stddef.h>

/* What a terminal might obey, and what is not UTF-8, becomes a question mark. */
void make_printable(char *text);

/*
 * `word` as one word of a command line for a shell, of plain characters: as it is, or $'…'. The caller owns
 * it; NULL: out of memory.
 */
char *shell_word(const char *word);

#endif
