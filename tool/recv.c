/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel recv: messages become output. A message is done only once all its bytes were written; what
 * could not be written is given back. Killed in between, the library delivers it again, flagged:
 * nothing is lost, and what may be there twice says so.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "clients.h"
#include "clock.h"
#include "commands.h"
#include "interrupt.h"
#include "mailbox_options.h"

#define BATCH 64 /* messages taken and written together; others that receive get the rest */
#define SLICE_NS \
    ((int64_t)100000000) /* a wait in the library does not end with a signal: look for one so often */

static struct gnl_options opening = { .direction = GNL_RECV_ONLY };
static bool null, raw, info;
static uint64_t count = UINT64_MAX;
static int64_t timeout = GNL_FOREVER;

static const struct option options[] = {
    { "null", NULL, &null, NULL, NULL, "write a zero byte after each message, not a newline" },
    { "raw", NULL, &raw, NULL, NULL, "write nothing after each message" },
    { "info", NULL, &info, NULL, NULL, "write who sent it, its size and deliveries before each message" },
    { "count", "N", &count, parse_count, A_COUNT, "end after so many messages" },
    { "timeout", "T", &timeout, parse_duration, A_DURATION,
      "end (exit 3) when no message comes for so long" },
    MAILBOX_OPTIONS(opening),
    CONNECTIONS_OPTION(opening),
    { 0 },
};

static const struct usage usage = {
    .command = "recv",
    .operands = "ADDRESS",
    .text = "Writes messages to standard output, a line each. A message is done once it is\n"
            "written. Makes the mailbox if it is not there.\n",
    .options = options,
};

/* ---- writing ---- */

struct output {
    struct iovec parts[3 * BATCH];
    size_t ends[BATCH]; /* bytes from the beginning of the batch to the end of each message */
    char headers[BATCH][128];
};

static void add(struct output *output, size_t *parts, size_t *bytes, const void *data, size_t size)
{
    output->parts[(*parts)++] = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    *bytes += size;
}

/* Everything that is to be written for these messages; returns how many parts it has. */
static size_t lay_out(struct output *output, const gnl_message *messages, size_t taken)
{
    const char *end = null ? "\0" : "\n";
    size_t parts = 0, bytes = 0;

    for (size_t i = 0; i < taken; i++) {
        const gnl_message *message = &messages[i];
        if (info) {
            char *header = output->headers[i];
            int length = snprintf(header, sizeof output->headers[i],
                                  "pid=%d uid=%u size=%zu deliveries=%u redelivered=%s", message->sender.pid,
                                  (unsigned)message->sender.uid, message->size, message->deliveries,
                                  message->flags & GNL_REDELIVERED ? "yes" : "no");
            header[length++] = end[0];
            add(output, &parts, &bytes, header, (size_t)length);
        }
        add(output, &parts, &bytes, message->data, message->size);
        if (!raw)
            add(output, &parts, &bytes, end, 1);
        output->ends[i] = bytes;
    }
    return parts;
}

/* Goes past bytes that were written. */
static void advance(struct iovec **parts, size_t *parts_count, size_t bytes)
{
    while (*parts_count > 0 && bytes >= (*parts)->iov_len) {
        bytes -= (*parts)->iov_len;
        (*parts)++;
        (*parts_count)--;
    }
    if (*parts_count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + bytes;
        (*parts)->iov_len -= bytes;
    }
}

/* Writes it all, unless told to stop. Returns the bytes written; *error is 0 or what ended it early. */
static size_t write_parts(struct iovec *parts, size_t parts_count, int *error)
{
    size_t written = 0;

    *error = 0;
    for (advance(&parts, &parts_count, 0); parts_count > 0;) {
        ssize_t bytes = writev(STDOUT_FILENO, parts, (int)parts_count);
        if (bytes >= 0) {
            written += (size_t)bytes;
            advance(&parts, &parts_count, (size_t)bytes);
        } else if (errno == EAGAIN) /* somebody made it non-blocking: wait all the same */
            poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
        else if (errno != EINTR) {
            *error = errno;
            break;
        }
        if (interrupt_caught() != 0)
            break;
    }
    return written;
}

struct receiving {
    struct source *source;
    size_t batch;            /* messages to take together */
    uint64_t left;           /* messages still wanted */
    enum exit_status status; /* how it ends */
    int signo;               /* and of which signal; 0: none */
};

/* Writes messages that are held and ends those that were written. False: that was the last. */
static bool deliver(struct receiving *receiving, gnl_message *messages, size_t taken)
{
    static struct output output;
    size_t done = 0;
    int error, result = 0;

    size_t parts = lay_out(&output, messages, taken);
    size_t written = write_parts(output.parts, parts, &error);
    while (done < taken && output.ends[done] <= written && result == 0)
        result = gnl_done(&messages[done++]);
    receiving->left -= done;
    if (result < 0)
        receiving->status = failed(result);
    else if (error == EPIPE) /* as a program that does not ignore it: quietly */
        receiving->signo = SIGPIPE;
    else if (error != 0) {
        complain("standard output: %s", strerror(error));
        receiving->status = EXIT_FAILED;
    }
    return result == 0 && done == taken;
}

/* ---- receiving ---- */

/* Has whoever read the output gone? A write would tell, but there may be nothing to write for long. */
static bool nobody_reads(void)
{
    struct pollfd output = { .fd = STDOUT_FILENO };

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR);
}

/* Waits for messages, up to the timeout. 0: told to stop, or nobody reads any more. */
static ssize_t take(struct source *source, gnl_message *messages, size_t most)
{
    int64_t start = now_ns();

    for (;;) {
        int64_t left = timeout == GNL_FOREVER ? SLICE_NS : timeout - (now_ns() - start);
        if (left < 0)
            left = 0;
        if (interrupt_caught() != 0)
            return 0;
        ssize_t taken = source_take(source, messages, most, left < SLICE_NS ? left : SLICE_NS);
        if (taken != -EAGAIN && taken != -ETIMEDOUT)
            return taken;
        if (timeout != GNL_FOREVER && now_ns() - start >= timeout)
            return -ETIMEDOUT;
        if (nobody_reads())
            return 0;
    }
}

/* Until enough came, none came for too long, or something else ends it; gnl_close gives back what is held. */
static void receive(struct receiving *receiving)
{
    gnl_message messages[BATCH];

    while (receiving->left > 0) {
        ssize_t taken = take(receiving->source, messages,
                             receiving->left < receiving->batch ? (size_t)receiving->left : receiving->batch);
        if (taken == -ETIMEDOUT)
            receiving->status = EXIT_WOULD_BLOCK;
        else if (taken == 0 && interrupt_caught() == 0)
            receiving->signo = SIGPIPE;
        else if (taken < 0)
            receiving->status = failed_on(source_port(receiving->source), (int)taken);
        if (taken <= 0 || !deliver(receiving, messages, (size_t)taken))
            break;
    }
    if (receiving->signo == 0 && receiving->status == EXIT_OK && receiving->left > 0)
        receiving->signo = interrupt_caught();
}

int run_recv(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count != 1)
        return usage_error("recv", "one ADDRESS, please: %d given", arguments.count);
    if (null && raw)
        return usage_error("recv", "--null and --raw exclude each other");
    if (!addresses_good("recv", arguments.operands, 1))
        return EXIT_USAGE;
    status = socket_options_check("recv", &opening);
    if (status != EXIT_OK)
        return status;
    struct receiving receiving = { .left = count };
    opening.stream = port_stream;
    if (!opening_waits(arguments.operands[0]))
        interrupt_catch();
    raw = raw || port_is_bytes(arguments.operands[0]);
    int result = source_open(&receiving.source, arguments.operands[0], &opening, 0);
    if (result < 0)
        return failed(result);
    if (opening_waits(arguments.operands[0]))
        interrupt_catch();
    /* What is given back unwritten counts as a delivery: where these are limited, hold no more than one. */
    struct gnl_port_info known;
    gnl_port *port = source_port(receiving.source);
    receiving.batch = !port || (gnl_port_info(port, &known) == 0 && known.max_deliveries == 0) ? BATCH : 1;
    receive(&receiving);
    source_close(receiving.source);
    return receiving.signo != 0 ? interrupt_die(receiving.signo) : receiving.status;
}
