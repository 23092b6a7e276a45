/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failing with a sentence: every room reports errors through gnli_fail, which keeps the sentence for
 * gnl_error_detail. Expected results (full, empty) travel as bare codes and cost nothing.
 */
#ifndef GNLI_BASE_ERRORS_H
#define GNLI_BASE_ERRORS_H

#include <ginnel/errors.h>

/* Keeps the sentence as this thread's last failure and returns `code`. */
int gnli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* The same with the text of `error` (an errno value) after it: "…: No such file or directory". -error. */
int gnli_fail_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

/* A public call begins: nothing has been said about it yet. */
void gnli_failure_begin(void);

/*
 * The code's own text as the sentence, "mailbox 'jobs': timed out", unless something was said
 * already since gnli_failure_begin. Made only when somebody asks for it. Returns `code`.
 */
int gnli_fail_plain(int code, const char *subject);

#endif
