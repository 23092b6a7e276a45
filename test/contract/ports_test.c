/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many ports and many mailboxes in one process, ports opened and closed for ever, and ports that a
 * forked child inherits.
 */
#include "kinds.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

static struct gnl_port_info info_of(gnl_port *port)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(port, &info));
    return info;
}

static unsigned descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

START_TEST(thousand_ports_share_one_mailbox_and_one_descriptor)
{
    enum { PORTS = 1000 };
    static gnl_port *ports[PORTS];
    unsigned before = descriptors();

    for (unsigned i = 0; i < PORTS; i++)
        must(gnl_open(&ports[i], "mailbox:many", NULL) == 0);
    ck_assert_uint_eq(descriptors(), before + 1);
    ck_assert_uint_eq(info_of(ports[0]).senders, PORTS);
    ck_assert_uint_eq(info_of(ports[0]).receivers, PORTS);
    for (unsigned i = 0; i < PORTS; i++)
        send_message(ports[i], 20, i);
    for (unsigned i = 0; i < PORTS; i++)
        expect_message(ports[PORTS - 1 - i], 20, i);
    for (unsigned i = 0; i < PORTS; i++)
        must(gnl_close(ports[i]) == 0);
    ck_assert_uint_eq(descriptors(), before);
    assert_ok(gnl_remove("mailbox:many"));
}
END_TEST

START_TEST(mailboxes_keep_their_messages_apart)
{
    enum { BOXES = 20 };
    gnl_port *ports[BOXES];
    gnl_message messages[BOXES];
    char address[32];

    for (unsigned i = 0; i < BOXES; i++) {
        snprintf(address, sizeof address, "mailbox:box-%u", i);
        assert_ok(
            gnl_open(&ports[i], address, &(struct gnl_options){ .capacity = i % 2 ? GNL_UNBOUNDED : 3 }));
    }
    for (unsigned n = 0; n < 3; n++)
        for (unsigned i = 0; i < BOXES; i++)
            send_message(ports[i], 100 * i, 1000 * n + i);
    for (unsigned i = 0; i < BOXES; i++) {
        assert_ok(gnl_take(ports[i], &messages[i], GNL_NOWAIT));
        message_expect(messages[i].data, 100 * i, i);
    }
    ck_assert_int_eq(gnl_remove("mailbox:box-3"), 0); /* which is nothing to the others */
    for (unsigned i = 0; i < BOXES; i++)
        ck_assert_int_eq(gnl_done(&messages[i]), i == 3 ? -EIDRM : 0);
    for (unsigned n = 1; n < 3; n++)
        for (unsigned i = 0; i < BOXES; i++)
            if (i != 3)
                expect_message(ports[i], 100 * i, 1000 * n + i);
    for (unsigned i = 0; i < BOXES; i++) {
        assert_ok(gnl_close(ports[i]));
        snprintf(address, sizeof address, "mailbox:box-%u", i);
        if (i != 3)
            assert_ok(gnl_remove(address));
    }
}
END_TEST

START_TEST(opening_and_closing_for_ever_leaks_nothing)
{
    struct pair pair = pair_open(_i);
    uint64_t bytes = 0;
    unsigned before = descriptors();

    for (unsigned i = 0; i < 100; i++) {
        gnl_port *port = pair_receiver(&pair);
        gnl_message message, loan;
        struct feed feed;
        feed_start(&feed, pair.sender, i, 1, 80);
        must(gnl_take(port, &message, PATIENCE) == 0);
        feed_end(&feed);
        must(gnl_done(&message) == 0);
        if (i % 10 == 0)
            must(gnl_port_fd(port) >= 0);
        must(gnl_close(port) == 0);
        gnl_port *sender = pair_sender(&pair);
        must(gnl_loan(sender, &loan, pair.kind->message_max, GNL_NOWAIT) == 0);
        must(gnl_close(sender) == 0);
        if (i == 30)
            bytes = info_of(pair.sender).bytes;
    }
    ck_assert_uint_eq(descriptors(), before);
    ck_assert_uint_le(info_of(pair.sender).bytes,
                      bytes + (pair.kind->capacity == GNL_UNBOUNDED ? 1 << 18 : 0));
    pair_close(&pair);
}
END_TEST

START_TEST(making_and_removing_for_ever_leaks_nothing)
{
    unsigned before = descriptors();

    for (unsigned i = 0; i < 50; i++) {
        struct pair pair = pair_open(_i);
        if (pair_room(&pair, 1) > 0)
            send_message(pair.sender, pair.kind->message_max / 2, i);
        pair_close(&pair);
    }
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

/* ---- fork ---- */

struct inherited {
    struct pair pair;
    gnl_message held;
    gnl_message loan;
};

static int use_what_was_inherited(void *context)
{
    struct inherited *inherited = context;
    struct pair *pair = &inherited->pair;
    struct gnl_participant participants[4];
    struct gnl_port_info info;

    require(gnl_done(&inherited->held) == -EPERM);
    require(strstr(gnl_error_detail(), "parent"));
    require(gnl_giveback(&inherited->held) == -EPERM);
    require(gnl_post(pair->sender, &inherited->loan, GNL_NOWAIT) == -EPERM);
    require(gnl_done(&inherited->loan) == -EPERM);
    require(gnl_inspect(pair->kind->address, &info, participants, 4) == 2);
    require(participants[0].alive && participants[1].alive);
    require((participants[0].pid == getpid()) != (participants[1].pid == getpid()));
    if (pair_room(pair, 1) > 0) {
        char data[8];
        message_fill(data, 8, 50);
        require(gnl_send(pair->sender, data, 8, GNL_NOWAIT) == 0);
    }
    require(gnl_close(pair->sender) == 0);
    require(gnl_close(pair->receiver) == 0);
    return 0;
}

START_TEST(forked_child_goes_on_as_itself_and_may_not_touch_what_the_parent_holds)
{
    struct inherited inherited = { .pair = pair_open(_i) };
    struct pair *pair = &inherited.pair;
    struct feed feed;

    feed_start(&feed, pair->sender, 1, 1, 8);
    assert_ok(gnl_take(pair->receiver, &inherited.held, PATIENCE));
    feed_end(&feed);
    assert_ok(gnl_loan(pair->sender, &inherited.loan, 8, GNL_NOWAIT));
    message_fill(inherited.loan.data, 8, 51);
    support_expect_exit(support_fork(use_what_was_inherited, &inherited), 0);
    message_expect(inherited.held.data, 8, 1);
    assert_ok(gnl_done(&inherited.held));
    if (pair_room(pair, 2) == 2) {
        assert_ok(gnl_post(pair->sender, &inherited.loan, GNL_NOWAIT));
        expect_message(pair->receiver, 8, 50);
        expect_message(pair->receiver, 8, 51);
    } else {
        assert_ok(gnl_done(&inherited.loan));
        if (pair_room(pair, 1) > 0)
            expect_message(pair->receiver, 8, 50);
    }
    expect_empty(pair->receiver);
    pair_close(pair);
}
END_TEST

static int only_close(void *context)
{
    struct pair *pair = context;

    require(gnl_close(pair->sender) == 0);
    require(gnl_close(pair->receiver) == 0);
    return 0;
}

START_TEST(child_that_only_closes_disturbs_nobody)
{
    struct pair pair = pair_open(_i);
    gnl_message held;
    struct feed feed;

    assert_ok(gnl_port_fd(pair.receiver));
    feed_start(&feed, pair.sender, 1, 2, 8);
    assert_ok(gnl_take(pair.receiver, &held, PATIENCE));
    support_expect_exit(support_fork(only_close, &pair), 0);
    expect_message(pair.receiver, 8, 2);
    feed_end(&feed);
    expect_empty(pair.receiver);
    assert_ok(gnl_done(&held));
    pair_close(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ports");
    TCase *many = support_case(suite, "many");

    tcase_add_test(many, thousand_ports_share_one_mailbox_and_one_descriptor);
    tcase_add_test(many, mailboxes_keep_their_messages_apart);
    add_for_each_shared_kind(many, opening_and_closing_for_ever_leaks_nothing);
    TCase *remaps = support_case(suite, "remaps");
    tcase_set_tags(remaps, "remaps"); /* hundreds of GiB of addresses, again and again: not under qemu */
    add_for_each_shared_kind(remaps, making_and_removing_for_ever_leaks_nothing);
    TCase *fork = support_case(suite, "fork");
    add_for_each_shared_kind(fork, forked_child_goes_on_as_itself_and_may_not_touch_what_the_parent_holds);
    add_for_each_shared_kind(fork, child_that_only_closes_disturbs_nobody);
    return support_run(suite);
}
