/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: a subcommand describes itself and its options in one table, from which both the
 * reading and the text of --help come.
 */
#ifndef TOOL_ARGUMENTS_H
#define TOOL_ARGUMENTS_H

#include <stdbool.h>

#include "failure.h"

struct option {
    const char *name; /* without the dashes */
    const char *
        argument; /* as --help calls it; NULL: the option has none, and `value` is a bool that becomes true */
    void *value;
    bool (*parse)(const char *text, void *value); /* of the argument; false: nonsense */
    const char *expected;                         /* what would not be nonsense */
    const char *help;
};

struct usage {
    const char *command;
    const char *operands;         /* "ADDRESS [FILE...]" */
    const char *text;             /* what it does, in lines that end in \n */
    const struct option *options; /* the last has no name */
    bool takes_command;           /* what comes after "--" is a command, not further operands */
};

struct arguments {
    char **operands;
    int count;
    char **command; /* where usage->takes_command: what came after "--", ended by NULL; NULL: no "--" */
};

/*
 * Reads the options into their values, and the rest into `arguments`. Returns true to go on; false
 * to end with *status: after --help, or after a complaint.
 */
bool arguments_parse(struct arguments *arguments, const struct usage *usage, int argc, char **argv,
                     enum exit_status *status);

/* Complains in one line that points to --help; EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) enum exit_status usage_error(const char *command, const char *format,
                                                                   ...);

/* They make sense as addresses; false after a complaint: EXIT_USAGE. Asked before anything is done. */
bool addresses_good(const char *command, char *const *addresses, int count);

/* For options whose argument is taken as it is: const char *. */
bool parse_text(const char *text, void *value);

#endif
