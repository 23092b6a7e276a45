/* SPDX-License-Identifier: Apache-2.0 */
/* What `ginnel bench spawn` and `ginnel bench pipeline` start. */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#define SPAWN_PROGRAM "/bin/true"

#endif
