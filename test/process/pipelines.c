/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines from a program: between memory and memory; lines that cannot be read, calls that make no sense,
 * disks without room. With ports: pipelines_ports.c.
 */
#include <ginnel/pipeline.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers.h"
#include "spawning.h"
#include "waiting.h"

#define LARGE ((size_t)8 << 20) /* more than all pipes of a line hold */

static gnl_pipeline *parsed(const char *text)
{
    gnl_pipeline *pipeline;

    assert_ok(gnl_pipeline_parse(&pipeline, text));
    return pipeline;
}

static int run(const char *text, struct gnl_pipeline_memory *memory, struct gnl_exit *exits, size_t count)
{
    gnl_pipeline *pipeline = parsed(text);
    int result = gnl_pipeline_run(pipeline, NULL, memory, exits, count, PATIENCE);

    gnl_pipeline_free(pipeline);
    expect_no_children();
    return result;
}

static void expect_output(const char *text, const char *input, const char *output)
{
    struct gnl_pipeline_memory memory = { .input = input, .input_size = strlen(input), .output_max = 4096 };

    assert_ok(run(text, &memory, NULL, 0));
    ck_assert_str_eq(memory.output, output);
    ck_assert_uint_eq(memory.output_size, strlen(output));
    free(memory.output);
}

static char *large_text(void)
{
    char *text = malloc(LARGE);

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < LARGE; i++)
        text[i] = (char)(i * 2654435761u >> 13);
    return text;
}

static void expect_exit(const struct gnl_exit *exit, int code)
{
    ck_assert_int_eq(exit->kind, GNL_EXITED);
    ck_assert_int_eq(exit->code, code);
}

/* ---- between memory and memory ---- */

START_TEST(what_goes_in_comes_out)
{
    expect_output("tr a-z A-Z | sort", "pear\napple\n", "APPLE\nPEAR\n");
    expect_output("cat", "", "");
    expect_output("true", "", "");
    expect_output("cat | cat | cat", "x", "x");
}
END_TEST

/* Whoever wrote all of it first would wait for ever, and so would the stages. */
START_TEST(more_than_all_pipes_hold_goes_through)
{
    char *text = large_text();
    struct gnl_pipeline_memory memory = { .input = text, .input_size = LARGE, .output_max = LARGE };
    struct gnl_exit exits[2];

    start_storm();
    assert_ok(run("cat | cat", &memory, exits, 2));
    end_storm();
    ck_assert_uint_eq(memory.output_size, LARGE);
    ck_assert_mem_eq(memory.output, text, LARGE);
    ck_assert_int_eq(memory.output[LARGE], 0);
    expect_exit(&exits[0], 0);
    expect_exit(&exits[1], 0);
    free(memory.output);
    free(text);
}
END_TEST

/* SIGPIPE would end this process: nobody has set another disposition. */
START_TEST(stage_need_not_read_all)
{
    char *text = large_text();
    struct gnl_pipeline_memory memory = { .input = text, .input_size = LARGE, .output_max = 100 };
    struct gnl_exit exits[2];

    assert_ok(run("cat | head -c 10", &memory, exits, 2));
    ck_assert_uint_eq(memory.output_size, 10);
    ck_assert_mem_eq(memory.output, text, 10);
    ck_assert_int_eq(exits[0].kind, GNL_SIGNALLED);
    ck_assert_int_eq(exits[0].signo, SIGPIPE);
    expect_exit(&exits[1], 0);
    free(memory.output);
    memory.output_max = 0;
    assert_ok(run("true", &memory, exits, 1));
    ck_assert_ptr_null(memory.output);
    expect_exit(&exits[0], 0);
    free(text);
}
END_TEST

START_TEST(only_one_side_may_be_memory)
{
    struct gnl_pipeline_memory memory = { .output_max = 100 };
    struct gnl_exit exit;
    gnl_pipeline *pipeline = parsed("cat");
    struct gnl_spawn_options options = { .standard = { { GNL_NULL, 0 } } };

    assert_ok(gnl_pipeline_run(pipeline, &options, &memory, &exit, 1, PATIENCE));
    ck_assert_str_eq(memory.output, "");
    free(memory.output);
    gnl_pipeline_free(pipeline);
    memory = (struct gnl_pipeline_memory){ .input = "12345", .input_size = 5 };
    assert_ok(run("sh -c 'test $(wc -c) = 5'", &memory, &exit, 1));
    expect_exit(&exit, 0);
    assert_ok(run("sh -c 'exit 3' | false", NULL, &exit, 1));
    expect_exit(&exit, 3);
    /* What the text says of an end comes before. */
    memory = (struct gnl_pipeline_memory){ .input = "12345", .input_size = 5, .output_max = 100 };
    assert_ok(run("wc -c < /dev/null", &memory, &exit, 1));
    ck_assert_str_eq(memory.output, "0\n");
    free(memory.output);
}
END_TEST

START_TEST(output_has_its_bound)
{
    struct gnl_pipeline_memory memory = { .output_max = 100000 };
    struct gnl_exit exits[2];

    ck_assert_int_eq(run("yes", &memory, exits, 1), -EMSGSIZE);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "larger than 100000 bytes"));
    ck_assert_uint_eq(memory.output_size, 100000);
    ck_assert_int_eq(memory.output[100000], 0);
    ck_assert_int_eq(exits[0].kind, GNL_SIGNALLED);
    free(memory.output);
    memory.output_max = 3;
    assert_ok(run("echo ab", &memory, exits, 1));
    ck_assert_str_eq(memory.output, "ab\n");
    free(memory.output);
    memory.output_max = 2;
    ck_assert_int_eq(run("echo ab", &memory, exits, 1), -EMSGSIZE);
    ck_assert_str_eq(memory.output, "ab");
    free(memory.output);
    memory.output_max = SIZE_MAX;
    assert_ok(run("echo ab", &memory, exits, 1));
    ck_assert_str_eq(memory.output, "ab\n");
    free(memory.output);
}
END_TEST

START_TEST(time_has_its_bound)
{
    struct gnl_pipeline_memory memory = { .output_max = 100 };
    gnl_pipeline *pipeline = parsed("sh -c 'echo x; exec sleep 1000' | cat");
    struct gnl_exit exits[2] = { 0 };

    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, &memory, exits, 2, gnl_ms(500)), -ETIMEDOUT);
    ck_assert_str_eq(gnl_error_detail(), "a pipeline: timed out"); /* not an earlier call's */
    ck_assert_int_eq(exits[0].kind, GNL_SIGNALLED);
    ck_assert_int_eq(exits[0].signo, SIGTERM);
    ck_assert_int_ne(exits[1].kind, 0);
    free(memory.output);
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, &memory, exits, 2, PATIENCE), -EBUSY);
    gnl_pipeline_free(pipeline);
    expect_no_children();
    /* Its output is closed, and it runs on. */
    pipeline = parsed("sh -c 'exec sleep 1000 > /dev/null'");
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, &memory, exits, 1, gnl_ms(300)), -ETIMEDOUT);
    free(memory.output);
    gnl_pipeline_free(pipeline);
    expect_no_children();
}
END_TEST

/* An orphan in a session of its own has the output open: found where the options say `tree`. */
START_TEST(who_holds_the_output_is_ended_with_the_time)
{
    struct gnl_pipeline_memory memory = { .output_max = 100 };
    gnl_pipeline *pipeline = parsed("sh -c 'setsid sleep 1000 & echo $!'");
    struct gnl_spawn_options options = { .tree = 1 };

    ck_assert_int_eq(gnl_pipeline_run(pipeline, &options, &memory, NULL, 0, gnl_s(1)), -ETIMEDOUT);
    gnl_pipeline_free(pipeline);
    pid_t orphan = (pid_t)atoi(memory.output);
    ck_assert_int_gt(orphan, 1);
    ck_assert(!runs(orphan));
    free(memory.output);
}
END_TEST

START_TEST(without_memory_it_ends)
{
    struct gnl_pipeline_memory memory = { .output_max = SIZE_MAX };
    struct rlimit before, limit;

    if (ADDRESS_SANITIZER)
        skip("a sanitizer reserves more memory than there is");
    getrlimit(RLIMIT_AS, &before);
    limit = (struct rlimit){ (rlim_t)256 << 20, before.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_int_eq(run("cat /dev/zero", &memory, NULL, 0), -ENOMEM);
    setrlimit(RLIMIT_AS, &before);
    ck_assert_uint_gt(memory.output_size, 1 << 20);
    free(memory.output);
}
END_TEST

static void *stay(void *end)
{
    char byte;

    ck_assert_int_eq(read(*(int *)end, &byte, 1), 0);
    return NULL;
}

static void expect_no_signals(void)
{
    expect_output("sed -n '/^Sig[BI]/p' /proc/self/status | sed -n '/^Sig[BI]/p' - /proc/self/status", "",
                  "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
                  "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

/* A process of one thread asks what is done for signals once, else each stage does. */
START_TEST(stages_have_no_signal_blocked_or_ignored)
{
    pthread_t thread;
    sigset_t blocked;
    int ends[2];

    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGRTMAX, SIG_IGN);
    expect_no_signals();
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, stay, &ends[0]), 0);
    expect_no_signals();
    close(ends[1]);
    pthread_join(thread, NULL);
    close(ends[0]);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    ck_assert_int_eq(sigismember(&now, SIGTERM), 1);
}
END_TEST

START_TEST(nothing_runs_when_it_cannot_start)
{
    struct gnl_pipeline_memory memory = { .input = "x", .input_size = 1, .output_max = 100 };
    struct gnl_exit exit;
    struct rlimit before, limit;

    ck_assert_int_eq(run("cat | no-such-program", &memory, &exit, 1), -ENOENT);
    ck_assert_ptr_null(memory.output);
    getrlimit(RLIMIT_NOFILE, &before);
    limit = (struct rlimit){ 6, before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &limit);
    int result = run("cat | cat | cat", &memory, &exit, 1);
    setrlimit(RLIMIT_NOFILE, &before);
    ck_assert_int_eq(result, -EMFILE);
    assert_ok(run("cat", &memory, &exit, 1));
    ck_assert_str_eq(memory.output, "x");
    free(memory.output);
}
END_TEST

/* ---- lines ---- */

static const struct {
    const char *text;
    const char *says;
} wrong[] = {
    { "", "column 1" },        { "   ", "column" },      { "|", "column 1" },      { "a |", "column 4" },
    { "a | | b", "column 5" }, { "| a", "column 1" },    { "a && b", "column 3" }, { "a ; b", "column 3" },
    { "a & b", "column 3" },   { "a || b", "column 3" }, { "a 'b", "column 3" },   { "a \"b", "column 3" },
    { "a $(b)", "column 3" },  { "a `b`", "column 3" },  { "a ${b", "column 3" },  { "a ${b:-c}", "column" },
    { "a >", "column 3" },     { "a < | b", "column" },  { "a << E", "column 3" }, { "a >& b", "column 6" },
    { "a 3> b", "column 3" },  { "(a)", "column 1" },    { "! a", "column 1" },    { "{ a; }", "column 1" },
    { "A=1", "column" },       { "a\nb", "column 2" },   { "a $1", "column 3" },   { "a $$", "column 3" },
};

START_TEST(what_is_no_pipeline_is_one_error_with_its_place)
{
    gnl_pipeline *pipeline = NULL;

    ck_assert_int_eq(gnl_pipeline_parse(&pipeline, wrong[_i].text), -EINVAL);
    ck_assert_ptr_null(pipeline);
    if (!strstr(gnl_error_detail(), wrong[_i].says))
        ck_abort_msg("'%s': %s", wrong[_i].text, gnl_error_detail());
}
END_TEST

/* ---- calls ---- */

START_TEST(calls_that_make_no_sense_are_errors)
{
    struct gnl_exit exit;
    gnl_pipeline *pipeline = NULL;
    char name[] = "true", *none[] = { NULL }, *program[] = { name, NULL };
    struct gnl_pipeline_memory memory = { .output = name, .output_size = 1, .output_max = 1 };

    ck_assert_int_eq(gnl_pipeline_new(NULL), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_parse(NULL, "true"), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_parse(&pipeline, NULL), -EINVAL);
    ck_assert_ptr_null(pipeline);
    ck_assert_int_eq(gnl_pipeline_start(NULL, NULL), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_wait(NULL, NULL, 0, 0), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_terminate(NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_run(NULL, NULL, NULL, NULL, 0, 0), -EINVAL);
    ck_assert_uint_eq(gnl_pipeline_length(NULL), 0);
    ck_assert_ptr_null(gnl_pipeline_stage(NULL, 0));
    ck_assert_int_eq(gnl_pipeline_sample(NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_sample_stages(NULL, NULL, 0), -EINVAL);
    gnl_pipeline_free(NULL);

    assert_ok(gnl_pipeline_new(&pipeline));
    ck_assert_int_eq(gnl_pipeline_start(pipeline, NULL), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, NULL, NULL, 0, PATIENCE), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_add(pipeline, NULL), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_add(pipeline, none), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_wait(pipeline, &exit, 1, PATIENCE), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_terminate(pipeline, 0), -EINVAL);
    assert_ok(gnl_pipeline_add(pipeline, program));
    ck_assert_ptr_null(gnl_pipeline_stage(pipeline, 0));
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, NULL, NULL, 1, PATIENCE), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, NULL, NULL, 0, -5), -EINVAL);
    assert_ok(gnl_pipeline_start(pipeline, NULL));
    ck_assert_int_eq(gnl_pipeline_start(pipeline, NULL), -EBUSY);
    ck_assert_int_eq(gnl_pipeline_add(pipeline, program), -EBUSY);
    ck_assert_int_eq(gnl_pipeline_wait(pipeline, NULL, 1, PATIENCE), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_sample(pipeline, NULL, 1), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_sample_stages(pipeline, NULL, 1), -EINVAL);
    ck_assert_int_eq(gnl_pipeline_run(pipeline, NULL, &memory, NULL, 0, PATIENCE), -EBUSY);
    ck_assert_ptr_null(memory.output); /* the caller frees what each call has left there */
    ck_assert_uint_eq(memory.output_size, 0);
    ck_assert_int_eq(gnl_pipeline_wait(pipeline, &exit, 1, -5), -EINVAL);
    ck_assert_uint_eq(gnl_pipeline_length(pipeline), 1);
    ck_assert_ptr_null(gnl_pipeline_stage(pipeline, 1));
    assert_ok(gnl_pipeline_wait(pipeline, &exit, 1, PATIENCE));
    expect_exit(&exit, 0);
    gnl_pipeline_free(pipeline);
}
END_TEST

static int use_in_child(void *pipeline)
{
    require(gnl_pipeline_wait(pipeline, NULL, 0, PATIENCE) == -EPERM);
    require(gnl_pipeline_terminate(pipeline, 0) == -EPERM);
    gnl_pipeline_free(pipeline);
    return 0;
}

START_TEST(child_may_only_free_it)
{
    gnl_pipeline *pipeline = parsed("sleep 1000");
    struct gnl_exit exit;

    assert_ok(gnl_pipeline_start(pipeline, NULL));
    support_expect_exit(support_fork(use_in_child, pipeline), 0);
    ck_assert_int_eq(gnl_pipeline_wait(pipeline, &exit, 1, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_pipeline_terminate(pipeline, gnl_s(1)));
    assert_ok(gnl_pipeline_wait(pipeline, &exit, 1, PATIENCE));
    ck_assert_int_eq(exit.signo, SIGTERM);
    gnl_pipeline_free(pipeline);
}
END_TEST

/* ---- processes that the program forks meanwhile ---- */

struct run {
    char text[512];
    struct gnl_pipeline_memory memory;
    int result;
};

static void *run_it(void *context)
{
    struct run *run = context;
    gnl_pipeline *pipeline = parsed(run->text);

    run->result = gnl_pipeline_run(pipeline, NULL, &run->memory, NULL, 0, PATIENCE);
    gnl_pipeline_free(pipeline);
    return NULL;
}

static int stay_in_child(void *ends)
{
    close(((int *)ends)[1]);
    stay(ends);
    return 0;
}

/* With the end of a pipe that a child has the other side would wait for more. */
START_TEST(child_that_lives_longer_holds_no_pipe)
{
    char *text = large_text();
    struct run run = { .memory = { .input = text, .input_size = LARGE, .output_max = LARGE } };
    pthread_t thread;
    int ends[2];

    snprintf(run.text, sizeof run.text, "sh -c 'read go <%s; exec cat' | cat", path_in_directory("go"));
    ck_assert_int_eq(mkfifo(path_in_directory("go"), 0600), 0);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_it, &run), 0);
    int go = open(path_in_directory("go"), O_WRONLY | O_CLOEXEC); /* once the stage is there */
    ck_assert_int_ge(go, 0);
    pid_t child = support_fork(stay_in_child, ends);
    ck_assert_int_eq(write(go, "\n", 1), 1);
    pthread_join(thread, NULL);
    close(go);
    assert_ok(run.result);
    ck_assert_uint_eq(run.memory.output_size, LARGE);
    free(run.memory.output);
    free(text);
    close(ends[1]);
    support_expect_exit(child, 0);
    close(ends[0]);
    unlink(path_in_directory("go"));
}
END_TEST

/* ---- a disk without room ---- */

START_TEST(full_disk_is_the_stages_own_error)
{
    const char *disk = path_in_directory("disk");
    struct gnl_exit exits[2];
    char text[1024], kept[256];

    snprintf(kept, sizeof kept, "%s", disk);
    ck_assert_int_eq(mkdir(kept, 0700), 0);
    if (mount("none", kept, "tmpfs", 0, "size=64k,nr_inodes=8") != 0) {
        rmdir(kept);
        skip("no tmpfs can be mounted here");
    }
    snprintf(text, sizeof text, "head -c 1000000 /dev/zero | cat > %s/out 2> /dev/null", kept);
    gnl_pipeline *pipeline = parsed(text);
    assert_ok(gnl_pipeline_run(pipeline, NULL, NULL, exits, 2, PATIENCE));
    expect_exit(&exits[1], 1);
    gnl_pipeline_free(pipeline);
    /* No room for one more file: an error before anything starts. */
    snprintf(text, sizeof text, "%s/filler", kept);
    int filler = open(text, O_WRONLY | O_CREAT, 0600), i = 0;
    for (int made = filler; made >= 0; i++) {
        if (i > 0)
            close(made);
        snprintf(text, sizeof text, "%s/%d", kept, i);
        made = open(text, O_WRONLY | O_CREAT, 0600);
    }
    close(filler);
    snprintf(text, sizeof text, "touch %s/started | cat > %s/new", kept, kept);
    pipeline = parsed(text);
    ck_assert_int_eq(gnl_pipeline_start(pipeline, NULL), -EBADF);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "No space left"));
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "column"));
    gnl_pipeline_free(pipeline);
    ck_assert_int_eq(umount(kept), 0);
    rmdir(kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipelines");
    TCase *tests = support_case(suite, "pipelines");

    tcase_add_test(tests, what_goes_in_comes_out);
    tcase_add_test(tests, more_than_all_pipes_hold_goes_through);
    tcase_add_test(tests, stage_need_not_read_all);
    tcase_add_test(tests, only_one_side_may_be_memory);
    tcase_add_test(tests, output_has_its_bound);
    tcase_add_test(tests, time_has_its_bound);
    tcase_add_test(tests, who_holds_the_output_is_ended_with_the_time);
    tcase_add_test(tests, without_memory_it_ends);
    tcase_add_test(tests, stages_have_no_signal_blocked_or_ignored);
    tcase_add_test(tests, nothing_runs_when_it_cannot_start);
    tcase_add_loop_test(tests, what_is_no_pipeline_is_one_error_with_its_place, 0,
                        sizeof wrong / sizeof wrong[0]);
    tcase_add_test(tests, calls_that_make_no_sense_are_errors);
    tcase_add_test(tests, child_may_only_free_it);
    tcase_add_test(tests, child_that_lives_longer_holds_no_pipe);
    tcase_add_test(tests, full_disk_is_the_stages_own_error);
    return support_run(suite);
}
