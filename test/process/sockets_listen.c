/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening on sockets: who connects and says nothing, floods, limits; who has the name.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "socketing.h"

/* ---- who connects ---- */

START_TEST(flood_of_the_mute_keeps_no_honest_one_out)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    gnl_port *port, *client;
    int mute[300]; /* more than may be new at a time */

    for (unsigned i = 0; i < 300; i++) {
        mute[i] = raw_connect(listener);
        if (i % 100 == 99)
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
    }
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    port = accept_from(listener);
    assert_ok(gnl_send(client, "in", 2, PATIENCE));
    expect(port, "in");
    put(mute[299], AT("GET / HTTP/1.1\r\n\r\n"));
    ck_assert_int_eq(gnl_accept(listener, &(gnl_port *){ NULL }, gnl_ms(20)), -ETIMEDOUT);
    for (unsigned i = 0; i < 300; i++)
        close(mute[i]);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(connections_beyond_the_limit_are_turned_away)
{
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .connections_max = 2 });
    gnl_port *clients[3], *ports[3];

    for (unsigned i = 0; i < 3; i++)
        assert_ok(gnl_open(&clients[i], gnl_listener_address(listener), NULL));
    for (unsigned i = 0; i < 2; i++)
        ports[i] = accept_from(listener);
    ck_assert_int_eq(gnl_accept(listener, &ports[2], gnl_ms(20)), -ETIMEDOUT);
    expect_code(clients[2], -EPIPE);
    assert_ok(gnl_close(ports[0]));
    assert_ok(gnl_close(clients[2]));
    assert_ok(gnl_open(&clients[2], gnl_listener_address(listener), NULL));
    ports[0] = accept_from(listener);
    assert_ok(gnl_listener_close(listener)); /* before those that it accepted */
    for (unsigned i = 0; i < 3; i++)
        assert_ok(gnl_close(clients[i]));
    assert_ok(gnl_close(ports[0]));
    assert_ok(gnl_close(ports[1]));
}
END_TEST

START_TEST(peer_that_takes_nothing_is_dead_in_time)
{
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .dead_after = gnl_s(1) });
    int peer = raw_connect(listener);
    static char data[100000];
    int result = 0;

    put(peer, AT(HELLO "\0"));
    gnl_port *port = accept_from(listener);
    while (result == 0)
        result = gnl_send(port, data, sizeof data, PATIENCE);
    ck_assert_msg(result == -EPIPE, "%d: %s", result, gnl_error_detail());
    assert_ok(gnl_close(port));
    close(peer);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

START_TEST(who_is_mute_is_no_connection)
{
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .connections_max = 1 });
    gnl_port *client, *port;
    int mute[5];

    for (unsigned i = 0; i < 5; i++) {
        mute[i] = raw_connect(listener);
        ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
    }
    assert_ok(gnl_open(&client, gnl_listener_address(listener), NULL));
    port = accept_from(listener);
    put(mute[0], AT(HELLO "\0")); /* one too many now */
    ck_assert_int_eq(gnl_accept(listener, &(gnl_port *){ NULL }, gnl_ms(20)), -ETIMEDOUT);
    ck_assert_int_le(recv(mute[0], &(char){ 0 }, 1, 0), 0);
    for (unsigned i = 0; i < 5; i++)
        close(mute[i]);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* The descriptor tells of it: who polls that and accepts then need do nothing else. */
START_TEST(who_is_mute_for_too_long_is_turned_away)
{
    gnl_listener *listener = listen_at(ANY_PORT, &(struct gnl_options){ .dead_after = gnl_ms(100) });
    struct pollfd entry = { .fd = gnl_listener_fd(listener), .events = POLLIN };
    int mute[3];
    gnl_port *port;

    for (unsigned i = 0; i < 3; i++) {
        mute[i] = raw_connect(listener);
        ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
        ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
    }
    for (unsigned i = 0; i < 3; i++) {
        while (recv(mute[i], &(char){ 0 }, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
            ck_assert_int_eq(poll(&entry, 1, PATIENCE_MS), 1);
            ck_assert_int_eq(gnl_accept(listener, &port, GNL_NOWAIT), -EAGAIN);
        }
        close(mute[i]);
    }
    ck_assert_int_eq(poll(&entry, 1, 0), 0);
    assert_ok(gnl_listener_close(listener));
}
END_TEST

static int be_mute_and_then_honest(void *context)
{
    gnl_listener *listener = context;
    gnl_port *port;
    char byte;

    for (unsigned i = 0; i < 40; i++)
        raw_connect(listener);
    require(gnl_open(&port, gnl_listener_address(listener), NULL) == 0);
    require(gnl_recv(port, &byte, 1, PATIENCE) == 1);
    return 0;
}

/* Who is mute has the process's last descriptors, and gives them up. */
START_TEST(mute_ones_with_all_descriptors_keep_no_honest_one_out)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    struct rlimit before, few;
    char address[GNL_ADDRESS_MAX + 1];
    int last = dup(0);

    close(last);
    strcpy(address, gnl_listener_address(listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){ .rlim_cur = (rlim_t)last + 10, .rlim_max = before.rlim_max };
    pid_t child = support_fork(be_mute_and_then_honest, listener);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    gnl_port *port = accept_from(listener);
    assert_ok(gnl_send(port, "x", 1, PATIENCE));
    support_expect_exit(child, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
}
END_TEST

/* ---- who listens ---- */

START_TEST(nobody_there_is_said_at_once)
{
    gnl_listener *listener = listen_at(ANY_PORT, NULL);
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *port;

    strcpy(address, gnl_listener_address(listener));
    gnl_listener *second;
    ck_assert_int_eq(gnl_listen(&second, address, NULL), -EADDRINUSE);
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(gnl_open(&port, address, NULL), -ECONNREFUSED);
    ck_assert_int_eq(gnl_open(&port, "tcp:127.0.0.1:70000", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "tcp:::1:80", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "tcp:127.0.0.1:0", NULL), -EINVAL);
    ck_assert_int_eq(gnl_open(&port, "unix:/nowhere/s", NULL), -ENOENT);
}
END_TEST

static int listen_and_die(void *address)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, address, NULL) == 0);
    return 0;
}

START_TEST(file_of_a_dead_listener_is_taken_over)
{
    char address[GNL_ADDRESS_MAX + 1];
    gnl_listener *second;
    gnl_port *port;

    snprintf(address, sizeof address, "unix:%s/s", support_directory());
    support_expect_exit(support_fork(listen_and_die, address), 0);
    ck_assert_int_eq(gnl_open(&port, address, NULL), -ENOENT);
    gnl_listener *listener = listen_at(address, NULL);
    ck_assert_int_eq(gnl_listen(&second, address, NULL), -EADDRINUSE);
    ck_assert_int_eq(gnl_remove(address), -EBUSY);
    assert_ok(gnl_open(&port, address, NULL));
    assert_ok(gnl_close(port));
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(gnl_remove(address), -ENOENT);
}
END_TEST

/* Neither a file, nor a link, nor what has a name like the one under which the socket is made. */
START_TEST(what_is_no_socket_is_left_alone)
{
    char address[GNL_ADDRESS_MAX + 1];
    const char *path = path_in_directory("s");
    gnl_listener *listener;

    snprintf(address, sizeof address, "unix:%s", path);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert(file >= 0);
    close(file);
    ck_assert_int_eq(gnl_listen(&listener, address, NULL), -EEXIST);
    ck_assert_int_eq(gnl_remove(address), -EBADMSG);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_assert_int_eq(gnl_listen(&listener, address, NULL), -EEXIST);
    ck_assert_int_eq(unlink(path), 0);
    const char *beside = path_in_directory(".s");
    file = open(beside, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert(file >= 0);
    close(file);
    listener = listen_at(address, NULL);
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(unlink(beside), 0);
}
END_TEST

START_TEST(link_to_a_socket_is_followed_by_who_connects)
{
    char address[GNL_ADDRESS_MAX + 1];
    gnl_port *client;

    snprintf(address, sizeof address, "unix:%s", path_in_directory("s"));
    gnl_listener *listener = listen_at(address, NULL);
    const char *link = path_in_directory("link");
    ck_assert_int_eq(symlink("s", link), 0);
    snprintf(address, sizeof address, "unix:%s", link);
    assert_ok(gnl_open(&client, address, NULL));
    gnl_port *server = accept_from(listener);
    assert_ok(gnl_close(client));
    assert_ok(gnl_close(server));
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(unlink(link), 0);
}
END_TEST

/* The file is found again, wherever the program has gone, and whatever its directory is called by then. */
START_TEST(relative_path_is_where_it_was_at_first)
{
    ck_assert_int_eq(chdir(support_directory()), 0);
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(chdir("d"), 0);
    gnl_listener *listener = listen_at("unix:s", NULL);
    ck_assert_int_eq(access("s", F_OK), 0);
    ck_assert_int_eq(chdir(".."), 0);
    ck_assert_int_eq(rename("d", "e"), 0);
    assert_ok(gnl_listener_close(listener));
    ck_assert_int_eq(access("e/s", F_OK), -1);
    ck_assert_int_eq(rmdir("e"), 0);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_listen");
    TCase *connects = support_case(suite, "connects");
    TCase *listens = support_case(suite, "listens");

    tcase_add_test(connects, flood_of_the_mute_keeps_no_honest_one_out);
    tcase_add_test(connects, connections_beyond_the_limit_are_turned_away);
    tcase_add_test(connects, peer_that_takes_nothing_is_dead_in_time);
    tcase_add_test(connects, who_is_mute_is_no_connection);
    tcase_add_test(connects, who_is_mute_for_too_long_is_turned_away);
    tcase_add_test(connects, mute_ones_with_all_descriptors_keep_no_honest_one_out);
    tcase_add_test(listens, nobody_there_is_said_at_once);
    tcase_add_test(listens, file_of_a_dead_listener_is_taken_over);
    tcase_add_test(listens, what_is_no_socket_is_left_alone);
    tcase_add_test(listens, link_to_a_socket_is_followed_by_who_connects);
    tcase_add_test(listens, relative_path_is_where_it_was_at_first);
    return support_run(suite);
}
