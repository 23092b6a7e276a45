/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table and the lines (show.h). The table is taken away before anything else is printed.
 */
#include "show.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TABLE_EVERY_NS ((int64_t)100000000)
#define LINE_EVERY_NS  ((int64_t)500000000)

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

const char *grouped(uint64_t number)
{
    static char store[8][32];
    static unsigned turn;
    char *at = store[turn++ % 8] + 31;

    *at = '\0';
    for (unsigned digits = 0; number > 0 || digits == 0; digits++, number /= 10) {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
    }
    return at;
}

static const char *state_name(enum state state)
{
    switch (state) {
    case RUNNING:
        return "running";
    case STOPPED:
        return "STOPPED";
    case KILLED:
        return "KILLED";
    case ENDED:
        return "ended";
    default:
        return "failed";
    }
}

void show_start(struct show *show)
{
    *show = (struct show){ .terminal = isatty(STDOUT_FILENO), .start_ns = now_ns() };
}

void show_end(struct show *show)
{
    if (show->rows > 0)
        printf("\033[%uA\033[J", show->rows); /* up to the table's first row, and clear from there */
    show->rows = 0;
    fflush(stdout);
}

static void print_time(struct show *show)
{
    printf("%6.2f s  ", (double)(now_ns() - show->start_ns) / 1e9);
}

void show_event(struct show *show, const char *format, ...)
{
    va_list arguments;

    show_end(show);
    print_time(show);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    show->next_ns = 0;
}

static void draw_table(struct show *show, const struct crew *crew, const struct tally *tally)
{
    show_end(show);
    printf("\n  lines %s of %s, %s waiting in the mailbox\n", grouped(tally->lines), grouped(tally->expected),
           grouped(crew->lines.queued));
    printf("  %-10s %-10s %-8s %6s %12s %12s\n", "", "process", "", "holds", "received", "redelivered");
    printf("  %-10s %-10d %-8s\n", "feeder", (int)crew->feeder.pid, state_name(crew->feeder.state));
    show->rows = 4;
    for (unsigned i = 0; i < WORKERS; i++, show->rows++) {
        const struct member *worker = &crew->workers[i];
        char held[48];
        snprintf(held, sizeof held, worker->state == KILLED ? "(%s)" : "%s", grouped(worker->held));
        printf("  worker %-3u %-10d %-8s %6s %12s %12s\n", i + 1, (int)worker->pid, state_name(worker->state),
               held, grouped(worker->received), grouped(tally->redelivered_to[i]));
    }
    fflush(stdout);
}

static void print_line(struct show *show, const struct crew *crew, const struct tally *tally)
{
    print_time(show);
    printf("%s of %s lines, %s waiting; the workers hold", grouped(tally->lines), grouped(tally->expected),
           grouped(crew->lines.queued));
    for (unsigned i = 0; i < WORKERS; i++)
        if (crew->workers[i].state == KILLED)
            printf(" -");
        else
            printf(" %s%s", grouped(crew->workers[i].held),
                   crew->workers[i].state == STOPPED ? " (stopped)" : "");
    putchar('\n');
    fflush(stdout);
}

void show_progress(struct show *show, struct crew *crew, const struct tally *tally)
{
    int64_t now = now_ns();

    if (now < show->next_ns)
        return;
    show->next_ns = now + (show->terminal ? TABLE_EVERY_NS : LINE_EVERY_NS);
    crew_look(crew);
    if (show->terminal)
        draw_table(show, crew, tally);
    else
        print_line(show, crew, tally);
}
