/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ginnel/errors.h>

#define OWN_TIME_NS ((int64_t)2000000000) /* of the processor, beyond the timeout; sanitizers are slow */
#define TIME_NS     ((int64_t)30000000000)

static char directory[4096];
static pid_t maker;

static struct {
    const char *what;
    int64_t timeout, began, began_own;
} call;

void wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

static void leave(void)
{
    if (getpid() == maker)
        rmdir(directory);
}

const char *room(void)
{
    if (directory[0] != '\0')
        return directory;
    const char *given = getenv("GINNEL_DIR");
    snprintf(directory, sizeof directory, "%s", given ? given : "/dev/shm/ginnel-fuzz.XXXXXX");
    if (!given) {
        must(mkdtemp(directory));
        setenv("GINNEL_DIR", directory, 1);
        maker = getpid();
        atexit(leave);
    }
    return directory;
}

static const char *path_of(const char *name)
{
    static char path[8192];

    snprintf(path, sizeof path, "%s/%s", room(), name);
    return path;
}

int room_open(const char *name, int flags)
{
    return open(path_of(name), flags | O_CLOEXEC, 0600);
}

void room_remove(const char *name)
{
    must(unlink(path_of(name)) == 0 || errno == ENOENT);
}

bool input_ended(const struct input *input)
{
    return input->size == 0;
}

uint64_t input_number(struct input *input, unsigned bytes)
{
    uint64_t number = 0;
    size_t have = input->size < bytes ? input->size : bytes;

    if (have > 0)
        memcpy(&number, input->data, have);
    input->data += have;
    input->size -= have;
    return number;
}

uint64_t input_some_number(struct input *input, const struct input_end ends[INPUT_ENDS])
{
    uint64_t kind = input_number(input, 1);

    if (kind < 192)
        return kind % 64;
    switch (kind % 8) {
    case 0:
        return UINT64_MAX;
    case 1:
        return (uint64_t)1 << (input_number(input, 1) % 64);
    case 2:
    case 3:
    case 4:
        return ends[kind % 8 - 2].at + ends[kind % 8 - 2].step * (input_number(input, 1) % 4);
    case 5:
        return input_number(input, 2);
    case 6:
        return input_number(input, 4);
    default:
        return input_number(input, 8);
    }
}

static int64_t now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void call_begins(const char *what, int64_t timeout)
{
    call.what = what;
    call.timeout = timeout;
    call.began = now(CLOCK_MONOTONIC);
    call.began_own = now(CLOCK_THREAD_CPUTIME_ID);
}

void call_ended(int64_t result)
{
    static const int errors[] = { EAGAIN,       ETIMEDOUT, ECANCELED,       EIDRM,  EPIPE,  EMSGSIZE,
                                  ENOSPC,       ENOBUFS,   EINVAL,          ENOENT, EEXIST, EACCES,
                                  EPERM,        EBADMSG,   EPROTONOSUPPORT, EUSERS, EBUSY,  ENOMEM,
                                  ENAMETOOLONG, ENOTDIR,   ELOOP,           EISDIR };
    int64_t own = now(CLOCK_THREAD_CPUTIME_ID) - call.began_own;
    int64_t took = now(CLOCK_MONOTONIC) - call.began;
    bool listed = result >= 0;

    if (own > call.timeout + OWN_TIME_NS || took > call.timeout + TIME_NS)
        wrong("%s took %lld ms, %lld ms of them its own; its timeout was %lld ms", call.what,
              (long long)took / 1000000, (long long)own / 1000000, (long long)call.timeout / 1000000);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        listed |= result == -errors[i];
    if (!listed)
        wrong("%s: error %lld is none that it may give: %s", call.what, (long long)result,
              gnl_error_detail());
}
