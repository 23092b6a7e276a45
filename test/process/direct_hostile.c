/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct links with peers that lie. Bob has a good link with alice, and mallory, who has her name by right,
 * does to him what she can: only her own link may suffer. What memory she gets from a good peer she cannot
 * write.
 */
#include "links.h"
#include "tricks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* ---- the wall ---- */

/* Every way to write to the file of that descriptor, each of which must fail. */
static void try_descriptor(int memory)
{
    struct stat status;
    char path[64];

    require(fstat(memory, &status) == 0);
    size_t size = (size_t)status.st_size;
    require(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED);
    void *window = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memory, 0);
    require(window != MAP_FAILED && mprotect(window, 4096, PROT_READ | PROT_WRITE) != 0);
    require(madvise(window, 4096, MADV_REMOVE) != 0);
    munmap(window, 4096);
    require(pwrite(memory, "x", 1, 0) < 0 && pwrite(memory, "x", 1, (off_t)size) < 0);
    require(ftruncate(memory, 0) != 0 && ftruncate(memory, (off_t)size * 2) != 0);
    require(fallocate(memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0);
    require(fallocate(memory, 0, 0, (off_t)size * 2) != 0);
    require(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) != 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    require(truncate(path, 0) != 0);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again < 0)
        return;
    require(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    require(mmap(NULL, size, PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    window = mmap(NULL, 4096, PROT_READ, MAP_SHARED, again, 0);
    require(window != MAP_FAILED && mprotect(window, 4096, PROT_WRITE) != 0);
    munmap(window, 4096);
    require(write(again, "x", 1) < 0 && ftruncate(again, 0) != 0);
    close(again);
}

static void try_mapping(char *start, size_t size)
{
    char byte = 1;
    struct iovec from = { .iov_base = &byte, .iov_len = 1 }, to = { .iov_base = start, .iov_len = 1 };
    int self = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

    require(mprotect(start, size, PROT_READ | PROT_WRITE) != 0 && mprotect(start, 4096, PROT_WRITE) != 0);
    require(madvise(start, 4096, MADV_REMOVE) != 0);
    require(process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0);
    require(self < 0 || pwrite(self, "x", 1, (off_t)(uintptr_t)start) < 0);
    if (self >= 0)
        close(self);
}

/* Of all memory of links that this process has: one mapping can write, of its own. */
static void try_everything(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long start, end;
    unsigned writable = 0, readable = 0;
    char line[512], rights[8], path[64], target[128];

    for (int i = 0; i < 256; i++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0 && strncmp(target, "/memfd:ginnel-link", 18) == 0)
            try_descriptor(i);
    }
    require(maps);
    while (fgets(line, sizeof line, maps)) {
        if (!strstr(line, "/memfd:ginnel-link") || sscanf(line, "%lx-%lx %7s", &start, &end, rights) != 3)
            continue;
        if (strcmp(rights, "rw-s") == 0) {
            writable++;
            continue;
        }
        require(strcmp(rights, "r--s") == 0);
        readable++;
        try_mapping((char *)start, end - start);
    }
    fclose(maps);
    require(writable == 1 && readable == 1);
}

static void be_stranger(bool really)
{
    if (really)
        require(setgid(65534) == 0 && setuid(65534) == 0);
}

static int attack_the_wall(void *context)
{
    be_stranger(*(bool *)context);
    gnl_identity *me = claim("mallory");
    tell(me, "alice", 1, 8);
    require(hear(me, "alice") == 2);
    try_everything();
    tell(me, "alice", 3, 8); /* and all is as it was */
    require(hear(me, "alice") == 4);
    release(me);
    return 0;
}

static int stand_behind_the_wall(void *context)
{
    be_stranger(*(bool *)context);
    gnl_identity *me = claim("alice");
    require(hear(me, "mallory") == 1);
    tell(me, "mallory", 2, 8);
    require(hear(me, "mallory") == 3);
    tell(me, "mallory", 4, 8);
    require(hear_error(me, "mallory", PATIENCE) == -EPIPE);
    release(me);
    return 0;
}

START_TEST(memory_of_the_other_cannot_be_made_writable)
{
    bool stranger = _i == 1;

    if (stranger && geteuid() != 0)
        skip("not root");
    if (stranger) {
        char above[PATH_MAX];
        snprintf(above, sizeof above, "%s/..", support_directory());
        ck_assert_int_eq(chmod(above, 0711), 0);
        ck_assert_int_eq(chown(support_directory(), 65534, 65534), 0);
    }
    pid_t alice = support_fork(stand_behind_the_wall, &stranger);
    support_expect_exit(support_fork(attack_the_wall, &stranger), 0);
    support_expect_exit(alice, 0);
}
END_TEST

/* ---- tricks ---- */

struct play {
    const struct trick *trick;
    struct gate claimed, go, played;
};

static int play(void *context)
{
    struct play *play = context;

    claim("mallory");
    struct raw raw = raw_new("mallory", 1024);
    support_gate_open(&play->claimed);
    support_gate_wait(&play->go);
    play->trick->play(&raw);
    support_gate_open(&play->played);
    wait_to_be_killed();
}

static int echo(void *context)
{
    gnl_identity *me = claim("alice");
    static char data[100000];

    (void)context;
    for (;;) {
        ssize_t size = gnl_recv_from(me, "bob", data, sizeof data, NULL, PATIENCE);
        if (size == -EPIPE)
            break;
        require(size > 0 && gnl_send_to(me, "bob", data, (size_t)size, PATIENCE) == 0);
    }
    release(me);
    return 0;
}

/* The good link goes on, in order, small and large. */
static void good_link_works(gnl_identity *me)
{
    for (uint64_t i = 0; i < 8; i++) {
        tell(me, "alice", i, i % 3 == 2 ? 50000 : 16);
        ck_assert_uint_eq(hear(me, "alice"), i);
    }
}

#define LATEST_MS 3000 /* of a call of 50 ms, on a machine that does other things as well */

static void within_time(int64_t start, const char *what)
{
    ck_assert_msg(now_ms() - start < LATEST_MS, "%s took %lld ms", what, (long long)(now_ms() - start));
}

/* Calls of every kind to her; what they say is not asked, but that they come back. */
static void use_her_link(gnl_identity *me, enum ends ends)
{
    static char data[1 << 20];
    gnl_message message;
    struct gnl_port_info info;
    gnl_port *port;

    int64_t start = now_ms();
    int result = hear_error(me, "mallory", gnl_ms(50));
    within_time(start, "gnl_recv_from");
    if (ends == REFUSED)
        ck_assert_int_eq(result, -ETIMEDOUT);
    if (ends == BROKEN)
        ck_assert_int_eq(result, -EBADMSG);
    start = now_ms();
    for (unsigned i = 0; i < 200 && now_ms() - start < 200; i++)
        gnl_recv_from(me, i % 2 ? NULL : "mallory", data, sizeof data, NULL, GNL_NOWAIT);
    within_time(start, "receiving");
    start = now_ms();
    for (unsigned i = 0; i < 200 && now_ms() - start < 200; i++)
        gnl_send_to(me, "mallory", data, i % 9 == 8 ? 30000 : 8, GNL_NOWAIT);
    gnl_send_to(me, "mallory", data, 8, gnl_ms(20));
    within_time(start, "gnl_send_to");
    start = now_ms();
    if (gnl_link(me, "mallory", &port, gnl_ms(20)) == 0) {
        assert_ok(gnl_port_info(port, &info));
        int descriptor = gnl_port_fd(port);
        ck_assert_int_ge(descriptor, 0);
        if (gnl_take(port, &message, gnl_ms(20)) == 0)
            assert_ok(gnl_done(&message));
    }
    within_time(start, "a port");
}

START_TEST(only_her_own_link_suffers)
{
    struct play scene = {
        .trick = &tricks[_i], .claimed = support_gate(), .go = support_gate(), .played = support_gate()
    };

    pid_t alice = support_fork(echo, NULL);
    pid_t mallory = support_fork(play, &scene);
    gnl_identity *me = claim("bob");
    good_link_works(me);
    support_gate_wait(&scene.claimed);
    support_gate_open(&scene.go);
    support_gate_wait(&scene.played);
    use_her_link(me, scene.trick->ends);
    good_link_works(me);
    use_her_link(me, ANYHOW);
    /* Who receives from anybody hears only alice. */
    tell(me, "alice", 77, 16);
    for (int64_t start = now_ms();;) {
        struct gnl_sender sender;
        static char data[1 << 20];
        ssize_t size = gnl_recv_from(me, NULL, data, sizeof data, &sender, SOON);
        ck_assert_msg(size >= 0, "%s: %zd, %s", scene.trick->name, size, gnl_error_detail());
        if (strcmp(sender.name, "alice") == 0)
            break;
        ck_assert_str_eq(sender.name, "mallory");
        within_time(start, "receiving from anybody");
    }
    support_kill(mallory);
    good_link_works(me);
    int64_t start = now_ms();
    release(me);
    within_time(start, "gnl_identity_release");
    support_expect_exit(alice, 0);
    bury("mallory");
    support_gate_close(&scene.claimed);
    support_gate_close(&scene.go);
    support_gate_close(&scene.played);
}
END_TEST

/* ---- what a flood of callers leaves ---- */

static int check_descriptors(void *context)
{
    const int *opened = context;

    for (unsigned i = 0; i < 300; i++)
        require(fcntl(opened[i], F_GETFD) >= 0);
    return 0;
}

/*
 * Whoever closes a descriptor of a file drops all its locks on it: one that comes uncalled must not do
 * that.
 */
static int send_the_claims(void *context)
{
    char path[PATH_MAX];
    struct raw raw = raw_new("mallory", 16);
    gnl_identity *me = claim("mallory");

    (void)context;
    snprintf(path, sizeof path, "%s/.claims", getenv("GINNEL_DIR"));
    int claims = open(path, O_RDWR | O_CLOEXEC); /* mallory's own locks are lost with it, and no matter */
    require(claims >= 0);
    const int sent[][4] = { { claims, claims, claims, claims },
                            { claims, raw.descriptors[1], -1, -1 },
                            { raw.descriptors[0], claims, -1, -1 } };
    for (unsigned i = 0; i < 3; i++)
        raw_send(raw_connect("bob"), &raw.hello, sizeof raw.hello, sent[i], i == 0 ? 4 : 2);
    (void)me;
    _exit(0);
}

static int take_bobs_name(void *context)
{
    gnl_identity *me;

    (void)context;
    require(gnl_identity_claim(&me, "bob") == -EADDRINUSE);
    return 0;
}

START_TEST(name_is_kept_whatever_descriptors_come)
{
    gnl_identity *bob = claim("bob");
    char byte;

    support_expect_exit(support_fork(send_the_claims, NULL), 0);
    ck_assert_int_eq(gnl_recv_from(bob, NULL, &byte, 1, NULL, gnl_ms(50)), -ETIMEDOUT);
    support_expect_exit(support_fork(take_bobs_name, NULL), 0);
    release(bob);
    bury("mallory");
}
END_TEST

START_TEST(callers_that_were_turned_away_leave_nothing)
{
    struct play scene = {
        .trick = &tricks[0], .claimed = support_gate(), .go = support_gate(), .played = support_gate()
    };
    int opened[300];

    pid_t mallory = support_fork(play, &scene);
    gnl_identity *me = claim("bob");
    unsigned before = count_descriptors();
    support_gate_wait(&scene.claimed);
    support_gate_open(&scene.go);
    support_gate_wait(&scene.played);
    for (unsigned i = 0; i < 20; i++)
        hear_error(me, NULL, gnl_ms(1));
    ck_assert_uint_le(count_descriptors(), before + 130);
    support_kill(mallory);
    for (unsigned i = 0; i < 20; i++)
        hear_error(me, NULL, gnl_ms(1));
    ck_assert_uint_eq(count_descriptors(), before);
    /* The numbers are somebody else's now: a child keeps those. */
    for (unsigned i = 0; i < 300; i++)
        ck_assert_int_ge(opened[i] = dup(0), 0);
    support_expect_exit(support_fork(check_descriptors, opened), 0);
    for (unsigned i = 0; i < 300; i++)
        close(opened[i]);
    release(me);
    bury("mallory");
    support_gate_close(&scene.claimed);
    support_gate_close(&scene.go);
    support_gate_close(&scene.played);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct links with peers that lie");
    TCase *test_case = support_case(suite, "the wall");

    tcase_add_loop_test(test_case, memory_of_the_other_cannot_be_made_writable, 0, 2);
    test_case = support_case(suite, "tricks");
    tcase_add_loop_test(test_case, only_her_own_link_suffers, 0, tricks_count);
    test_case = support_case(suite, "floods");
    tcase_add_test(test_case, name_is_kept_whatever_descriptors_come);
    tcase_add_test(test_case, callers_that_were_turned_away_leave_nothing);
    return support_run(suite);
}
