/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First all are stopped, each before its children are looked for: a stopped process makes no more of them,
 * and reaps none, so their numbers stay theirs. Some may have been made while it was being done, so it is
 * done again. Then they are killed.
 */
#include "process/cull.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <signal.h>

#include "process/raw.h"

#define STOPS 3

struct list {
    pid_t *found;
    int count;
};

/* Adds the numbers that stand in a file, one after another. */
GNLI_BARE static void add_from(struct list *list, const char *path)
{
    char text[512];
    pid_t number = 0;
    long length;

    long file = GNLI_RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    while ((length = GNLI_RAW(SYS_read, file, text, sizeof text)) > 0) {
        GNLI_WRITTEN(text);
        for (long i = 0; i < length; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                number = number * 10 + (text[i] - '0');
                continue;
            }
            if (number > 0 && list->count < GNLI_CULL_MAX)
                list->found[list->count++] = number;
            number = 0;
        }
    }
    GNLI_RAW(SYS_close, file);
}

/* The children of each of its threads. */
GNLI_BARE static void add_children(struct list *list, pid_t parent)
{
    char path[64], entries[1024] __attribute__((aligned(8)));
    char *end = gnli_put_text(gnli_put_number(gnli_put_text(path, "/proc/"), parent), "/task/");
    long length;

    long tasks = GNLI_RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0)
        return;
    while ((length = GNLI_RAW(SYS_getdents64, tasks, entries, sizeof entries)) > 0) {
        GNLI_WRITTEN(entries);
        for (long at = 0; at < length;) {
            const struct gnli_entry *entry = (const struct gnli_entry *)(const void *)(entries + at);
            at += entry->length;
            if (entry->name[0] == '.')
                continue;
            gnli_put_text(gnli_put_text(end, entry->name), "/children");
            add_from(list, path);
        }
    }
    GNLI_RAW(SYS_close, tasks);
}

GNLI_BARE static void signal_all(struct list *list, int signo)
{
    list->count = 0;
    add_from(list, "/proc/thread-self/children");
    for (int i = 0; i < list->count; i++) {
        GNLI_RAW(SYS_kill, list->found[i], signo);
        add_children(list, list->found[i]);
    }
}

GNLI_BARE void gnli_cull(pid_t *found)
{
    struct list list = { found, 0 };

    for (int i = 0; i < STOPS; i++)
        signal_all(&list, SIGSTOP);
    /* Nobody is asked anew: who is killed has no children any more, who is found is stopped. */
    for (int i = 0; i < list.count; i++)
        GNLI_RAW(SYS_kill, list.found[i], SIGKILL);
}
