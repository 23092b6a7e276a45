/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char base[] = "/dev/shm/ginnel-test-XXXXXX";
static char directory[sizeof base + 32];
static int descriptors_before;

const char *support_directory(void)
{
    return directory;
}

static int count_entries(const char *path)
{
    DIR *stream = opendir(path);
    int count = 0;

    if (!stream)
        return -1;
    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

/* Mappings of files in the test's runtime directory. */
static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[PATH_MAX + 128];
    int count = 0;

    while (maps && fgets(line, sizeof line, maps))
        count += strstr(line, directory) != NULL;
    if (maps)
        fclose(maps);
    return count;
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s/XXXXXX", base); /* a pid may come twice in one program */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(setenv("GINNEL_DIR", directory, 1), 0);
    descriptors_before = count_entries("/proc/self/fd");
}

static void tear_down(void)
{
    ck_assert_msg(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "the test leaves a child");
    ck_assert_msg(count_mappings() == 0, "the test leaves %d mappings", count_mappings());
    ck_assert_msg(count_entries("/proc/self/fd") == descriptors_before,
                  "the test leaves descriptors: %d, not %d", count_entries("/proc/self/fd"),
                  descriptors_before);
    char claims[PATH_MAX + 16];
    snprintf(claims, sizeof claims, "%s/.claims", directory);
    unlink(claims); /* where identities were claimed: it stays for those to come */
    ck_assert_msg(count_entries(directory) == 2, "the test leaves files in its runtime directory");
}

TCase *support_case(Suite *suite, const char *name)
{
    TCase *test_case = tcase_create(name);

    tcase_add_checked_fixture(test_case, set_up, tear_down);
    tcase_set_timeout(test_case, PATIENCE_S);
    suite_add_tcase(suite, test_case);
    return test_case;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

int support_run(Suite *suite)
{
    if (!mkdtemp(base)) {
        perror(base);
        return 1;
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    int run = srunner_ntests_run(runner);
    srunner_free(runner);
    nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed == 0 && run > 0 ? 0 : 1;
}

pid_t support_fork(int (*run)(void *context), void *context)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        _exit(run(context));
    }
    return child;
}

static int wait_for(pid_t child)
{
    int status;

    for (int waited = 0; waited < PATIENCE_MS; waited++) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        ck_assert_msg(ended >= 0, "waitpid: %s", strerror(errno));
        if (ended == child)
            return status;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_abort_msg("child %d hangs", (int)child);
}

void support_expect_exit(pid_t child, int expected)
{
    int status = wait_for(child);

    ck_assert_msg(WIFEXITED(status), "the child was killed by signal %d", WTERMSIG(status));
    ck_assert_int_eq(WEXITSTATUS(status), expected);
}

void support_expect_signal(pid_t child, int signo)
{
    int status = wait_for(child);

    ck_assert_msg(WIFSIGNALED(status), "the child exited with %d", WEXITSTATUS(status));
    ck_assert_int_eq(WTERMSIG(status), signo);
}

void support_kill(pid_t child)
{
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    support_expect_signal(child, SIGKILL);
}

void support_stop(pid_t child)
{
    int status;

    ck_assert_int_eq(kill(child, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
    ck_assert(WIFSTOPPED(status));
}

struct gate support_gate(void)
{
    struct gate gate;

    ck_assert_int_eq(pipe(gate.ends), 0);
    return gate;
}

void support_gate_open(struct gate *gate)
{
    require(write(gate->ends[1], "", 1) == 1);
}

void support_gate_wait(struct gate *gate)
{
    struct pollfd entry = { .fd = gate->ends[0], .events = POLLIN };
    char byte;

    while (poll(&entry, 1, PATIENCE_MS) < 0)
        require(errno == EINTR);
    require((entry.revents & POLLIN) && read(gate->ends[0], &byte, 1) == 1);
}

void support_gate_close(struct gate *gate)
{
    close(gate->ends[0]);
    close(gate->ends[1]);
}

bool support_until(bool (*condition)(void *context), void *context)
{
    for (int waited = 0; waited < PATIENCE_MS / 2; waited++) {
        if (condition(context))
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
    }
    return false;
}

static bool asleep(void *context)
{
    char path[64], line[512];

    snprintf(path, sizeof path, "/proc/%d/stat", *(pid_t *)context);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool sleeping = fgets(line, sizeof line, file) && strrchr(line, ')') && strrchr(line, ')')[2] == 'S';
    fclose(file);
    return sleeping;
}

bool support_sleeps(pid_t process)
{
    return support_until(asleep, &process);
}
