/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments handed over on direct links, between processes: rights, order, and what is in the way.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ginnel/identity.h>
#include <ginnel/segment.h>

#define PATIENCE gnl_ms(PATIENCE_MS)
#define SIZE     ((size_t)100000)

/*
 * Every memfd of segments that this process has, opened anew for writing or mapped so: does any of it work?
 */
static bool any_writable(void)
{
    char path[64], target[256];
    bool writable = false;

    for (int descriptor = 3; descriptor < 256; descriptor++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (!strstr(target, "memfd:") || strstr(target, "ginnel-link"))
            continue;
        void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        writable |= map != MAP_FAILED;
        int again = open(path, O_RDWR | O_CLOEXEC);
        if (again >= 0) {
            map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
            writable |= map != MAP_FAILED || write(again, "x", 1) == 1 || ftruncate(again, 0) == 0 ||
                        fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
            close(again);
        }
    }
    return writable;
}

static int look_only(void *context)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;
    char text[16];

    (void)context;
    require(gnl_identity_claim(&me, "bob") == 0);
    require(gnl_link(me, "alice", &port, PATIENCE) == 0);
    /* In the order sent, and neither in place of the other. */
    require(gnl_segment_receive(port, &segment, PATIENCE) == -ENOMSG);
    require(gnl_recv(port, text, sizeof text, PATIENCE) == 6 && memcmp(text, "before", 6) == 0);
    require(gnl_recv(port, text, sizeof text, PATIENCE) == -ENOMSG);
    require(gnl_segment_receive(port, &segment, PATIENCE) == 0);
    require(gnl_recv(port, text, sizeof text, PATIENCE) == 5 && memcmp(text, "after", 5) == 0);
    require(gnl_segment_size(segment) == SIZE);
    char *data = gnl_segment_data(segment);
    require(data[0] == 'a' && data[SIZE - 1] == 'z');
    require(mprotect(data, 4096, PROT_READ | PROT_WRITE) != 0);
    require(!any_writable());
    require(gnl_segment_lock(segment, GNL_NOWAIT) == -EACCES);
    uint64_t version = gnl_segment_version(segment);
    require(gnl_send(port, "seen", 4, PATIENCE) == 0);
    require(gnl_segment_wait(segment, version, PATIENCE) == 0); /* the writer goes on */
    require(gnl_segment_snapshot(segment, 0, text, 1, PATIENCE) == 0 && text[0] == 'b');
    require(gnl_segment_detach(segment) == 0);
    require(gnl_identity_release(me) == 0);
    return 0;
}

START_TEST(reader_has_no_way_to_write_and_the_writer_goes_on)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;
    char text[8];
    pid_t child = support_fork(look_only, NULL);

    assert_ok(gnl_identity_claim(&me, "alice"));
    assert_ok(gnl_segment_create(&segment, NULL, SIZE, NULL));
    char *data = gnl_segment_data(segment);
    data[0] = 'a';
    data[SIZE - 1] = 'z';
    assert_ok(gnl_link(me, "bob", &port, PATIENCE));
    assert_ok(gnl_send(port, "before", 6, PATIENCE));
    assert_ok(gnl_segment_give(port, segment, GNL_READ, PATIENCE));
    assert_ok(gnl_send(port, "after", 5, PATIENCE));
    ck_assert_int_eq(gnl_segment_give(port, segment, GNL_READ | GNL_WRITE, PATIENCE), -EPERM); /* too late */
    ck_assert_int_eq(gnl_recv(port, text, sizeof text, PATIENCE), 4);
    assert_ok(gnl_segment_lock(segment, PATIENCE));
    data[0] = 'b';
    assert_ok(gnl_segment_unlock(segment));
    support_expect_exit(child, 0);
    assert_ok(gnl_segment_detach(segment));
    assert_ok(gnl_identity_release(me));
}
END_TEST

static int change_it(void *context)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;

    (void)context;
    require(gnl_identity_claim(&me, "bob") == 0);
    require(gnl_link(me, "alice", &port, PATIENCE) == 0);
    for (unsigned i = 0; i < 200; i++) {
        require(gnl_segment_receive(port, &segment, PATIENCE) == 0);
        require(gnl_segment_lock(segment, PATIENCE) == 0);
        ++*(unsigned *)gnl_segment_data(segment);
        require(gnl_segment_unlock(segment) == 0);
        require(gnl_segment_detach(segment) == 0);
    }
    require(gnl_identity_release(me) == 0);
    return 0;
}

START_TEST(writer_works_with_the_giver_under_its_lock)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;
    pid_t child = support_fork(change_it, NULL);

    assert_ok(gnl_identity_claim(&me, "alice"));
    assert_ok(gnl_segment_create(&segment, NULL, SIZE, NULL));
    assert_ok(gnl_link(me, "bob", &port, PATIENCE));
    for (unsigned i = 0; i < 200; i++) {
        assert_ok(gnl_segment_give(port, segment, GNL_READ | GNL_WRITE, PATIENCE));
        assert_ok(gnl_segment_lock(segment, PATIENCE));
        ++*(unsigned *)gnl_segment_data(segment);
        assert_ok(gnl_segment_unlock(segment));
    }
    support_expect_exit(child, 0);
    ck_assert_uint_eq(*(unsigned *)gnl_segment_data(segment), 400);
    assert_ok(gnl_segment_detach(segment));
    assert_ok(gnl_identity_release(me));
}
END_TEST

/* What was given by one who has died since arrives. */
static int give_and_die(void *context)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;

    (void)context;
    require(gnl_identity_claim(&me, "giver") == 0);
    require(gnl_segment_create(&segment, NULL, SIZE, NULL) == 0);
    *(char *)gnl_segment_data(segment) = 'x';
    require(gnl_link(me, "taker", &port, PATIENCE) == 0);
    require(gnl_segment_give(port, segment, GNL_READ, PATIENCE) == 0);
    _exit(0);
}

START_TEST(given_segment_outlives_its_giver)
{
    gnl_identity *me;
    gnl_segment *segment;
    gnl_port *port;

    assert_ok(gnl_identity_claim(&me, "taker"));
    support_expect_exit(support_fork(give_and_die, NULL), 0);
    assert_ok(gnl_open(&port, "direct:giver", &(struct gnl_options){ .identity = me }));
    assert_ok(gnl_segment_receive(port, &segment, PATIENCE));
    ck_assert_int_eq(*(char *)gnl_segment_data(segment), 'x');
    ck_assert_int_eq(gnl_recv(port, NULL, 0, PATIENCE), -EPIPE);
    assert_ok(gnl_segment_detach(segment));
    assert_ok(gnl_identity_release(me));
    assert_ok(gnl_remove("direct:giver")); /* what it left of its name */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handover");
    TCase *handing = support_case(suite, "handing over");

    tcase_add_test(handing, reader_has_no_way_to_write_and_the_writer_goes_on);
    tcase_add_test(handing, writer_works_with_the_giver_under_its_lock);
    tcase_add_test(handing, given_segment_outlives_its_giver);
    return support_run(suite);
}
