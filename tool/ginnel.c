/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `ginnel`: the table of subcommands, and what stands before one of them. A new
 * subcommand is a file, a prototype in commands.h and a row here.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/tls.h>

#include "arguments.h"
#include "commands.h"
#include "failure.h"

static const struct command commands[] = {
    { "send", "send the lines of files, or files, as messages", run_send },
    { "recv", "write messages to standard output", run_recv },
    { "work", "run a command for each message", run_work },
    { "serve", "run a command for each who connects", run_serve },
    { "run", "run programs joined by pipes, and see inside", run_run },
    { "ls", "list what there is", run_ls },
    { "stat", "show one in full, and who uses it", run_stat },
    { "rm", "remove", run_rm },
    { "segment", "make, show, read, write, watch, remove shared memory", run_segment },
    { "kill", "end processes, or whole trees of them", run_kill },
    { "doctor", "tell what is wrong, and what to do; --clean mends", run_doctor },
    { "bench", "measure here, beside the machine's own limits", run_bench },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static enum exit_status print_help(void)
{
    puts("Usage: ginnel COMMAND [ARGUMENT...]\n\n"
         "Messages between processes, through mailboxes in shared memory, and shared memory itself.\n"
         "An ADDRESS is mailbox:NAME, pipe:NAME or segment:NAME, one of your own; with /NAME, machine-wide;\n"
         "or direct:NAME, fifo:PATH, unix:PATH, tcp:HOST:PORT or tls:HOST:PORT.\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].summary);
    puts("\n'ginnel help COMMAND' tells more; 'ginnel --version' prints the version.\n"
         "Exit status: 0 ok, 1 failed, 2 usage, 3 would block or timed out, 4 the other side is gone.");
    return finish_output(EXIT_OK);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum exit_status run(const char *name, int argc, char **argv)
{
    const struct command *command = find(name);

    if (!command)
        return usage_error(NULL, "no command '%s'", name);
    failure_speaker(command->name);
    return command->run(argc, argv);
}

/*
 * The number of a standard stream that is closed would be that of the next file that is opened: what is said,
 * or what a command writes, would go there. So it is /dev/null, in the mode that is of no use: EBADF, as
 * before.
 */
static bool open_standard(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 &&
            open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    static char help[] = "--help";

    gnl_tls_init(); /* so that the library is linked with */
    if (!open_standard())
        return EXIT_FAILED; /* and nowhere to say so */
    if (argc < 2)
        return usage_error(NULL, "which command?");
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        puts("ginnel " GINNEL_VERSION);
        return finish_output(EXIT_OK);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2))
        return print_help();
    if (strcmp(word, "help") == 0)
        return run(argv[2], 1, (char *[]){ help, NULL });
    if (word[0] == '-')
        return usage_error(NULL, "unknown option '%s'", word);
    return run(word, argc - 2, argv + 2);
}
