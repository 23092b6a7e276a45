/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ginnel segment: makes, shows, reads, writes, watches and removes segments by name. What is read is a
 * consistent copy; what is written is written under the segment's lock, and read to its end before that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "arguments.h"
#include "clock.h"
#include "commands.h"
#include "look.h"
#include "mailbox_options.h"

#define LOOK_NS gnl_s(1) /* how often watch asks whether the segment was removed */

static bool json;
static mode_t mode;
static uint64_t offset;
static size_t size;
static uint64_t count;
static int64_t timeout = GNL_FOREVER;

static bool parse_offset(const char *text, void *value)
{
    size_t bytes = 0;

    if (strcmp(text, "0") != 0 && !parse_size(text, &bytes))
        return false;
    *(uint64_t *)value = bytes;
    return true;
}

static const struct option options[] = {
    { "mode", "MODE", &mode, parse_mode, "an octal mode such as 0600", "create: who may attach it (0600)" },
    { "offset", "BYTES", &offset, parse_offset, A_SIZE, "read, write: where to begin (0)" },
    { "size", "BYTES", &size, parse_size, A_SIZE, "read: how much (all that follows)" },
    { "count", "N", &count, parse_count, A_COUNT, "watch: end after so many changes" },
    { "timeout", "TIME", &timeout, parse_duration, A_DURATION,
      "read, write, watch: wait no longer for its writers, for a change" },
    { "json", NULL, &json, NULL, NULL, "info, watch: print objects" },
    { 0 },
};

static const struct usage usage = {
    .command = "segment",
    .operands = "create NAME SIZE | info NAME | read NAME | write NAME [FILE] | watch NAME | rm NAME...",
    .text = "Memory that processes share, by name: NAME is yours, /NAME machine-wide.\n"
            "  create  makes one of SIZE bytes, all zeros\n"
            "  info    shows it, and who has it attached\n"
            "  read    writes a consistent copy of its bytes to standard output\n"
            "  write   puts FILE, or standard input, into it, under its lock\n"
            "  watch   prints its version each time that it changes\n"
            "  rm      removes the name; whoever has it attached goes on\n",
    .options = options,
};

/* A name, or the address of one. */
static const char *name_of(const char *text)
{
    return strncmp(text, "segment:", 8) == 0 ? text + 8 : text;
}

/* "segment:NAME"; true if it is one. */
static bool address_of(char address[GNL_ADDRESS_MAX + 1], const char *text)
{
    int length = snprintf(address, GNL_ADDRESS_MAX + 1, "segment:%s", name_of(text));

    return length >= 0 && length <= GNL_ADDRESS_MAX && gnl_address_check(address) == 0;
}

static enum exit_status create(char **operands)
{
    struct gnl_segment_options making = { .mode = mode, .create = GNL_CREATE_ONLY };
    gnl_segment *segment;
    size_t bytes;

    if (!parse_size(operands[1], &bytes))
        return usage_error("segment", "'%s' is not %s", operands[1], A_SIZE);
    int result = gnl_segment_create(&segment, name_of(operands[0]), bytes, &making);
    if (result == 0)
        result = gnl_segment_detach(segment);
    return result < 0 ? failed(result) : EXIT_OK;
}

/* What stat shows of it. */
static enum exit_status info(char **operands)
{
    char address[GNL_ADDRESS_MAX + 1], flag[] = "--json", *words[2] = { address, flag };

    address_of(address, operands[0]);
    return (enum exit_status)run_stat(json ? 2 : 1, words);
}

static enum exit_status write_all(const char *data, size_t length)
{
    if (fwrite(data, 1, length, stdout) != length)
        return finish_output(EXIT_FAILED);
    return finish_output(EXIT_OK);
}

static enum exit_status read_copy(gnl_segment *segment)
{
    size_t all = gnl_segment_size(segment);

    if (offset > all || (size > 0 && size > all - offset)) {
        complain("it has %zu bytes: there are none from %" PRIu64 " to %" PRIu64, all, offset, offset + size);
        return EXIT_FAILED;
    }
    size_t length = size > 0 ? size : all - offset;
    char *copy = malloc(length + 1);
    if (!copy) {
        complain("no memory for a copy of %zu bytes", length);
        return EXIT_FAILED;
    }
    int result = gnl_segment_snapshot(segment, offset, copy, length, timeout);
    enum exit_status status = result < 0 ? failed(result) : write_all(copy, length);
    free(copy);
    if (result == GNL_OWNER_DIED) {
        complain("a writer died inside: what was read may be half-changed");
        status = EXIT_FAILED;
    }
    return status;
}

/* Reads the file to its end; it is longer than `room`: -EMSGSIZE, or an errno value. */
static ssize_t read_file(int file, char *data, size_t room)
{
    size_t length = 0;
    ssize_t got;

    while ((got = read(file, data + length, room + 1 - length)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        length += (size_t)got;
        if (length > room)
            return -EMSGSIZE;
    }
    return (ssize_t)length;
}

static enum exit_status put(gnl_segment *segment, const char *data, size_t length)
{
    int result = gnl_segment_lock(segment, timeout);

    if (result < 0)
        return failed(result);
    if (result == GNL_OWNER_DIED)
        complain("its last writer died inside: what this does not write over may be half-changed");
    memcpy((char *)gnl_segment_data(segment) + offset, data, length);
    result = gnl_segment_unlock(segment);
    return result < 0 ? failed(result) : EXIT_OK;
}

static enum exit_status write_into(gnl_segment *segment, const char *path)
{
    size_t all = gnl_segment_size(segment), room = offset < all ? all - offset : 0;
    enum exit_status status = EXIT_FAILED;

    int file = path && strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    char *data = file < 0 ? NULL : malloc(room + 1);
    ssize_t length = data ? read_file(file, data, room) : -errno;
    if (length == -EMSGSIZE)
        complain("it has %zu bytes: %s does not fit in from %" PRIu64 " on", all, path ? path : "the input",
                 offset);
    else if (length < 0)
        complain("%s: %s", path ? path : "standard input", strerror((int)-length));
    else
        status = put(segment, data, (size_t)length);
    free(data);
    if (file > 2)
        close(file);
    return status;
}

static enum exit_status print_version(uint64_t version)
{
    printf(json ? "{ \"version\": %" PRIu64 " }\n" : "%" PRIu64 "\n", version);
    return finish_output(EXIT_OK);
}

static enum exit_status watch(gnl_segment *segment)
{
    uint64_t seen = gnl_segment_version(segment), changes = 0;
    int64_t last = now_ns();

    while (count == 0 || changes < count) {
        struct gnl_segment_info now;
        int64_t left = timeout < 0 ? LOOK_NS : timeout - (now_ns() - last);
        int result = gnl_segment_wait(segment, seen, left < 0 ? 0 : left < LOOK_NS ? left : LOOK_NS);
        if (result == 0) {
            seen = gnl_segment_version(segment);
            last = now_ns();
            changes++;
            if (print_version(seen) != EXIT_OK)
                return EXIT_FAILED;
            continue;
        }
        if (result < 0 && result != -ETIMEDOUT && result != -EAGAIN)
            return failed(result);
        if (timeout >= 0 && now_ns() - last >= timeout) {
            complain("nothing has changed in time");
            return EXIT_WOULD_BLOCK;
        }
        result = gnl_segment_info(segment, &now);
        if (result < 0)
            return failed(result);
        if (now.removed) {
            complain("it was removed");
            return EXIT_GONE;
        }
    }
    return EXIT_OK;
}

enum what { CREATE, INFO, READ, WRITE, WATCH, RM, WHATS };

static const struct {
    const char *name;
    int least, most; /* operands */
} table[WHATS] = {
    [CREATE] = { "create", 2, 2 }, [INFO] = { "info", 1, 1 },   [READ] = { "read", 1, 1 },
    [WRITE] = { "write", 1, 2 },   [WATCH] = { "watch", 1, 1 }, [RM] = { "rm", 1, 1 << 30 },
};

static enum exit_status attached(enum what what, char **operands, int operands_count)
{
    unsigned rights = what == WRITE ? GNL_READ | GNL_WRITE : GNL_READ;
    gnl_segment *segment;

    int result = gnl_segment_attach(&segment, name_of(operands[0]), rights);
    if (result < 0)
        return failed(result);
    enum exit_status status = what == READ    ? read_copy(segment)
                              : what == WATCH ? watch(segment)
                                              : write_into(segment, operands_count > 1 ? operands[1] : NULL);
    gnl_segment_detach(segment);
    return status;
}

static enum exit_status rm(char **operands, int operands_count)
{
    enum exit_status status = EXIT_OK;

    for (int i = 0; i < operands_count; i++) {
        char address[GNL_ADDRESS_MAX + 1];
        address_of(address, operands[i]);
        int result = gnl_remove(address);
        if (result < 0)
            status = failed(result);
    }
    return status;
}

int run_segment(int argc, char **argv)
{
    struct arguments arguments;
    enum exit_status status;
    enum what what = CREATE;

    if (!arguments_parse(&arguments, &usage, argc, argv, &status))
        return status;
    if (arguments.count == 0)
        return usage_error("segment", "what is to be done? create, info, read, write, watch or rm");
    while (what < WHATS && strcmp(arguments.operands[0], table[what].name) != 0)
        what++;
    if (what == WHATS)
        return usage_error("segment", "no '%s': it is create, info, read, write, watch or rm",
                           arguments.operands[0]);
    char **operands = arguments.operands + 1;
    int operands_count = arguments.count - 1;
    if (operands_count < table[what].least || operands_count > table[what].most)
        return usage_error("segment", "%s takes other operands than these %d", table[what].name,
                           operands_count);
    for (int i = 0; i < (what == RM ? operands_count : 1); i++) {
        char address[GNL_ADDRESS_MAX + 1];
        if (!address_of(address, operands[i]))
            return usage_error("segment", "%s", gnl_error_detail());
    }
    switch (what) {
    case CREATE:
        return create(operands);
    case INFO:
        return info(operands);
    case RM:
        return rm(operands, operands_count);
    default:
        return attached(what, operands, operands_count);
    }
}
