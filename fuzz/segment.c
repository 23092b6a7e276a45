/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a named segment whose users are hostile. The input is a program: words written over what
 * coordinates the others (header, word, records), the file cut or stretched, and calls of an honest process
 * that attaches it for writing and for reading; some of the words are written in the middle of those calls
 * (moments.h). Whatever it is, each call returns within its timeout, with success or an error of the manual,
 * and touches nothing outside the mapping.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ginnel/ginnel.h>

#include "fuzz/guard.h"
#include "fuzz/moments.h"
#include "fuzz/room.h"
#include "segment/layout.h"

#define NAME      "f"
#define FILE_NAME "segment:f"
#define ADDRESS   "segment:f"
#define SIZE      ((size_t)10000)
#define STEPS_MAX 64
#define SHORT_NS  gnl_us(300)

static gnl_segment *writer, *reader;
static int file; /* the hostile one's */
static char copy[1 << 16];

/* ---- the hostile one ---- */

static uint64_t some_number(struct input *input)
{
    static const struct input_end ends[INPUT_ENDS] = { { SIZE - 2, 1 },
                                                       { GNLI_SEGMENT_DATA - 2, 1 },
                                                       { GNLI_SEGMENT_DATA + SIZE - 4096, 4096 } };

    return input_some_number(input, ends);
}

/* A field of the header mostly; else one of a record. */
static uint64_t some_offset(struct input *input)
{
    uint64_t number = input_number(input, 1);

    return number < 192 ? number % 20 * 4
                        : GNLI_SEGMENT_RECORDS + number % 64 * 64 + input_number(input, 1) % 32 * 4;
}

/* A word as the lock's, or any number. */
static uint64_t some_value(struct input *input)
{
    uint64_t kind = input_number(input, 1), version = input_number(input, 2);

    return kind % 2 ? gnli_segment_word(version, kind / 2 % 8) | (kind > 200 ? GNLI_SEGMENT_DIED : 0)
                    : some_number(input);
}

/* Into the file as it is: writing does not mend what was truncated. */
static void put(uint64_t offset, uint64_t value)
{
    size_t bytes = offset % 8 == 0 ? 8 : 4;
    struct stat status;

    if (fstat(file, &status) == 0 && offset + bytes <= (uint64_t)status.st_size)
        must(pwrite(file, &value, bytes, (off_t)offset) == (ssize_t)bytes);
}

static void *attackable(const void *address)
{
    size_t offset;

    return guard_shared(address) && !guard_read_only(address, &offset) ? (void *)(uintptr_t)address : NULL;
}

static const struct moments_target target = {
    .some_number = some_number,
    .some_offset = some_offset,
    .some_value = some_value,
    .put = put,
    .attackable = attackable,
};

/* Cuts it, stretches it, makes holes. */
static void resize(struct input *input)
{
    static const uint64_t ends[] = {
        0, 40, 4096, GNLI_SEGMENT_RECORDS, GNLI_SEGMENT_DATA, GNLI_SEGMENT_DATA + 1
    };
    uint64_t how = input_number(input, 1);

    if (how < 128)
        must(ftruncate(file, (off_t)ends[how % (sizeof ends / sizeof ends[0])]) == 0);
    else if (how < 192)
        must(ftruncate(file, (off_t)(GNLI_SEGMENT_DATA + SIZE * (how % 4 + 1))) == 0);
    else
        fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(how % 16 * 4096), 65536);
}

/* ---- the honest one ---- */

static void detach(gnl_segment **segment)
{
    if (!*segment)
        return;
    call_begins("gnl_segment_detach", 0);
    call_ended(gnl_segment_detach(*segment));
    *segment = NULL;
}

static void attach(gnl_segment **segment, unsigned rights)
{
    detach(segment);
    call_begins("gnl_segment_attach", 0);
    int result = gnl_segment_attach(segment, NAME, rights);
    call_ended(result);
    if (result < 0)
        *segment = NULL;
}

/* What a user may touch: all bytes that it has. */
static void touch(gnl_segment *segment, bool write)
{
    volatile char *data = gnl_segment_data(segment);
    size_t size = gnl_segment_size(segment);

    must(data && size > 0);
    for (size_t i = 0; i < size; i += size < 64 ? 1 : size / 64)
        if (write)
            data[i] = (char)i;
        else
            (void)data[i];
    (void)data[size - 1];
}

/* A lock that cannot be given back, since the file is damaged, goes with the segment. */
static void lock(gnl_segment **which)
{
    gnl_segment *segment = *which;

    call_begins("gnl_segment_lock", SHORT_NS);
    int result = gnl_segment_lock(segment, SHORT_NS);
    call_ended(result);
    must(result <= GNL_OWNER_DIED);
    if (result < 0)
        return;
    touch(segment, true);
    call_begins("gnl_segment_unlock", 0);
    result = gnl_segment_unlock(segment);
    call_ended(result);
    if (result < 0)
        detach(which);
}

static void look(gnl_segment *segment, struct input *input)
{
    struct gnl_segment_info info;
    struct gnl_participant users[4];
    uint64_t seen = gnl_segment_version(segment);
    size_t offset = input_number(input, 2), size = input_number(input, 2);

    call_begins("gnl_segment_snapshot", SHORT_NS);
    call_ended(gnl_segment_snapshot(segment, offset, copy, size, SHORT_NS));
    call_begins("gnl_segment_wait", SHORT_NS);
    call_ended(gnl_segment_wait(segment, seen, SHORT_NS));
    call_begins("gnl_segment_info", 0);
    call_ended(gnl_segment_info(segment, &info));
    call_begins("gnl_segment_participants", 0);
    call_ended(gnl_segment_participants(segment, users, 4));
}

static void change(gnl_segment *segment, struct input *input)
{
    size_t size = (size_t)input_number(input, 2) + 1;

    call_begins("gnl_segment_grow", 0);
    call_ended(gnl_segment_grow(segment, size));
    call_begins("gnl_segment_refresh", 0);
    call_ended(gnl_segment_refresh(segment));
}

static void inspect(void)
{
    struct gnl_port_info info;
    struct gnl_participant users[4];

    call_begins("gnl_inspect", 0);
    call_ended(gnl_inspect(ADDRESS, &info, users, 4));
}

static void step(struct input *input)
{
    uint64_t kind = input_number(input, 1);
    gnl_segment *one = kind & 64 ? reader : writer;

    if (kind < 96) {
        put(some_offset(input), some_value(input));
        return;
    }
    if (kind < 112) {
        resize(input);
        return;
    }
    moments_arm(&target, input);
    if (kind < 144 || !one)
        attach(kind & 64 ? &reader : &writer, kind & 64 ? GNL_READ : GNL_READ | GNL_WRITE);
    else if (kind < 176)
        lock(kind & 64 ? &reader : &writer);
    else if (kind < 216)
        look(one, input);
    else if (kind < 232)
        change(one, input);
    else if (kind < 248)
        inspect();
    else
        touch(one, false);
    moments_disarm();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = { .data = bytes, .size = size };

    room();
    call_begins("gnl_segment_create", 0);
    int result = gnl_segment_create(&writer, NAME, SIZE, NULL);
    call_ended(result);
    must(result == 0);
    file = room_open(FILE_NAME, O_RDWR);
    must(file >= 0);
    for (unsigned i = 0; i < STEPS_MAX && !input_ended(&input); i++)
        step(&input);
    detach(&writer);
    detach(&reader);
    call_begins("gnl_remove", 0);
    call_ended(gnl_remove(ADDRESS));
    room_remove(FILE_NAME);
    close(file); /* last: its locks, if it had any, were the library's */
    return 0;
}
