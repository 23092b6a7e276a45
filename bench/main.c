/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmarks as a program of their own, for tuning: the same as `ginnel bench`.
 */
#include "bench/bench.h"

int main(int argc, char **argv)
{
    return bench_run(argc, argv);
}
