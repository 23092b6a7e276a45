/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines that are looked at: what gnl_pipeline_sample and gnl_pipeline_sample_stages say, and when they
 * may not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "helpers.h"
#include "spawning.h"

static gnl_pipeline *pipeline;
static int gate[2], errors; /* a reading end and a writing end of a pipe; an empty file */

static void begin(void)
{
    assert_ok(gnl_pipe(&gate[0], &gate[1]));
    errors = open(path_in_directory("errors"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert(errors >= 0);
}

/* Its stages have a gate as descriptor 9, and the empty file as their standard error. */
static void start(const char *text)
{
    struct gnl_descriptor held = { 9, gate[0] };

    begin();
    held.here = gate[0];
    assert_ok(gnl_pipeline_parse(&pipeline, text));
    assert_ok(gnl_pipeline_start(
        pipeline,
        &(struct gnl_spawn_options){ .standard = { { GNL_NULL, 0 }, { GNL_NULL, 0 }, { GNL_FD, errors } },
                                     .descriptors = &held,
                                     .descriptor_count = 1 }));
    close(gate[0]);
    gate[0] = -1;
}

static void let_go(void)
{
    close(gate[1]);
    gate[1] = -1;
}

static void end(void)
{
    gnl_pipeline_terminate(pipeline, 0);
    gnl_pipeline_free(pipeline);
    close(errors);
    unlink(path_in_directory("errors"));
    if (gate[1] >= 0)
        let_go();
}

static struct gnl_pipe_sample pipes[3];
static struct gnl_stage_sample stages[3];

static void look(void)
{
    assert_ok(gnl_pipeline_sample(pipeline, pipes, 3));
    assert_ok(gnl_pipeline_sample_stages(pipeline, stages, 3));
}

static bool middle_is_waited_for(void *unused)
{
    look();
    return stages[0].state == GNL_STAGE_WRITING && stages[1].state == GNL_STAGE_SLEEPING &&
           stages[2].state == GNL_STAGE_READING;
}

START_TEST(who_waits_for_whom_is_seen_along_the_line)
{
    start("cat /dev/zero | sh -c 'read x <&9; exec head -c 1000' | cat");
    ck_assert(support_until(middle_is_waited_for, NULL));
    ck_assert_int_eq(gnl_pipeline_sample(pipeline, pipes, 1), 2);
    ck_assert_int_eq(pipes[0].waits, GNL_PIPE_WRITER);
    ck_assert_int_eq(pipes[0].queued, pipes[0].capacity);
    look();
    ck_assert_int_eq(pipes[1].waits, GNL_PIPE_READER);
    ck_assert_int_eq(pipes[1].queued, 0);
    ck_assert_str_eq(stages[0].name, "cat");
    ck_assert_str_eq(stages[1].name, "sh");
    ck_assert_uint_ge(stages[1].processes, 1);
    end();
}
END_TEST

START_TEST(totals_are_known_after_the_end)
{
    struct gnl_exit exits[2];

    start("sh -c 'read x <&9; exec head -c 3000 /dev/zero' | cat");
    look();
    let_go();
    assert_ok(gnl_pipeline_wait(pipeline, exits, 2, PATIENCE)); /* looks before it reaps */
    look();
    ck_assert_int_eq(pipes[0].passed_most, 3000);
    ck_assert_int_eq(pipes[0].capacity, 0);
    ck_assert_int_eq(stages[0].state, GNL_STAGE_ENDED);
    ck_assert_int_eq(stages[1].state, GNL_STAGE_ENDED);
    end();
}
END_TEST

START_TEST(pipeline_that_nobody_looked_at_in_time_has_no_totals)
{
    start("head -c 3000 /dev/zero | cat");
    assert_ok(gnl_pipeline_wait(pipeline, NULL, 0, PATIENCE));
    look();
    ck_assert_int_eq(pipes[0].passed, -1);
    ck_assert_int_eq(pipes[0].passed_most, -1);
    ck_assert_int_eq(pipes[0].queued, -1);
    ck_assert_int_eq(pipes[0].capacity, 0);
    end();
}
END_TEST

START_TEST(pipeline_that_has_not_been_started_is_einval)
{
    assert_ok(gnl_pipeline_parse(&pipeline, "cat | cat"));
    ck_assert_int_eq(gnl_pipeline_sample(pipeline, pipes, 3), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_sample_stages(pipeline, stages, 3), -EINVAL);
    gnl_pipeline_free(pipeline);
}
END_TEST

START_TEST(single_stage_has_no_pipes)
{
    start("sh -c 'read x <&9'");
    ck_assert_int_eq(gnl_pipeline_sample(pipeline, NULL, 0), 0);
    ck_assert_int_eq(gnl_pipeline_sample_stages(pipeline, stages, 3), 1);
    end();
}
END_TEST

static int try_to_look(void *unused)
{
    require(gnl_pipeline_sample(pipeline, pipes, 3) == -EPERM);
    require(gnl_pipeline_sample_stages(pipeline, stages, 3) == -EPERM);
    return 0;
}

START_TEST(child_may_not_look)
{
    start("sh -c 'read x <&9' | cat");
    support_expect_exit(support_fork(try_to_look, NULL), 0);
    end();
}
END_TEST

/* A tree has a keeper, which is the stages' parent, and reaps. */
START_TEST(trees_are_looked_at_too)
{
    assert_ok(gnl_pipeline_parse(&pipeline, "cat /dev/zero | cat"));
    begin();
    assert_ok(gnl_pipeline_start(
        pipeline,
        &(struct gnl_spawn_options){ .standard = { { GNL_NULL, 0 }, { GNL_FD, gate[1] }, { GNL_FD, errors } },
                                     .tree = 1,
                                     .die_with_parent = 1 }));
    bool waits = false;
    for (int i = 0; i < 10000 && !waits; i++) {
        look();
        waits = stages[0].state == GNL_STAGE_WRITING && stages[1].state == GNL_STAGE_WRITING;
        poll(NULL, 0, 5);
    }
    ck_assert(waits);
    ck_assert_uint_eq(stages[0].processes, 1);
    close(gate[0]);
    end();
}
END_TEST

static atomic_bool done;

static void *look_without_pause(void *unused)
{
    while (!atomic_load_explicit(&done, memory_order_relaxed))
        gnl_pipeline_sample(pipeline, pipes, 3);
    return NULL;
}

START_TEST(looks_from_another_thread_change_no_end)
{
    for (int i = 0; i < 30; i++) {
        struct gnl_exit exits[3];
        pthread_t thread;

        start("cat /dev/zero | head -c 100000 | wc -c");
        atomic_store_explicit(&done, false, memory_order_relaxed);
        ck_assert_int_eq(pthread_create(&thread, NULL, look_without_pause, NULL), 0);
        assert_ok(gnl_pipeline_wait(pipeline, exits, 3, PATIENCE));
        atomic_store_explicit(&done, true, memory_order_relaxed);
        pthread_join(thread, NULL);
        ck_assert_int_eq(exits[0].signo, SIGPIPE);
        ck_assert(exits[1].kind == GNL_EXITED && exits[1].code == 0);
        ck_assert(exits[2].kind == GNL_EXITED && exits[2].code == 0);
        end();
    }
}
END_TEST

/* Whoever looks is killed in the midst of it: what it held is closed, and the stages go on to their end. */
static int look_until_killed(void *to)
{
    assert_ok(gnl_pipeline_parse(&pipeline, "cat | cat"));
    require(
        gnl_pipeline_start(pipeline, &(struct gnl_spawn_options){
                                         .standard = { { GNL_FD, gate[0] }, { GNL_FD, *(int *)to } } }) == 0);
    close(gate[0]);
    close(gate[1]);
    require(write(errors, "x", 1) == 1);
    look_without_pause(NULL);
    return 1;
}

static bool has_begun(void *unused)
{
    return lseek(errors, 0, SEEK_END) > 0;
}

START_TEST(killed_looker_leaves_nothing_in_the_way)
{
    int from, to;
    char text[8] = "";

    begin();
    assert_ok(gnl_pipe(&from, &to));
    pid_t looker = support_fork(look_until_killed, &to);
    close(to);
    close(gate[0]);
    ck_assert(support_until(has_begun, NULL));
    support_kill(looker);
    ck_assert_int_eq(write(gate[1], "hello", 5), 5);
    let_go();
    ck_assert_int_eq(read(from, text, sizeof text), 5);
    ck_assert(ends_soon(from) && strcmp(text, "hello") == 0);
    close(from);
    close(errors);
    unlink(path_in_directory("errors"));
}
END_TEST

/* A user's processes have 64 MiB of large pipes together: one long line does not take them all. */
START_TEST(long_line_has_few_large_pipes)
{
    enum { PIPES = 20 };
    struct gnl_pipe_sample line[PIPES];
    char text[16 + PIPES * sizeof " | cat"] = "cat";
    int large = 0;

    for (int i = 0; i < PIPES; i++)
        strcat(text, " | cat");
    begin();
    assert_ok(gnl_pipeline_parse(&pipeline, text));
    assert_ok(gnl_pipeline_start(
        pipeline, &(struct gnl_spawn_options){ .standard = { { GNL_FD, gate[0] }, { GNL_NULL, 0 } } }));
    close(gate[0]);
    ck_assert_int_eq(gnl_pipeline_sample(pipeline, line, PIPES), PIPES);
    for (int i = 0; i < PIPES; i++) {
        ck_assert_int_gt(line[i].capacity, 0);
        large += line[i].capacity > 65536;
    }
    ck_assert_int_le(large, 16);
    let_go();
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipelines, from inside");
    TCase *tests = support_case(suite, "inside");

    tcase_add_test(tests, who_waits_for_whom_is_seen_along_the_line);
    tcase_add_test(tests, totals_are_known_after_the_end);
    tcase_add_test(tests, pipeline_that_nobody_looked_at_in_time_has_no_totals);
    tcase_add_test(tests, pipeline_that_has_not_been_started_is_einval);
    tcase_add_test(tests, single_stage_has_no_pipes);
    tcase_add_test(tests, child_may_not_look);
    tcase_add_test(tests, trees_are_looked_at_too);
    tcase_add_test(tests, looks_from_another_thread_change_no_end);
    tcase_add_test(tests, killed_looker_leaves_nothing_in_the_way);
    tcase_add_test(tests, long_line_has_few_large_pipes);
    return support_run(suite);
}
