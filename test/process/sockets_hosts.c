/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP between two hosts (hosts.h): a slow link that loses packets, one that is cut and restored, one that is
 * cut for good, when neither side hears of the other's end.
 */
#include "hosts.h"

#include <errno.h>
#include <string.h>

#define ADDRESS  "tcp:" FIRST_HOST ":7000"
#define MESSAGES 300

/* What both hosts and the wire see. */
struct scene {
    struct gate listening, met, cut, restored;
    atomic_uint received;
    struct gnl_options options;
};

static struct scene *scene_new(void)
{
    struct scene *scene = shared_memory(sizeof *scene);

    scene->listening = support_gate();
    scene->met = support_gate();
    scene->cut = support_gate();
    scene->restored = support_gate();
    return scene;
}

static void scene_end(struct scene *scene)
{
    support_gate_close(&scene->listening);
    support_gate_close(&scene->met);
    support_gate_close(&scene->cut);
    support_gate_close(&scene->restored);
}

static gnl_port *serve(struct scene *scene)
{
    gnl_listener *listener;
    gnl_port *port;

    require(gnl_listen(&listener, ADDRESS, &scene->options) == 0);
    support_gate_open(&scene->listening);
    require(gnl_accept(listener, &port, PATIENCE) == 0);
    require(gnl_listener_close(listener) == 0);
    return port;
}

static gnl_port *connect_to_server(struct scene *scene)
{
    gnl_port *port;

    support_gate_wait(&scene->listening);
    require(gnl_open(&port, ADDRESS, &scene->options) == 0);
    return port;
}

/* ---- slow and lossy, or cut for a while ---- */

static int receive_all(void *context)
{
    struct scene *scene = context;
    gnl_port *port = serve(scene);
    static char data[20000];

    for (uint32_t i = 0; i < MESSAGES; i++) {
        size_t size = 8 + (size_t)i * 61 % (sizeof data / 2);
        require(gnl_recv(port, data, sizeof data, PATIENCE) == (ssize_t)size);
        require(check_message(data, size) == i);
        atomic_fetch_add(&scene->received, 1);
    }
    require(gnl_send(port, "all", 3, PATIENCE) == 0);
    require(gnl_recv(port, data, sizeof data, PATIENCE) == -EPIPE);
    require(gnl_close(port) == 0);
    return 0;
}

static int send_all(void *context)
{
    struct scene *scene = context;
    gnl_port *port = connect_to_server(scene);
    static char data[20000];

    for (uint32_t i = 0; i < MESSAGES; i++) {
        size_t size = 8 + (size_t)i * 61 % (sizeof data / 2);
        fill_message(data, size, i);
        require(gnl_send(port, data, size, PATIENCE) == 0);
    }
    require(gnl_recv(port, data, sizeof data, PATIENCE) == 3);
    require(gnl_close(port) == 0);
    return 0;
}

START_TEST(slow_link_that_loses_packets_loses_no_message)
{
    struct scene *scene = scene_new();
    struct link link = { .drop_every = 13, .delay_ms = 3 };

    if (!link_hosts(&link, receive_all, send_all, scene)) {
        scene_end(scene);
        skip("no network namespaces or TUN devices for this user");
    }
    unlink_hosts(&link);
    ck_assert_uint_gt(atomic_load(&link.lost), 0);
    ck_assert_uint_eq(atomic_load(&scene->received), MESSAGES);
    scene_end(scene);
}
END_TEST

static bool some_were_received(void *context)
{
    return atomic_load(&((struct scene *)context)->received) >= 10;
}

static bool some_were_lost(void *context)
{
    return atomic_load(&((struct link *)context)->lost) >= 3;
}

START_TEST(link_that_is_cut_and_restored_loses_no_message)
{
    struct scene *scene = scene_new();
    struct link link = { .delay_ms = 5 };

    if (!link_hosts(&link, receive_all, send_all, scene)) {
        scene_end(scene);
        skip("no network namespaces or TUN devices for this user");
    }
    ck_assert(support_until(some_were_received, scene));
    atomic_store(&link.cut, true);
    ck_assert(support_until(some_were_lost, &link)); /* it was tried again, in vain */
    atomic_store(&link.cut, false);
    unlink_hosts(&link);
    ck_assert_uint_eq(atomic_load(&scene->received), MESSAGES);
    scene_end(scene);
}
END_TEST

/* ---- cut for good ---- */

static int wait_for_a_message(void *context)
{
    struct scene *scene = context;
    gnl_port *port = serve(scene);
    char byte;

    require(gnl_recv(port, &byte, 1, PATIENCE) == 1);
    support_gate_open(&scene->met);
    require(gnl_recv(port, &byte, 1, PATIENCE) == -EPIPE); /* the other never said so */
    require(gnl_recv(port, &byte, 1, PATIENCE) == -EPIPE);
    require(gnl_close(port) == 0);
    return 0;
}

static int send_until_it_fails(void *context)
{
    static char data[10000];
    struct scene *scene = context;
    gnl_port *port = connect_to_server(scene);
    int result = 0;

    require(gnl_send(port, "x", 1, PATIENCE) == 0);
    support_gate_wait(&scene->cut);
    while (result == 0)
        result = gnl_send(port, data, sizeof data, PATIENCE);
    require(result == -EPIPE);
    require(gnl_close(port) == 0);
    return 0;
}

START_TEST(half_open_peers_are_dead_in_time)
{
    struct scene *scene = scene_new();
    struct link link = { 0 };

    scene->options.dead_after = gnl_s(2);
    if (!link_hosts(&link, wait_for_a_message, send_until_it_fails, scene)) {
        scene_end(scene);
        skip("no network namespaces or TUN devices for this user");
    }
    support_gate_wait(&scene->met);
    atomic_store(&link.cut, true);
    support_gate_open(&scene->cut);
    unlink_hosts(&link);
    scene_end(scene);
}
END_TEST

static int do_nothing(void *context)
{
    support_gate_wait(&((struct scene *)context)->met);
    return 0;
}

static int connect_in_vain(void *context)
{
    struct scene *scene = context;
    struct gnl_options options = { .connect_timeout = gnl_ms(300) };
    gnl_port *port;

    require(gnl_open(&port, ADDRESS, &options) == -ETIMEDOUT);
    require(gnl_open(&port, "tcp:192.0.2.1:7000", &options) == -ENETUNREACH);
    support_gate_open(&scene->met);
    return 0;
}

START_TEST(connecting_to_a_host_that_is_silent_has_an_end)
{
    struct scene *scene = scene_new();
    struct link link = { .cut = true };

    if (!link_hosts(&link, do_nothing, connect_in_vain, scene)) {
        scene_end(scene);
        skip("no network namespaces or TUN devices for this user");
    }
    unlink_hosts(&link);
    scene_end(scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sockets_hosts");
    TCase *tests = support_case(suite, "hosts");

    tcase_add_test(tests, slow_link_that_loses_packets_loses_no_message);
    tcase_add_test(tests, link_that_is_cut_and_restored_loses_no_message);
    tcase_add_test(tests, half_open_peers_are_dead_in_time);
    tcase_add_test(tests, connecting_to_a_host_that_is_silent_has_an_end);
    return support_run(suite);
}
