/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No system call per message while both sides are busy, as strace counts. argv[1] is the program busy.
 */
#include "helpers.h"

#include <string.h>
#include <sys/wait.h>

#define CALLS_MAX 2000

static const char *busy;

/* The number in the line "total" of strace -c's table; -1: there is none. */
static long read_total(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256];
    long calls = -1;

    while (file && fgets(line, sizeof line, file))
        if (strstr(line, "total"))
            sscanf(line, "%*f %*f %*d %ld", &calls);
    if (file)
        fclose(file);
    return calls;
}

static int run_under_strace(void *context)
{
    const char *const *arguments = context;

    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* that needs ptrace for itself */
    execlp("strace", "strace", "-f", "-c", "-o", arguments[0], arguments[1], (char *)NULL);
    return 127;
}

static bool can_trace(void)
{
    const char *arguments[] = { "/dev/null", "/bin/true" };
    pid_t child = support_fork(run_under_strace, arguments);
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

START_TEST(million_messages_take_fewer_than_two_thousand_system_calls)
{
    char path[4096];

    if (!can_trace())
        skip("strace is not there, or may not trace");
    snprintf(path, sizeof path, "%s", path_in_directory("strace"));
    const char *arguments[] = { path, busy };
    support_expect_exit(support_fork(run_under_strace, arguments), 0);
    long calls = read_total(path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_msg(calls > 0 && calls < CALLS_MAX, "%ld system calls", calls);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("calls");
    TCase *calls = support_case(suite, "calls");

    if (argc != 2)
        return 2;
    busy = argv[1];
    tcase_add_test(calls, million_messages_take_fewer_than_two_thousand_system_calls);
    return support_run(suite);
}
