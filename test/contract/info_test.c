/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a link: gnl_port_info, gnl_inspect, gnl_names.
 */
#include "kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct gnl_port_info info_of(gnl_port *port)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(port, &info));
    return info;
}

START_TEST(info_says_what_the_link_is)
{
    static const struct gnl_sender nobody;
    struct pair pair = pair_open(_i);
    struct gnl_port_info info = info_of(pair.sender);

    ck_assert_str_eq(info.address, pair.address);
    ck_assert_int_eq(info.kind, GNL_MAILBOX);
    ck_assert_uint_eq(info.owner_uid, geteuid());
    ck_assert_uint_eq(info.mode, 0600);
    ck_assert_int_eq(info.capacity, pair.kind->capacity);
    ck_assert_uint_eq(info.message_max, pair.kind->message_max);
    ck_assert_int_eq(info.two_way, pair.kind->sending.side != GNL_ONE_WAY);
    ck_assert_uint_gt(info.bytes, 0);
    ck_assert_mem_eq(&info.peer, &nobody, sizeof nobody);
    for (size_t i = 0; i < sizeof info.reserved / sizeof info.reserved[0]; i++)
        ck_assert_uint_eq(info.reserved[i], 0);
    pair_close(&pair);
}
END_TEST

START_TEST(info_counts_ports)
{
    struct pair pair = pair_open(_i);
    bool apart = pair.kind->sending.direction == GNL_SEND_ONLY;

    ck_assert_uint_eq(info_of(pair.sender).senders, apart ? 1 : 2);
    ck_assert_uint_eq(info_of(pair.sender).receivers, apart ? 1 : 2);
    gnl_port *more = pair_receiver(&pair);
    ck_assert_uint_eq(info_of(pair.sender).senders, apart ? 1 : 3);
    ck_assert_uint_eq(info_of(pair.sender).receivers, apart ? 2 : 3);
    assert_ok(gnl_close(more));
    ck_assert_uint_eq(info_of(pair.sender).receivers, apart ? 1 : 2);
    pair_close(&pair);
}
END_TEST

static int use_what_has_finished(void *context)
{
    struct pair *pair = context;
    struct gnl_port_info info;

    require(gnl_port_info(pair->sender, &info) == 0);
    require(info.senders == 1); /* the parent's third port: neither the finished one nor its copy here */
    require(gnl_close(pair->sender) == 0);
    return 0;
}

START_TEST(finished_port_is_no_sender)
{
    struct pair pair = pair_open(_i);
    bool apart = pair.kind->sending.direction == GNL_SEND_ONLY;

    for (unsigned i = 0; i < 2; i++) { /* the second time it is no news */
        assert_ok(gnl_finish(pair.sender));
        ck_assert_uint_eq(info_of(pair.receiver).senders, apart ? 0 : 1);
        ck_assert_uint_eq(info_of(pair.receiver).receivers, apart ? 1 : 2);
    }
    assert_ok(gnl_finish(pair.receiver)); /* which may send, or does not anyway */
    ck_assert_uint_eq(info_of(pair.sender).senders, 0);
    gnl_port *more = pair_sender(&pair);
    ck_assert_uint_eq(info_of(pair.sender).senders, 1);
    support_expect_exit(support_fork(use_what_has_finished, &pair), 0);
    assert_ok(gnl_close(pair.sender));
    pair.sender = NULL;
    ck_assert_uint_eq(info_of(pair.receiver).senders, 1);
    assert_ok(gnl_close(more));
    ck_assert_uint_eq(info_of(pair.receiver).senders, 0);
    pair_close(&pair);
}
END_TEST

static void expect_counts(const struct pair *pair, uint64_t queued, uint64_t held, uint64_t sent,
                          uint64_t received, uint64_t redelivered)
{
    struct gnl_port_info info = info_of(pair->receiver);

    ck_assert_uint_eq(info.queued, queued);
    ck_assert_uint_eq(info.held, held);
    ck_assert_uint_eq(info.sent, sent);
    ck_assert_uint_eq(info.received, received);
    ck_assert_uint_eq(info.redelivered, redelivered);
    ck_assert_uint_eq(info.nonsense, 0);
    ck_assert_uint_eq(info.discarded, 0);
}

START_TEST(info_counts_messages)
{
    struct pair pair = pair_open(_i);
    uint64_t room = (uint64_t)pair_room(&pair, 50);
    gnl_message message;
    struct feed feed;

    expect_counts(&pair, 0, 0, 0, 0, 0);
    for (uint64_t i = 0; i < room; i++)
        send_message(pair.sender, 40, i);
    expect_counts(&pair, room, 0, room, 0, 0);
    for (uint64_t i = 0; i < room; i++)
        expect_message(pair.receiver, 40, i);
    expect_counts(&pair, 0, 0, room, room, 0);
    feed_start(&feed, pair.sender, 1, 1, 90);
    assert_ok(gnl_take(pair.receiver, &message, PATIENCE));
    feed_end(&feed);
    expect_counts(&pair, 0, 1, room + 1, room + 1, 0);
    assert_ok(gnl_giveback(&message));
    expect_counts(&pair, 1, 0, room + 1, room + 1, 0);
    assert_ok(gnl_take(pair.receiver, &message, PATIENCE));
    expect_counts(&pair, 0, 1, room + 1, room + 2, 1);
    assert_ok(gnl_done(&message));
    expect_counts(&pair, 0, 0, room + 1, room + 2, 1);
    /* The counts are the link's: who has left is counted. */
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
    pair.sender = pair_sender(&pair);
    pair.receiver = pair_receiver(&pair);
    expect_counts(&pair, 0, 0, room + 1, room + 2, 1);
    pair_close(&pair);
}
END_TEST

START_TEST(memory_of_large_messages_is_counted)
{
    struct pair pair = pair_open(_i);

    if (pair_room(&pair, 1) > 0 && pair.kind->message_max >= 1 << 20 && pair.kind->alone == 0) {
        uint64_t before = info_of(pair.sender).bytes;
        send_message(pair.sender, 1 << 20, 1);
        ck_assert_uint_ge(info_of(pair.sender).bytes, before + (1 << 20));
        expect_message(pair.receiver, 1 << 20, 1);
    }
    pair_close(&pair);
}
END_TEST

/* ---- from outside ---- */

static struct gnl_participant me_in(const struct kind *kind)
{
    struct gnl_participant participants[4];
    struct gnl_port_info info;

    ck_assert_int_eq(gnl_inspect(kind->address, &info, participants, 4), 1);
    ck_assert_int_eq(participants[0].pid, getpid());
    ck_assert_uint_eq(participants[0].uid, geteuid());
    ck_assert_int_eq(participants[0].alive, 1);
    ck_assert_int_eq(participants[0].same_pid_namespace, 1);
    return participants[0];
}

START_TEST(inspect_shows_each_participant)
{
    struct pair pair = pair_open(_i);
    bool apart = pair.kind->sending.direction == GNL_SEND_ONLY;
    struct feed feed;
    gnl_message message;

    feed_start(&feed, pair.sender, 1, 1, 90);
    assert_ok(gnl_take(pair.receiver, &message, PATIENCE));
    feed_end(&feed);
    struct gnl_participant me = me_in(pair.kind);
    ck_assert_uint_eq(me.senders, apart ? 1 : 2);
    ck_assert_uint_eq(me.receivers, apart ? 1 : 2);
    ck_assert_uint_eq(me.held, 1);
    ck_assert_uint_eq(me.claimed, 0);
    ck_assert_uint_eq(me.sent, 1);
    ck_assert_uint_eq(me.received, 1);
    ck_assert_int_eq(me.activity, GNL_IDLE);
    assert_ok(gnl_done(&message));
    ck_assert_uint_eq(me_in(pair.kind).held, 0);
    pair_close(&pair);
}
END_TEST

START_TEST(inspect_shows_who_waits)
{
    struct pair pair = pair_open(_i);
    struct call call;

    call_start(&call, pair.receiver, RECV, GNL_FOREVER);
    call_blocks(&call);
    ck_assert_int_eq(me_in(pair.kind).activity, GNL_WAITS_TO_RECEIVE);
    send_message(pair.sender, 8, 1);
    assert_ok(call_end(&call));
    ck_assert_int_eq(me_in(pair.kind).activity, GNL_IDLE);
    if (pair.kind->capacity != GNL_UNBOUNDED && pair.kind->capacity <= 5000) {
        for (int64_t i = 0; i < pair_room(&pair, 5000); i++)
            must(call_now(pair.sender, SEND, GNL_NOWAIT) == 0);
        call_start(&call, pair.sender, SEND, GNL_FOREVER);
        call_blocks(&call);
        ck_assert_int_eq(me_in(pair.kind).activity, GNL_WAITS_TO_SEND);
        must(call_now(pair.receiver, RECV, PATIENCE) == 8);
        assert_ok(call_end(&call));
    }
    pair_close(&pair);
}
END_TEST

START_TEST(inspect_leaves_no_trace)
{
    struct pair pair = pair_open(_i);
    struct gnl_port_info before = info_of(pair.sender), seen;

    for (unsigned i = 0; i < 100; i++)
        must(gnl_inspect(pair.kind->address, &seen, NULL, 0) == 1);
    ck_assert_mem_eq(&seen, &before, sizeof seen);
    before = info_of(pair.sender);
    ck_assert_mem_eq(&seen, &before, sizeof seen);
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
    pair.sender = pair.receiver = NULL;
    ck_assert_int_eq(gnl_inspect(pair.kind->address, &seen, NULL, 0), 0); /* nobody has it open */
    ck_assert_uint_eq(seen.senders + seen.receivers, 0);
    pair_close(&pair);
}
END_TEST

START_TEST(inspect_of_nothing_is_enoent_and_leaves_the_result_alone)
{
    struct gnl_port_info info = { .queued = 77 };

    ck_assert_int_eq(gnl_inspect("mailbox:absent", &info, NULL, 0), -ENOENT);
    ck_assert_ptr_nonnull(strstr(gnl_error_detail(), "mailbox 'absent'"));
    ck_assert_uint_eq(info.queued, 77);
    ck_assert_int_eq(access(support_directory(), F_OK), 0);
}
END_TEST

/* ---- names ---- */

struct names {
    char seen[10][GNL_ADDRESS_MAX + 1];
    unsigned count;
    unsigned stop_at;
};

/* Notes this user's own; there may be machine-wide ones. */
static int note(const char *address, void *context)
{
    struct names *names = context;

    if (strchr(address, '/'))
        return 0;
    must(names->count < 10);
    strcpy(names->seen[names->count++], address);
    return names->count == names->stop_at ? 42 : 0;
}

START_TEST(names_are_all_there_is_in_alphabetical_order)
{
    static const char *const addresses[] = { "mailbox:c", "mailbox:a", "mailbox:B", "mailbox:b" };
    static const char *const sorted[] = { "mailbox:B", "mailbox:a", "mailbox:b", "mailbox:c" };
    struct names names = { .count = 0 };
    int directory = open(support_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_eq(gnl_names(note, &names), 0);
    ck_assert_uint_eq(names.count, 0);
    for (unsigned i = 0; i < 4; i++) {
        gnl_port *port;
        assert_ok(gnl_open(&port, addresses[i], NULL));
        assert_ok(gnl_close(port));
    }
    close(openat(directory, ".new-1234", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); /* no names */
    close(openat(directory, "notes.txt", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(gnl_names(note, &names), 0);
    ck_assert_uint_eq(names.count, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_str_eq(names.seen[i], sorted[i]);
    names = (struct names){ .stop_at = 2 };
    ck_assert_int_eq(gnl_names(note, &names), 42);
    ck_assert_uint_eq(names.count, 2);
    unlinkat(directory, ".new-1234", 0);
    unlinkat(directory, "notes.txt", 0);
    close(directory);
    for (unsigned i = 0; i < 4; i++)
        assert_ok(gnl_remove(addresses[i]));
}
END_TEST

/* The visitor may do what it likes with what it is shown. */
static int remove_it(const char *address, void *context)
{
    (void)context;
    return strchr(address, '/') ? 0 : gnl_remove(address);
}

START_TEST(visitor_may_remove_what_it_visits)
{
    gnl_port *port;
    struct names names = { .count = 0 };

    for (unsigned i = 0; i < 5; i++) {
        char address[32];
        snprintf(address, sizeof address, "mailbox:%u", i);
        assert_ok(gnl_open(&port, address, NULL));
        assert_ok(gnl_close(port));
    }
    ck_assert_int_eq(gnl_names(remove_it, NULL), 0);
    ck_assert_int_eq(gnl_names(note, &names), 0);
    ck_assert_uint_eq(names.count, 0);
}
END_TEST

START_TEST(absent_runtime_directory_has_no_names_and_is_not_made)
{
    struct names names = { .count = 0 };
    char path[512];

    snprintf(path, sizeof path, "%s/absent", support_directory());
    setenv("GINNEL_DIR", path, 1);
    ck_assert_int_eq(gnl_names(note, &names), 0);
    ck_assert_uint_eq(names.count, 0);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("info");
    TCase *info = support_case(suite, "info");

    add_for_each_shared_kind(info, info_says_what_the_link_is);
    add_for_each_shared_kind(info, info_counts_ports);
    add_for_each_shared_kind(info, finished_port_is_no_sender);
    add_for_each_shared_kind(info, info_counts_messages);
    add_for_each_kind(info, memory_of_large_messages_is_counted);
    TCase *inspect = support_case(suite, "inspect");
    add_for_each_shared_kind(inspect, inspect_shows_each_participant);
    add_for_each_shared_kind(inspect, inspect_shows_who_waits);
    tcase_add_test(inspect, inspect_of_nothing_is_enoent_and_leaves_the_result_alone);
    TCase *remaps = support_case(suite, "remaps");
    tcase_set_tags(remaps, "remaps"); /* hundreds of GiB of addresses, again and again: not under qemu */
    add_for_each_shared_kind(remaps, inspect_leaves_no_trace);
    TCase *names = support_case(suite, "names");
    tcase_add_test(names, names_are_all_there_is_in_alphabetical_order);
    tcase_add_test(names, visitor_may_remove_what_it_visits);
    tcase_add_test(names, absent_runtime_directory_has_no_names_and_is_not_made);
    return support_run(suite);
}
