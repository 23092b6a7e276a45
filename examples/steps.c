/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shell does for `ls | grep foo`, step by step: pipe, fork, dup2, close, exec, wait; each is said
 * before it is done. Then the same with the library.
 */
#include <ginnel/ginnel.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int terminal; /* a copy of standard output, for who has made another thing of its own */

__attribute__((format(printf, 2, 3))) static void say(const char *who, const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dprintf(terminal, "%-7s %s\n", who, text);
}

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

/* In the child: one end becomes a standard stream, and both ends are closed. Does not return. */
static void become(char *const argv[], int end, int standard, const int ends[2])
{
    say(argv[0], "dup2(%s end, %d): that is its standard %s now", standard ? "writing" : "reading", standard,
        standard ? "output" : "input");
    if (dup2(end, standard) < 0)
        fail("dup2");
    say(argv[0], "close(both ends): it has the copy");
    close(ends[0]);
    close(ends[1]);
    say(argv[0], "exec(%s): another program, with the same descriptors", argv[0]);
    execvp(argv[0], argv);
    fail(argv[0]);
}

static pid_t start(char *const argv[], int end, int standard, const int ends[2])
{
    int executed[2]; /* closed by exec: only so that what is said here is in order */
    char none;

    if (pipe2(executed, O_CLOEXEC) < 0)
        fail("pipe2");
    say("shell", "fork(): a child that will be %s", argv[0]);
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        become(argv, end, standard, ends);
    close(executed[1]);
    if (read(executed[0], &none, 1) != 0)
        fail("read");
    close(executed[0]);
    return child;
}

static void by_hand(void)
{
    static char ls[] = "ls", grep[] = "grep", foo[] = "foo";
    int ends[2], ls_status, grep_status = 0;

    say("shell", "pipe(): a reading end and a writing end");
    if (pipe(ends) < 0)
        fail("pipe");
    pid_t first = start((char *[]){ ls, NULL }, ends[1], STDOUT_FILENO, ends);
    pid_t second = start((char *[]){ grep, foo, NULL }, ends[0], STDIN_FILENO, ends);
    say("shell", "close(both ends): with a writing end open here, grep would never see the end");
    close(ends[0]);
    close(ends[1]);
    if (waitpid(first, &ls_status, 0) < 0 || waitpid(second, &grep_status, 0) < 0)
        fail("waitpid");
    say("shell", "wait(ls): exited with %d", WEXITSTATUS(ls_status));
    say("shell", "wait(grep): exited with %d", WEXITSTATUS(grep_status));
}

static int by_library(void)
{
    gnl_pipeline *pipeline;
    struct gnl_exit ends[2];

    if (gnl_pipeline_parse(&pipeline, "ls | grep foo") < 0 || gnl_pipeline_start(pipeline, NULL) < 0 ||
        gnl_pipeline_wait(pipeline, ends, 2, GNL_FOREVER) < 0) {
        fprintf(stderr, "%s\n", gnl_error_detail());
        return 1;
    }
    say("library", "ls exited with %d, grep with %d", ends[0].code, ends[1].code);
    gnl_pipeline_free(pipeline);
    return 0;
}

/* A directory with something to find, which is left empty. */
int main(void)
{
    static const char *const names[] = { "bar.txt", "food.txt", "foo.txt" };
    char directory[] = "/tmp/ginnel-steps-XXXXXX";

    terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (terminal < 0 || !mkdtemp(directory) || chdir(directory) < 0)
        fail("a directory");
    for (unsigned i = 0; i < 3; i++)
        close(open(names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    by_hand();
    int result = by_library();
    for (unsigned i = 0; i < 3; i++)
        unlink(names[i]);
    rmdir(directory);
    return result;
}
