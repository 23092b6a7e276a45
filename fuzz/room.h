/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target uses: a runtime directory of its own, the input read piece by piece, and limits
 * that a call of the library must keep. What breaks one ends the process, and libFuzzer keeps the input.
 */
#ifndef FUZZ_ROOM_H
#define FUZZ_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The runtime directory of this process ($GINNEL_DIR), made at the first call and emptied at exit. */
const char *room(void);

/* The file of that name there, opened; -1. */
int room_open(const char *name, int flags);

/* Removes that file. */
void room_remove(const char *name);

/* The input, from its beginning. At its end: zeros. */
struct input {
    const uint8_t *data;
    size_t size;
};
bool input_ended(const struct input *input);
uint64_t input_number(struct input *input, unsigned bytes);

/* A number as a hostile process would choose: small mostly, or at an end, within 4 steps from `at`. */
struct input_end {
    uint64_t at, step;
};
#define INPUT_ENDS 3
uint64_t input_some_number(struct input *input, const struct input_end ends[INPUT_ENDS]);

/* Says what is wrong, and ends the process. */
__attribute__((format(printf, 1, 2), noreturn)) void wrong(const char *format, ...);
#define must(condition)                                                 \
    do {                                                                \
        if (!(condition))                                               \
            wrong("%s:%d: not so: %s", __FILE__, __LINE__, #condition); \
    } while (0)

/*
 * A call of the library begins, and has ended with that result. It took its timeout and a little more, of
 * this thread's own time as well as of the clock's (a busy machine may stop us); an error is one of those
 * that the manual has.
 */
void call_begins(const char *what, int64_t timeout);
void call_ended(int64_t result);

#endif
