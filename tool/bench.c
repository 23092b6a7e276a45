/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel bench: measures here, beside the machine's own limits or the peers. The measuring is in bench/.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "bench/bench.h"
#include "commands.h"
#include "quantities.h"

static struct bench_request request;
static bool peers, scale;

static bool parse_rounds(const char *text, void *value)
{
    uint64_t rounds;

    if (!read_number(text, BENCH_ROUNDS_MAX, &rounds) || rounds == 0)
        return false;
    *(unsigned *)value = (unsigned)rounds;
    return true;
}

static const struct option options[] = {
    { "json", NULL, &request.json, NULL, NULL, "all figures, as JSON" },
    { "only", "NAME", &request.only, parse_text, "part of a name",
      "what has NAME in its name, and the limits it is held against" },
    { "peers", NULL, &peers, NULL, NULL, "beside what else there is for the same work" },
    { "quick", NULL, &request.quick, NULL, NULL, "less precise, in less than 10 seconds (with --peers 30)" },
    { "rounds", "N", &request.rounds, parse_rounds, "a number from 1 to 99",
      "how often everything is measured (5, quick 3; see the manual)" },
    { "save", "DIR", &request.save, parse_text, "a directory",
      "keep figures and charts in DIR, as JSON and SVG" },
    { "scale", NULL, &scale, NULL, NULL, "as there are more mailboxes, processes and messages" },
    { 0 },
};

static const struct usage usage = {
    .command = "bench",
    .operands = "[mailbox | direct | pipe | socket | spawn | pipeline]",
    .text = "Measures latency and throughput on this machine, beside what the machine itself can do.\n"
            "Exit status: 0 measured, whether or not the aims were reached.\n",
    .options = options,
};

static const struct {
    const char *name;
    int (*measure)(const struct bench_request *request);
} kinds[] = {
    { "mailbox", bench_mailbox }, { "direct", bench_direct }, { "pipe", bench_pipe },
    { "socket", bench_socket },   { "spawn", bench_spawn },   { "pipeline", bench_pipeline },
};

int run_bench(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count > 1)
        return usage_error("bench", "one KIND at a time, not %d", arguments.count);
    const char *name = arguments.count == 1 ? arguments.operands[0] : "mailbox";
    int (*measure)(const struct bench_request *) = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            measure = kinds[i].measure;
    if (!measure)
        return usage_error(
            "bench",
            "nothing of the kind '%s' to measure; there is: mailbox, direct, pipe, socket, spawn, pipeline",
            name);
    if (peers && scale)
        return usage_error("bench", "--peers or --scale, not both");
    /* Before the measuring: it would be a pity about the figures. */
    if (request.save) {
        int directory = -1;
        if (mkdir(request.save, 0777) == 0 || errno == EEXIST)
            directory = open(request.save, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0 || faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) < 0) {
            complain("%s: %s", request.save, strerror(errno));
            return EXIT_FAILED;
        }
        close(directory);
    }
    measure = peers ? bench_peers : scale ? bench_scale : measure;
    return finish_output((enum exit_status)measure(&request));
}
