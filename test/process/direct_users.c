/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine-wide identities and other users: who may connect, who may answer, and what a stranger can put in
 * the way. Each test is a child in a mount namespace of its own with a new /dev/shm. Needs root.
 */
#include "links.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ONE   65534
#define OTHER 65533
#define GROUP 65432

/* What stands in it. */
struct scene {
    struct gate claimed, over;
    uid_t server; /* who has /bob */
    uid_t uid;    /* whom it allows */
    gid_t gid;
    bool allows;
};

static void become(uid_t uid, gid_t group)
{
    if (uid == 0)
        return;
    require(setgroups(group != 0, &group) == 0 && setgid(uid) == 0 && setuid(uid) == 0);
}

/* /bob answers each message with its number and a hundred. */
static int serve(struct scene *scene)
{
    struct gnl_sender sender;

    become(scene->server, 0);
    gnl_identity *me = claim("/bob");
    if (scene->allows)
        require(gnl_identity_allow(me, scene->uid, scene->gid) == 0);
    support_gate_open(&scene->claimed);
    for (;;) {
        uint64_t number;
        ssize_t size = gnl_recv_from(me, NULL, &number, sizeof number, &sender, PATIENCE);
        require(size == 8);
        char name[GNL_NAME_MAX + 2] = "/";
        strcat(name, sender.name);
        require(sender.uid != scene->server);
        tell(me, name, number + 100, 8);
    }
}

static pid_t start_server(struct scene *scene)
{
    fflush(NULL);
    scene->claimed = support_gate();
    pid_t child = fork();
    if (child == 0)
        _exit(serve(scene));
    support_gate_wait(&scene->claimed);
    return child;
}

/* What a client of that user and group besides gets: 0, or the error of its call. */
static int call_as(uid_t uid, gid_t group)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct gnl_sender sender;
        uint64_t number = 5;
        become(uid, group);
        gnl_identity *me = claim("/alice");
        int result = gnl_send_to(me, "/bob", &number, sizeof number, SOON);
        if (result == -EACCES)
            require(strstr(gnl_error_detail(), "gnl_identity_allow"));
        if (result == 0) { /* and for more than its capacity */
            for (uint64_t i = 0; i < 2000 && result == 0; i++) {
                ssize_t size = gnl_recv_from(me, "/bob", &number, sizeof number, &sender, SOON);
                result = size < 0 ? (int)size : 0;
                require(result < 0 || number == (i == 0 ? 105 : i + 100));
                uint64_t next = i + 1;
                if (result == 0 && i < 1999)
                    result = gnl_send_to(me, "/bob", &next, sizeof next, SOON);
            }
        }
        require(gnl_identity_release(me) == 0);
        _exit(-result);
    }
    require(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void end_server(pid_t server)
{
    int status;

    kill(server, SIGKILL);
    require(waitpid(server, &status, 0) == server && WIFSIGNALED(status));
}

static bool enter_new_shm(void)
{
    if (geteuid() != 0 || !mount_tmpfs("/dev/shm", "mode=1777"))
        return false;
    unsetenv("GINNEL_DIR");
    gnl_identity *me = claim("/root-was-here"); /* makes the directory, and the file of claims */
    release(me);
    return true;
}

static int only_the_same_user(void *context)
{
    struct scene scene = { .server = ONE };

    (void)context;
    if (!enter_new_shm())
        return NOT_HERE;
    pid_t server = start_server(&scene);
    require(call_as(OTHER, 0) == -EACCES);
    end_server(server);
    scene = (struct scene){ .server = 0 };
    server = start_server(&scene);
    require(call_as(ONE, 0) == -EACCES);
    end_server(server);
    return 0;
}

static int who_is_allowed(void *context)
{
    const uid_t servers[] = { 0, ONE };

    (void)context;
    if (!enter_new_shm())
        return NOT_HERE;
    for (unsigned i = 0; i < 2; i++) {
        struct scene scene = { .server = servers[i], .allows = true, .uid = OTHER, .gid = (gid_t)-1 };
        pid_t server = start_server(&scene);
        require(call_as(OTHER, 0) == 0);
        require(call_as(OTHER + 1000, 0) == -EACCES);
        end_server(server);
        scene.uid = (uid_t)-1;
        scene.gid = GROUP;
        server = start_server(&scene);
        require(call_as(OTHER, GROUP) == 0);
        require(call_as(OTHER, 0) == -EACCES);
        end_server(server);
        scene.gid = (gid_t)-1;
        server = start_server(&scene);
        require(call_as(OTHER, 0) == 0);
        require(call_as(OTHER + 1000, 0) == 0);
        end_server(server);
        scene.uid = OTHER; /* both: it does not do to be one of them */
        scene.gid = GROUP;
        server = start_server(&scene);
        require(call_as(OTHER, GROUP) == 0);
        require(call_as(OTHER, 0) == -EACCES);
        require(call_as(OTHER + 1000, GROUP) == -EACCES);
        require(servers[i] == 0 || call_as(0, 0) == -EACCES); /* though the kernel lets root past */
        end_server(server);
    }
    return 0;
}

/* Leaves sockets that listen under the name of another. */
static void leave_decoy(uid_t uid)
{
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    int made = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    become(uid, 0);
    snprintf(path.sun_path, sizeof path.sun_path, "/dev/shm/ginnel/direct:bob~%u", (unsigned)uid);
    umask(0);
    require(bind(made, (struct sockaddr *)&path, sizeof path) == 0 && listen(made, 10) == 0);
}

static int names_of_the_machine(void *context)
{
    struct scene scene = { .server = ONE, .allows = true, .uid = (uid_t)-1, .gid = (gid_t)-1 };
    struct gate ready = support_gate();
    gnl_identity *me;

    (void)context;
    if (!enter_new_shm())
        return NOT_HERE;
    pid_t decoy = fork();
    if (decoy == 0) {
        leave_decoy(OTHER);
        support_gate_open(&ready);
        wait_to_be_killed();
    }
    support_gate_wait(&ready);
    pid_t server = start_server(&scene);
    require(gnl_identity_claim(&me, "/bob") == -EADDRINUSE);
    me = claim("bob"); /* of this user: another name */
    require(gnl_send_to(me, "/bob", "x", 1, GNL_NOWAIT) == -EINVAL);
    release(me);
    require(call_as(OTHER - 1, 0) == 0); /* finds the one who has the name */
    end_server(server);
    me = claim("/bob"); /* at once */
    release(me);
    end_server(decoy);
    return 0;
}

/* Locks bytes of .claims: all, but those that somebody has. */
static void lock_all_names(struct gate *ready)
{
    become(OTHER, 0);
    int claims = open("/dev/shm/ginnel/.claims", O_RDWR | O_CLOEXEC);
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    require(claims >= 0 && fcntl(claims, F_SETLK, &all) != 0);
    fcntl(claims, F_GETLK, &all);
    struct flock before = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = all.l_start };
    struct flock behind = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = all.l_start + 1 };
    require(fcntl(claims, F_SETLK, &before) == 0 && fcntl(claims, F_SETLK, &behind) == 0);
    support_gate_open(ready);
    wait_to_be_killed();
}

static int names_that_a_stranger_locks(void *context)
{
    struct scene scene = { .server = ONE, .allows = true, .uid = (uid_t)-1, .gid = (gid_t)-1 };
    struct gate ready = support_gate();
    char owner[32];
    gnl_identity *me;

    (void)context;
    if (!enter_new_shm())
        return NOT_HERE;
    pid_t server = start_server(&scene), stranger = fork();
    if (stranger == 0)
        lock_all_names(&ready);
    support_gate_wait(&ready);
    require(gnl_identity_claim(&me, "/carol") == -EADDRINUSE);
    snprintf(owner, sizeof owner, "process %d has", (int)stranger);
    require(strstr(gnl_error_detail(), owner));
    snprintf(owner, sizeof owner, "of uid %u", OTHER);
    require(strstr(gnl_error_detail(), owner));
    require(gnl_identity_claim(&me, "/bob") == -EADDRINUSE);
    end_server(stranger);
    require(call_as(OTHER, 0) == 0); /* /bob has noticed nothing */
    me = claim("/carol");
    release(me);
    end_server(server);
    /* Root may keep such names to a group. */
    require(chown("/dev/shm/ginnel/.claims", 0, GROUP) == 0 && chmod("/dev/shm/ginnel/.claims", 0660) == 0);
    server = start_server(&(struct scene){ .allows = true, .uid = (uid_t)-1, .gid = (gid_t)-1 });
    require(call_as(OTHER, GROUP) == 0);
    become(OTHER, 0);
    require(gnl_identity_claim(&me, "/carol") == -EACCES);
    return 0;
}

static int no_list_of_claims(void *context)
{
    gnl_identity *me;

    (void)context;
    if (geteuid() != 0 || !mount_tmpfs("/dev/shm", "mode=1777"))
        return NOT_HERE;
    unsetenv("GINNEL_DIR");
    require(mkdir("/dev/shm/ginnel", 01777) == 0 && chmod("/dev/shm/ginnel", 01777) == 0);
    become(ONE, 0);
    require(gnl_identity_claim(&me, "/bob") == -ENOENT);
    return 0;
}

static void run_scene(int (*run)(void *context))
{
    if (!scene_ran(run))
        skip("needs root, to mount and to be somebody else");
}

START_TEST(only_the_same_user_may_connect)
{
    run_scene(only_the_same_user);
}
END_TEST

START_TEST(who_is_allowed_may_connect_and_gets_answers)
{
    run_scene(who_is_allowed);
}
END_TEST

START_TEST(machine_wide_name_belongs_to_one_process_whatever_strangers_leave_there)
{
    run_scene(names_of_the_machine);
}
END_TEST

START_TEST(stranger_who_locks_the_names_keeps_only_those_that_nobody_has)
{
    run_scene(names_that_a_stranger_locks);
}
END_TEST

START_TEST(machine_wide_names_need_what_the_package_makes)
{
    run_scene(no_list_of_claims);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct links and other users");
    TCase *test_case = support_case(suite, "machine-wide");

    tcase_add_test(test_case, only_the_same_user_may_connect);
    tcase_add_test(test_case, who_is_allowed_may_connect_and_gets_answers);
    tcase_add_test(test_case, machine_wide_name_belongs_to_one_process_whatever_strangers_leave_there);
    tcase_add_test(test_case, stranger_who_locks_the_names_keeps_only_those_that_nobody_has);
    tcase_add_test(test_case, machine_wide_names_need_what_the_package_makes);
    return support_run(suite);
}
