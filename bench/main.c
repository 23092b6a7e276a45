/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmarks as a program of their own, for tuning without the tool: --json, --quick,
 * --rounds N, --only NAME, nothing else.
 */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct bench_request request = { 0 };

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            request.json = true;
        else if (strcmp(argv[i], "--quick") == 0)
            request.quick = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            request.only = argv[++i];
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            request.rounds = (unsigned)atoi(argv[++i]) % (BENCH_ROUNDS_MAX + 1);
        else
            return 2;
    }
    return bench_mailbox(&request);
}
