/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpipeline, starting programs and waiting for them, for `ginnel bench spawn` and `ginnel bench pipeline`.
 *
 *     peer-pipeline COUNT TOUCHED_BYTES STAGES
 *
 * writes the median time in nanoseconds, a double, to standard output.
 */
#include <pipeline.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/spawn.h"
#include "bench/ways.h"

static int stages;

static bool once(void)
{
    pipeline *line = pipeline_new();

    for (int i = 0; i < stages; i++)
        pipeline_command_args(line, SPAWN_PROGRAM, (void *)NULL);
    pipeline_start(line);
    int status = pipeline_wait(line);
    pipeline_free(line);
    return status == 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    stages = atoi(argv[3]);
    double ns = ways_measure(once, (unsigned)atoi(argv[1]), (size_t)strtoull(argv[2], NULL, 10));
    return ns < 0 || write(STDOUT_FILENO, &ns, sizeof ns) != sizeof ns;
}
