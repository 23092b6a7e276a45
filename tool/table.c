/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "printable.h"

#define GAP "  "

struct table_row {
    char *cells[TABLE_COLUMNS_MAX];
    size_t count;
    char *note;
};

/* A listing without memory for its rows is of no use. */
static void *or_die(void *memory)
{
    if (!memory) {
        complain("out of memory");
        exit(EXIT_FAILED);
    }
    return memory;
}

void table_init(struct table *table, const struct column *columns, size_t columns_count)
{
    *table = (struct table){ .columns = columns, .columns_count = columns_count };
}

void table_fini(struct table *table)
{
    for (size_t i = 0; i < table->rows_count; i++) {
        for (size_t cell = 0; cell < table->rows[i].count; cell++)
            free(table->rows[i].cells[cell]);
        free(table->rows[i].note);
    }
    free(table->rows);
}

void table_row(struct table *table)
{
    if (table->rows_count == table->room) {
        table->room = 2 * table->room + 16;
        table->rows = or_die(realloc(table->rows, table->room * sizeof table->rows[0]));
    }
    table->rows[table->rows_count++] = (struct table_row){ .count = 0 };
}

void table_cell(struct table *table, const char *format, ...)
{
    struct table_row *row = &table->rows[table->rows_count - 1];
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    make_printable(text);
    row->cells[row->count++] = or_die(strdup(text));
}

void table_note(struct table *table, const char *note)
{
    char *text = or_die(strdup(note));

    make_printable(text);
    table->rows[table->rows_count - 1].note = text;
}

static int width_of(const struct table *table, size_t column)
{
    size_t width = strlen(table->columns[column].title);

    for (size_t i = 0; i < table->rows_count; i++)
        if (column < table->rows[i].count && strlen(table->rows[i].cells[column]) > width)
            width = strlen(table->rows[i].cells[column]);
    return (int)width;
}

static void print_cell(const struct table *table, FILE *file, size_t column, int width, const char *text)
{
    bool last = column == table->columns_count - 1;

    if (table->columns[column].number)
        fprintf(file, "%*s", width, text);
    else
        fprintf(file, "%-*s", last ? 0 : width, text);
    if (!last)
        fputs(GAP, file);
}

void table_print_to(const struct table *table, FILE *file)
{
    int widths[TABLE_COLUMNS_MAX];

    if (table->rows_count == 0)
        return;
    for (size_t column = 0; column < table->columns_count; column++) {
        widths[column] = width_of(table, column);
        print_cell(table, file, column, widths[column], table->columns[column].title);
    }
    putc('\n', file);
    for (size_t i = 0; i < table->rows_count; i++) {
        const struct table_row *row = &table->rows[i];
        for (size_t column = 0; column < row->count; column++)
            print_cell(table, file, column, widths[column], row->cells[column]);
        fprintf(file, "%s\n", row->note ? row->note : "");
    }
}

void table_print(const struct table *table)
{
    table_print_to(table, stdout);
}
