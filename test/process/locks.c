/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof of life is a record lock on the mailbox's file, and record locks have traps: the kernel
 * drops all that a process has on a file when it closes any descriptor of it, and whoever may only read
 * a file can read-lock it.
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

struct victim {
    struct gate ready, go_on, holds;
};

/* What closes a descriptor of the file, or might. */
static void open_and_close_the_file(void)
{
    int descriptor = open(path_in_directory(MAILBOX), O_RDONLY | O_CLOEXEC);

    require(descriptor >= 0 && close(descriptor) == 0);
}

static void use_the_library(void)
{
    gnl_port *first, *second;
    struct gnl_port_info info;

    require(gnl_inspect(MAILBOX, &info, NULL, 0) == 2);
    require(gnl_open(&first, MAILBOX, NULL) == 0);
    require(gnl_open(&second, MAILBOX, &(struct gnl_options){ .direction = GNL_SEND_ONLY }) == 0);
    require(gnl_close(first) == 0);
    require(gnl_close(second) == 0);
    require(gnl_open(&first, MAILBOX, &(struct gnl_options){ .create = GNL_CREATE_ONLY }) == -EEXIST);
    require(gnl_open(&first, MAILBOX, &(struct gnl_options){ .capacity = 77 }) == -EINVAL);
    require(gnl_open(&first, MAILBOX, &(struct gnl_options){ .side = GNL_SIDE_A }) == -EINVAL);
    require(gnl_inspect(MAILBOX, &info, NULL, 0) == 2);
}

static int hold_and_use_the_library(void *context)
{
    struct victim *victim = context;
    gnl_port *port = open_port(NULL);
    gnl_message message = take_number(port, 1);

    for (unsigned i = 0; i < 10; i++)
        use_the_library();
    support_gate_open(&victim->ready);
    support_gate_wait(&victim->go_on);
    use_the_library();
    require(gnl_done(&message) == 0);
    close_port(port);
    return 0;
}

static struct victim new_victim(void)
{
    return (struct victim){ .ready = support_gate(), .go_on = support_gate(), .holds = support_gate() };
}

static void free_victim(struct victim *victim)
{
    support_gate_close(&victim->ready);
    support_gate_close(&victim->go_on);
    support_gate_close(&victim->holds);
}

START_TEST(nothing_is_stolen_because_of_what_the_library_itself_opens_and_closes)
{
    struct victim victim = new_victim();
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_number(port, 1);
    pid_t child = support_fork(hold_and_use_the_library, &victim);
    support_gate_wait(&victim.ready);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(400)), -ETIMEDOUT);
    ck_assert_uint_eq(count_participants(true), 2);
    support_gate_open(&victim.go_on);
    support_expect_exit(child, 0);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(250)), -ETIMEDOUT);
    free_victim(&victim);
    close_port(port);
    remove_mailbox();
}
END_TEST

static bool two_alive(void *context)
{
    (void)context;
    return count_participants(true) == 2;
}

static int wait_after_losing_the_proof(void *context)
{
    struct victim *victim = context;
    gnl_port *port = open_port(NULL);
    gnl_message message;

    open_and_close_the_file();
    support_gate_open(&victim->ready);
    require(gnl_take(port, &message, PATIENCE) == 0);
    support_gate_open(&victim->holds);
    support_gate_wait(&victim->go_on);
    require(gnl_done(&message) == 0);
    close_port(port);
    return 0;
}

START_TEST(process_that_opened_and_closed_the_file_itself_does_not_stay_dead)
{
    struct victim victim = new_victim();
    gnl_port *port = open_port(&(struct gnl_options){ .direction = GNL_SEND_ONLY });
    gnl_message message;

    pid_t child = support_fork(wait_after_losing_the_proof, &victim);
    support_gate_wait(&victim.ready);
    ck_assert(support_until(two_alive, NULL));
    send_number(port, 1);
    support_gate_wait(&victim.holds);
    gnl_port *receiver;
    assert_ok(gnl_open(&receiver, MAILBOX, NULL));
    ck_assert_int_eq(gnl_take(receiver, &message, gnl_ms(300)), -ETIMEDOUT);
    close_port(receiver);
    support_gate_open(&victim.go_on);
    support_expect_exit(child, 0);
    free_victim(&victim);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* What the program has brought on itself: it is taken for dead, and mended. Then it goes on. */
static int go_on_after_being_mended(void *context)
{
    struct victim *victim = context;
    gnl_port *port = open_port(NULL);
    gnl_message lost = take_number(port, 1);

    open_and_close_the_file();
    support_gate_open(&victim->ready);
    support_gate_wait(&victim->go_on);
    require(gnl_done(&lost) < 0); /* somebody else has it by now */
    take_number(port, 2);
    send_number(port, 3);
    support_gate_open(&victim->holds);
    for (;;)
        pause();
}

static int just_open(void *context)
{
    (void)context;
    close_port(open_port(&(struct gnl_options){ .create = GNL_OPEN_ONLY }));
    return 0;
}

START_TEST(process_that_was_taken_for_dead_lives_again_and_what_it_holds_then_is_safe)
{
    struct victim victim = new_victim();
    gnl_port *port = open_port(NULL);
    gnl_message message;

    send_number(port, 1);
    pid_t child = support_fork(go_on_after_being_mended, &victim);
    support_gate_wait(&victim.ready);
    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), 1);
    assert_ok(gnl_done(&message));
    support_gate_open(&victim.go_on);
    ck_assert(support_until(two_alive, NULL));
    for (unsigned i = 0; i < 3; i++)
        support_expect_exit(support_fork(just_open, NULL), 0);
    send_number(port, 2);
    support_gate_wait(&victim.holds);
    ck_assert_uint_eq(receive_number(port), 3);
    ck_assert_int_eq(gnl_take(port, &message, gnl_ms(300)), -ETIMEDOUT);
    support_kill(child);
    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(check_message(message.data, message.size), 2);
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    free_victim(&victim);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- whoever may only read ---- */

/* The bytes that the process has locked, as /proc/locks tells everybody. */
static unsigned locked_bytes(pid_t process, off_t *bytes, unsigned most)
{
    FILE *file = fopen("/proc/locks", "re");
    unsigned count = 0;
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        int pid;
        long long start;
        if (sscanf(line, "%*d: POSIX ADVISORY WRITE %d %*s %lld", &pid, &start) == 2 && pid == process &&
            count < most)
            bytes[count++] = (off_t)start;
    }
    if (file)
        fclose(file);
    return count;
}

struct reader {
    off_t byte;
    struct gate locked;
};

static int read_lock(void *context)
{
    struct reader *reader = context;
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = reader->byte, .l_len = 1 };

    int descriptor = open(path_in_directory(MAILBOX), O_RDONLY | O_CLOEXEC);
    require(descriptor >= 0);
    require(fcntl(descriptor, F_SETLK, &lock) == 0);
    support_gate_open(&reader->locked);
    for (;;)
        pause();
}

START_TEST(read_lock_on_a_dead_participants_byte_keeps_neither_the_dead_alive_nor_the_living_out)
{
    gnl_port *port = open_port(&(struct gnl_options){ .mode = 0644 });
    gnl_message message;
    off_t bytes[4];

    send_number(port, 1);
    pid_t holder = start_holder(1);
    unsigned count = locked_bytes(holder, bytes, 4);
    ck_assert_uint_eq(count, 1);
    support_kill(holder);
    struct reader reader = { .byte = bytes[0], .locked = support_gate() };
    pid_t child = support_fork(read_lock, &reader);
    support_gate_wait(&reader.locked);

    assert_ok(gnl_take(port, &message, SOON));
    ck_assert_uint_eq(message.deliveries, 2);
    assert_ok(gnl_done(&message));
    ck_assert_uint_eq(count_participants(false), 0);
    for (unsigned i = 0; i < 3; i++)
        support_expect_exit(support_fork(just_open, NULL), 0);
    support_kill(child);
    support_gate_close(&reader.locked);
    close_port(port);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("locks");
    TCase *locks = support_case(suite, "locks");

    tcase_add_test(locks, nothing_is_stolen_because_of_what_the_library_itself_opens_and_closes);
    tcase_add_test(locks, process_that_opened_and_closed_the_file_itself_does_not_stay_dead);
    tcase_add_test(locks, process_that_was_taken_for_dead_lives_again_and_what_it_holds_then_is_safe);
    tcase_add_test(locks,
                   read_lock_on_a_dead_participants_byte_keeps_neither_the_dead_alive_nor_the_living_out);
    return support_run(suite);
}
