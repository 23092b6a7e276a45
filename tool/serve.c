/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel serve: a process for each who connects, whose standard input and output are the connection. Two
 * threads a connection: what comes goes to the process, and what it writes goes back. In message mode that
 * is a message a line.
 *
 * Told to stop, it ends what comes: the processes find the end of their input, and what they still write goes
 * back. Those that have not ended after the grace are ended, with all that descends from them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "accepting.h"
#include "arguments.h"
#include "clock.h"
#include "commands.h"
#include "framing.h"
#include "interrupt.h"
#include "mailbox_options.h"

#define SLICE_MS    100      /* a signal may come just before a wait */
#define ASKED_NS    gnl_s(1) /* between SIGTERM and SIGKILL */
#define SPARE_NS    gnl_s(2) /* for what was written to go back */
#define BLOCK_BYTES 65536

static struct gnl_options opening;
static int64_t grace = 5000000000;

static const struct option options[] = {
    { "grace", "TIME", &grace, parse_duration, A_DURATION,
      "told to stop, wait so long for the commands, then end them (5s)" },
    PIPE_OPTIONS(opening),
    CONNECTIONS_OPTION(opening),
    { 0 },
};

static const struct usage usage = {
    .command = "serve",
    .operands = "ADDRESS -- COMMAND [ARGUMENT...]",
    .text = "Listens, and runs the command once for each who connects: each message is a line of\n"
            "its standard input, and each line that it writes is a message back. With --stream\n"
            "what goes to and fro is bytes.\n",
    .options = options,
    .takes_command = true,
};

struct connection {
    gnl_port *port;
    int input, output; /* the process's: what is written to it, read from it */
    gnl_process *process;
    size_t message_max;
};

static int stopping; /* readable once this is to end */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer;
static unsigned connections; /* under the lock */

/* ---- the process ---- */

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static int start(struct connection *connection, char *const command[])
{
    int to[2], from[2];

    int result = gnl_pipe(&to[0], &to[1]);
    if (result < 0)
        return result;
    result = gnl_pipe(&from[0], &from[1]);
    if (result < 0) {
        close_both(to);
        return result;
    }
    result = gnl_spawn(&connection->process, command,
                       &(struct gnl_spawn_options){ .standard = { { GNL_FD, to[0] }, { GNL_FD, from[1] } },
                                                    .tree = 1,
                                                    .die_with_parent = 1 });
    if (result < 0) {
        close_both(to);
        close_both(from);
        return result;
    }
    close(to[0]);
    close(from[1]);
    fcntl(to[1], F_SETFL, O_NONBLOCK); /* of this end alone */
    connection->input = to[1];
    connection->output = from[0];
    return 0;
}

/* ---- to and fro ---- */

/* Until the descriptor is ready; -1: none. False: the process has ended, or this is to end. */
static bool await(const struct connection *connection, int descriptor, short events)
{
    struct pollfd entries[3] = { { .fd = descriptor, .events = events },
                                 { .fd = gnl_process_fd(connection->process), .events = POLLIN },
                                 { .fd = stopping, .events = POLLIN } };

    while (poll(entries, 3, -1) < 0 && errno == EINTR)
        ;
    return entries[1].revents == 0 && entries[2].revents == 0;
}

/* False: the process reads no more, or this is to end. */
static bool write_all(const struct connection *connection, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(connection->input, data, size);
        if (written < 0 &&
            (errno == EINTR || (errno == EAGAIN && await(connection, connection->input, POLLOUT))))
            continue;
        if (written < 0)
            return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

/* The next message. False: none comes any more, or this is to end. */
static bool take(const struct connection *connection, gnl_message *message)
{
    int result;

    while ((result = gnl_take(connection->port, message, GNL_NOWAIT)) == -EAGAIN)
        if (!await(connection, gnl_port_fd(connection->port), POLLIN))
            return false;
    return result == 0;
}

/* What comes, until there is no more; then it is this thread that sees to the process's end in time. */
static void *bring(void *context)
{
    struct connection *connection = context;
    gnl_message message;
    bool reads = true;

    while (reads && take(connection, &message)) {
        reads = write_all(connection, message.data, message.size) &&
                (opening.stream || write_all(connection, "\n", 1));
        gnl_done(&message);
    }
    close(connection->input);
    await(connection, -1, 0);
    if (gnl_process_wait(connection->process, NULL, grace) == -ETIMEDOUT)
        gnl_process_terminate(connection->process, ASKED_NS, NULL);
    return NULL;
}

static void fetch_bytes(struct connection *connection)
{
    char data[BLOCK_BYTES];
    ssize_t size;

    while ((size = read(connection->output, data, sizeof data)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0 && gnl_send(connection->port, data, (size_t)size, GNL_FOREVER) < 0)
            return;
}

static void fetch_lines(struct connection *connection)
{
    struct framing_reader reader;
    const char *data;
    size_t size;
    int result;

    framing_reader_init(&reader, connection->output, FRAMING_LINES, connection->message_max);
    /* What the process writes after this was told to end goes back, too. */
    while ((result = framing_read(&reader, &data, &size)) > 0 || result == -EINTR)
        if (result > 0 && gnl_send(connection->port, data, size, GNL_FOREVER) < 0)
            break;
    if (result == -EMSGSIZE)
        complain("a line is longer than message_max of %zu bytes", connection->message_max);
    framing_reader_fini(&reader);
}

static void one_less(void)
{
    pthread_mutex_lock(&lock);
    connections--;
    pthread_cond_signal(&fewer);
    pthread_mutex_unlock(&lock);
}

/* A connection, from beginning to end. */
static void *attend(void *context)
{
    struct connection *connection = context;
    pthread_t bringer;

    int error = pthread_create(&bringer, NULL, bring, connection);
    if (error == 0 && opening.stream) {
        fetch_bytes(connection);
    } else if (error == 0) {
        fetch_lines(connection);
    } else {
        complain("cannot start a thread: %s", strerror(error));
        close(connection->input);
        gnl_process_terminate(connection->process, ASKED_NS, NULL);
    }
    /* The process writes no more: the conversation ends with it. */
    close(connection->output);
    gnl_finish(connection->port);
    gnl_process_wait(connection->process, NULL, GNL_FOREVER);
    if (error == 0)
        pthread_join(bringer, NULL);
    gnl_close(connection->port);
    gnl_process_free(connection->process);
    free(connection);
    one_less();
    return NULL;
}

/* False: it could not be done, and was said. */
static bool serve(gnl_port *port, char *const command[])
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct gnl_port_info info;
    sigset_t signals, before;
    pthread_t thread;
    int result = -ENOMEM;

    /* Its descriptor is made now, where there are some: later nobody could be told that there is none. */
    if (connection && (result = gnl_port_fd(port)) >= 0 && (result = gnl_port_info(port, &info)) == 0) {
        connection->port = port;
        connection->message_max = info.message_max;
        result = start(connection, command);
    }
    if (result < 0) {
        complain("cannot run '%s': %s", command[0], strerror(-result));
        free(connection);
        gnl_close(port);
        return result != -ENOENT && result != -EACCES && result != -ENOEXEC;
    }
    pthread_mutex_lock(&lock);
    connections++;
    pthread_mutex_unlock(&lock);
    interrupt_signals(&signals); /* are for the main thread */
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int error = pthread_create(&thread, NULL, attend, connection);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_detach(thread);
    else
        attend(connection); /* then one at a time */
    return true;
}

/* What the end of it needs. 0, or a negative errno value. */
static int prepare(void)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&fewer, &monotonic);
    pthread_condattr_destroy(&monotonic);
    stopping = eventfd(0, EFD_CLOEXEC);
    return stopping < 0 ? -errno : 0;
}

/* All conversations end, and their processes. Who does not take what it is sent is not waited for longer. */
static void end_all(void)
{
    int64_t until = now_ns() + grace + ASKED_NS + SPARE_NS;
    struct timespec deadline = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
    uint64_t one = 1;

    if (write(stopping, &one, sizeof one) < 0)
        return; /* then they end with this process */
    pthread_mutex_lock(&lock);
    while (connections > 0 && pthread_cond_timedwait(&fewer, &lock, &deadline) == 0)
        ;
    pthread_mutex_unlock(&lock);
}

static enum exit_status serve_all(struct accepting *accepting, char *const command[])
{
    enum exit_status status = EXIT_OK;
    gnl_port *port;

    while (interrupt_caught() == 0 && status == EXIT_OK) {
        int result = accepting_next(accepting, &port);
        if (result == -EAGAIN) {
            struct pollfd entry = { .fd = accepting_pauses(accepting) ? -1
                                                                      : gnl_listener_fd(accepting->listener),
                                    .events = POLLIN };
            poll(&entry, 1, SLICE_MS);
        } else if (result < 0) {
            status = failed(result);
        } else {
            accepting_lend(accepting);
            if (!serve(port, command))
                status = EXIT_FAILED;
            accepting_regain(accepting);
        }
    }
    return status;
}

int run_serve(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;
    struct accepting accepting;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (!arguments.command || !arguments.command[0])
        return usage_error("serve", "no command given: it comes after '--'");
    if (arguments.count != 1)
        return usage_error("serve", "one ADDRESS before '--', please: %d given", arguments.count);
    if (!addresses_good("serve", arguments.operands, 1))
        return EXIT_USAGE;
    port_listen = true;
    status = socket_options_check("serve", &opening);
    if (status != EXIT_OK)
        return status;
    if (!opening_waits(arguments.operands[0]))
        interrupt_catch();
    opening.stream = port_stream;
    int result = prepare();
    if (result < 0) {
        complain("no descriptor left: %s", strerror(-result));
        return EXIT_FAILED;
    }
    result = accepting_begin(&accepting, arguments.operands[0], &opening, ACCEPTING_SPARE);
    if (result < 0)
        return failed(result);
    if (opening_waits(arguments.operands[0]))
        interrupt_catch();
    status = serve_all(&accepting, arguments.command);
    accepting_end(&accepting);
    end_all();
    return interrupt_caught() != 0 ? (int)interrupt_die(interrupt_caught()) : (int)status;
}
