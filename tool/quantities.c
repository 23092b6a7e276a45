/* SPDX-License-Identifier: Apache-2.0 */
#include "quantities.h"

#include <stddef.h>
#include <string.h>

#define DIGITS "0123456789"

/* The number at the beginning of the text, at most `most`; what follows it goes to `rest`. */
static bool read_beginning(const char *text, uint64_t most, uint64_t *number, const char **rest)
{
    uint64_t sum = 0;
    size_t digits = strspn(text, DIGITS);

    for (size_t i = 0; i < digits; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (digit > most || sum > (most - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    *rest = text + digits;
    return digits > 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool read_with_unit(const char *text, const struct unit *units, size_t count, uint64_t most,
                           uint64_t *number)
{
    const char *rest;
    uint64_t plain;

    if (!read_beginning(text, most, &plain, &rest))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rest, units[i].name) == 0 && plain <= most / units[i].factor) {
            *number = plain * units[i].factor;
            return true;
        }
    return false;
}

bool read_number(const char *text, uint64_t most, uint64_t *number)
{
    return read_with_unit(text, &(struct unit){ "", 1 }, 1, most, number);
}

bool parse_count(const char *text, void *value)
{
    uint64_t number;

    if (!read_number(text, UINT64_MAX, &number) || number == 0)
        return false;
    *(uint64_t *)value = number;
    return true;
}

bool parse_size(const char *text, void *value)
{
    static const struct unit units[] = { { "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 } };
    uint64_t number;

    if (!read_with_unit(text, units, sizeof units / sizeof units[0], SIZE_MAX, &number) || number == 0)
        return false;
    *(size_t *)value = number;
    return true;
}

bool parse_duration(const char *text, void *value)
{
    static const struct unit units[] = {
        { "us", 1000 },
        { "ms", 1000000 },
        { "s", 1000000000 },
        { "m", UINT64_C(60) * 1000000000 },
        { "h", UINT64_C(3600) * 1000000000 },
    };
    uint64_t number;

    if (strcmp(text, "0") == 0)
        number = 0;
    else if (!read_with_unit(text, units, sizeof units / sizeof units[0], INT64_MAX, &number))
        return false;
    *(int64_t *)value = (int64_t)number;
    return true;
}
