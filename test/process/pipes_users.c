/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine-wide pipes and other users: who may connect, whose name it is. Each scene has a /dev/shm of its
 * own. Needs root.
 */
#include "helpers.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PIPE "pipe:/p"
#define ONE  40001
#define TWO  40002

static bool enter(void)
{
    if (geteuid() != 0 || !mount_tmpfs("/dev/shm", "mode=1777"))
        return false;
    unsetenv("GINNEL_DIR");
    return mkdir("/dev/shm/ginnel", 01777) == 0 && chmod("/dev/shm/ginnel", 01777) == 0;
}

/* A child of that user does it, and exits with what it returns. */
static void as(uid_t uid, int (*run)(void *context), void *context)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        require(setgroups(0, NULL) == 0 && setgid(uid) == 0 && setuid(uid) == 0);
        _exit(run(context));
    }
    require(waitpid(child, &status, 0) == child && status == 0);
}

static gnl_listener *listen_on(mode_t mode)
{
    gnl_listener *listener;

    require(gnl_listen(&listener, PIPE, &(struct gnl_options){ .mode = mode }) == 0);
    return listener;
}

static int is_refused(void *context)
{
    gnl_port *port;
    gnl_listener *listener;

    (void)context;
    require(gnl_open(&port, PIPE, NULL) == -EACCES);
    require(strstr(gnl_error_detail(), "owned by uid 0, mode 0600"));
    require(gnl_listen(&listener, PIPE, NULL) == -EACCES);
    return 0;
}

static int is_let_in(void *context)
{
    gnl_port *port;
    gnl_listener *listener;

    (void)context;
    require(gnl_open(&port, PIPE, &(struct gnl_options){ .owner_uid = GNL_OWNER_ROOT }) == 0);
    require(gnl_send(port, "hello", 5, PATIENCE) == 0);
    require(gnl_close(port) == 0);
    require(gnl_listen(&listener, PIPE, NULL) == -EADDRINUSE);
    require(gnl_remove(PIPE) == -EBUSY);
    return 0;
}

static int modes(void *context)
{
    struct gnl_port_info info;
    gnl_message message;
    gnl_port *port;

    (void)context;
    if (!enter())
        return NOT_HERE;
    gnl_listener *listener = listen_on(0);
    as(ONE, is_refused, NULL);
    require(gnl_listener_close(listener) == 0);
    listener = listen_on(0666);
    as(ONE, is_let_in, NULL);
    require(gnl_accept(listener, &port, PATIENCE) == 0);
    require(gnl_port_info(port, &info) == 0 && info.peer.uid == ONE && info.peer.gid == ONE);
    require(gnl_take(port, &message, PATIENCE) == 0);
    require(message.sender.uid == ONE && message.flags & GNL_SENDER_VOUCHED);
    require(gnl_done(&message) == 0 && gnl_close(port) == 0);
    require(gnl_listener_close(listener) == 0);
    return 0;
}

static int listen_and_die(void *context)
{
    (void)context;
    listen_on(0666);
    return 0; /* it leaves the name, as if it had been killed */
}

static int finds_a_strangers_remains(void *context)
{
    gnl_listener *listener;
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, PIPE, NULL) == -ENOENT);
    int result = gnl_listen(&listener, PIPE, NULL); /* only its owner and root may take it over */
    require(result == -EPERM || result == -EACCES);
    return 0;
}

static int takes_its_own_over(void *context)
{
    gnl_listener *listener = listen_on(0666);
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, PIPE, &(struct gnl_options){ .owner_uid = TWO }) == -EPERM);
    require(gnl_open(&port, PIPE, &(struct gnl_options){ .owner_uid = ONE }) == 0);
    require(gnl_close(port) == 0 && gnl_listener_close(listener) == 0);
    return 0;
}

static int remains(void *context)
{
    (void)context;
    if (!enter())
        return NOT_HERE;
    as(ONE, listen_and_die, NULL);
    as(TWO, finds_a_strangers_remains, NULL);
    as(ONE, takes_its_own_over, NULL);
    return 0;
}

START_TEST(mode_says_who_may_connect_and_the_kernel_who_they_are)
{
    if (!scene_ran(modes))
        skip("needs root, to mount and to be somebody else");
}
END_TEST

START_TEST(name_of_the_dead_is_its_owners)
{
    if (!scene_ran(remains))
        skip("needs root, to mount and to be somebody else");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipes and other users");
    TCase *test_case = support_case(suite, "machine-wide");

    tcase_add_test(test_case, mode_says_who_may_connect_and_the_kernel_who_they_are);
    tcase_add_test(test_case, name_of_the_dead_is_its_owners);
    return support_run(suite);
}
