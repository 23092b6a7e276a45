/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel send: what files hold becomes messages. Each is sent before the next is read, so whatever
 * goes wrong, a message was sent whole or not at all, and the complaint says where it stopped. So it does
 * when it is told to stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "clock.h"
#include "commands.h"
#include "framing.h"
#include "interrupt.h"
#include "mailbox_options.h"
#include "outcome.h"
#include "progress.h"

static struct gnl_options opening = { .direction = GNL_SEND_ONLY };
static bool null, whole, as_bytes, on_socket;
static size_t size;
static uint64_t rate;
static int64_t timeout = GNL_FOREVER;

static const struct option options[] = {
    { "null", NULL, &null, NULL, NULL, "messages end in a zero byte, not in a newline" },
    { "whole", NULL, &whole, NULL, NULL, "each file is one message" },
    { "size", "BYTES", &size, parse_size, A_SIZE, "each message is of so many bytes" },
    { "rate", "N", &rate, parse_count, A_COUNT, "at most so many messages a second" },
    { "timeout", "T", &timeout, parse_duration, A_DURATION,
      "give up (exit 3) when one waits longer than this" },
    MAILBOX_OPTIONS(opening),
    { 0 },
};

static const struct usage usage = {
    .command = "send",
    .operands = "ADDRESS [FILE...]",
    .text = "Sends each line of the files as a message; without a file, or for '-', of\n"
            "standard input. Makes the mailbox if it is not there.\n",
    .options = options,
};

struct sending {
    gnl_port *port;
    const char *file; /* as complaints call it */
    struct framing_reader reader;
    struct progress progress;
    int64_t start_ns;
    uint64_t sent;
    size_t longest; /* of those sent, bytes */
    bool rests;     /* the last one may not have gone whole: its time was up */
};

static enum framing chosen_framing(void)
{
    if (null)
        return FRAMING_NULL;
    if (whole)
        return FRAMING_WHOLE;
    return size > 0 ? FRAMING_SIZE : FRAMING_LINES;
}

/* Ends the line of progress, so that the complaint which follows has one of its own. */
static void stopped(struct sending *sending, char *where, size_t where_size)
{
    const char *what = chosen_framing() == FRAMING_LINES ? "line" : "message";

    progress_end(&sending->progress, sending->sent);
    if (chosen_framing() == FRAMING_WHOLE)
        snprintf(where, where_size, "%s", sending->file);
    else
        snprintf(where, where_size, "%s: %s %" PRIu64, sending->file, what, sending->reader.number);
}

static enum exit_status not_sent(struct sending *sending, int code)
{
    char detail[512], where[512];

    snprintf(detail, sizeof detail, "%s", failure_detail());
    bool unexplained = on_socket && code == -EPIPE && outcome_ended_well(sending->port);
    int reason = unexplained ? outcome_reason(sending->port) : 0;
    if (reason < 0) {
        snprintf(detail, sizeof detail, "%s", failure_detail());
        code = reason;
    }
    stopped(sending, where, sizeof where);
    complain("%s; sent %" PRIu64 ", stopped at %s", detail, sending->sent, where);
    return status_on(sending->port, code);
}

static enum exit_status not_read(struct sending *sending, int code)
{
    char where[512];

    stopped(sending, where, sizeof where);
    if (code == -EMSGSIZE)
        complain("%s is longer than the mailbox's message_max of %zu bytes; sent %" PRIu64, where,
                 sending->reader.message_max, sending->sent);
    else
        complain("%s: %s; sent %" PRIu64, sending->file, strerror(-code), sending->sent);
    return EXIT_FAILED;
}

/* Told to stop, before the message of that number. */
static enum exit_status interrupted(struct sending *sending, uint64_t number)
{
    char where[512];

    sending->reader.number = number;
    stopped(sending, where, sizeof where);
    complain("interrupted; sent %" PRIu64 ", stopped at %s", sending->sent, where);
    return EXIT_FAILED;
}

/* Waits until it is the next message's turn, or told to stop. */
static void keep_to_rate(struct sending *sending)
{
    uint64_t seconds = sending->sent / rate, rest = sending->sent % rate;
    int64_t due = sending->start_ns + (int64_t)(seconds * 1000000000 + rest * UINT64_C(1000000000) / rate);

    for (int64_t now = now_ns(); now < due && interrupt_caught() == 0; now = now_ns()) {
        int64_t pause = due - now < PROGRESS_NS ? due - now : PROGRESS_NS;
        nanosleep(&(struct timespec){ .tv_nsec = (long)pause }, NULL);
        progress_tick(&sending->progress, sending->port, sending->sent);
    }
}

/*
 * gnl_send, which no signal ends; where a terminal is watching, it goes on telling how full the mailbox is.
 * -EINTR told to stop, and it was not sent.
 */
static int send_message(struct sending *sending, const char *data, size_t bytes)
{
    int64_t start = now_ns();

    while (interrupt_caught() == 0) {
        int64_t left = timeout == GNL_FOREVER ? PROGRESS_NS : timeout - (now_ns() - start);
        if (left < 0)
            left = 0;
        bool last = timeout != GNL_FOREVER && left <= PROGRESS_NS;
        int64_t now = now_ns(), time = last ? left : PROGRESS_NS;
        int result = gnl_send(sending->port, data, bytes, time);
        sending->rests = now_ns() - now >= time;
        if (last || result != -ETIMEDOUT)
            return result;
        progress_tick(&sending->progress, sending->port, sending->sent);
    }
    return -EINTR;
}

static enum exit_status send_messages(struct sending *sending)
{
    const char *data;
    size_t bytes;
    int result;

    while ((result = framing_read(&sending->reader, &data, &bytes)) > 0) {
        if (rate > 0)
            keep_to_rate(sending);
        /* Where only bytes go, what ended a line or message goes with it. */
        result = send_message(sending, data, as_bytes ? bytes + sending->reader.past : bytes);
        if (result == -EINTR)
            return interrupted(sending, sending->reader.number);
        if (result < 0)
            return not_sent(sending, result);
        sending->sent++;
        if (bytes > sending->longest)
            sending->longest = bytes;
        progress_tick(&sending->progress, sending->port, sending->sent);
    }
    if (result == -EINTR)
        return interrupted(sending, sending->reader.number + 1);
    return result == 0 ? EXIT_OK : not_read(sending, result);
}

static enum exit_status send_file(struct sending *sending, const char *path, size_t message_max)
{
    bool standard = strcmp(path, "-") == 0;

    sending->file = standard ? "standard input" : path;
    int descriptor = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return interrupt_caught() != 0 ? interrupted(sending, 1) : not_read(sending, -errno);
    framing_reader_init(&sending->reader, descriptor, chosen_framing(), size > 0 ? size : message_max);
    enum exit_status status = send_messages(sending);
    framing_reader_fini(&sending->reader);
    if (!standard)
        close(descriptor);
    return status;
}

/* What the other side makes of what it was sent, where that is heard of. */
static enum exit_status hear_outcome(struct sending *sending)
{
    struct gnl_port_info info;

    int result = outcome_await(sending->port, as_bytes, sending->rests, timeout);
    if (result == -EINTR) {
        complain("interrupted; sent %" PRIu64, sending->sent);
        return EXIT_FAILED;
    }
    if (result == -EAGAIN) {
        complain("timed out: the other side has not accepted the connection yet; sent %" PRIu64
                 ", which is lost if it never does",
                 sending->sent);
        return EXIT_WOULD_BLOCK;
    }
    if (result == -ETIMEDOUT) {
        complain("timed out: the other side does not take all of the last message; sent %" PRIu64 " with it",
                 sending->sent);
        return EXIT_WOULD_BLOCK;
    }
    if (result < 0) {
        complain("%s; sent %" PRIu64 ", and not all may have been received", failure_detail(), sending->sent);
        return status_on(sending->port, result);
    }
    /* Short ones go before the other side has said what is too long for it. */
    if (as_bytes || gnl_port_info(sending->port, &info) < 0 || sending->longest <= info.message_max)
        return EXIT_OK;
    complain("a message of %zu bytes is too long for the other side, whose message_max is %" PRIu64
             ": not received, nor what came after it",
             sending->longest, info.message_max);
    return EXIT_FAILED;
}

static enum exit_status send_files(gnl_port *port, char **files, int count)
{
    struct sending sending = { .port = port, .start_ns = now_ns() };
    struct gnl_port_info info;
    enum exit_status status = EXIT_OK;

    int result = gnl_port_info(port, &info);
    if (result < 0)
        return failed(result);
    if (as_bytes)
        info.message_max = GNL_MESSAGE_MAX_LIMIT;
    if (size > info.message_max) {
        complain("--size %zu is more than the mailbox's message_max of %" PRIu64 " bytes", size,
                 info.message_max);
        return EXIT_FAILED;
    }
    /* Who types the messages sees what goes. */
    progress_begin(&sending.progress, count > 0 || !isatty(STDIN_FILENO));
    if (count == 0)
        status = send_file(&sending, "-", info.message_max);
    for (int i = 0; i < count && status == EXIT_OK; i++)
        status = send_file(&sending, files[i], info.message_max);
    progress_end(&sending.progress, sending.sent);
    return status == EXIT_OK && on_socket ? hear_outcome(&sending) : status;
}

int run_send(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;
    static gnl_port *port; /* of a socket it is left open where sending fails */

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count < 1)
        return usage_error("send", "no ADDRESS given");
    if (null + whole + (size > 0) > 1)
        return usage_error("send", "--null, --whole and --size exclude each other");
    if (!addresses_good("send", arguments.operands, 1))
        return EXIT_USAGE;
    status = socket_options_check("send", &opening);
    if (status != EXIT_OK)
        return status;
    opening.stream = port_stream;
    if (!opening_waits(arguments.operands[0]))
        interrupt_catch();
    as_bytes = port_is_bytes(arguments.operands[0]);
    on_socket = address_is_socket(arguments.operands[0]);
    if (on_socket)
        opening.direction = GNL_BOTH; /* how the other side ends it is to be heard */
    int result = port_open(&port, arguments.operands[0], &opening);
    if (result == -EINTR) {
        complain("interrupted; nobody has connected");
        return interrupt_die(interrupt_caught());
    }
    if (result < 0)
        return failed(result);
    if (opening_waits(arguments.operands[0]))
        interrupt_catch();
    status = send_files(port, arguments.operands + 1, arguments.count - 1);
    /* What was given up is not waited for: it goes on for as long as the kernel does without this process. */
    result = on_socket && status != EXIT_OK ? gnl_finish(port) : port_close(port);
    if (result < 0 && on_socket && status == EXIT_OK) {
        complain("%s", failure_detail());
        status = status_of(result);
    }
    return status != EXIT_OK && interrupt_caught() != 0 ? interrupt_die(interrupt_caught()) : status;
}
