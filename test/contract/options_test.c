/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening mailboxes: options that make sense or not, that agree with what exists or not; names,
 * modes, owners; and arguments that no call takes.
 */
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ADDRESS "mailbox:options"

static gnl_port *const untouched = (gnl_port *)&untouched;

static void expect_refused(int code, const char *address, const struct gnl_options *options)
{
    gnl_port *port = untouched;

    int result = gnl_open(&port, address, options);
    ck_assert_msg(result == code, "%d, not %d: %s", result, code, gnl_error_detail());
    ck_assert_ptr_eq(port, untouched);
    ck_assert_str_ne(gnl_error_detail(), "");
}

static void open_and_close(const char *address, const struct gnl_options *options)
{
    gnl_port *port;

    assert_ok(gnl_open(&port, address, options));
    assert_ok(gnl_close(port));
}

static struct gnl_port_info info_of(const char *address)
{
    struct gnl_port_info info;

    assert_ok(gnl_inspect(address, &info, NULL, 0));
    return info;
}

static const char *path_of(const char *address)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", support_directory(), address);
    return path;
}

/* ---- options ---- */

static const struct gnl_options nonsense[] = {
    { .capacity = -3 },
    { .capacity = INT64_MIN },
    { .capacity = GNL_CAPACITY_MAX + 1 },
    { .message_max = GNL_MESSAGE_MAX_LIMIT + 1 },
    { .message_max = SIZE_MAX },
    { .mode = 01000 },
    { .mode = 0400 }, /* its owner could not open it */
    { .mode = 0066 },
    { .mode = 04600 },
    { .mode = S_IFREG | 0600 },
    { .create = (enum gnl_create)3 },
    { .direction = (enum gnl_direction)3 },
    { .side = (enum gnl_side)3 },
    { .max_deliveries = UINT32_MAX },
    { .dead_letters = "graves" },
    { .max_deliveries = 1, .dead_letters = "" },
    { .max_deliveries = 1, .dead_letters = "a/b" },
    { .max_deliveries = 1, .dead_letters = "direct:bob" },
    { .identity = (gnl_identity *)&nonsense },
    { .stream = 1 },
    { .reserved = { 1 } },
    { .reserved = { 0, 1 } },
    { .reserved = { 0, 0, 1 } },
    { .reserved = { 0, 0, 0, 1 } },
};

START_TEST(options_that_make_no_sense_are_einval)
{
    expect_refused(-EINVAL, ADDRESS, &nonsense[_i]);
    ck_assert_int_eq(access(path_of(ADDRESS), F_OK), -1); /* and nothing was made */
}
END_TEST

START_TEST(defaults_are_what_the_header_says)
{
    open_and_close(ADDRESS, NULL);
    struct gnl_port_info info = info_of(ADDRESS);
    ck_assert_int_eq(info.capacity, GNL_CAPACITY_DEFAULT);
    ck_assert_uint_eq(info.message_max, GNL_MESSAGE_MAX_DEFAULT);
    ck_assert_uint_eq(info.mode, 0600);
    ck_assert_uint_eq(info.max_deliveries, 0);
    ck_assert_str_eq(info.dead_letters, "");
    ck_assert_int_eq(info.two_way, 0);
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

static const struct gnl_options made = {
    .capacity = 10, .message_max = 500, .mode = 0640, .max_deliveries = 3, .dead_letters = "graves"
};

START_TEST(zero_takes_what_is_there_and_the_same_value_agrees)
{
    static const struct gnl_options agreeing[] = {
        { .capacity = 0 },
        { .capacity = 10 },
        { .message_max = 500 },
        { .mode = 0640 },
        { .max_deliveries = 3 },
        { .max_deliveries = 3, .dead_letters = "mailbox:graves" },
        { .create = GNL_OPEN_ONLY, .direction = GNL_RECV_ONLY },
    };
    open_and_close(ADDRESS, &made);
    open_and_close(ADDRESS, &made);
    open_and_close(ADDRESS, NULL);
    for (size_t i = 0; i < sizeof agreeing / sizeof agreeing[0]; i++)
        open_and_close(ADDRESS, &agreeing[i]);
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(another_value_than_what_exists_has_is_einval)
{
    static const struct gnl_options differing[] = {
        { .capacity = 11 },
        { .capacity = GNL_UNBOUNDED },
        { .capacity = GNL_RENDEZVOUS },
        { .message_max = 501 },
        { .mode = 0600 },
        { .max_deliveries = 2 },
        { .max_deliveries = 3, .dead_letters = "others" },
        { .max_deliveries = 3, .dead_letters = "mailbox:/graves" },
        { .side = GNL_SIDE_A },
    };
    open_and_close(ADDRESS, &made);
    for (size_t i = 0; i < sizeof differing / sizeof differing[0]; i++) {
        expect_refused(-EINVAL, ADDRESS, &differing[i]);
        ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "mailbox 'options'"));
    }
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(two_way_mailbox_wants_a_side)
{
    open_and_close(ADDRESS, &(struct gnl_options){ .side = GNL_SIDE_A });
    open_and_close(ADDRESS, &(struct gnl_options){ .side = GNL_SIDE_B });
    expect_refused(-EINVAL, ADDRESS, NULL);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "which side"));
    ck_assert_int_eq(info_of(ADDRESS).two_way, 1);
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(largest_and_smallest_options_work)
{
    static const struct gnl_options extreme[] = {
        { .capacity = GNL_CAPACITY_MAX },
        { .capacity = 1, .message_max = 1 },
        { .capacity = GNL_UNBOUNDED, .message_max = GNL_MESSAGE_MAX_LIMIT },
        { .capacity = GNL_CAPACITY_MAX, .message_max = GNL_MESSAGE_MAX_LIMIT, .side = GNL_SIDE_A },
    };
    for (size_t i = 0; i < sizeof extreme / sizeof extreme[0]; i++) {
        gnl_port *port, *other;
        struct gnl_options options = extreme[i];
        assert_ok(gnl_open(&port, ADDRESS, &options));
        if (options.side == GNL_SIDE_A)
            options.side = GNL_SIDE_B;
        assert_ok(gnl_open(&other, ADDRESS, &options));
        ck_assert_uint_lt(info_of(ADDRESS).bytes, 4 << 20); /* capacity and message_max reserve nothing */
        send_message(port, 1, 5);
        expect_message(other, 1, 5);
        if (options.message_max != 1) {
            send_message(port, 100000, 6);
            expect_message(other, 100000, 6);
        }
        assert_ok(gnl_close(port));
        assert_ok(gnl_close(other));
        assert_ok(gnl_remove(ADDRESS));
    }
}
END_TEST

/* ---- making, opening ---- */

START_TEST(create_only_wants_a_free_name)
{
    open_and_close(ADDRESS, &(struct gnl_options){ .create = GNL_CREATE_ONLY });
    expect_refused(-EEXIST, ADDRESS, &(struct gnl_options){ .create = GNL_CREATE_ONLY });
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "mailbox 'options'"));
    assert_ok(gnl_remove(ADDRESS));
    open_and_close(ADDRESS, &(struct gnl_options){ .create = GNL_CREATE_ONLY });
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(open_only_wants_an_existing_name)
{
    expect_refused(-ENOENT, ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY });
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "mailbox 'options'"));
    open_and_close(ADDRESS, NULL);
    open_and_close(ADDRESS, &(struct gnl_options){ .create = GNL_OPEN_ONLY });
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(mode_is_exact_whatever_the_umask)
{
    static const mode_t modes[] = { 0600, 0640, 0660, 0666, 0777 };
    struct stat status;

    umask(0777);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        open_and_close(ADDRESS, &(struct gnl_options){ .mode = modes[i] });
        ck_assert_int_eq(stat(path_of(ADDRESS), &status), 0);
        ck_assert_uint_eq(status.st_mode & 07777, modes[i]);
        ck_assert_uint_eq(info_of(ADDRESS).mode, modes[i]);
        assert_ok(gnl_remove(ADDRESS));
    }
}
END_TEST

START_TEST(owner_uid_refuses_what_another_user_made)
{
    uid_t me = geteuid();

    open_and_close(ADDRESS, NULL);
    open_and_close(ADDRESS, &(struct gnl_options){ .owner_uid = me == 0 ? GNL_OWNER_ROOT : me });
    expect_refused(-EPERM, ADDRESS, &(struct gnl_options){ .owner_uid = me + 1 });
    if (me == 0) {
        ck_assert_int_eq(chown(path_of(ADDRESS), 12345, 12345), 0);
        expect_refused(-EPERM, ADDRESS, &(struct gnl_options){ .owner_uid = GNL_OWNER_ROOT });
        ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "12345"));
        open_and_close(ADDRESS, &(struct gnl_options){ .owner_uid = 12345 });
        open_and_close(ADDRESS, NULL);
    }
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(refused_owner_makes_nothing)
{
    expect_refused(-EPERM, ADDRESS, &(struct gnl_options){ .owner_uid = geteuid() + 1 });
    ck_assert_int_eq(access(path_of(ADDRESS), F_OK), -1);
}
END_TEST

START_TEST(valid_names_are_opened_and_others_refused)
{
    static const char *const invalid[] = { "mailbox:",   "mailbox:.x",  "mailbox:a/b", "mailbox:a b",
                                           "mailbox:..", "mailbox://x", "mailbox:a:b", "options",
                                           "",           ":x",          "mailbox:\xff" };
    char longest[8 + GNL_NAME_MAX + 2];

    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        expect_refused(-EINVAL, invalid[i], NULL);
        ck_assert_int_eq(gnl_address_check(invalid[i]), -EINVAL);
    }
    expect_refused(-EPROTONOSUPPORT, "postbox:x", NULL);
    ck_assert_int_eq(gnl_address_check("postbox:x"), -EPROTONOSUPPORT);
    expect_refused(-EINVAL, NULL, NULL);
    ck_assert_int_eq(gnl_address_check(NULL), -EINVAL);
    strcpy(longest, "mailbox:");
    memset(longest + 8, 'x', GNL_NAME_MAX + 1);
    longest[8 + GNL_NAME_MAX + 1] = '\0';
    expect_refused(-EINVAL, longest, NULL);
    longest[8 + GNL_NAME_MAX] = '\0';
    assert_ok(gnl_address_check(longest));
    assert_ok(gnl_address_check("mailbox:/absent"));
    open_and_close(longest, NULL);
    ck_assert_str_eq(info_of(longest).address, longest);
    assert_ok(gnl_remove(longest));
    open_and_close("mailbox:-._Z9", NULL);
    assert_ok(gnl_remove("mailbox:-._Z9"));
}
END_TEST

/* ---- files that are no mailboxes of ours ---- */

static void scribble(off_t at, const void *data, size_t size)
{
    int descriptor = open(path_of(ADDRESS), O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq(pwrite(descriptor, data, size, at), (ssize_t)size);
    close(descriptor);
}

static void expect_unreadable(int code)
{
    struct gnl_port_info info;

    expect_refused(code, ADDRESS, NULL);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "mailbox 'options'"));
    ck_assert_int_eq(gnl_inspect(ADDRESS, &info, NULL, 0), code);
    assert_ok(gnl_remove(ADDRESS)); /* which can always be done */
}

START_TEST(foreign_and_damaged_files_are_ebadmsg)
{
    uint64_t number = 0x1122334455667788;

    close(open(path_of(ADDRESS), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* an empty file */
    expect_unreadable(-EBADMSG);
    open_and_close(ADDRESS, NULL);
    scribble(0, &number, sizeof number); /* another magic */
    expect_unreadable(-EBADMSG);
    for (off_t at = 16; at <= 32; at += 8) { /* capacity, message_max, arena */
        open_and_close(ADDRESS, NULL);
        scribble(at, &number, sizeof number);
        expect_unreadable(-EBADMSG);
    }
    open_and_close(ADDRESS, NULL);
    ck_assert_int_eq(truncate(path_of(ADDRESS), 100000), 0);
    expect_unreadable(-EBADMSG);
    ck_assert_int_eq(symlink("/etc/passwd", path_of(ADDRESS)), 0);
    expect_unreadable(-EBADMSG);
}
END_TEST

START_TEST(another_layout_version_is_eprotonosupport)
{
    uint32_t version = 99;

    open_and_close(ADDRESS, NULL);
    scribble(8, &version, sizeof version);
    expect_refused(-EPROTONOSUPPORT, ADDRESS, NULL);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "version 99"));
    expect_unreadable(-EPROTONOSUPPORT);
}
END_TEST

/* ---- arguments ---- */

START_TEST(missing_arguments_are_einval)
{
    gnl_port *port;
    gnl_message message = { .size = 1 };
    struct gnl_port_info info;
    char byte = 0;

    ck_assert_int_eq(gnl_open(NULL, ADDRESS, NULL), -EINVAL);
    assert_ok(gnl_open(&port, ADDRESS, NULL));
    ck_assert_int_eq(gnl_send(NULL, &byte, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send(port, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_recv(NULL, &byte, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_recv(port, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_loan(port, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_loan(NULL, &message, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_post(port, NULL, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_post(NULL, &message, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_take(port, NULL, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_take(NULL, &message, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_done(NULL), -EINVAL);
    ck_assert_int_eq(gnl_done(&message), -EINVAL); /* never taken */
    ck_assert_int_eq(gnl_giveback(NULL), -EINVAL);
    ck_assert_int_eq(gnl_giveback(&message), -EINVAL);
    ck_assert_int_eq(gnl_send_many(port, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_many(port, &(struct iovec){ &byte, 1 }, 0, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_send_many(NULL, &(struct iovec){ &byte, 1 }, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_take_many(port, NULL, 1, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_take_many(port, &message, 0, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_port_fd(NULL), -EINVAL);
    ck_assert_int_eq(gnl_finish(NULL), -EINVAL);
    ck_assert_int_eq(gnl_port_info(port, NULL), -EINVAL);
    ck_assert_int_eq(gnl_port_info(NULL, &info), -EINVAL);
    ck_assert_int_eq(gnl_inspect(ADDRESS, NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_inspect(ADDRESS, &info, NULL, 1), -EINVAL);
    ck_assert_int_eq(gnl_inspect(NULL, &info, NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_names(NULL, NULL), -EINVAL);
    expect_empty(port);
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

START_TEST(negative_timeouts_but_forever_are_einval)
{
    static const int64_t bad[] = { -2, -1000000000, INT64_MIN };
    gnl_port *port;
    gnl_message message;

    assert_ok(gnl_open(&port, ADDRESS, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (enum verb verb = 0; verb < VERBS; verb++)
            ck_assert_int_eq(call_now(port, verb, bad[i]), -EINVAL);
        ck_assert_int_eq(gnl_loan(port, &message, 1, bad[i]), -EINVAL);
    }
    expect_empty(port);
    assert_ok(call_now(port, SEND, INT64_MAX)); /* the longest is not a negative one */
    assert_ok(call_now(port, RECV, INT64_MAX));
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(ADDRESS));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *options = support_case(suite, "options");

    tcase_add_loop_test(options, options_that_make_no_sense_are_einval, 0,
                        sizeof nonsense / sizeof nonsense[0]);
    tcase_add_test(options, defaults_are_what_the_header_says);
    tcase_add_test(options, zero_takes_what_is_there_and_the_same_value_agrees);
    tcase_add_test(options, another_value_than_what_exists_has_is_einval);
    tcase_add_test(options, two_way_mailbox_wants_a_side);
    tcase_add_test(options, largest_and_smallest_options_work);
    TCase *opening = support_case(suite, "opening");
    tcase_add_test(opening, create_only_wants_a_free_name);
    tcase_add_test(opening, open_only_wants_an_existing_name);
    tcase_add_test(opening, mode_is_exact_whatever_the_umask);
    tcase_add_test(opening, owner_uid_refuses_what_another_user_made);
    tcase_add_test(opening, refused_owner_makes_nothing);
    tcase_add_test(opening, valid_names_are_opened_and_others_refused);
    tcase_add_test(opening, foreign_and_damaged_files_are_ebadmsg);
    tcase_add_test(opening, another_layout_version_is_eprotonosupport);
    TCase *arguments = support_case(suite, "arguments");
    tcase_add_test(arguments, missing_arguments_are_einval);
    tcase_add_test(arguments, negative_timeouts_but_forever_are_einval);
    return support_run(suite);
}
