/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that are handed over, here through a socket pair that plays the link: rights, seals, and what
 * hostile givers send.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "life/process.h"
#include "port/port.h"
#include "segments.h"

/* ---- a link that hands over: one end of a socket pair ---- */

struct fake {
    gnl_port port;
    int socket;
};

static int fake_give(gnl_port *port, int descriptor, const void *note, size_t size, int64_t timeout)
{
    struct iovec vector = { (void *)(uintptr_t)note, size };
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    (void)timeout;
    *header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    return sendmsg(((struct fake *)port)->socket, &message, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int fake_receive(gnl_port *port, int *descriptor, void *note, size_t *size, int64_t timeout)
{
    struct iovec vector = { note, *size };
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room
    };

    (void)timeout;
    ssize_t got = recvmsg(((struct fake *)port)->socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header)
        return -ENOMSG;
    memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    *size = (size_t)got;
    return 0;
}

static int fake_after_fork(gnl_port *port)
{
    atomic_store(&port->stamp, gnli_process_stamp());
    return 0;
}

static const struct gnli_port_operations fake_operations = {
    .give = fake_give,
    .receive_given = fake_receive,
    .after_fork = fake_after_fork,
};
static const struct gnli_port_operations giving_nothing = { .after_fork = fake_after_fork };

static struct fake ends[2];

static void make_link(void)
{
    int sockets[2];

    ck_assert_int_eq(gnli_process_prepare(), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    for (unsigned i = 0; i < 2; i++) {
        ends[i] = (struct fake){ .port = { .operations = &fake_operations, .subject = "fake" },
                                 .socket = sockets[i] };
        atomic_store(&ends[i].port.stamp, gnli_process_stamp());
    }
}

static void end_link(void)
{
    close(ends[0].socket);
    close(ends[1].socket);
}

/* Hands it over to this same process. */
static gnl_segment *hand_over(gnl_segment *segment, unsigned rights)
{
    gnl_segment *received = NULL;

    assert_ok(gnl_segment_give(&ends[0].port, segment, rights, GNL_NOWAIT));
    assert_ok(gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT));
    return received;
}

/* ---- handing over ---- */

START_TEST(a_segment_given_to_be_written_is_one_to_write)
{
    make_link();
    gnl_segment *one = make(NULL, SIZE);
    gnl_segment *other = hand_over(one, GNL_READ | GNL_WRITE);

    ck_assert_uint_eq(info_of(other).rights, GNL_READ | GNL_WRITE);
    strcpy(gnl_segment_data(other), "there");
    ck_assert_str_eq(gnl_segment_data(one), "there");
    assert_ok(gnl_segment_lock(other, GNL_NOWAIT));
    ck_assert_int_eq(gnl_segment_lock(one, GNL_NOWAIT), -EDEADLK);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_uint_eq(info_of(one).attached, 1);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(other));
    end_link();
}
END_TEST

START_TEST(what_was_given_to_be_read_is_given_to_be_written_no_more_and_its_writer_goes_on)
{
    make_link();
    gnl_segment *one = make(NULL, SIZE);
    gnl_segment *reader = hand_over(one, GNL_READ);

    ck_assert_uint_eq(info_of(reader).rights, GNL_READ);
    ck_assert_int_eq(info_of(reader).read_only_given, 1);
    ck_assert_int_eq(gnl_segment_give(&ends[0].port, one, GNL_READ | GNL_WRITE, GNL_NOWAIT), -EPERM);
    ck_assert_int_eq(gnl_segment_give(&ends[0].port, reader, GNL_WRITE, GNL_NOWAIT), -EPERM);
    gnl_segment *again = hand_over(reader, GNL_READ);
    assert_touch(gnl_segment_data(reader), true, SIGSEGV);
    ck_assert_int_eq(gnl_segment_lock(reader, GNL_NOWAIT), -EACCES);
    ck_assert_int_eq(gnl_segment_seal(reader), -EACCES);
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    strcpy(gnl_segment_data(one), "on");
    assert_ok(gnl_segment_unlock(one));
    ck_assert_str_eq(gnl_segment_data(again), "on");
    /* Growing works where nothing new can be mapped writable. */
    assert_ok(gnl_segment_grow(one, 50 * SIZE));
    memset(gnl_segment_data(one), 7, 50 * SIZE);
    assert_ok(gnl_segment_refresh(reader));
    ck_assert_int_eq(((char *)gnl_segment_data(reader))[50 * SIZE - 1], 7);
    assert_ok(gnl_segment_detach(again));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_segment_detach(one));
    end_link();
}
END_TEST

START_TEST(receiving_the_same_again_and_again_leaks_no_descriptor_and_keeps_the_lock)
{
    make_link();
    gnl_segment *one = make(NULL, SIZE), *reader = hand_over(one, GNL_READ);
    int before = dup(0);

    close(before);
    for (unsigned i = 0; i < 50; i++)
        assert_ok(gnl_segment_detach(hand_over(one, GNL_READ)));
    int after = dup(0);
    close(after);
    ck_assert_int_le(after, before + 2);
    ck_assert_uint_eq(info_of(one).attached, 1);
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    assert_ok(gnl_segment_detach(hand_over(one, GNL_READ)));
    ck_assert_uint_eq(info_of(one).attached, 1); /* whoever has it locked is not taken for dead */
    assert_ok(gnl_segment_unlock(one));
    assert_ok(gnl_segment_detach(one));
    ck_assert_uint_eq(info_of(reader).attached, 1);
    assert_ok(gnl_segment_detach(reader));
    end_link();
}
END_TEST

START_TEST(what_cannot_be_handed_over_says_why)
{
    make_link();
    gnl_segment *named = make("s", SIZE), *one = make(NULL, SIZE), *received;
    struct fake mute = { .port = { .operations = &giving_nothing, .subject = "mailbox 'm'" } };

    atomic_store(&mute.port.stamp, gnli_process_stamp());
    ck_assert_int_eq(gnl_segment_give(&ends[0].port, named, GNL_READ, GNL_NOWAIT), -EOPNOTSUPP);
    ck_assert_int_eq(gnl_segment_give(&mute.port, one, GNL_READ, GNL_NOWAIT), -EOPNOTSUPP);
    ck_assert(strstr(gnl_error_detail(), "mailbox 'm'"));
    ck_assert_int_eq(gnl_segment_receive(&mute.port, &received, GNL_NOWAIT), -EOPNOTSUPP);
    ck_assert_int_eq(gnl_segment_give(&ends[0].port, one, 0, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_segment_give(NULL, one, GNL_READ, GNL_NOWAIT), -EINVAL);
    assert_ok(send(ends[0].socket, "plain", 5, 0));
    ck_assert_int_eq(gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT), -ENOMSG);
    assert_ok(gnl_segment_detach(named));
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_remove("segment:s"));
    end_link();
}
END_TEST

/* A memfd with the beginning of a segment that says it has `says` bytes. */
static int forge(uint64_t says, uint64_t has, bool sealed, bool memory)
{
    struct gnli_segment_header header = {
        .magic = GNLI_SEGMENT_MAGIC, .version = 1, .size = says, .participants = 32
    };
    int descriptor = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    ck_assert_int_eq(ftruncate(descriptor, (off_t)(GNLI_SEGMENT_DATA + has)), 0);
    if (memory)
        ck_assert_int_eq(fallocate(descriptor, 0, 0, (off_t)(GNLI_SEGMENT_DATA + has)), 0);
    ck_assert_int_eq(pwrite(descriptor, &header, sizeof header, 0), sizeof header);
    if (sealed)
        ck_assert_int_eq(fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    return descriptor;
}

/* Sends it with a note that says that it is a segment; it is refused. */
static void assert_refused(int descriptor)
{
    struct {
        uint64_t magic;
        uint32_t version, unused;
    } note = { GNLI_SEGMENT_MAGIC, 1, 0 };
    gnl_segment *received = NULL;

    assert_ok(fake_give(&ends[0].port, descriptor, &note, sizeof note, 0));
    close(descriptor);
    int result = gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT);
    ck_assert_msg(result == -EBADMSG, "%d: %s", result, gnl_error_detail());
    ck_assert_ptr_null(received);
}

START_TEST(hostile_descriptors_are_refused_and_closed)
{
    int pipes[2], reader;
    gnl_segment *received;

    make_link();
    assert_refused(forge(SIZE, SIZE, false, true));             /* could shrink */
    assert_refused(forge(SIZE, 1, true, true));                 /* shorter than it says */
    assert_refused(forge(SIZE * 100, SIZE * 100, true, false)); /* holes */
    assert_refused(forge(0, SIZE, true, true));
    assert_refused(forge(UINT64_MAX, SIZE, true, true));
    assert_refused(forge(UINT64_MAX - GNLI_SEGMENT_DATA + 1, SIZE, true, true));
    assert_refused(memfd_create("empty", MFD_CLOEXEC));
    assert_refused(open("/dev/zero", O_RDWR | O_CLOEXEC));
    assert_refused(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    assert_refused(open("/", O_RDONLY | O_CLOEXEC));
    ck_assert_int_eq(pipe(pipes), 0);
    assert_refused(pipes[0]);
    close(pipes[1]);
    int whole = forge(SIZE, SIZE, true, true);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", whole);
    reader = open(path, O_WRONLY | O_CLOEXEC);
    assert_refused(reader);
    /* One that is as it should be, with a note that is not. */
    assert_ok(fake_give(&ends[0].port, whole, "?", 1, 0));
    ck_assert_int_eq(gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT), -EBADMSG);
    close(whole);
    end_link();
}
END_TEST

START_TEST(a_whole_forged_one_is_as_good_as_any_and_its_words_cannot_hurt)
{
    struct {
        uint64_t magic;
        uint32_t version, unused;
    } note = { GNLI_SEGMENT_MAGIC, 1, 0 };
    char copy[SIZE];
    gnl_segment *received;

    make_link();
    int descriptor = forge(SIZE, SIZE, true, true);
    assert_ok(fake_give(&ends[0].port, descriptor, &note, sizeof note, 0));
    assert_ok(gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT));
    /* Scribbled over in every word: nothing hangs, nothing faults. */
    uint64_t words[] = {
        0, 1, 2, 31, 4095, GNLI_SEGMENT_DIED, UINT64_MAX, UINT64_MAX << 16, 0x8000000000000fff
    };
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint32_t half = (uint32_t)words[i];
        ck_assert_int_eq(pwrite(descriptor, &words[i], 8, offsetof(struct gnli_segment_header, word)), 8);
        ck_assert_int_eq(pwrite(descriptor, &half, 4, offsetof(struct gnli_segment_header, participants)), 4);
        int result = gnl_segment_lock(received, gnl_ms(20));
        ck_assert_int_le(result, GNL_OWNER_DIED);
        if (result >= 0)
            gnl_segment_unlock(received);
        ck_assert_int_le(gnl_segment_snapshot(received, 0, copy, SIZE, gnl_ms(20)), GNL_OWNER_DIED);
        gnl_segment_wait(received, gnl_segment_version(received), gnl_ms(5));
        ck_assert_int_ge(gnl_segment_participants(received, NULL, 0), 0);
        ck_assert_int_eq(pwrite(descriptor, &words[i], 8, offsetof(struct gnli_segment_header, size)), 8);
        result = gnl_segment_refresh(received);
        ck_assert(result == 0 || result == -EBADMSG);
        gnl_segment_grow(received, SIZE);
    }
    assert_ok(gnl_segment_detach(received));
    close(descriptor);
    end_link();
}
END_TEST

START_TEST(sealed_is_for_everybody_and_for_ever)
{
    char copy[8];

    make_link();
    gnl_segment *one = make(NULL, SIZE), *named = make("s", SIZE);
    strcpy(gnl_segment_data(one), "sealed");
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(gnl_segment_seal(one), -EBUSY);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_int_eq(gnl_segment_seal(named), -EOPNOTSUPP);
    gnl_segment *other = hand_over(one, GNL_READ | GNL_WRITE);
    ck_assert_int_eq(gnl_segment_seal(one), -EBUSY);
    assert_ok(gnl_segment_detach(other));
    assert_ok(gnl_segment_seal(one));
    ck_assert_int_eq(info_of(one).sealed, 1);
    ck_assert_uint_eq(info_of(one).attached, 1);
    ck_assert_uint_eq(info_of(one).rights, GNL_READ);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_NOWAIT), -EACCES);
    ck_assert_int_eq(gnl_segment_grow(one, 2 * SIZE), -EACCES);
    assert_touch(gnl_segment_data(one), true, SIGSEGV);
    ck_assert_int_ne(mprotect(gnl_segment_data(one), SIZE, PROT_READ | PROT_WRITE), 0);
    assert_ok(gnl_segment_snapshot(one, 0, copy, sizeof copy, GNL_NOWAIT));
    ck_assert_str_eq(copy, "sealed");
    gnl_segment *reader = hand_over(one, GNL_READ);
    ck_assert_str_eq(gnl_segment_data(reader), "sealed");
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(named));
    assert_ok(gnl_remove("segment:s"));
    end_link();
}
END_TEST

static int hold_mapping(void *context)
{
    struct gate *gates = context;

    support_gate_open(&gates[0]);
    support_gate_wait(&gates[1]);
    return 0;
}

START_TEST(sealing_is_ebusy_while_a_child_has_it_mapped_and_changes_nothing)
{
    gnl_segment *one = make(NULL, SIZE);
    struct gate gates[2] = { support_gate(), support_gate() };
    pid_t child = support_fork(hold_mapping, gates);

    support_gate_wait(&gates[0]);
    ck_assert_int_eq(gnl_segment_seal(one), -EBUSY);
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    strcpy(gnl_segment_data(one), "on");
    assert_ok(gnl_segment_unlock(one));
    ck_assert_uint_eq(info_of(one).attached, 1);
    support_gate_open(&gates[1]);
    support_expect_exit(child, 0);
    assert_ok(gnl_segment_seal(one));
    assert_ok(gnl_segment_detach(one));
    support_gate_close(&gates[0]);
    support_gate_close(&gates[1]);
}
END_TEST

static void *wait_for_ever(void *context)
{
    return (void *)(intptr_t)gnl_segment_wait(context, gnl_segment_version(context), GNL_FOREVER);
}

START_TEST(detach_ends_the_calls_of_other_threads_and_unlocks)
{
    gnl_segment *one = make(NULL, SIZE), *other;
    pthread_t thread;
    void *result;

    make_link();
    other = hand_over(one, GNL_READ | GNL_WRITE);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_ever, one), 0);
    while (!gnli_anyone_inside(one))
        ;
    assert_ok(gnl_segment_detach(one));
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_int_eq((intptr_t)result, -ECANCELED);
    assert_ok(gnl_segment_lock(other, GNL_NOWAIT));
    gnl_segment *third = hand_over(other, GNL_READ | GNL_WRITE);
    assert_ok(gnl_segment_detach(other));
    ck_assert_int_eq(gnl_segment_lock(third, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_detach(third));
    end_link();
}
END_TEST

/* ---- what a reader cannot do ---- */

#define STRANGER 65534

/* Opens the descriptor's file anew; -1: not permitted. */
static int reopen(int descriptor, int access)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return open(path, access | O_CLOEXEC);
}

/* Through this descriptor the data cannot be changed, nor made such that it can. */
static void try_to_write(int descriptor)
{
    int writable = PROT_READ | PROT_WRITE;
    off_t at = (off_t)GNLI_SEGMENT_DATA;

    require(mmap(NULL, SIZE, writable, MAP_SHARED, descriptor, at) == MAP_FAILED);
    void *readable = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, descriptor, at);
    require(readable != MAP_FAILED);
    require(mprotect(readable, SIZE, writable) != 0);
    /* An emulator may take the advice and do nothing. */
    require(madvise(readable, SIZE, MADV_REMOVE) != 0 || strcmp(readable, "given") == 0);
    require(munmap(readable, SIZE) == 0);
    require(write(descriptor, "x", 1) < 0);
    require(pwrite(descriptor, "x", 1, at) < 0);
    require(ftruncate(descriptor, at) != 0);
    require(ftruncate(descriptor, 0) != 0);
    require(fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4096) != 0);
    require(fallocate(descriptor, FALLOC_FL_ZERO_RANGE, at, 4096) != 0);
    require(fallocate(descriptor, FALLOC_FL_COLLAPSE_RANGE, at, 65536) != 0);
}

struct reading {
    bool stranger;
};

/* Receives what the parent gave, and does its worst. */
static int read_and_try(void *context)
{
    struct reading *reading = context;
    gnl_segment *segment;
    char copy[16];

    if (reading->stranger)
        require(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    require(gnl_segment_receive(&ends[1].port, &segment, GNL_NOWAIT) == 0);
    int descriptor = segment->member->file->descriptor;
    require(gnl_segment_snapshot(segment, 0, copy, sizeof copy, GNL_NOWAIT) == 0);
    require(strcmp(copy, "given") == 0);
    require(gnl_segment_lock(segment, GNL_NOWAIT) == -EACCES);
    require(mprotect(gnl_segment_data(segment), SIZE, PROT_READ | PROT_WRITE) != 0);
    require(mprotect(segment->member->header, 4096, PROT_READ | PROT_WRITE) != 0);
    try_to_write(descriptor);
    int again = reopen(descriptor, O_RDWR);
    require((again < 0) == reading->stranger); /* the mode lets the owner open it, */
    if (again >= 0)
        try_to_write(again); /* and the seal lets nobody write all the same */
    int to_write = reopen(descriptor, O_WRONLY);
    require(to_write < 0 ||
            (pwrite(to_write, "x", 1, (off_t)GNLI_SEGMENT_DATA) < 0 && ftruncate(to_write, 0) != 0));
    require(fcntl(descriptor, F_SETFL, O_RDWR) != 0 ||
            mmap(NULL, SIZE, PROT_WRITE, MAP_SHARED, descriptor, 0) == MAP_FAILED);
    return 0;
}

static void give_to_reader(bool stranger)
{
    struct reading reading = { stranger };

    make_link();
    gnl_segment *one = make(NULL, SIZE);
    strcpy(gnl_segment_data(one), "given");
    assert_ok(gnl_segment_give(&ends[0].port, one, GNL_READ, GNL_NOWAIT));
    support_expect_exit(support_fork(read_and_try, &reading), 0);
    ck_assert_str_eq(gnl_segment_data(one), "given");
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    strcpy(gnl_segment_data(one), "still mine");
    assert_ok(gnl_segment_unlock(one));
    assert_ok(gnl_segment_detach(one));
    end_link();
}

START_TEST(reader_of_the_same_user_cannot_write_by_any_means)
{
    give_to_reader(false);
}
END_TEST

START_TEST(reader_of_another_user_cannot_write_by_any_means)
{
    if (geteuid() != 0) {
        puts("left out: needs root, to be somebody else");
        return;
    }
    give_to_reader(true);
}
END_TEST

/* One who was given the right to write: the file stays as long as it is. */
static int write_and_try(void *context)
{
    struct reading *reading = context;
    gnl_segment *segment;

    if (reading->stranger)
        require(setgid(STRANGER) == 0 && setuid(STRANGER) == 0);
    require(gnl_segment_receive(&ends[1].port, &segment, GNL_NOWAIT) == 0);
    int descriptor = segment->member->file->descriptor;
    require(ftruncate(descriptor, 0) != 0 && ftruncate(descriptor, (off_t)GNLI_SEGMENT_DATA) != 0);
    require(fallocate(descriptor, FALLOC_FL_COLLAPSE_RANGE, 0, 65536) != 0);
    require(gnl_segment_set_mode(segment, 0600) == (reading->stranger ? -EPERM : 0));
    strcpy(gnl_segment_data(segment), "written");
    require(gnl_segment_lock(segment, GNL_NOWAIT) == 0);
    require(gnl_segment_unlock(segment) == 0);
    /* Giving it on to be read alone. */
    int result = gnl_segment_give(&ends[1].port, segment, GNL_READ, GNL_NOWAIT);
    require(result == 0 || reading->stranger);
    return 0;
}

static void give_to_writer(bool stranger)
{
    struct reading reading = { stranger };

    make_link();
    gnl_segment *one = make(NULL, SIZE);
    assert_ok(gnl_segment_give(&ends[0].port, one, GNL_READ | GNL_WRITE, GNL_NOWAIT));
    support_expect_exit(support_fork(write_and_try, &reading), 0);
    ck_assert_str_eq(gnl_segment_data(one), "written");
    assert_ok(gnl_segment_detach(one));
    end_link();
}

START_TEST(nobody_who_may_write_can_shorten_it)
{
    give_to_writer(false);
    if (geteuid() == 0)
        give_to_writer(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handover");
    TCase *giving = support_case(suite, "giving");
    TCase *hostile = support_case(suite, "hostile");
    TCase *sealing = support_case(suite, "sealing");

    tcase_add_test(giving, a_segment_given_to_be_written_is_one_to_write);
    tcase_add_test(giving, what_was_given_to_be_read_is_given_to_be_written_no_more_and_its_writer_goes_on);
    tcase_add_test(giving, receiving_the_same_again_and_again_leaks_no_descriptor_and_keeps_the_lock);
    tcase_add_test(giving, what_cannot_be_handed_over_says_why);
    tcase_add_test(giving, detach_ends_the_calls_of_other_threads_and_unlocks);
    tcase_add_test(hostile, hostile_descriptors_are_refused_and_closed);
    tcase_add_test(hostile, a_whole_forged_one_is_as_good_as_any_and_its_words_cannot_hurt);
    tcase_add_test(sealing, sealed_is_for_everybody_and_for_ever);
    tcase_add_test(sealing, sealing_is_ebusy_while_a_child_has_it_mapped_and_changes_nothing);
    TCase *rights = support_case(suite, "rights");
    tcase_add_test(rights, reader_of_the_same_user_cannot_write_by_any_means);
    tcase_add_test(rights, reader_of_another_user_cannot_write_by_any_means);
    tcase_add_test(rights, nobody_who_may_write_can_shorten_it);
    return support_run(suite);
}
