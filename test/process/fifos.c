/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIFOs, with the programs that everybody has: cat, tee, echo; writers that come and go, and no SIGPIPE.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char path[400], address[420];

static void choose_path(void)
{
    snprintf(path, sizeof path, "/tmp/ginnel-fifo-%d", (int)getpid());
    snprintf(address, sizeof address, "fifo:%s", path);
    unlink(path);
}

static gnl_port *open_fifo(enum gnl_direction direction)
{
    gnl_port *port;

    choose_path();
    ck_assert_msg(gnl_open(&port, address, &(struct gnl_options){ .direction = direction }) == 0, "%s",
                  gnl_error_detail());
    return port;
}

static void end(gnl_port *port)
{
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(address));
}

static int run_shell(void *command)
{
    char text[1024];

    snprintf(text, sizeof text, "F=%s; %s", path, (const char *)command);
    execl("/bin/sh", "sh", "-c", text, (char *)NULL);
    return 127;
}

static pid_t shell(const char *command)
{
    return support_fork(run_shell, (void *)(uintptr_t)command);
}

/* Everything until all writers have gone. */
static void expect_until_end(gnl_port *port, const char *text)
{
    char data[256];
    size_t got = 0;
    ssize_t size;

    while ((size = gnl_recv(port, data + got, sizeof data - got, PATIENCE)) > 0)
        got += (size_t)size;
    ck_assert_msg(size == -EPIPE, "%zd: %s", size, gnl_error_detail());
    ck_assert_uint_eq(got, strlen(text));
    ck_assert_mem_eq(data, text, got);
}

START_TEST(writers_come_and_go)
{
    gnl_port *port = open_fifo(GNL_RECV_ONLY);
    char byte;

    ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_recv(port, &byte, 1, gnl_ms(5)), -ETIMEDOUT);
    for (unsigned i = 0; i < 5; i++) {
        pid_t writer = shell("echo hello >$F");
        expect_until_end(port, "hello\n");
        support_expect_exit(writer, 0);
    }
    pid_t writer = shell("(echo one; echo two) | tee $F >/dev/null");
    expect_until_end(port, "one\ntwo\n");
    support_expect_exit(writer, 0);
    writer = shell(": >$F"); /* came, and said nothing */
    ck_assert_int_eq(gnl_recv(port, &byte, 1, PATIENCE), -EPIPE);
    support_expect_exit(writer, 0);
    end(port);
}
END_TEST

START_TEST(descriptor_tells_of_bytes_and_ends)
{
    gnl_port *port = open_fifo(GNL_RECV_ONLY);
    int descriptor = gnl_port_fd(port);
    struct pollfd entry = { .fd = descriptor, .events = POLLIN };
    char byte;

    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(poll(&entry, 1, 0), 0);
        pid_t writer = shell("printf x >$F");
        ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
        ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), 1);
        support_expect_exit(writer, 0);
        ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
        ck_assert_int_eq(gnl_recv(port, &byte, 1, GNL_NOWAIT), -EPIPE);
    }
    end(port);
}
END_TEST

START_TEST(cat_gets_what_is_sent)
{
    gnl_port *port = open_fifo(GNL_SEND_ONLY);
    static char data[300000];
    char command[600];

    ck_assert_int_eq(gnl_send(port, "x", 1, GNL_NOWAIT), -EAGAIN); /* nobody reads */
    ck_assert_int_eq(gnl_send(port, "x", 1, gnl_ms(15)), -ETIMEDOUT);
    snprintf(command, sizeof command, "[ $(cat $F | wc -c) = %zu ]", sizeof data + 6);
    pid_t reader = shell(command);
    assert_ok(gnl_send(port, "hello\n", 6, PATIENCE));
    assert_ok(gnl_send(port, data, sizeof data, PATIENCE));
    assert_ok(gnl_finish(port)); /* cat sees the end */
    support_expect_exit(reader, 0);
    end(port);
}
END_TEST

/* With SIGPIPE as it is by default, which would end the process. */
static int send_to_who_goes(void *context)
{
    gnl_port *port = context;
    sigset_t pending, pipe;
    int result;

    signal(SIGPIPE, SIG_DFL);
    for (unsigned round = 0; round < 2; round++) {
        pid_t reader = fork();
        if (reader == 0)
            execl("/bin/sh", "sh", "-c", "head -c 1 \"$0\" >/dev/null", path, (char *)NULL);
        while ((result = gnl_send(port, "line\n", 5, PATIENCE)) == 0)
            ;
        require(result == -EPIPE);
        require(waitpid(reader, NULL, 0) == reader);
    }
    /* One that was pending before stays. */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    require(sigprocmask(SIG_BLOCK, &pipe, NULL) == 0 && raise(SIGPIPE) == 0);
    int reading = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    require(gnl_send(port, "x", 1, PATIENCE) == 0);
    close(reading);
    require(gnl_send(port, "x", 1, PATIENCE) == -EPIPE);
    require(sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE));
    return 0;
}

static int open_and_send_to_who_goes(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, address, &(struct gnl_options){ .direction = GNL_SEND_ONLY }) == 0);
    send_to_who_goes(port);
    require(gnl_close(port) == 0);
    return 0;
}

START_TEST(reader_that_goes_raises_no_signal_and_another_may_come)
{
    choose_path();
    support_expect_exit(support_fork(open_and_send_to_who_goes, NULL), 0);
    assert_ok(gnl_remove(address));
}
END_TEST

START_TEST(links_and_other_files_are_refused)
{
    gnl_port *port;
    char target[420];
    struct stat status;

    choose_path();
    snprintf(target, sizeof target, "%s.real", path);
    ck_assert_int_eq(mkfifo(target, 0600), 0);
    ck_assert_int_eq(symlink(target, path), 0);
    ck_assert_int_eq(gnl_open(&port, address, NULL), -EPERM);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "symbolic link"));
    ck_assert_int_eq(gnl_remove(address), -EPERM);
    unlink(path);
    unlink(target);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(gnl_open(&port, address, NULL), -EBADMSG);
    unlink(path);
    ck_assert_int_eq(gnl_open(&port, address, &(struct gnl_options){ .create = GNL_OPEN_ONLY }), -ENOENT);
    umask(0777);
    assert_ok(gnl_open(&port, address, &(struct gnl_options){ .create = GNL_CREATE_ONLY, .mode = 0640 }));
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode, S_IFIFO | 0640);
    gnl_port *other;
    ck_assert_int_eq(gnl_open(&other, address, &(struct gnl_options){ .create = GNL_CREATE_ONLY }), -EEXIST);
    ck_assert_int_eq(gnl_open(&other, address, &(struct gnl_options){ .capacity = 3 }), -EINVAL);
    end(port);
    ck_assert_int_eq(gnl_address_check("fifo:"), -EINVAL);
    memset(address + 5, 'x', 200);
    address[205] = '\0';
    ck_assert_int_eq(gnl_address_check(address), -ENAMETOOLONG);
}
END_TEST

/* Again and again a link to the file of somebody who trusts nobody is where the FIFO was just made. */
static int put_links(void *context)
{
    char link[440];

    snprintf(link, sizeof link, "%s.link", path);
    while (symlink(context, link) == 0 || errno == EEXIST)
        rename(link, path);
    return 1;
}

START_TEST(link_that_takes_its_place_leads_nowhere)
{
    char target[420];
    struct stat status;
    gnl_port *port;

    choose_path();
    snprintf(target, sizeof target, "%s.secret", path);
    close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    pid_t other = support_fork(put_links, target);
    for (unsigned i = 0; i < 5000; i++) {
        unlink(path);
        int result = gnl_open(&port, address, &(struct gnl_options){ .mode = 0666 });
        if (result == 0)
            assert_ok(gnl_close(port));
        else
            ck_assert_msg(result == -EPERM || result == -ENOENT, "%d: %s", result, gnl_error_detail());
    }
    support_kill(other);
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
    char link[440];
    snprintf(link, sizeof link, "%s.link", path);
    unlink(link);
    unlink(path);
    unlink(target);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fifos");
    TCase *programs = support_case(suite, "programs");

    tcase_add_test(programs, writers_come_and_go);
    tcase_add_test(programs, descriptor_tells_of_bytes_and_ends);
    tcase_add_test(programs, cat_gets_what_is_sent);
    tcase_add_test(programs, reader_that_goes_raises_no_signal_and_another_may_come);
    tcase_add_test(programs, link_that_takes_its_place_leads_nowhere);
    tcase_add_test(programs, links_and_other_files_are_refused);
    return support_run(suite);
}
