/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of text whose columns are as wide as what stands in them. Filled row by row, cell by cell.
 * What a terminal might obey becomes a question mark.
 */
#ifndef TOOL_TABLE_H
#define TOOL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct column {
    const char *title;
    bool number; /* to the right */
};

struct table {
    const struct column *columns;
    size_t columns_count;
    struct table_row *rows;
    size_t rows_count, room;
};

void table_init(struct table *table, const struct column *columns, size_t columns_count);
void table_fini(struct table *table);

/* Begins a row. */
void table_row(struct table *table);

/* The next cell of the row. */
__attribute__((format(printf, 2, 3))) void table_cell(struct table *table, const char *format, ...);

/* Instead of the row's other cells: a sentence, as long as it likes. */
void table_note(struct table *table, const char *note);

/* Prints it, with the titles, to standard output, or to a file; nothing if it has no rows. */
void table_print(const struct table *table);
void table_print_to(const struct table *table, FILE *file);

#endif
