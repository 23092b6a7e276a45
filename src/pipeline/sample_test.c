/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two stages and the pipe between them, looked at: what each waits for, what has passed, when that is
 * unknown, and that looking changes nothing.
 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "pipeline/watch.h"
#include "support.h"

#define PATIENCE gnl_ms(PATIENCE_MS)
#define GATE     9 /* a stage that is to wait for the test reads here */
#define ENDLESS  "exec cat /dev/zero"
#define FIFTY    "head -c 50000 /dev/zero"

static struct pair {
    gnl_process *writer, *reader;
    int null;
    uid_t maker;  /* of the pipe */
    int gates[2]; /* the test's ends of what they read as GATE; -1: opened */
    struct gnli_watched_stage stages[2];
    struct gnli_watched_joint pipe;
} pair;

static gnl_process *start(const char *text, struct gnl_stdio input, struct gnl_stdio output,
                          struct gnl_stdio errors, int *gate)
{
    struct gnl_descriptor held = { .there = GATE };
    char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, strdup(text), NULL };
    gnl_process *process;

    assert_ok(gnl_pipe(&held.here, gate));
    assert_ok(gnl_spawn(&process, argv,
                        &(struct gnl_spawn_options){ .standard = { input, output, errors },
                                                     .descriptors = &held,
                                                     .descriptor_count = 1 }));
    close(held.here);
    free(argv[2]);
    return process;
}

/* `errors`: of the writer; GNL_INHERIT: as its output. */
static void start_pair(const char *writer, const char *reader, struct gnl_stdio input,
                       struct gnl_stdio errors)
{
    int from, to;
    char name[48];
    struct stat file;
    int64_t since_ns = gnli_clock_ns(CLOCK_REALTIME_COARSE);

    ck_assert(pair.maker == 0 || seteuid(pair.maker) == 0);
    assert_ok(gnl_pipe(&from, &to));
    ck_assert(pair.maker == 0 || seteuid(0) == 0);
    if (errors.kind == GNL_INHERIT)
        errors = (struct gnl_stdio){ GNL_FD, to };
    struct gnl_stdio null = { GNL_NULL, 0 };
    pair.writer = start(writer, input, (struct gnl_stdio){ GNL_FD, to }, errors, &pair.gates[0]);
    pair.reader = start(reader, (struct gnl_stdio){ GNL_FD, from }, null, null, &pair.gates[1]);
    snprintf(name, sizeof name, "/proc/self/fd/%d", from);
    pair.pipe = (struct gnli_watched_joint){ .path = open(name, O_PATH | O_CLOEXEC), .held = -1 };
    ck_assert(fstat(from, &file) == 0);
    close(from);
    close(to);
    gnli_stage_watch(&pair.stages[0], gnl_process_pid(pair.writer), 0, since_ns, 0, file.st_ino);
    gnli_stage_watch(&pair.stages[1], gnl_process_pid(pair.reader), 0, since_ns, file.st_ino, 0);
}

/* GNL_NULL may be written to as well, and the shell puts its input aside under another number. */
static struct gnl_stdio nothing_to_read(void)
{
    pair.null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return (struct gnl_stdio){ GNL_FD, pair.null };
}

static void start_plain(const char *writer, const char *reader)
{
    start_pair(writer, reader, nothing_to_read(), (struct gnl_stdio){ GNL_INHERIT, 0 });
}

static void look(void)
{
    gnli_joint_hold(&pair.pipe, &pair.stages[0]);
    gnli_stage_look(&pair.stages[0]);
    gnli_stage_look(&pair.stages[1]);
    gnli_joint_look(&pair.pipe, &pair.stages[0], &pair.stages[1]);
    gnli_joint_count(&pair.pipe, &pair.stages[0], &pair.stages[1]);
}

static void let_go(int which)
{
    if (pair.gates[which] >= 0)
        close(pair.gates[which]);
    pair.gates[which] = -1;
}

/* It sleeps in `read` on its gate: what came before that is done. */
static bool is_at_its_gate(void *process)
{
    char path[48], text[32] = "", wanted[32];

    snprintf(wanted, sizeof wanted, "%d 0x0 ", SYS_read); /* the shell has GATE as its input by then */
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)gnl_process_pid(process));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0)
        close(file);
    return length > 0 && strncmp(text, wanted, strlen(wanted)) == 0;
}

static void await_gate(gnl_process *process)
{
    ck_assert(support_until(is_at_its_gate, process));
}

/* Ended, and not reaped. */
static void await_end(gnl_process *process)
{
    struct pollfd entry = { .fd = gnl_process_fd(process), .events = POLLIN };

    ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
}

static void end_pair(void)
{
    let_go(0);
    let_go(1);
    gnl_process_terminate(pair.writer, 0, NULL);
    gnl_process_terminate(pair.reader, 0, NULL);
    gnl_process_free(pair.writer);
    gnl_process_free(pair.reader);
    gnli_stage_unwatch(&pair.stages[0]);
    gnli_stage_unwatch(&pair.stages[1]);
    if (pair.pipe.held >= 0)
        close(pair.pipe.held);
    close(pair.pipe.path);
    if (pair.null > 0)
        close(pair.null);
    pair.null = 0;
}

static int waits(void)
{
    return gnli_joint_waits(&pair.pipe, &pair.stages[0], &pair.stages[1]);
}

/* And the other processes of the stage have come to rest. */
static bool is_waited_for(void *by)
{
    look();
    return waits() == *(int *)by && pair.stages[waits() == GNL_PIPE_READER].sample.state != GNL_STAGE_RUNNING;
}

/* ---- what they wait for ---- */

START_TEST(writer_waits_on_a_reader_that_does_not_read)
{
    int by = GNL_PIPE_WRITER;

    start_plain(ENDLESS, "read x <&9");
    ck_assert(support_until(is_waited_for, &by));
    ck_assert_int_eq(pair.stages[0].sample.state, GNL_STAGE_WRITING);
    ck_assert_int_eq(pair.pipe.queued, pair.pipe.capacity);
    ck_assert_int_eq(pair.pipe.capacity, 65536);
    end_pair();
}
END_TEST

START_TEST(reader_waits_on_a_writer_that_does_not_write)
{
    int by = GNL_PIPE_READER;

    start_plain("read x <&9", "exec cat");
    ck_assert(support_until(is_waited_for, &by));
    ck_assert_int_eq(pair.stages[1].sample.state, GNL_STAGE_READING);
    ck_assert_int_ne(pair.stages[0].sample.state, GNL_STAGE_WRITING);
    ck_assert_int_eq(pair.pipe.queued, 0);
    ck_assert_int_eq(pair.pipe.passed, 0);
    end_pair();
}
END_TEST

/* The shell waits for the cat, and it is the cat that waits for the pipe. */
START_TEST(stage_whose_child_does_the_work_is_seen_by_it)
{
    int by = GNL_PIPE_READER;

    start_plain("read x <&9", "cat; :");
    ck_assert(support_until(is_waited_for, &by));
    ck_assert_int_eq(pair.stages[1].sample.state, GNL_STAGE_READING);
    ck_assert_uint_eq(pair.stages[1].sample.processes, 2);
    end_pair();
}
END_TEST

START_TEST(poll_for_something_to_read_is_waiting_to_read)
{
    int by = GNL_PIPE_READER;

    start_plain("read x <&9",
                "exec python3 -c 'import select; p = select.poll(); p.register(0, select.POLLIN); p.poll()'");
    ck_assert(support_until(is_waited_for, &by));
    end_pair();
}
END_TEST

static bool is_stopped(void *unused)
{
    look();
    return pair.stages[0].sample.state == GNL_STAGE_STOPPED;
}

START_TEST(stopped_stage_is_said_to_be)
{
    start_plain("read x <&9", "exec cat");
    kill(gnl_process_pid(pair.writer), SIGSTOP);
    ck_assert(support_until(is_stopped, NULL));
    end_pair();
}
END_TEST

/* ---- what has passed ---- */

/* The writer ends, then the reader is let go, and ends. */
static void play(void)
{
    await_end(pair.writer);
    look();
    ck_assert_int_eq(pair.stages[0].sample.state, GNL_STAGE_ENDED);
    ck_assert_int_eq(pair.pipe.queued, 50000);
    let_go(1);
    await_end(pair.reader);
    look();
    ck_assert_int_eq(pair.stages[1].sample.state, GNL_STAGE_ENDED);
    ck_assert_int_eq(pair.pipe.capacity, 0);
}

START_TEST(bytes_that_passed_are_counted_after_all_have_ended)
{
    start_plain("read x <&9; exec " FIFTY, "read x <&9; exec cat");
    look(); /* while it runs: what it has open is seen */
    let_go(0);
    play();
    ck_assert_int_eq(pair.pipe.passed, 50000);
    ck_assert_int_eq(pair.pipe.passed_most, 50000);
    ck_assert_int_eq(pair.pipe.queued, 0);
    end_pair();
}
END_TEST

START_TEST(bytes_that_nobody_read_have_not_passed)
{
    start_plain("read x <&9; exec " FIFTY, "read x <&9; exec dd bs=1000 count=10");
    look();
    let_go(0);
    play();
    ck_assert_int_eq(pair.pipe.passed, 10000);
    ck_assert_int_eq(pair.pipe.queued, 40000);
    end_pair();
}
END_TEST

/* The reader goes first, and who writes is still there. */
START_TEST(bytes_that_are_left_by_a_reader_stay_counted)
{
    start_plain(FIFTY "; read x <&9", "read x <&9; exec dd bs=1000 count=10");
    await_gate(pair.writer);
    look();
    ck_assert_int_eq(pair.pipe.queued, 50000);
    let_go(1);
    await_end(pair.reader);
    look();
    ck_assert_int_eq(pair.pipe.queued, 40000);
    let_go(0);
    await_end(pair.writer);
    look();
    ck_assert_int_eq(pair.pipe.queued, 40000);
    ck_assert_int_eq(pair.pipe.capacity, 0);
    end_pair();
}
END_TEST

/* Gates are read by number, so another file that is open to be written to is one of the writer's own. */
START_TEST(bytes_are_unknown_if_the_stage_might_write_elsewhere)
{
    start_plain("exec 5>>/dev/null; read x <&9; exec " FIFTY, "read x <&9; exec cat");
    await_gate(pair.writer);
    look();
    let_go(0);
    play();
    ck_assert_int_eq(pair.pipe.passed, -1);
    ck_assert_int_eq(pair.pipe.passed_most, 50000);
    end_pair();
}
END_TEST

/* An empty file shows that nothing was said; another may hold what the account counts. */
static void with_errors_in_a_file(const char *writer, int64_t passed, int64_t passed_most)
{
    char path[256];

    snprintf(path, sizeof path, "%s/errors", support_directory());
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert(file >= 0);
    start_pair(writer, "read x <&9; exec cat", nothing_to_read(), (struct gnl_stdio){ GNL_FD, file });
    close(file);
    await_gate(pair.writer);
    look();
    let_go(0);
    play();
    ck_assert_int_eq(pair.pipe.passed, passed);
    ck_assert_int_eq(pair.pipe.passed_most, passed_most);
    end_pair();
    unlink(path);
}

START_TEST(silent_standard_error_leaves_the_bytes_known)
{
    with_errors_in_a_file("read x <&9; exec " FIFTY, 50000, 50000);
}
END_TEST

START_TEST(words_on_standard_error_make_the_bytes_unknown)
{
    with_errors_in_a_file("echo oops >&2; read x <&9; exec " FIFTY, -1, 50005);
}
END_TEST

/* What it wrote is in nobody's account that can be read. */
START_TEST(stage_that_was_reaped_before_it_was_looked_at_is_unknown)
{
    start_plain("read x <&9; exec " FIFTY, "read x <&9; exec dd bs=1000 count=10");
    look();
    let_go(0);
    assert_ok(gnl_process_wait(pair.writer, NULL, PATIENCE));
    look();
    ck_assert_int_eq(pair.stages[0].sample.state, GNL_STAGE_ENDED);
    ck_assert_int_eq(pair.pipe.passed, -1);
    ck_assert_int_eq(pair.pipe.queued, 50000);
    end_pair();
}
END_TEST

/* ---- what may not be seen ---- */

#define NOBODY 65534

/* As if the stages had become somebody else: they are root's, and the pipe is not. */
static int look_as_nobody(void *unused)
{
    require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    look();
    require(pair.stages[0].sample.state == GNL_STAGE_UNKNOWN);
    require(pair.stages[1].sample.state == GNL_STAGE_UNKNOWN);
    require(pair.pipe.passed == -1 && pair.pipe.passed_most == -1);
    require(pair.pipe.queued == 5 && pair.pipe.capacity == 65536); /* that is known all the same */
    return 0;
}

START_TEST(stages_of_another_user_are_unknown)
{
    if (geteuid() != 0) {
        printf("skipped: %s: only root can become another user\n", __func__);
        return;
    }
    pair.maker = NOBODY;
    start_plain("printf hello; read x <&9", "read x <&9; exec cat");
    await_gate(pair.writer);
    await_gate(pair.reader);
    support_expect_exit(support_fork(look_as_nobody, NULL), 0);
    end_pair();
}
END_TEST

/* The kernel gives the account of who has ended to root alone, unless it was open before. */
static int count_as_nobody(void *unused)
{
    require(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    start_plain("read x <&9; exec " FIFTY, "read x <&9; exec cat");
    look();
    let_go(0);
    await_end(pair.writer);
    look();
    let_go(1);
    await_end(pair.reader);
    look();
    require(pair.pipe.passed == 50000 && pair.pipe.queued == 0);
    end_pair();
    return 0;
}

START_TEST(bytes_are_counted_for_an_unprivileged_user_too)
{
    if (geteuid() != 0) {
        printf("skipped: %s: only root can become another user\n", __func__);
        return;
    }
    support_expect_exit(support_fork(count_as_nobody, NULL), 0);
}
END_TEST

/* ---- how far its input is ---- */

START_TEST(place_in_the_input_file_is_told)
{
    char path[256];

    snprintf(path, sizeof path, "%s/input", support_directory());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert(file >= 0 && ftruncate(file, 10000) == 0);
    close(file);
    file = open(path, O_RDONLY | O_CLOEXEC);
    start_pair("dd bs=1000 count=5; read x <&9", "exec cat", (struct gnl_stdio){ GNL_FD, file },
               (struct gnl_stdio){ GNL_NULL, 0 });
    close(file);
    await_gate(pair.writer);
    look();
    ck_assert_int_eq(pair.stages[0].sample.input_at, 5000);
    ck_assert_int_eq(pair.stages[0].sample.input_size, 10000);
    ck_assert_int_eq(pair.stages[1].sample.input_size, -1);
    end_pair();
    unlink(path);
}
END_TEST

/* ---- nothing is changed ---- */

static bool both_ended(void *unused)
{
    for (int i = 0; i < 20; i++)
        look();
    return pair.stages[0].sample.state == GNL_STAGE_ENDED && pair.stages[1].sample.state == GNL_STAGE_ENDED;
}

static void expect_exits(int writer_signo)
{
    struct gnl_exit end;

    ck_assert(support_until(both_ended, NULL));
    assert_ok(gnl_process_wait(pair.writer, &end, PATIENCE));
    ck_assert_int_eq(end.signo, writer_signo);
    assert_ok(gnl_process_wait(pair.reader, &end, PATIENCE));
    ck_assert_int_eq(end.kind, GNL_EXITED);
    ck_assert_int_eq(end.code, 0);
    end_pair();
}

START_TEST(end_and_broken_pipe_come_through_while_it_is_looked_at_without_pause)
{
    for (int i = 0; i < 20; i++) {
        start_plain(FIFTY, "test $(cat | wc -c) = 50000");
        expect_exits(0);
        start_plain(ENDLESS, "exec head -c 1000");
        expect_exits(SIGPIPE);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampling");
    TCase *tests = support_case(suite, "sampling");

    tcase_add_test(tests, writer_waits_on_a_reader_that_does_not_read);
    tcase_add_test(tests, reader_waits_on_a_writer_that_does_not_write);
    tcase_add_test(tests, stage_whose_child_does_the_work_is_seen_by_it);
    tcase_add_test(tests, poll_for_something_to_read_is_waiting_to_read);
    tcase_add_test(tests, stopped_stage_is_said_to_be);
    tcase_add_test(tests, bytes_that_passed_are_counted_after_all_have_ended);
    tcase_add_test(tests, bytes_that_nobody_read_have_not_passed);
    tcase_add_test(tests, bytes_that_are_left_by_a_reader_stay_counted);
    tcase_add_test(tests, bytes_are_unknown_if_the_stage_might_write_elsewhere);
    tcase_add_test(tests, silent_standard_error_leaves_the_bytes_known);
    tcase_add_test(tests, words_on_standard_error_make_the_bytes_unknown);
    tcase_add_test(tests, stage_that_was_reaped_before_it_was_looked_at_is_unknown);
    tcase_add_test(tests, stages_of_another_user_are_unknown);
    tcase_add_test(tests, bytes_are_counted_for_an_unprivileged_user_too);
    tcase_add_test(tests, place_in_the_input_file_is_told);
    tcase_add_test(tests, end_and_broken_pipe_come_through_while_it_is_looked_at_without_pause);
    return support_run(suite);
}
