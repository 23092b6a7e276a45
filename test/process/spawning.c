/* SPDX-License-Identifier: Apache-2.0 */
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

void play_part(const struct part *parts, int argc, char **argv)
{
    for (; argc > 1 && parts->name; parts++)
        if (strcmp(parts->name, argv[1]) == 0)
            exit(parts->play(argv + 2));
}

int try_spawn(gnl_process **process, const char *const argv[], const struct gnl_spawn_options *options)
{
    return gnl_spawn(process, (char *const *)(uintptr_t)argv, options);
}

gnl_process *spawn(const char *const argv[], const struct gnl_spawn_options *options)
{
    gnl_process *process = NULL;

    int result = try_spawn(&process, argv, options);
    require(result == 0);
    return process;
}

struct gnl_exit finish(gnl_process *process)
{
    struct gnl_exit end;

    require(gnl_process_wait(process, &end, PATIENCE) == 0);
    require(gnl_process_free(process) == 0);
    return end;
}

const char *output_of(const char *const argv[], struct gnl_spawn_options options)
{
    static char text[4096];
    size_t length = 0;
    ssize_t size;
    int from, to;

    require(gnl_pipe(&from, &to) == 0);
    options.standard[1] = (struct gnl_stdio){ GNL_FD, to };
    gnl_process *process = spawn(argv, &options);
    close(to);
    while ((size = read(from, text + length, sizeof text - 1 - length)) > 0 || (size < 0 && errno == EINTR))
        length += size > 0 ? (size_t)size : 0;
    require(size == 0);
    text[length] = '\0';
    close(from);
    struct gnl_exit end = finish(process);
    require(end.kind == GNL_EXITED && end.code == 0);
    return text;
}

bool read_byte(int descriptor)
{
    struct pollfd entry = { .fd = descriptor, .events = POLLIN };
    char byte;

    while (poll(&entry, 1, PATIENCE_MS) < 0)
        require(errno == EINTR);
    require(entry.revents != 0);
    return read(descriptor, &byte, 1) == 1;
}

bool ends_soon(int descriptor)
{
    while (read_byte(descriptor))
        ;
    return true;
}

struct gnl_spawn_options holding(int end, struct gnl_spawn_options options)
{
    static struct gnl_descriptor held;

    held = (struct gnl_descriptor){ HELD, end };
    options.descriptors = &held;
    options.descriptor_count = 1;
    return options;
}

gnl_process *start_family(int *from, const char *text, struct gnl_spawn_options options)
{
    int to;

    require(gnl_pipe(from, &to) == 0);
    options = holding(to, options);
    gnl_process *process = spawn(SHELL(text), &options);
    close(to);
    require(read_byte(*from));
    return process;
}

pid_t find_keeper(void)
{
    char text[64] = "";
    int file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);

    require(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    return atoi(text);
}

bool runs(pid_t pid)
{
    gnl_process *process;

    if (gnl_process_open(&process, pid) < 0)
        return false;
    bool runs = gnl_process_wait(process, NULL, GNL_NOWAIT) == -EAGAIN;
    gnl_process_free(process);
    return runs;
}

void expect_no_children(void)
{
    require(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
}

int play_bomb(char **arguments)
{
    bool sessions = arguments[0] && strcmp(arguments[0], "sessions") == 0;

    signal(SIGTERM, SIG_IGN);
    for (time_t start = time(NULL); time(NULL) - start < PATIENCE_S;)
        if (fork() == 0 && sessions)
            setsid();
    return 0;
}

bool is_limited(int most)
{
    pid_t *children = calloc((size_t)most, sizeof *children);
    int count = 0;

    require(children);
    while (count < most && (children[count] = fork()) >= 0) {
        if (children[count] == 0) {
            pause();
            _exit(0);
        }
        count++;
    }
    for (int i = 0; i < count; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    free(children);
    return count < most;
}

bool cannot_fork(void *context)
{
    (void)context;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child < 0;
}
