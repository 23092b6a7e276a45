/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where memory and other things run out: a full tmpfs, a disk, and the limits of a process. Errors, no
 * signals; nothing that was accepted is lost; and when there is room again, all goes on. And how
 * little is taken.
 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#define NOT_PERMITTED 77 /* exit status of a child */

static void run_or_skip(int (*run)(void *context), void *context, const char *what)
{
    int64_t start = now_ms();
    pid_t child = support_fork(run, context);
    int status;

    while (waitpid(child, &status, WNOHANG) == 0) {
        ck_assert_msg(now_ms() - start < PATIENCE_MS, "the child hangs");
        pause_us(1000);
    }
    ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == NOT_PERMITTED)
        skip("%s", what);
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}

/* ---- a full tmpfs ---- */

static void fill_up(void)
{
    static char junk[4096];
    int descriptor = open(path_in_directory("junk"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    require(descriptor >= 0);
    while (write(descriptor, junk, sizeof junk) > 0)
        ;
    require(errno == ENOSPC);
    close(descriptor);
}

static int ignore_name(const char *address, void *context)
{
    (void)context;
    return strcmp(address, MAILBOX) == 0;
}

static int open_when_full(void *context)
{
    gnl_port *port;

    (void)context;
    if (!mount_tmpfs(support_directory(), "size=2m,mode=0700"))
        return NOT_PERMITTED;
    fill_up();
    require(gnl_open(&port, MAILBOX, NULL) == -ENOSPC);
    require(strstr(gnl_error_detail(), "'m'"));
    require(gnl_names(ignore_name, NULL) == 0); /* nothing half made is left */
    require(unlink(path_in_directory("junk")) == 0);
    port = open_port(NULL);
    send_number(port, 1);
    require(receive_number(port) == 1);
    close_port(port);
    return 0;
}

START_TEST(opening_where_there_is_no_memory_is_enospc_and_leaves_nothing)
{
    run_or_skip(open_when_full, NULL, "needs the right to mount");
}
END_TEST

/* Sends messages of that size until there is no memory; returns how many went. */
static uint64_t send_until_full(gnl_port *port, size_t size)
{
    static char data[300000];
    uint64_t sent = 0;
    int result;

    do {
        fill_message(data, size, sent);
        result = gnl_send(port, data, size, GNL_NOWAIT);
        sent += result == 0;
    } while (result == 0);
    require(result == -ENOSPC);
    return sent;
}

struct filling {
    struct gnl_options options;
    size_t size;
};

static int fill_and_drain(void *context)
{
    struct filling *filling = context;

    if (!mount_tmpfs(support_directory(), "size=2m,mode=0700"))
        return NOT_PERMITTED;
    gnl_port *port = open_port(&filling->options);
    for (unsigned round = 0; round < 3; round++) {
        gnl_message loan;
        uint64_t sent = send_until_full(port, filling->size);
        require(sent > 3);
        require(filling->size < 4096 || gnl_loan(port, &loan, filling->size, GNL_NOWAIT) == -ENOSPC);
        for (uint64_t i = 0; i < sent; i++)
            require(receive_number(port) == i);
        require(gnl_take(port, &loan, GNL_NOWAIT) == -EAGAIN);
        send_large(port, 7, filling->size);
        require(receive_number(port) == 7);
    }
    close_port(port);
    return 0;
}

START_TEST(large_messages_are_refused_when_memory_is_full_and_what_was_accepted_arrives)
{
    struct filling filling = { .options = { .capacity = 1000 }, .size = 50000 };

    run_or_skip(fill_and_drain, &filling, "needs the right to mount");
}
END_TEST

START_TEST(huge_messages_are_refused_when_memory_is_full_and_what_was_accepted_arrives)
{
    struct filling filling = { .options = { .capacity = GNL_UNBOUNDED }, .size = 300000 };

    run_or_skip(fill_and_drain, &filling, "needs the right to mount");
}
END_TEST

START_TEST(unbounded_mailbox_is_full_when_memory_is_and_what_was_accepted_arrives)
{
    struct filling filling = { .options = { .capacity = GNL_UNBOUNDED }, .size = 64 };

    run_or_skip(fill_and_drain, &filling, "needs the right to mount");
}
END_TEST

START_TEST(small_chunks_are_refused_when_memory_is_full_and_what_was_accepted_arrives)
{
    struct filling filling = { .options = { .capacity = GNL_UNBOUNDED }, .size = 700 };

    run_or_skip(fill_and_drain, &filling, "needs the right to mount");
}
END_TEST

static int hold_when_full(void *context)
{
    static gnl_message held[GNL_HELD_MAX];
    unsigned count = 0;
    int result = 0;

    (void)context;
    if (!mount_tmpfs(support_directory(), "size=2m,mode=0700"))
        return NOT_PERMITTED;
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = 200 });
    for (uint64_t i = 0; i < 200; i++)
        send_number(port, i);
    fill_up();
    while (count < 200 && (result = gnl_take(port, &held[count], GNL_NOWAIT)) == 0) {
        require(check_message(held[count].data, 8) == count);
        count++;
    }
    require(result == 0 || result == -ENOSPC);
    for (unsigned i = 0; i < count; i++)
        require(gnl_done(&held[i]) == 0);
    for (uint64_t i = count; i < 200; i++)
        require(receive_number(port) == i);
    close_port(port);
    return 0;
}

START_TEST(holding_many_messages_when_memory_is_full_loses_none)
{
    run_or_skip(hold_when_full, NULL, "needs the right to mount");
}
END_TEST

/* ---- memory given back ---- */

static size_t mixed_size(uint64_t number)
{
    return number % 4 == 3 ? 9000 : number % 4 == 2 ? 300 : 64;
}

START_TEST(unbounded_mailbox_that_is_drained_by_count_has_given_its_memory_back)
{
    enum { MESSAGES = 8000 };
    gnl_port *port = open_port(&(struct gnl_options){ .capacity = GNL_UNBOUNDED });
    uint64_t empty = inspect_mailbox().bytes;

    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < MESSAGES; i++)
            send_large(port, i, mixed_size(i));
        ck_assert_uint_gt(inspect_mailbox().bytes, 18 << 20);
        for (uint64_t i = 0; i < MESSAGES; i++)
            ck_assert_uint_eq(receive_number(port), i);
        uint64_t bytes = inspect_mailbox().bytes;
        ck_assert_msg(bytes < empty + (4 << 20), "%lu bytes stay, %lu when it was new", bytes, empty);
    }
    close_port(port);
    remove_mailbox();
}
END_TEST

/* ---- a disk ---- */

START_TEST(mailbox_on_a_disk_works_and_survives_kills)
{
    char directory[] = "/var/tmp/ginnel-test-XXXXXX";
    struct statfs file_system;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(statfs(directory, &file_system), 0);
    bool disk = file_system.f_type != TMPFS_MAGIC;
    if (disk) {
        ck_assert_int_eq(setenv("GINNEL_DIR", directory, 1), 0);
        struct ledger *ledger =
            ledger_start(&(struct scenario){ .capacity = 16, .sizes = { 8, 96, 2000, 50000 } });
        for (unsigned i = 0; i < 15; i++) {
            pause_us(2000 + ledger_random(ledger, 5000));
            ledger_kill(ledger, ledger_random(ledger, PLAYERS));
        }
        ledger_finish(ledger);
        gnl_port *port = open_port(&(struct gnl_options){ .capacity = GNL_UNBOUNDED });
        for (uint64_t i = 0; i < 20000; i++)
            send_number(port, i);
        for (uint64_t i = 0; i < 20000; i++)
            ck_assert_uint_eq(receive_number(port), i);
        close_port(port);
        remove_mailbox();
        ck_assert_int_eq(setenv("GINNEL_DIR", support_directory(), 1), 0);
    }
    ck_assert_int_eq(rmdir(directory), 0);
    if (!disk)
        skip("/var/tmp is a tmpfs");
}
END_TEST

/* ---- limits of a process ---- */

static void limit(int resource, rlim_t value)
{
    struct rlimit limits;

    require(getrlimit(resource, &limits) == 0);
    limits.rlim_cur = value;
    require(setrlimit(resource, &limits) == 0);
}

static int limited_file_size(void *context)
{
    gnl_port *port;

    (void)context;
    limit(RLIMIT_FSIZE, 65536);
    require(gnl_open(&port, "mailbox:another", NULL) == -EFBIG);
    require(strstr(gnl_error_detail(), "ulimit -f"));
    /* What exists does not grow: it can be used. */
    port = open_port(NULL);
    require(receive_number(port) == 1);
    send_large(port, 2, 100000);
    close_port(port);
    return 0;
}

START_TEST(file_size_limit_is_an_error_and_no_signal)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    support_expect_exit(support_fork(limited_file_size, NULL), 0);
    ck_assert_uint_eq(receive_number(port), 2);
    close_port(port);
    remove_mailbox();
}
END_TEST

static int limited_descriptors(void *context)
{
    unsigned refused = 0;
    gnl_port *port = NULL;
    int used = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)context;
    require(used > 2 && close(used) == 0);
    for (int most = used; most < used + 8; most++) {
        limit(RLIMIT_NOFILE, (rlim_t)most);
        int result = gnl_open(&port, MAILBOX, NULL);
        require(result == 0 || result == -EMFILE);
        refused += result != 0;
        if (result == 0) {
            int descriptor = gnl_port_fd(port);
            require(descriptor >= 0 || descriptor == -EMFILE);
            close_port(port);
        }
        limit(RLIMIT_NOFILE, (rlim_t)used + 20);
        int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        require(next == used && close(next) == 0); /* nothing leaks */
    }
    require(refused > 0);
    port = open_port(NULL);
    require(receive_number(port) == 1);
    close_port(port);
    return 0;
}

START_TEST(running_out_of_descriptors_is_emfile_and_leaks_none)
{
    gnl_port *port = open_port(NULL);

    send_number(port, 1);
    support_expect_exit(support_fork(limited_descriptors, NULL), 0);
    close_port(port);
    remove_mailbox();
}
END_TEST

/* Of this process, in bytes. */
static rlim_t address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    require(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static int limited_address_space(void *context)
{
    gnl_message message;
    gnl_port *port;

    (void)context;
    limit(RLIMIT_AS, address_space() + (256 << 10));
    require(gnl_open(&port, MAILBOX, NULL) == -ENOMEM);
    require(gnl_open(&port, "mailbox:another", NULL) == -ENOMEM);
    limit(RLIMIT_AS, RLIM_INFINITY);
    port = open_port(NULL);
    limit(RLIMIT_AS, address_space() + (256 << 10));
    /* A message that we have no room to look at stays. */
    require(gnl_take(port, &message, GNL_NOWAIT) == -ENOMEM);
    require(gnl_loan(port, &message, 100000, GNL_NOWAIT) == -ENOMEM);
    send_number(port, 2);
    limit(RLIMIT_AS, RLIM_INFINITY);
    require(receive_number(port) == 1);
    require(receive_number(port) == 2);
    close_port(port);
    return 0;
}

START_TEST(running_out_of_address_space_is_enomem_and_loses_nothing)
{
    if (ADDRESS_SANITIZER)
        skip("the sanitizer needs address space itself");
    gnl_port *port = open_port(NULL);

    send_large(port, 1, 500000);
    close_port(port); /* and its mappings with it */
    support_expect_exit(support_fork(limited_address_space, NULL), 0);
    remove_mailbox();
}
END_TEST

/* ---- little ---- */

#define IDLE_BYTES_MAX ((uint64_t)512 << 10)

/* What the file occupies; the library says the same. */
static uint64_t bytes_occupied(gnl_port *port)
{
    struct gnl_port_info info;
    struct stat status;

    assert_ok(gnl_port_info(port, &info));
    ck_assert_int_eq(stat(path_in_directory(MAILBOX), &status), 0);
    ck_assert_uint_eq(info.bytes, (uint64_t)status.st_blocks * 512);
    return info.bytes;
}

START_TEST(idle_default_mailbox_costs_less_than_half_a_mebibyte)
{
    struct gate gates[2] = { support_gate(), support_gate() };
    gnl_port *port = open_port(NULL);

    uint64_t fresh = bytes_occupied(port);
    ck_assert_msg(fresh > 0 && fresh < IDLE_BYTES_MAX, "%lu bytes when just made", (unsigned long)fresh);
    pid_t other = support_fork(stay_until_told, gates);
    support_gate_wait(&gates[0]);
    for (uint64_t i = 0; i < 5000; i++) { /* each place in the queue is used several times */
        send_number(port, i);
        ck_assert_uint_eq(receive_number(port), i);
    }
    uint64_t used = bytes_occupied(port);
    ck_assert_msg(used < IDLE_BYTES_MAX, "%lu bytes when idle again", (unsigned long)used);
    support_gate_open(&gates[1]);
    support_expect_exit(other, 0);
    close_port(port);
    support_gate_close(&gates[0]);
    support_gate_close(&gates[1]);
    remove_mailbox();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *full = support_case(suite, "full");
    TCase *disk = support_case(suite, "disk");
    TCase *limits = support_case(suite, "limits");
    TCase *little = support_case(suite, "little");

    tcase_add_test(full, opening_where_there_is_no_memory_is_enospc_and_leaves_nothing);
    tcase_add_test(full, large_messages_are_refused_when_memory_is_full_and_what_was_accepted_arrives);
    tcase_add_test(full, huge_messages_are_refused_when_memory_is_full_and_what_was_accepted_arrives);
    tcase_add_test(full, unbounded_mailbox_is_full_when_memory_is_and_what_was_accepted_arrives);
    tcase_add_test(full, small_chunks_are_refused_when_memory_is_full_and_what_was_accepted_arrives);
    tcase_add_test(full, holding_many_messages_when_memory_is_full_loses_none);
    tcase_add_test(full, unbounded_mailbox_that_is_drained_by_count_has_given_its_memory_back);
    tcase_add_test(disk, mailbox_on_a_disk_works_and_survives_kills);
    tcase_add_test(limits, file_size_limit_is_an_error_and_no_signal);
    tcase_add_test(limits, running_out_of_descriptors_is_emfile_and_leaks_none);
    tcase_add_test(limits, running_out_of_address_space_is_enomem_and_loses_nothing);
    tcase_add_test(little, idle_default_mailbox_costs_less_than_half_a_mebibyte);
    return support_run(suite);
}
