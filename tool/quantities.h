/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people write them: counts, sizes, durations. Each reads the whole text into what
 * `value` points to and returns true; false, with nothing written, if it is nonsense or too large.
 */
#ifndef TOOL_QUANTITIES_H
#define TOOL_QUANTITIES_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits and nothing else, at most `most`. */
bool read_number(const char *text, uint64_t most, uint64_t *number);

bool parse_count(const char *text, void *value);    /* uint64_t, 1 or more */
bool parse_size(const char *text, void *value);     /* size_t, bytes, 1 or more: 512, 64K, 1M, 2G */
bool parse_duration(const char *text, void *value); /* int64_t, nanoseconds: 5us, 250ms, 4s, 2m, 1h, 0 */

/* How an error says what would have been right. */
#define A_COUNT    "a whole number, 1 or more"
#define A_SIZE     "a number of bytes such as 512, 64K or 1M"
#define A_DURATION "a duration such as 250ms, 4s or 2m"
#define A_PATIENCE "a duration above 0 such as 250ms, 4s or 2m"

#endif
