/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/peer.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/crew.h"
#include "bench/machine.h"
#include "bench/peers/hands.h"

#define PATIENCE 100 /* seconds of the whole program: the crew's own bounds are closer */

static const struct peer *peer;
static struct peer_work work;

/* ---- for peers ---- */

static char said[300], directory[64];

enum peer_result peer_say(enum peer_result result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(said, sizeof said, format, arguments);
    va_end(arguments);
    return result;
}

const char *peer_said(void)
{
    return said;
}

enum peer_result peer_failed(const char *what, int error)
{
    return peer_say(PEER_FAILED, "%s: %s", what, strerror(error));
}

const char *peer_channel_name(enum peer_channel channel)
{
    static char names[PEER_CHANNELS][80];

    snprintf(names[channel], sizeof names[channel], "%s-%s", strrchr(directory, '/') + 1,
             channel == PEER_THERE ? "there" : "back");
    return names[channel];
}

const char *peer_directory(void)
{
    return directory;
}

const char *peer_ipc_address(enum peer_channel channel)
{
    static char addresses[PEER_CHANNELS][200];

    snprintf(addresses[channel], sizeof addresses[channel], "ipc://%s/%s", directory,
             peer_channel_name(channel));
    return addresses[channel];
}

static unsigned ports[PEER_CHANNELS];

/* Both are bound before either is let go, so that they differ. */
enum peer_result peer_choose_ports(void)
{
    int sockets[PEER_CHANNELS];
    enum peer_result result = PEER_OK;

    for (unsigned i = 0; i < PEER_CHANNELS; i++) {
        struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || bind(sockets[i], (struct sockaddr *)&name, sizeof name) < 0 ||
            getsockname(sockets[i], (struct sockaddr *)&name, &(socklen_t){ sizeof name }) < 0)
            result = peer_failed("a free port", errno);
        ports[i] = ntohs(name.sin_port);
    }
    for (unsigned i = 0; i < PEER_CHANNELS; i++)
        if (sockets[i] >= 0)
            close(sockets[i]);
    return result;
}

unsigned peer_port(enum peer_channel channel)
{
    return ports[channel];
}

const char *peer_tcp_address(enum peer_channel channel)
{
    static char addresses[PEER_CHANNELS][40];

    snprintf(addresses[channel], sizeof addresses[channel], "tcp://127.0.0.1:%u", ports[channel]);
    return addresses[channel];
}

/* ---- the program ---- */

/* A few hundred KiB to 16 MiB on their way: neither side waits for a hiccup of the other. */
static unsigned capacity_for(size_t size)
{
    return size <= 1024 ? 1024 : size <= 65536 ? 64 : 16;
}

static bool read_arguments(int argc, char **argv, struct crew_time *time)
{
    static const char *const patterns[] = {
        [PEER_BUSY] = "busy", [PEER_ASLEEP] = "asleep", [PEER_STREAM] = "stream"
    };

    if (argc != 7)
        return false;
    for (unsigned i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strcmp(argv[2], patterns[i]) == 0) {
            work.pattern = (enum peer_pattern)i;
            work.size = strtoul(argv[3], NULL, 10) / HANDS_LINE * HANDS_LINE;
            work.senders = (unsigned)strtoul(argv[4], NULL, 10);
            work.capacity = capacity_for(work.size);
            work.waits = work.pattern == PEER_BUSY     ? !peer->polls_busy
                         : work.pattern == PEER_STREAM ? !peer->polls_stream
                                                       : true;
            time->warm_ns = strtol(argv[5], NULL, 10);
            time->measure_ns = strtol(argv[6], NULL, 10);
            return work.size >= HANDS_LINE && work.senders >= 1 && work.senders <= PEER_SENDERS_MAX &&
                   (work.senders == 1 || work.pattern == PEER_STREAM);
        }
    return false;
}

static void remove_directory(void)
{
    char path[400];
    struct dirent *entry;
    DIR *list = opendir(directory);

    while (list && (entry = readdir(list)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (list)
        closedir(list);
    rmdir(directory);
}

static enum peer_result run(struct crew_area *area, struct crew_time time, struct crew_result *result)
{
    struct crew_part parts[HANDS_MAX];
    struct crew_task task = { .size = hands_buffer(work.size),
                              .lap = work.pattern == PEER_STREAM ? 2 * work.capacity : 16 };

    if (peer->never_sleeps && work.pattern == PEER_ASLEEP)
        return peer_say(PEER_CANNOT, "cannot sleep: it has no call that waits");
    enum peer_result made = peer->setup ? peer->setup(&work) : PEER_OK;
    if (made != PEER_OK)
        return made;
    hands_take(peer, &work, parts);
    said[0] = '\0';
    return crew_run(area, parts, work.senders + 1, &task, time, result) == 0 ? PEER_OK : PEER_FAILED;
}

static int measure(struct crew_time time)
{
    struct crew_area *area = crew_area_new();
    struct crew_result result = { 0 };
    uint64_t sent = 0;

    snprintf(directory, sizeof directory, "/dev/shm/ginnel-peer-%d-XXXXXX", (int)getpid());
    if (!area || !mkdtemp(directory)) {
        fprintf(stderr, "ginnel bench: %s: %s\n", directory, strerror(errno));
        return 1;
    }
    enum peer_result outcome = run(area, time, &result);
    if (peer->teardown)
        peer->teardown(&work);
    remove_directory();
    if (outcome == PEER_CANNOT)
        printf("cannot %s\n", said);
    if (outcome == PEER_FAILED && said[0] != '\0' && !crew_interrupted())
        fprintf(stderr, "ginnel bench: %s\n", said);
    for (unsigned i = 0; i < work.senders + 1; i++)
        sent += area->seats[i].sent;
    if (outcome == PEER_OK)
        printf("measured %.6g %.6g %llu %llu\n", result.ns, result.p99_ns, (unsigned long long)sent,
               (unsigned long long)area->seats[1].received);
    return outcome == PEER_FAILED;
}

int main(int argc, char **argv)
{
    struct crew_time time = { .measure_operations = 16 };

    for (unsigned i = 0; peer_list[i] && argc > 1; i++)
        if (strcmp(peer_list[i]->name, argv[1]) == 0)
            peer = peer_list[i];
    if (!peer || !read_arguments(argc, argv, &time)) {
        fprintf(stderr, "usage: %s NAME busy|asleep|stream SIZE SENDERS WARM_NS MEASURE_NS\n", argv[0]);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm(PATIENCE);
    machine_look();
    crew_catch_signals();
    int status = measure(time);
    if (crew_interrupted()) {
        signal(crew_interrupted(), SIG_DFL);
        raise(crew_interrupted());
    }
    return status;
}
