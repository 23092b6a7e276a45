/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waitsets as programs meet them: tags and turns, plain descriptors, storms of signals, threads, forks, and
 * no descriptors left.
 */
#include "waiting.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

/* ---- tags and turns ---- */

START_TEST(one_tag_may_be_of_several_members)
{
    gnl_waitset *set = new_set();
    struct gnl_event events[4];
    int ends[2][2];

    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(pipe(ends[i]), 0);
        assert_ok(gnl_waitset_add_fd(set, ends[i][0], GNL_READABLE, &ends));
        ck_assert_int_eq(write(ends[i][1], "x", 1), 1);
    }
    ck_assert_int_eq(gnl_waitset_wait(set, events, 4, GNL_NOWAIT), 2);
    assert_ok(gnl_waitset_remove(set, &ends)); /* both */
    ck_assert_int_eq(gnl_waitset_wait(set, events, 4, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(gnl_waitset_remove(set, &ends), -ENOENT);
    ck_assert(strstr(gnl_error_detail(), "tag") != NULL);
    assert_ok(gnl_waitset_add_fd(set, ends[0][0], GNL_READABLE, NULL));
    ck_assert_uint_eq(told(set, NULL, PATIENCE), GNL_READABLE);
    gnl_waitset_free(set);
    for (unsigned i = 0; i < 4; i++)
        close(ends[i / 2][i % 2]);
}
END_TEST

/* Where more are ready than one asks for, all have their turn. */
START_TEST(no_ready_member_is_kept_waiting)
{
    enum { MEMBERS = 100, AT_ONCE = 7 };
    gnl_waitset *set = new_set();
    struct gnl_event events[AT_ONCE];
    unsigned times[MEMBERS] = { 0 };
    int descriptors[MEMBERS];

    for (unsigned i = 0; i < MEMBERS; i++) {
        descriptors[i] = eventfd(1, EFD_CLOEXEC);
        assert_ok(gnl_waitset_add_fd(set, descriptors[i], GNL_READABLE, &times[i]));
    }
    for (unsigned told_of = 0; told_of < 10 * MEMBERS;) {
        int count = gnl_waitset_wait(set, events, AT_ONCE, GNL_NOWAIT);
        ck_assert_int_eq(count, AT_ONCE);
        for (int i = 0; i < count; i++)
            ++*(unsigned *)events[i].tag;
        told_of += (unsigned)count;
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        ck_assert_msg(times[i] >= 9 && times[i] <= 11, "member %u was told of %u times", i, times[i]);
    gnl_waitset_free(set);
    for (unsigned i = 0; i < MEMBERS; i++)
        close(descriptors[i]);
}
END_TEST

START_TEST(thousands_come_and_go)
{
    enum { MEMBERS = 10000 };
    static int descriptors[MEMBERS];
    struct rlimit limit, more = { .rlim_cur = MEMBERS + 100, .rlim_max = MEMBERS + 100 };
    gnl_waitset *set = new_set();

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < more.rlim_cur && setrlimit(RLIMIT_NOFILE, &more) != 0) {
        gnl_waitset_free(set);
        skip("no more than %lu descriptors\n", (unsigned long)limit.rlim_cur);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        descriptors[i] = eventfd(0, EFD_CLOEXEC);
        if (gnl_waitset_add_fd(set, descriptors[i], GNL_READABLE, &descriptors[i]) < 0)
            ck_abort_msg("member %u: %s", i, gnl_error_detail());
    }
    for (unsigned i = 0; i < MEMBERS; i += 97) {
        uint64_t one = 1;
        ck_assert_int_eq(write(descriptors[i], &one, sizeof one), sizeof one);
        ck_assert_uint_eq(told(set, &descriptors[i], PATIENCE), GNL_READABLE);
        assert_ok(gnl_waitset_remove(set, &descriptors[i]));
    }
    ck_assert_uint_eq(told(set, NULL, GNL_NOWAIT), 0);
    for (unsigned i = 0; i < MEMBERS; i += 97)
        assert_ok(gnl_waitset_add_fd(set, descriptors[i], GNL_WRITABLE, &descriptors[i]));
    struct gnl_event events[200];
    ck_assert_int_ge(gnl_waitset_wait(set, events, 200, GNL_NOWAIT), 64);
    gnl_waitset_free(set);
    for (unsigned i = 0; i < MEMBERS; i++)
        close(descriptors[i]);
}
END_TEST

/* ---- plain descriptors ---- */

START_TEST(plain_descriptors_tell_what_epoll_does)
{
    gnl_waitset *set = new_set();
    int ends[2], pair[2];
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_ok(gnl_waitset_add_fd(set, ends[0], GNL_READABLE, ends));
    ck_assert_uint_eq(told(set, ends, GNL_NOWAIT), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    ck_assert_uint_eq(told(set, ends, GNL_NOWAIT), GNL_READABLE);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    close(ends[1]);
    ck_assert_uint_eq(told(set, ends, PATIENCE), GNL_READABLE | GNL_ENDED);
    assert_ok(gnl_waitset_remove(set, ends));
    close(ends[0]);

    ck_assert_int_eq(pipe(ends), 0);
    assert_ok(gnl_waitset_add_fd(set, ends[1], GNL_WRITABLE, ends));
    ck_assert_uint_eq(told(set, ends, PATIENCE), GNL_WRITABLE);
    close(ends[0]);
    ck_assert_uint_eq(told(set, ends, PATIENCE), GNL_WRITABLE | GNL_ENDED);
    assert_ok(gnl_waitset_remove(set, ends));
    close(ends[1]);

    assert_ok(gnl_waitset_add_fd(set, pair[0], GNL_READABLE | GNL_WRITABLE, pair));
    ck_assert_uint_eq(told(set, pair, PATIENCE), GNL_WRITABLE);
    shutdown(pair[1], SHUT_WR);
    ck_assert_uint_eq(told(set, pair, PATIENCE), GNL_READABLE | GNL_WRITABLE | GNL_ENDED);
    gnl_waitset_free(set);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(what_cannot_be_waited_for_is_refused)
{
    gnl_waitset *set = new_set(), *none = NULL;
    struct gnl_event event;
    FILE *file = tmpfile();

    ck_assert_int_eq(gnl_waitset_add_fd(set, fileno(file), GNL_READABLE, set), -EOPNOTSUPP);
    ck_assert_int_eq(gnl_waitset_add_fd(set, -1, GNL_READABLE, set), -EBADF);
    ck_assert_int_eq(gnl_waitset_add_fd(set, 12345, GNL_READABLE, set), -EBADF);
    ck_assert_int_eq(gnl_waitset_add_fd(set, 0, 0, set), -EINVAL);
    ck_assert_int_eq(gnl_waitset_add_fd(set, gnl_waitset_fd(set), GNL_READABLE, set), -EINVAL);
    ck_assert_int_eq(gnl_waitset_add_port(set, NULL, GNL_READABLE, set), -EINVAL);
    ck_assert_int_eq(gnl_waitset_add_identity(set, NULL, set), -EINVAL);
    ck_assert_int_eq(gnl_waitset_remove(set, set), -ENOENT); /* nothing of that was kept */
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 0, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_waitset_wait(set, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, -2), -EINVAL);
    ck_assert_int_eq(gnl_waitset_wait(none, &event, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_waitset_fd(none), -EINVAL);
    ck_assert_int_eq(gnl_waitset_new(NULL), -EINVAL);
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, GNL_NOWAIT), -EAGAIN);
    gnl_waitset_free(set);
    gnl_waitset_free(NULL);
    fclose(file);
}
END_TEST

START_TEST(set_waits_in_another_and_in_poll)
{
    gnl_waitset *inner = new_set(), *outer = new_set();
    gnl_port *port = new_port(MAILBOX);
    struct pollfd entry = { .fd = gnl_waitset_fd(inner), .events = POLLIN };

    assert_ok(gnl_waitset_add_port(inner, port, GNL_READABLE, port));
    assert_ok(gnl_waitset_add_fd(outer, gnl_waitset_fd(inner), GNL_READABLE, inner));
    ck_assert_int_eq(poll(&entry, 1, 0), 0);
    assert_ok(gnl_send(port, "x", 1, GNL_NOWAIT));
    ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
    ck_assert_uint_eq(told(outer, inner, PATIENCE), GNL_READABLE);
    ck_assert_uint_eq(told(inner, port, PATIENCE), GNL_READABLE);
    ck_assert_int_eq(gnl_recv(port, &(char){ 0 }, 1, GNL_NOWAIT), 1);
    ck_assert_int_eq(poll(&entry, 1, 0), 0);
    gnl_waitset_free(outer);
    gnl_waitset_free(inner);
    drop_port(port, MAILBOX);
}
END_TEST

/* ---- signals ---- */

static volatile sig_atomic_t storms;

static void count_storms(int signo)
{
    (void)signo;
    storms++;
}

START_TEST(storm_of_signals_neither_ends_nor_lengthens_a_wait)
{
    struct itimerval each_ms = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 }, none = { 0 };
    struct sigaction action = { .sa_handler = count_storms }; /* no SA_RESTART */
    gnl_waitset *set = new_set();
    gnl_port *port = new_port(MAILBOX);
    struct gnl_event event;

    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    sigaction(SIGALRM, &action, NULL);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &each_ms, NULL), 0);
    int64_t start = now_ms();
    ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, gnl_ms(500)), -ETIMEDOUT);
    int64_t waited = now_ms() - start;
    ck_assert_int_ge(waited, 499);
    ck_assert_int_ge(storms, 20); /* else there was no storm */
    for (unsigned i = 0; i < 1000; i++) {
        if (gnl_send(port, &i, sizeof i, GNL_NOWAIT) < 0 || gnl_waitset_wait(set, &event, 1, PATIENCE) != 1 ||
            gnl_recv(port, &i, sizeof i, GNL_NOWAIT) != sizeof i)
            ck_abort_msg("round %u: %s", i, gnl_error_detail());
    }
    setitimer(ITIMER_REAL, &none, NULL);
    gnl_waitset_free(set);
    drop_port(port, MAILBOX);
}
END_TEST

/* ---- no descriptors ---- */

START_TEST(without_descriptors_a_set_stays_as_it_is)
{
    struct rlimit limit, none;
    gnl_waitset *set = new_set(), *second = NULL;
    gnl_port *port = new_port(MAILBOX), *other = new_port("mailbox:other");
    gnl_identity *me = claim("alice");

    assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    none = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(gnl_waitset_new(&second), -EMFILE);
    ck_assert_int_eq(gnl_waitset_add_port(set, other, GNL_READABLE, other), -EMFILE);
    ck_assert_int_eq(gnl_waitset_add_port(set, other, GNL_WRITABLE, other), -EMFILE);
    ck_assert_int_eq(gnl_waitset_add_identity(set, me, me), -EMFILE);
    none.rlim_cur++; /* one is enough for the first of two, which is then not kept in the set either */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(gnl_waitset_new(&second), -EMFILE);
    ck_assert_int_eq(gnl_waitset_add_port(set, other, GNL_READABLE | GNL_WRITABLE, other), -EMFILE);
    ck_assert_int_eq(gnl_waitset_remove(set, other), -ENOENT);
    assert_ok(gnl_send(port, "x", 1, GNL_NOWAIT));
    ck_assert_uint_eq(told(set, port, PATIENCE), GNL_READABLE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_ok(gnl_waitset_add_port(set, other, GNL_READABLE | GNL_WRITABLE, port));
    gnl_waitset_free(set);
    release(me);
    drop_port(port, MAILBOX);
    drop_port(other, "mailbox:other");
}
END_TEST

/* ---- fork ---- */

struct inheritance {
    gnl_waitset *set;
    gnl_port *port;
    gnl_identity *me;
};

static int use_in_child(void *context)
{
    struct inheritance *inherited = context;
    struct gnl_event event;
    gnl_waitset *own;

    require(gnl_waitset_wait(inherited->set, &event, 1, GNL_NOWAIT) == -EPERM);
    require(gnl_waitset_add_fd(inherited->set, 0, GNL_READABLE, NULL) == -EPERM);
    require(gnl_waitset_remove(inherited->set, inherited->port) == -EPERM);
    require(gnl_waitset_fd(inherited->set) == -EPERM);
    require(gnl_waitset_new(&own) == 0);
    require(gnl_waitset_add_port(own, inherited->port, GNL_READABLE, own) == 0);
    require(gnl_send(inherited->port, "x", 1, GNL_NOWAIT) == 0);
    require(gnl_waitset_wait(own, &event, 1, SOON) == 1 && event.tag == own);
    gnl_waitset_free(inherited->set);
    require(gnl_close(inherited->port) == 0);
    require(gnl_waitset_wait(own, &event, 1, GNL_NOWAIT) == -EAGAIN);
    gnl_waitset_free(own);
    return 0;
}

static int close_in_child(void *context)
{
    struct inheritance *inherited = context;

    require(gnl_close(inherited->port) == 0);
    require(gnl_identity_release(inherited->me) == 0);
    gnl_waitset_free(inherited->set);
    return 0;
}

static int count_awake(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    char path[300], line[512];
    int awake = 0;

    while (tasks && (entry = readdir(tasks))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(line, sizeof line, file) && strrchr(line, ')'))
            awake += strrchr(line, ')')[2] != 'S';
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return awake;
}

static bool others_sleep(void *context)
{
    (void)context;
    return count_awake() == 1;
}

/* Sanitizers do not keep their allocator's locks over fork: no helper may be in it then. */
static pid_t fork_while_others_sleep(int (*run)(void *context), void *context)
{
    ck_assert(support_until(others_sleep, NULL));
    return support_fork(run, context);
}

START_TEST(forked_child_leaves_the_parents_set_alone)
{
    struct inheritance all = { .set = new_set(), .port = new_port(MAILBOX) };
    gnl_port *link;

    assert_ok(gnl_waitset_add_port(all.set, all.port, GNL_READABLE, all.port));
    support_expect_exit(fork_while_others_sleep(use_in_child, &all), 0);
    all.me = claim("bob");
    assert_ok(gnl_open(&link, "direct:alice", &(struct gnl_options){ .identity = all.me }));
    assert_ok(gnl_waitset_add_port(all.set, link, GNL_READABLE | GNL_WRITABLE, link));
    assert_ok(gnl_waitset_add_identity(all.set, all.me, all.me));
    support_expect_exit(fork_while_others_sleep(close_in_child, &all), 0);
    ck_assert_uint_eq(told(all.set, all.port, PATIENCE), GNL_READABLE); /* what the child had sent */
    ck_assert_int_eq(gnl_recv(all.port, &(char){ 0 }, 1, GNL_NOWAIT), 1);
    ck_assert_uint_eq(told(all.set, all.port, GNL_NOWAIT), 0);
    assert_ok(gnl_waitset_remove(all.set, all.port));
    assert_ok(gnl_waitset_remove(all.set, all.me));
    gnl_waitset_free(all.set);
    release(all.me);
    drop_port(all.port, MAILBOX);
}
END_TEST

/* ---- threads ---- */

#define CHANGES 2000

struct crowd {
    gnl_waitset *set;
    gnl_port *port;
    int descriptor;
    atomic_uint received;
    atomic_bool over;
};

/* Adds and removes, closes and opens, while others wait. */
static void *change(void *context)
{
    struct crowd *crowd = context;
    int tag, ends[2];
    gnl_port *port;

    for (unsigned i = 0; i < CHANGES; i++) {
        require(pipe(ends) == 0);
        require(gnl_waitset_add_fd(crowd->set, ends[1], GNL_WRITABLE, &tag) == 0);
        require(gnl_waitset_remove(crowd->set, &tag) == 0);
        close(ends[0]);
        close(ends[1]);
        if (i % 20 == 0) {
            require(gnl_open(&port, "mailbox:other", NULL) == 0);
            require(gnl_waitset_add_port(crowd->set, port, GNL_READABLE | GNL_WRITABLE, &tag) == 0);
            if (i % 40 == 0)
                require(gnl_waitset_remove(crowd->set, &tag) == 0);
            require(gnl_close(port) == 0);
        }
    }
    return NULL;
}

static void *wait_and_receive(void *context)
{
    struct crowd *crowd = context;
    struct gnl_event events[4];
    unsigned number;

    while (!atomic_load(&crowd->over)) {
        int count = gnl_waitset_wait(crowd->set, events, 4, gnl_ms(50));
        require(count > 0 || count == -ETIMEDOUT);
        for (int i = 0; i < count; i++)
            if (events[i].tag == crowd && gnl_recv(crowd->port, &number, sizeof number, GNL_NOWAIT) > 0)
                atomic_fetch_add(&crowd->received, 1);
    }
    return NULL;
}

START_TEST(threads_add_and_remove_while_others_wait)
{
    enum { WAITERS = 3, CHANGERS = 2 };
    struct crowd crowd = { .set = new_set(), .port = new_port(MAILBOX) };
    pthread_t waiters[WAITERS], changers[CHANGERS];

    assert_ok(gnl_waitset_add_port(crowd.set, crowd.port, GNL_READABLE, &crowd));
    for (unsigned i = 0; i < WAITERS; i++)
        ck_assert_int_eq(pthread_create(&waiters[i], NULL, wait_and_receive, &crowd), 0);
    for (unsigned i = 0; i < CHANGERS; i++)
        ck_assert_int_eq(pthread_create(&changers[i], NULL, change, &crowd), 0);
    for (unsigned i = 0; i < CHANGES; i++)
        if (gnl_send(crowd.port, &i, sizeof i, PATIENCE) < 0)
            ck_abort_msg("message %u: %s", i, gnl_error_detail());
    while (atomic_load(&crowd.received) < CHANGES)
        pause_us(1000);
    for (unsigned i = 0; i < CHANGERS; i++)
        pthread_join(changers[i], NULL);
    atomic_store(&crowd.over, true);
    for (unsigned i = 0; i < WAITERS; i++)
        pthread_join(waiters[i], NULL);
    ck_assert_uint_eq(atomic_load(&crowd.received), CHANGES);
    gnl_waitset_free(crowd.set);
    drop_port(crowd.port, MAILBOX);
    assert_ok(gnl_remove("mailbox:other"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waits");
    TCase *members = support_case(suite, "members"), *storms_case = support_case(suite, "storms");

    tcase_add_test(members, one_tag_may_be_of_several_members);
    tcase_add_test(members, no_ready_member_is_kept_waiting);
    tcase_add_test(members, thousands_come_and_go);
    tcase_add_test(members, plain_descriptors_tell_what_epoll_does);
    tcase_add_test(members, what_cannot_be_waited_for_is_refused);
    tcase_add_test(members, set_waits_in_another_and_in_poll);
    tcase_add_test(storms_case, storm_of_signals_neither_ends_nor_lengthens_a_wait);
    tcase_add_test(storms_case, without_descriptors_a_set_stays_as_it_is);
    tcase_add_test(storms_case, forked_child_leaves_the_parents_set_alone);
    tcase_add_test(storms_case, threads_add_and_remove_while_others_wait);
    return support_run(suite);
}
