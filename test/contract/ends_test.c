/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How things end: a port is closed under those who wait on it, a link is removed, a side sends no
 * more; and what a port of one direction refuses.
 */
#include "kinds.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Which port a verb uses; false: it can't be made to wait on this kind. */
static gnl_port *make_it_wait(const struct pair *pair, enum verb verb)
{
    if (verb >= RECV)
        return pair->receiver;
    if (pair->kind->capacity == GNL_UNBOUNDED || pair->kind->capacity > 5000)
        return NULL;
    for (int64_t i = 0; i < pair_room(pair, 5000); i++)
        must(call_now(pair->sender, SEND, GNL_NOWAIT) == 0);
    return pair->sender;
}

/* ---- closing ---- */

START_TEST(close_wakes_whoever_is_blocked)
{
    for (enum verb verb = 0; verb < VERBS; verb++) {
        struct pair pair = pair_open(_i);
        gnl_port *port = make_it_wait(&pair, verb);
        if (port) {
            struct call call;
            call_start(&call, port, verb, verb % 2 ? GNL_FOREVER : PATIENCE);
            call_blocks(&call);
            assert_ok(gnl_close(port));
            ck_assert_int_eq(call_end(&call), -ECANCELED);
            *(port == pair.sender ? &pair.sender : &pair.receiver) = NULL;
        }
        pair_close(&pair);
    }
}
END_TEST

START_TEST(close_wakes_all_threads_of_the_port_and_of_no_other)
{
    enum { THREADS = 6 };
    struct pair pair = pair_open(_i);
    gnl_port *other = pair_receiver(&pair);
    struct call calls[THREADS], others;

    for (unsigned i = 0; i < THREADS; i++)
        call_start(&calls[i], pair.receiver, i % 2 ? RECV : TAKE, GNL_FOREVER);
    call_start(&others, other, RECV, GNL_FOREVER);
    for (unsigned i = 0; i < THREADS; i++)
        call_blocks(&calls[i]);
    call_blocks(&others);
    assert_ok(gnl_close(pair.receiver));
    pair.receiver = NULL;
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(call_end(&calls[i]), -ECANCELED);
    send_message(pair.sender, 9, 1);
    ck_assert_int_eq(call_end(&others), 9);
    assert_ok(gnl_close(other));
    pair_close(&pair);
}
END_TEST

START_TEST(cancelled_offer_was_not_sent)
{
    struct pair pair = pair_open(_i);
    struct call call;

    if (pair.kind->capacity == GNL_RENDEZVOUS) {
        call_start(&call, pair.sender, SEND, GNL_FOREVER);
        call_blocks(&call);
        assert_ok(gnl_close(pair.sender));
        ck_assert_int_eq(call_end(&call), -ECANCELED);
        pair.sender = NULL;
        if (kind_is_paired(pair.kind)) /* the link has ended with it */
            ck_assert_int_eq(gnl_recv(pair.receiver, call.data, sizeof call.data, PATIENCE), -EPIPE);
        else
            expect_empty(pair.receiver);
    }
    pair_close(&pair);
}
END_TEST

START_TEST(closing_nothing_is_fine)
{
    ck_assert_int_eq(gnl_close(NULL), 0);
}
END_TEST

/* ---- removing ---- */

static void expect_removed(const struct pair *pair, gnl_port *sender, gnl_port *receiver)
{
    gnl_message message;
    struct gnl_port_info info;

    for (enum verb verb = 0; verb < VERBS; verb++) {
        ck_assert_int_eq(call_now(verb >= RECV ? receiver : sender, verb, GNL_NOWAIT), -EIDRM);
        expect_sentence(pair->kind);
        ck_assert_int_eq(call_now(verb >= RECV ? receiver : sender, verb, PATIENCE), -EIDRM);
    }
    ck_assert_int_eq(gnl_loan(sender, &message, 1, GNL_NOWAIT), -EIDRM);
    ck_assert_int_eq(gnl_loan(sender, &message, pair->kind->message_max, GNL_NOWAIT), -EIDRM);
    ck_assert_int_eq(gnl_port_fd(receiver), -EIDRM);
    ck_assert_int_eq(gnl_finish(sender), -EIDRM);
    expect_sentence(pair->kind);
    ck_assert_int_eq(gnl_finish(receiver), -EIDRM);
    ck_assert_int_eq(gnl_port_info(receiver, &info), -EIDRM);
    expect_sentence(pair->kind);
}

START_TEST(removed_means_eidrm_from_every_call)
{
    struct pair pair = pair_open(_i);
    gnl_message held, given_back, loan;
    struct feed feed;

    feed_start(&feed, pair.sender, 0, 2, 8);
    assert_ok(gnl_take(pair.receiver, &held, PATIENCE));
    assert_ok(gnl_take(pair.receiver, &given_back, PATIENCE));
    feed_end(&feed);
    assert_ok(gnl_loan(pair.sender, &loan, 8, GNL_NOWAIT));
    assert_ok(gnl_remove(pair.kind->address));
    expect_removed(&pair, pair.sender, pair.receiver);
    ck_assert_int_eq(gnl_post(pair.sender, &loan, GNL_NOWAIT), -EIDRM);
    ck_assert_int_eq(gnl_done(&held), -EIDRM);
    ck_assert_int_eq(gnl_giveback(&given_back), -EIDRM);
    ck_assert_int_eq(gnl_done(&loan), -EIDRM);
    ck_assert_int_eq(gnl_remove(pair.kind->address), -ENOENT);
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
}
END_TEST

START_TEST(remove_wakes_whoever_is_blocked)
{
    for (enum verb verb = 0; verb < VERBS; verb++) {
        struct pair pair = pair_open(_i);
        gnl_port *port = make_it_wait(&pair, verb);
        struct call call;
        if (port) {
            call_start(&call, port, verb, GNL_FOREVER);
            call_blocks(&call);
        }
        assert_ok(gnl_remove(pair.kind->address));
        if (port)
            ck_assert_int_eq(call_end(&call), -EIDRM);
        assert_ok(gnl_close(pair.sender));
        assert_ok(gnl_close(pair.receiver));
    }
}
END_TEST

START_TEST(name_is_free_at_once_and_the_old_stays_removed)
{
    struct pair old = pair_open(_i);

    if (pair_room(&old, 1) > 0)
        send_message(old.sender, 4, 44);
    assert_ok(gnl_remove(old.kind->address));
    struct pair made = pair_open(_i);
    expect_empty(made.receiver);
    struct feed feed;
    feed_start(&feed, made.sender, 1, 10, 50);
    for (uint64_t i = 1; i <= 10; i++) {
        ck_assert_int_eq(call_now(old.receiver, RECV, GNL_NOWAIT), -EIDRM);
        expect_message(made.receiver, 50, i);
    }
    feed_end(&feed);
    expect_removed(&old, old.sender, old.receiver);
    assert_ok(gnl_close(old.sender));
    assert_ok(gnl_close(old.receiver));
    pair_close(&made);
}
END_TEST

START_TEST(removing_nothing_is_enoent)
{
    ck_assert_int_eq(gnl_remove(kinds[0].address), -ENOENT);
    expect_sentence(&kinds[0]);
    ck_assert_int_eq(gnl_remove("mailbox:"), -EINVAL);
    ck_assert_int_eq(gnl_remove("post:box"), -EPROTONOSUPPORT);
    ck_assert_int_eq(gnl_remove(NULL), -EINVAL);
}
END_TEST

/* rm is as good as gnl_remove, only slower. */
START_TEST(file_removed_by_hand_is_noticed_by_who_waits)
{
    char path[512];
    struct pair pair = pair_open(0);
    struct call call;

    call_start(&call, pair.receiver, RECV, GNL_FOREVER);
    call_blocks(&call);
    snprintf(path, sizeof path, "%s/%s", support_directory(), pair.kind->address);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(call_end(&call), -EIDRM);
    ck_assert_int_eq(call_now(pair.sender, SEND, GNL_NOWAIT), -EIDRM);
    assert_ok(gnl_close(pair.sender));
    assert_ok(gnl_close(pair.receiver));
}
END_TEST

/* ---- directions ---- */

START_TEST(finished_port_sends_no_more_and_receives_on)
{
    struct pair pair = pair_open(_i);
    gnl_message loan, other;

    assert_ok(gnl_loan(pair.sender, &loan, 8, GNL_NOWAIT));
    assert_ok(gnl_finish(pair.sender));
    assert_ok(gnl_finish(pair.sender));
    for (enum verb verb = SEND; verb <= SEND_MANY; verb++) {
        ck_assert_int_eq(call_now(pair.sender, verb, GNL_NOWAIT), -EPIPE);
        expect_sentence(pair.kind);
    }
    ck_assert_int_eq(gnl_loan(pair.sender, &other, 8, GNL_NOWAIT), -EPIPE);
    ck_assert_int_eq(gnl_post(pair.sender, &loan, GNL_NOWAIT), -EPIPE);
    assert_ok(gnl_done(&loan));
    expect_empty(pair.receiver);
    gnl_port *another = pair_sender(&pair); /* it ends for that port alone */
    struct feed feed;
    feed_start(&feed, another, 1, 1, 8);
    expect_message(pair.receiver, 8, 1);
    feed_end(&feed);
    if (pair.kind->receiving.direction == GNL_BOTH) {
        assert_ok(gnl_finish(pair.receiver));
        feed_start(&feed, another, 2, 1, 8);
        expect_message(pair.receiver, 8, 2);
        feed_end(&feed);
    }
    assert_ok(gnl_close(another));
    pair_close(&pair);
}
END_TEST

START_TEST(port_of_one_direction_refuses_the_other)
{
    gnl_port *sender, *receiver;
    gnl_message message, loan;

    assert_ok(gnl_open(&sender, "mailbox:contract", &(struct gnl_options){ .direction = GNL_SEND_ONLY }));
    assert_ok(gnl_open(&receiver, "mailbox:contract", &(struct gnl_options){ .direction = GNL_RECV_ONLY }));
    for (enum verb verb = 0; verb < VERBS; verb++) {
        ck_assert_int_eq(call_now(verb >= RECV ? sender : receiver, verb, GNL_NOWAIT), -EPERM);
        expect_sentence(&kinds[0]);
    }
    ck_assert_int_eq(gnl_loan(receiver, &loan, 8, GNL_NOWAIT), -EPERM);
    ck_assert_int_eq(gnl_port_fd(sender), -EPERM);
    send_message(sender, 8, 1);
    assert_ok(gnl_take(receiver, &message, GNL_NOWAIT));
    assert_ok(gnl_giveback(&message));
    expect_message(receiver, 8, 1);
    assert_ok(gnl_close(sender));
    assert_ok(gnl_close(receiver));
    assert_ok(gnl_remove("mailbox:contract"));
}
END_TEST

START_TEST(sides_receive_what_the_other_side_sends)
{
    const struct gnl_options a_side = { .side = GNL_SIDE_A, .capacity = 3 }, b_side = { .side = GNL_SIDE_B };
    gnl_port *a, *b, *another_a;
    gnl_message message;

    assert_ok(gnl_open(&a, "mailbox:sides", &a_side));
    assert_ok(gnl_open(&b, "mailbox:sides", &b_side));
    assert_ok(gnl_open(&another_a, "mailbox:sides", &a_side));
    for (uint64_t i = 0; i < 3; i++) { /* each way has its own capacity */
        send_message(a, 10, i);
        send_message(b, 200, 10 + i);
    }
    ck_assert_int_eq(call_now(a, SEND, GNL_NOWAIT), -EAGAIN);
    ck_assert_int_eq(call_now(b, SEND, GNL_NOWAIT), -EAGAIN);
    expect_message(b, 10, 0);
    expect_message(another_a, 200, 10); /* a side may have several ports, which share its messages */
    expect_message(a, 200, 11);
    assert_ok(gnl_take(b, &message, GNL_NOWAIT));
    assert_ok(gnl_giveback(&message)); /* what B gives back comes to B again */
    expect_message(a, 200, 12);
    expect_empty(a);
    expect_message(b, 10, 1);
    expect_message(b, 10, 2);
    expect_empty(b);
    assert_ok(gnl_close(a));
    assert_ok(gnl_close(b));
    assert_ok(gnl_close(another_a));
    assert_ok(gnl_remove("mailbox:sides"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ends");
    TCase *closing = support_case(suite, "closing");

    add_for_each_kind(closing, close_wakes_whoever_is_blocked);
    add_for_each_shared_kind(closing, close_wakes_all_threads_of_the_port_and_of_no_other);
    add_for_each_kind(closing, cancelled_offer_was_not_sent);
    tcase_add_test(closing, closing_nothing_is_fine);
    TCase *removing = support_case(suite, "removing");
    add_for_each_shared_kind(removing, removed_means_eidrm_from_every_call);
    add_for_each_shared_kind(removing, remove_wakes_whoever_is_blocked);
    add_for_each_shared_kind(removing, name_is_free_at_once_and_the_old_stays_removed);
    tcase_add_test(removing, removing_nothing_is_enoent);
    tcase_add_test(removing, file_removed_by_hand_is_noticed_by_who_waits);
    TCase *directions = support_case(suite, "directions");
    add_for_each_shared_kind(directions, finished_port_sends_no_more_and_receives_on);
    tcase_add_test(directions, port_of_one_direction_refuses_the_other);
    tcase_add_test(directions, sides_receive_what_the_other_side_sends);
    return support_run(suite);
}
