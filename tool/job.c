/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENDER     "GINNEL_SENDER_PID="
#define DELIVERIES "GINNEL_DELIVERIES="

static int write_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        data += written;
        size -= (size_t)written;
    }
    return lseek(descriptor, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* A file that holds the message: unlike a pipe it takes all of it, whether the command reads it or not. */
static int file_of(const gnl_message *message)
{
    int descriptor = memfd_create("ginnel-message", MFD_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    int result = write_all(descriptor, message->data, message->size);
    if (result < 0) {
        close(descriptor);
        return result;
    }
    return descriptor;
}

static bool is_ours(const char *variable)
{
    return strncmp(variable, SENDER, strlen(SENDER)) == 0 ||
           strncmp(variable, DELIVERIES, strlen(DELIVERIES)) == 0;
}

/* Our environment but for two variables: the caller frees the list, not what is in it. */
static char **environment_with(char *sender, char *deliveries)
{
    size_t count = 0, kept = 0;

    while (environ[count])
        count++;
    char **list = calloc(count + 3, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!is_ours(environ[i]))
            list[kept++] = environ[i];
    list[kept++] = sender;
    list[kept] = deliveries;
    return list;
}

static int spawn(pid_t *pid, char *const command[], char *const environment[], int input,
                 const sigset_t *mask)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return -error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (error == 0)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (error == 0)
        error = posix_spawnattr_setsigmask(&attributes, mask);
    if (error == 0)
        error = posix_spawnp(pid, command[0], &actions, &attributes, command, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

int job_start(pid_t *pid, char *const command[], const gnl_message *message, const sigset_t *mask)
{
    char sender[64], deliveries[64];

    int input = file_of(message);
    if (input < 0)
        return input;
    snprintf(sender, sizeof sender, SENDER "%d", message->sender.pid);
    snprintf(deliveries, sizeof deliveries, DELIVERIES "%u", message->deliveries);
    char **environment = environment_with(sender, deliveries);
    int result = environment ? spawn(pid, command, environment, input, mask) : -ENOMEM;
    free(environment);
    close(input);
    return result;
}

void job_wait(pid_t pid)
{
    siginfo_t ended;

    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
}

int job_reap(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}
