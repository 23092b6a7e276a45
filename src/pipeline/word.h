/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A word of a command line while it is read: its characters, and of each where it came from, since that
 * decides what it may still become.
 */
#ifndef GNLI_PIPELINE_WORD_H
#define GNLI_PIPELINE_WORD_H

#include <stdbool.h>
#include <stddef.h>

enum gnli_mark {
    GNLI_PLAIN = 1, /* stands in the text, unquoted */
    GNLI_QUOTED,    /* means itself and nothing else */
    GNLI_REPLACED,  /* of a variable, unquoted: may separate words, or be a pattern */
    GNLI_NOTHING,   /* no character, but quotes: the word is there though it is empty */
};

struct gnli_word {
    char *text;
    char *marks; /* enum gnli_mark, one for each */
    size_t length, room;
};

/* Ended by NULL. */
struct gnli_list {
    char **texts;
    size_t count, room;
};

/* 0, -ENOMEM. */
int gnli_word_add(struct gnli_word *word, char character, enum gnli_mark mark);
int gnli_word_add_text(struct gnli_word *word, const char *text, enum gnli_mark mark);
void gnli_word_free(struct gnli_word *word);

/* Takes the text over; frees it when there is no memory: -ENOMEM. NULL is -ENOMEM too. */
int gnli_list_add(struct gnli_list *list, char *text);
void gnli_list_free(struct gnli_list *list);

/* The word as it is, without splitting and without patterns; the caller's. NULL: no memory. */
char *gnli_word_text(const struct gnli_word *word);

/* Adds what the word becomes: it is split, and its parts are replaced by the files that match. */
int gnli_word_expand(const struct gnli_word *word, struct gnli_list *list);

#endif
