/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a job that does not end, and ends it with all that it started, wherever that went. */
#include <ginnel/ginnel.h>
#include <stdio.h>
#include <unistd.h>

static char shell[] = "sh", command[] = "-c";
static char work[] = "sleep 1000 & setsid sleep 1000 & echo; wait"; /* one of them in a session of its own */

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, gnl_error_detail());
    return 1;
}

int main(void)
{
    struct gnl_fate fates[16];
    struct gnl_exit end;
    gnl_process *job;
    int output, to, escaped = 0;
    char ready;

    if (gnl_pipe(&output, &to) < 0)
        return fail("pipe");
    struct gnl_spawn_options options = { .standard = { { GNL_NULL, 0 }, { GNL_FD, to } },
                                         .tree = 1,
                                         .die_with_parent = 1 }; /* should this program be killed */
    if (gnl_spawn(&job, (char *[]){ shell, command, work, NULL }, &options) < 0)
        return fail("start");
    close(to);
    if (read(output, &ready, 1) != 1) /* both are on their way */
        return fail("the job");
    if (gnl_process_wait(job, &end, gnl_ms(100)) < 0)
        printf("the job ran on; ");
    if (gnl_process_terminate(job, gnl_s(5), &end) < 0)
        return fail("end");
    ssize_t count = gnl_process_fates(job, fates, 16);
    for (ssize_t i = 0; i < count; i++)
        escaped += fates[i].kind == GNL_FATE_ESCAPED;
    printf("it was ended: %zd of its processes, %s escaped\n", count, escaped ? "some" : "none");
    gnl_process_free(job);
    close(output);
    return 0;
}
