/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host's name means. A number is a number: no resolver is asked. For a name libc's resolver takes as
 * long as it likes and cannot be stopped; so a thread asks it, and who waits no longer leaves that to end by
 * itself, with all that is its own.
 *
 *   A: acquire-release: the lookup; the last of its two users frees it.
 *   B: release by who looks, acquire by who asked: what was found.
 *   C: relaxed: only a number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/errors.h"
#include "life/process.h"
#include "socket/socket.h"
#include "wait/futex.h"

#define LOOKUPS_MAX 32 /* threads at a time: each that a dead resolver keeps has a stack */

struct lookup {
    _Atomic uint32_t users;
    _Atomic uint32_t done;
    bool listens;
    char host[GNL_ADDRESS_MAX + 1], port[GNL_ADDRESS_MAX + 1];
    int error; /* of getaddrinfo */
    int system_error;
    struct addrinfo *found;
};

static _Atomic uint32_t lookups;

static int look_up(struct lookup *lookup, int flags)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                              .ai_flags = AI_NUMERICSERV | (lookup->listens ? AI_PASSIVE : 0) | flags };

    int error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
    lookup->system_error = error == EAI_SYSTEM ? errno : 0;
    if (error != 0)
        lookup->found = NULL;
    return error;
}

static void leave(struct lookup *lookup)
{
    if (atomic_fetch_sub_explicit(&lookup->users, 1, memory_order_acq_rel) != 1) /* A */
        return;
    if (lookup->found)
        freeaddrinfo(lookup->found);
    free(lookup);
}

/* The thread. */
static void *look(void *context)
{
    struct lookup *lookup = context;

    lookup->error = look_up(lookup, lookup->listens ? 0 : AI_ADDRCONFIG);
    if (lookup->error != 0 && !lookup->listens) /* "localhost", where there is nothing but the loopback */
        lookup->error = look_up(lookup, 0);
    atomic_store_explicit(&lookup->done, 1, memory_order_release); /* B */
    gnli_futex_wake(&lookup->done);
    leave(lookup);
    atomic_fetch_sub_explicit(&lookups, 1, memory_order_relaxed); /* C */
    return NULL;
}

static bool start(struct lookup *lookup)
{
    pthread_t thread;

    atomic_fetch_add_explicit(&lookup->users, 1, memory_order_acq_rel); /* A */
    if (gnli_thread_start(&thread, look, lookup) == 0) {
        pthread_detach(thread);
        return true;
    }
    atomic_fetch_sub_explicit(&lookup->users, 1, memory_order_acq_rel); /* A */
    return false;
}

static bool is_done(struct lookup *lookup)
{
    return atomic_load_explicit(&lookup->done, memory_order_acquire) != 0; /* B */
}

/* 0 once the resolver has answered. */
static int wait_for(struct lookup *lookup, const struct gnli_address *address, int64_t deadline)
{
    /* One too many for an instant does no harm. */
    if (atomic_fetch_add_explicit(&lookups, 1, memory_order_relaxed) >= LOOKUPS_MAX || /* C */
        !start(lookup)) {
        atomic_fetch_sub_explicit(&lookups, 1, memory_order_relaxed); /* C */
        return gnli_fail(-EAGAIN, "%s:%s: cannot ask the resolver: too many wait for it: try again later",
                         address->kind, address->path);
    }
    while (!is_done(lookup)) {
        if (gnli_now_ns() >= deadline)
            return gnli_fail(-ETIMEDOUT, "%s:%s: the system's resolver gives no answer", address->kind,
                             address->path);
        gnli_futex_wait(&lookup->done, 0, deadline);
    }
    return 0;
}

static int verdict(const struct lookup *lookup, const struct gnli_address *address)
{
    int error = lookup->error;

    if (error == 0)
        return 0;
    if (error == EAI_SYSTEM)
        return gnli_fail_errno(lookup->system_error, "%s:%s: cannot look the host up", address->kind,
                               address->path);
    int code = error == EAI_MEMORY ? -ENOMEM : error == EAI_AGAIN ? -EAGAIN : -ENOENT;
    return gnli_fail(code, "%s:%s: %s", address->kind, address->path, gai_strerror(error));
}

int gnli_socket_resolve(struct addrinfo **found, const struct gnli_address *address, bool listens,
                        int64_t deadline)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    int result = 0;

    if (!lookup)
        return gnli_fail(-ENOMEM, "%s:%s: no memory", address->kind, address->path);
    gnli_address_split(address, lookup->host, lookup->port);
    lookup->listens = listens;
    atomic_init(&lookup->users, 1);
    lookup->error = look_up(lookup, AI_NUMERICHOST);
    if (lookup->error == EAI_NONAME)
        result = wait_for(lookup, address, deadline);
    if (result == 0)
        result = verdict(lookup, address);
    if (result == 0) {
        *found = lookup->found;
        lookup->found = NULL;
    }
    leave(lookup);
    return result;
}
