/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words that no honest member writes, one flaw each that there was. A call that does not come back ends in
 * the test's own timeout.
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "mailbox/mailbox.h"

#define ADDRESS "mailbox:hostile"
#define BLOCKS  40000 /* more than a process can have mappings, when each is cut out of another one */

static gnl_port *port;
static struct gnli_view *view;

static void open_port(const struct gnl_options *options)
{
    assert_ok(gnl_open(&port, ADDRESS, options));
    view = &gnli_mailbox_port_of(port)->mailbox->view;
}

static void close_port(void)
{
    assert_ok(gnl_close(port));
    assert_ok(gnl_remove(ADDRESS));
}

/* Participants who are dead, since nobody has their locks. */
static void write_records(unsigned count)
{
    atomic_store(&view->state->participants, GNLI_PARTICIPANTS_MAX + 1);
    for (unsigned number = 2; number < 2 + count; number++)
        atomic_store(&view->participants[number].state, GNLI_PARTICIPANT_ALIVE);
}

/* Every place of an unbounded mailbox, as if billions of messages had been sent. */
static void write_hints(void)
{
    struct gnli_queue *queue = gnli_mailbox_port_of(port)->in.queue;

    atomic_store(&queue->reserved, GNLI_ALL_RESERVED);
    atomic_store(&queue->tail, (uint64_t)1 << 60);
}

START_TEST(the_dead_of_a_scribbled_mailbox_keep_nobody)
{
    gnl_port *newcomer;
    gnl_message message;

    open_port(&(struct gnl_options){ .capacity = GNL_UNBOUNDED });
    write_hints();
    write_records(4000);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(1)), -ETIMEDOUT);
    assert_ok(gnl_open(&newcomer, ADDRESS, NULL));
    assert_ok(gnl_close(newcomer));
    close_port();
}
END_TEST

START_TEST(claims_in_all_of_a_large_mailbox_are_not_looked_at_once_for_each)
{
    const unsigned many = 1 << 20;

    open_port(&(struct gnl_options){ .capacity = many });
    struct gnli_slots *ring = &gnli_mailbox_port_of(port)->out;
    unsigned me = gnli_mailbox_me(gnli_mailbox_port_of(port)->mailbox);
    atomic_store(&ring->queue->reserved, GNLI_ALL_RESERVED);
    /* One lap behind, of somebody living, and the last place free: each claim would be pushed on. */
    for (unsigned i = 0; i < many - 1; i++)
        atomic_store(&ring->slots[i].word, gnli_word(GNLI_CLAIMED, me, 0, 0));
    atomic_store(&ring->queue->tail, gnli_slots_position(ring, 1, 0));
    int result = gnl_send(port, "x", 1, gnl_ms(1));
    ck_assert_msg(result == 0 || result == -ETIMEDOUT || result == -EBADMSG, "%d", result);
    close_port();
}
END_TEST

static unsigned count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned lines = 0;

    ck_assert_ptr_nonnull(maps);
    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

START_TEST(chunks_that_are_truncated_away_do_not_use_up_the_mappings)
{
    static char data[300];
    struct gnli_layout *layout;

    open_port(&(struct gnl_options){ .capacity = GNL_UNBOUNDED, .message_max = 1000 });
    layout = &view->layout;
    assert_ok(gnl_send(port, data, sizeof data, GNL_NOWAIT)); /* the class is mapped */
    unsigned class = gnli_layout_class(sizeof data);
    unsigned blocks = layout->class[class].blocks < BLOCKS ? (unsigned)layout->class[class].blocks : BLOCKS;
    struct gnli_block *table = (struct gnli_block *)(void *)(view->core + layout->class[class].table_at);
    for (unsigned i = 0; i < blocks; i++)
        atomic_store(&table[i].backed, 1);
    atomic_store(&view->arena.classes[class].blocks, blocks);
    write_records(100);
    unsigned before = count_mappings();
    ck_assert_int_eq(ftruncate(view->file->descriptor, (off_t)layout->core), 0);
    for (unsigned i = 0; i < 30; i++) {
        usleep(25000); /* a busy receiver looks around fifty times a second at most */
        gnl_recv(port, data, sizeof data, GNL_NOWAIT);
        gnl_send(port, data, sizeof data, GNL_NOWAIT);
    }
    ck_assert_int_eq(gnl_recv(port, data, sizeof data, GNL_NOWAIT), -EBADMSG);
    ck_assert_uint_lt(count_mappings(), before + 100);
    close_port();
}
END_TEST

START_TEST(message_larger_than_message_max_is_nonsense)
{
    static char data[8000];
    gnl_message message;

    open_port(&(struct gnl_options){ .capacity = 4, .message_max = 5000 });
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(gnl_send(port, data, 5000, GNL_NOWAIT));
        struct gnli_slots *ring = &gnli_mailbox_port_of(port)->in;
        atomic_store(&ring->slots[i].body.size, 6000); /* the chunk would have room */
        ck_assert_int_eq(i == 0 ? gnl_take(port, &message, GNL_NOWAIT)
                                : gnl_recv(port, data, sizeof data, GNL_NOWAIT),
                         -EBADMSG);
    }
    close_port();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile");
    TCase *cases = support_case(suite, "words");

    tcase_add_test(cases, the_dead_of_a_scribbled_mailbox_keep_nobody);
    tcase_add_test(cases, claims_in_all_of_a_large_mailbox_are_not_looked_at_once_for_each);
    tcase_add_test(cases, chunks_that_are_truncated_away_do_not_use_up_the_mappings);
    tcase_add_test(cases, message_larger_than_message_max_is_nonsense);
    return support_run(suite);
}
