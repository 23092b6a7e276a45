/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes meet: a half made by the one and accepted by the other.
 *
 * The name that a caller gives is its own word; that it is true is the kernel's: the process that connected
 * has the name's lock. Of a caller that is gone by now that cannot be asked any more. Then it is believed
 * if nobody has the name, since it could have had it, or if who has it is of the same user.
 */
#include "link/meet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ginnel/options.h>

#include "base/errors.h"
#include "life/process.h"
#include "link/link.h"
#include "memory/file.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define GROUPS_MAX 256

#define HELLO_DESCRIPTORS 3

void gnli_shut(int *descriptor)
{
    if (*descriptor >= 0) {
        gnli_process_closed(*descriptor);
        close(*descriptor);
    }
    *descriptor = -1;
}

void gnli_unwanted(int *descriptor)
{
    if (*descriptor >= 0) {
        gnli_process_closed(*descriptor);
        gnli_file_discard(*descriptor);
    }
    *descriptor = -1;
}

/* None of them is for a forked child. */
static int guard(const int *descriptors, size_t count)
{
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = descriptors[i] < 0 ? 0 : gnli_process_close_in_child(descriptors[i]);
    return result;
}

static uint64_t next_block(void *context)
{
    return gnli_piece_take(context, GNLI_BLOCK_BYTES);
}

/*
 * A pipe whose read end others may open anew: theirs is then no file description of ours, which we could
 * change.
 */
static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        ends[0] = ends[1] = -1;
        return -errno;
    }
    ends[0] = gnli_above_standard(ends[0]);
    ends[1] = gnli_above_standard(ends[1]);
    return ends[0] < 0 || ends[1] < 0 || fchmod(ends[0], 0444) != 0 ? -errno : 0;
}

static void put_descriptors(struct msghdr *packet, const int *descriptors, unsigned count)
{
    struct cmsghdr *control = packet->msg_control;

    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(count * sizeof *descriptors);
    memcpy(CMSG_DATA(control), descriptors, count * sizeof *descriptors);
    packet->msg_controllen = CMSG_SPACE(count * sizeof *descriptors);
}

static int say_hello(struct gnli_out *out, const char *name, uint64_t block)
{
    struct gnli_hello hello = {
        .magic = GNLI_HELLO_MAGIC,
        .version = GNLI_HELLO_VERSION,
        .size = out->memory.size,
        .block = block,
        .capacity = out->capacity,
        .message_max = out->message_max,
    };
    int descriptors[HELLO_DESCRIPTORS] = { out->memory.descriptor, out->bell[0], out->token[0] };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptors)] = { 0 };
    struct iovec vector = { .iov_base = &hello, .iov_len = sizeof hello };
    struct msghdr packet = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control };

    snprintf(hello.name, sizeof hello.name, "%s", name);
    put_descriptors(&packet, descriptors, out->token[0] >= 0 ? 3 : 2);
    return sendmsg(out->socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof hello ? 0 : -errno;
}

int gnli_pidfd_of(int socket)
{
    int life = -1;
    socklen_t size = sizeof life;

    return getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &life, &size) == 0 ? gnli_above_standard(life) : -1;
}

/* Everything but the connection. */
static int prepare(struct gnli_out *out, const char *subject)
{
    int result = gnli_side_make(&out->memory, out->capacity, out->message_max, subject);
    if (result < 0)
        return result;
    result = gnli_pieces_init(&out->pieces, out->memory.descriptor, out->memory.base, GNLI_SIDE_FIRST,
                              out->memory.size);
    uint64_t block = result == 0 ? gnli_piece_take(&out->pieces, GNLI_BLOCK_BYTES) : 0;
    if (result == 0 && block == 0)
        result = -ENOSPC;
    if (result == 0)
        result = gnli_frames_writer_init(&out->writer, out->memory.base, block, next_block, &out->pieces);
    if (result == 0)
        result = make_pipe(out->bell);
    if (result == 0 && out->capacity == GNL_RENDEZVOUS)
        result = make_pipe(out->token);
    if (result < 0)
        return gnli_fail_errno(-result, "%s: cannot make a link", subject);
    out->memory.own->fences = !gnli_process_ordered();
    return 0;
}

int gnli_out_open(struct gnli_out **made, struct gnl_identity *me, const char *name, int64_t capacity,
                  uint64_t message_max, bool back, const char *subject)
{
    struct ucred listens;

    int socket = gnli_claim_connect(&me->claim, name, &listens, subject);
    if (socket < 0)
        return socket;
    struct gnli_out *out = calloc(1, sizeof *out);
    if (!out) {
        close(socket);
        return gnli_fail_plain(-ENOMEM, subject);
    }
    *out = (struct gnli_out){ .socket = socket,
                              .bell = { -1, -1 },
                              .token = { -1, -1 },
                              .memory = { .descriptor = -1 },
                              .listens = listens,
                              .capacity = capacity,
                              .message_max = message_max };
    out->life = gnli_pidfd_of(socket);
    int result = prepare(out, subject);
    if (result == 0)
        result = guard((int[]){ out->socket, out->life, out->memory.descriptor, out->bell[0], out->bell[1],
                                out->token[0], out->token[1] },
                       7);
    if (result == 0 && !back && listens.uid != geteuid())
        gnli_claim_admit(&me->claim, listens.uid, (gid_t)-1); /* so that it can call back */
    if (result == 0) {
        result = say_hello(out, me->claim.address.name, out->writer.at);
        if (result == -EPIPE || result == -ECONNRESET)
            result = -ENOENT; /* it has just gone */
        else if (result < 0)
            gnli_fail_errno(-result, "%s: cannot hand over memory", subject);
    }
    if (result < 0) {
        gnli_out_free(out);
        return result;
    }
    *made = out;
    return 0;
}

void gnli_out_hang_up(struct gnli_out *out)
{
    gnli_shut(&out->socket);
    gnli_shut(&out->life);
    for (unsigned i = 0; i < 2; i++) {
        gnli_shut(&out->bell[i]);
        gnli_shut(&out->token[i]);
    }
}

void gnli_out_disown(struct gnli_out *out)
{
    out->socket = out->life = out->memory.descriptor = -1;
    out->bell[0] = out->bell[1] = out->token[0] = out->token[1] = -1;
}

void gnli_out_free(struct gnli_out *out)
{
    gnli_out_hang_up(out);
    gnli_frames_writer_free(&out->writer);
    gnli_pieces_free(&out->pieces);
    gnli_side_free(&out->memory);
    free(out);
}

bool gnli_hung_up(int socket)
{
    struct pollfd entry = { .fd = socket };

    return poll(&entry, 1, 0) == 1 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

/* ---- accepting ---- */

/* As gnli_above_standard, for what came from the other side. */
static int above_standard(int descriptor)
{
    if (descriptor > 2)
        return descriptor;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    gnli_file_discard(descriptor);
    return moved;
}

/*
 * The descriptors that came with a packet, at most `most`. -EMFILE: it has more, for which this process had
 * no room; -EBADMSG: more than `most`. Those that came are closed then.
 */
static int get_descriptors(struct msghdr *packet, int *descriptors, int most)
{
    int count = 0, result = packet->msg_flags & MSG_TRUNC ? -EBADMSG : 0;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(packet); control; control = CMSG_NXTHDR(packet, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        int came = (int)((control->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < came; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(control) + (size_t)i * sizeof descriptor, sizeof descriptor);
            if (count < most)
                descriptors[count++] = above_standard(descriptor);
            else
                gnli_file_discard(descriptor), result = -EBADMSG;
        }
    }
    if (result == 0 && (packet->msg_flags & MSG_CTRUNC))
        result = count < most ? -EMFILE : -EBADMSG;
    for (int i = 0; i < count && result == 0; i++)
        result = descriptors[i] < 0 ? -EMFILE : 0;
    for (int i = 0; i < count && result < 0; i++)
        gnli_unwanted(&descriptors[i]);
    return result < 0 ? result : count;
}

int gnli_packet_peek(int socket, void *data, size_t *size, int *descriptors, int most)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(HELLO_DESCRIPTORS * sizeof(int))];
    struct iovec vector = { .iov_base = data, .iov_len = *size };
    struct msghdr packet = { .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE((size_t)most * sizeof(int)) };
    ssize_t bytes;

    do
        bytes = recvmsg(socket, &packet, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0)
        return -errno;
    *size = (size_t)bytes;
    int count = get_descriptors(&packet, descriptors, most);
    if (count >= 0 && bytes == 0) {
        for (int i = 0; i < count; i++)
            gnli_unwanted(&descriptors[i]);
        return -EBADMSG;
    }
    return count;
}

void gnli_packet_skip(int socket)
{
    char byte;

    while (recv(socket, &byte, 1, MSG_DONTWAIT) < 0 && errno == EINTR)
        ;
}

int gnli_descriptor_send(int socket, const void *data, size_t size, int descriptor)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = { 0 };
    struct iovec vector = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    struct msghdr packet = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control };

    put_descriptors(&packet, &descriptor, 1);
    return sendmsg(socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ? 0 : -errno;
}

/*
 * A pipe's read end, as a file description of our own: the sender has the one it sent, and could make reads
 * from it block. Nothing is asked of what may be a file of a file system that answers when it likes.
 */
static int own_pipe(int sent)
{
    char path[64], target[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", sent);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 6 || memcmp(target, "pipe:[", 6) != 0)
        return -EBADMSG;
    int own = gnli_above_standard(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    return own < 0 ? -errno : own;
}

#define EXITING 4u /* of the flags in /proc/PID/stat: PF_EXITING */

/* Is it about to end, or gone? */
static bool is_ending(pid_t pid)
{
    char path[32], text[512];
    unsigned flags = EXITING;

    if (pid <= 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = descriptor < 0 ? 0 : read(descriptor, text, sizeof text - 1);
    if (descriptor >= 0)
        close(descriptor);
    text[length > 0 ? length : 0] = '\0';
    const char *end =
        strrchr(text, ')'); /* of its name; then state, parent, group, session, terminal, its group */
    if (end)
        sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags);
    return (flags & EXITING) != 0;
}

/*
 * Who gives its name back has hung up before: so first who has the name, then whether the caller is there. A
 * process that ends loses its name a moment before its connections. Until those go too it is doubtful
 * whether it had the name that it says.
 */
static bool believable(struct gnl_identity *me, struct gnli_caller *caller, const char *name)
{
    pid_t holder = gnli_claim_holder(&me->claim, name);
    struct ucred other;

    if (holder == caller->peer.pid || (holder == -1 && caller->peer.pid == 0))
        return true;
    if (!gnli_hung_up(caller->socket)) {
        caller->doubtful = is_ending(caller->peer.pid);
        return false;
    }
    if (holder == 0)
        return true;
    int probe = gnli_claim_connect(&me->claim, name, &other, me->subject);
    bool same = probe >= 0 && other.uid == caller->peer.uid;
    gnli_shut(&probe);
    return same;
}

/* Is it of that group: its own, or one of those besides? */
static bool in_group(int socket, const struct ucred *peer, gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof groups;

    if (peer->gid == gid)
        return true;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return false;
    for (size_t i = 0; i < size / sizeof groups[0]; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

/* Whom I call may answer. */
static bool called(struct gnl_identity *me, const char *name, const struct ucred *peer)
{
    struct gnli_link *link = gnli_link_find(me, name, false);

    if (!link)
        return false;
    bool locked = gnli_lock(&link->sending);
    struct gnli_out *out = link->out;
    bool result = out && out->listens.pid == peer->pid && out->listens.uid == peer->uid;
    gnli_unlock(&link->sending, locked);
    return result;
}

static bool allowed(struct gnl_identity *me, const char *name, int socket, const struct ucred *peer)
{
    if (peer->uid == geteuid() || called(me, name, peer))
        return true;
    for (unsigned i = 0; i < me->allowed_count; i++)
        if ((me->allowed[i].uid == (uid_t)-1 || me->allowed[i].uid == peer->uid) &&
            (me->allowed[i].gid == (gid_t)-1 || in_group(socket, peer, me->allowed[i].gid)))
            return true;
    return false;
}

static bool sensible(const struct gnli_hello *hello, size_t size, int descriptors)
{
    return size == sizeof *hello && hello->magic == GNLI_HELLO_MAGIC &&
           hello->version == GNLI_HELLO_VERSION && memchr(hello->name, '\0', sizeof hello->name) &&
           gnli_name_valid(hello->name) &&
           (hello->capacity == GNL_RENDEZVOUS || hello->capacity == GNL_UNBOUNDED ||
            (hello->capacity > 0 && hello->capacity <= GNL_CAPACITY_MAX)) &&
           hello->message_max <= GNL_MESSAGE_MAX_LIMIT &&
           descriptors == (hello->capacity == GNL_RENDEZVOUS ? 3 : 2);
}

static int build(struct gnli_in *in, const struct gnli_hello *hello, int *descriptors, const char *subject)
{
    int result = gnli_side_accept(&in->memory, descriptors[0], hello->size, subject);
    if (result < 0)
        return result;
    descriptors[0] = -1;
    in->bell = own_pipe(descriptors[1]);
    if (in->bell < 0)
        return in->bell;
    if (hello->capacity == GNL_RENDEZVOUS) {
        in->token = own_pipe(descriptors[2]);
        if (in->token < 0)
            return in->token;
    }
    in->reader = (struct gnli_frames_reader){
        .base = in->memory.base,
        .first = GNLI_SIDE_FIRST,
        .last = in->memory.size,
        .left = &in->unpaired,
        .there = gnli_side_there,
        .context = &in->memory,
    };
    result = gnli_frames_reader_init(&in->reader, hello->block);
    return result < 0 ? result : guard((int[]){ in->memory.descriptor, in->bell, in->token }, 3);
}

/*
 * Does an earlier life of that name wait, or are there too many? Of strangers more than that are refused:
 * they shall not cost more descriptors; processes of one user do not have to be kept off each other.
 */
static bool has_to_wait(struct gnl_identity *me, struct gnli_caller *caller, const char *name)
{
    bool waits = gnli_link_full(me, name);

    for (struct gnli_caller *earlier = caller->next; earlier && !waits; earlier = earlier->next)
        waits = strcmp(earlier->name, name) == 0;
    if (!waits || caller->peer.uid != geteuid())
        return false;
    strcpy(caller->name, name);
    return true;
}

int gnli_in_open(struct gnli_in **made, struct gnl_identity *me, struct gnli_caller *caller)
{
    int socket = caller->socket;
    const struct ucred *peer = &caller->peer;
    struct gnli_hello hello;
    int descriptors[HELLO_DESCRIPTORS] = { -1, -1, -1 };
    size_t size = sizeof hello;

    int count = gnli_packet_peek(socket, &hello, &size, descriptors, HELLO_DESCRIPTORS);
    if (count < 0)
        return count;
    struct gnli_in *in = aligned_alloc(_Alignof(struct gnli_in), sizeof *in);
    int result = in ? 0 : -ENOMEM;
    caller->doubtful = false;
    if (in) {
        memset(in, 0, sizeof *in);
        in->memory.descriptor = in->bell = in->token = in->socket = in->life = -1;
        if (!sensible(&hello, size, count) || strcmp(hello.name, me->claim.address.name) == 0 ||
            !allowed(me, hello.name, socket, peer))
            result = -EBADMSG;
        else if (!believable(me, caller, hello.name))
            result = caller->doubtful ? -EAGAIN : -EBADMSG;
        else if (has_to_wait(me, caller, hello.name))
            result = -EBUSY;
        else
            result = build(in, &hello, descriptors, me->subject);
    }
    for (int i = 0; i < HELLO_DESCRIPTORS; i++)
        gnli_unwanted(&descriptors[i]);
    if (result < 0) {
        if (in)
            gnli_in_free(in);
        return result == -EAGAIN && !caller->doubtful ? -EBADMSG : result;
    }
    gnli_packet_skip(socket);
    in->socket = socket; /* guarded, and its life, since it called */
    in->life = caller->life;
    in->capacity = hello.capacity;
    in->message_max = hello.message_max;
    in->sender = (struct gnl_sender){ .pid = peer->pid, .uid = peer->uid, .gid = peer->gid };
    strcpy(in->sender.name, hello.name);
    *made = in;
    return 0;
}

void gnli_in_hang_up(struct gnli_in *in)
{
    gnli_shut(&in->socket);
    gnli_shut(&in->life);
    gnli_shut(&in->bell);
    gnli_shut(&in->token);
}

void gnli_in_disown(struct gnli_in *in)
{
    in->socket = in->life = in->bell = in->token = in->memory.descriptor = -1;
}

void gnli_in_free(struct gnli_in *in)
{
    gnli_in_hang_up(in);
    gnli_side_free(&in->memory);
    free(in->later);
    free(in);
}
