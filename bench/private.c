/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/private.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[64];

static int make_directory(void)
{
    snprintf(directory, sizeof directory, "/dev/shm/ginnel-bench-%d-XXXXXX", (int)getpid());
    if (!mkdtemp(directory) || setenv("GINNEL_DIR", directory, 1) != 0) {
        fprintf(stderr, "ginnel bench: cannot make the directory %s: %s\n", directory, strerror(errno));
        return -1;
    }
    return 0;
}

bool private_real_time(void)
{
    int policy = sched_getscheduler(0);

    if (policy != SCHED_FIFO && policy != SCHED_RR)
        return false;
    fputs("ginnel bench: at a real-time priority its spinning processes would lock out everybody, and the "
          "one that "
          "is to stop them; use nice(1)\n",
          stderr);
    return true;
}

void private_progress(unsigned round, unsigned rounds, const char *name)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, name ? "\r\033[Kround %u of %u: %s" : "\r\033[K", round + 1, rounds, name);
}

int private_run(int (*measure)(struct crew_area *area, void *context), void *context)
{
    struct crew_area *area = crew_area_new();
    char claims[sizeof directory + sizeof "/.claims"];

    if (!area) {
        fprintf(stderr, "ginnel bench: no memory: %s\n", strerror(errno));
        return -1;
    }
    if (private_real_time())
        return -1;
    crew_catch_signals();
    if (make_directory() < 0)
        return -1;
    int result = measure(area, context);
    private_progress(0, 0, NULL);
    snprintf(claims, sizeof claims, "%s/.claims", directory);
    unlink(claims); /* direct links' */
    rmdir(directory);
    if (crew_interrupted()) {
        signal(crew_interrupted(), SIG_DFL);
        raise(crew_interrupted());
    }
    return result;
}
