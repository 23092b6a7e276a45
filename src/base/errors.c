/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of codes and texts, and each thread's last failure in words.
 */
#include "base/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define GNLI_ERRORS(row)                                                                                    \
    row(0, "success") row(EAGAIN, "would block") row(ETIMEDOUT, "timed out")                                \
        row(ECANCELED, "closed by another thread during the call") row(EIDRM, "removed") row(               \
            EPIPE, "the other side is gone, or this side sends no more") row(EMSGSIZE, "message too large") \
            row(ENOSPC, "no memory left") row(ENOBUFS, "too many messages held")                            \
                row(EINVAL, "invalid argument") row(ENOENT, "no such name")                                 \
                    row(EEXIST, "the name exists already") row(EACCES, "owner and mode forbid it")          \
                        row(EPERM, "not permitted") row(EBADMSG, "damaged, foreign, or scribbled over")     \
                            row(EPROTONOSUPPORT, "another layout version, or an unknown kind of address")   \
                                row(EUSERS, "too many processes use it") row(EBUSY, "in use")               \
                                    row(ENOMSG, "what comes next is another kind of thing")                 \
                                        row(EDEADLK, "locked by this thread already") row(                  \
                                            EBADF, "a descriptor of the library was closed by the program")

/* The sentence, or what it is made of when somebody asks: failing must be cheap where it is expected. */
static _Thread_local char last_failure[512];
static _Thread_local char plain_subject[128];
static _Thread_local int plain_code;
static _Thread_local bool said;

const char *gnl_strerror(int code)
{
    int error = code < 0 ? -(unsigned)code : (unsigned)code;

    switch (error) {
#define GNLI_CASE(number, text) \
    case number:                \
        return text;
        GNLI_ERRORS(GNLI_CASE)
#undef GNLI_CASE
    }
    const char *text = strerrordesc_np(error);
    return text ? text : "unknown error";
}

const char *gnl_error_detail(void)
{
    if (plain_code != 0) {
        snprintf(last_failure, sizeof last_failure, "%s: %s", plain_subject, gnl_strerror(plain_code));
        plain_code = 0;
    }
    return last_failure;
}

void gnli_failure_begin(void)
{
    said = false;
}

int gnli_fail_plain(int code, const char *subject)
{
    if (!said) {
        plain_code = code;
        memccpy(plain_subject, subject, '\0', sizeof plain_subject - 1);
        said = true;
    }
    return code;
}

int gnli_fail(int code, const char *format, ...)
{
    va_list arguments;

    said = true;
    plain_code = 0;
    va_start(arguments, format);
    vsnprintf(last_failure, sizeof last_failure, format, arguments);
    va_end(arguments);
    return code;
}

int gnli_fail_errno(int error, const char *format, ...)
{
    va_list arguments;

    said = true;
    plain_code = 0;
    va_start(arguments, format);
    int length = vsnprintf(last_failure, sizeof last_failure, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof last_failure)
        snprintf(last_failure + length, sizeof last_failure - (size_t)length, ": %s", strerrordesc_np(error));
    return -error;
}
