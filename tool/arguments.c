/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <ginnel/errors.h>
#include <ginnel/names.h>

#define HELP_COLUMN 24

enum exit_status usage_error(const char *command, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    complain("%s; see ginnel%s%s --help", text, command ? " " : "", command ? command : "");
    return EXIT_USAGE;
}

bool addresses_good(const char *command, char *const *addresses, int count)
{
    for (int i = 0; i < count; i++)
        if (gnl_address_check(addresses[i]) < 0) {
            usage_error(command, "%s", failure_detail());
            return false;
        }
    return true;
}

bool parse_text(const char *text, void *value)
{
    *(const char **)value = text;
    return true;
}

static void print_option(const char *name, const char *argument, const char *help)
{
    char left[64];

    snprintf(left, sizeof left, "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
    printf("  %-*s %s\n", HELP_COLUMN, left, help);
}

static enum exit_status print_help(const struct usage *usage)
{
    printf("Usage: ginnel %s [OPTION...] %s\n\n%s\n", usage->command, usage->operands, usage->text);
    for (const struct option *option = usage->options; option->name; option++)
        print_option(option->name, option->argument, option->help);
    print_option("help", NULL, "print this");
    return finish_output(EXIT_OK);
}

static const struct option *find(const struct usage *usage, const char *name, size_t length)
{
    for (const struct option *option = usage->options; option->name; option++)
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

/* One option at argv[0]. Returns how many words it took; 0 after a complaint. */
static int read_option(const struct usage *usage, int argc, char **argv)
{
    const char *word = argv[0];
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct option *option = strncmp(word, "--", 2) == 0 ? find(usage, word + 2, length - 2) : NULL;

    if (!option) {
        usage_error(usage->command, "unknown option '%.*s'", (int)length, word);
        return 0;
    }
    if (!option->argument) {
        if (equals) {
            usage_error(usage->command, "option --%s takes no argument", option->name);
            return 0;
        }
        *(bool *)option->value = true;
        return 1;
    }
    if (!equals && argc < 2) {
        usage_error(usage->command, "option --%s needs an argument: %s", option->name, option->expected);
        return 0;
    }
    const char *argument = equals ? equals + 1 : argv[1];
    if (!option->parse(argument, option->value)) {
        usage_error(usage->command, "option --%s: '%s' is not %s", option->name, argument, option->expected);
        return 0;
    }
    return equals ? 1 : 2;
}

bool arguments_parse(struct arguments *arguments, const struct usage *usage, int argc, char **argv,
                     enum exit_status *status)
{
    *arguments = (struct arguments){ .operands = argv };
    bool options_end = false;

    for (int i = 0; i < argc;) {
        char *word = argv[i];
        if (!options_end && strcmp(word, "--") == 0) {
            i++;
            options_end = true;
            if (usage->takes_command) {
                arguments->command = argv + i;
                break;
            }
            continue;
        }
        if (options_end || word[0] != '-' || word[1] == '\0') {
            argv[arguments->count++] = word;
            i++;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *status = print_help(usage);
            return false;
        }
        int words = read_option(usage, argc - i, argv + i);
        if (words == 0) {
            *status = EXIT_USAGE;
            return false;
        }
        i += words;
    }
    return true;
}
