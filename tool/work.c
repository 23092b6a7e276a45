/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel work: a command for each message. A thread a job: each takes a message, starts the command,
 * waits for it, and ends the message by what the command says. The main thread waits for them, and
 * one more for signals: the first ends the taking, the second the commands too.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "accepting.h"
#include "arguments.h"
#include "clients.h"
#include "clock.h"
#include "commands.h"
#include "interrupt.h"
#include "job.h"
#include "mailbox_options.h"

#define JOBS_MAX GNL_HELD_MAX /* each holds a message */
#define SLICE_NS \
    ((int64_t)100000000) /* a wait in the library does not end with a signal: look for one so often */
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS   1000

static struct gnl_options opening = { .direction = GNL_RECV_ONLY };
static uint64_t jobs = 1;
static uint64_t count = UINT64_MAX;
static int64_t timeout = GNL_FOREVER;

static bool parse_jobs(const char *text, void *value)
{
    uint64_t number;

    if (!read_number(text, JOBS_MAX, &number) || number == 0)
        return false;
    *(uint64_t *)value = number;
    return true;
}

static const struct option options[] = {
    { "jobs", "N", &jobs, parse_jobs, "a number from 1 to 256", "run up to so many commands at a time (1)" },
    { "count", "N", &count, parse_count, A_COUNT, "end after so many commands" },
    { "timeout", "T", &timeout, parse_duration, A_DURATION,
      "end (exit 3) when no message comes for so long" },
    MAILBOX_OPTIONS(opening),
    CONNECTIONS_OPTION(opening),
    { 0 },
};

static const struct usage usage = {
    .command = "work",
    .operands = "ADDRESS -- COMMAND [ARGUMENT...]",
    .text = "Runs the command once for each message, with the message on its standard input.\n"
            "If it exits with 0 the message is done, else it is given back. Makes the mailbox\n"
            "if it is not there.\n",
    .options = options,
    .takes_command = true,
};

struct worker {
    struct source *source;
    char **command;
    sigset_t signals; /* those that stop it */
    int hurry;        /* readable once the commands shall end, too */
    pthread_mutex_t lock;
    /* under the lock */
    pthread_cond_t stopped;
    bool stopping;
    enum exit_status status; /* why it stops: the first reason counts */
    int signo;
    uint64_t left;     /* commands that may still be started */
    unsigned running;  /* commands */
    int64_t active_ns; /* when a command last started or ended */
    gnl_process *commands[JOBS_MAX];
};

struct job {
    struct worker *worker;
    pthread_t thread;
    unsigned number;
    unsigned failures; /* in a row */
};

/* ---- stopping ---- */

static void stop(struct worker *worker, enum exit_status status, int signo)
{
    pthread_mutex_lock(&worker->lock);
    if (!worker->stopping) {
        worker->stopping = true;
        worker->status = status;
        worker->signo = signo;
        pthread_cond_broadcast(&worker->stopped);
    }
    pthread_mutex_unlock(&worker->lock);
}

static void ask_commands(struct worker *worker)
{
    uint64_t one = 1;

    if (write(worker->hurry, &one, sizeof one) < 0)
        complain("cannot ask the commands to end: %s", strerror(errno));
}

static void kill_commands(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        if (worker->commands[i])
            gnl_process_terminate(worker->commands[i], 0, NULL);
    pthread_mutex_unlock(&worker->lock);
}

/* A thread until the end: first signal, no more messages; second, SIGTERM to the commands; then SIGKILL. */
static void *watch_signals(void *context)
{
    struct worker *worker = context;

    for (unsigned times = 1;; times++) {
        int signo;
        if (sigwait(&worker->signals, &signo) != 0)
            return NULL;
        if (times == 1)
            stop(worker, EXIT_OK, signo);
        else if (times == 2)
            ask_commands(worker);
        else
            kill_commands(worker);
    }
}

/* ---- how many are left ---- */

static bool goes_on(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool more = !worker->stopping && worker->left > 0;
    pthread_mutex_unlock(&worker->lock);
    return more;
}

/* May this job start one more command? Then one less may be started. */
static bool reserve(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool more = !worker->stopping && worker->left > 0;
    if (more)
        worker->left--;
    pthread_mutex_unlock(&worker->lock);
    return more;
}

/* ---- a message ---- */

/*
 * NULL: the message was given back, and the worker stops; or it goes on, as after a failure, where those who
 * have connected may have the descriptors that it takes.
 */
static gnl_process *start(struct job *job, gnl_message *message)
{
    struct worker *worker = job->worker;
    gnl_process *command = NULL;
    int result = 0;

    pthread_mutex_lock(&worker->lock);
    if (!worker->stopping) {
        source_lend(worker->source);
        result = job_start(&command, worker->command, message);
        source_regain(worker->source);
    }
    bool may_do_later = (result == -EMFILE || result == -ENFILE) && !source_port(worker->source);
    worker->left += may_do_later;
    if (command) {
        worker->commands[job->number] = command;
        worker->running++;
        worker->active_ns = now_ns();
    }
    pthread_mutex_unlock(&worker->lock);
    if (result < 0) {
        complain("cannot run '%s': %s; message given back", worker->command[0], strerror(-result));
        job->failures++;
    }
    if (result < 0 && !may_do_later)
        stop(worker, EXIT_FAILED, 0);
    if (!command)
        gnl_giveback(message);
    return command;
}

static struct gnl_exit finish(struct job *job, gnl_process *command)
{
    struct worker *worker = job->worker;

    struct gnl_exit exit = job_finish(command, worker->hurry);
    pthread_mutex_lock(&worker->lock);
    worker->commands[job->number] = NULL;
    worker->running--;
    worker->active_ns = now_ns();
    pthread_mutex_unlock(&worker->lock);
    gnl_process_free(command);
    return exit;
}

static int64_t pause_ms(unsigned failures)
{
    unsigned doublings = failures - 1 < 10 ? failures - 1 : 10;
    int64_t pause = (int64_t)PAUSE_FIRST_MS << doublings;

    return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

static void tell_failure(struct job *job, const struct gnl_exit *exit, unsigned deliveries)
{
    char how[64], next[64] = "";

    if (exit->kind == GNL_EXITED)
        snprintf(how, sizeof how, "exit status %d", exit->code);
    else if (exit->kind == GNL_SIGNALLED)
        snprintf(how, sizeof how, "ended by signal %d", exit->signo);
    else
        snprintf(how, sizeof how, "ended, and nobody knows how");
    if (goes_on(job->worker))
        snprintf(next, sizeof next, ", pausing %" PRId64 " ms", pause_ms(job->failures));
    complain("%s: %s; message given back after delivery %u%s", job->worker->command[0], how, deliveries,
             next);
}

/* The command for a message that was taken. */
static void process(struct job *job, gnl_message *message)
{
    unsigned deliveries = message->deliveries;
    gnl_process *command = start(job, message);

    if (!command)
        return;
    struct gnl_exit exit = finish(job, command);
    bool good = exit.kind == GNL_EXITED && exit.code == 0;
    int result = good ? gnl_done(message) : gnl_giveback(message);
    if (result < 0)
        stop(job->worker, failed(result), 0);
    job->failures = good ? 0 : job->failures + 1;
    if (!good)
        tell_failure(job, &exit, deliveries);
}

/* ---- a job ---- */

/* After failures: a message that always fails would keep the machine busy. */
static void pause_after_failures(struct job *job)
{
    struct worker *worker = job->worker;
    int64_t until = now_ns() + pause_ms(job->failures) * 1000000;
    struct timespec deadline = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };

    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping && pthread_cond_timedwait(&worker->stopped, &worker->lock, &deadline) == 0)
        ;
    pthread_mutex_unlock(&worker->lock);
}

/* No message came. Has none come for too long, with nobody at work? */
static void unreserve(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->left++;
    bool idle = timeout != GNL_FOREVER && worker->running == 0 && now_ns() - worker->active_ns >= timeout;
    pthread_mutex_unlock(&worker->lock);
    if (idle)
        stop(worker, EXIT_WOULD_BLOCK, 0);
}

/* How long to wait for a message before looking what else has happened. */
static int64_t slice(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    int64_t left =
        timeout == GNL_FOREVER || worker->running > 0 ? SLICE_NS : timeout - (now_ns() - worker->active_ns);
    pthread_mutex_unlock(&worker->lock);
    if (left < 0)
        return GNL_NOWAIT;
    return left < SLICE_NS ? left : SLICE_NS;
}

static void *do_job(void *context)
{
    struct job *job = context;
    struct worker *worker = job->worker;

    while (reserve(worker)) {
        gnl_message message;
        if (job->failures > 0)
            pause_after_failures(job);
        int result = (int)source_take(worker->source, &message, 1, slice(worker));
        if (result > 0)
            process(job, &message);
        else {
            unreserve(worker);
            if (status_of(result) != EXIT_WOULD_BLOCK)
                stop(worker, failed_on(source_port(worker->source), result), 0);
        }
    }
    return NULL;
}

/* ---- the worker ---- */

static enum exit_status run(struct worker *worker)
{
    static struct job list[JOBS_MAX];
    pthread_t watcher;
    unsigned started = 0;

    int error = pthread_create(&watcher, NULL, watch_signals, worker);
    for (; error == 0 && started < jobs; started++) {
        list[started] = (struct job){ .worker = worker, .number = started };
        error = pthread_create(&list[started].thread, NULL, do_job, &list[started]);
        if (error != 0)
            break;
    }
    if (error != 0) {
        complain("cannot start a thread: %s", strerror(error));
        stop(worker, EXIT_FAILED, 0);
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(list[i].thread, NULL);
    source_close(worker->source);
    return worker->signo != 0 ? interrupt_die(worker->signo) : worker->status;
}

int run_work(int argc, char **argv)
{
    static struct worker worker = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct arguments arguments;
    pthread_condattr_t monotonic;
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (!arguments.command || !arguments.command[0])
        return usage_error("work", "no command given: it comes after '--'");
    if (arguments.count != 1)
        return usage_error("work", "one ADDRESS before '--', please: %d given", arguments.count);
    if (!addresses_good("work", arguments.operands, 1))
        return EXIT_USAGE;
    status = socket_options_check("work", &opening);
    if (status != EXIT_OK)
        return status;
    opening.stream = port_stream;
    int result = source_open(&worker.source, arguments.operands[0], &opening, ACCEPTING_SPARE);
    if (result < 0)
        return failed(result);
    worker.hurry = eventfd(0, EFD_CLOEXEC);
    if (worker.hurry < 0) {
        complain("no descriptor left: %s", strerror(errno));
        source_close(worker.source);
        return EXIT_FAILED;
    }
    worker.command = arguments.command;
    worker.left = count;
    worker.active_ns = now_ns();
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker.stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    interrupt_signals(&worker.signals);
    pthread_sigmask(SIG_BLOCK, &worker.signals, NULL);
    return run(&worker);
}
