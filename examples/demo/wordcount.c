/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the words of a text with five other processes, of which it stops one and kills one, and
 * still counts every line once. `make demo` runs it (see the script `demo` beside it).
 *
 * This is the collector's part: it starts the others, adds up what they counted, does its worst to
 * them, and says at the end what came of it. Ends with 0 only if nothing was lost, what the killed
 * one held was delivered again, and nothing was taken from the stopped one.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"
#include "drama.h"
#include "show.h"
#include "tally.h"

#define LOOK_EVERY_NS ((int64_t)50000000)
#define STALLED_NS    ((int64_t)20000000000) /* so long without anything new: it failed */
#define A_MOMENT      gnl_ms(20)

volatile sig_atomic_t asked_to_end;

struct run {
    struct text text;
    struct crew crew;
    struct tally tally;
    struct show show;
    struct drama drama;
    gnl_port *counts;
    int64_t counted_ns; /* when the last line was counted */
    int64_t idle_ns;    /* of the time before that: the collector waited longer than a moment */
    bool failed;
};

static struct run run;
static pid_t collector;

static void end(int number)
{
    asked_to_end = number;
}

/* However this process ends by itself. */
static void clean_up(void)
{
    if (getpid() != collector)
        return;
    crew_kill_all(&run.crew);
    gnl_remove(LINES);
    gnl_remove(COUNTS);
}

static bool all_done(void)
{
    if (run.tally.lines < run.text.lines || (run.text.lines > 0 && !drama_over(&run.drama)))
        return false;
    crew_look(&run.crew);
    return run.crew.lines.queued == 0 && run.crew.lines.held == 0;
}

static void receive(void)
{
    uint64_t received = run.tally.received, lines = run.tally.lines;
    int64_t before = now_ns();

    tally_receive(&run.tally, run.counts, drama_next(&run.drama), A_MOMENT);
    if (run.tally.lines > lines)
        run.counted_ns = now_ns();
    else if (run.tally.received == received && lines < run.text.lines)
        run.idle_ns += now_ns() - before;
}

/* Now and then: has a process failed, has nothing new come for long? */
static bool goes_well(int64_t news_ns)
{
    static int64_t looked_ns;
    int64_t now = now_ns();

    if (now - looked_ns < LOOK_EVERY_NS)
        return true;
    looked_ns = now;
    if (crew_healthy(&run.crew) && now - news_ns < STALLED_NS)
        return true;
    show_event(&run.show, "it went wrong: %s",
               crew_healthy(&run.crew) ? "nothing new for a long time" : "a process failed");
    return false;
}

static void collect(void)
{
    int64_t news_ns = now_ns();
    uint64_t received = 0;

    while (!asked_to_end && !run.failed && !all_done()) {
        if (drama_play(&run.drama, &run.crew, &run.tally, &run.show))
            receive();
        else
            nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
        show_progress(&run.show, &run.crew, &run.tally);
        if (run.tally.received != received || (run.drama.stopped && !run.drama.continued))
            news_ns = now_ns();
        received = run.tally.received;
        run.failed = !goes_well(news_ns);
    }
}

/* Nobody is left who could still send a count: what is there now is all. */
static void finish(void)
{
    uint64_t before;

    if (!crew_end(&run.crew))
        run.failed = true;
    do {
        before = run.tally.received;
        tally_receive(&run.tally, run.counts, UINT64_MAX, GNL_NOWAIT);
    } while (run.tally.received > before);
    crew_look(&run.crew);
    if (run.crew.lines.queued > 0 || run.crew.lines.held > 0 || run.drama.robbed)
        run.failed = true;
}

static void print_figures(void)
{
    const struct tally *tally = &run.tally;
    uint64_t messages = tally->expected + tally->received;
    double seconds = (double)(run.counted_ns - run.show.start_ns) / 1e9;
    double idle = (double)run.idle_ns / 1e9;

    if (run.text.lines == 0)
        seconds = 0;
    printf("\n%-20s %12s\n", "lines", grouped(tally->lines));
    printf("%-20s %12.2f   of which %.2f with nothing to receive\n", "seconds", seconds, idle);
    printf("%-20s %12s   each line, and each count of one\n", "messages", grouped(messages));
    printf("%-20s %12s   %s lines a second\n", "messages per second",
           grouped(seconds > idle ? (uint64_t)((double)messages / (seconds - idle)) : 0),
           grouped(seconds > idle ? (uint64_t)((double)tally->lines / (seconds - idle)) : 0));
    printf("%-20s %12s   lines that the killed worker held: %s\n", "redelivered", grouped(tally->redelivered),
           grouped(run.drama.killed ? run.drama.killed->held : 0));
    printf("%-20s %12s   told apart by the line's number\n", "counted twice", grouped(tally->twice));
    printf("%-20s %12s\n", "lost", grouped(tally->expected - tally->lines));
    fflush(stdout);
}

static void write_result(const char *path)
{
    const struct tally *tally = &run.tally;
    FILE *file = fopen(path, "w");

    if (!file)
        give_up(path, strerror(errno));
    fprintf(file, "%llu %llu %llu %llu\n", (unsigned long long)tally->newlines,
            (unsigned long long)tally->words, (unsigned long long)tally->bytes,
            (unsigned long long)(tally->expected + tally->received));
    if (fclose(file) != 0)
        give_up(path, strerror(errno));
}

static void start(bool unprintable_words)
{
    struct sigaction action = { .sa_handler = end };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    collector = getpid();
    atexit(clean_up);
    drama_init(&run.drama, run.text.lines);
    tally_init(&run.tally, run.text.lines);
    printf("%s lines, %s bytes, the longest line %s bytes\n\n", grouped(run.text.lines),
           grouped(run.text.size), grouped(run.text.longest));
    show_start(&run.show);
    crew_start(&run.crew, &run.text, unprintable_words);
    run.counts = open_counts(&run.text, GNL_RECV_ONLY);
}

int main(int argc, char **argv)
{
    const char *result = NULL;
    bool unprintable_words = false;
    int option;

    while ((option = getopt(argc, argv, "uo:")) != -1)
        if (option == 'u') /* bytes that don't print are parts of words: some kinds of wc say so */
            unprintable_words = true;
        else if (option == 'o')
            result = optarg;
        else
            optind = argc + 1;
    if (optind != argc - 1) {
        fputs("usage: wordcount [-u] [-o RESULT] FILE\n", stderr);
        return 2;
    }
    int opened = text_open(&run.text, argv[optind]);
    if (opened < 0) {
        fprintf(stderr, "%s: %s\n", argv[optind],
                opened == -EINVAL ? "not a regular file" : strerror(-opened));
        return 1;
    }
    if (run.text.longest > GNL_MESSAGE_MAX_LIMIT - sizeof(struct line)) {
        fprintf(stderr, "%s: a line of %zu bytes is more than a message can take\n", argv[optind],
                run.text.longest);
        return 1;
    }
    start(unprintable_words);
    collect();
    show_end(&run.show);
    if (asked_to_end) {
        fputs("interrupted\n", stderr);
        return 128 + asked_to_end;
    }
    finish();
    print_figures();
    if (result)
        write_result(result);
    gnl_close(run.counts);
    bool lost = run.tally.lines < run.text.lines;
    tally_fini(&run.tally);
    return run.failed || lost ? 1 : 0;
}
