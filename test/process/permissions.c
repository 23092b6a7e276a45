/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use what: the kernel's permissions on mailboxes and directories, seen by another user. Each
 * test is a child in a mount namespace of its own with a new /dev/shm. Needs root.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define STRANGER 65534
#define MACHINE  "mailbox:/m"
#define SHM      "/dev/shm"

static void in_new_shm(int (*run)(void *context))
{
    if (!scene_ran(run))
        skip("needs root, to mount and to be somebody else");
}

#define enter_new_shm()                                       \
    do {                                                      \
        if (geteuid() != 0 || !mount_tmpfs(SHM, "mode=1777")) \
            return NOT_HERE;                                  \
        unsetenv("GINNEL_DIR");                               \
    } while (0)

static void become_stranger(void)
{
    require(setgroups(0, NULL) == 0 && setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
}

/* Runs it as another user, in a child. */
static int as_stranger(int (*run)(void *context))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        become_stranger();
        _exit(run(NULL));
    }
    require(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int refused_by_mode(void *context)
{
    struct gnl_port_info info;
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, MACHINE, NULL) == -EACCES);
    require(strstr(gnl_error_detail(), "mailbox '/m': owned by uid 0, mode 0600"));
    require(gnl_inspect(MACHINE, &info, NULL, 0) == -EACCES);
    int result = gnl_remove(MACHINE);
    require(result == -EPERM || result == -EACCES);
    return 0;
}

static int private_machine_wide(void *context)
{
    gnl_port *port;

    (void)context;
    enter_new_shm();
    require(gnl_open(&port, MACHINE, NULL) == 0);
    require(as_stranger(refused_by_mode) == 0); /* though it inherits the port, and its file open */
    require(gnl_close(port) == 0);
    require(as_stranger(refused_by_mode) == 0);
    return gnl_remove(MACHINE);
}

START_TEST(mailbox_of_mode_0600_is_closed_to_other_users)
{
    in_new_shm(private_machine_wide);
}
END_TEST

static int use_public(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, MACHINE, &(struct gnl_options){ .owner_uid = STRANGER }) == -EPERM);
    require(gnl_open(&port, MACHINE, &(struct gnl_options){ .owner_uid = GNL_OWNER_ROOT }) == 0);
    require(receive_number(port) == 1);
    send_large(port, 2, 5000);
    require(gnl_close(port) == 0);
    int result = gnl_remove(MACHINE);
    require(result == -EPERM || result == -EACCES); /* the directory is sticky */
    require(gnl_open(&port, MACHINE, NULL) == 0);
    take_number(port, 2);
    return 0; /* holding it */
}

static int public_machine_wide(void *context)
{
    struct stat status;
    gnl_port *port;

    (void)context;
    enter_new_shm();
    umask(077);
    require(gnl_open(&port, MACHINE, &(struct gnl_options){ .mode = 0666 }) == 0);
    require(stat(SHM "/ginnel", &status) == 0 && (status.st_mode & 07777) == 01777 && status.st_uid == 0);
    send_number(port, 1);
    require(gnl_close(port) == 0); /* else the child inherits it open */
    require(as_stranger(use_public) == 0);
    require(gnl_open(&port, MACHINE, NULL) == 0);
    gnl_message message = take_number(port, 2);
    require(message.deliveries == 2 && message.sender.uid == STRANGER);
    require(gnl_done(&message) == 0);
    require(gnl_close(port) == 0);
    return gnl_remove(MACHINE);
}

START_TEST(mailbox_of_mode_0666_is_shared_with_other_users_who_cannot_remove_it)
{
    in_new_shm(public_machine_wide);
}
END_TEST

#define DEAD_LETTERS_AT 48 /* docs/formats/mailbox.md */

/* A stranger's mailbox for all, whose dead letters, it says, are a private mailbox of whoever buries them. */
static int make_trap(void *context)
{
    static const char private[] = "mailbox:private";
    struct gnl_options options = { .mode = 0666, .max_deliveries = 1, .dead_letters = "/graves" };
    gnl_port *port = NULL;

    (void)context;
    require(gnl_open(&port, MACHINE, &(struct gnl_options){ .max_deliveries = 1, .dead_letters = private }) ==
            -EINVAL);
    require(gnl_open(&port, MACHINE, &options) == 0);
    send_number(port, 1);
    require(gnl_close(port) == 0);
    int file = open(SHM "/ginnel/mailbox:m", O_RDWR | O_CLOEXEC);
    require(file >= 0 && pwrite(file, private, sizeof private, DEAD_LETTERS_AT) == sizeof private);
    return close(file);
}

static int meet_trap(void *context)
{
    struct gnl_port_info info;
    gnl_port *port;

    (void)context;
    enter_new_shm();
    require(gnl_open(&port, "mailbox:/first", NULL) == 0 && gnl_close(port) == 0); /* makes the directory */
    require(as_stranger(make_trap) == 0);
    require(gnl_open(&port, MACHINE, NULL) == 0);
    require(gnl_port_info(port, &info) == 0 && strcmp(info.dead_letters, "mailbox:private") == 0);
    gnl_message message = take_number(port, 1);
    require(gnl_giveback(&message) == 0);
    require(gnl_take(port, &message, GNL_NOWAIT) == -EAGAIN); /* and it is not delivered once more */
    require(gnl_open(&port, "mailbox:private", &(struct gnl_options){ .create = GNL_OPEN_ONLY }) == -ENOENT);
    return 0;
}

START_TEST(strangers_mailbox_sends_no_dead_letters_into_private_ones)
{
    in_new_shm(meet_trap);
}
END_TEST

static int find_none(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, MACHINE, NULL) == -ENOENT);
    require(strstr(gnl_error_detail(), SHM "/ginnel"));
    return 0;
}

static int no_machine_wide(void *context)
{
    (void)context;
    enter_new_shm();
    return as_stranger(find_none);
}

START_TEST(absent_machine_wide_directory_is_enoent_in_a_sentence_that_names_it)
{
    in_new_shm(no_machine_wide);
}
END_TEST

static int not_sticky(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, MACHINE, NULL) == -EPERM);
    return 0;
}

static int unsafe_machine_wide(void *context)
{
    (void)context;
    enter_new_shm();
    require(mkdir(SHM "/ginnel", 0777) == 0 && chmod(SHM "/ginnel", 0777) == 0);
    require(as_stranger(not_sticky) == 0);
    require(chmod(SHM "/ginnel", 01777) == 0 && chown(SHM "/ginnel", 1000, 0) == 0);
    return as_stranger(not_sticky);
}

START_TEST(machine_wide_directory_that_is_not_roots_and_sticky_is_refused)
{
    in_new_shm(unsafe_machine_wide);
}
END_TEST

/* ---- a user's own directory ---- */

static int make_own(void *context)
{
    struct stat status;
    gnl_port *port;

    (void)context;
    umask(0);
    require(gnl_open(&port, "mailbox:own", NULL) == 0);
    require(stat(SHM "/ginnel-65534", &status) == 0);
    require((status.st_mode & 07777) == 0700 && status.st_uid == STRANGER);
    require(stat(SHM "/ginnel-65534/mailbox:own", &status) == 0 && (status.st_mode & 07777) == 0600);
    require(gnl_close(port) == 0);
    return gnl_remove("mailbox:own");
}

static int own_directory(void *context)
{
    (void)context;
    enter_new_shm();
    return as_stranger(make_own);
}

START_TEST(users_own_directory_is_made_for_them_alone)
{
    in_new_shm(own_directory);
}
END_TEST

static int open_own_is_refused(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, "mailbox:own", NULL) == -EPERM);
    require(strstr(gnl_error_detail(), SHM "/ginnel-65534"));
    return 0;
}

static int planted_directory(void *context)
{
    (void)context;
    enter_new_shm();
    /* Somebody else's. */
    require(mkdir(SHM "/ginnel-65534", 0755) == 0);
    require(as_stranger(open_own_is_refused) == 0);
    require(chmod(SHM "/ginnel-65534", 0777) == 0);
    require(as_stranger(open_own_is_refused) == 0);
    /* One's own, open to others. */
    require(chown(SHM "/ginnel-65534", STRANGER, STRANGER) == 0);
    require(as_stranger(open_own_is_refused) == 0);
    require(chmod(SHM "/ginnel-65534", 0770) == 0);
    require(as_stranger(open_own_is_refused) == 0);
    /* A link to one that would do. */
    require(chmod(SHM "/ginnel-65534", 0700) == 0);
    require(rename(SHM "/ginnel-65534", SHM "/elsewhere") == 0);
    require(symlink(SHM "/elsewhere", SHM "/ginnel-65534") == 0);
    return as_stranger(open_own_is_refused);
}

START_TEST(directory_that_is_somebody_elses_or_open_to_others_or_a_link_is_refused)
{
    in_new_shm(planted_directory);
}
END_TEST

static int open_linked(void *context)
{
    gnl_port *port;

    (void)context;
    require(gnl_open(&port, MACHINE, NULL) == -EBADMSG);
    require(strstr(gnl_error_detail(), "symbolic link"));
    return 0;
}

static int planted_name(void *context)
{
    gnl_port *port;

    (void)context;
    enter_new_shm();
    require(gnl_open(&port, "mailbox:/real", &(struct gnl_options){ .mode = 0666 }) == 0);
    require(gnl_close(port) == 0);
    require(symlink("mailbox:real", SHM "/ginnel/mailbox:m") == 0);
    require(as_stranger(open_linked) == 0);
    require(gnl_open(&port, MACHINE, NULL) == -EBADMSG);
    return 0;
}

START_TEST(link_planted_as_a_mailbox_is_not_followed)
{
    in_new_shm(planted_name);
}
END_TEST

/* ---- segments ---- */

static int read_segment(void *context)
{
    gnl_segment *segment;
    char copy[6];

    (void)context;
    require(gnl_segment_attach(&segment, "/s", GNL_READ | GNL_WRITE) == -EACCES);
    require(gnl_segment_create(&segment, "/s", 0, NULL) == -EACCES);
    require(gnl_segment_attach(&segment, "/s", GNL_READ) == 0);
    require(gnl_segment_snapshot(segment, 0, copy, sizeof copy, GNL_NOWAIT) == 0 &&
            strcmp(copy, "hello") == 0);
    require(gnl_segment_lock(segment, GNL_NOWAIT) == -EACCES);
    require(gnl_segment_grow(segment, 1 << 20) == -EACCES);
    require(gnl_segment_set_mode(segment, 0666) == -EPERM);
    require(gnl_segment_wait(segment, gnl_segment_version(segment), GNL_NOWAIT) == -EAGAIN);
    require(mprotect(gnl_segment_data(segment), 1000, PROT_READ | PROT_WRITE) != 0);
    struct gnl_segment_info info;
    require(gnl_segment_info(segment, &info) == 0 && info.attached == 1 && info.uid == 0);
    int result = gnl_remove("segment:/s");
    require(result == -EPERM || result == -EACCES);
    return gnl_segment_detach(segment);
}

/* It has its parent's descriptors, which may write, and not its rights. */
static int read_inherited_segment(void *context)
{
    gnl_segment *segment;

    (void)context;
    require(gnl_segment_attach(&segment, "/s", GNL_READ | GNL_WRITE) == -EACCES);
    require(gnl_segment_attach(&segment, "/s", GNL_READ) == 0);
    require(strcmp(gnl_segment_data(segment), "hello") == 0);
    require(mprotect(gnl_segment_data(segment), 1000, PROT_READ | PROT_WRITE) != 0);
    return gnl_segment_detach(segment);
}

static int refused_segment(void *context)
{
    gnl_segment *segment;

    (void)context;
    require(gnl_segment_attach(&segment, "/s", GNL_READ) == -EACCES);
    require(strstr(gnl_error_detail(), "segment '/s': owned by uid 0, mode 0600"));
    return 0;
}

static int segment_for_readers(void *context)
{
    gnl_segment *segment;

    (void)context;
    enter_new_shm();
    umask(077);
    require(gnl_segment_create(&segment, "/s", 1000, &(struct gnl_segment_options){ .mode = 0644 }) == 0);
    strcpy(gnl_segment_data(segment), "hello");
    require(as_stranger(read_inherited_segment) == 0);
    require(gnl_segment_detach(segment) == 0);
    require(as_stranger(read_segment) == 0);
    require(gnl_segment_attach(&segment, "/s", GNL_READ) == 0);
    require(gnl_segment_set_mode(segment, 0600) == 0);
    require(gnl_segment_detach(segment) == 0);
    require(as_stranger(refused_segment) == 0);
    return gnl_remove("segment:/s");
}

START_TEST(segment_of_mode_0644_is_read_by_other_users_and_no_more)
{
    in_new_shm(segment_for_readers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("permissions");
    TCase *machine_wide = support_case(suite, "machine-wide");
    TCase *own = support_case(suite, "own");

    tcase_add_test(machine_wide, mailbox_of_mode_0600_is_closed_to_other_users);
    tcase_add_test(machine_wide, mailbox_of_mode_0666_is_shared_with_other_users_who_cannot_remove_it);
    tcase_add_test(machine_wide, strangers_mailbox_sends_no_dead_letters_into_private_ones);
    tcase_add_test(machine_wide, absent_machine_wide_directory_is_enoent_in_a_sentence_that_names_it);
    tcase_add_test(machine_wide, machine_wide_directory_that_is_not_roots_and_sticky_is_refused);
    tcase_add_test(machine_wide, link_planted_as_a_mailbox_is_not_followed);
    tcase_add_test(machine_wide, segment_of_mode_0644_is_read_by_other_users_and_no_more);
    tcase_add_test(own, users_own_directory_is_made_for_them_alone);
    tcase_add_test(own, directory_that_is_somebody_elses_or_open_to_others_or_a_link_is_refused);
    return support_run(suite);
}
