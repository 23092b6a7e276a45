/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile process does during a call of the honest one, in the same process. The library is built
 * so that each load calls us first (-fsanitize-coverage=trace-loads): a load from a shared mapping is a
 * moment at which a hostile process may have written, so each race between it and the library can be had,
 * and had again.
 */
#ifndef FUZZ_MOMENTS_H
#define FUZZ_MOMENTS_H

#include "fuzz/room.h"

struct moments_target {
    /* A number, an offset into the memory, a word to be put there: of the input. */
    uint64_t (*some_number)(struct input *input);
    uint64_t (*some_offset)(struct input *input);
    uint64_t (*some_value)(struct input *input);
    void (*put)(uint64_t offset, uint64_t value);
    void *(*attackable)(const void *address); /* where the hostile one can write what is loaded there; NULL */
};

/* What happens during the next call: taken from the input now. */
void moments_arm(const struct moments_target *target, struct input *input);
void moments_disarm(void);

#endif
