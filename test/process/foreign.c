/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in the runtime directory that are no mailboxes, or damaged ones: a clear error for who opens
 * or inspects them, listed all the same, and removed like any other.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static int find_name(const char *address, void *context)
{
    bool *found = context;

    *found |= strcmp(address, MAILBOX) == 0;
    return 0;
}

static const char *path(void)
{
    return path_in_directory(MAILBOX);
}

/* What is there now is refused with that error, named, and can be removed. */
static void expect_refused(int error)
{
    struct gnl_port_info info;
    bool found = false;
    gnl_port *port;

    ck_assert_int_eq(gnl_open(&port, MAILBOX, NULL), error);
    ck_assert_msg(strstr(gnl_error_detail(), "'m'"), "%s", gnl_error_detail());
    ck_assert_int_eq(gnl_open(&port, MAILBOX, &(struct gnl_options){ .create = GNL_OPEN_ONLY }), error);
    ck_assert_int_eq(gnl_open(&port, MAILBOX, &(struct gnl_options){ .create = GNL_CREATE_ONLY }), -EEXIST);
    ck_assert_int_eq(gnl_inspect(MAILBOX, &info, NULL, 0), error);
    ck_assert_int_eq(gnl_names(find_name, &found), 0);
    ck_assert(found);
    assert_ok(gnl_remove(MAILBOX));
    struct stat status;
    ck_assert_int_eq(lstat(path(), &status), -1);
    /* And then the name is free. */
    close_port(open_port(NULL));
    remove_mailbox();
}

static void write_file(const void *data, size_t size)
{
    int descriptor = open(path(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, data, size), (ssize_t)size);
    close(descriptor);
}

START_TEST(empty_file_is_refused)
{
    write_file("", 0);
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(short_file_is_refused)
{
    write_file("GNNELBOX", 8);
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(file_of_random_bytes_is_refused)
{
    static unsigned char junk[1 << 20];
    unsigned seed = (unsigned)now_ms();

    printf("seed %u\n", seed);
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (unsigned char)((seed = seed * 1103515245 + 12345) >> 16);
    write_file(junk, sizeof junk);
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(truncated_mailbox_is_refused)
{
    struct stat status;
    const off_t sizes[] = { 1, 100, 4096, -4096, -1 };

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        close_port(open_port(NULL));
        ck_assert_int_eq(stat(path(), &status), 0);
        ck_assert_int_eq(truncate(path(), sizes[i] > 0 ? sizes[i] : status.st_size + sizes[i]), 0);
        expect_refused(-EBADMSG);
    }
}
END_TEST

/* A header with one field absurd: offset, bytes, value. */
static void damage(off_t offset, size_t size, uint64_t value)
{
    close_port(open_port(NULL));
    int descriptor = open(path(), O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(pwrite(descriptor, &value, size, offset), (ssize_t)size);
    close(descriptor);
}

START_TEST(absurd_header_is_refused)
{
    const struct {
        off_t offset;
        size_t size;
        uint64_t value;
    } damages[] = {
        { 0, 8, 0 }, /* magic */
        { 0, 8, UINT64_MAX },
        { 12, 4, 2 }, /* two-way */
        { 12, 4, UINT32_MAX },
        { 16, 8, 0 }, /* capacity */
        { 16, 8, (uint64_t)-3 },
        { 16, 8, (uint64_t)INT64_MAX },
        { 16, 8, (uint64_t)1 << 24 }, /* larger than the file */
        { 24, 8, 0 },                 /* message_max */
        { 24, 8, UINT64_MAX },
        { 24, 8, ((uint64_t)1 << 31) + 1 },
        { 24, 8, (uint64_t)1 << 31 }, /* larger than the file */
        { 32, 8, 0 },                 /* arena */
        { 32, 8, 4097 },
        { 32, 8, UINT64_MAX },
        { 48, 8, 0x3b6d5b1b }, /* dead_letters: not an address */
    };

    for (unsigned i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        damage(damages[i].offset, damages[i].size, damages[i].value);
        expect_refused(-EBADMSG);
    }
}
END_TEST

START_TEST(other_layout_version_is_refused_in_a_sentence_that_names_both)
{
    gnl_port *port;

    damage(8, 4, 77);
    ck_assert_int_eq(gnl_open(&port, MAILBOX, NULL), -EPROTONOSUPPORT);
    ck_assert_msg(strstr(gnl_error_detail(), "version 77") && strstr(gnl_error_detail(), "version 3"), "%s",
                  gnl_error_detail());
    expect_refused(-EPROTONOSUPPORT);
}
END_TEST

START_TEST(directory_is_refused)
{
    ck_assert_int_eq(mkdir(path(), 0700), 0);
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(fifo_is_refused_and_nobody_waits_for_its_other_end)
{
    ck_assert_int_eq(mkfifo(path(), 0600), 0);
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(socket_is_refused)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path());
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    expect_refused(-EBADMSG);
    close(listener);
}
END_TEST

START_TEST(device_is_refused)
{
    if (mknod(path(), S_IFCHR | 0600, makedev(1, 3)) != 0)
        skip("needs the right to make a device");
    expect_refused(-EBADMSG);
}
END_TEST

START_TEST(symbolic_link_is_refused_and_removed_but_not_what_it_points_to)
{
    char target[4096];
    gnl_port *port;

    assert_ok(gnl_open(&port, "mailbox:target", NULL));
    snprintf(target, sizeof target, "%s", path_in_directory("mailbox:target"));
    ck_assert_int_eq(symlink(target, path()), 0);
    expect_refused(-EBADMSG);
    ck_assert_int_eq(symlink("nowhere", path()), 0);
    expect_refused(-EBADMSG);
    send_number(port, 1);
    ck_assert_uint_eq(receive_number(port), 1);
    close_port(port);
    assert_ok(gnl_remove("mailbox:target"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("foreign");
    TCase *damaged = support_case(suite, "damaged");
    TCase *foreign = support_case(suite, "foreign");

    tcase_add_test(damaged, empty_file_is_refused);
    tcase_add_test(damaged, short_file_is_refused);
    tcase_add_test(damaged, file_of_random_bytes_is_refused);
    tcase_add_test(damaged, truncated_mailbox_is_refused);
    tcase_add_test(damaged, absurd_header_is_refused);
    tcase_add_test(damaged, other_layout_version_is_refused_in_a_sentence_that_names_both);
    tcase_add_test(foreign, directory_is_refused);
    tcase_add_test(foreign, fifo_is_refused_and_nobody_waits_for_its_other_end);
    tcase_add_test(foreign, socket_is_refused);
    tcase_add_test(foreign, device_is_refused);
    tcase_add_test(foreign, symbolic_link_is_refused_and_removed_but_not_what_it_points_to);
    return support_run(suite);
}
