/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel rm: removes names. One that cannot be removed does not keep the others.
 */
#include <ginnel/ginnel.h>

#include "arguments.h"
#include "commands.h"

static const struct option options[] = { { 0 } };

static const struct usage usage = {
    .command = "rm",
    .operands = "ADDRESS...",
    .text =
        "Removes mailboxes and segments. Who uses a mailbox gets an error from then on; its messages are\n"
        "lost. Who has a segment attached goes on.\n",
    .options = options,
};

int run_rm(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status = EXIT_OK;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count == 0)
        return usage_error("rm", "no ADDRESS given");
    if (!addresses_good("rm", arguments.operands, arguments.count))
        return EXIT_USAGE;
    for (int i = 0; i < arguments.count; i++) {
        int result = gnl_remove(arguments.operands[i]);
        if (result < 0)
            status = failed(result);
    }
    return status;
}
