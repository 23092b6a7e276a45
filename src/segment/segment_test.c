/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments from within one process: what each call promises, handing over through a fake link, hostile
 * descriptors and headers.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/errors.h"
#include "life/process.h"
#include "port/port.h"
#include "support.h"

#define SIZE ((size_t)10000)
#define SOON gnl_s(20)

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

static gnl_segment *make(const char *name, size_t size)
{
    gnl_segment *segment = NULL;

    assert_ok(gnl_segment_create(&segment, name, size, NULL));
    return segment;
}

static struct gnl_segment_info info_of(gnl_segment *segment)
{
    struct gnl_segment_info info = { 0 };

    assert_ok(gnl_segment_info(segment, &info));
    return info;
}

/* Hands it over to this same process. */
static gnl_segment *hand_over(gnl_segment *segment, unsigned rights)
{
    gnl_segment *received = NULL;

    assert_ok(gnl_segment_give(&ends[0].port, segment, rights, GNL_NOWAIT));
    assert_ok(gnl_segment_receive(&ends[1].port, &received, GNL_NOWAIT));
    return received;
}

/* Does touching the byte kill? Tried in a child. */
struct touch {
    volatile char *place;
    bool write;
};

static int touch(void *context)
{
    struct touch *touch = context;

    signal(SIGSEGV, SIG_DFL);
    if (touch->write)
        *touch->place = 1;
    return *touch->place == 77 ? 0 : 0;
}

static void assert_touch(void *place, bool write, int signo)
{
    struct touch what = { place, write };
    pid_t child = support_fork(touch, &what);

    if (signo == 0)
        support_expect_exit(child, 0);
    else
        support_expect_signal(child, signo);
}

/* ---- making and attaching ---- */

START_TEST(a_named_segment_is_shared_by_name_and_gone_when_removed)
{
    gnl_segment *one = make("s", SIZE), *other, *reader;
    struct gnl_segment_options only = { .create = GNL_CREATE_ONLY }, open_only = { .create = GNL_OPEN_ONLY };

    ck_assert_uint_eq(gnl_segment_size(one), SIZE);
    ck_assert_uint_eq((uintptr_t)gnl_segment_data(one) % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    for (size_t i = 0; i < SIZE; i++)
        ck_assert_int_eq(((char *)gnl_segment_data(one))[i], 0);
    assert_ok(gnl_segment_create(&other, "s", 0, NULL));
    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    strcpy(gnl_segment_data(one), "hello");
    ck_assert_str_eq(gnl_segment_data(other), "hello");
    ck_assert_str_eq(gnl_segment_data(reader), "hello");
    ck_assert_int_eq(gnl_segment_create(&other, "s", SIZE, &only), -EEXIST);
    ck_assert_int_eq(gnl_segment_create(&other, "s", SIZE + 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&other, "none", SIZE, &open_only), -ENOENT);
    ck_assert_int_eq(gnl_segment_create(&other, "none", 0, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_attach(&other, "none", GNL_READ), -ENOENT);
    ck_assert_int_eq(gnl_segment_attach(&other, "s", 0), -EINVAL);
    ck_assert_int_eq(gnl_segment_attach(&other, "s/x", GNL_READ), -EINVAL);
    struct gnl_segment_info info = info_of(reader);
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_uint_eq(info.mode, 0600);
    ck_assert_int_eq(info.creator, getpid());
    ck_assert_uint_eq(info.rights, GNL_READ);
    ck_assert_int_eq(info.removed, 0);
    ck_assert_uint_eq(info.attached, 1); /* processes, not attachments */
    assert_ok(gnl_remove("segment:s"));
    ck_assert_int_eq(info_of(one).removed, 1);
    ck_assert_str_eq(gnl_segment_data(reader), "hello");
    ck_assert_int_eq(gnl_segment_attach(&other, "s", GNL_READ), -ENOENT);
    ck_assert_int_eq(gnl_remove("segment:s"), -ENOENT);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(other));
    assert_ok(gnl_segment_detach(reader));
}
END_TEST

START_TEST(guard_pages_stand_on_both_sides_and_a_reader_cannot_write)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 2 * page;
    gnl_segment *one = make("s", size), *reader;

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    gnl_segment *all[] = { one, reader };
    for (unsigned i = 0; i < 2; i++) {
        char *data = gnl_segment_data(all[i]);
        assert_touch(data - 1, false, SIGSEGV);
        assert_touch(data, false, 0);
        assert_touch(data + size - 1, false, 0);
        assert_touch(data + size, false, SIGSEGV);
        assert_touch(data + size + page - 1, false, SIGSEGV);
        assert_touch(data, true, i == 0 ? 0 : SIGSEGV);
    }
    ck_assert_int_ne(mprotect(gnl_segment_data(reader), size, PROT_READ | PROT_WRITE), 0);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(nonsense_is_einval_and_says_why)
{
    gnl_segment *segment = NULL;
    gnl_port *port;

    ck_assert_int_eq(gnl_segment_create(&segment, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, "a b", 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(NULL, NULL, 1, NULL), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, 1, &(struct gnl_segment_options){ .mode = 0400 }),
                     -EINVAL);
    ck_assert_int_eq(
        gnl_segment_create(&segment, NULL, 1, &(struct gnl_segment_options){ .reserved = { 1 } }), -EINVAL);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, SIZE_MAX, NULL), -EFBIG);
    ck_assert_int_eq(gnl_segment_create(&segment, NULL, (size_t)1 << 60, NULL), -ENOSPC);
    ck_assert_int_eq(gnl_segment_create(&segment, "s", (size_t)1 << 60, NULL), -ENOSPC);
    ck_assert_int_eq(gnl_segment_lock(NULL, 0), -EINVAL);
    ck_assert_int_eq(gnl_segment_detach(NULL), 0);
    ck_assert_ptr_null(gnl_segment_data(NULL));
    ck_assert_ptr_null(segment);
    ck_assert_int_eq(gnl_open(&port, "segment:s", NULL), -EOPNOTSUPP);
    ck_assert(strstr(gnl_error_detail(), "gnl_segment_attach"));
}
END_TEST

START_TEST(inspect_shows_size_users_and_who_has_it_locked)
{
    gnl_segment *one = make("s", SIZE);
    struct gnl_participant users[4];
    struct gnl_port_info info;

    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(gnl_inspect("segment:s", &info, users, 4), 1);
    ck_assert_int_eq(info.kind, GNL_SEGMENT);
    ck_assert_uint_eq(info.size, SIZE);
    ck_assert_int_eq(info.locked, 1);
    ck_assert_int_eq(users[0].pid, getpid());
    ck_assert_int_eq(users[0].alive, 1);
    ck_assert_uint_eq(users[0].held, 1);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_int_eq(gnl_segment_participants(one, users, 4), 1);
    ck_assert_uint_eq(users[0].held, 0);
    assert_ok(gnl_segment_detach(one));
    ck_assert_int_eq(gnl_inspect("segment:s", &info, users, 4), 0);
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(mode_and_owner_are_those_of_the_file)
{
    gnl_segment *one = make("s", SIZE);

    assert_ok(gnl_segment_set_mode(one, 0640));
    ck_assert_uint_eq(info_of(one).mode, 0640);
    ck_assert_int_eq(gnl_segment_set_mode(one, 0400), -EINVAL);
    assert_ok(gnl_segment_set_owner(one, (uid_t)-1, getegid()));
    if (geteuid() == 0) {
        assert_ok(gnl_segment_set_owner(one, 65534, 65534));
        ck_assert_uint_eq(info_of(one).uid, 65534);
    } else
        ck_assert_int_eq(gnl_segment_set_owner(one, 0, 0), -EPERM);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

/* ---- growing ---- */

START_TEST(what_is_grown_is_seen_by_others_when_they_refresh)
{
    gnl_segment *one = make("s", SIZE), *reader;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), larger = 100 * page;

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    strcpy(gnl_segment_data(one), "kept");
    assert_ok(gnl_segment_grow(one, larger));
    ck_assert_uint_eq(gnl_segment_size(one), larger);
    ck_assert_str_eq(gnl_segment_data(one), "kept");
    strcpy((char *)gnl_segment_data(one) + larger - 4, "end");
    ck_assert_uint_eq(gnl_segment_size(reader), SIZE);
    ck_assert_uint_eq(info_of(reader).size, larger);
    assert_ok(gnl_segment_refresh(reader));
    ck_assert_uint_eq(gnl_segment_size(reader), larger);
    ck_assert_str_eq((char *)gnl_segment_data(reader) + larger - 4, "end");
    assert_touch((char *)gnl_segment_data(reader) + larger, false, SIGSEGV);
    assert_touch((char *)gnl_segment_data(reader) - 1, false, SIGSEGV);
    assert_touch(gnl_segment_data(reader), true, SIGSEGV);
    assert_ok(gnl_segment_grow(one, 5)); /* never shorter */
    ck_assert_uint_eq(gnl_segment_size(one), larger);
    ck_assert_int_eq(gnl_segment_grow(reader, larger + 1), -EACCES);
    ck_assert_int_eq(gnl_segment_grow(one, (size_t)1 << 60), -ENOSPC);
    ck_assert_uint_eq(info_of(one).size, larger);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

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

/* ---- locking ---- */

START_TEST(a_lock_is_a_threads_and_each_unlock_makes_a_version)
{
    gnl_segment *one = make(NULL, SIZE);
    uint64_t version = gnl_segment_version(one);

    ck_assert_int_eq(gnl_segment_unlock(one), -EPERM);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_FOREVER), 0);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_FOREVER), -EDEADLK);
    ck_assert_uint_eq(gnl_segment_version(one), version);
    ck_assert_int_eq(gnl_segment_wait(one, version, GNL_NOWAIT), -EAGAIN);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_uint_ne(gnl_segment_version(one), version);
    ck_assert_int_eq(gnl_segment_wait(one, version, GNL_NOWAIT), 0);
    ck_assert_int_eq(gnl_segment_wait(one, gnl_segment_version(one), gnl_ms(5)), -ETIMEDOUT);
    ck_assert_int_eq(gnl_segment_lock(one, -2), -EINVAL);
    assert_ok(gnl_segment_detach(one));
}
END_TEST

static void *lock_in_a_thread(void *context)
{
    return (void *)(intptr_t)gnl_segment_lock(context, gnl_ms(30));
}

static void *unlock_in_a_thread(void *context)
{
    return (void *)(intptr_t)gnl_segment_unlock(context);
}

static intptr_t in_a_thread(void *(*run)(void *context), void *context)
{
    pthread_t thread;
    void *result;

    ck_assert_int_eq(pthread_create(&thread, NULL, run, context), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return (intptr_t)result;
}

START_TEST(other_threads_wait_for_the_lock_and_cannot_unlock_it)
{
    gnl_segment *one = make(NULL, SIZE);

    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(in_a_thread(lock_in_a_thread, one), -ETIMEDOUT);
    ck_assert_int_eq(in_a_thread(unlock_in_a_thread, one), -EPERM);
    assert_ok(gnl_segment_unlock(one));
    assert_ok(gnl_segment_detach(one));
}
END_TEST

#define THREADS 4
#define ROUNDS  3000

struct counters {
    uint64_t one, other;
};

/* Returns NULL, or its context if something was wrong. */
static void *count(void *context)
{
    gnl_segment *segment = context;
    struct counters *counters = gnl_segment_data(segment);

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (gnl_segment_lock(segment, SOON) != 0)
            return context;
        if (counters->one != counters->other)
            return context;
        counters->one++;
        counters->other++;
        if (gnl_segment_unlock(segment) != 0)
            return context;
    }
    return NULL;
}

START_TEST(threads_that_count_under_the_lock_lose_nothing)
{
    gnl_segment *one = make(NULL, SIZE);
    pthread_t threads[THREADS];
    void *complaint;

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, one), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &complaint), 0);
        ck_assert_ptr_null(complaint);
    }
    ck_assert_uint_eq(((struct counters *)gnl_segment_data(one))->one, THREADS * ROUNDS);
    ck_assert_uint_eq(gnl_segment_version(one), THREADS * ROUNDS);
    assert_ok(gnl_segment_detach(one));
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

START_TEST(snapshot_is_of_what_is_there_and_of_ones_own_lock_too)
{
    gnl_segment *one = make(NULL, SIZE);
    char copy[16];

    strcpy((char *)gnl_segment_data(one) + 100, "some words");
    ck_assert_int_eq(gnl_segment_snapshot(one, 100, copy, sizeof copy, GNL_NOWAIT), 0);
    ck_assert_str_eq(copy, "some words");
    assert_ok(gnl_segment_lock(one, GNL_NOWAIT));
    ck_assert_int_eq(gnl_segment_snapshot(one, 100, copy, sizeof copy, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_unlock(one));
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE - 4, copy, 5, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE_MAX, copy, 2, GNL_NOWAIT), -EINVAL);
    ck_assert_int_eq(gnl_segment_snapshot(one, SIZE, copy, 0, GNL_NOWAIT), 0);
    assert_ok(gnl_segment_detach(one));
}
END_TEST

/* ---- truncated ---- */

START_TEST(truncated_named_segment_reads_as_zeros_and_is_ebadmsg)
{
    gnl_segment *one = make("s", 5 * SIZE), *reader;
    char path[256];

    assert_ok(gnl_segment_attach(&reader, "s", GNL_READ));
    memset(gnl_segment_data(one), 7, 5 * SIZE);
    snprintf(path, sizeof path, "%s/segment:s", support_directory());
    ck_assert_int_eq(truncate(path, (off_t)GNLI_SEGMENT_DATA), 0);
    ck_assert_int_eq(((char *)gnl_segment_data(reader))[0], 0);
    ck_assert_int_eq(((char *)gnl_segment_data(one))[4 * SIZE], 0);
    char copy[10];
    ck_assert_int_eq(gnl_segment_snapshot(reader, 0, copy, 10, GNL_NOWAIT), -EBADMSG);
    ck_assert_int_eq(gnl_segment_lock(one, GNL_NOWAIT), -EBADMSG);
    assert_touch(gnl_segment_data(reader), true, SIGSEGV); /* to be read alone, still */
    gnl_segment *late;
    ck_assert_int_eq(gnl_segment_attach(&late, "s", GNL_READ), -EBADMSG);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_segment_detach(reader));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(snapshot_that_finds_the_file_truncated_says_so)
{
    gnl_segment *one = make("s", 5 * SIZE);
    char path[256], *copy = malloc(5 * SIZE);

    snprintf(path, sizeof path, "%s/segment:s", support_directory());
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(gnl_segment_snapshot(one, 0, copy, 5 * SIZE, GNL_NOWAIT), -EBADMSG);
    free(copy);
    assert_ok(gnl_segment_detach(one));
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

START_TEST(files_that_are_no_segments_are_ebadmsg)
{
    char path[256], junk[8192];
    gnl_segment *segment;

    memset(junk, 'x', sizeof junk);
    snprintf(path, sizeof path, "%s/segment:s", support_directory());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_READ), -EBADMSG);
    ck_assert_int_eq(write(file, junk, sizeof junk), sizeof junk);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_WRITE), -EBADMSG);
    struct gnli_segment_header header = { .magic = GNLI_SEGMENT_MAGIC, .version = 99 };
    ck_assert_int_eq(pwrite(file, &header, sizeof header, 0), sizeof header);
    ck_assert_int_eq(gnl_segment_attach(&segment, "s", GNL_READ), -EPROTONOSUPPORT);
    close(file);
    assert_ok(gnl_remove("segment:s"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *making = support_case(suite, "making");
    TCase *giving = support_case(suite, "handing over");
    TCase *locking = support_case(suite, "locking");
    TCase *damaged = support_case(suite, "damaged");

    tcase_add_test(making, a_named_segment_is_shared_by_name_and_gone_when_removed);
    tcase_add_test(making, guard_pages_stand_on_both_sides_and_a_reader_cannot_write);
    tcase_add_test(making, nonsense_is_einval_and_says_why);
    tcase_add_test(making, inspect_shows_size_users_and_who_has_it_locked);
    tcase_add_test(making, mode_and_owner_are_those_of_the_file);
    tcase_add_test(making, what_is_grown_is_seen_by_others_when_they_refresh);
    tcase_add_test(giving, a_segment_given_to_be_written_is_one_to_write);
    tcase_add_test(giving, what_was_given_to_be_read_is_given_to_be_written_no_more_and_its_writer_goes_on);
    tcase_add_test(giving, receiving_the_same_again_and_again_leaks_no_descriptor_and_keeps_the_lock);
    tcase_add_test(giving, what_cannot_be_handed_over_says_why);
    tcase_add_test(giving, hostile_descriptors_are_refused_and_closed);
    tcase_add_test(giving, a_whole_forged_one_is_as_good_as_any_and_its_words_cannot_hurt);
    tcase_add_test(giving, sealed_is_for_everybody_and_for_ever);
    tcase_add_test(giving, sealing_is_ebusy_while_a_child_has_it_mapped_and_changes_nothing);
    tcase_add_test(locking, a_lock_is_a_threads_and_each_unlock_makes_a_version);
    tcase_add_test(locking, other_threads_wait_for_the_lock_and_cannot_unlock_it);
    tcase_add_test(locking, threads_that_count_under_the_lock_lose_nothing);
    tcase_add_test(locking, detach_ends_the_calls_of_other_threads_and_unlocks);
    tcase_add_test(locking, snapshot_is_of_what_is_there_and_of_ones_own_lock_too);
    tcase_add_test(damaged, truncated_named_segment_reads_as_zeros_and_is_ebadmsg);
    tcase_add_test(damaged, snapshot_that_finds_the_file_truncated_says_so);
    tcase_add_test(damaged, files_that_are_no_segments_are_ebadmsg);
    return support_run(suite);
}
