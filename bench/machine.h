/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that is measured: which cores the processes go to, and what it is called.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#define MACHINE_PLACES 3

struct machine {
    char cpu[128];    /* model */
    char kernel[128]; /* name, release and architecture */
    int cores;        /* online */
    unsigned places;  /* cores in use, at most MACHINE_PLACES */
    int core[MACHINE_PLACES];
};

/* Looks around, once, in the parent: as many different cores as there are, and this process may use. */
void machine_look(void);
const struct machine *machine(void);

/* Pins the caller to a place (struct crew_part). 0, or -1 with errno. */
int machine_pin(unsigned place);

#endif
