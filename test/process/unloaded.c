/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library as a part of something that is loaded and unloaded, a plugin: unloaded while a tree runs, it
 * leaves a keeper that goes on keeping, not one whose code is gone. Does not link with the library: it is
 * loaded from the path that is given.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ginnel/process.h>

#define check(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static char program[] = "cat";
static char *const arguments[] = { program, NULL };

int main(int argc, char **argv)
{
    int (*spawn)(gnl_process **, char *const[], const struct gnl_spawn_options *);
    static gnl_process *process;
    int ends[2];
    siginfo_t keeper;

    check(argc == 2);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    check(library);
    *(void **)&spawn = dlsym(library, "gnl_spawn");
    check(spawn);
    check(pipe(ends) == 0);
    check(spawn(&process, arguments,
                &(struct gnl_spawn_options){ .standard = { { GNL_FD, ends[0] }, { GNL_NULL, 0 } },
                                             .tree = 1,
                                             .die_with_parent = 1 }) == 0);
    check(dlclose(library) == 0);
    close(ends[0]);
    close(ends[1]); /* so it ends, and its keeper has something to do */
    alarm(60);
    while (waitid(P_ALL, 0, &keeper, WEXITED | __WALL) != 0)
        check(errno == EINTR);
    check(keeper.si_code == CLD_EXITED && keeper.si_status == 0);
    return 0;
}
