/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ginnel/timeouts.h>

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

int job_start(gnl_process **process, char *const command[], const gnl_message *message)
{
    char sender[64], deliveries[64];

    int input = file_of(message);
    if (input < 0)
        return input;
    snprintf(sender, sizeof sender, SENDER "%d", message->sender.pid);
    snprintf(deliveries, sizeof deliveries, DELIVERIES "%u", message->deliveries);
    char **environment = environment_with(sender, deliveries);
    int result = -ENOMEM;
    if (environment)
        result = gnl_spawn(process, command,
                           &(struct gnl_spawn_options){
                               .standard = { { GNL_FD, input } }, .environment = environment, .tree = 1 });
    free(environment);
    close(input);
    return result;
}

struct gnl_exit job_finish(gnl_process *process, int hurry)
{
    struct pollfd entries[2] = { { .fd = gnl_process_fd(process), .events = POLLIN },
                                 { .fd = hurry, .events = POLLIN } };
    struct gnl_exit exit = { .kind = GNL_GONE };

    while (poll(entries, 2, -1) < 0 && errno == EINTR)
        ;
    if (entries[0].revents == 0)
        gnl_process_terminate(process, GNL_FOREVER, &exit);
    gnl_process_wait(process, &exit, GNL_FOREVER);
    return exit;
}
