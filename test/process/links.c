/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

gnl_identity *claim(const char *name)
{
    gnl_identity *me;

    require(gnl_identity_claim(&me, name) == 0);
    return me;
}

void release(gnl_identity *me)
{
    require(gnl_identity_release(me) == 0);
}

void bury(const char *name)
{
    release(claim(name));
}

void tell(gnl_identity *me, const char *name, uint64_t number, size_t size)
{
    void *data = malloc(size);

    require(data);
    fill_message(data, size, number);
    require(gnl_send_to(me, name, data, size, PATIENCE) == 0);
    free(data);
}

uint64_t hear_who(gnl_identity *me, const char *name, struct gnl_sender *sender)
{
    static char data[1 << 20];

    ssize_t size = gnl_recv_from(me, name, data, sizeof data, sender, PATIENCE);
    require(size > 0);
    return check_message(data, (size_t)size);
}

uint64_t hear(gnl_identity *me, const char *name)
{
    return hear_who(me, name, NULL);
}

int hear_error(gnl_identity *me, const char *name, int64_t timeout)
{
    static char data[1 << 20];
    ssize_t result = gnl_recv_from(me, name, data, sizeof data, NULL, timeout);

    return result < 0 ? (int)result : 0;
}

#define MEMORY "/memfd:ginnel-link"

static unsigned count_links(const char *wanted, long *kib)
{
    DIR *stream = opendir("/proc/self/fd");
    unsigned count = 0;
    struct stat status;

    require(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        char target[256] = "";
        if (readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1) <= 0 ||
            strncmp(target, wanted, strlen(wanted)) != 0)
            continue;
        count++;
        if (kib && fstatat(dirfd(stream), entry->d_name, &status, 0) == 0)
            *kib += (long)status.st_blocks / 2;
    }
    closedir(stream);
    return count;
}

unsigned count_memories(void)
{
    return count_links(MEMORY, NULL);
}

long memories_kib(void)
{
    long kib = 0;

    count_links(MEMORY, &kib);
    return kib;
}

unsigned count_descriptors(void)
{
    return count_links("", NULL);
}

unsigned count_memory_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    unsigned count = 0;

    require(maps);
    while (fgets(line, sizeof line, maps))
        count += strstr(line, "memfd:ginnel-link") != NULL;
    fclose(maps);
    return count;
}

/* ---- threads ---- */

static ssize_t run(struct blocked *call)
{
    static _Thread_local char data[4096];
    gnl_message message;
    gnl_port *port;

    switch (call->verb) {
    case SEND_TO:
        return gnl_send_to(call->me, call->name, "12345678", 8, call->timeout);
    case RECV_FROM:
        return gnl_recv_from(call->me, call->name, data, sizeof data, NULL, call->timeout);
    case MEET:
        return gnl_link(call->me, call->name, &port, call->timeout);
    case PORT_RECV:
        return gnl_recv(call->port, data, sizeof data, call->timeout);
    case PORT_SEND:
        return gnl_send(call->port, "12345678", 8, call->timeout);
    case PORT_TAKE:
        return gnl_take(call->port, &message, call->timeout);
    }
    return -EINVAL;
}

static void *run_in_thread(void *context)
{
    struct blocked *call = context;

    atomic_store(&call->thread_id, gettid());
    call->result = run(call);
    return NULL;
}

static bool known(void *context)
{
    return atomic_load(&((struct blocked *)context)->thread_id) != 0;
}

void call_in_thread(struct blocked *call)
{
    require(pthread_create(&call->thread, NULL, run_in_thread, call) == 0);
    require(support_until(known, call));
    require(support_sleeps(atomic_load(&call->thread_id)));
}

ssize_t call_result(struct blocked *call)
{
    require(pthread_join(call->thread, NULL) == 0);
    return call->result;
}

/* ---- processes ---- */

void wait_to_be_killed(void)
{
    for (;;)
        pause();
}

void meet(struct meeting *meeting, unsigned processes, unsigned round)
{
    int64_t end = now_ms() + PATIENCE_MS;

    atomic_fetch_add(&meeting->came, 1);
    while (atomic_load(&meeting->came) < processes * (round + 1)) {
        require(now_ms() < end);
        sched_yield();
    }
}

unsigned dice(uint64_t *state, unsigned below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((*state >> 33) % below);
}

struct step step_open(void)
{
    return (struct step){ .first = support_gate(), .second = support_gate(), .third = support_gate() };
}

void step_close(struct step *step)
{
    support_gate_close(&step->first);
    support_gate_close(&step->second);
    support_gate_close(&step->third);
}
