/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpipeline, starting a program and waiting for it, for `ginnel bench spawn`.
 *
 *     peer-pipeline COUNT TOUCHED_BYTES
 *
 * writes the median time in nanoseconds, a double, to standard output.
 */
#include <pipeline.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/spawn.h"

static bool once(void)
{
    pipeline *line = pipeline_new_command_args(SPAWN_PROGRAM, (void *)NULL);

    pipeline_start(line);
    int status = pipeline_wait(line);
    pipeline_free(line);
    return status == 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    double ns = spawn_measure(once, (unsigned)atoi(argv[1]), (size_t)strtoull(argv[2], NULL, 10));
    return ns < 0 || write(STDOUT_FILENO, &ns, sizeof ns) != sizeof ns;
}
