/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands: a file each, and a row each in ginnel.c. A run function gets its own arguments,
 * without the words "ginnel send" before them, and returns the exit status (failure.h).
 */
#ifndef TOOL_COMMANDS_H
#define TOOL_COMMANDS_H

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

int run_send(int argc, char **argv);
int run_recv(int argc, char **argv);
int run_work(int argc, char **argv);
int run_serve(int argc, char **argv);
int run_run(int argc, char **argv);
int run_ls(int argc, char **argv);
int run_stat(int argc, char **argv);
int run_rm(int argc, char **argv);
int run_segment(int argc, char **argv);
int run_kill(int argc, char **argv);
int run_doctor(int argc, char **argv);
int run_bench(int argc, char **argv);

#endif
