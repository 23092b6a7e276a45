/* SPDX-License-Identifier: Apache-2.0 */
/* What closing a port tells of what was sent, and when a set says that there is room. */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "socketing.h"

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static bool is_lost(gnl_port *port)
{
    struct gnl_port_info info;

    assert_ok(gnl_port_info(port, &info));
    return info.lost;
}

/* By a call that has nothing to do with it, or tells only that there is an end. */
static void let_it_notice(gnl_port *port, int how)
{
    gnl_waitset *set;
    struct gnl_event event;

    switch (how) {
    case 0:
        for (unsigned i = 0; i < 30000 && !is_lost(port); i++)
            pause_a_little();
        ck_assert(is_lost(port));
        return;
    case 1:
        assert_ok(gnl_waitset_new(&set));
        assert_ok(gnl_waitset_add_port(set, port, GNL_READABLE, port));
        do
            ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, PATIENCE), 1);
        while (!(event.events & GNL_ENDED));
        gnl_waitset_free(set);
        return;
    default:
        assert_ok(gnl_finish(port));
    }
}

/* The send has said that it was sent, so somebody has to say that it was not received. */
START_TEST(message_that_had_begun_is_not_lost_in_silence)
{
    const struct gnl_options roomy = { .message_max = 1 << 23 };
    gnl_listener *listener = listen_at(ANY_PORT, &roomy);
    static char large[1 << 23];
    char hello[16];

    int peer = raw_connect(listener);
    put(peer, AT(HELLO "\0"));
    gnl_port *port = accept_from(listener);
    ck_assert_int_eq(recv(peer, hello, sizeof hello, MSG_WAITALL), sizeof hello);
    assert_ok(gnl_send(port, large, sizeof large, gnl_ms(10)));
    close(peer);
    let_it_notice(port, _i);
    ck_assert_int_eq(gnl_close(port), -EPIPE);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* The one connected socket of this process: is it closed, as it is by a reset? */
static bool connection_is_closed(void)
{
    DIR *directory = opendir("/proc/self/fd");
    bool closed = true;

    for (struct dirent *entry; (entry = readdir(directory));) {
        struct tcp_info info;
        socklen_t size = sizeof info;
        if (getsockopt(atoi(entry->d_name), IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
            closed = closed && (info.tcpi_state == TCP_CLOSE || info.tcpi_state == TCP_LISTEN);
    }
    closedir(directory);
    return closed;
}

/* It has ended in good order, before the message: the kernel that was sent it resets the connection. */
START_TEST(message_after_the_end_of_the_other_is_not_lost_in_silence)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    char hello[16];

    for (unsigned heard = 0; heard < 2; heard++) {
        int peer = raw_connect(listener);
        put(peer, AT(HELLO "\0"));
        gnl_port *port = accept_from(listener);
        ck_assert_int_eq(recv(peer, hello, sizeof hello, MSG_WAITALL), sizeof hello);
        close(peer);
        if (heard)
            expect_code(port, -EPIPE);
        assert_ok(gnl_send(port, "late", 4, PATIENCE));
        for (unsigned i = 0; i < 30000 && !connection_is_closed(); i++)
            pause_a_little();
        ck_assert_int_eq(gnl_close(port), -EPIPE);
    }
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* Then any message may be sent: before that a large one waits. */
START_TEST(there_is_room_once_the_other_has_accepted)
{
    static char large[100000];
    gnl_listener *listener = listen_at(_i == 0 ? ANY_PORT : "unix:@room", NULL);
    struct gnl_event event;
    gnl_waitset *set;
    gnl_port *client, *server = NULL;

    for (unsigned refused = 0; refused < 2; refused++) {
        assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
        assert_ok(gnl_waitset_new(&set));
        assert_ok(gnl_waitset_add_port(set, client, GNL_WRITABLE, client));
        ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, gnl_ms(20)), -ETIMEDOUT);
        if (refused)
            assert_ok(gnl_listener_close(listener));
        else
            server = accept_from(listener);
        ck_assert_int_eq(gnl_waitset_wait(set, &event, 1, PATIENCE), 1);
        ck_assert_uint_eq(event.events, refused ? GNL_WRITABLE | GNL_ENDED : GNL_WRITABLE);
        ck_assert_int_eq(gnl_send(client, large, sizeof large, GNL_NOWAIT), refused ? -EPIPE : 0);
        gnl_waitset_free(set);
        if (!refused) {
            ck_assert_int_eq(gnl_recv(server, large, sizeof large, PATIENCE), sizeof large);
            assert_ok(gnl_close(server));
        }
        gnl_close(client);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_closing");

    TCase *closing = support_case(suite, "closing");
    tcase_add_loop_test(closing, message_that_had_begun_is_not_lost_in_silence, 0, 3);
    tcase_add_test(closing, message_after_the_end_of_the_other_is_not_lost_in_silence);
    tcase_add_loop_test(closing, there_is_room_once_the_other_has_accepted, 0, 2);
    return support_run(suite);
}
