/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/figures.h"
#include "bench/machine.h"
#include "bench/private.h"

#define ROUNDS_DEFAULT 5
#define ROUNDS_QUICK   1

/* Where the programs are, seen from the tool: in the build tree, and installed. */
static const char *const places[] = { "../bench/peers", BENCH_PEERS_INSTALLED };

static const struct peers_work works[] = {
    { "latency_busy", "64 B, one way, both sides busy", "busy", 64, 1 },
    { "latency_asleep", "64 B, one way, receiver asleep", "asleep", 64, 1 },
    { "stream_64", "64 B, one sender, one receiver", "stream", 64, 1 },
    { "stream_64_2to1", "64 B, two senders, one receiver", "stream", 64, 2 },
    { "stream_1k", "1 KiB, one sender, one receiver", "stream", 1024, 1 },
    { "stream_1k_2to1", "1 KiB, two senders, one receiver", "stream", 1024, 2 },
    { "stream_64k", "64 KiB, one sender, one receiver", "stream", 65536, 1 },
    { "stream_64k_2to1", "64 KiB, two senders, one receiver", "stream", 65536, 2 },
    { "stream_1m", "1 MiB, one sender, one receiver", "stream", 1048576, 1 },
    { "stream_1m_2to1", "1 MiB, two senders, one receiver", "stream", 1048576, 2 },
};

static const struct contender contenders[] = {
    [REFERENCE] = { "ginnel", "peer-ginnel", "Ginnel", true },
    { "ginnel-in-place", "peer-ginnel", "Ginnel, in place", true },
    { "ginnel-unix", "peer-ginnel", "Ginnel, unix:", true },
    { "ginnel-unix-many", "peer-ginnel", "Ginnel, unix: by 64", true },
    { "ginnel-tcp", "peer-ginnel", "Ginnel, tcp:", true },
    { "ginnel-tcp-many", "peer-ginnel", "Ginnel, tcp: by 64", true },
    { "pipe", "peer-kernel", "pipe", false },
    { "fifo", "peer-kernel", "FIFO", false },
    { "unix-stream", "peer-kernel", "UNIX stream", false },
    { "unix-seqpacket", "peer-kernel", "UNIX seqpacket", false },
    { "tcp", "peer-kernel", "TCP, loopback", false },
    { "posix-mq", "peer-kernel", "POSIX mq", false },
    { "sysv-msg", "peer-kernel", "System V msg", false },
    { "zeromq", "peer-zeromq", "ZeroMQ, ipc", false },
    { "zeromq-tcp", "peer-zeromq", "ZeroMQ, TCP", false },
    { "nng", "peer-nng", "NNG, ipc", false },
    { "nng-tcp", "peer-nng", "NNG, TCP", false },
    { "nanomsg", "peer-nanomsg", "nanomsg, ipc", false },
    { "boost", "peer-boost", "boost message_queue", false },
    { "iceoryx", "peer-iceoryx", "iceoryx 2", false },
    { "ck-ring-spsc", "peer-ck", "ck_ring, SPSC", false },
    { "ck-ring-mpsc", "peer-ck", "ck_ring, MPSC", false },
};

_Static_assert(sizeof works / sizeof works[0] <= PEERS_WORKS_MAX, "room for works");
_Static_assert(sizeof contenders / sizeof contenders[0] <= CONTENDERS_MAX, "room for contenders");

/* ---- a program ---- */

static volatile sig_atomic_t interrupted;
static volatile pid_t running;

/* The program tidies up and ends; then so do we. */
static void on_signal(int signo)
{
    int error = errno;

    interrupted = signo;
    if (running > 0)
        kill(running, SIGTERM);
    errno = error;
}

static void catch_signals(void)
{
    static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action;

    for (unsigned i = 0; i < sizeof caught / sizeof caught[0]; i++)
        if (sigaction(caught[i], NULL, &action) == 0 && action.sa_handler == SIG_DFL)
            sigaction(caught[i], &(struct sigaction){ .sa_handler = on_signal }, NULL);
}

bool peers_find(const char *program, char path[4096])
{
    char self[2048];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (length < 0)
        return false;
    self[length] = '\0';
    const char *home = dirname(self);
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, 4096, "%s%s%s/%s", places[i][0] == '/' ? "" : home, places[i][0] == '/' ? "" : "/",
                 places[i], program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static pid_t start(const char *path, const struct contender *contender, const struct peers_work *work,
                   bool quick, int output)
{
    char size[16], senders[16];

    snprintf(size, sizeof size, "%u", work->size);
    snprintf(senders, sizeof senders, "%u", work->senders);
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        dup2(output, STDOUT_FILENO);
        execl(path, contender->program, contender->name, work->pattern, size, senders,
              quick ? "3000000" : "20000000", quick ? "15000000" : "120000000", (char *)NULL);
        _exit(127);
    }
    running = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Reads the one line that a program says, to its end. */
static void listen_to(int input, char *line, size_t size)
{
    size_t length = 0;

    for (;;) {
        ssize_t got = read(input, line + length, size - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static enum outcome_state understand(const char *line, int status, struct outcome *outcome, unsigned round)
{
    unsigned long long sent, received;

    /* 127: its library is not there any more, or it has just been uninstalled. */
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return MISSING;
    if (status != 0)
        return FAILED;
    if (sscanf(line, "measured %lf %lf %llu %llu", &outcome->ns[round], &outcome->p99_ns[round], &sent,
               &received) == 4) {
        outcome->sent += sent;
        outcome->received += received;
        return MEASURED;
    }
    if (strncmp(line, "cannot ", 7) != 0)
        return FAILED;
    snprintf(outcome->why, sizeof outcome->why, "%.199s", line + 7);
    return CANNOT;
}

static enum outcome_state measure_one(const struct peers_report *report, const struct peers_work *work,
                                      const struct contender *contender, struct outcome *outcome,
                                      unsigned round)
{
    char path[4096], line[512];
    int ends[2], status = 0;

    if (!peers_find(contender->program, path))
        return MISSING;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return FAILED;
    pid_t pid = start(path, contender, work, report->quick, ends[1]);
    close(ends[1]);
    listen_to(ends[0], line, sizeof line);
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    running = 0;
    return pid > 0 ? understand(line, status, outcome, round) : FAILED;
}

/* ---- the rounds ---- */

/* Marks what is to be measured: what has the name, and Ginnel wherever a peer is. False: nothing has it. */
static bool choose(struct peers_report *report, const char *only)
{
    bool any = false;

    for (unsigned i = 0; i < report->work_count; i++)
        for (unsigned j = 0; j < report->contender_count; j++)
            if (!only || strstr(works[i].name, only) || strstr(contenders[j].name, only)) {
                report->outcomes[i][j].state = MEASURED;
                report->outcomes[i][REFERENCE].state = MEASURED;
                any = true;
            }
    return any;
}

/* All contenders do a work right after each other, round by round: what disturbs the machine disturbs all. */
static bool measure(struct peers_report *report)
{
    bool well = true;
    char name[64];

    for (unsigned round = 0; round < report->rounds; round++)
        for (unsigned i = 0; i < report->work_count; i++)
            for (unsigned j = 0; j < report->contender_count; j++) {
                struct outcome *outcome = &report->outcomes[i][j];
                if (outcome->state != MEASURED)
                    continue;
                snprintf(name, sizeof name, "%s, %s", works[i].name, contenders[j].name);
                private_progress(round, report->rounds, name);
                outcome->state = measure_one(report, &works[i], &contenders[j], outcome, round);
                if (interrupted)
                    return false;
                if (outcome->state == FAILED) {
                    fprintf(stderr, "ginnel bench: while measuring %s, %s\n", works[i].name,
                            contenders[j].name);
                    well = false;
                }
            }
    return well;
}

static bool save(const struct peers_report *report, const char *directory)
{
    FILE *file = figures_create(directory, "peers.json");

    if (!file)
        return false;
    peers_json(file, report);
    peers_charts(report, directory);
    return figures_finish(file, "peers.json");
}

int bench_peers(const struct bench_request *request)
{
    static struct peers_report report = { .works = works,
                                          .contenders = contenders,
                                          .work_count = sizeof works / sizeof works[0],
                                          .contender_count = sizeof contenders / sizeof contenders[0] };

    report.quick = request->quick;
    report.rounds = request->rounds > 0 ? request->rounds : request->quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
    if (!choose(&report, request->only)) {
        fprintf(stderr, "ginnel bench: nothing that is measured has '%s' in its name\n", request->only);
        return 2;
    }
    if (private_real_time())
        return 1;
    machine_look();
    catch_signals();
    bool well = measure(&report);
    private_progress(0, 0, NULL);
    if (interrupted) {
        signal(interrupted, SIG_DFL);
        raise(interrupted);
    }
    if (request->json)
        peers_json(stdout, &report);
    else
        peers_table(&report);
    if (request->save && !save(&report, request->save))
        well = false;
    return well ? 0 : 1;
}
