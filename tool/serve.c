/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel serve: a process for each who connects, whose standard input and output are the connection. Two
 * threads a connection: what comes goes to the process, and what it writes goes back. In message mode that
 * is a message a line.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "commands.h"
#include "framing.h"
#include "interrupt.h"
#include "mailbox_options.h"

#define SLICE_NS    ((int64_t)100000000) /* a wait in the library does not end with a signal */
#define BLOCK_BYTES 65536

static struct gnl_options opening;

static const struct option options[] = {
    PIPE_OPTIONS(opening),
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
    pid_t pid;
    size_t message_max;
};

/* ---- the process ---- */

static int spawn(struct connection *connection, char *const command[], int input, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;

    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return -error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    interrupt_signals(&all);
    sigaddset(&all, SIGPIPE);
    error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (error == 0)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnp(&connection->pid, command[0], &actions, &attributes, command, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

static void close_both(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static int start(struct connection *connection, char *const command[])
{
    int to[2], from[2];

    if (pipe2(to, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(from, O_CLOEXEC) != 0) {
        int error = errno;
        close_both(to);
        return -error;
    }
    int result = spawn(connection, command, to[0], from[1]);
    if (result < 0) {
        close_both(to);
        close_both(from);
        return result;
    }
    close(to[0]);
    close(from[1]);
    connection->input = to[1];
    connection->output = from[0];
    return 0;
}

/* ---- to and fro ---- */

static bool write_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, data, size);
        if (written < 0 && errno == EINTR && interrupt_caught() == 0)
            continue;
        if (written < 0)
            return false; /* it reads no more */
        data += written;
        size -= (size_t)written;
    }
    return true;
}

/* What comes, until the other has finished or the process reads no more. */
static void *bring(void *context)
{
    struct connection *connection = context;
    gnl_message message;
    bool reads = true;

    while (reads) {
        int result = gnl_take(connection->port, &message, GNL_FOREVER);
        if (result < 0)
            break;
        reads = write_all(connection->input, message.data, message.size) &&
                (opening.stream || write_all(connection->input, "\n", 1));
        gnl_done(&message);
    }
    close(connection->input);
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
    while ((result = framing_read(&reader, &data, &size)) > 0)
        if (gnl_send(connection->port, data, size, GNL_FOREVER) < 0)
            break;
    if (result == -EMSGSIZE)
        complain("a line is longer than message_max of %zu bytes", connection->message_max);
    framing_reader_fini(&reader);
}

/* A connection, from beginning to end. */
static void *attend(void *context)
{
    struct connection *connection = context;
    pthread_t bringer;

    int error = pthread_create(&bringer, NULL, bring, connection);
    if (error == 0 && opening.stream)
        fetch_bytes(connection);
    else if (error == 0)
        fetch_lines(connection);
    else
        complain("cannot start a thread: %s", strerror(error));
    /* The process writes no more: the conversation ends with it. */
    close(connection->output);
    gnl_finish(connection->port);
    while (waitpid(connection->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    gnl_close(connection->port); /* which ends the bringing */
    if (error == 0)
        pthread_join(bringer, NULL);
    else
        close(connection->input);
    free(connection);
    return NULL;
}

/* False: it could not be done, and was said. */
static bool serve(gnl_port *port, char *const command[])
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct gnl_port_info info;
    pthread_t thread;
    int result = -ENOMEM;

    if (connection && (result = gnl_port_info(port, &info)) == 0) {
        connection->port = port;
        connection->message_max = info.message_max;
        result = start(connection, command);
    }
    if (result < 0) {
        complain("cannot run '%s': %s", command[0], strerror(-result));
        free(connection);
        gnl_close(port);
        return result != -ENOENT && result != -EACCES;
    }
    int error = pthread_create(&thread, NULL, attend, connection);
    if (error == 0) {
        pthread_detach(thread);
        return true;
    }
    attend(connection); /* then one at a time */
    return true;
}

int run_serve(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;
    gnl_listener *listener;
    gnl_port *port;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (!arguments.command || !arguments.command[0])
        return usage_error("serve", "no command given: it comes after '--'");
    if (arguments.count != 1)
        return usage_error("serve", "one ADDRESS before '--', please: %d given", arguments.count);
    if (!addresses_good("serve", arguments.operands, 1))
        return EXIT_USAGE;
    interrupt_catch();
    opening.stream = port_stream;
    int result = gnl_listen(&listener, arguments.operands[0], &opening);
    if (result < 0)
        return failed(result);
    tell_address(listener, arguments.operands[0]);
    status = EXIT_OK;
    while (interrupt_caught() == 0 && status == EXIT_OK) {
        result = gnl_accept(listener, &port, SLICE_NS);
        if (result == 0 && !serve(port, arguments.command))
            status = EXIT_FAILED;
        else if (result == -EMFILE || result == -ENFILE || result == -ENOMEM)
            usleep(SLICE_NS / 1000); /* who has connected waits until there are some again */
        else if (result < 0 && result != -ETIMEDOUT)
            status = failed(result);
    }
    gnl_listener_close(listener);
    return interrupt_caught() != 0 ? (int)interrupt_die(interrupt_caught()) : (int)status;
}
