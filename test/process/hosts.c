/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PACKET_MAX 2048
#define LATE_MAX   1024 /* packets on their way; more are lost */

struct packet {
    int64_t due_ms;
    size_t size;
    char data[PACKET_MAX];
};

/* ---- the hosts ---- */

struct host {
    struct link *link;
    unsigned number;
    int (*run)(void *context);
    void *context;
    int channel; /* where its TUN device is handed over */
};

static bool configure(int tun, const char *address)
{
    struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    struct sockaddr_in *name = (struct sockaddr_in *)(void *)&request.ifr_addr;
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(request.ifr_name, "link0");
    bool well = control >= 0 && ioctl(tun, TUNSETIFF, &request) == 0;
    *name = (struct sockaddr_in){ .sin_family = AF_INET };
    inet_pton(AF_INET, address, &name->sin_addr);
    well = well && ioctl(control, SIOCSIFADDR, &request) == 0;
    inet_pton(AF_INET, "255.255.255.0", &name->sin_addr);
    well = well && ioctl(control, SIOCSIFNETMASK, &request) == 0;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    well = well && ioctl(control, SIOCSIFFLAGS, &request) == 0;
    close(control);
    return well;
}

static void hand_over(int channel, int descriptor)
{
    union {
        char data[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .data = { 0 } };
    struct iovec part = { (void *)(uintptr_t) "", 1 };
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control.data
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

    *rights = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(sizeof(int)) };
    memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
    require(sendmsg(channel, &header, 0) == 1);
}

/* -1: nothing was handed over. */
static int receive_descriptor(int channel)
{
    union {
        char data[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    struct iovec part = { &byte, 1 };
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = sizeof control.data
    };
    int descriptor = -1;

    if (recvmsg(channel, &header, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&header))
        memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(int));
    return descriptor;
}

static int be_host(void *context)
{
    struct host *host = context;

    if (unshare(CLONE_NEWNET) != 0)
        return NOT_HERE;
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun < 0 || !configure(tun, host->number == 0 ? FIRST_HOST : SECOND_HOST))
        return NOT_HERE;
    hand_over(host->channel, tun);
    close(host->channel);
    support_gate_wait(&host->link->go[host->number]);
    return host->run(host->context);
}

/* ---- the wire ---- */

static struct packet late[2][LATE_MAX];
static unsigned first[2], count[2];

/* From one host to the other, or not. */
static void take_packet(struct link *link, unsigned from)
{
    struct packet *packet = &late[from][(first[from] + count[from]) % LATE_MAX];
    static unsigned numbers[2];
    unsigned every = atomic_load(&link->drop_every);

    if (count[from] == LATE_MAX) {
        read(link->tuns[from], (char[PACKET_MAX]){ 0 }, PACKET_MAX);
        return;
    }
    ssize_t size = read(link->tuns[from], packet->data, sizeof packet->data);
    if (size <= 0)
        return;
    if (atomic_load(&link->cut) || (every > 0 && ++numbers[from] % every == 0)) {
        atomic_fetch_add(&link->lost, 1);
        return;
    }
    packet->size = (size_t)size;
    packet->due_ms = now_ms() + atomic_load(&link->delay_ms);
    count[from]++;
}

/* Those whose time has come. How long until the next, in milliseconds. */
static int pass_on(struct link *link, unsigned from)
{
    while (count[from] > 0) {
        struct packet *packet = &late[from][first[from]];
        int64_t wait = packet->due_ms - now_ms();
        if (wait > 0)
            return (int)wait;
        if (write(link->tuns[!from], packet->data, packet->size) > 0)
            atomic_fetch_add(&link->passed, 1);
        first[from] = (first[from] + 1) % LATE_MAX;
        count[from]--;
    }
    return 20; /* to look whether to stop */
}

static void *be_wire(void *context)
{
    struct link *link = context;

    while (!atomic_load(&link->stop)) {
        struct pollfd entries[2] = { { .fd = link->tuns[0], .events = POLLIN },
                                     { .fd = link->tuns[1], .events = POLLIN } };
        int there = pass_on(link, 0), back = pass_on(link, 1);
        poll(entries, 2, there < back ? there : back);
        for (unsigned i = 0; i < 2; i++)
            if (entries[i].revents & POLLIN)
                take_packet(link, i);
    }
    return NULL;
}

/* ---- both ---- */

bool link_hosts(struct link *link, int (*one)(void *context), int (*other)(void *context), void *context)
{
    int (*const runs[2])(void *) = { one, other };
    bool here = true;

    atomic_store(&link->stop, false);
    for (unsigned i = 0; i < 2; i++) {
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        link->go[i] = support_gate();
        struct host host = {
            .link = link, .number = i, .run = runs[i], .context = context, .channel = ends[1]
        };
        link->hosts[i] = support_fork(be_host, &host);
        close(ends[1]);
        link->tuns[i] = receive_descriptor(ends[0]);
        close(ends[0]);
        here = here && link->tuns[i] >= 0;
    }
    if (here) {
        require(pthread_create(&link->thread, NULL, be_wire, link) == 0);
        for (unsigned i = 0; i < 2; i++)
            support_gate_open(&link->go[i]);
        return true;
    }
    for (unsigned i = 0; i < 2; i++) {
        support_kill(link->hosts[i]);
        close(link->tuns[i]);
        support_gate_close(&link->go[i]);
    }
    return false;
}

void unlink_hosts(struct link *link)
{
    for (unsigned i = 0; i < 2; i++)
        support_expect_exit(link->hosts[i], 0);
    atomic_store(&link->stop, true);
    pthread_join(link->thread, NULL);
    for (unsigned i = 0; i < 2; i++) {
        close(link->tuns[i]);
        support_gate_close(&link->go[i]);
    }
}
