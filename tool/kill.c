/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel kill: ends processes, or their trees, and tells what became of each. Whoever is meant is held by a
 * handle before anything is done, and looked at again behind it: a number that somebody else has got since is
 * left alone.
 */
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "clock.h"
#include "commands.h"
#include "printable.h"
#include "quantities.h"

#define NAME_BYTES 16 /* of a command, as the kernel keeps it */

static int64_t grace = 5000000000;
static bool tree, exact, pattern, yes, json;

static const struct option options[] = {
    { "exact", NULL, &exact, NULL, NULL, "a NAME is a command's, the whole of it" },
    { "grace", "TIME", &grace, parse_duration, A_DURATION,
      "between SIGTERM and SIGKILL (5s); 0: SIGKILL at once" },
    { "json", NULL, &json, NULL, NULL, "print objects" },
    { "pattern", NULL, &pattern, NULL, NULL, "a NAME is a regular expression that commands' names match" },
    { "tree", NULL, &tree, NULL, NULL, "with all that descends from each" },
    { "yes", NULL, &yes, NULL, NULL, "do not ask before a NAME hits more than one" },
    { 0 },
};

static const struct usage usage = {
    .command = "kill",
    .operands = "PID|NAME...",
    .text =
        "Ends processes: SIGTERM, and SIGKILL to those that are left after a while. Tells what became of\n"
        "each. A NAME is an identity, NAME or /NAME, of a process that uses direct links.\n",
    .options = options,
};

/* One that is meant. */
struct target {
    gnl_process *process;
    char name[NAME_BYTES];
};

struct targets {
    struct target *list;
    size_t count;
    bool by_name; /* not all were given by their number */
};

static bool read_name(pid_t pid, char name[NAME_BYTES])
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *file = fopen(path, "re");
    bool read = file && fgets(name, NAME_BYTES, file);
    if (file)
        fclose(file);
    if (read)
        name[strcspn(name, "\n")] = '\0';
    return read;
}

static bool add(struct targets *targets, gnl_process *process, const char *name)
{
    struct target *grown = reallocarray(targets->list, targets->count + 1, sizeof *grown);

    if (!grown) {
        gnl_process_free(process);
        complain("out of memory");
        return false;
    }
    targets->list = grown;
    grown[targets->count].process = process;
    snprintf(grown[targets->count++].name, NAME_BYTES, "%s", name);
    return true;
}

static bool is_known(const struct targets *targets, pid_t pid)
{
    for (size_t i = 0; i < targets->count; i++)
        if (gnl_process_pid(targets->list[i].process) == pid)
            return true;
    return false;
}

/* ---- by number ---- */

static enum exit_status add_number(struct targets *targets, pid_t pid)
{
    char name[NAME_BYTES] = "?";
    gnl_process *process;

    if (is_known(targets, pid))
        return EXIT_OK;
    int result = gnl_process_open(&process, pid);
    if (result < 0)
        return failed(result);
    read_name(pid, name);
    return add(targets, process, name) ? EXIT_OK : EXIT_FAILED;
}

/* ---- by identity ---- */

static enum exit_status add_identity(struct targets *targets, const char *identity)
{
    struct gnl_participant one, again;
    struct gnl_port_info info;
    char address[GNL_ADDRESS_MAX + 1];

    int length = snprintf(address, sizeof address, "direct:%s", identity);
    if (length < 0 || length > GNL_ADDRESS_MAX)
        return usage_error("kill", "'%.40s...' is no name", identity);
    ssize_t result = gnl_inspect(address, &info, &one, 1);
    if (result == -ENOENT) {
        complain("no process has the identity '%s'; if it is a command's name, say --exact", identity);
        return EXIT_FAILED;
    }
    if (result < 0)
        return failed((int)result);
    if (result == 0 || !one.alive || !one.same_pid_namespace) {
        complain("identity '%s': no process that can be seen from here has it", identity);
        return EXIT_FAILED;
    }
    enum exit_status status = add_number(targets, one.pid);
    /* Behind the handle: it has the name still, so it is the same. */
    if (status == EXIT_OK &&
        (gnl_inspect(address, &info, &again, 1) != 1 || !again.alive || again.pid != one.pid)) {
        complain("identity '%s': it has just ended", identity);
        return EXIT_FAILED;
    }
    targets->by_name = true;
    return status;
}

/* ---- by the command's name ---- */

static bool matches(const char *name, const char *word, const regex_t *expression)
{
    if (expression)
        return regexec(expression, name, 0, NULL, 0) == 0;
    return strncmp(name, word, NAME_BYTES - 1) == 0;
}

static bool add_if_it_matches(struct targets *targets, pid_t pid, const char *word, const regex_t *expression)
{
    char name[NAME_BYTES];
    gnl_process *process;

    if (pid == getpid() || is_known(targets, pid) || !read_name(pid, name) ||
        !matches(name, word, expression) || gnl_process_open(&process, pid) < 0)
        return true;
    if (!read_name(pid, name) || !matches(name, word, expression)) {
        gnl_process_free(process);
        return true;
    }
    return add(targets, process, name);
}

static enum exit_status add_commands(struct targets *targets, const char *word)
{
    size_t before = targets->count;
    struct dirent *entry;
    regex_t expression;
    bool good = true;

    if (pattern && regcomp(&expression, word, REG_EXTENDED | REG_NOSUB) != 0)
        return usage_error("kill", "'%s' is no regular expression", word);
    DIR *proc = opendir("/proc");
    while (good && proc && (entry = readdir(proc))) {
        uint64_t pid;
        if (read_number(entry->d_name, INT32_MAX, &pid))
            good = add_if_it_matches(targets, (pid_t)pid, word, pattern ? &expression : NULL);
    }
    if (proc)
        closedir(proc);
    if (pattern)
        regfree(&expression);
    targets->by_name = true;
    if (good && targets->count > before)
        return EXIT_OK;
    if (good)
        complain("no command's name %s '%s'", pattern ? "matches" : "is", word);
    return EXIT_FAILED;
}

/* ---- asking ---- */

static bool agreed(const struct targets *targets)
{
    char answer[16];

    if (yes || !targets->by_name || targets->count < 2)
        return true;
    if (!isatty(STDIN_FILENO)) {
        complain("that would be %zu processes: give their numbers, or --yes", targets->count);
        return false;
    }
    for (size_t i = 0; i < targets->count; i++)
        fprintf(stderr, "%d %s\n", gnl_process_pid(targets->list[i].process), targets->list[i].name);
    fprintf(stderr, "End these %zu processes%s? [y/N] ", targets->count, tree ? " and their trees" : "");
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- ending ---- */

static const char *word_of(int fate)
{
    return fate == GNL_FATE_EXITED ? "exited" : fate == GNL_FATE_KILLED ? "killed" : "escaped";
}

static void print_fate(struct json_object *list, const struct gnl_fate *fate, pid_t root)
{
    char name[NAME_BYTES];

    snprintf(name, sizeof name, "%s", fate->name);
    make_printable(name);
    if (!list) {
        printf("%d %s: %s\n", fate->pid, name, word_of(fate->kind));
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "pid", json_object_new_int(fate->pid));
    json_object_object_add(object, "name", json_object_new_string(name));
    json_object_object_add(object, "fate", json_object_new_string(word_of(fate->kind)));
    json_object_object_add(object, "tree_of", json_object_new_int(root));
    json_object_array_add(list, object);
}

static enum exit_status print_fates(struct json_object *list, const struct target *target)
{
    pid_t root = gnl_process_pid(target->process);
    ssize_t count = gnl_process_fates(target->process, NULL, 0);
    struct gnl_fate *fates = count > 0 ? calloc((size_t)count, sizeof *fates) : NULL;

    if (count > 0 && !fates) {
        complain("out of memory");
        return EXIT_FAILED;
    }
    count = gnl_process_fates(target->process, fates, (size_t)(count > 0 ? count : 0));
    for (ssize_t i = 0; fates && i < count; i++) {
        if (i == 0) /* the library need not know what was opened */
            snprintf(fates[i].name, sizeof fates[i].name, "%s", target->name);
        print_fate(list, &fates[i], root);
    }
    free(fates);
    return EXIT_OK;
}

/* All are asked at once, so that they share the grace. A tree is asked whole, in its turn. */
static enum exit_status end_all(const struct targets *targets, struct json_object *list)
{
    enum exit_status status = EXIT_OK;

    for (size_t i = 0; i < targets->count && grace != 0 && !tree; i++)
        gnl_process_signal(targets->list[i].process, SIGTERM, 0);
    int64_t end = now_ns() + grace;
    for (size_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->list[i];
        int64_t left = tree || grace == 0 ? grace : end - now_ns();
        if (tree)
            gnl_process_set_tree(target->process);
        int result = gnl_process_terminate(target->process, grace != 0 && left <= 0 ? 1 : left, NULL);
        if (result < 0)
            status = failed(result);
        if (print_fates(list, target) != EXIT_OK)
            status = EXIT_FAILED;
    }
    return status;
}

static enum exit_status find(struct targets *targets, const char *word)
{
    uint64_t pid;

    if (exact || pattern)
        return add_commands(targets, word);
    if (word[0] >= '0' && word[0] <= '9' && read_number(word, INT32_MAX, &pid))
        return add_number(targets, (pid_t)pid);
    return add_identity(targets, word);
}

int run_kill(int argc, char **argv)
{
    struct targets targets = { 0 };
    struct arguments arguments;
    enum exit_status status;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count == 0)
        return usage_error("kill", "which process? a PID or a NAME");
    if (exact && pattern)
        return usage_error("kill", "--exact or --pattern, not both");
    status = EXIT_OK;
    for (int i = 0; i < arguments.count && status != EXIT_USAGE; i++) {
        enum exit_status found = find(&targets, arguments.operands[i]);
        status = found != EXIT_OK ? found : status;
    }
    /* One that is not there does not keep the others. */
    if (status != EXIT_USAGE && targets.count > 0) {
        struct json_object *list = json ? json_object_new_array() : NULL;
        enum exit_status ended = agreed(&targets) ? end_all(&targets, list) : EXIT_FAILED;
        status = ended != EXIT_OK ? ended : status;
        if (list)
            puts(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
        json_object_put(list);
    }
    for (size_t i = 0; i < targets.count; i++)
        gnl_process_free(targets.list[i].process);
    free(targets.list);
    return finish_output(status);
}
